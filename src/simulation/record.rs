//! What a run tells: plain data, emitted while it happens, for whoever listens.
//!
//! The loop hands each record to a [`Recorder`] as soon as it is final and keeps nothing itself, so memory does not grow
//! with the run. `analysis` listens to score, `report` to write files.

use crate::histogram::LogHistogram;
use crate::monitoring::wal;
use crate::units::{Gpus, Replicas, SimDuration, SimTime, Tokens};
use serde::Serialize;

/// Listens to a run. Each method has an empty default, so that a listener names only what it wants.
pub trait Recorder {
    /// A request has its fate (or the run ended without one).
    fn request(&mut self, _record: &RequestRecord) {}
    /// KEDA polled, or the HPA synced.
    fn decision(&mut self, _record: &DecisionRecord) {}
    /// `spec.replicas` changed.
    fn scale(&mut self, _record: &ScaleRecord) {}
    /// The state of the world at a tick of the timeline.
    fn tick(&mut self, _record: &TickRecord) {}
    /// A pod is gone (or the run ended).
    fn pod(&mut self, _record: &PodRecord) {}
    /// Something was written to Prometheus' store.
    fn series(&mut self, _record: &wal::Record) {}
    /// The run is over.
    fn end(&mut self, _totals: &RunTotals) {}
    /// Whether decisions are wanted at all: making their account costs more than deciding.
    fn wants_decisions(&self) -> bool {
        false
    }
    /// Whether what is written to Prometheus' store is wanted. Without anybody who wants it, only what queries read is
    /// scraped and kept; what they answer is the same.
    fn wants_series(&self) -> bool {
        false
    }
}

/// Several listeners to one run; each hears every record, in the order of the list.
pub struct Fan<'a>(pub Vec<&'a mut dyn Recorder>);

impl Recorder for Fan<'_> {
    fn request(&mut self, record: &RequestRecord) {
        self.0.iter_mut().for_each(|listener| listener.request(record));
    }
    fn decision(&mut self, record: &DecisionRecord) {
        self.0.iter_mut().for_each(|listener| listener.decision(record));
    }
    fn scale(&mut self, record: &ScaleRecord) {
        self.0.iter_mut().for_each(|listener| listener.scale(record));
    }
    fn tick(&mut self, record: &TickRecord) {
        self.0.iter_mut().for_each(|listener| listener.tick(record));
    }
    fn pod(&mut self, record: &PodRecord) {
        self.0.iter_mut().for_each(|listener| listener.pod(record));
    }
    fn series(&mut self, record: &wal::Record) {
        self.0.iter_mut().for_each(|listener| listener.series(record));
    }
    fn end(&mut self, totals: &RunTotals) {
        self.0.iter_mut().for_each(|listener| listener.end(totals));
    }
    fn wants_decisions(&self) -> bool {
        self.0.iter().any(|listener| listener.wants_decisions())
    }
    fn wants_series(&self) -> bool {
        self.0.iter().any(|listener| listener.wants_series())
    }
}

/// What became of a request; each arrived request has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Answered to its end (EOS or length).
    Finished,
    /// Its client gave up.
    Aborted,
    /// Cut off by its pod's end.
    Killed,
    /// Turned away: at a cap, as too long, by the gateway, or by a pod that no longer serves.
    Refused,
    /// At the end of the run it waited in a client's, the gateway's or an engine's queue; preempted ones included.
    Waiting,
    /// At the end of the run it was running.
    Running,
}

impl Fate {
    /// Its name in files, which is its key under `requests` in the summary.
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Finished => "finished",
            Fate::Aborted => "aborted",
            Fate::Killed => "killed",
            Fate::Refused => "refused",
            Fate::Waiting => "waiting",
            Fate::Running => "running",
        }
    }
}

/// One request, from its client's view.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRecord {
    /// Creation ordinal.
    pub ordinal: u64,
    /// Index of its source.
    pub source: u16,
    /// Index of its class.
    pub class: u16,
    /// When its client had it ready.
    pub due: SimTime,
    /// When it was first sent; `None` while a cap held it back. Latencies count from here.
    pub sent: Option<SimTime>,
    /// The pod that served it last, by creation ordinal.
    pub pod: Option<u32>,
    /// When the client saw its first token; `None` also where that was still on its way at the end.
    pub first_token: Option<SimTime>,
    /// When the client saw its last token, or its fate; `None`: not before the run ended.
    pub ended: Option<SimTime>,
    /// Prompt length.
    pub prompt_tokens: Tokens,
    /// Tokens that its engine had made for the client; 0 where none reached it.
    pub output_tokens: Tokens,
    /// Prompt tokens found in the prefix cache at first admission.
    pub cached_tokens: Tokens,
    /// How often it was preempted.
    pub preemptions: u32,
    /// Sends, retries included.
    pub attempts: u32,
    /// Its fate.
    pub fate: Fate,
    /// Why, where the fate alone does not say: `cap`, `prompt_too_long`, `no_ready_pod`, `pod_gone`, ...
    pub reason: &'static str,
    /// False for requests that were due in the warm-up: they count among the fates, not among the latencies.
    pub measured: bool,
}

