//! Engine arguments that are refused, each with its reason and what to do instead.

use crate::nearest::nearest;
use crate::problem::Problem;

/// The keys that [`EngineArgs`](super::EngineArgs) takes.
const ACCEPTED: &[&str] = &[
    "max_model_len",
    "max_num_seqs",
    "max_num_active_seqs",
    "max_num_batched_tokens",
    "max_num_scheduled_tokens",
    "long_prefill_token_threshold",
    "long_prefill_token_threshold_adaptive",
    "enable_chunked_prefill",
    "enable_prefix_caching",
    "block_size",
    "scheduling_policy",
    "watermark",
    "scheduler_reserve_full_isl",
    "async_scheduling",
    "max_num_queued_reqs",
    "max_num_queued_tokens",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "num_gpu_blocks_override",
    "performance_mode",
];

/// One family of flags that vLLM has and the simulated engine has not.
struct Family {
    /// Names; one that ends in `*` stands for all that begin so.
    names: &'static [&'static str],
    /// What they ask for.
    what: &'static str,
    /// What to do instead.
    remedy: &'static str,
}

const OUT_OF_SCOPE: &[Family] = &[
    Family {
        names: &[
            "enable_lora",
            "max_loras",
            "max_lora_*",
            "max_cpu_loras",
            "lora_*",
            "fully_sharded_loras",
            "default_mm_loras",
            "enable_tower_connector_lora",
            "specialize_active_lora",
            "enable_moe_shared_loras",
            "enable_mixed_moe_lora_format",
        ],
        what: "LoRA adapters are not simulated",
        remedy: "remove it, and give a merged adapter a model file of its own",
    },
    Family {
        names: &["speculative_config", "spec_*", "per_request_spec_decode_metrics", "num_speculative_tokens"],
        what: "speculative decoding is not simulated",
        remedy: "remove it",
    },
    Family {
        names: &["pipeline_parallel_size", "nnodes", "node_rank", "master_addr", "master_port"],
        what: "pipeline parallelism is not simulated",
        remedy: "remove it, and use a model file with more tensor parallelism",
    },
    Family {
        names: &[
            "data_parallel_*",
            "enable_expert_parallel",
            "enable_eplb",
            "eplb_config",
            "enable_dbo",
            "dbo_*",
            "all2all_backend",
            "prefill_schedule_interval",
            "dp_sync_interval",
            "enable_elastic_ep",
        ],
        what: "data and expert parallelism inside one engine are not simulated",
        remedy: "remove it, and use replicas",
    },
    Family {
        names: &["decode_context_parallel_size", "prefill_context_parallel_size", "dcp_*", "cp_*"],
        what: "context parallelism is not simulated",
        remedy: "remove it",
    },
    Family {
        names: &[
            "kv_transfer_config",
            "kv_offloading_*",
            "kv_events_config",
            "ec_transfer_config",
            "cpu_offload_*",
            "offload_*",
            "swap_space",
        ],
        what: "KV connectors and offloading are not simulated",
        remedy: "remove it",
    },
    Family {
        names: &[
            "disable_sliding_window",
            "disable_hybrid_kv_cache_manager",
            "swa_bounded_replay",
            "prefix_match_unit",
            "prefix_cache_retention_interval",
            "mamba_*",
            "enable_mamba_*",
        ],
        what: "sliding-window and hybrid KV caches are not simulated; every layer attends to the whole context",
        remedy: "remove it",
    },
    Family {
        names: &[
            "limit_mm_per_prompt",
            "mm_*",
            "disable_chunked_mm_input",
            "enable_mm_embeds",
            "video_*",
            "skip_mm_profiling",
            "language_model_only",
            "media_io_kwargs",
        ],
        what: "only text requests are simulated",
        remedy: "remove it",
    },
    Family {
        names: &[
            "model",
            "tensor_parallel_size",
            "dtype",
            "quantization",
            "kv_cache_dtype",
            "enforce_eager",
            "compilation_config",
            "cudagraph_*",
            "max_cudagraph_capture_size",
            "attention_backend",
            "optimization_level",
            "hf_overrides",
            "load_format",
        ],
        what: "the model file fixes it",
        remedy: "remove it, and choose a model file that was measured so",
    },
    Family {
        names: &[
            "scheduler_cls",
            "scheduler_delay_factor",
            "num_scheduler_steps",
            "preemption_mode",
            "max_num_partial_prefills",
            "max_long_partial_prefills",
            "max_seq_len_to_capture",
            "use_v2_block_manager",
            "disable_async_output_proc",
            "num_lookahead_slots",
        ],
        what: "the V1 scheduler of vLLM 0.32 has no such setting, or a scheduler of your own behind it",
        remedy: "remove it",
    },
    Family {
        names: &["stream_interval"],
        what: "every token is streamed as it is made",
        remedy: "remove it",
    },
    Family {
        names: &["served_model_name"],
        what: "the name in the metrics is not an engine argument here",
        remedy: "use `--served-model-name` or the experiment's `[target]`",
    },
];

