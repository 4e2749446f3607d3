//! The table of vLLM's metrics: names, labels, releases, and where each number comes from.
//!
//! Source: `vllm/v1/metrics/loggers.py` (`PrometheusStatLogger`) of 0.32 and of the releases back to 0.8.5. Names are
//! without `vllm:`; the Prometheus client adds `_total` to counters, and `_created` to counters and histograms.

use super::release::MetricsRelease;
use crate::serving::engine::{BucketHistogram, Stats};
use crate::units::{SimDuration, Tokens};

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// The first release that exposes it.
    pub(super) since: MetricsRelease,
    /// The first release that does not any more, at least not without `--show-hidden-metrics-for-version`.
    pub(super) until: Option<MetricsRelease>,
    pub(super) kind: Kind,
}

type Number = fn(&Stats) -> f64;

/// What a metric's series are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Gauge(Number),
    /// One series for each value of one more label.
    GaugeBy(&'static str, &'static [(&'static str, Number)]),
    Counter(Number),
    CounterBy(&'static str, &'static [(&'static str, Number)]),
    /// As [`Kind::CounterBy`], but of the API server, so without the label `engine`.
    ServerCounterBy(&'static str, &'static [(&'static str, Number)]),
    Histogram(for<'s> fn(&'s Stats) -> Buckets<'s>),
    /// `cache_config_info`: 1, with the settings in its labels.
    CacheConfigInfo,
}

/// A histogram by the unit that it counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Buckets<'s> {
    Seconds(&'s BucketHistogram<SimDuration>),
    Tokens(&'s BucketHistogram<Tokens>),
    Pieces(&'s BucketHistogram<u32>),
}

impl Buckets<'_> {
    /// Calls `each` with every bucket's finite bound and the samples up to it, ascending.
    pub(super) fn each(self, mut each: impl FnMut(f64, f64)) {
        let mut bucket = |(bound, count): (f64, u64)| each(bound, count as f64);
        match self {
            Buckets::Seconds(histogram) => histogram.buckets().for_each(&mut bucket),
            Buckets::Tokens(histogram) => histogram.buckets().for_each(&mut bucket),
            Buckets::Pieces(histogram) => histogram.buckets().for_each(&mut bucket),
        }
    }

    /// Samples and their sum.
    pub(super) fn count_and_sum(self) -> (f64, f64) {
        match self {
            Buckets::Seconds(histogram) => (histogram.count() as f64, histogram.sum()),
            Buckets::Tokens(histogram) => (histogram.count() as f64, histogram.sum()),
            Buckets::Pieces(histogram) => (histogram.count() as f64, histogram.sum()),
        }
    }
}

/// A number that nothing in scope moves: connectors, multimodal inputs, sleeping engines.
fn zero(_: &Stats) -> f64 {
    0.0
}
fn one(_: &Stats) -> f64 {
    1.0
}
fn kv_cache_usage_perc(stats: &Stats) -> f64 {
    stats.kv_cache_usage_perc()
}
fn prefix_cache_queries(stats: &Stats) -> f64 {
    stats.prefix_cache_queries as f64
}
fn prefix_cache_hits(stats: &Stats) -> f64 {
    stats.prefix_cache_hits as f64
}
fn inter_token_latency(stats: &Stats) -> Buckets<'_> {
    Buckets::Seconds(&stats.inter_token_latency)
}

const fn family(name: &'static str, kind: Kind) -> Family {
    Family { name, since: MetricsRelease::OLDEST, until: None, kind }
}

impl Family {
    const fn since(self, minor: u32, patch: u32) -> Self {
        Family { since: MetricsRelease::v(minor, patch), ..self }
    }
    const fn until(self, minor: u32, patch: u32) -> Self {
        Family { until: Some(MetricsRelease::v(minor, patch)), ..self }
    }

    /// Whether `release` exposes it.
    pub(super) fn exposed_by(&self, release: MetricsRelease) -> bool {
        self.since <= release && self.until.is_none_or(|until| release < until)
    }
}

/// Every metric that the simulated engine has, in the order of 0.32's page.
pub(super) const FAMILIES: &[Family] = &[
    family("num_requests_running", Kind::Gauge(|s| s.num_requests_running.into())),
    family("num_requests_waiting", Kind::Gauge(|s| s.num_requests_waiting().into())),
    family(
        "num_requests_waiting_by_reason",
        Kind::GaugeBy(
            "reason",
            &[
                ("capacity", |s| s.num_requests_waiting_capacity.into()),
                ("deferred", |s| s.num_requests_waiting_deferred.into()),
            ],
        ),
    )
    .since(20, 0),
    family(
        "engine_sleep_state",
        Kind::GaugeBy("sleep_state", &[("awake", one), ("weights_offloaded", zero), ("discard_all", zero)]),
    )
    .since(11, 2),
    family("kv_cache_usage_perc", Kind::Gauge(kv_cache_usage_perc)).since(9, 2),
    // Hidden in 0.11, gone in 0.12.
    family("gpu_cache_usage_perc", Kind::Gauge(kv_cache_usage_perc)).until(11, 0),
    family("prefix_cache_queries", Kind::Counter(prefix_cache_queries)).since(9, 2),
    family("prefix_cache_hits", Kind::Counter(prefix_cache_hits)).since(9, 2),
    family("gpu_prefix_cache_queries", Kind::Counter(prefix_cache_queries)).until(11, 0),
    family("gpu_prefix_cache_hits", Kind::Counter(prefix_cache_hits)).until(11, 0),
    family("external_prefix_cache_queries", Kind::Counter(zero)).since(11, 2),
    family("external_prefix_cache_hits", Kind::Counter(zero)).since(11, 2),
    family("mm_cache_queries", Kind::Counter(zero)).since(11, 2),
    family("mm_cache_hits", Kind::Counter(zero)).since(11, 2),
    family("num_preemptions", Kind::Counter(|s| s.num_preemptions as f64)),
    family("prompt_tokens", Kind::Counter(|s| s.prompt_tokens as f64)),
    family(
        "prompt_tokens_by_source",
        Kind::CounterBy(
            "source",
            &[
                ("local_compute", |s| s.prompt_tokens_computed() as f64),
                ("local_cache_hit", |s| s.prompt_tokens_cached as f64),
                ("external_kv_transfer", zero),
            ],
        ),
    )
    .since(16, 0),
    family("prompt_tokens_cached", Kind::Counter(|s| s.prompt_tokens_cached as f64)).since(16, 0),
    family(
        "prompt_tokens_cached_by_source",
        Kind::CounterBy(
            "source",
            &[
                ("device", prefix_cache_hits),
                ("host", zero),
                ("p2p", zero),
                ("disk", zero),
                ("external_unspecified", zero),
            ],
        ),
    )
    .since(32, 0),
    family("generation_tokens", Kind::Counter(|s| s.generation_tokens as f64)),
    // Releases before 0.32 lack the last one or two reasons; which has them first is not known, and they stay 0.
    family(
        "request_success",
        Kind::CounterBy(
            "finished_reason",
            &[
                ("stop", |s| s.request_success.stop as f64),
                ("length", |s| s.request_success.length as f64),
                ("abort", zero),
                ("error", zero),
                ("repetition", zero),
            ],
        ),
    ),
    family(
        "admission_rejections",
        Kind::ServerCounterBy(
            "reason",
            &[
                ("max_num_queued_reqs", |s| s.admission_rejections.max_num_queued_reqs as f64),
                ("max_num_queued_tokens", |s| s.admission_rejections.max_num_queued_tokens as f64),
            ],
        ),
    )
    .since(32, 0),
    family("request_prompt_tokens", Kind::Histogram(|s| Buckets::Tokens(&s.request_prompt_tokens))),
    family("request_generation_tokens", Kind::Histogram(|s| Buckets::Tokens(&s.request_generation_tokens))),
    family("iteration_tokens_total", Kind::Histogram(|s| Buckets::Tokens(&s.iteration_tokens))),
    // Every request asks for one answer, whose length is the longest of its answers.
    family(
        "request_max_num_generation_tokens",
        Kind::Histogram(|s| Buckets::Tokens(&s.request_generation_tokens)),
    ),
    family("request_params_n", Kind::Histogram(|s| Buckets::Pieces(&s.request_params_n))),
    family("request_params_max_tokens", Kind::Histogram(|s| Buckets::Tokens(&s.request_params_max_tokens))),
    family("time_to_first_token_seconds", Kind::Histogram(|s| Buckets::Seconds(&s.time_to_first_token))),
    family("inter_token_latency_seconds", Kind::Histogram(inter_token_latency)).since(10, 2),
    // Hidden in 0.12 to 0.14, gone in 0.15. The same samples under a misleading name.
    family("time_per_output_token_seconds", Kind::Histogram(inter_token_latency)).until(12, 0),
    family(
        "request_time_per_output_token_seconds",
        Kind::Histogram(|s| Buckets::Seconds(&s.request_time_per_output_token)),
    )
    .since(11, 0),
    family("e2e_request_latency_seconds", Kind::Histogram(|s| Buckets::Seconds(&s.e2e_request_latency))),
    family("request_queue_time_seconds", Kind::Histogram(|s| Buckets::Seconds(&s.request_queue_time))),
    family(
        "request_inference_time_seconds",
        Kind::Histogram(|s| Buckets::Seconds(&s.request_inference_time)),
    ),
    family("request_prefill_time_seconds", Kind::Histogram(|s| Buckets::Seconds(&s.request_prefill_time))),
    family("request_decode_time_seconds", Kind::Histogram(|s| Buckets::Seconds(&s.request_decode_time))),
    family("request_num_preemptions", Kind::Histogram(|s| Buckets::Pieces(&s.request_num_preemptions)))
        .since(30, 0),
    family(
        "request_prefill_kv_computed_tokens",
        Kind::Histogram(|s| Buckets::Tokens(&s.request_prefill_kv_computed_tokens)),
    )
    .since(13, 0),
    family("cache_config_info", Kind::CacheConfigInfo),
];

/// What took the place of metrics that are gone.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("gpu_cache_usage_perc", "kv_cache_usage_perc"),
    ("gpu_prefix_cache_queries", "prefix_cache_queries"),
    ("gpu_prefix_cache_hits", "prefix_cache_hits"),
    ("time_per_output_token_seconds", "inter_token_latency_seconds"),
];

/// Metrics of vLLM that nothing in scope produces, by how their names begin, and why.
pub(super) const NOT_SIMULATED: &[(&str, &str)] = &[
    ("lora_requests_info", "LoRA is not simulated"),
    ("spec_decode_", "speculative decoding is not simulated"),
    ("kv_block_", "`--kv-cache-metrics` is not simulated"),
    ("kv_offload_", "KV offloading is not simulated"),
    ("nixl_", "KV connectors are not simulated"),
    ("estimated_", "the FLOPs and bytes of `--enable-mfu-metrics` are not simulated"),
    ("prompt_tokens_recomputed", "only 0.16 to 0.18 had it"),
    ("corrupted_requests", "a healthy engine has none"),
    ("num_requests_swapped", "vLLM V1 never swaps; 0.11 removed V0, which did"),
    ("cpu_cache_usage_perc", "vLLM V1 never swaps; 0.11 removed V0, which did"),
    ("avg_prompt_throughput_toks_per_s", "V1 has `rate(vllm:prompt_tokens_total[…])` in its place"),
    ("avg_generation_throughput_toks_per_s", "V1 has `rate(vllm:generation_tokens_total[…])` in its place"),
];
