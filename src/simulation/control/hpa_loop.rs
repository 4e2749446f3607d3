//! The HPA's loop: its controller's memory and the pace of its syncs, wherever its metrics come from.

use super::phase;
use crate::autoscaling::hpa::{self, Fetched, HpaSpec, HpaState, Plan, Scale};
use crate::random::Streams;
use crate::units::{SimDuration, SimTime};

/// The controller's side of one HPA.
pub(super) struct HpaLoop {
    state: HpaState,
    first_sync: SimTime,
}

impl HpaLoop {
    /// A controller that has not seen its HPA before; its first sync comes at a phase of its own.
    pub(super) fn new(spec: Option<&HpaSpec>, streams: &Streams) -> Self {
        let period = spec.map_or(SimDuration::ZERO, |spec| spec.flags.sync_period);
        HpaLoop { state: HpaState::default(), first_sync: phase(streams, "hpa/sync-phase", period) }
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

    /// When it is due again, having waited since `now` for `queries` queries of `latency` each.
    pub(super) fn next_sync(spec: &HpaSpec, now: SimTime, latency: SimDuration, queries: u64) -> SimTime {
        let took = latency.checked_mul(queries);
        let ended = took.and_then(|took| now.checked_add(took)).unwrap_or(SimTime::HORIZON);
        spec.flags.next_sync(ended.min(SimTime::HORIZON))
    }
}
