//! A model on its GPUs with every name resolved and every number checked: what a replica is made from.

use super::architectures::{Architecture, Dtype};
use super::by_name::Catalogue;
use super::cuda_graphs::CudaGraphs;
use super::gpus::{Gpu, Price};
use super::kv_capacity::{KvCacheSpec, check_weights};
use super::model_file::{ModelFile, RequestPath};
use super::provenance::Provenance;
use super::startup::{Startup, StartupOverlay, StartupSpec};
use super::step_time::StepTime;
use super::step_time_spec::StepTimeSpec;
use crate::problem::Problem;
use crate::serving::engine::{EngineConfig, GpuClass, ModelLimits};
use crate::units::{Blocks, Gpus};

/// A model on its GPUs, checked: from a model file by [`ModelFile::resolve`], or estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Its name.
    pub name: String,
    /// The model.
    pub architecture: Architecture,
    /// The GPU.
    pub gpu: Gpu,
    /// GPUs of a replica.
    pub tensor_parallel: u32,
    /// Format of the weights.
    pub dtype: Dtype,
    /// What a request passes before and after the engine.
    pub request_path: RequestPath,
    /// What a GPU costs.
    pub price: Price,
    /// What a careful colleague would say about its numbers: sentences for the run's warnings.
    pub warnings: Vec<String>,
    pub(super) step_time: StepTimeSpec,
    pub(super) kv_cache: KvCacheSpec,
    pub(super) startup: StartupSpec,
}

impl ModelSpec {
    /// Checks the file and looks its names up in `catalogue`.
    ///
    /// # Errors
    /// As [`ModelFile::resolve`].
    pub(super) fn new(file: &ModelFile, catalogue: &Catalogue) -> Result<ModelSpec, Problem> {
        file.check(catalogue)?;
        let gpu = catalogue.gpu(&file.gpu)?.clone();
        let architecture = catalogue.architecture(&file.architecture)?.clone();
        check_weights(&architecture, &gpu, file.tensor_parallel, file.dtype)?;
        Ok(ModelSpec {
            name: file.name.clone(),
            architecture,
            tensor_parallel: file.tensor_parallel,
            dtype: file.dtype,
            request_path: file.request_path.clone(),
            price: file.price.clone().unwrap_or_else(|| gpu.price.clone()),
            warnings: file.caution.iter().cloned().collect(),
            step_time: file.step_time.clone(),
            kv_cache: file.kv_cache.clone(),
            startup: file.startup.clone(),
            gpu,
        })
    }

    /// Where the step times come from.
    pub fn step_time_provenance(&self) -> &Provenance {
        &self.step_time.provenance
    }

    /// GPUs of a replica.
    pub fn gpus(&self) -> Gpus {
        Gpus(self.tensor_parallel)
    }

    /// The wall time of an engine's steps.
    ///
    /// # Errors
    /// None for a spec from a checked file; otherwise as [`StepTime::new`].
    pub fn step_time(&self, engine: &EngineConfig) -> Result<StepTime, Problem> {
        let graphs = CudaGraphs::of(engine, self.gpu.cuda_graph_tokens_max);
        StepTime::new(&self.step_time, graphs, engine.async_scheduling)
            .map_err(|problem| problem.under("step_time"))
    }

    /// KV-cache blocks of each GPU, vLLM's null block among them.
    ///
    /// # Errors
    /// As [`KvCacheSpec::blocks`]; the keys are those of the engine's arguments.
    pub fn kv_blocks(&self, engine: &EngineConfig) -> Result<Blocks, Problem> {
        self.kv_cache.blocks(&self.architecture, &self.gpu, self.tensor_parallel, self.dtype, engine)
    }

    /// The GPU as far as vLLM's defaults depend on it.
    pub fn gpu_class(&self) -> GpuClass {
        GpuClass { name: self.gpu.name.clone(), memory_bytes: self.gpu.memory_bytes() }
    }

    /// The model as far as vLLM's defaults depend on it.
    pub fn limits(&self) -> ModelLimits {
        ModelLimits { max_model_len: self.architecture.max_model_len }
    }

    /// How its pods start, with the phases of an experiment's `[serving.startup]` in place of the file's.
    ///
    /// # Errors
    /// As [`StartupSpec::prepare`]; the keys are relative to `serving.startup`.
    pub fn startup(&self, overlay: &StartupOverlay) -> Result<Startup, Problem> {
        self.startup.prepare(overlay, self.architecture.weight_bytes(self.dtype))
    }
}
