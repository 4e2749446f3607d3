//! Histograms as the Prometheus client keeps them, over integers.

use crate::progression::Progression;
use crate::units::{SimDuration, Tokens};
use std::marker::PhantomData;
use std::sync::Arc;

/// What a [`BucketHistogram`] can count: an integer, with the unit in which it is exposed.
pub trait Measure: Copy {
    /// How many of the integer's units make one exposed unit: 10^12 for picoseconds exposed as seconds.
    const PER_EXPOSED: u64;
    /// The integer.
    fn units(self) -> u64;
}

impl Measure for SimDuration {
    const PER_EXPOSED: u64 = 1_000_000_000_000;
    fn units(self) -> u64 {
        self.as_ps()
    }
}

impl Measure for Tokens {
    const PER_EXPOSED: u64 = 1;
    fn units(self) -> u64 {
        self.get().into()
    }
}

/// A bare count, such as preemptions of one request.
impl Measure for u32 {
    const PER_EXPOSED: u64 = 1;
    fn units(self) -> u64 {
        self.into()
    }
}

/// Counts of samples in buckets with fixed upper bounds, and their exact sum.
///
/// Samples and bounds are integers (picoseconds, tokens), so counting a run of steps by solving for the bounds gives
/// the same histogram as counting step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketHistogram<T> {
    /// Upper bounds in the integer's units, inclusive, ascending.
    bounds: Arc<[u64]>,
    /// Samples in each bucket alone; the last is above every bound.
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    measure: PhantomData<T>,
}

impl<T: Measure> BucketHistogram<T> {
    /// An empty histogram with these upper bounds, ascending and in the unit of [`Measure::units`].
    pub fn new(bounds: Arc<[u64]>) -> Self {
        BucketHistogram { counts: vec![0; bounds.len() + 1], bounds, count: 0, sum: 0, measure: PhantomData }
    }

    /// Counts `value` once.
    pub fn observe(&mut self, value: T) {
        self.observe_n(value, 1);
    }

    /// Counts `value` `n` times.
    pub fn observe_n(&mut self, value: T, n: u64) {
        let units = value.units();
        self.counts[self.bounds.partition_point(|&bound| bound < units)] += n;
        self.count += n;
        self.sum += u128::from(units) * u128::from(n);
    }

    /// The buckets as they are exposed: each upper bound (`le`, in seconds or pieces) and the samples up to it. The
    /// bucket of `le="+Inf"` holds [`BucketHistogram::count`].
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (&bound, &count)| {
            *below += count;
            Some((exposed::<T>(bound.into()), *below))
        })
    }

    /// How many samples were counted (`_count`).
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds or pieces (`_sum`).
    pub fn sum(&self) -> f64 {
        exposed::<T>(self.sum)
    }
}

impl BucketHistogram<SimDuration> {
    /// Counts each duration of a progression `n` times, by solving for the bounds that it crosses.
    pub fn observe_progression(&mut self, progression: Progression, n: u64) {
        let mut counted = 0;
        while counted < progression.steps {
            let units = progression.duration(counted).units();
            let bucket = self.bounds.partition_point(|&bound| bound < units);
            let bound = self.bounds.get(bucket).copied().unwrap_or(u64::MAX);
            let up_to = progression.steps_up_to(SimDuration::from_ps(bound));
            self.counts[bucket] += (up_to - counted) * n;
            counted = up_to;
        }
        self.count += progression.steps * n;
        self.sum += progression.total_ps() * u128::from(n);
    }
}

/// Whole and fractional units apart: a sum of picoseconds has more digits than an `f64`.
fn exposed<T: Measure>(units: u128) -> f64 {
    let per = u128::from(T::PER_EXPOSED);
    (units / per) as f64 + (units % per) as f64 / per as f64
}

/// vLLM's bucket families (`vllm/v1/metrics/buckets.py` of 0.32).
pub(super) mod families {
    use crate::units::Tokens;
    use std::sync::Arc;

    const PS_PER_MS: u64 = 1_000_000_000;

