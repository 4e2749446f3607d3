//! Latencies of the requests of one run, and their statistics.

/// Milliseconds, one entry a request.
#[derive(Default)]
pub(crate) struct Latencies {
    ttft: Vec<f64>,
    tpot: Vec<f64>,
    e2e: Vec<f64>,
}

/// Mean and nearest-rank quantiles, in ms.
pub(crate) struct Statistics {
    pub(crate) mean: f64,
    p90: f64,
    p99: f64,
}

impl Latencies {
    /// A request that took so long, in ms, to its first and to its last token, of `output_tokens`, from its send.
    pub(crate) fn push(&mut self, ttft: f64, e2e: f64, output_tokens: u32) {
        self.ttft.push(ttft);
        self.e2e.push(e2e);
        if output_tokens > 1 {
            self.tpot.push((e2e - ttft) / f64::from(output_tokens - 1));
        }
    }

    /// How many requests.
    pub(crate) fn requests(&self) -> usize {
        self.e2e.len()
    }

    /// TTFT, TPOT and E2E.
    pub(crate) fn metrics(&self) -> [Statistics; 3] {
        [&self.ttft, &self.tpot, &self.e2e].map(|samples| Statistics::of(samples))
    }
}

impl Statistics {
    fn of(samples: &[f64]) -> Statistics {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = |q: f64| ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
        let quantile = |q: f64| sorted.get(rank(q) - 1).copied().unwrap_or(f64::NAN);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Statistics { mean, p90: quantile(0.90), p99: quantile(0.99) }
    }

    /// How far `simulated` is from these, in per cent: mean, p90, p99.
    pub(crate) fn errors_percent(&self, simulated: &Statistics) -> [f64; 3] {
        let error = |real: f64, simulated: f64| 100.0 * (simulated / real - 1.0);
        [error(self.mean, simulated.mean), error(self.p90, simulated.p90), error(self.p99, simulated.p99)]
    }
}
