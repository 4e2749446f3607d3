//! vLLM's command line, as an experiment gives it, and how it becomes an [`EngineConfig`].

use super::config::{EngineConfig, SchedulingPolicy};
use super::flags;
use crate::problem::Problem;
use crate::units::{Blocks, Tokens};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

const GIB: u64 = 1 << 30;

/// What the user set of vLLM's engine arguments; what is `None` takes vLLM's own default.
///
/// Keys are vLLM 0.32's flags with `_` for `-` (`vllm/engine/arg_utils.py`, `EngineArgs`). Every other key is kept in
/// [`EngineArgs::other`] and refused by name in [`EngineArgs::resolve`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct EngineArgs {
    /// Longest prompt plus answer, in tokens; default: the model's.
    pub max_model_len: Option<u32>,
    /// Most requests that run at once; default by GPU.
    pub max_num_seqs: Option<u32>,
    /// Most requests that are admitted to run; default `max_num_seqs`.
    pub max_num_active_seqs: Option<u32>,
    /// Most tokens of one step; default by GPU.
    pub max_num_batched_tokens: Option<u32>,
    /// Most tokens the scheduler gives out in one step; default `max_num_batched_tokens`.
    pub max_num_scheduled_tokens: Option<u32>,
    /// Longest chunk of a prompt while others wait or run; default 0, no limit.
    pub long_prefill_token_threshold: Option<u32>,
    /// Raises that threshold to a fair share of the token budget; default false.
    pub long_prefill_token_threshold_adaptive: Option<bool>,
    /// Default true.
    pub enable_chunked_prefill: Option<bool>,
    /// Default true.
    pub enable_prefix_caching: Option<bool>,
    /// Tokens of a KV-cache block; default 16.
    pub block_size: Option<u32>,
    /// Default `fcfs`.
    pub scheduling_policy: Option<SchedulingPolicy>,
    /// Share of the blocks that an admission leaves free, in 0..1; default 0.
    pub watermark: Option<f64>,
    /// Whether the whole prompt must fit on admission; default true.
    pub scheduler_reserve_full_isl: Option<bool>,
    /// Default true.
    pub async_scheduling: Option<bool>,
    /// Unfinished requests at which the API server answers 503; default none.
    pub max_num_queued_reqs: Option<u32>,
    /// Prompt tokens without a first token at which the API server answers 503; default none.
    pub max_num_queued_tokens: Option<u64>,
    /// Share of the GPU's memory for the engine, in 0..=1; default 0.92.
    pub gpu_memory_utilization: Option<f64>,
    /// Bytes of KV cache per GPU, in place of profiling.
    pub kv_cache_memory_bytes: Option<u64>,
    /// Number of KV blocks, in place of what memory holds; the null block is one of them.
    pub num_gpu_blocks_override: Option<u32>,
    /// Default `balanced`; `throughput` doubles the two defaults by GPU.
    pub performance_mode: Option<PerformanceMode>,
    /// Keys that are none of the above, for [`EngineArgs::resolve`] to refuse.
    #[serde(flatten)]
    pub other: BTreeMap<String, IgnoredAny>,
}

/// vLLM's `--performance-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerformanceMode {
    /// The defaults by GPU.
    #[default]
    Balanced,
    /// The same for the scheduler; vLLM chooses kernels for latency.
    Interactivity,
    /// Twice the default `max_num_batched_tokens` and `max_num_seqs`.
    Throughput,
}

/// The GPU as far as vLLM's defaults depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuClass {
    /// Its name, such as `NVIDIA A100-SXM4-80GB`: a name with `a100` in it never counts as large.
    pub name: String,
    /// Total memory in bytes, as `torch.cuda.get_device_properties` gives it.
    pub memory_bytes: u64,
}

/// The model as far as vLLM's defaults depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLimits {
    /// The longest context that the model's own configuration allows, in tokens.
    pub max_model_len: Tokens,
}

/// The two defaults that depend on the GPU, for the OpenAI server (`EngineArgs.get_batch_defaults`).
struct BatchDefaults {
    max_num_batched_tokens: u32,
    max_num_seqs: u32,
}

