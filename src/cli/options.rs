//! What can be typed.

use super::moment::{Moment, Span};
use crate::random::distribution::Seconds;
use crate::simulation::EngineKind;
use crate::units::SimDuration;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// What an autoscaling policy will do to a vLLM service on Kubernetes, before it is deployed.
#[derive(Debug, Parser)]
#[command(name = "dryscale", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 an assertion or gate failed; 2 wrong usage; 3 bad input, nothing written.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate one policy over a world and say what it does.
    Simulate(SimulateOptions),
    /// Simulate every point of an experiment's `[sweep]` and rank the points.
    Sweep(SweepOptions),
    /// Simulate several policies over the same requests, side by side.
    Compare(CompareOptions),
    /// Write the ScaledObject of a policy, ready to apply.
    Export(ExportOptions),
    /// Ask the series of a recorded run anything in PromQL.
    Query(QueryOptions),
}

/// The world and how to run it.
#[derive(Args, Clone, Debug)]
pub struct WorldOptions {
    /// Experiment: a TOML file or a shipped name. Left out: `default`, Llama-3.2-3B on A100 under a steady 25 requests/s.
    #[arg(long, value_name = "FILE|NAME")]
    pub experiment: Option<String>,
    /// The rest of the world.
    #[command(flatten)]
    pub world: WorldOverrides,
}

/// What replaces parts of the experiment; shared by every command that simulates.
#[derive(Args, Clone, Debug)]
pub struct WorldOverrides {
    /// Model: a TOML file or a shipped name (`llama-3.2-3b-a100-80gb-tp1`); replaces the experiment's.
    #[arg(long, value_name = "FILE|NAME")]
    pub model: Option<String>,
    /// Trace to replay instead of the experiment's workload: CSV or JSONL, plain or .gz.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Simulated time, such as `10m` or `2h`; a shorter trace ends the run.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Seed of every random stream.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Repeat over this many seeds (seed, seed + 1, ...) and state means with 95 % intervals.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repetitions: Option<u32>,
    /// Override a setting by its absolute key, such as `serving.nodes.max_nodes=8`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// After the duration, go on without new requests until every request has its fate.
    #[arg(long)]
    pub drain: bool,
    /// Threads for repetitions and sweeps; all cores when left out. Never changes a result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Which engine advances the replicas. Never changes a result.
    #[arg(long, value_enum, default_value_t = Engine::Fast)]
    pub engine: Engine,
}

/// `--engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A run of decode steps is one event.
    Fast,
    /// Every schedule pass, one by one.
    Stepwise,
}

impl From<Engine> for EngineKind {
    fn from(engine: Engine) -> EngineKind {
        match engine {
            Engine::Fast => EngineKind::Fast,
            Engine::Stepwise => EngineKind::Stepwise,
        }
    }
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For reading.
    #[default]
    Text,
    /// One JSON object on stdout and nothing else.
    Json,
}

