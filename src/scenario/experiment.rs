//! `experiments/*.toml`: a world, and optionally what to vary in it and what must hold.

use super::assertion::Assertion;
use super::rule::Rule;
use crate::autoscaling::hpa::ControllerManagerFlags;
use crate::autoscaling::keda::KedaVersion;
use crate::manifests::{check_label, check_subdomain};
use crate::monitoring::MonitoringSpec;
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::serving::engine::{EngineArgs, Release};
use crate::serving::gateway::GatewaySpec;
use crate::serving::nodes::NodesSpec;
use crate::serving::performance::StartupOverlay;
use crate::serving::pod::PodSpec;
use crate::serving::router::RouterSpec;
use crate::units::{Replicas, SimDuration, UnixMillis};
use crate::workload::WorkloadSpec;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::UNIX_EPOCH;

/// The most repetitions of a run.
const REPETITIONS_MAX: u32 = 10_000;
/// The most ticks of a timeline: what a spreadsheet holds.
const TICKS_MAX: u64 = 1_000_000;

/// The whole file. `policy`, `model`, `sweep` and what a flag replaces are read before it becomes types.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Experiment {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) summary: String,
    #[serde(default = "default_duration")]
    pub(super) duration: Seconds,
    #[serde(default = "default_seed")]
    pub(super) seed: u64,
    #[serde(default = "default_repetitions")]
    pub(super) repetitions: u32,
    #[serde(default)]
    pub(super) drain: bool,
    #[serde(default = "default_start")]
    pub(super) start: String,
    #[serde(default)]
    pub(super) target: Target,
    pub(super) serving: Serving,
    #[serde(default)]
    pub(super) slo: SloTargets,
    #[serde(default)]
    pub(super) cost: Cost,
    #[serde(default)]
    pub(super) measure: Measure,
    #[serde(default)]
    pub(super) keda: Keda,
    #[serde(default)]
    pub(super) hpa: ControllerManagerFlags,
    #[serde(default)]
    pub(super) gate: GateLines,
    pub(super) workload: WorkloadSpec,
    #[serde(default)]
    pub(super) monitoring: MonitoringSpec,
    #[serde(default, rename = "policy")]
    _policy: Option<IgnoredAny>,
    #[serde(default, rename = "model")]
    _model: Option<IgnoredAny>,
    #[serde(default, rename = "sweep")]
    _sweep: Option<IgnoredAny>,
}

fn default_duration() -> Seconds {
    Seconds(SimDuration::from_secs(2 * 3600))
}
fn default_seed() -> u64 {
    1
}
fn default_repetitions() -> u32 {
    1
}
/// A Monday morning.
fn default_start() -> String {
    "2026-01-05T08:00:00Z".to_owned()
}

/// `[target]`: which workload is scaled, and under which names its series are found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Namespace of the pods.
    pub namespace: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// vLLM's `--served-model-name`, which becomes the label `model_name`.
    pub model: String,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            namespace: "llm".to_owned(),
            deployment: "llama-32-3b-predictor".to_owned(),
            model: "meta-llama/Llama-3.2-3B".to_owned(),
        }
    }
}

