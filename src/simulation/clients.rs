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
    caps: Vec<Option<Capped>>,
    /// Requests that have come due and have no fate.
    pub(super) flights: Flights,
    /// Requests due before are not measured.
    warmup_ends: SimTime,
}

#[derive(Debug)]
struct Capped {
    cap: InFlightCap,
    /// Requests that have ended, and that the cap still counts.
    leaving: u32,
}

impl Clients {
    /// No request has come due.
    pub(super) fn new(workload: Workload, warmup_ends: SimTime) -> Self {
        let capped = |most| Capped { cap: InFlightCap::new(most), leaving: 0 };
        let caps = workload.sources().iter().map(|source| source.max_in_flight.map(capped));
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
        let cap = self.caps[usize::from(source)].as_mut();
        cap.map_or(Offer::Send, |capped| capped.cap.offer(request))
    }

    /// A request of the source has ended. Where it has a cap, [`Clients::done`] is to be called.
    pub(super) fn leaves(&mut self, source: u16) -> bool {
        let cap = &mut self.caps[usize::from(source)];
        cap.as_mut().map(|capped| capped.leaving += 1).is_some()
    }

    /// A request that left is no longer in flight: the one that its source sends next, if its cap held one back.
    pub(super) fn done(&mut self, source: u16) -> Option<u64> {
        let capped = self.caps[usize::from(source)].as_mut()?;
        capped.leaving -= 1;
        capped.cap.done()
    }

    /// Requests that wait behind caps.
    pub(super) fn waiting(&self) -> u64 {
        self.caps.iter().flatten().map(|capped| capped.cap.waiting() as u64).sum()
    }

    /// By source with a cap: its requests in flight, without those that have ended.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (u16, u32)> {
        let capped =
            self.caps.iter().zip(0..).filter_map(|(capped, source)| Some((source, capped.as_ref()?)));
        capped.map(|(source, capped)| (source, capped.cap.in_flight() - capped.leaving))
    }
}