/// `dryscale simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateOptions {
    /// Policy: TOML, a ScaledObject YAML, `-` (stdin), a shipped name (`queue-threshold-2`), or `static:N`. Left out: the
    /// experiment's own.
    #[arg(long, value_name = "FILE|NAME|static:N")]
    pub policy: Option<String>,
    /// The world.
    #[command(flatten)]
    pub world: WorldOptions,
    /// Fail (exit 1) unless this holds for the summary, such as `ttft_s.p95<2`; repeatable.
    #[arg(long = "assert", value_name = "EXPR")]
    pub assertions: Vec<String>,
    /// Folder for summary.json, timeline.csv, decisions.jsonl, pods.csv, requests.csv, series.jsonl and the inputs.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Do not write requests.csv.
    #[arg(long)]
    pub no_requests: bool,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `dryscale compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareOptions {
    /// Policies: TOML, a ScaledObject YAML, `-` (stdin), shipped names, or `static:N`. Differences are against the first.
    #[arg(required = true, value_name = "POLICY")]
    pub policies: Vec<String>,
    /// The world. Without --repetitions, an experiment of one repetition is run over 5 seeds.
    #[command(flatten)]
    pub world: WorldOptions,
    /// Fail (exit 1) unless this holds for each policy's summary, such as `slo.attainment>=0.95`; repeatable.
    #[arg(long = "assert", value_name = "EXPR")]
    pub assertions: Vec<String>,
    /// Folder for comparison.json and, in a folder a policy, what `simulate --out` writes.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Do not write requests.csv.
    #[arg(long)]
    pub no_requests: bool,
    /// Leave out the optimum: the least that any policy could use, and the best timetable found. It takes about 15 more
    /// runs.
    #[arg(long)]
    pub no_optimum: bool,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `dryscale sweep`.
#[derive(Args, Clone, Debug)]
pub struct SweepOptions {
    /// Experiment with a `[sweep]` table: a TOML file or a shipped name (`thresholds`).
    #[arg(value_name = "FILE|NAME")]
    pub experiment: String,
    /// Policy that the sweep varies; replaces the experiment's.
    #[arg(long, value_name = "FILE|NAME|static:N")]
    pub policy: Option<String>,
    /// The world, other than the experiment.
    #[command(flatten)]
    pub world: WorldOverrides,
    /// Folder for results.csv and what `--resume` needs; `dryscale-sweep` when left out.
    #[arg(long, value_name = "DIR", default_value = "dryscale-sweep")]
    pub out: PathBuf,
    /// Go on with an interrupted sweep: points that are finished are not run again.
    #[arg(long)]
    pub resume: bool,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `dryscale export`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["policy", "best"])))]
pub struct ExportOptions {
    /// Export this policy as it is; simulates nothing.
    #[arg(long, value_name = "FILE|NAME")]
    pub policy: Option<String>,
    /// Export the best policy of a sweep's results.csv.
    #[arg(long, value_name = "RESULTS.CSV", conflicts_with = "policy")]
    pub best: Option<PathBuf>,
    /// Experiment whose `[target]` names namespace and Deployment of a policy that does not; --best has the sweep's.
    #[arg(long, value_name = "FILE|NAME", conflicts_with = "best")]
    pub experiment: Option<String>,
    /// Override a setting by its absolute key, such as `target.namespace=prod`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// File to write; stdout when left out.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `dryscale query`.
#[derive(Args, Clone, Debug)]
#[command(after_help = QUERY_HELP)]
pub struct QueryOptions {
    /// The query, in PromQL.
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    pub expression: String,
    /// Folder of the run: what `simulate --out` wrote.
    #[arg(long, value_name = "DIR")]
    pub run: PathBuf,
    /// The instant: `12m30s` since the start of the run, `2026-01-05T08:12:30Z`, or seconds since 1970. Left out: the
    /// end of the run.
    #[arg(long, value_name = "T", conflicts_with = "range")]
    pub at: Option<Moment>,
    /// Every step from A to B, such as `10m..20m`; `..` is the whole run.
    #[arg(long, value_name = "A..B")]
    pub range: Option<Span>,
    /// Between two steps of --range, such as `15s`. Left out: about 250 steps.
    #[arg(long, value_name = "DURATION", requires = "range", value_parser = step)]
    pub step: Option<SimDuration>,
    /// Use every sample up to the instant, those too that could not be seen yet: as the run's history reads afterwards.
    #[arg(long)]
    pub replay: bool,
    /// Form of the answer: as `promtool query` prints it, or the `data` of Prometheus' HTTP API.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const QUERY_HELP: &str = "\
Without --replay the answer is what KEDA would have got at that moment: from the samples of scrapes that had finished, for the \
whole second before. A pod that is gone is seen for about two more scrape intervals then. Release, evaluation interval and \
start are the run's.";

fn step(text: &str) -> Result<SimDuration, String> {
    Seconds::parse(text).map(Seconds::duration)
}
