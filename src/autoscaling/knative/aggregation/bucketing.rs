//! The linear average of a window, in buckets (`pkg/autoscaler/aggregation/bucketing.go`).

use crate::units::{SimDuration, UnixMillis};

/// Samples of the last `window`, summed up in buckets of `granularity` each, and their average.
///
/// Samples of one bucket are **summed**: with buckets of 1 s and one sample a second there is one each; two reports within
/// a second add up. Gaps between two writes count as zeros, but silence after the last write does not: old buckets
/// drop out, and the average is taken over fewer.
///
/// Upstream computes a bucket's index from whole seconds of Unix time, so a granularity should be whole seconds that divide
/// a day. [`record`](Self::record) is O(buckets passed since the last write), [`window_average`](Self::window_average)
/// O(buckets passed since), [`resize_window`](Self::resize_window) O(buckets).
#[derive(Clone, Debug, PartialEq)]
pub struct TimedFloat64Buckets {
    /// A ring: the bucket with index i is in slot i modulo its length.
    pub(super) buckets: Vec<f64>,
    /// The bucket from which on the window counts as written; `None` before the first write, and after a resize during
    /// silence.
    first_write: Option<i64>,
    /// The newest bucket that was written.
    pub(super) last_write: Option<i64>,
    /// Milliseconds of a bucket; at least 1.
    pub(super) granularity: i64,
    /// Milliseconds.
    window: i64,
    /// The sum of all buckets, kept by adding and subtracting in upstream's order: averages agree to the last digit.
    window_total: f64,
}

/// Averages are rounded to so many parts of one.
const PRECISION: f64 = 1e6;

impl TimedFloat64Buckets {
    /// An empty window; both lengths are whole milliseconds, at least one.
    pub fn new(window: SimDuration, granularity: SimDuration) -> Self {
        let (window, granularity) = (milliseconds(window), milliseconds(granularity));
        let buckets = bucket_count(window, granularity);
        TimedFloat64Buckets {
            buckets: vec![0.0; buckets],
            first_write: None,
            last_write: None,
            granularity,
            window,
            window_total: 0.0,
        }
    }

    /// Adds `value` to the bucket of `at`. `at` may lie before the last write, but what is a window older is dropped.
    pub fn record(&mut self, at: UnixMillis, value: f64) {
        let index = self.index(at);
        if self.last_write != Some(index) && !self.open(index) {
            return;
        }
        let slot = self.slot(index);
        self.buckets[slot] += value;
        self.window_total += value;
    }

    /// Makes the bucket with `index` one that can be written; false where it is too old.
    fn open(&mut self, index: i64) -> bool {
        let since_last = self.last_write.map(|last| (index - last) * self.granularity);
        if since_last.is_some_and(|since_last| since_last + self.window <= 0) {
            return false;
        }
        self.first_write = Some(self.first_write.map_or(index, |first| first.min(index)));
        match (self.last_write, since_last) {
            (Some(last), Some(since_last)) if since_last < self.window => {
                // Seconds without a sample are zeros.
                for passed in last + 1..=index {
                    let slot = self.slot(passed);
                    self.window_total -= self.buckets[slot];
                    self.buckets[slot] = 0.0;
                }
                self.last_write = Some(last.max(index));
            }
            _ => {
                self.first_write = Some(index);
                self.last_write = Some(index);
                self.buckets.fill(0.0);
                self.window_total = 0.0;
            }
        }
        true
    }

    /// The average at `now`, to six decimals: over the buckets from the first write to the last, at most those of the
    /// window that ends at `now`. 0 after a window of silence.
    pub fn window_average(&self, now: UnixMillis) -> f64 {
        let Some(last) = self.last_write else { return 0.0 };
        let index = self.index(now);
        if (index - last) * self.granularity >= self.window {
            return 0.0;
        }
        let total = (last + 1..=index)
            .fold(self.window_total, |total, passed| total - self.buckets[self.slot(passed)]);
        let in_window = self.buckets.len() as i64 - (index - last).max(0);
        let written = self.first_write.map_or(i64::MAX, |first| last - first + 1);
        round_to_precision(total / written.min(in_window) as f64)
    }

    /// Whether nothing was recorded for longer than the window.
    pub fn is_empty(&self, now: UnixMillis) -> bool {
        self.last_write.is_none_or(|last| (self.index(now) - last) * self.granularity > self.window)
    }

    /// Makes the window `window` long. The newest buckets stay, and the old window counts as having been full; after
    /// longer silence nothing stays.
    pub fn resize_window(&mut self, now: UnixMillis, window: SimDuration) {
        let window = milliseconds(window);
        if window == self.window {
            return;
        }
        let mut resized = vec![0.0; bucket_count(window, self.granularity)];
        self.window_total = 0.0;
        self.first_write = None;
        if let Some(last) = self.last_write
            && !self.is_empty(now)
        {
            let old_buckets = self.buckets.len() as i64;
            for index in (0..old_buckets.min(resized.len() as i64)).map(|age| last - age) {
                let value = self.buckets[self.slot(index)];
                let slot = slot_of(index, resized.len());
                resized[slot] = value;
                self.window_total += value;
            }
            self.first_write = Some(last - (old_buckets - 1));
        }
        self.window = window;
        self.buckets = resized;
    }

