//! The maximum of a window, which delays scaling down (`pkg/autoscaler/aggregation/max`).

use crate::units::{Replicas, SimDuration, UnixMillis};
use std::collections::VecDeque;

/// The largest of the sizes that were recorded in the last `duration`, counted in buckets of `granularity` by whole seconds
/// of Unix time.
///
/// Several sizes in one bucket count as their largest. [`record`](Self::record) is O(1) on average: entries that a newer
/// and larger one outlives are dropped, so the front is the maximum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// Index and size, indices ascending and sizes descending.
    maxima: VecDeque<(i64, Replicas)>,
    /// Buckets of the window.
    buckets: i64,
    /// Seconds of a bucket; at least 1.
    granularity: i64,
}

impl TimeWindow {
    /// An empty window of `duration` (above zero); `granularity` is whole seconds, at least one.
    pub fn new(duration: SimDuration, granularity: SimDuration) -> Self {
        let buckets = duration.as_ps().div_ceil(granularity.as_ps().max(1)) as i64;
        let granularity = (granularity.as_millis() / 1000).max(1) as i64;
        TimeWindow { maxima: VecDeque::new(), buckets, granularity }
    }

    /// Records `size` at `at`, which may not lie before an earlier call's, and gives the largest size of the window.
    pub fn record(&mut self, at: UnixMillis, size: Replicas) -> Replicas {
        let index = at.0.div_euclid(1000).div_euclid(self.granularity);
        while self.maxima.back().is_some_and(|&(_, last)| size >= last) {
            self.maxima.pop_back();
        }
        while self.maxima.front().is_some_and(|&(first, _)| index - first >= self.buckets) {
            self.maxima.pop_front();
        }
        // What is left is larger: within one bucket it stays.
        if self.maxima.back().is_none_or(|&(last, _)| last != index) {
            self.maxima.push_back((index, size));
        }
        self.maxima.front().map_or(size, |&(_, largest)| largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_maximum_equals_a_recount(
            duration_s in 1..20_u64,
            steps in proptest::collection::vec((0..5_000_i64, 0..10_i32), 1..80),
        ) {
            let granularity = 2;
            let (duration, buckets) = (SimDuration::from_secs(duration_s), duration_s.div_ceil(2) as i64);
            let mut window = TimeWindow::new(duration, SimDuration::from_secs(granularity));
            let (mut recorded, mut now_ms) = (Vec::new(), 0);
            for (step_ms, size) in steps {
                now_ms += step_ms;
                let index = now_ms / 2000;
                recorded.push((index, size));
                let expected = recorded.iter().filter(|(at, _)| index - at < buckets).map(|(_, size)| *size).max();
                prop_assert_eq!(Some(window.record(UnixMillis(now_ms), Replicas(size)).get()), expected);
            }
        }
    }
}