impl Target {
    fn check(&self) -> Result<(), Problem> {
        check_label("namespace", &self.namespace)?;
        check_subdomain("deployment", &self.deployment)?;
        // It is put into queries between quotes.
        let unquotable = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\' | '`');
        if self.model.is_empty() || self.model.contains(unquotable) {
            let problem = Problem::key("model", format!("{:?} is not a served model name", self.model));
            return Err(problem.help("such as `meta-llama/Llama-3.2-3B`, without quotes and backslashes"));
        }
        Ok(())
    }
}

/// `[serving]`: the plant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// The model file, the name of one that ships, or `{ architecture = …, gpu = …, tensor_parallel = …, dtype = … }`, for
    /// which the numbers are estimated where no file has them. Read before the experiment becomes types.
    #[serde(rename = "model")]
    _model: IgnoredAny,
    /// The release of vLLM; 0.32 when left out.
    #[serde(default)]
    pub vllm: Option<String>,
    /// Pods at the start; max(1, the policy's minimum) when left out.
    #[serde(default)]
    pub initial_replicas: Option<i32>,
    /// vLLM's engine arguments.
    #[serde(default)]
    pub engine: EngineArgs,
    /// GPU nodes.
    #[serde(default)]
    pub nodes: NodesSpec,
    /// Phases of a pod's start that differ from the model file's.
    #[serde(default)]
    pub startup: StartupOverlay,
    /// How pods begin and end.
    #[serde(default)]
    pub pod: PodSpec,
    /// How a pod is chosen for a request.
    #[serde(default)]
    pub router: RouterSpec,
    /// What happens to requests while no pod is ready.
    #[serde(default)]
    pub gateway: GatewaySpec,
}

impl Serving {
    /// The release of vLLM whose rules hold.
    ///
    /// # Errors
    /// One that is not implemented.
    pub fn release(&self) -> Result<Release, Problem> {
        self.vllm.as_deref().map_or(Ok(Release::default()), Release::parse)
    }
}

/// `[slo]`: targets of the classes that name none of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloTargets {
    /// Longest time to first token.
    pub ttft: Option<Seconds>,
    /// Longest mean time per output token after the first.
    pub tpot: Option<Seconds>,
    /// Longest time to the last token.
    pub e2e: Option<Seconds>,
    /// The share of requests that should meet all of them; above 0, at most 1.
    pub attainment: Option<f64>,
}

/// `[cost]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// Price of one GPU for an hour; the model file's when left out. From 0 to 10^9.
    pub price_per_gpu_hour: Option<f64>,
    /// What is paid for.
    pub bill: Bill,
    /// A currency's sign or code; `$` when left out.
    pub currency: Option<String>,
}

/// What is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bill {
    /// The GPUs of a pod, from its assignment to a node until its container has exited.
    #[default]
    Gpu,
    /// The GPUs of a node, from its order until its removal.
    Node,
}

/// `[measure]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measure {
    /// Requests that arrive before count among the fates, not among the latencies; none when left out.
    pub warmup: Seconds,
    /// Time between two rows of the timeline; 10 s when left out.
    pub timeline: Seconds,
}

impl Default for Measure {
    fn default() -> Self {
        Measure { warmup: Seconds(SimDuration::ZERO), timeline: Seconds(SimDuration::from_secs(10)) }
    }
}

/// `[keda]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keda {
    /// The release; 2.20 when left out.
    pub version: KedaVersion,
}

/// `[gate]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GateLines {
    assert: Vec<String>,
    of: GateOf,
}

/// `[gate]`: what must hold for a sweep to succeed in CI.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// As `--assert`; none: no gate.
    pub assertions: Vec<Assertion>,
    /// Of which points.
    pub of: GateOf,
}

/// Which points of a sweep a gate is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOf {
    /// The one that the sweep recommends.
    #[default]
    Best,
    /// Every one.
    Every,
}

impl GateLines {
    pub(super) fn read(&self) -> Result<Gate, (String, Problem)> {
        let assertions = self.assert.iter().enumerate().map(|(index, line)| {
            Assertion::parse(line).map_err(|problem| (format!("gate.assert.{index}"), problem))
        });
        Ok(Gate { assertions: assertions.collect::<Result<_, _>>()?, of: self.of })
    }
}

