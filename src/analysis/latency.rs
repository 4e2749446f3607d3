//! Latencies of requests: exact up to a stated number of them, then counted in the fixed histogram.

use crate::histogram::LogHistogram;
use crate::simulation::record::RequestRecord;
use crate::simulation::summary::Latency;
use crate::units::SimDuration;

/// TTFT, TPOT and E2E are exact up to this many measured requests: 4.8 MB at most.
pub const EXACT_UP_TO: u64 = 200_000;

/// TTFT, TPOT and E2E of the measured requests. All three leave exactness together, by the number of requests alone,
/// so the order in which requests come never shows.
#[derive(Debug)]
pub(super) struct Latencies {
    pub(super) ttft: Samples,
    pub(super) tpot: Samples,
    pub(super) e2e: Samples,
    requests: u64,
    exact_up_to: u64,
}

impl Latencies {
    pub(super) fn new(exact_up_to: u64) -> Self {
        Latencies {
            ttft: Samples::default(),
            tpot: Samples::default(),
            e2e: Samples::default(),
            requests: 0,
            exact_up_to,
        }
    }

    pub(super) fn record(&mut self, request: &RequestRecord) {
        self.requests += 1;
        if self.requests == self.exact_up_to.saturating_add(1) {
            [&mut self.ttft, &mut self.tpot, &mut self.e2e].into_iter().for_each(Samples::count_from_now_on);
        }
        self.ttft.record(request.ttft());
        self.tpot.record(request.tpot());
        self.e2e.record(request.e2e());
    }

    pub(super) fn exact(&self) -> bool {
        self.requests <= self.exact_up_to
    }
}

/// One latency of many requests.
#[derive(Debug)]
pub(super) enum Samples {
    Exact(Vec<SimDuration>),
    Counted(LogHistogram),
}

impl Default for Samples {
    fn default() -> Self {
        Samples::Exact(Vec::new())
    }
}

impl Samples {
    fn record(&mut self, sample: Option<SimDuration>) {
        let Some(sample) = sample else { return };
        match self {
            Samples::Exact(all) => all.push(sample),
            Samples::Counted(histogram) => histogram.record(sample),
        }
    }

    fn count_from_now_on(&mut self) {
        if let Samples::Exact(all) = self {
            let mut histogram = LogHistogram::new();
            all.iter().for_each(|&sample| histogram.record(sample));
            *self = Samples::Counted(histogram);
        }
    }

    pub(super) fn latency(self) -> Latency {
        match self {
            Samples::Exact(all) => exact(all),
            Samples::Counted(histogram) => counted(&histogram),
        }
    }
}

/// Mean, nearest-rank quantiles and maximum of `all`.
fn exact(mut all: Vec<SimDuration>) -> Latency {
    let n = all.len();
    if n == 0 {
        return Latency::default();
    }
    let sum_ps: u128 = all.iter().map(|sample| u128::from(sample.as_ps())).sum();
    let max = all.iter().max().map(|longest| longest.as_secs_f64());
    // Nearest rank: the smallest sample that at least `percent` % of the samples do not exceed. In integers, because
    // 0.9 * n in floats can land on the wrong side of a whole number. Each rank is selected among those that the one before
    // left above it, which costs less than to sort them all.
    let mut ranked = 0;
    let mut quantile = |percent: usize| {
        let rank = (percent * n).div_ceil(100) - 1;
        if rank >= ranked {
            all[ranked..].select_nth_unstable(rank - ranked);
            ranked = rank + 1;
        }
        Some(all[rank].as_secs_f64())
    };
    Latency {
        mean: Some(sum_ps as f64 / n as f64 / 1e12),
        p50: quantile(50),
        p90: quantile(90),
        p95: quantile(95),
        p99: quantile(99),
        max,
    }
}

