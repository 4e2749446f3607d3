//! The client's own cap on its requests in flight.

use std::collections::BTreeSet;

/// What a source does with a request that is ready while `n` others are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapPolicy {
    /// It waits in the client, as with `vllm bench serve --max-concurrency`.
    #[default]
    Queue,
    /// It is never sent, as k6 drops iterations when its `maxVUs` are busy.
    Drop,
}

/// A cap on the requests of a source that are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxInFlight {
    /// At most this many.
    pub n: u32,
    /// What happens to one more.
    #[serde(default)]
    pub policy: CapPolicy,
}

/// What becomes of a request that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Send it now.
    Send,
    /// It waits until one that is in flight is done.
    Queued,
    /// It is never sent.
    Dropped,
}

/// The state of one source's cap. Requests are known by their ordinal and wait in its order, which is that of being ready.
///
/// ```
/// use dryscale::workload::{CapPolicy, InFlightCap, MaxInFlight, Offer};
/// let mut cap = InFlightCap::new(MaxInFlight { n: 1, policy: CapPolicy::Queue });
/// assert_eq!((cap.offer(7), cap.offer(8)), (Offer::Send, Offer::Queued));
/// assert_eq!(cap.done(), Some(8)); // 7 is done, 8 is sent
/// assert_eq!(cap.done(), None);
/// ```
#[derive(Clone, Debug)]
pub struct InFlightCap {
    cap: MaxInFlight,
    in_flight: u32,
    waiting: BTreeSet<u64>,
}

impl InFlightCap {
    /// Nothing in flight yet.
    pub fn new(cap: MaxInFlight) -> InFlightCap {
        InFlightCap { cap, in_flight: 0, waiting: BTreeSet::new() }
    }

    /// The request `ordinal` is ready. With [`Offer::Send`] it is in flight from now on.
    pub fn offer(&mut self, ordinal: u64) -> Offer {
        if self.in_flight < self.cap.n {
            self.in_flight += 1;
            return Offer::Send;
        }
        match self.cap.policy {
            CapPolicy::Queue => {
                self.waiting.insert(ordinal);
                Offer::Queued
            }
            CapPolicy::Drop => Offer::Dropped,
        }
    }

    /// A request in flight is done, whatever its fate. Returns the one to send now, which is in flight from now on.
    pub fn done(&mut self) -> Option<u64> {
        let next = self.waiting.pop_first();
        if next.is_none() {
            self.in_flight -= 1;
        }
        next
    }

    /// The client gives up on `ordinal`. True if it was waiting here: then it is gone and nothing was in flight; else its
    /// end is to be told by [`InFlightCap::done`].
    pub fn cancel(&mut self, ordinal: u64) -> bool {
        self.waiting.remove(&ordinal)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queueing_cap_sends_in_order_and_forgets_who_gave_up() {
        let mut cap = InFlightCap::new(MaxInFlight { n: 2, policy: CapPolicy::Queue });
        let offers: Vec<Offer> = (0..5).map(|ordinal| cap.offer(ordinal)).collect();
        assert_eq!(offers, [Offer::Send, Offer::Send, Offer::Queued, Offer::Queued, Offer::Queued]);
        assert!(cap.cancel(2) && !cap.cancel(2) && !cap.cancel(0));
        assert_eq!((cap.waiting(), cap.in_flight()), (2, 2));
        assert_eq!([cap.done(), cap.done(), cap.done(), cap.done()], [Some(3), Some(4), None, None]);
        assert_eq!((cap.waiting(), cap.in_flight()), (0, 0));
    }

    #[test]
    fn a_dropping_cap_drops_what_is_too_much_and_takes_the_next_when_one_is_done() {
        let mut cap = InFlightCap::new(MaxInFlight { n: 1, policy: CapPolicy::Drop });
        assert_eq!([cap.offer(0), cap.offer(1)], [Offer::Send, Offer::Dropped]);
        assert_eq!(cap.done(), None);
        assert_eq!(cap.offer(2), Offer::Send);
    }
}
