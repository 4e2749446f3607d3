//! Requests between their arrival and their fate.

use super::record::{Fate, RequestRecord};
use crate::serving::engine::Usage;
use crate::units::{SimTime, Tokens};
use crate::workload::Request;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

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
///
/// Requests come in order of their ordinals and mostly leave soon, so those on their way lie close together: they are
/// kept in a window that slides over the ordinals. Requests that stay while most others leave are put aside, so that
/// memory follows the number of flights and not the longest of them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Ordinal of the window's first place, which is taken unless the window is empty.
    first: u64,
    window: VecDeque<Option<Flight>>,
    /// Flights that the window has left behind.
    aside: FxHashMap<u64, Flight>,
    len: usize,
}

/// The window holds so many ordinals a flight before the eldest flights are put aside.
const WINDOW_PER_FLIGHT: usize = 4;
/// A window of this length is never too long.
const WINDOW_MIN: usize = 1024;

impl Flights {
    /// Adds a flight whose ordinal is above all before.
    pub(super) fn insert(&mut self, flight: Flight) {
        let ordinal = flight.request.ordinal;
        let end = self.first + self.window.len() as u64;
        debug_assert!(ordinal >= end || self.window.is_empty());
        if self.window.is_empty() || ordinal - end > WINDOW_MIN as u64 {
            let places = self.first..;
            let left = places.zip(self.window.drain(..)).filter_map(|(at, flight)| Some((at, flight?)));
            self.aside.extend(left);
            self.first = ordinal;
        } else {
            // Requests that were dropped never take off.
            (end..ordinal).for_each(|_| self.window.push_back(None));
        }
        self.window.push_back(Some(flight));
        self.len += 1;
        while self.window.len() > WINDOW_MIN.max(WINDOW_PER_FLIGHT * self.len) {
            if let Some(Some(flight)) = self.window.pop_front() {
                self.aside.insert(self.first, flight);
            }
            self.first += 1;
            self.drop_empty_places();
        }
    }
    pub(super) fn get_mut(&mut self, ordinal: u64) -> Option<&mut Flight> {
        match ordinal.checked_sub(self.first) {
            Some(place) if place < self.window.len() as u64 => self.window[place as usize].as_mut(),
            _ => self.aside.get_mut(&ordinal),
        }
    }
    pub(super) fn remove(&mut self, ordinal: u64) -> Option<Flight> {
        let flight = match ordinal.checked_sub(self.first) {
            Some(place) if place < self.window.len() as u64 => self.window[place as usize].take(),
            _ => self.aside.remove(&ordinal),
        };
        self.len -= usize::from(flight.is_some());
        self.drop_empty_places();
        flight
    }
    pub(super) fn len(&self) -> usize {
        self.len
    }
    /// How many flights are like this; the map's order does not matter.
    #[allow(clippy::iter_over_hash_type)] // a count has no order
    pub(super) fn count(&self, like: impl Fn(&Flight) -> bool) -> usize {
        self.aside.values().chain(self.window.iter().flatten()).filter(|flight| like(flight)).count()
    }
    /// What is left, in order of ordinals: the map's own order never reaches output.
    pub(super) fn drain_in_order(&mut self) -> Vec<Flight> {
        let Flights { window, aside, .. } = std::mem::take(self);
        let mut left: Vec<Flight> = aside.into_values().chain(window.into_iter().flatten()).collect();
        left.sort_unstable_by_key(|flight| flight.request.ordinal);
        left
    }

    fn drop_empty_places(&mut self) {
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Finish;

    fn flight(ordinal: u64) -> Flight {
        let request = Request {
            ordinal,
            source: 0,
            class: 0,
            sent: SimTime::ZERO,
            prompt_tokens: Tokens(1),
            output_tokens: Tokens(1),
            finish: Finish::Eos,
            priority: 0,
            shared: [].into(),
            timeout: None,
        };
        Flight::new(request, Stage::Held, true)
    }

    fn ordinal(flight: &Flight) -> u64 {
        flight.request.ordinal
    }

    #[test]
    fn a_request_that_stays_holds_up_no_memory() {
        let mut flights = Flights::default();
        flights.insert(flight(7));
        // Ordinals of requests that were dropped are left out.
        for at in (20..60_000).step_by(3) {
            flights.insert(flight(at));
            assert_eq!(flights.get_mut(7).map(|flight| ordinal(flight)), Some(7));
            assert_eq!(flights.remove(at).as_ref().map(ordinal), Some(at));
            assert!(flights.remove(at).is_none() && flights.get_mut(at + 1).is_none());
        }
        assert!(flights.window.len() <= WINDOW_MIN && flights.window.capacity() <= 4 * WINDOW_MIN);
        assert_eq!((flights.len(), flights.aside.len()), (1, 1));
        flights.insert(flight(60_000));
        flights.insert(flight(900_000_000_000));
        assert!(flights.window.len() == 1 && flights.get_mut(60_000).is_some());
        let left: Vec<u64> = flights.drain_in_order().iter().map(ordinal).collect();
        assert_eq!((left, flights.len()), (vec![7, 60_000, 900_000_000_000], 0));
    }

    #[test]
    fn many_flights_are_found_in_any_order() {
        let mut flights = Flights::default();
        (0..5000).for_each(|at| flights.insert(flight(at)));
        assert_eq!(flights.count(|flight| ordinal(flight).is_multiple_of(2)), 2500);
        for at in (0..5000).filter(|at| at % 10 != 3) {
            assert_eq!(flights.remove(at).as_ref().map(ordinal), Some(at));
        }
        flights.insert(flight(5000));
        assert!(!flights.aside.is_empty() && flights.count(|_| true) == 501);
        assert_eq!(flights.drain_in_order().iter().map(ordinal).collect::<Vec<_>>(), {
            let mut left: Vec<u64> = (0..500).map(|i| 10 * i + 3).collect();
            left.push(5000);
            left
        });
    }
}
