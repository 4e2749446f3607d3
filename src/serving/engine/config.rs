//! What an engine is told: vLLM's `SchedulerConfig` and `CacheConfig` after every default has been filled in.

use crate::problem::Problem;
use crate::units::{Blocks, Tokens};

/// In which order waiting requests are admitted (`--scheduling-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulingPolicy {
    /// First come, first served; the latest admitted is preempted first.
    #[default]
    Fcfs,
    /// Smaller `priority` first, then the earlier arrival; the largest priority is preempted first.
    Priority,
}

/// A complete engine configuration: made by [`EngineArgs::resolve`](super::EngineArgs::resolve), which checks it.
///
/// Fields bear the names of vLLM 0.32's `vllm/config/scheduler.py` and `vllm/config/cache.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Longest prompt plus answer, in tokens.
    pub max_model_len: Tokens,
    /// Most requests that can run at once.
    pub max_num_seqs: u32,
    /// Most requests that are admitted to run; at most `max_num_seqs`, and equal to it unless set.
    pub max_num_active_seqs: u32,
    /// Most tokens of one step.
    pub max_num_batched_tokens: Tokens,
    /// Most tokens the scheduler gives out in one step; at most `max_num_batched_tokens`, and equal to it unless set.
    pub max_num_scheduled_tokens: Tokens,
    /// Longest chunk of a prompt while other requests wait or run; 0: no limit.
    pub long_prefill_token_threshold: Tokens,
    /// Raises the threshold to a fair share of `max_num_batched_tokens`.
    pub long_prefill_token_threshold_adaptive: bool,
    /// Whether a prompt may be spread over several steps.
    pub enable_chunked_prefill: bool,
    /// Whether full blocks are kept and found again by their contents.
    pub enable_prefix_caching: bool,
    /// Tokens of one KV-cache block; at least 1.
    pub block_size: Tokens,
    /// Order of admission and of preemption.
    pub scheduling_policy: SchedulingPolicy,
    /// Share of all blocks that an admission leaves free while others run; in 0..1.
    pub watermark: f64,
    /// Whether a request is admitted only when its whole prompt fits, not just its first chunk.
    pub scheduler_reserve_full_isl: bool,
    /// Whether a step is scheduled while the one before it runs.
    pub async_scheduling: bool,
    /// Unfinished requests at which the API server answers 503; `None`: no limit.
    pub max_num_queued_reqs: Option<u32>,
    /// Prompt tokens of requests without a first token at which the API server answers 503; `None`: no limit.
    pub max_num_queued_tokens: Option<u64>,
    /// Share of the GPU's memory that the engine takes; in 0..=1.
    pub gpu_memory_utilization: f64,
    /// Bytes of KV cache per GPU, in place of what profiling would find.
    pub kv_cache_memory_bytes: Option<u64>,
    /// Number of KV-cache blocks, in place of what the memory would hold.
    pub num_gpu_blocks_override: Option<Blocks>,
}

impl EngineConfig {
    /// How many blocks `tokens` tokens fill, the last one perhaps in part.
    pub fn blocks_of(&self, tokens: Tokens) -> Blocks {
        Blocks(tokens.get().div_ceil(self.block_size.get()))
    }

    /// Whether `num_gpu_blocks` blocks, one of which is vLLM's null block, hold one request of the greatest length.
    ///
    /// # Errors
    /// A problem with `max_model_len` where they do not: vLLM then does not start
    /// (`vllm/v1/core/kv_cache_utils.py`, `check_enough_kv_cache_memory`), and a request could wait for ever.
    pub fn check_kv_blocks(&self, num_gpu_blocks: Blocks) -> Result<(), Problem> {
        let usable = num_gpu_blocks.get().saturating_sub(1);
        let needed = self.blocks_of(self.max_model_len);
        if needed.get() <= usable {
            return Ok(());
        }
        let fits = u64::from(usable) * u64::from(self.block_size.get());
        Err(Problem::key(
            "max_model_len",
            format!(
                "one request of {} tokens needs {needed} KV blocks of {} tokens, and there are {usable}",
                self.max_model_len, self.block_size
            ),
        )
        .help(match fits {
            0 => "give the engine more memory or GPUs".to_owned(),
            _ => format!("set `max_model_len` to at most {fits}, or give the engine more memory or GPUs"),
        }))
    }
}