    /// The index of the bucket of `at`.
    pub(super) fn index(&self, at: UnixMillis) -> i64 {
        at.0.div_euclid(self.granularity)
    }

    /// Where the bucket with `index` is in the ring.
    pub(super) fn slot(&self, index: i64) -> usize {
        slot_of(index, self.buckets.len())
    }
}

/// Where the bucket with `index` is in a ring of `slots`.
fn slot_of(index: i64, slots: usize) -> usize {
    index.rem_euclid(slots as i64) as usize
}

/// Milliseconds of a length of time, at least one; longer ones than `i64` holds do not exist.
fn milliseconds(duration: SimDuration) -> i64 {
    (duration.as_millis() as i64).max(1)
}

/// Buckets of a window, the last one perhaps in part.
fn bucket_count(window: i64, granularity: i64) -> usize {
    (window as u64).div_ceil(granularity as u64) as usize
}

/// Half away from zero.
fn round_to_precision(value: f64) -> f64 {
    (value * PRECISION).round() / PRECISION
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: SimDuration = SimDuration::from_secs(1);

    fn window(seconds: u64) -> TimedFloat64Buckets {
        TimedFloat64Buckets::new(SimDuration::from_secs(seconds), SECOND)
    }

    fn second(s: i64) -> UnixMillis {
        UnixMillis(1_000_000_000_000 + s * 1000)
    }

    #[test]
    fn gaps_are_zeros_and_silence_is_not() {
        let mut buckets = window(5);
        assert_eq!((buckets.window_average(second(0)), buckets.is_empty(second(0))), (0.0, true));
        buckets.record(second(0), 6.0);
        buckets.record(second(2), 3.0);
        // 6, 0, 3.
        assert_eq!(buckets.window_average(second(2)), 3.0);
        assert_eq!(buckets.window_average(second(4)), 3.0);
        // The 6 has dropped out: 0, 3 in the window of four that is left.
        assert_eq!(buckets.window_average(second(5)), 1.5);
        assert_eq!((buckets.window_average(second(7)), buckets.is_empty(second(7))), (0.0, false));
        assert!(buckets.is_empty(second(8)));
    }

    #[test]
    fn late_samples_count_where_they_belong_unless_they_are_too_late() {
        let mut buckets = window(5);
        buckets.record(second(0), 4.0);
        buckets.record(second(-2), 5.0);
        assert_eq!(buckets.window_average(second(0)), 3.0);
        buckets.record(second(-5), 100.0);
        assert_eq!(buckets.window_average(second(0)), 3.0);
    }

    #[test]
    fn a_resized_window_counts_as_having_been_full() {
        let mut buckets = window(4);
        buckets.record(second(0), 8.0);
        buckets.resize_window(second(0), SimDuration::from_secs(6));
        assert_eq!(buckets.window_average(second(0)), 2.0);
        buckets.resize_window(second(0), SimDuration::from_secs(1));
        assert_eq!(buckets.window_average(second(0)), 8.0);
        // After silence nothing is left, and a sample in the last bucket averages over the whole window.
        buckets.resize_window(second(9), SimDuration::from_secs(4));
        buckets.record(second(0), 8.0);
        assert_eq!(buckets.window_average(second(0)), 2.0);
    }

    /// The average by its definition, from all samples: each second's sum, back from the last write to the first one after
    /// the last silence, as far as the window at `now` reaches.
    fn recount(samples: &[(i64, f64)], window: i64, now: i64) -> f64 {
        let Some(&(last, _)) = samples.last() else { return 0.0 };
        if now - last >= window {
            return 0.0;
        }
        let mut first = last;
        for &(at, _) in samples.iter().rev() {
            if first - at >= window {
                break;
            }
            first = at;
        }
        let first = first.max(now.max(last) - window + 1);
        let total: f64 = samples.iter().filter(|(at, _)| *at >= first).map(|(_, value)| value).sum();
        total / (last - first + 1) as f64
    }

    proptest! {
        #[test]
        fn averages_equal_a_recount(
            window_s in 1..40_i64,
            steps in proptest::collection::vec((0..50_i64, 0.0..100.0_f64, 0..50_i64), 1..60),
        ) {
            let mut buckets = window(window_s as u64);
            let (mut samples, mut now) = (Vec::new(), 0);
            for (step, value, silence) in steps {
                // Mostly a second, seldom a silence.
                now += if step < 40 { step.min(1) } else { step };
                buckets.record(second(now), value);
                samples.push((now, value));
                for at in [now, now + silence] {
                    let (got, expected) = (buckets.window_average(second(at)), recount(&samples, window_s, at));
                    prop_assert!((got - expected).abs() < 1e-6, "{got} instead of {expected} at {at}");
                    prop_assert_eq!(buckets.is_empty(second(at)), at - now > window_s);
                }
            }
        }
    }
}
