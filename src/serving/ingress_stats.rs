//! What the gateway and the router count of the requests that pass through them: plain numbers, without names and labels.

use super::engine::BucketHistogram;
use crate::units::{SimDuration, Tokens};

/// The traffic since the run began. A gateway stays when no pod does, so its counts go on at zero replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressStats {
    /// Requests that clients have sent.
    pub received: u64,
    /// Those that were routed to a pod.
    pub dispatched: u64,
    /// Those that were answered 503, as no pod could take them.
    pub refused: u64,
    /// By pod ordinal; pods that were never chosen may lack.
    pods: Vec<PodTraffic>,
    /// Of finished requests, as the next ones: from the send to the first token.
    pub ttft: BucketHistogram<SimDuration>,
    /// (E2E latency - TTFT) / (output tokens - 1), of answers with two tokens or more.
    pub tpot: BucketHistogram<SimDuration>,
    /// From the send to the last token.
    pub e2e: BucketHistogram<SimDuration>,
    /// E2E latency by output token.
    pub normalized_tpot: BucketHistogram<SimDuration>,
    /// Prompt tokens.
    pub input_tokens: BucketHistogram<Tokens>,
    /// Output tokens.
    pub output_tokens: BucketHistogram<Tokens>,
    /// How long requests waited in the gateway until they were routed or refused; no time at all where a pod was there.
    pub queue_duration: BucketHistogram<SimDuration>,
}

/// What went to one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodTraffic {
    /// Requests that were routed to it.
    pub dispatched: u64,
    /// Requests whose first token has not left its engine yet.
    pub prefilling: u32,
    /// Their prompt tokens.
    pub prefill_tokens: u64,
    /// Requests that it answered to the end.
    pub finished: u64,
    /// Their prompt tokens.
    pub input_tokens: u64,
    /// Their output tokens.
    pub output_tokens: u64,
}

/// What a client saw of a finished request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The pod that answered, by creation ordinal.
    pub pod: u32,
    /// From the send to the first token.
    pub ttft: SimDuration,
    /// From the send to the last token.
    pub e2e: SimDuration,
    /// Prompt tokens.
    pub input_tokens: Tokens,
    /// Output tokens, one at least.
    pub output_tokens: Tokens,
}

impl Default for IngressStats {
    fn default() -> Self {
        let seconds = |bounds: &[u64]| BucketHistogram::new(bounds.iter().map(|us| us * PS_PER_US).collect());
        let tokens = |bounds: &[u64]| BucketHistogram::new(bounds.into());
        IngressStats {
            received: 0,
            dispatched: 0,
            refused: 0,
            pods: Vec::new(),
            ttft: seconds(&LATENCY_US[..TTFT_BOUNDS]),
            tpot: seconds(TPOT_US),
            e2e: seconds(LATENCY_US),
            normalized_tpot: seconds(NORMALIZED_TPOT_US),
            input_tokens: tokens(TOKENS),
            output_tokens: tokens(&TOKENS[..OUTPUT_BOUNDS]),
            queue_duration: seconds(QUEUE_US),
        }
    }
}

impl IngressStats {
    /// What went to the pod with this ordinal.
    pub fn pod(&self, pod: u32) -> PodTraffic {
        self.pods.get(pod as usize).copied().unwrap_or_default()
    }

    /// Requests without a first token at all pods, those that are gone among them: one may be on its way to such a pod.
    pub fn prefilling_total(&self) -> u64 {
        self.pods.iter().map(|pod| u64::from(pod.prefilling)).sum()
    }

    /// A request with `prompt` tokens, which waited for so long, is routed to the pod.
    pub fn routed(&mut self, pod: u32, prompt: Tokens, waited: SimDuration) {
        self.dispatched += 1;
        self.queue_duration.observe(waited);
        let pod = self.pod_mut(pod);
        pod.dispatched += 1;
        pod.prefilling += 1;
        pod.prefill_tokens += u64::from(prompt.get());
    }

    /// A request that waited for so long is answered 503.
    pub fn refused(&mut self, waited: SimDuration) {
        self.refused += 1;
        self.queue_duration.observe(waited);
    }

    /// A request that was routed to the pod has its first token, or ends without one.
    pub fn prefilled(&mut self, pod: u32, prompt: Tokens) {
        let pod = self.pod_mut(pod);
        pod.prefilling -= 1;
        pod.prefill_tokens -= u64::from(prompt.get());
    }

