//! The summary of a run: the keys of `summary.json`, in their order. Users and CI jobs rely on it.

use indexmap::IndexMap;
use serde::Serialize;

/// `simulate --format json` and `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Name of the policy.
    pub policy: String,
    /// Its own one-line summary.
    pub summary: String,
    /// Simulated seconds.
    pub duration_s: f64,
    /// Each request once, by fate.
    pub requests: Requests,
    /// Time to first token, as clients see it.
    pub ttft_s: Latency,
    /// Inter-token latency.
    pub itl_s: Latency,
    /// Time per output token after the first, one sample a request.
    pub tpot_s: Latency,
    /// End-to-end latency.
    pub e2e_s: Latency,
    /// How latencies are counted: quantiles are exact or from the fixed histogram.
    pub quantiles: Quantiles,
    /// Targets and how many requests met them.
    pub slo: Slo,
    /// The offered load.
    pub load: Load,
    /// Replicas over time.
    pub replicas: ReplicaStats,
    /// GPUs x hours that are paid: from assignment to container exit, or, where nodes are billed, from a node's order to
    /// its removal.
    pub gpu_hours: f64,
    /// `gpu_hours` times price, in the currency of the model file.
    pub cost: f64,
    /// Changes of size.
    pub scaling: Scaling,
    /// The engines together.
    pub engine: Engine,
    /// What a careful colleague would say.
    pub warnings: Vec<String>,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// Requests by fate; `arrived` is the sum of the six fates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // the fates are documented on `record::Fate`
pub struct Requests {
    pub arrived: u64,
    pub finished: u64,
    pub aborted: u64,
    pub killed: u64,
    pub refused: u64,
    pub waiting: u64,
    pub running: u64,
    /// Sends, retries included.
    pub attempts: u64,
}

/// Seconds; `null` where there is no sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // the names say it
pub struct Latency {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

/// How quantiles were read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// TTFT, TPOT and E2E are exact up to this many requests.
    pub exact_up_to: u64,
    /// Whether they are exact in this run.
    pub exact: bool,
    /// Relative error of what comes from the histogram (ITL always does).
    pub histogram_relative_error: f64,
}

/// SLO attainment. Requests that were due in the warm-up are left out, and so are requests of a class without a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Slo {
    /// Requests that met every target, of those whose fate is known or whose deadline has passed; `null` if none.
    /// Aborted, killed and refused requests missed. Of the requests that wait or run at the end, those count as missed
    /// whose TTFT or E2E deadline has passed; the others are left out.
    pub attainment: Option<f64>,
    /// Requests a second that met every target, over the offered time after the warm-up; `null` without a target.
    pub goodput_rps: Option<f64>,
    /// Attainment of the TTFT target alone: of the requests that got a first token, ended without one, or wait past the
    /// deadline for it; `null` without a target or a sample.
    pub ttft_attainment: Option<f64>,
    /// Of the TPOT target alone: of the finished requests with at least two output tokens.
    pub tpot_attainment: Option<f64>,
    /// Of the E2E target alone: of the requests that ended, or are unfinished past their deadline.
    pub e2e_attainment: Option<f64>,
    /// Whether each class reached its own share; `null` where no class has both a target and a known request.
    pub met: Option<bool>,
    /// The classes that have a target, in the workload's order.
    pub classes: IndexMap<String, ClassSlo>,
}

/// SLO attainment of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClassSlo {
    /// As [`Slo::attainment`], of this class.
    pub attainment: Option<f64>,
    /// The share that should meet every target, 0..=1.
    pub target: f64,
}

/// The load that clients offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Load {
    /// Requests a second over the offered time.
    pub mean_rps: f64,
    /// Requests a second in the busiest minute (or over the run, where it is shorter).
    pub peak_rps: f64,
    /// How often the load turned from rising to falling or back, by more than 30 % of its mean and more than chance.
    pub swings: u64,
}

/// Time-weighted sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ReplicaStats {
    /// Mean `spec.replicas`.
    pub mean: f64,
    /// Smallest `spec.replicas`.
    pub min: i32,
    /// Largest `spec.replicas`.
    pub max: i32,
    /// Seconds at the largest size.
    pub at_max_s: f64,
    /// Mean Ready pods.
    pub ready_mean: f64,
    /// Fewest Ready pods.
    pub ready_min: i32,
    /// Most Ready pods.
    pub ready_max: i32,
}

/// Changes of `spec.replicas`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scaling {
    /// Upwards.
    pub ups: u64,
    /// Downwards.
    pub downs: u64,
    /// Changes of the opposite sign to the change before.
    pub reversals: u64,
    /// When the largest sustained step up of the offered load came, in seconds; `null` without such a step.
    pub step_at_s: Option<f64>,
    /// Seconds from that step until as many pods were Ready as brought the queue back to its level before; `null`
    /// without a step, or where the queue never came back while the load lasted.
    pub step_to_capacity_s: Option<f64>,
}

/// Engines together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Engine {
    /// Schedule passes with at least one token.
    pub steps: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Share of prompt tokens found in the prefix cache; `null` if none was looked up.
    pub prefix_hit_rate: Option<f64>,
    /// Most requests that waited at one time.
    pub longest_queue: u64,
    /// Requests that ran at one time, the mean over the ticks of the timeline.
    pub running_mean: f64,
}

/// Never the engine, threads, wall time or paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Provenance {
    /// dryscale's version.
    pub version: String,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of each input, by its role: `policy`, `experiment`, `model`, `trace`.
    pub inputs: IndexMap<String, String>,
}
