//! One fixed logarithmic histogram with integer counts, for latencies of runs of any size.
//!
//! Durations fall into 128 equal parts of each power of two of picoseconds, so a quantile read from the middle of its
//! part is within 1/256 (0.4 %) of the true one. Counts are integers, bounds are shifts: the same bytes in every engine,
//! on every machine, in any order of adding, and a run of steps can be counted by solving for the bounds.

use crate::progression::Progression;
use crate::units::SimDuration;

const PART_BITS: u32 = 7;
const PARTS: u64 = 1 << PART_BITS;

/// Counts of durations, with exact count, sum and maximum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHistogram {
    counts: Vec<u64>,
    count: u64,
    sum_ps: u128,
    max: SimDuration,
}

impl LogHistogram {
    /// The largest relative error of [`LogHistogram::quantile`].
    pub const RELATIVE_ERROR: f64 = 1.0 / (2 * PARTS) as f64;

    /// An empty histogram.
    pub fn new() -> Self {
        Self::default()
    }

    /// The part that holds `d`.
    pub fn part_of(d: SimDuration) -> usize {
        let ps = d.as_ps();
        if ps < PARTS {
            return ps as usize;
        }
        let shift = 63 - ps.leading_zeros() - PART_BITS;
        ((u64::from(shift) + 1) * PARTS + ((ps >> shift) - PARTS)) as usize
    }

    /// The smallest duration of part `part`.
    pub fn lower_bound(part: usize) -> SimDuration {
        let (part, parts) = (part as u64, PARTS);
        if part < parts {
            return SimDuration::from_ps(part);
        }
        let shift = part / parts - 1;
        SimDuration::from_ps((parts + part % parts) << shift)
    }

    /// Counts `d` once.
    pub fn record(&mut self, d: SimDuration) {
        self.record_n(d, 1);
    }

    /// Counts `d` `n` times.
    pub fn record_n(&mut self, d: SimDuration, n: u64) {
        if n == 0 {
            return;
        }
        let part = Self::part_of(d);
        if part >= self.counts.len() {
            self.counts.resize(part + 1, 0);
        }
        self.counts[part] += n;
        self.count += n;
        self.sum_ps += u128::from(d.as_ps()) * u128::from(n);
        self.max = self.max.max(d);
    }

    /// Counts each duration of a progression `n` times, by solving for the parts that it passes through.
    pub fn record_progression(&mut self, progression: Progression, n: u64) {
        let Some(last) = progression.last().filter(|_| n > 0) else { return };
        let top = Self::part_of(last);
        if top >= self.counts.len() {
            self.counts.resize(top + 1, 0);
        }
        let mut counted = 0;
        while counted < progression.steps {
            let part = Self::part_of(progression.duration(counted));
            let up_to = if part == top {
                progression.steps
            } else {
                progression.steps_up_to(Self::lower_bound(part + 1) - SimDuration::from_ps(1))
            };
            self.counts[part] += (up_to - counted) * n;
            counted = up_to;
        }
        self.count += progression.steps * n;
        self.sum_ps += progression.total_ps() * u128::from(n);
        self.max = self.max.max(last);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &LogHistogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_ps += other.sum_ps;
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact mean in seconds; `None` when nothing was counted.
    pub fn mean_secs(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ps as f64 / self.count as f64 / 1e12)
    }

    /// The exact longest; `None` when nothing was counted.
    pub fn max(&self) -> Option<SimDuration> {
        (self.count > 0).then_some(self.max)
    }

    /// The duration at quantile `q` in 0..=1 by nearest rank, to [`Self::RELATIVE_ERROR`]; `None` when nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<SimDuration> {
        if self.count == 0 {
            return None;
        }
        let rank = (libm::ceil(q * self.count as f64) as u64).clamp(1, self.count);
        let mut seen = 0;
        for (part, &n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                let (low, high) = (Self::lower_bound(part).as_ps(), Self::lower_bound(part + 1).as_ps());
                return Some(SimDuration::from_ps(low + (high - 1 - low) / 2).min(self.max));
            }
        }
        Some(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_tile_the_line() {
        let mut previous = None;
        for part in 0..3000 {
            let low = LogHistogram::lower_bound(part);
            assert_eq!(LogHistogram::part_of(low), part);
            assert!(previous.is_none_or(|p| p < low));
            if low.as_ps() > 0 {
                assert_eq!(LogHistogram::part_of(SimDuration::from_ps(low.as_ps() - 1)), part - 1);
            }
            previous = Some(low);
        }
    }

    proptest! {
        #[test]
        fn a_progression_counts_as_its_durations_do(
            first in 0u64..1_000_000, growth in prop_oneof![Just(0), 0u64..100_000], steps in 0u64..200, n in 0u64..4,
        ) {
            let first = SimDuration::from_ps(first);
            let progression = Progression { first, growth: SimDuration::from_ps(growth), steps };
            let (mut at_once, mut one_by_one) = (LogHistogram::new(), LogHistogram::new());
            at_once.record_progression(progression, n);
            (0..steps).for_each(|i| one_by_one.record_n(progression.duration(i), n));
            prop_assert_eq!(at_once, one_by_one);
        }
    }

    #[test]
    fn quantiles_are_within_the_stated_error() {
        let mut h = LogHistogram::new();
        for ms in 1..=1000 {
            h.record(SimDuration::from_millis(ms));
        }
        for q in [0.01, 0.5, 0.95, 0.99] {
            let got = h.quantile(q).expect("not empty").as_secs_f64();
            let want = libm::ceil(q * 1000.0) / 1000.0;
            assert!((got - want).abs() / want <= LogHistogram::RELATIVE_ERROR, "q {q}: {got} for {want}");
        }
        assert_eq!(h.max(), Some(SimDuration::from_secs(1)));
        assert_eq!(h.mean_secs(), Some(0.5005));
    }

    #[test]
    fn merging_is_the_same_as_recording_together() {
        let (mut a, mut b, mut both) = (LogHistogram::new(), LogHistogram::new(), LogHistogram::new());
        for (i, ms) in [3u64, 900, 17, 17, 250_000].into_iter().enumerate() {
            let d = SimDuration::from_millis(ms);
            if i % 2 == 0 {
                a.record(d)
            } else {
                b.record(d)
            }
            both.record(d);
        }
        a.merge(&b);
        assert_eq!(a, both);
    }
}