impl Experiment {
    /// Checks what the wings do not check themselves.
    ///
    /// # Errors
    /// A problem with an absolute key.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.target.check().map_err(|problem| problem.under("target"))?;
        self.serving.release().map_err(|problem| problem.under("serving"))?;
        self.serving.pod.check().map_err(|problem| problem.under("serving.pod"))?;
        self.serving.gateway.check().map_err(|problem| problem.under("serving.gateway"))?;
        self.monitoring.check().map_err(|problem| problem.under("monitoring"))?;
        let duration = self.duration.duration();
        self.monitoring.check_faults(duration).map_err(|problem| problem.under("monitoring"))?;
        self.slo.check().map_err(|problem| problem.under("slo"))?;
        if let Some(problem) = self.hpa.problems().into_iter().next() {
            return Err(problem.under("hpa"));
        }
        if self.cost.currency.as_deref().is_some_and(|text| text.chars().any(char::is_control)) {
            let problem = Problem::key("cost.currency", "a currency is not written so");
            return Err(problem.help("a sign or a code, such as \"€\" or \"EUR\""));
        }
        if let Some(price) = self.cost.price_per_gpu_hour
            && !(0.0..=1e9).contains(&price)
        {
            return Err(
                Problem::key("cost.price_per_gpu_hour", format!("{price} is not a price")).help("0 to 10^9")
            );
        }
        if !(1..=REPETITIONS_MAX).contains(&self.repetitions) {
            let problem =
                Problem::key("repetitions", format!("{} repetitions cannot be run", self.repetitions));
            return Err(problem.help(format!("from 1 to {REPETITIONS_MAX}")));
        }
        self.start()?;
        self.check_times()
    }

    fn check_times(&self) -> Result<(), Problem> {
        let (duration, timeline) = (self.duration.duration(), self.measure.timeline.duration());
        if duration.is_zero() {
            return Err(Problem::key("duration", "a run without time shows nothing").help("such as \"2h\""));
        }
        if self.measure.warmup.duration() >= duration {
            let problem = Problem::key("measure.warmup", "the warm-up is as long as the run or longer");
            return Err(problem.help("shorten it, or lengthen `duration`"));
        }
        if timeline.is_zero() || duration.as_ps() / timeline.as_ps() > TICKS_MAX {
            let problem = Problem::key(
                "measure.timeline",
                format!("the timeline would have more than {TICKS_MAX} rows"),
            );
            return Err(problem.help("such as \"10s\""));
        }
        Ok(())
    }

    /// The wall-clock time at which the run begins.
    pub(super) fn start(&self) -> Result<UnixMillis, Problem> {
        let refuse = || {
            let problem =
                Problem::key("start", format!("{:?} is not a time that a run can begin at", self.start));
            problem.help("write it as \"2026-01-05T08:00:00Z\", from 1970 to 9998")
        };
        let time = humantime::parse_rfc3339(&self.start).map_err(|_| refuse())?;
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| refuse())?;
        // A run lasts 106 days at most: it ends within the years that RFC 3339 can write.
        match i64::try_from(since.as_millis()) {
            Ok(millis) if millis < 253_370_764_800_000 => Ok(UnixMillis(millis)),
            _ => Err(refuse()),
        }
    }

    /// Pods at the start. A fixed number of replicas is that from the start.
    pub(super) fn initial_replicas(&self, rule: &Rule) -> Result<Replicas, Problem> {
        let given = self.serving.initial_replicas;
        match rule {
            Rule::Static(replicas) => return Ok(*replicas),
            Rule::Schedule(schedule) if given.is_none() => {
                if let Some(step) = schedule.steps().first().filter(|step| step.at.duration().is_zero()) {
                    return Ok(step.replicas);
                }
            }
            _ => {}
        }
        let (min, max) = rule.range();
        match given {
            None => Ok(Replicas(min.get().max(1).min(max.get()))),
            Some(initial) if (min.get()..=max.get()).contains(&initial) => Ok(Replicas(initial)),
            Some(initial) => {
                let message = format!("{initial} replicas at the start are not between {min} and {max}");
                Err(Problem::key("serving.initial_replicas", message)
                    .help("as the policy's minimum and maximum have it"))
            }
        }
    }
}

impl SloTargets {
    fn check(&self) -> Result<(), Problem> {
        for (key, target) in [("ttft", self.ttft), ("tpot", self.tpot), ("e2e", self.e2e)] {
            if target.is_some_and(|target| target.duration().is_zero()) {
                return Err(
                    Problem::key(key, "no request can take no time").help("remove the key for no target")
                );
            }
        }
        match self.attainment {
            Some(share) if !(share > 0.0 && share <= 1.0) => {
                Err(Problem::key("attainment", format!("{share} is not a share of requests"))
                    .help("above 0, at most 1"))
            }
            _ => Ok(()),
        }
    }
}
