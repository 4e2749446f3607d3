//! The windows that a metric's samples are kept in (`types/metrics.go`: `TimeWindow`; `metrics/client.go`; v0.7.0).

use crate::units::{SimTime, UnixMillis};
use std::collections::BTreeMap;

/// `stableWindowDuration`, seconds.
const STABLE_WINDOW_S: i64 = 180;
/// `panicWindowDuration`, seconds.
const PANIC_WINDOW_S: i64 = 60;

/// Means over the last seconds of one metric. Both windows exist for both strategies; APA reads the stable one alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricWindows {
    stable: TimeWindow,
    panic: TimeWindow,
}

impl MetricWindows {
    /// Windows without a sample.
    pub(super) fn new() -> Self {
        MetricWindows { stable: TimeWindow::new(STABLE_WINDOW_S), panic: TimeWindow::new(PANIC_WINDOW_S) }
    }

    /// Stores a sample of `now`, in a run that began at `epoch`: the windows count seconds of the wall clock.
    pub(super) fn record(&mut self, epoch: UnixMillis, now: SimTime, value: f64) {
        let second = epoch.at(now).0.div_euclid(1000);
        self.stable.record(second, value);
        self.panic.record(second, value);
    }

    /// Mean of the stable window; 0 as long as there was no sample at all.
    pub(super) fn stable(&self) -> f64 {
        self.stable.mean()
    }

    /// Mean of the panic window.
    pub(super) fn panic(&self) -> f64 {
        self.panic.mean()
    }
}

/// Samples by whole second. What is too old goes only when a new sample comes, so that silence freezes the mean.
#[derive(Clone, Debug, PartialEq)]
struct TimeWindow {
    duration_s: i64,
    buckets: BTreeMap<i64, f64>,
}

impl TimeWindow {
    fn new(duration_s: i64) -> Self {
        TimeWindow { duration_s, buckets: BTreeMap::new() }
    }

    /// A second sample in one second replaces the first. The bucket exactly one window ago stays.
    fn record(&mut self, second: i64, value: f64) {
        self.buckets.insert(second, value);
        self.buckets = self.buckets.split_off(&(second - self.duration_s));
    }

    /// Summed from the oldest to the newest, as upstream, so that the last bits are the same.
    fn mean(&self) -> f64 {
        if self.buckets.is_empty() {
            return 0.0;
        }
        self.buckets.values().sum::<f64>() / self.buckets.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimDuration;

    fn at(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    #[test]
    fn the_last_sample_of_a_second_counts_and_seconds_are_the_wall_clocks() {
        let mut windows = MetricWindows::new();
        let epoch = UnixMillis(1_700_000_000_600);
        windows.record(epoch, at(0), 1.0);
        windows.record(epoch, at(399), 3.0);
        assert_eq!(windows.stable(), 3.0, "both lie in the second that began 600 ms before the run");
        windows.record(epoch, at(400), 5.0);
        assert_eq!((windows.stable(), windows.panic()), (4.0, 4.0));
    }

    #[test]
    fn old_buckets_go_only_when_a_sample_comes_and_the_edge_stays() {
        let mut windows = MetricWindows::new();
        let epoch = UnixMillis(0);
        windows.record(epoch, at(0), 10.0);
        assert_eq!((windows.stable(), windows.panic()), (10.0, 10.0), "however late it is");
        windows.record(epoch, at(60_999), 20.0);
        assert_eq!((windows.stable(), windows.panic()), (15.0, 15.0), "60 buckets ago is inside");
        windows.record(epoch, at(61_000), 30.0);
        assert_eq!((windows.stable(), windows.panic()), (20.0, 25.0));
        windows.record(epoch, at(181_000), 40.0);
        assert_eq!((windows.stable(), windows.panic()), (30.0, 40.0));
    }

    #[test]
    fn without_a_sample_the_mean_is_zero() {
        assert_eq!(MetricWindows::new().stable(), 0.0);
    }
}
