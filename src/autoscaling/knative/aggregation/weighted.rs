//! The average of a window in which newer samples weigh more (`pkg/autoscaler/aggregation/bucketing.go`).

use super::TimedFloat64Buckets;
use crate::units::{SimDuration, UnixMillis};

/// The exponentially weighted average over the buckets of a window: annotation `metric-aggregation-algorithm` =
/// `weighted-exponential`.
///
/// The newest bucket weighs `c`, each older one `1 - c` times the one after it. The weights are not normalised and buckets
/// that were never written count as 0, so a window that is not full yet reads too low. O(buckets) for each average.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedFloat64Buckets {
    timed: TimedFloat64Buckets,
    smoothing_coefficient: f64,
}

/// The least weight of the newest bucket: a long window would else be a plain average.
const SMOOTHING_COEFFICIENT_MIN: f64 = 0.2;

/// What the weights of a window's buckets leave to a sum of 1: `1 - weightPrecision`.
const WEIGHT_LEFT: f64 = 0.0001;

impl WeightedFloat64Buckets {
    /// An empty window; both lengths are whole milliseconds, at least one.
    pub fn new(window: SimDuration, granularity: SimDuration) -> Self {
        let timed = TimedFloat64Buckets::new(window, granularity);
        let smoothing_coefficient = smoothing_coefficient(timed.buckets.len());
        WeightedFloat64Buckets { timed, smoothing_coefficient }
    }

    /// See [`TimedFloat64Buckets::record`].
    pub fn record(&mut self, at: UnixMillis, value: f64) {
        self.timed.record(at, value);
    }

    /// See [`TimedFloat64Buckets::is_empty`].
    pub fn is_empty(&self, now: UnixMillis) -> bool {
        self.timed.is_empty(now)
    }

    /// The weighted average at `now`, not rounded. After `z` silent buckets all weights are those of `z` buckets later.
    pub fn window_average(&self, now: UnixMillis) -> f64 {
        let Some(last) = self.timed.last_write.filter(|_| !self.is_empty(now)) else { return 0.0 };
        let silent = (self.timed.index(now) - last).max(0);
        let decay = 1.0 - self.smoothing_coefficient;
        let mut weight = self.smoothing_coefficient * libm::pow(decay, silent as f64);
        let mut average = 0.0;
        for age in 0..self.timed.buckets.len() as i64 - silent {
            average += self.timed.buckets[self.timed.slot(last - age)] * weight;
            weight *= decay;
        }
        average
    }

    /// See [`TimedFloat64Buckets::resize_window`].
    pub fn resize_window(&mut self, now: UnixMillis, window: SimDuration) {
        self.timed.resize_window(now, window);
        self.smoothing_coefficient = smoothing_coefficient(self.timed.buckets.len());
    }
}

/// The weight of the newest of so many buckets.
fn smoothing_coefficient(buckets: usize) -> f64 {
    (1.0 - libm::pow(WEIGHT_LEFT, 1.0 / buckets as f64)).max(SMOOTHING_COEFFICIENT_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_samples_weigh_more_and_unwritten_ones_are_zeros() {
        let seconds = SimDuration::from_secs;
        let at = |s: i64| UnixMillis(s * 1000);
        let mut buckets = WeightedFloat64Buckets::new(seconds(60), seconds(1));
        assert_eq!(buckets.window_average(at(0)), 0.0);
        buckets.record(at(0), 10.0);
        assert_eq!(buckets.window_average(at(0)), 2.0);
        buckets.record(at(1), 5.0);
        assert!((buckets.window_average(at(1)) - (1.0 + 1.6)).abs() < 1e-12);
        assert!((buckets.window_average(at(2)) - 2.6 * 0.8).abs() < 1e-12);
        // Two buckets forget faster: 1e-4 is left after both.
        buckets.resize_window(at(1), seconds(2));
        assert!((buckets.window_average(at(1)) - (0.99 * 5.0 + 0.0099 * 10.0)).abs() < 1e-12);
        assert!(!buckets.is_empty(at(3)) && buckets.is_empty(at(4)));
    }
}
