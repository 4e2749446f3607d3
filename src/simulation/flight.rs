//! Requests between their arrival and their fate.

use super::record::{Fate, RequestRecord};
use crate::serving::engine::Usage;
use crate::units::{SimTime, Tokens};
use crate::workload::Request;
use rustc_hash::FxHashMap;

/// The most requests that may be on their way at one time: some 3 GB of memory, and hours behind for any fleet.
pub(super) const FLIGHTS_MAX: usize = 4_000_000;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In its client's queue, held back by a cap on requests in flight.
    Capped,
    /// Held by the gateway: nothing is ready.
    Held,
    /// On its way to the pod's engine, since it was routed.
    InTransit { pod: u32, since: SimTime },
    /// In the pod's engine.
    InEngine(u32),
    /// Given up by its client at this time; the pod's engine has yet to act on it.
    GivenUp { pod: u32, at: SimTime },
    /// Answered by the pod's engine; the last token is on its way to the client.
    Answered { pod: u32, reason: &'static str, served: Served },
}

/// One request without a fate yet.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) request: Request,
    pub(super) stage: Stage,
    pub(super) sent: Option<SimTime>,
    pub(super) first_token: Option<SimTime>,
    pub(super) attempts: u32,
    pub(super) measured: bool,
}

/// What a request got and cost, as its engine knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) output_tokens: Tokens,
    pub(super) cached_tokens: Tokens,
    pub(super) preemptions: u32,
}

impl From<Usage> for Served {
    fn from(usage: Usage) -> Self {
        Served {
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            preemptions: usage.preemptions,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) fate: Fate,
    pub(super) reason: &'static str,
    /// When its client knew; `None`: the run ended before.
    pub(super) at: Option<SimTime>,
    pub(super) served: Served,
}

impl Flight {
    pub(super) fn new(request: Request, stage: Stage, measured: bool) -> Self {
        Flight { request, stage, sent: None, first_token: None, attempts: 0, measured }
    }

    /// The pod that it was routed to.
    pub(super) fn pod(&self) -> Option<u32> {
        match self.stage {
            Stage::InTransit { pod, .. }
            | Stage::InEngine(pod)
            | Stage::GivenUp { pod, .. }
            | Stage::Answered { pod, .. } => Some(pod),
            Stage::Capped | Stage::Held => None,
        }
    }

    /// The tokens of its prompt while it is with a pod that has given no token of the answer.
    pub(super) fn prefilling(&self) -> Option<Tokens> {
        let waits = matches!(self.stage, Stage::InTransit { .. } | Stage::InEngine(_));
        (waits && self.first_token.is_none()).then_some(self.request.prompt_tokens)
    }

    /// The record of this request, written at `now`.
    pub(super) fn record(&self, now: SimTime, ending: Ending) -> RequestRecord {
        let Ending { fate, reason, at, served } = ending;
        // A token that was on its way when the client gave up, its pod died or the run ended was never seen.
        let first_token = self.first_token.filter(|&seen| seen <= at.unwrap_or(now));
        RequestRecord {
            ordinal: self.request.ordinal,
            source: self.request.source,
            class: self.request.class,
            due: self.request.sent,
            sent: self.sent,
            pod: self.pod(),
            first_token,
            ended: at,
            prompt_tokens: self.request.prompt_tokens,
            output_tokens: if first_token.is_some() { served.output_tokens } else { Tokens::ZERO },
            cached_tokens: served.cached_tokens,
            preemptions: served.preemptions,
            attempts: self.attempts,
            fate,
            reason,
            measured: self.measured,
        }
    }
}

/// All flights, by request ordinal.
#[derive(Debug, Default)]
pub(super) struct Flights {
    by_ordinal: FxHashMap<u64, Flight>,
}

impl Flights {
    pub(super) fn insert(&mut self, flight: Flight) {
        self.by_ordinal.insert(flight.request.ordinal, flight);
    }
    pub(super) fn get_mut(&mut self, ordinal: u64) -> Option<&mut Flight> {
        self.by_ordinal.get_mut(&ordinal)
    }
    pub(super) fn remove(&mut self, ordinal: u64) -> Option<Flight> {
        self.by_ordinal.remove(&ordinal)
    }
    pub(super) fn len(&self) -> usize {
        self.by_ordinal.len()
    }
    /// How many flights are like this; the map's order does not matter.
    #[allow(clippy::iter_over_hash_type)] // a count has no order
    pub(super) fn count(&self, like: impl Fn(&Flight) -> bool) -> usize {
        self.by_ordinal.values().filter(|flight| like(flight)).count()
    }
    /// What is left, in order of ordinals: the map's own order never reaches output.
    pub(super) fn drain_in_order(&mut self) -> Vec<Flight> {
        let mut left: Vec<Flight> = std::mem::take(&mut self.by_ordinal).into_values().collect();
        left.sort_unstable_by_key(|flight| flight.request.ordinal);
        left
    }
}
