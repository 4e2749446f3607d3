//! How many KV-cache blocks a GPU's memory holds beside weights, activations and CUDA graphs.
//!
//! vLLM 0.32 (`v1/worker/gpu_worker.py`, `determine_available_memory`; `v1/core/kv_cache_utils.py`, `get_kv_cache_configs`):
//!
//! ```text
//! requested = ceil(total memory * gpu_memory_utilization)
//! available = requested - weights - activations of the profiling run - what is outside torch - CUDA graphs
//! blocks    = floor(available / bytes of a block)
//! ```

use super::architectures::{Architecture, Dtype};
use super::gpus::Gpu;
use super::provenance::Provenance;
use crate::problem::Problem;
use crate::serving::engine::EngineConfig;
use crate::units::Blocks;
use serde::Deserialize;

const GIB: f64 = (1u64 << 30) as f64;

/// The most blocks of an engine, each of which is kept: far more than any GPUs hold, few enough that a typing mistake ends
/// in a message and not in a full memory.
const BLOCKS_MAX: u32 = 10_000_000;

/// What takes memory beside weights and activations; `[kv_cache]` of a model file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvCacheSpec {
    /// Bytes of a number in the cache: 2, or 1 with an FP8 cache (vLLM's `--kv-cache-dtype fp8`).
    pub number_bytes: u32,
    /// CUDA context and libraries on each GPU, in GiB.
    pub context_gib: f64,
    /// NCCL's buffers on each GPU where there are several, in GiB.
    pub collective_gib: f64,
    /// What vLLM estimates for its CUDA graphs, in GiB.
    pub graphs_gib: f64,
    /// Where they come from.
    pub provenance: Provenance,
}

impl KvCacheSpec {
    /// Refuses what is no memory, with keys relative to `kv_cache`.
    ///
    /// # Errors
    /// A size that is negative, no number or above a TiB; numbers of another size than 1, 2 or 4 bytes.
    pub fn check(&self) -> Result<(), Problem> {
        if ![1, 2, 4].contains(&self.number_bytes) {
            return Err(Problem::key("number_bytes", format!("no number has {} bytes", self.number_bytes))
                .help("2 for bf16, 1 for an FP8 cache"));
        }
        let sizes = [
            ("context_gib", self.context_gib),
            ("collective_gib", self.collective_gib),
            ("graphs_gib", self.graphs_gib),
        ];
        for (key, gib) in sizes {
            // Written so that NaN is refused too.
            if !(0.0..=1024.0).contains(&gib) {
                return Err(
                    Problem::key(key, format!("{gib} is no size of memory")).help("in GiB, 0 to 1024")
                );
            }
        }
        self.provenance.check()
    }

    /// KV-cache blocks of each of the `tp` GPUs, vLLM's null block among them.
    ///
    /// # Errors
    /// A problem with the argument at fault: `gpu_memory_utilization` where nothing would be left for the cache or more is asked
    /// than a GPU has free; `max_model_len` where one such request would not fit, with the longest that would
    /// ([`EngineConfig::check_kv_blocks`]); what gives more blocks than can be simulated.
    pub fn blocks(
        &self,
        architecture: &Architecture,
        gpu: &Gpu,
        tp: u32,
        dtype: Dtype,
        engine: &EngineConfig,
    ) -> Result<Blocks, Problem> {
        let token_bytes = architecture.kv_bytes_per_token(tp, self.number_bytes);
        let block_bytes = u128::from(token_bytes) * u128::from(engine.block_size.get().max(1));
        let blocks = match (engine.num_gpu_blocks_override, engine.kv_cache_memory_bytes) {
            (Some(blocks), _) => blocks,
            (None, Some(bytes)) => whole(u128::from(bytes) / block_bytes),
            (None, None) => {
                let available = self.available_bytes(architecture, gpu, tp, dtype, engine)?;
                whole(u128::from(available) / block_bytes)
            }
        };
        if blocks.get() > BLOCKS_MAX {
            let (key, help) = match (engine.num_gpu_blocks_override, engine.kv_cache_memory_bytes) {
                (Some(_), _) => ("num_gpu_blocks_override", "lower it"),
                (None, Some(_)) => ("kv_cache_memory_bytes", "lower it: it is in bytes, of each GPU"),
                (None, None) => ("block_size", "raise it"),
            };
            let message = format!("the cache would have {blocks} blocks, and {BLOCKS_MAX} can be simulated");
            return Err(Problem::key(key, message).help(help));
        }
        engine.check_kv_blocks(blocks)?;
        Ok(blocks)
    }

