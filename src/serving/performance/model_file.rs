//! `models/NAME.toml`: what one replica of a model on a GPU can do.

use super::architectures::{Architecture, Dtype};
use super::by_name::{ByName, Catalogue};
use super::gpus::{Gpu, Price};
use super::kv_capacity::KvCacheSpec;
use super::model::ModelSpec;
use super::provenance::Provenance;
use super::startup::StartupSpec;
use super::step_time_spec::StepTimeSpec;
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::SimDuration;
use serde::Deserialize;

/// A model file. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name, as in `--model`: `llama-3.2-3b-a100-80gb-tp1`.
    pub name: String,
    /// What users of these numbers should be warned of.
    pub caution: Option<String>,
    /// The architecture, by its name in `models/architectures.toml` or written out.
    pub architecture: ByName<Architecture>,
    /// The GPU, by its name in `models/gpus.toml` or written out.
    pub gpu: ByName<Gpu>,
    /// GPUs of a replica (vLLM's `--tensor-parallel-size`).
    pub tensor_parallel: u32,
    /// Format of the weights.
    pub dtype: Dtype,
    /// Wall time of a step.
    pub step_time: StepTimeSpec,
    /// What a request passes before and after the engine.
    pub request_path: RequestPath,
    /// How much memory is left for the KV cache.
    pub kv_cache: KvCacheSpec,
    /// How a pod starts.
    pub startup: StartupSpec,
    /// What a GPU costs; the GPU's own price when left out.
    pub price: Option<Price>,
}

/// What a request passes before and after the engine, and what an idle engine loses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestPath {
    /// From the client until the engine's input queue: HTTP, tokenizer, IPC.
    pub input: Seconds,
    /// From the end of a step until the client sees its token: IPC, detokenizer, HTTP.
    pub output: Seconds,
    /// The first step after idle takes so much longer: CPU and GPU do not overlap there.
    pub idle_penalty: Seconds,
    /// Where they come from.
    pub provenance: Provenance,
}

impl RequestPath {
    fn check(&self) -> Result<(), Problem> {
        for (key, time) in
            [("input", self.input), ("output", self.output), ("idle_penalty", self.idle_penalty)]
        {
            if time.duration() > SimDuration::from_secs(3600) {
                return Err(Problem::key(key, format!("`{key}` is longer than an hour"))
                    .help("milliseconds are typical: \"3.4ms\""));
            }
        }
        self.provenance.check()
    }
}

impl ModelFile {
    /// Refuses what cannot be, with keys relative to the file. Names of GPU and architecture are looked up in `catalogue`.
    ///
    /// # Errors
    /// The first problem found: an unknown GPU or architecture (with the nearest names), heads that the GPUs cannot share,
    /// coefficients or distributions that are none. Whether the weights fit is for [`ModelFile::resolve`]: the step times of a
    /// file may have been measured kernel by kernel for a combination that cannot run, and still serve to estimate others.
    pub fn check(&self, catalogue: &Catalogue) -> Result<(), Problem> {
        if self.name.trim().is_empty() {
            return Err(
                Problem::key("name", "the name is empty").help("such as \"llama-3.2-3b-a100-80gb-tp1\"")
            );
        }
        catalogue.gpu(&self.gpu)?;
        catalogue.architecture(&self.architecture)?.check_tensor_parallel(self.tensor_parallel)?;
        if self.dtype == Dtype::Mxfp4 && catalogue.architecture(&self.architecture)?.moe.is_none() {
            return Err(Problem::key("dtype", "mxfp4 is a format of experts, and this model has none")
                .help("\"bf16\" or \"fp8\""));
        }
        self.step_time.check().map_err(|problem| problem.under("step_time"))?;
        self.request_path.check().map_err(|problem| problem.under("request_path"))?;
        self.kv_cache.check().map_err(|problem| problem.under("kv_cache"))?;
        self.startup.check().map_err(|problem| problem.under("startup"))?;
        if let Some(price) = &self.price {
            price.check().map_err(|problem| problem.under("price"))?;
        }
        Ok(())
    }

    /// The model with its names resolved, ready to make replicas from.
    ///
    /// # Errors
    /// As [`ModelFile::check`]; weights that do not fit the GPUs, with the least `tensor_parallel` that would do.
    pub fn resolve(&self, catalogue: &Catalogue) -> Result<ModelSpec, Problem> {
        ModelSpec::new(self, catalogue)
    }
}
