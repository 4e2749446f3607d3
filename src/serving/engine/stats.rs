//! What the API process' `/metrics` would show of one engine: plain numbers, without names and labels.

use super::bucket_histogram::{BucketHistogram, families};
use super::config::EngineConfig;
use crate::histogram::LogHistogram;
use crate::units::{Blocks, SimDuration, Tokens};

/// The state of every metric of vLLM 0.32 that a text-generation engine without LoRA, speculative decoding and KV
/// connectors moves (`vllm/v1/metrics/loggers.py`, `PrometheusStatLogger`); fields bear the metrics' names without
/// `vllm:`.
///
/// Nothing changes but at the end of a step's update, when its outputs have been processed, and when the API server
/// refuses a request: while the engine is idle the last values stay. Under async scheduling the gauges then already
/// include the batch that has just been scheduled behind the one that ended.
///
/// `request_success{finished_reason="abort"}` stays 0 in a running server: when a client disconnects, the API process
/// forgets the request before the engine hears of it (`OutputProcessor.abort_requests`), and nothing is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// `num_requests_running`.
    pub num_requests_running: u32,
    /// `num_requests_waiting_by_reason{reason="capacity"}`.
    pub num_requests_waiting_capacity: u32,
    /// `num_requests_waiting_by_reason{reason="deferred"}`.
    pub num_requests_waiting_deferred: u32,
    /// KV-cache blocks that no request holds; `kv_cache_usage_perc` follows from it.
    pub kv_cache_free: Blocks,
    /// All KV-cache blocks but the null block.
    pub kv_cache_usable: Blocks,

    /// `prefix_cache_queries`: tokens looked up on first admission.
    pub prefix_cache_queries: u64,
    /// `prefix_cache_hits`, and `prompt_tokens_cached_by_source{source="device"}`: those found.
    pub prefix_cache_hits: u64,
    /// `num_preemptions`: each counted when the request's next output arrives.
    pub num_preemptions: u64,
    /// `prompt_tokens`: whole prompts, counted with the first token.
    pub prompt_tokens: u64,
    /// `prompt_tokens_cached`, and `prompt_tokens_by_source{source="local_cache_hit"}`: the part of `prompt_tokens`
    /// that the prefix cache held.
    pub prompt_tokens_cached: u64,
    /// `generation_tokens`.
    pub generation_tokens: u64,
    /// `request_success` by reason.
    pub request_success: RequestSuccess,
    /// `admission_rejections` by reason.
    pub admission_rejections: AdmissionRejections,

    /// `iteration_tokens_total`: for each step with outputs, its sampled tokens and the computed prompt tokens of the
    /// requests whose first token it gave. Not the size of a batch: a chunked prompt counts once, at its end.
    pub iteration_tokens: BucketHistogram<Tokens>,
    /// `time_to_first_token_seconds`.
    pub time_to_first_token: BucketHistogram<SimDuration>,
    /// `inter_token_latency_seconds`: a preemption is one long sample.
    pub inter_token_latency: BucketHistogram<SimDuration>,
    /// `request_time_per_output_token_seconds`: decode time over the tokens after the first, rounded up to the
    /// picosecond so that no sample changes its bucket; 0 for one token.
    pub request_time_per_output_token: BucketHistogram<SimDuration>,
    /// `e2e_request_latency_seconds`.
    pub e2e_request_latency: BucketHistogram<SimDuration>,
    /// `request_queue_time_seconds`: from the input queue's end to the pass that first admitted it.
    pub request_queue_time: BucketHistogram<SimDuration>,
    /// `request_prefill_time_seconds`: from that pass to the first token.
    pub request_prefill_time: BucketHistogram<SimDuration>,
    /// `request_decode_time_seconds`: from the first token to the last.
    pub request_decode_time: BucketHistogram<SimDuration>,
    /// `request_inference_time_seconds`: from the first admission to the last token.
    pub request_inference_time: BucketHistogram<SimDuration>,
    /// `request_prompt_tokens`.
    pub request_prompt_tokens: BucketHistogram<Tokens>,
    /// `request_generation_tokens`; `request_max_num_generation_tokens` is the same where every request asks for one
    /// answer.
    pub request_generation_tokens: BucketHistogram<Tokens>,
    /// `request_params_max_tokens`.
    pub request_params_max_tokens: BucketHistogram<Tokens>,
    /// `request_params_n`: 1 each.
    pub request_params_n: BucketHistogram<u32>,
    /// `request_prefill_kv_computed_tokens`: prompt tokens that were not cached.
    pub request_prefill_kv_computed_tokens: BucketHistogram<Tokens>,
    /// `request_num_preemptions`.
    pub request_num_preemptions: BucketHistogram<u32>,

    /// Not vLLM's: inter-token latencies of measured requests as their clients see them.
    pub itl: LogHistogram,
    /// Not vLLM's: scheduling passes with at least one token.
    pub steps: u64,
    /// Not vLLM's: time the GPU spent on steps that have ended.
    pub busy: SimDuration,
}