impl RequestRecord {
    /// Time to first token, of every request that got one, whatever became of it afterwards.
    pub fn ttft(&self) -> Option<SimDuration> {
        Some(self.first_token?.since(self.sent?))
    }
    /// End-to-end latency of a finished request.
    pub fn e2e(&self) -> Option<SimDuration> {
        (self.fate == Fate::Finished).then_some(self.ended?.since(self.sent?))
    }
    /// Time per output token after the first, of a finished request with at least two; picoseconds rounded down.
    pub fn tpot(&self) -> Option<SimDuration> {
        if self.fate != Fate::Finished || self.output_tokens.get() < 2 {
            return None;
        }
        let decode = self.ended?.since(self.first_token?);
        Some(SimDuration::from_ps(decode.as_ps() / u64::from(self.output_tokens.get() - 1)))
    }
}

/// One poll or sync with all that shaped it. `detail` is the controller's own account, ready to be written as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionRecord {
    /// Seconds since the start of the run.
    #[serde(rename = "t_s", serialize_with = "as_seconds")]
    pub at: SimTime,
    /// Which loop decided.
    #[serde(rename = "loop")]
    pub controller: Controller,
    /// `spec.replicas` before.
    pub replicas_before: Replicas,
    /// `spec.replicas` after.
    pub replicas_after: Replicas,
    /// Every input, intermediate value, clamp and reason.
    pub detail: serde_json::Value,
}

/// Who decides about `spec.replicas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    /// A timetable.
    Schedule,
    /// KEDA's scale loop.
    KedaPoll,
    /// The HPA's reconcile.
    HpaSync,
    /// A reconcile of AIBrix.
    Aibrix,
    /// A look of Knative's autoscaler.
    Knative,
    /// A run of the Workload Variant Autoscaler, whose decision others carry out.
    Wva,
}

/// A change of `spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleRecord {
    /// When.
    pub at: SimTime,
    /// Before.
    pub from: Replicas,
    /// After.
    pub to: Replicas,
    /// By whom.
    pub by: Controller,
}

/// The world at one tick of the timeline; counts of the interval since the tick before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TickRecord {
    /// Seconds since the start of the run.
    #[serde(rename = "t_s", serialize_with = "as_seconds")]
    pub at: SimTime,
    /// Requests that came due since the last tick.
    pub arrived: u64,
    /// Requests that finished since the last tick.
    pub finished: u64,
    /// Requests in clients' and the gateway's queues.
    pub held: u64,
    /// Requests in engines' queues.
    pub waiting: u64,
    /// Requests running in engines.
    pub running: u64,
    /// `spec.replicas`.
    pub replicas: Replicas,
    /// Ready pods.
    pub ready: Replicas,
    /// Pods that start (assigned or pending), not yet ready.
    pub starting: Replicas,
    /// Pods that terminate.
    pub terminating: Replicas,
    /// GPUs held by pods.
    pub gpus: Gpus,
    /// Mean KV-cache usage of the ready pods, 0..=1.
    pub kv_usage_mean: f64,
    /// Largest KV-cache usage of the ready pods, 0..=1.
    pub kv_usage_max: f64,
}

/// The life of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodRecord {
    /// Creation ordinal.
    pub ordinal: u32,
    /// Pod name.
    pub name: String,
    /// Node name, once assigned.
    pub node: Option<String>,
    /// Creation.
    pub created: SimTime,
    /// Assignment to a node: its GPUs are held, and paid, from here.
    pub scheduled: Option<SimTime>,
    /// Ready.
    pub ready: Option<SimTime>,
    /// Deletion requested.
    pub deleted: Option<SimTime>,
    /// Container exited; GPUs free.
    pub exited: Option<SimTime>,
    /// Requests that it finished, those among them whose answer nobody waited for any more.
    pub finished: u64,
    /// Requests that died with it.
    pub killed: u64,
    /// Engine steps.
    pub steps: u64,
    /// Preemptions.
    pub preemptions: u64,
}

/// Totals of the whole run, exact.
#[derive(Clone, Debug, Default)]
pub struct RunTotals {
    /// When the run ended.
    pub ended: SimTime,
    /// Sends, retries included.
    pub attempts: u64,
    /// Integral of `spec.replicas` over time, in replica-picoseconds; likewise the next.
    pub replica_ps: u128,
    /// Integral of Ready pods.
    pub ready_ps: u128,
    /// Integral of GPUs held by pods.
    pub gpu_ps: u128,
    /// Integral of GPUs of ordered nodes, from order to removal.
    pub node_gpu_ps: u128,
    /// Time during which `spec.replicas` was at its largest.
    pub at_max: SimDuration,
    /// Smallest and largest `spec.replicas`.
    pub replicas_range: (Replicas, Replicas),
    /// Smallest and largest number of Ready pods.
    pub ready_range: (Replicas, Replicas),
    /// Engine steps with at least one token.
    pub steps: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Prefix cache: tokens looked up and found, at first admissions.
    pub prefix_queries: u64,
    /// See `prefix_queries`.
    pub prefix_hits: u64,
    /// Largest number of requests that waited at one time, engines', gateway's and clients' queues together.
    pub longest_queue: u64,
    /// Inter-token latencies of measured requests.
    pub itl: LogHistogram,
    /// What a careful colleague would say, in order of appearance, each once.
    pub warnings: Vec<String>,
}

fn as_seconds<S: serde::Serializer>(at: &SimTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_secs_f64())
}