    /// A client has its whole answer.
    pub fn finished(&mut self, request: Finished) {
        let Finished { pod, ttft, e2e, input_tokens, output_tokens } = request;
        let output = u64::from(output_tokens.get());
        self.ttft.observe(ttft);
        self.e2e.observe(e2e);
        self.input_tokens.observe(input_tokens);
        self.output_tokens.observe(output_tokens);
        self.normalized_tpot.observe(SimDuration::from_ps(e2e.as_ps() / output.max(1)));
        if output > 1 {
            let decode = e2e.as_ps().saturating_sub(ttft.as_ps());
            self.tpot.observe(SimDuration::from_ps(decode / (output - 1)));
        }
        let pod = self.pod_mut(pod);
        pod.finished += 1;
        pod.input_tokens += u64::from(input_tokens.get());
        pod.output_tokens += output;
    }

    fn pod_mut(&mut self, pod: u32) -> &mut PodTraffic {
        let index = pod as usize;
        if index >= self.pods.len() {
            self.pods.resize(index + 1, PodTraffic::default());
        }
        &mut self.pods[index]
    }
}

const PS_PER_US: u64 = 1_000_000;

/// Bounds of llm-d's endpoint picker (llm-d-router `pkg/epp/metrics/metrics.go`, `generalLatencyBuckets`, and
/// `llm_d_router_metrics.go`), here and below: end-to-end latencies, of which a TTFT has the first.
const LATENCY_US: &[u64] = &[
    5_000,
    25_000,
    50_000,
    100_000,
    200_000,
    400_000,
    600_000,
    800_000,
    1_000_000,
    1_250_000,
    1_500_000,
    2_000_000,
    3_000_000,
    4_000_000,
    5_000_000,
    6_000_000,
    8_000_000,
    10_000_000,
    15_000_000,
    20_000_000,
    30_000_000,
    45_000_000,
    60_000_000,
    120_000_000,
    180_000_000,
    240_000_000,
    300_000_000,
    360_000_000,
    480_000_000,
    600_000_000,
    900_000_000,
    1_200_000_000,
    1_800_000_000,
    2_700_000_000,
    3_600_000_000,
];
/// Up to 120 s.
const TTFT_BOUNDS: usize = 24;
const TPOT_US: &[u64] = &[
    500, 2_050, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 125_000, 150_000, 200_000, 300_000,
    400_000, 500_000, 600_000, 800_000, 1_000_000, 2_000_000,
];
const NORMALIZED_TPOT_US: &[u64] = &[
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000,
];
/// 32,778 is llm-d's own.
const TOKENS: &[u64] = &[
    1, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_778, 65_536, 131_072, 262_144,
    524_288, 1_048_576,
];
/// Up to 8,192.
const OUTPUT_BOUNDS: usize = 12;
const QUEUE_US: &[u64] = &[
    100, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_count_until_their_first_token_or_their_end() {
        let mut stats = IngressStats::default();
        for tokens in [100, 30] {
            stats.routed(2, Tokens(tokens), SimDuration::ZERO);
        }
        stats.prefilled(2, Tokens(100));
        let pod = stats.pod(2);
        assert_eq!((pod.dispatched, pod.prefilling, pod.prefill_tokens), (2, 1, 30));
        assert_eq!(
            (stats.dispatched, stats.pod(0), stats.pod(9)),
            (2, PodTraffic::default(), PodTraffic::default())
        );
    }

    #[test]
    fn a_finished_request_is_counted_in_every_histogram_that_it_has_a_value_for() {
        let ms = SimDuration::from_millis;
        let mut stats = IngressStats::default();
        let one =
            Finished { pod: 0, ttft: ms(30), e2e: ms(30), input_tokens: Tokens(9), output_tokens: Tokens(1) };
        stats.finished(one);
        stats.finished(Finished { e2e: ms(130), output_tokens: Tokens(5), ..one });
        assert_eq!((stats.ttft.count(), stats.e2e.count(), stats.tpot.count()), (2, 2, 1));
        assert_eq!((stats.tpot.sum(), stats.normalized_tpot.sum()), (0.025, 0.056));
        let below = |histogram: &BucketHistogram<SimDuration>, bound| {
            histogram.buckets().find(|bucket| bucket.0 == bound).expect("a bound").1
        };
        assert_eq!((below(&stats.ttft, 0.025), below(&stats.ttft, 0.05)), (0, 2));
        assert_eq!(stats.ttft.buckets().last().expect("bounds").0, 120.0);
        assert_eq!(stats.output_tokens.buckets().last().expect("bounds").0, 8192.0);
        assert_eq!((stats.pod(0).input_tokens, stats.pod(0).output_tokens), (18, 6));
    }
}