/// Finished requests by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestSuccess {
    /// `finished_reason="stop"`.
    pub stop: u64,
    /// `finished_reason="length"`.
    pub length: u64,
}

/// Requests that the API server answered with 503, by the limit that was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdmissionRejections {
    /// `reason="max_num_queued_reqs"`.
    pub max_num_queued_reqs: u64,
    /// `reason="max_num_queued_tokens"`.
    pub max_num_queued_tokens: u64,
}

impl Stats {
    /// A server that has just started, with `kv_cache_usable` blocks to use.
    pub fn new(config: &EngineConfig, kv_cache_usable: Blocks) -> Self {
        let request_tokens = || BucketHistogram::new(families::request_tokens(config.max_model_len));
        let request_latency = || BucketHistogram::new(families::request_latency());
        let inter_token_latency = || BucketHistogram::new(families::inter_token_latency());
        Stats {
            num_requests_running: 0,
            num_requests_waiting_capacity: 0,
            num_requests_waiting_deferred: 0,
            kv_cache_free: kv_cache_usable,
            kv_cache_usable,
            prefix_cache_queries: 0,
            prefix_cache_hits: 0,
            num_preemptions: 0,
            prompt_tokens: 0,
            prompt_tokens_cached: 0,
            generation_tokens: 0,
            request_success: RequestSuccess::default(),
            admission_rejections: AdmissionRejections::default(),
            iteration_tokens: BucketHistogram::new(families::iteration_tokens()),
            time_to_first_token: BucketHistogram::new(families::time_to_first_token()),
            inter_token_latency: inter_token_latency(),
            request_time_per_output_token: inter_token_latency(),
            e2e_request_latency: request_latency(),
            request_queue_time: request_latency(),
            request_prefill_time: request_latency(),
            request_decode_time: request_latency(),
            request_inference_time: request_latency(),
            request_prompt_tokens: request_tokens(),
            request_generation_tokens: request_tokens(),
            request_params_max_tokens: request_tokens(),
            request_params_n: BucketHistogram::new(families::request_params_n()),
            request_prefill_kv_computed_tokens: request_tokens(),
            request_num_preemptions: BucketHistogram::new(families::request_num_preemptions()),
            itl: LogHistogram::new(),
            steps: 0,
            busy: SimDuration::ZERO,
        }
    }

    /// `num_requests_waiting`: all that wait, the preempted and the deferred among them. What is still in the
    /// engine's input queue is in no gauge.
    pub fn num_requests_waiting(&self) -> u32 {
        self.num_requests_waiting_capacity + self.num_requests_waiting_deferred
    }

    /// `kv_cache_usage_perc`: the share of blocks that requests hold, in 0..=1. What is only remembered is free.
    pub fn kv_cache_usage_perc(&self) -> f64 {
        1.0 - f64::from(self.kv_cache_free.get()) / f64::from(self.kv_cache_usable.get())
    }

    /// `prompt_tokens_by_source{source="local_compute"}`.
    pub fn prompt_tokens_computed(&self) -> u64 {
        self.prompt_tokens - self.prompt_tokens_cached
    }
}
