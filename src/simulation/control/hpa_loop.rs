//! The HPA's loop: its controller's memory and the pace of its syncs, wherever its metrics come from.

use super::phase;
use crate::autoscaling::describe::DescribedEvent;
use crate::autoscaling::hpa::{self, Fetched, HpaSpec, HpaState, HpaStatus, Plan, Scale};
use crate::random::Streams;
use crate::units::{SimDuration, SimTime};

/// The controller's side of one HPA.
pub(super) struct HpaLoop {
    state: HpaState,
    status: HpaStatus,
    first_sync: SimTime,
}

impl HpaLoop {
    /// A controller that has not seen its HPA before; its first sync comes at a phase of its own.
    pub(super) fn new(spec: Option<&HpaSpec>, status: HpaStatus, streams: &Streams) -> Self {
        let period = spec.map_or(SimDuration::ZERO, |spec| spec.flags.sync_period);
        HpaLoop { state: HpaState::default(), status, first_sync: phase(streams, "hpa/sync-phase", period) }
    }

    /// When the first sync is due.
    pub(super) fn first_sync(&self) -> SimTime {
        self.first_sync
    }

    /// What a sync decides without any metric; `None` where it needs them.
    pub(super) fn plan(&mut self, spec: &HpaSpec, scale: Scale, now: SimTime) -> Option<hpa::Decision> {
        match hpa::plan(spec, scale, &mut self.state, now) {
            Plan::Decided(decision) => Some(*decision),
            Plan::Fetch => None,
        }
    }

    /// What it decides on the values of its metrics.
    pub(super) fn decide(
        &mut self,
        spec: &HpaSpec,
        scale: Scale,
        now: SimTime,
        values: &[Fetched],
    ) -> hpa::Decision {
        hpa::decide(spec, scale, &mut self.state, now, values)
    }

    /// The HPA's `status`.
    pub(super) fn status(&self) -> &HpaStatus {
        &self.status
    }

    /// Takes a sync over into the status, and gives its events.
    pub(super) fn observe(
        &mut self,
        spec: &HpaSpec,
        decision: &hpa::Decision,
        now: SimTime,
    ) -> Vec<DescribedEvent> {
        self.status.observe(spec, decision, now)
    }

    /// When it is due again, having waited since `now` for `queries` queries of `latency` each.
    pub(super) fn next_sync(spec: &HpaSpec, now: SimTime, latency: SimDuration, queries: u64) -> SimTime {
        let took = latency.checked_mul(queries);
        let ended = took.and_then(|took| now.checked_add(took)).unwrap_or(SimTime::HORIZON);
        spec.flags.next_sync(ended.min(SimTime::HORIZON))
    }
}