impl GpuClass {
    fn batch_defaults(&self) -> BatchDefaults {
        if self.memory_bytes >= 160 * GIB {
            BatchDefaults { max_num_batched_tokens: 16384, max_num_seqs: 1024 }
        } else if self.memory_bytes >= 70 * GIB && !self.name.to_lowercase().contains("a100") {
            BatchDefaults { max_num_batched_tokens: 8192, max_num_seqs: 1024 }
        } else {
            BatchDefaults { max_num_batched_tokens: 2048, max_num_seqs: 256 }
        }
    }
}

impl EngineArgs {
    /// Fills in vLLM 0.32's defaults for its OpenAI server on `gpu` serving `model`.
    ///
    /// # Errors
    /// A problem by key: a flag that is unknown or outside what is simulated, a value out of its range, or values
    /// that vLLM refuses together (`SchedulerConfig.verify_max_model_len`). Whether `max_model_len` fits the KV cache
    /// is for [`EngineConfig::check_kv_blocks`].
    pub fn resolve(&self, gpu: &GpuClass, model: &ModelLimits) -> Result<EngineConfig, Problem> {
        if let Some(key) = self.other.keys().next() {
            return Err(flags::refusal(key));
        }
        self.check_ranges()?;
        let max_model_len = self.resolve_max_model_len(model)?;
        let enable_chunked_prefill = self.enable_chunked_prefill.unwrap_or(true);
        let (max_num_batched_tokens, max_num_seqs) =
            self.resolve_batch(&gpu.batch_defaults(), max_model_len, enable_chunked_prefill);
        let config = EngineConfig {
            max_model_len: Tokens(max_model_len),
            max_num_seqs,
            max_num_active_seqs: self.max_num_active_seqs.unwrap_or(max_num_seqs),
            max_num_batched_tokens: Tokens(max_num_batched_tokens),
            max_num_scheduled_tokens: Tokens(self.max_num_scheduled_tokens.unwrap_or(max_num_batched_tokens)),
            long_prefill_token_threshold: Tokens(self.long_prefill_token_threshold.unwrap_or(0)),
            long_prefill_token_threshold_adaptive: self
                .long_prefill_token_threshold_adaptive
                .unwrap_or(false),
            enable_chunked_prefill,
            enable_prefix_caching: self.enable_prefix_caching.unwrap_or(true),
            block_size: Tokens(self.block_size.unwrap_or(16)),
            scheduling_policy: self.scheduling_policy.unwrap_or_default(),
            watermark: self.watermark.unwrap_or(0.0),
            scheduler_reserve_full_isl: self.scheduler_reserve_full_isl.unwrap_or(true),
            async_scheduling: self.async_scheduling.unwrap_or(true),
            max_num_queued_reqs: self.max_num_queued_reqs,
            max_num_queued_tokens: self.max_num_queued_tokens,
            gpu_memory_utilization: self.gpu_memory_utilization.unwrap_or(0.92),
            kv_cache_memory_bytes: self.kv_cache_memory_bytes,
            num_gpu_blocks_override: self.num_gpu_blocks_override.map(Blocks),
        };
        check_together(&config)?;
        Ok(config)
    }

    fn resolve_max_model_len(&self, model: &ModelLimits) -> Result<u32, Problem> {
        let most = model.max_model_len.get();
        match self.max_model_len {
            Some(set) if set > most => Err(Problem::key(
                "max_model_len",
                format!("{set} is longer than the {most} tokens of the model's own configuration"),
            )
            .help(format!("at most {most}"))),
            Some(set) => Ok(set),
            None => Ok(most),
        }
    }

    /// `_set_default_max_num_seqs_and_batched_tokens_args`: only what the user left open is adjusted.
    fn resolve_batch(
        &self,
        defaults: &BatchDefaults,
        max_model_len: u32,
        chunked_prefill: bool,
    ) -> (u32, u32) {
        let scale = if self.performance_mode == Some(PerformanceMode::Throughput) { 2 } else { 1 };
        let default_seqs = defaults.max_num_seqs * scale;
        let seqs = self.max_num_seqs.unwrap_or(default_seqs);
        let batched_tokens = self.max_num_batched_tokens.unwrap_or_else(|| {
            let default = defaults.max_num_batched_tokens * scale;
            let wanted = if chunked_prefill { default } else { default.max(max_model_len) };
            wanted.min(seqs.saturating_mul(max_model_len))
        });
        (batched_tokens, self.max_num_seqs.unwrap_or_else(|| default_seqs.min(batched_tokens)))
    }