    /// Bytes for the KV cache on each GPU.
    fn available_bytes(
        &self,
        architecture: &Architecture,
        gpu: &Gpu,
        tp: u32,
        dtype: Dtype,
        engine: &EngineConfig,
    ) -> Result<u64, Problem> {
        let key = "gpu_memory_utilization";
        let total = gpu.memory_gib * GIB;
        let requested = (total * engine.gpu_memory_utilization).ceil();
        if requested > total - self.context_gib * GIB {
            let message = format!(
                "{} of the {} has {:.2} GiB of its {:.2} GiB in use before the engine starts",
                engine.gpu_memory_utilization, gpu.name, self.context_gib, gpu.memory_gib
            );
            return Err(Problem::key(key, message).help("vLLM's default is 0.92"));
        }
        let weights = architecture.weight_bytes(dtype) as f64 / f64::from(tp);
        let collective = if tp > 1 { self.collective_gib } else { 0.0 };
        let fixed = (self.context_gib + collective + self.graphs_gib) * GIB;
        let taken = weights + fixed + activation_bytes(architecture, tp, engine);
        if taken >= requested {
            let message = format!(
                "weights, activations and CUDA graphs take {:.2} GiB of the {:.2} GiB that the engine may use on each {}: \
                 nothing is left for the KV cache",
                taken / GIB,
                requested / GIB,
                gpu.name
            );
            return Err(Problem::key(key, message)
                .help("raise it, lower `max_num_batched_tokens`, or use more or larger GPUs"));
        }
        Ok((requested - taken) as u64)
    }
}

/// The peak of the profiling run above the weights: the widest layer on `max_num_batched_tokens` tokens, or the logits of
/// `max_num_seqs` requests, which come after and reuse the memory.
///
/// The layer holds the gate and up projections (of each expert that a token passes) and three times the residual stream, at two
/// bytes. That form, [`KvCacheSpec::context_gib`] and [`KvCacheSpec::collective_gib`] reproduce five logs of vLLM 0.15 and 0.23
/// to 0.3 % of their tokens.
fn activation_bytes(architecture: &Architecture, tp: u32, engine: &EngineConfig) -> f64 {
    let experts = f64::from(architecture.moe.map_or(1, |moe| moe.top_k));
    let feed_forward = 2.0 * f64::from(architecture.intermediate) * experts / f64::from(tp);
    let layer = f64::from(engine.max_num_batched_tokens.get())
        * (feed_forward + 3.0 * f64::from(architecture.hidden))
        * 2.0;
    let logits = f64::from(engine.max_num_seqs) * f64::from(architecture.vocab) * 4.0;
    layer.max(logits)
}

fn whole(blocks: u128) -> Blocks {
    Blocks(u32::try_from(blocks).unwrap_or(u32::MAX))
}

/// Refuses a model whose weights alone do not fit its GPUs.
///
/// # Errors
/// A problem with `tensor_parallel` that names the least parallelism that would do.
pub(super) fn check_weights(
    architecture: &Architecture,
    gpu: &Gpu,
    tp: u32,
    dtype: Dtype,
) -> Result<(), Problem> {
    let weights = architecture.weight_bytes(dtype) as f64 / GIB;
    let fits = |tp: u32| weights / f64::from(tp) < gpu.memory_gib;
    if fits(tp) {
        return Ok(());
    }
    let enough = (1..=16).find(|more| fits(*more) && architecture.check_tensor_parallel(*more).is_ok());
    let message = format!(
        "the {weights:.1} GiB of weights of {} ({}) do not fit {tp} x {} of {:.1} GiB",
        architecture.publisher,
        dtype.word(),
        gpu.name,
        gpu.memory_gib
    );
    Err(Problem::key("tensor_parallel", message).help(match enough {
        Some(more) => format!("at least {more}"),
        None => "take a larger GPU".to_owned(),
    }))
}