    const REQUEST_LATENCY_MS: &[u64] = &[
        300, 500, 800, 1_000, 1_500, 2_000, 2_500, 5_000, 10_000, 15_000, 20_000, 30_000, 40_000, 50_000,
        60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 7_680_000,
    ];
    const TIME_TO_FIRST_TOKEN_MS: &[u64] = &[
        1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 20_000, 40_000,
        80_000, 160_000, 640_000, 2_560_000,
    ];
    const INTER_TOKEN_LATENCY_MS: &[u64] = &[
        10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 20_000,
        40_000, 80_000,
    ];
    const ITERATION_TOKENS: &[u64] = &[1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];
    const REQUEST_PARAMS_N: &[u64] = &[1, 2, 5, 10, 20];
    const REQUEST_NUM_PREEMPTIONS: &[u64] = &[1, 2, 3, 4, 5, 10, 20];

    fn in_ps(ms: &[u64]) -> Arc<[u64]> {
        ms.iter().map(|ms| ms * PS_PER_MS).collect()
    }

    /// E2E, queue, inference, prefill and decode times.
    pub(crate) fn request_latency() -> Arc<[u64]> {
        in_ps(REQUEST_LATENCY_MS)
    }
    pub(crate) fn time_to_first_token() -> Arc<[u64]> {
        in_ps(TIME_TO_FIRST_TOKEN_MS)
    }
    /// Inter-token latencies, and a request's mean of them.
    pub(crate) fn inter_token_latency() -> Arc<[u64]> {
        in_ps(INTER_TOKEN_LATENCY_MS)
    }
    pub(crate) fn iteration_tokens() -> Arc<[u64]> {
        ITERATION_TOKENS.into()
    }
    pub(crate) fn request_params_n() -> Arc<[u64]> {
        REQUEST_PARAMS_N.into()
    }
    pub(crate) fn request_num_preemptions() -> Arc<[u64]> {
        REQUEST_NUM_PREEMPTIONS.into()
    }
    /// Token counts of requests: 1, 2, 5, 10, 20, 50, ... up to `max_model_len`.
    pub(crate) fn request_tokens(max_model_len: Tokens) -> Arc<[u64]> {
        let decades = std::iter::successors(Some(1u64), |decade| decade.checked_mul(10));
        let series = decades.flat_map(|decade| [1, 2, 5].map(|mantissa| decade.saturating_mul(mantissa)));
        series.take_while(|&bound| bound <= max_model_len.get().into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sample_on_a_bound_belongs_to_its_bucket() {
        let mut h = BucketHistogram::<Tokens>::new(families::request_tokens(Tokens(10)));
        for tokens in [0, 1, 2, 3, 10, 11] {
            h.observe(Tokens(tokens));
        }
        let buckets: Vec<_> = h.buckets().collect();
        assert_eq!(buckets, [(1.0, 2), (2.0, 3), (5.0, 4), (10.0, 5)]);
        assert_eq!((h.count(), h.sum()), (6, 27.0));
    }

    proptest! {
        #[test]
        fn a_progression_counts_as_its_durations_do(
            first in 0u64..90_000, growth in prop_oneof![Just(0), 0u64..3000], steps in 0u64..200, n in 0u64..4,
        ) {
            let scale = |us: u64| SimDuration::from_ps(us * 1_000_000_000);
            let progression = Progression { first: scale(first), growth: scale(growth), steps };
            let mut at_once = BucketHistogram::<SimDuration>::new(families::inter_token_latency());
            let mut one_by_one = at_once.clone();
            at_once.observe_progression(progression, n);
            (0..steps).for_each(|i| one_by_one.observe_n(progression.duration(i), n));
            prop_assert_eq!(at_once, one_by_one);
        }
    }

    #[test]
    fn durations_are_exposed_in_seconds() {
        let mut h = BucketHistogram::<SimDuration>::new(families::inter_token_latency());
        h.observe_n(SimDuration::from_millis(25), 3);
        h.observe(SimDuration::from_ps(25_000_000_001));
        let buckets: Vec<_> = h.buckets().take(3).collect();
        assert_eq!(buckets, [(0.01, 0), (0.025, 3), (0.05, 4)]);
        assert_eq!(h.sum(), 0.100_000_000_001);
    }
}