    fn check_ranges(&self) -> Result<(), Problem> {
        let at_least_one = [
            ("max_model_len", self.max_model_len),
            ("max_num_seqs", self.max_num_seqs),
            ("max_num_active_seqs", self.max_num_active_seqs),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("max_num_scheduled_tokens", self.max_num_scheduled_tokens),
            ("block_size", self.block_size),
        ];
        for (key, value) in at_least_one {
            if value == Some(0) {
                return Err(Problem::key(key, "must not be 0").help("at least 1"));
            }
            if value.is_some_and(|v| v > i32::MAX as u32) {
                return Err(Problem::key(key, "is above 2147483647").help("at most 2147483647"));
            }
        }
        if let Some(share) = self.watermark
            && !(0.0..1.0).contains(&share)
        {
            return Err(Problem::key("watermark", format!("{share} is not a share of the KV blocks"))
                .help("at least 0 and below 1, such as 0.01"));
        }
        if let Some(share) = self.gpu_memory_utilization
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(Problem::key(
                "gpu_memory_utilization",
                format!("{share} is not a share of the GPU's memory"),
            )
            .help("above 0 and at most 1; the default is 0.92"));
        }
        // The null block and at least one to use.
        if self.num_gpu_blocks_override.is_some_and(|blocks| blocks < 2) {
            return Err(Problem::key("num_gpu_blocks_override", "leaves no usable KV block")
                .help("at least 2, as vLLM keeps one block as its null block"));
        }
        Ok(())
    }
}

