//! The API process' side of the outputs: what it keeps of each request, and how the metrics move.
//!
//! After `vllm/v1/engine/output_processor.py` and `vllm/v1/metrics/stats.py` (`IterationStats`) of vLLM 0.32.

use super::batch::Batch;
use super::config::EngineConfig;
use super::journal::{Journal, Latencies};
use super::kv_cache::KvCache;
use super::request::{EngineRequest, FinishReason, Output, RequestId, Usage};
use super::scheduler::{Scheduler, Slot};
use super::stats::Stats;
use super::update::TokenOutput;
use crate::progression::Progression;
use crate::units::{SimDuration, SimTime, Tokens};

/// vLLM's `RequestState` and `RequestStateStats`.
#[derive(Clone, Debug)]
pub(super) struct RequestState {
    id: RequestId,
    arrival_time: SimTime,
    queued_at: SimTime,
    scheduled_at: Option<SimTime>,
    first_token_at: SimTime,
    last_token_at: SimTime,
    prompt_tokens: u32,
    cached_tokens: u32,
    max_tokens: u32,
    generation_tokens: u32,
    preemptions: u32,
    /// Preemptions that no output has told of yet.
    untold_preemptions: u32,
    measured: bool,
}

/// Tokens of a step that are all alike, so that they are counted and not told one by one: none is a request's first or
/// last, and the one before it came with the step before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alike {
    /// How many.
    pub(super) tokens: u32,
    /// Those of measured requests.
    pub(super) measured: u32,
}

/// Turns the engine's outputs into what clients hear and into [`Stats`].
#[derive(Clone, Debug)]
pub(super) struct OutputProcessor {
    /// By the scheduler's slots.
    states: Vec<RequestState>,
    /// Prompt tokens of requests without a first token, for `max_num_queued_tokens`.
    queued_tokens: u64,
    /// When the latest step ended.
    processed_at: SimTime,
    pub(super) stats: Stats,
    journal: Journal,
}

impl OutputProcessor {
    pub(super) fn new<C: KvCache>(config: &EngineConfig, scheduler: &Scheduler<C>) -> Self {
        let stats = Stats::new(config, scheduler.usable_blocks());
        OutputProcessor {
            states: Vec::new(),
            queued_tokens: 0,
            processed_at: SimTime::ZERO,
            stats,
            journal: Journal::default(),
        }
    }

    /// Prompt tokens of the requests here that have no first token.
    pub(super) fn queued_tokens(&self) -> u64 {
        self.queued_tokens
    }

    /// The scheduler took `request` from the input queue (the `QUEUED` event).
    pub(super) fn queued(&mut self, now: SimTime, slot: Slot, request: &EngineRequest, max_tokens: Tokens) {
        let state = RequestState {
            id: request.id,
            arrival_time: request.arrival_time,
            queued_at: now,
            scheduled_at: None,
            first_token_at: now,
            last_token_at: now,
            prompt_tokens: request.prompt_tokens.get(),
            cached_tokens: 0,
            max_tokens: max_tokens.get(),
            generation_tokens: 0,
            preemptions: 0,
            untold_preemptions: 0,
            measured: request.measured,
        };
        self.queued_tokens += u64::from(state.prompt_tokens);
        match self.states.get_mut(slot.index()) {
            Some(old) => *old = state,
            // Slots are dense: a new one follows the last.
            None => self.states.push(state),
        }
    }

    /// A pass that began at `now` admitted and preempted (the `SCHEDULED` and `PREEMPTED` events).
    pub(super) fn scheduled(&mut self, now: SimTime, batch: &Batch) {
        for &(_, slot) in &batch.preempted {
            self.states[slot.index()].untold_preemptions += 1;
        }
        for admitted in batch.admitted.iter().filter(|admitted| !admitted.resumed) {
            let state = &mut self.states[admitted.slot.index()];
            state.scheduled_at = Some(now);
            state.cached_tokens = admitted.cached_tokens.get();
        }
    }

    /// A step ended at `now` with these tokens, which clients see at `visible`, and with tokens that are alike.
    pub(super) fn process(
        &mut self,
        now: SimTime,
        visible: SimTime,
        alike: Alike,
        tokens: &[TokenOutput],
        out: &mut Vec<Output>,
    ) {
        let mut computed_prompts = 0;
        let mut latencies =
            Latencies { latency: now.since(self.processed_at), all: alike.tokens, measured: alike.measured };
        self.processed_at = now;
        for token in tokens {
            let state = &mut self.states[token.slot.index()];
            state.generation_tokens += 1;
            state.preemptions += state.untold_preemptions;
            self.stats.num_preemptions += u64::from(std::mem::take(&mut state.untold_preemptions));
            if state.generation_tokens == 1 {
                state.first_token_at = now;
                self.queued_tokens -= u64::from(state.prompt_tokens);
                self.stats.prompt_tokens += u64::from(state.prompt_tokens);
                self.stats.prompt_tokens_cached += u64::from(state.cached_tokens);
                self.journal.first_token(visible.since(state.arrival_time), &mut self.stats);
                computed_prompts += state.prompt_tokens - state.cached_tokens;
                out.push(Output::FirstToken { id: state.id, at: visible });
            } else {
                let latency = now.since(state.last_token_at);
                if latency != latencies.latency {
                    self.journal.latencies(latencies, &mut self.stats);
                    latencies = Latencies { latency, ..Latencies::default() };
                }
                latencies.all += 1;
                latencies.measured += u32::from(state.measured);
            }
            state.last_token_at = now;
            if let Some(reason) = token.finish {
                self.journal.finished(state, visible, reason, &mut self.stats);
                out.push(Output::Finished { id: state.id, at: visible, reason, usage: state.usage() });
            }
        }
        self.journal.latencies(latencies, &mut self.stats);
        let all = alike.tokens + tokens.len() as u32;
        if all > 0 {
            self.stats.generation_tokens += u64::from(all);
            self.journal.iteration(Tokens(computed_prompts + all), &mut self.stats);
        }
    }