/// The same from a histogram: mean and maximum exact, quantiles to [`LogHistogram::RELATIVE_ERROR`].
pub(super) fn counted(histogram: &LogHistogram) -> Latency {
    let quantile = |q: f64| histogram.quantile(q).map(SimDuration::as_secs_f64);
    Latency {
        mean: histogram.mean_secs(),
        p50: quantile(0.50),
        p90: quantile(0.90),
        p95: quantile(0.95),
        p99: quantile(0.99),
        max: histogram.max().map(SimDuration::as_secs_f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::record::Fate;
    use crate::units::{SimTime, Tokens};

    fn of_ms(ms: impl Iterator<Item = u64>) -> Vec<SimDuration> {
        ms.map(SimDuration::from_millis).collect()
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let ten = exact(of_ms((1..=10).rev()));
        assert_eq!(
            (ten.p50, ten.p90, ten.p95, ten.p99),
            (Some(0.005), Some(0.009), Some(0.010), Some(0.010))
        );
        assert_eq!((ten.mean, ten.max), (Some(0.0055), Some(0.010)));
        let hundred = exact(of_ms(1..=100));
        assert_eq!((hundred.p95, hundred.p99), (Some(0.095), Some(0.099)));
        let one = exact(of_ms(7..=7));
        assert_eq!((one.mean, one.p50, one.p99), (Some(0.007), Some(0.007), Some(0.007)));
    }

    #[test]
    fn nothing_sampled_is_null() {
        assert_eq!(exact(Vec::new()), Latency::default());
        assert_eq!(counted(&LogHistogram::new()), Latency::default());
    }

    /// A request of so many milliseconds to its first token, and thrice that to its end.
    fn request(ms: u64) -> RequestRecord {
        let after = |ms| SimTime::ZERO + SimDuration::from_millis(ms);
        RequestRecord {
            ordinal: 0,
            source: 0,
            class: 0,
            due: SimTime::ZERO,
            sent: Some(SimTime::ZERO),
            pod: None,
            first_token: Some(after(ms)),
            ended: Some(after(3 * ms)),
            prompt_tokens: Tokens(1),
            output_tokens: Tokens(3),
            cached_tokens: Tokens(0),
            preemptions: 0,
            attempts: 1,
            fate: Fate::Finished,
            reason: "",
            measured: true,
        }
    }

    #[test]
    fn all_three_leave_exactness_with_the_first_request_too_many() {
        let (mut exact, mut counted) = (Latencies::new(3), Latencies::new(2));
        for ms in [7, 900, 31] {
            exact.record(&request(ms));
            counted.record(&request(ms));
        }
        assert!(exact.exact() && !counted.exact());
        assert!([&exact.ttft, &exact.tpot, &exact.e2e].iter().all(|s| matches!(s, Samples::Exact(_))));
        assert!(
            [&counted.ttft, &counted.tpot, &counted.e2e].iter().all(|s| matches!(s, Samples::Counted(_)))
        );
        let (exact, counted) = (exact.tpot.latency(), counted.tpot.latency());
        assert_eq!((exact.p50, exact.max, exact.mean), (Some(0.031), Some(0.9), counted.mean));
        assert_eq!(counted.max, exact.max);
    }

    #[test]
    fn beyond_the_limit_quantiles_stay_within_the_stated_error_and_mean_and_max_stay_exact() {
        let samples = of_ms((0..5000).map(|i| i * i % 4001 + 1));
        let (mut few, mut many) = (Samples::default(), Samples::default());
        for &sample in &samples {
            few.record(Some(sample));
            many.record(Some(sample));
            if sample == SimDuration::from_millis(401) {
                many.count_from_now_on();
            }
        }
        assert!(matches!(many, Samples::Counted(_)));
        let (few, many) = (few.latency(), many.latency());
        assert_eq!((few.mean, few.max), (many.mean, many.max));
        for (exact, counted) in
            [(few.p50, many.p50), (few.p90, many.p90), (few.p95, many.p95), (few.p99, many.p99)]
        {
            let (exact, counted) = (exact.expect("sampled"), counted.expect("sampled"));
            assert!((exact - counted).abs() <= exact * LogHistogram::RELATIVE_ERROR, "{exact} {counted}");
        }
    }
}
