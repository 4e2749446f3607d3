//! Who sends the requests: the workload, one request ahead of the clock, and what each source has on the way.

use super::flight::Flights;
use crate::problem::Problem;
use crate::units::SimTime;
use crate::workload::{InFlightCap, Offer, Request, Workload};

/// The clients of the service.
#[derive(Debug)]
pub(super) struct Clients {
    workload: Workload,
    next: Option<Request>,
    /// By source: its cap on requests in flight.
    caps: Vec<Option<InFlightCap>>,
    /// Requests that have come due and have no fate.
    pub(super) flights: Flights,
    /// Requests due before are not measured.
    warmup_ends: SimTime,
}

impl Clients {
    /// No request has come due.
    pub(super) fn new(workload: Workload, warmup_ends: SimTime) -> Self {
        let caps = workload.sources().iter().map(|source| source.max_in_flight.map(InFlightCap::new));
        Clients { caps: caps.collect(), next: None, flights: Flights::default(), warmup_ends, workload }
    }

    /// Asks the workload for its next request: one is pulled ahead, never more. `None` after the last.
    ///
    /// # Errors
    /// A line of a trace that cannot be read.
    pub(super) fn pull(&mut self) -> Result<Option<&Request>, Problem> {
        debug_assert!(self.next.is_none());
        self.next = self.workload.next_request()?;
        Ok(self.next.as_ref())
    }

    /// The request that was pulled comes due.
    pub(super) fn take(&mut self) -> Option<Request> {
        self.next.take()
    }

    /// When the run ends because its traces do; `None` while requests may come.
    pub(super) fn trace_end(&self) -> Option<SimTime> {
        self.workload.trace_end()
    }

    /// Whether latencies of this request count.
    pub(super) fn measures(&self, request: &Request) -> bool {
        request.sent >= self.warmup_ends
    }

    /// What the client of `source` does with a request that came due.
    pub(super) fn offer(&mut self, source: u16, request: u64) -> Offer {
        self.caps[usize::from(source)].as_mut().map_or(Offer::Send, |cap| cap.offer(request))
    }

    /// Whether the source has a cap, so that somebody may wait for the end of its requests.
    pub(super) fn is_capped(&self, source: u16) -> bool {
        self.caps[usize::from(source)].is_some()
    }

    /// A request of the source is no longer in flight: the one that it sends next, if its cap held one back.
    pub(super) fn done(&mut self, source: u16) -> Option<u64> {
        self.caps[usize::from(source)].as_mut().and_then(InFlightCap::done)
    }
}
