//! When the controller reconciles: every ten seconds, and again whenever it wrote the object's status.
//!
//! Source: `podautoscaler_controller.go` (v0.7.0): `Run` enqueues every object each `DefaultResyncInterval`; the controller
//! watches PodAutoscalers without a predicate, so each status that it writes wakes it up.

use crate::units::{SimDuration, SimTime};

/// `DefaultResyncInterval`.
pub const RESYNC_INTERVAL: SimDuration = SimDuration::from_secs(10);
/// From the end of a reconcile that wrote the status until the one that the write causes: two requests to the API server and
/// one event (assumed; of this order of magnitude in any cluster, and far below the interval).
const STATUS_EVENT: SimDuration = SimDuration::from_millis(20);

/// When the reconcile after one is due that `started`, lasted `took`, and did or did not write the status. The controller's
/// ticks come at `first_tick` and each [`RESYNC_INTERVAL`] later; one that comes while a reconcile runs is served at its end.
pub fn next_reconcile(
    first_tick: SimTime,
    started: SimTime,
    took: SimDuration,
    wrote_status: bool,
) -> SimTime {
    let ended = started + took;
    if wrote_status {
        return ended + STATUS_EVENT;
    }
    let tick = tick_after(first_tick, started);
    tick.max(ended)
}

/// The first tick after `instant`.
fn tick_after(first_tick: SimTime, instant: SimTime) -> SimTime {
    if instant < first_tick {
        return first_tick;
    }
    let since = instant.since(first_tick);
    instant + (RESYNC_INTERVAL - since.rem(RESYNC_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    fn next(started: u64, took: u64, wrote_status: bool) -> u64 {
        next_reconcile(ms(4_000), ms(started), SimDuration::from_millis(took), wrote_status).as_millis()
    }

    #[test]
    fn ticks_are_ten_seconds_apart() {
        assert_eq!(next(0, 0, false), 4_000);
        assert_eq!(next(4_000, 0, false), 14_000);
        assert_eq!(next(14_020, 7_000, false), 24_000);
    }

    #[test]
    fn a_tick_that_comes_during_a_reconcile_is_served_at_its_end() {
        assert_eq!(next(14_000, 10_000, false), 24_000);
        assert_eq!(next(14_020, 10_000, false), 24_020);
    }

    #[test]
    fn a_status_that_was_written_wakes_the_controller_up() {
        assert_eq!(next(14_000, 0, true), 14_020);
        assert_eq!(next(14_000, 7_000, true), 21_020);
    }
}
