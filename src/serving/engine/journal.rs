//! What happened and is not counted yet.
//!
//! Counting one finished request touches a dozen histograms, which lie all over the memory of an engine; with a thousand
//! engines, each of those places is out of the processor's caches when its turn comes. So what is to be counted is noted
//! down in a row first, and counted when somebody looks or when there is enough of it.

use super::output_processor::RequestState;
use super::request::FinishReason;
use super::stats::Stats;
use crate::units::{SimDuration, SimTime, Tokens};

/// So many notes of one kind are counted at once.
const NOTES_MAX: usize = 64;

/// Equal inter-token latencies in a row: most of a step's are, as its requests had their last token together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latencies {
    pub(super) latency: SimDuration,
    pub(super) all: u32,
    pub(super) measured: u32,
}

/// Notes of what [`Stats`] does not show yet. The order in which histograms count does not matter.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    latencies: Vec<Latencies>,
    iterations: Vec<Tokens>,
    first_tokens: Vec<SimDuration>,
    finished: Vec<(RequestState, SimTime, FinishReason)>,
}

impl Journal {
    /// Inter-token latencies of a step.
    pub(super) fn latencies(&mut self, latencies: Latencies, stats: &mut Stats) {
        if latencies.all == 0 {
            return;
        }
        self.latencies.push(latencies);
        if self.latencies.len() >= NOTES_MAX {
            self.count_latencies(stats);
        }
    }

    /// What `iteration_tokens_total` counts of a step.
    pub(super) fn iteration(&mut self, tokens: Tokens, stats: &mut Stats) {
        self.iterations.push(tokens);
        if self.iterations.len() >= NOTES_MAX {
            self.count_iterations(stats);
        }
    }

    /// A time to first token.
    pub(super) fn first_token(&mut self, ttft: SimDuration, stats: &mut Stats) {
        self.first_tokens.push(ttft);
        if self.first_tokens.len() >= NOTES_MAX {
            self.count_first_tokens(stats);
        }
    }

    /// A request has ended, which its client sees at `visible`.
    pub(super) fn finished(
        &mut self,
        state: &RequestState,
        visible: SimTime,
        reason: FinishReason,
        stats: &mut Stats,
    ) {
        self.finished.push((state.clone(), visible, reason));
        if self.finished.len() >= NOTES_MAX {
            self.count_finished(stats);
        }
    }

    /// Whether all is counted.
    pub(super) fn is_empty(&self) -> bool {
        self.latencies.is_empty()
            && self.iterations.is_empty()
            && self.first_tokens.is_empty()
            && self.finished.is_empty()
    }

    /// Counts all notes.
    pub(super) fn count(&mut self, stats: &mut Stats) {
        self.count_latencies(stats);
        self.count_iterations(stats);
        self.count_first_tokens(stats);
        self.count_finished(stats);
    }

    fn count_latencies(&mut self, stats: &mut Stats) {
        for Latencies { latency, all, measured } in self.latencies.drain(..) {
            stats.inter_token_latency.observe_n(latency, all.into());
            stats.itl.record_n(latency, measured.into());
        }
    }

    fn count_iterations(&mut self, stats: &mut Stats) {
        self.iterations.drain(..).for_each(|tokens| stats.iteration_tokens.observe(tokens));
    }

    fn count_first_tokens(&mut self, stats: &mut Stats) {
        self.first_tokens.drain(..).for_each(|ttft| stats.time_to_first_token.observe(ttft));
    }

    fn count_finished(&mut self, stats: &mut Stats) {
        for (state, visible, reason) in self.finished.drain(..) {
            state.count_finished(visible, reason, stats);
        }
    }
}