/// `SchedulerConfig.verify_max_model_len` of vLLM 0.32, and the one rule of `VllmConfig` beside it.
fn check_together(config: &EngineConfig) -> Result<(), Problem> {
    let EngineConfig { max_model_len, max_num_batched_tokens, max_num_scheduled_tokens, .. } = config;
    let seqs = config.max_num_seqs;
    let budgets = [
        ("max_num_batched_tokens", max_num_batched_tokens),
        ("max_num_scheduled_tokens", max_num_scheduled_tokens),
    ];
    // vLLM checks the first only; with too small a second a long prompt would wait for ever.
    if let Some((key, budget)) = budgets.into_iter().find(|(_, budget)| *budget < max_model_len)
        && !config.enable_chunked_prefill
    {
        return Err(Problem::key(
            key,
            format!(
                "{budget} tokens a step hold no prompt of `max_model_len` {max_model_len} without chunked prefill"
            ),
        )
        .help("raise it, lower `max_model_len`, or leave `enable_chunked_prefill` on"));
    }
    if max_num_batched_tokens.get() < seqs {
        return Err(Problem::key(
            "max_num_batched_tokens",
            format!("{max_num_batched_tokens} is below `max_num_seqs` {seqs}"),
        )
        .help("a step must hold one token of each running request: raise it or lower `max_num_seqs`"));
    }
    if max_num_scheduled_tokens > max_num_batched_tokens {
        return Err(Problem::key(
            "max_num_scheduled_tokens",
            format!("{max_num_scheduled_tokens} is above `max_num_batched_tokens` {max_num_batched_tokens}"),
        )
        .help(format!("at most {max_num_batched_tokens}")));
    }
    if config.max_num_active_seqs > seqs {
        return Err(Problem::key(
            "max_num_active_seqs",
            format!("{} is above `max_num_seqs` {seqs}", config.max_num_active_seqs),
        )
        .help(format!("at most {seqs}")));
    }
    if config.long_prefill_token_threshold > *max_model_len {
        return Err(Problem::key(
            "long_prefill_token_threshold",
            format!("{} is above `max_model_len` {max_model_len}", config.long_prefill_token_threshold),
        )
        .help(format!("at most {max_model_len}, or 0 for no limit")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ModelLimits = ModelLimits { max_model_len: Tokens(131_072) };

    fn gpu(name: &str, gib: f64) -> GpuClass {
        GpuClass { name: name.to_owned(), memory_bytes: (gib * GIB as f64) as u64 }
    }

    fn args(toml: &str) -> EngineArgs {
        toml::from_str(toml).expect("arguments parse")
    }

    fn refused(toml: &str) -> String {
        args(toml).resolve(&gpu("NVIDIA H100 80GB HBM3", 79.19), &MODEL).expect_err("refused").to_string()
    }

    #[test]
    fn defaults_follow_the_gpu() {
        let cases = [
            ("NVIDIA B200", 178.4, 16384, 1024),
            ("NVIDIA H200", 139.8, 8192, 1024),
            ("NVIDIA H100 80GB HBM3", 79.19, 8192, 1024),
            ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", 39.5, 2048, 256),
            ("NVIDIA A100-SXM4-80GB", 79.25, 2048, 256),
            ("NVIDIA L40S", 44.4, 2048, 256),
        ];
        for (name, gib, tokens, seqs) in cases {
            let config = EngineArgs::default().resolve(&gpu(name, gib), &MODEL).expect("defaults are valid");
            assert_eq!((config.max_num_batched_tokens.get(), config.max_num_seqs), (tokens, seqs), "{name}");
            assert_eq!(config.max_num_scheduled_tokens, config.max_num_batched_tokens);
            assert!(config.async_scheduling && config.enable_prefix_caching && config.enable_chunked_prefill);
            assert!(config.scheduler_reserve_full_isl);
            assert_eq!((config.gpu_memory_utilization, config.watermark), (0.92, 0.0));
        }
    }

    #[test]
    fn what_is_left_open_is_adjusted_to_what_is_set() {
        let h100 = gpu("NVIDIA H100 80GB HBM3", 79.19);
        let batch = |toml: &str, model: &ModelLimits| {
            let c = args(toml).resolve(&h100, model).expect("valid");
            (c.max_num_batched_tokens.get(), c.max_num_seqs)
        };
        assert_eq!(batch("max_num_seqs = 2\nmax_model_len = 1000", &MODEL), (2000, 2));
        assert_eq!(batch("max_num_batched_tokens = 512", &MODEL), (512, 512));
        assert_eq!(batch("performance_mode = 'throughput'", &MODEL), (16384, 2048));
        assert_eq!(batch("enable_chunked_prefill = false", &MODEL), (131_072, 1024));
        assert_eq!(batch("", &ModelLimits { max_model_len: Tokens(4) }), (4096, 1024));
    }

    #[test]
    fn every_refusal_names_its_key_and_a_remedy() {
        let cases = [
            ("max_num_seqs = 0", "max_num_seqs: must not be 0 (at least 1)"),
            ("max_num_batched_tokens = 100\nmax_num_seqs = 101", "is below `max_num_seqs` 101"),
            ("enable_chunked_prefill = false\nmax_num_batched_tokens = 4096", "without chunked prefill"),
            (
                "enable_chunked_prefill = false\nmax_model_len = 4096\nmax_num_scheduled_tokens = 512\nmax_num_seqs = 8",
                "max_num_scheduled_tokens: 512 tokens a step hold no prompt",
            ),
            ("max_model_len = 200000", "longer than the 131072 tokens"),
            ("max_num_active_seqs = 2000", "is above `max_num_seqs` 1024"),
            ("max_num_scheduled_tokens = 9000", "is above `max_num_batched_tokens` 8192"),
            ("long_prefill_token_threshold = 5\nmax_model_len = 4", "is above `max_model_len` 4"),
            ("watermark = 1.0", "below 1"),
            ("watermark = nan", "not a share"),
            ("gpu_memory_utilization = 0.0", "above 0"),
            ("num_gpu_blocks_override = 1", "at least 2"),
            ("block_size = 3000000000", "at most 2147483647"),
        ];
        for (toml, part) in cases {
            let message = refused(toml);
            assert!(message.contains(part) && message.contains('('), "{toml}: {message}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_no_engine_argument() {
        assert!(toml::from_str::<EngineArgs>("max_num_seqs = 'many'").is_err());
        assert!(toml::from_str::<EngineArgs>("scheduling_policy = 'lifo'").is_err());
        assert!(toml::from_str::<EngineArgs>("max_num_seqs = -1").is_err());
    }

    #[test]
    fn a_cache_too_small_for_one_request_is_refused() {
        let config = args("max_model_len = 33").resolve(&gpu("L4", 22.0), &MODEL).expect("valid arguments");
        assert_eq!(config.check_kv_blocks(Blocks(4)), Ok(()));
        let problem = config.check_kv_blocks(Blocks(3)).expect_err("33 tokens need three blocks");
        assert!(problem.to_string().contains("at most 32"), "{problem}");
    }
}
