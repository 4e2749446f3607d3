//! Everything a run needs, checked: what `scenario` makes of the user's files.

use super::control::{Autoscaling, WvaSetup};
use super::exporters::Exporters;
use crate::monitoring::faults::Faults;
use crate::monitoring::rules;
use crate::monitoring::series::Retention;
use crate::monitoring::vllm_metrics::Schema;
use crate::monitoring::{Keep, MonitoringSpec};
use crate::problem::Problem;
use crate::serving::engine::{Engine, EngineConfig, EngineCore, EngineTiming, FastEngine, StepTimer};
use crate::serving::gateway::GatewaySpec;
use crate::serving::nodes::NodesSpec;
use crate::serving::performance::Startup;
use crate::serving::pod::PodSpec;
use crate::serving::router::RouterSpec;
use crate::units::{Blocks, Gpus, Replicas, SimDuration, UnixMillis};
use crate::workload::Workload;
use std::sync::Arc;

/// A world to be run once.
pub struct Setup {
    /// The seed of every stream.
    pub seed: u64,
    /// How long requests come.
    pub duration: SimDuration,
    /// Whether the run then goes on until every request has its fate.
    pub drain: bool,
    /// Requests that come due earlier count among the fates, not among the latencies.
    pub warmup: SimDuration,
    /// Interval of the timeline; above zero.
    pub tick: SimDuration,
    /// The wall-clock instant of t = 0.
    pub epoch: UnixMillis,
    /// What is scaled.
    pub target: Target,
    /// The requests.
    pub workload: Workload,
    /// The plant.
    pub serving: ServingSetup,
    /// The sensor.
    pub monitoring: MonitoringSetup,
    /// Says what it wants as a metric; the controller may follow it.
    pub wva: Option<WvaSetup>,
    /// The controller.
    pub autoscaling: Autoscaling,
    /// What was already worth saying when the files were read.
    pub warnings: Vec<String>,
}

/// The scaled workload, as labels name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the Deployment.
    pub namespace: String,
    /// Its name.
    pub deployment: String,
    /// vLLM's `--served-model-name`.
    pub model_name: String,
}

/// The sensor's settings.
pub struct MonitoringSetup {
    /// `[monitoring]`.
    pub spec: MonitoringSpec,
    /// How long samples are kept: as long as any query looks back.
    pub retention: Retention,
    /// Which series are kept where nobody listens to all of them: those that some query can read.
    pub keep: Keep,
    /// What a pod's `/metrics` page holds.
    pub schema: Schema,
    /// What goes wrong, and when.
    pub faults: Faults,
    /// The recording rules, group by group.
    pub rules: Vec<rules::Group>,
    /// The exporters that somebody reads.
    pub exporters: Exporters,
    /// All that there are where somebody listens to all series.
    pub all_exporters: Exporters,
}

impl MonitoringSetup {
    /// The sensor of a run to whose series somebody listens: with the exporters that nobody reads.
    #[must_use]
    pub(super) fn whole(self) -> Self {
        MonitoringSetup { exporters: self.all_exporters.clone(), ..self }
    }
}

/// The plant's settings.
#[derive(Clone)]
pub struct ServingSetup {
    /// What every pod runs.
    pub engine: EngineSetup,
    /// Delays between client and engine.
    pub request_path: RequestPath,
    /// GPUs of one replica: its tensor parallelism.
    pub gpus_per_pod: Gpus,
    /// Replicas at t = 0, all Ready.
    pub initial_replicas: Replicas,
    /// `[serving.startup]` over the model's own.
    pub startup: Startup,
    /// `[serving.nodes]`.
    pub nodes: NodesSpec,
    /// `[serving.pod]`.
    pub pod: PodSpec,
    /// `[serving.router]`.
    pub router: RouterSpec,
    /// `[serving.gateway]`.
    pub gateway: GatewaySpec,
}

/// The engines. They are one in all that they show, and differ in what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// [`FastEngine`]: a run of decode steps is one event.
    #[default]
    Fast,
    /// [`EngineCore`]: every schedule pass, one by one.
    Stepwise,
}

/// How an engine is made.
#[derive(Clone)]
pub struct EngineSetup {
    /// Which of the two; it never changes a result.
    pub kind: EngineKind,
    /// vLLM's configuration, defaults filled in.
    pub config: EngineConfig,
    /// `num_gpu_blocks`, the null block among them.
    pub kv_blocks: Blocks,
    /// How long steps take.
    pub step_time: Arc<dyn StepTimer + Send + Sync>,
    /// Fixed costs around the steps.
    pub timing: EngineTiming,
}

impl EngineSetup {
    /// A new engine.
    ///
    /// # Errors
    /// The blocks do not hold one request of the greatest length.
    pub(super) fn build(&self) -> Result<Box<dyn Engine>, Problem> {
        let (config, timer) = (self.config.clone(), Arc::clone(&self.step_time));
        Ok(match self.kind {
            EngineKind::Stepwise => Box::new(EngineCore::new(config, self.kv_blocks, timer, self.timing)?),
            EngineKind::Fast => Box::new(FastEngine::new(config, self.kv_blocks, timer, self.timing)?),
        })
    }
}

/// Delays between a client and an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPath {
    /// From the client's send until the request is in the engine's input queue: HTTP, tokenizer, IPC.
    pub input: SimDuration,
}
