//! AIBrix's names of engine metrics, and what they are called on vLLM's `/metrics` page.
//!
//! Source: `pkg/metrics/metrics.go` (v0.7.0), the entries of engine `vllm`.

/// Gauges and counters: AIBrix's name, and the family's on the page.
const NUMBERS: [(&str, &str); 20] = [
    ("kv_cache_usage_perc", "vllm:kv_cache_usage_perc"),
    ("num_requests_running", "vllm:num_requests_running"),
    ("num_requests_waiting", "vllm:num_requests_waiting"),
    ("gpu_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    ("cpu_cache_usage_perc", "vllm:cpu_cache_usage_perc"),
    ("num_requests_swapped", "vllm:num_requests_swapped"),
    ("num_preemptions_total", "vllm:num_preemptions_total"),
    ("prompt_tokens_total", "vllm:prompt_tokens_total"),
    ("generation_tokens_total", "vllm:generation_tokens_total"),
    ("request_success_total", "vllm:num_requests_success_total"),
    ("http_requests_total", "vllm:http_requests_total"),
    ("engine_sleep_state", "vllm:engine_sleep_state"),
    ("prefix_cache_queries_total", "vllm:prefix_cache_queries_total"),
    ("prefix_cache_hits_total", "vllm:prefix_cache_hits_total"),
    ("external_prefix_cache_queries_total", "vllm:external_prefix_cache_queries_total"),
    ("external_prefix_cache_hits_total", "vllm:external_prefix_cache_hits_total"),
    ("nixl_num_failed_transfers_total", "vllm:nixl_num_failed_transfers"),
    ("nixl_num_failed_notifications_total", "vllm:nixl_num_failed_notifications"),
    ("avg_prompt_throughput_toks_per_s", "vllm:avg_prompt_throughput_toks_per_s"),
    ("avg_generation_throughput_toks_per_s", "vllm:avg_generation_throughput_toks_per_s"),
];

/// The family that AIBrix looks for on a vLLM's page where a policy says `target_metric`; of its samples it takes the
/// first. `None` for what is no single number there: of a histogram, a label or a query of its own AIBrix reads 0 at all
/// times, without an error, and so it does of a name that it does not know (`pkg/metrics/types.go`, `GetSimpleValue`;
/// `podautoscaler/metrics/fetcher.go`).
pub fn engine_metric(target_metric: &str) -> Option<&'static str> {
    NUMBERS.iter().find(|(name, _)| *name == target_metric).map(|(_, family)| *family)
}

/// The names that [`engine_metric`] knows, the useful ones first.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NUMBERS.iter().map(|(name, _)| *name)
}

/// Whether the metric is a fraction of 1, whatever `perc` suggests.
pub(super) fn is_fraction(target_metric: &str) -> bool {
    target_metric.ends_with("_cache_usage_perc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn gauges_and_counters_have_a_family_and_nothing_else_has() {
        assert_eq!(engine_metric("kv_cache_usage_perc"), Some("vllm:kv_cache_usage_perc"));
        assert_eq!(engine_metric("request_success_total"), Some("vllm:num_requests_success_total"));
        for name in ["time_to_first_token_seconds", "p95_ttft_5m", "vllm:num_requests_waiting", "cpu", ""] {
            assert_eq!(engine_metric(name), None, "{name}");
        }
        assert_eq!(names().collect::<BTreeSet<_>>().len(), NUMBERS.len());
    }
}