/// Why `key` is no argument of the simulated engine, and what would be right.
pub(super) fn refusal(key: &str) -> Problem {
    let name = key.trim_start_matches('-').replace('-', "_");
    if name != key && ACCEPTED.contains(&name.as_str()) {
        return Problem::key(key, "engine arguments are written with `_`").help(format!("write `{name}`"));
    }
    if let Some(positive) = name.strip_prefix("no_").filter(|positive| ACCEPTED.contains(positive)) {
        return Problem::key(key, "a flag is switched off by its value")
            .help(format!("write `{positive} = false`"));
    }
    if let Some(family) = OUT_OF_SCOPE.iter().find(|family| family.contains(&name)) {
        return Problem::key(key, family.what).help(family.remedy);
    }
    let problem = Problem::key(key, "is not an engine argument that changes what is simulated");
    match nearest(&name, ACCEPTED.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!("remove it; those that do are {}", ACCEPTED.join(", "))),
    }
}

impl Family {
    fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::EngineArgs;
    use super::*;

    #[test]
    fn what_is_out_of_scope_is_refused_by_name_with_a_remedy() {
        let cases = [
            ("enable_lora", "LoRA"),
            ("max_lora_rank", "LoRA"),
            ("speculative_config", "speculative decoding"),
            ("pipeline_parallel_size", "pipeline parallelism"),
            ("data_parallel_size", "replicas"),
            ("kv_transfer_config", "KV connectors"),
            ("disable_sliding_window", "sliding-window"),
            ("tensor_parallel_size", "model file"),
            ("max-num-seqs", "write `max_num_seqs`"),
            ("--max-num-seqs", "write `max_num_seqs`"),
            ("no_enable_prefix_caching", "write `enable_prefix_caching = false`"),
            ("max_num_sequences", "did you mean `max_num_seqs`?"),
            ("gpu_memory_utilisation", "did you mean `gpu_memory_utilization`?"),
            ("colour", "remove it; those that do are max_model_len"),
        ];
        for (key, part) in cases {
            let message = refusal(key).to_string();
            assert!(message.starts_with(&format!("{key}: ")) && message.contains(part), "{message}");
        }
    }

    #[test]
    fn accepted_keys_are_those_of_the_arguments() {
        for key in ACCEPTED {
            // A table fits no argument: an accepted key fails on its type, any other lands in `other`.
            let parsed = toml::from_str::<EngineArgs>(&format!("[{key}]"));
            assert!(parsed.is_err(), "{key} is no field of EngineArgs");
        }
        let fields = format!("{:?}", EngineArgs::default()).matches(": None").count();
        assert_eq!(ACCEPTED.len(), fields, "a field of EngineArgs is not among the accepted keys");
    }
}