    /// A step ended at `now` with nothing but tokens that are alike.
    pub(super) fn process_alike(&mut self, now: SimTime, alike: Alike) {
        let Alike { tokens, measured } = alike;
        let latency = now.since(self.processed_at);
        self.processed_at = now;
        if tokens > 0 {
            self.journal.latencies(Latencies { latency, all: tokens, measured }, &mut self.stats);
            self.stats.generation_tokens += u64::from(tokens);
            self.journal.iteration(Tokens(tokens), &mut self.stats);
        }
    }

    /// Steps ended one after another, the last of them at `now`, each with nothing but `alike` tokens. How long they took
    /// is `progressions`, in order.
    pub(super) fn process_run(&mut self, now: SimTime, alike: Alike, progressions: &[Progression]) {
        self.processed_at = now;
        let steps = progressions.iter().map(|progression| progression.steps).sum();
        let (tokens, measured) = (u64::from(alike.tokens), u64::from(alike.measured));
        for progression in progressions {
            self.stats.inter_token_latency.observe_progression(*progression, tokens);
            self.stats.itl.record_progression(*progression, measured);
        }
        self.stats.generation_tokens += tokens * steps;
        if tokens > 0 {
            self.stats.iteration_tokens.observe_n(Tokens(alike.tokens), steps);
        }
    }

    /// The request in `slot` was counted among those alike for `tokens` tokens, the last of them in the latest step.
    pub(super) fn was_alike(&mut self, slot: Slot, tokens: u32) {
        if tokens > 0 {
            let state = &mut self.states[slot.index()];
            state.generation_tokens += tokens;
            state.last_token_at = self.processed_at;
        }
    }

    /// Everything that happened so far is in the statistics.
    pub(super) fn settle(&mut self) {
        self.journal.count(&mut self.stats);
    }

    /// What `/metrics` shows, everything being settled.
    pub(super) fn shown(&self) -> &Stats {
        debug_assert!(self.journal.is_empty(), "it was settled");
        &self.stats
    }

    /// Whether the request in `slot` counts in the summary's inter-token latencies.
    pub(super) fn is_measured(&self, slot: Slot) -> bool {
        self.states[slot.index()].measured
    }

    /// The scheduler's counts at the end of a step's update.
    pub(super) fn sample<C: KvCache>(&mut self, scheduler: &mut Scheduler<C>) {
        let stats = &mut self.stats;
        stats.num_requests_running = scheduler.num_running();
        stats.num_requests_waiting_deferred = scheduler.num_deferred();
        stats.num_requests_waiting_capacity = scheduler.num_waiting() - scheduler.num_deferred();
        stats.kv_cache_free = scheduler.free_blocks();
        let prefix_cache = scheduler.take_prefix_cache_stats();
        stats.prefix_cache_queries += prefix_cache.queries;
        stats.prefix_cache_hits += prefix_cache.hits;
    }

    /// The engine let go of the request in `slot` at `now`, as its client gave up.
    pub(super) fn aborted(&mut self, now: SimTime, slot: Slot, out: &mut Vec<Output>) {
        let state = &mut self.states[slot.index()];
        if state.generation_tokens == 0 {
            self.queued_tokens -= u64::from(state.prompt_tokens);
        }
        out.push(Output::Aborted { id: state.id, at: now, usage: state.usage() });
    }

    /// What the request in `slot`, which has not ended, got and cost so far.
    pub(super) fn usage(&self, slot: Slot) -> Usage {
        self.states[slot.index()].usage()
    }
}

impl RequestState {
    fn usage(&self) -> Usage {
        Usage {
            output_tokens: Tokens(self.generation_tokens),
            cached_tokens: Tokens(self.cached_tokens),
            preemptions: self.preemptions + self.untold_preemptions,
            queued_at: Some(self.queued_at),
            scheduled_at: self.scheduled_at,
        }
    }

    /// `IterationStats.update_from_finished_request`.
    pub(super) fn count_finished(&self, visible: SimTime, reason: FinishReason, stats: &mut Stats) {
        match reason {
            FinishReason::Stop => stats.request_success.stop += 1,
            FinishReason::Length => stats.request_success.length += 1,
        }
        // Only a request that was scheduled has a last token.
        let scheduled_at = self.scheduled_at.unwrap_or(self.queued_at);
        let decode = self.last_token_at.since(self.first_token_at);
        let intervals = u64::from(self.generation_tokens - 1).max(1);
        let per_token = SimDuration::from_ps(decode.as_ps().div_ceil(intervals));
        stats.request_time_per_output_token.observe(per_token);
        stats.e2e_request_latency.observe(visible.since(self.arrival_time));
        stats.request_queue_time.observe(scheduled_at.since(self.queued_at));
        stats.request_prefill_time.observe(self.first_token_at.since(scheduled_at));
        stats.request_decode_time.observe(decode);
        stats.request_inference_time.observe(self.last_token_at.since(scheduled_at));
        stats.request_prompt_tokens.observe(Tokens(self.prompt_tokens));
        stats.request_generation_tokens.observe(Tokens(self.generation_tokens));
        stats.request_params_max_tokens.observe(Tokens(self.max_tokens));
        stats.request_params_n.observe(1);
        stats.request_prefill_kv_computed_tokens.observe(Tokens(self.prompt_tokens - self.cached_tokens));
        stats.request_num_preemptions.observe(self.preemptions);
    }
}
