//! Wall time of one engine step: a table over the tokens of the batch, and attention that is linear in the contexts.
//!
//! For a step that decodes B requests whose contexts sum to S, and prefills chunks of q tokens on top of p tokens each,
//! N = B + sum q tokens and R requests in all:
//!
//! ```text
//! T = max( alpha * [ G(N) + [B > 0] (d0 + d1 B + d2 S) + [prefill] (p0 + p1 sum q + p2 sum q (p + q/2) + m B) ]
//!            + h0 + h1 R,  F(R) )
//! ```
//!
//! G is a staircase: matrix products fill whole tiles and waves, so 1025 tokens take 12 % longer than 1024. Its knots lie on
//! both sides of each edge. It has two columns, for steps that only decode and for mixed ones, and is read at the size of the
//! CUDA graph to which the batch is [padded](CudaGraphs). In mixed steps of more than some tokens it is at least the
//! [sustained](super::step_time_spec::Sustained) rate, where that is known; and a request that decodes costs
//! [more](super::step_time_spec::MixedAttention) there.
//!
//! Times are integer picoseconds. For a decode-only step everything that does not depend on S is rounded once for each B, and
//! d2 is an integer, so that a run of steps has a closed form: `T(B, S) = max(A(B) + D S, F(B))`.

use super::cuda_graphs::CudaGraphs;
use super::piecewise::Piecewise;
use super::step_time_spec::{DecodeAttention, StepTimeSpec};
use crate::problem::Problem;
use crate::serving::engine::{BatchShape, DecodeForm, StepTimer};
use crate::units::{SimDuration, SimTime};

const PS_PER_MS: f64 = 1e9;
/// Steps never last longer than a run may.
const LONGEST: u64 = SimTime::HORIZON.as_ps();
/// Bits after the point of the prefill coefficients: a pair takes nanoseconds, and there are up to 2^84 of them.
const FRACTION_BITS: u32 = 32;
/// A(B) and F(R) are tabulated up to here: twice vLLM's largest default of `max_num_seqs`.
const TABULATED: u64 = 4096;
/// G of mixed steps is tabulated up to here: vLLM's largest default of `max_num_batched_tokens` but for the TPU's.
const TABULATED_MIXED: u64 = 8192;

/// The step-time form of one model file, in integer picoseconds.
///
/// [`StepTimer::step_time`] does no allocation and a look-up or two; only steps beyond any default of vLLM's are not tabulated. It
/// never overflows: what would last longer than [`SimTime::HORIZON`] lasts that long.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// A(B) and F(B) for B in 0..=[`TABULATED`], in ps.
    tabulated: Vec<(u64, u64)>,
    /// D, in ps.
    context_slope: u64,
    parts: Parts,
}

/// The parts of the form that a step evaluates when they are not tabulated. Times are in ms without `alpha`, unless said.
#[derive(Clone, Debug)]
struct Parts {
    alpha: f64,
    graphs: CudaGraphs,
    decode: Piecewise,
    mixed: Piecewise,
    /// [`Parts::mixed`] for 0..=[`TABULATED_MIXED`] tokens.
    tabulated_mixed: Vec<f64>,
    /// Above so many tokens, a mixed step's G is at least so much for each of them.
    sustained: (u64, f64),
    decode_attention: DecodeAttention,
    mixed_decode_request: f64,
    host_step: f64,
    host_request: f64,
    floor_step: f64,
    floor_request: f64,
    /// p0, p1 and half of p2 with `alpha`, in ps with [`FRACTION_BITS`] bits after the point.
    prefill_step: u128,
    prefill_token: u128,
    prefill_half_pair: u128,
}

impl StepTime {
    /// Makes the coefficients ready, for an engine with these CUDA graphs and this scheduling (vLLM's `--async-scheduling`,
    /// on by default).
    ///
    /// # Errors
    /// A problem with a key relative to `step_time`: a table without knots, of different lengths or not ascending, a
    /// coefficient that is negative, no number or beyond 1e9.
    pub fn new(spec: &StepTimeSpec, graphs: CudaGraphs, async_scheduling: bool) -> Result<StepTime, Problem> {
        spec.check_numbers()?;
        let gemm = &spec.gemm;
        let host = if async_scheduling { &spec.host } else { &spec.host_sync };
        let prefill = &spec.prefill_attention;
        let rate = spec.sustained.as_ref();
        let mut parts = Parts {
            alpha: spec.alpha,
            graphs,
            decode: Piecewise::new(&gemm.tokens, "gemm.tokens", &gemm.decode_ms, "gemm.decode_ms")?,
            mixed: Piecewise::new(&gemm.tokens, "gemm.tokens", &gemm.mixed_ms, "gemm.mixed_ms")?,
            tabulated_mixed: Vec::new(),
            sustained: rate.map_or((0, 0.0), |rate| (rate.above_tokens.into(), rate.token_ms)),
            decode_attention: spec.decode_attention,
            mixed_decode_request: spec.mixed_attention.decode_request_ms,
            host_step: host.step_ms,
            host_request: host.request_ms,
            floor_step: spec.cpu_floor.step_ms,
            floor_request: spec.cpu_floor.request_ms,
            prefill_step: fixed_point(spec.alpha * prefill.step_ms),
            prefill_token: fixed_point(spec.alpha * prefill.token_ms),
            prefill_half_pair: fixed_point(spec.alpha * prefill.pair_ms / 2.0),
        };
        parts.tabulated_mixed = (0..=TABULATED_MIXED).map(|tokens| parts.mixed(tokens)).collect();
        let tabulated = |requests| (parts.decode_base(requests), parts.floor(requests));
        Ok(StepTime {
            tabulated: (0..=TABULATED).map(tabulated).collect(),
            context_slope: picoseconds(spec.alpha * spec.decode_attention.context_token_ms),
            parts,
        })
    }

    /// A(B): the time of a step that decodes `requests` requests, without what their contexts add and without the floor.
    pub fn decode_base(&self, requests: u32) -> SimDuration {
        let tabulated = self.tabulated.get(requests as usize).map(|&(base, _)| base);
        SimDuration::from_ps(tabulated.unwrap_or_else(|| self.parts.decode_base(u64::from(requests))))
    }

    /// D: what each token of the contexts adds to a step.
    pub fn context_slope(&self) -> SimDuration {
        SimDuration::from_ps(self.context_slope)
    }

    /// F(R): the least time of a step with `requests` requests.
    pub fn floor(&self, requests: u32) -> SimDuration {
        let tabulated = self.tabulated.get(requests as usize).map(|&(_, floor)| floor);
        SimDuration::from_ps(tabulated.unwrap_or_else(|| self.parts.floor(u64::from(requests))))
    }
}

impl StepTime {
    /// The time of a step that decodes `decoding` requests and prefills `prefill` tokens of one more, without what contexts and
    /// pairs of tokens add, and without the floor.
    pub(super) fn without_contexts(&self, decoding: u64, prefill: u64) -> SimDuration {
        if prefill == 0 {
            return SimDuration::from_ps(self.parts.decode_base(decoding));
        }
        let batch = BatchShape {
            decode_requests: u32::try_from(decoding).unwrap_or(u32::MAX),
            prefill_requests: 1,
            prefill_tokens: prefill,
            ..BatchShape::default()
        };
        let base = u128::from(self.parts.mixed_base(&batch, decoding + 1));
        let time = base.saturating_add(self.parts.prefill(&batch));
        SimDuration::from_ps(u64::try_from(time).unwrap_or(LONGEST).min(LONGEST))
    }

    /// What a pair of a prefilled token and one that it attends to adds to a step, in picoseconds.
    pub(super) fn prefill_pair_ps(&self) -> f64 {
        2.0 * self.parts.prefill_half_pair as f64 / (1u64 << FRACTION_BITS) as f64
    }
}

impl StepTimer for StepTime {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        let requests = batch.decode_requests.saturating_add(batch.prefill_requests);
        if requests == 0 {
            return SimDuration::ZERO;
        }
        let fixed = if batch.prefill_requests == 0 {
            u128::from(self.decode_base(batch.decode_requests).as_ps())
        } else {
            u128::from(self.parts.mixed_base(batch, requests.into()))
                .saturating_add(self.parts.prefill(batch))
        };
        let contexts = u128::from(self.context_slope) * u128::from(batch.decode_context);
        let time = fixed.saturating_add(contexts).max(u128::from(self.floor(requests).as_ps()));
        SimDuration::from_ps(u64::try_from(time).unwrap_or(LONGEST).min(LONGEST))
    }

    fn decode_form(&self, requests: u32) -> DecodeForm {
        DecodeForm {
            base: self.decode_base(requests),
            context_slope: self.context_slope(),
            floor: self.floor(requests),
            longest: SimDuration::from_ps(LONGEST),
        }
    }
}

impl Parts {
    /// A(B) in ps, rounded once.
    fn decode_base(&self, requests: u64) -> u64 {
        let gpu = self.decode.value(self.graphs.padded(requests)) + self.decode_attention(requests);
        picoseconds(self.alpha * gpu + self.host(requests))
    }

    /// The same for a step that prefills, without the prefill's attention.
    fn mixed_base(&self, batch: &BatchShape, requests: u64) -> u64 {
        let decoding = u64::from(batch.decode_requests);
        let tokens = decoding.saturating_add(batch.prefill_tokens);
        let beside_prefill = self.mixed_decode_request * decoding as f64;
        let gpu = self.mixed(tokens) + self.decode_attention(decoding) + beside_prefill;
        picoseconds(self.alpha * gpu + self.host(requests))
    }

    /// G of a step that prefills.
    fn mixed(&self, tokens: u64) -> f64 {
        if let Some(tabulated) = self.tabulated_mixed.get(tokens as usize) {
            return *tabulated;
        }
        let table = self.mixed.value(self.graphs.padded(tokens));
        let (above, token) = self.sustained;
        if tokens > above { table.max(token * tokens as f64) } else { table }
    }

    /// Decode attention without what the contexts add.
    fn decode_attention(&self, requests: u64) -> f64 {
        match requests {
            0 => 0.0,
            b => self.decode_attention.step_ms + self.decode_attention.request_ms * b as f64,
        }
    }

    fn host(&self, requests: u64) -> f64 {
        self.host_step + self.host_request * requests as f64
    }

    /// The prefill's attention in ps, rounded once.
    fn prefill(&self, batch: &BatchShape) -> u128 {
        let tokens = self.prefill_token.saturating_mul(u128::from(batch.prefill_tokens));
        let pairs = self.prefill_half_pair.saturating_mul(batch.prefill_pairs_x2);
        let half = 1u128 << (FRACTION_BITS - 1);
        let sum = self.prefill_step.saturating_add(tokens).saturating_add(pairs).saturating_add(half);
        sum >> FRACTION_BITS
    }

    /// F(R) in ps. At least one: a step without any duration would never end.
    fn floor(&self, requests: u64) -> u64 {
        picoseconds(self.floor_step + self.floor_request * requests as f64).max(1)
    }
}

/// Milliseconds to the nearest picosecond, at most [`LONGEST`].
fn picoseconds(ms: f64) -> u64 {
    // A cast of a float saturates.
    (libm::round(ms * PS_PER_MS) as u64).min(LONGEST)
}

/// Milliseconds as picoseconds with [`FRACTION_BITS`] bits after the point.
fn fixed_point(ms: f64) -> u128 {
    libm::round(ms * PS_PER_MS * (1u64 << FRACTION_BITS) as f64) as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::performance::step_time_spec::Sustained;
    use proptest::prelude::*;

    const SPEC: &str = "
        alpha = 1.25
        provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }
        decode_attention = { step_ms = 0.5, request_ms = 0.004, context_token_ms = 5.00003e-5 }
        prefill_attention = { step_ms = 0.4, token_ms = 0.001, pair_ms = 3.0e-7 }
        cpu_floor = { step_ms = 3.0, request_ms = 0.5, provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' } }
        mixed_attention = { decode_request_ms = 0.25, provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' } }
        [host]
        step_ms = 0.125
        request_ms = 0.02
        provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }
        [host_sync]
        step_ms = 1.0
        request_ms = 7.0
        provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }
        [gemm]
        tokens = [1, 8, 9, 1024]
        decode_ms = [5.0, 6.0, 8.0, 9.015]
        mixed_ms = [5.5, 6.5, 8.5, 9.515]
    ";

    fn spec() -> StepTimeSpec {
        toml::from_str(SPEC).expect("the spec reads")
    }

    fn timer() -> StepTime {
        StepTime::new(&spec(), CudaGraphs::up_to(0), true).expect("the spec is good")
    }

    fn decode(requests: u32, context: u64) -> BatchShape {
        BatchShape { decode_requests: requests, decode_context: context, ..BatchShape::default() }
    }

    fn ms(step: SimDuration) -> f64 {
        step.as_ps() as f64 / PS_PER_MS
    }

    #[test]
    fn a_decode_only_step_is_the_sum_of_its_terms() {
        let timer = timer();
        // 1.25 * (8 + 1 ms/1015 + 0.5 + 0.04 + 5.00003e-5 * 1000) + 0.2 + 0.125
        let expected = 1.25 * (8.001 + 0.54 + 0.050_000_3) + 0.325;
        assert!((ms(timer.step_time(&decode(10, 1000))) - expected).abs() < 1e-6);
        assert_eq!(timer.context_slope(), SimDuration::from_ps(62_500), "1.25 * 50000.3 ps, rounded once");
        assert_eq!(timer.step_time(&BatchShape::default()), SimDuration::ZERO);
    }

    #[test]
    fn a_mixed_step_takes_the_other_column_and_the_prefill_terms() {
        let batch = BatchShape {
            decode_requests: 2,
            decode_context: 300,
            prefill_requests: 1,
            prefill_tokens: 7,
            // q = 7 on top of p = 100: pairs = 7 * 103.5.
            prefill_pairs_x2: 1449,
        };
        let gpu = 8.5 + 0.5 + 0.008 + 0.5 + 300.0 * 5.000_03e-5 + 0.4 + 0.007 + 724.5 * 3e-7;
        let expected = 1.25 * gpu + 0.06 + 0.125;
        assert!((ms(timer().step_time(&batch)) - expected).abs() < 1e-6);
        let alone = BatchShape { decode_requests: 0, decode_context: 0, prefill_tokens: 9, ..batch };
        let expected = 1.25 * (8.5 + 0.4 + 0.009 + 724.5 * 3e-7) + 0.02 + 0.125;
        assert!((ms(timer().step_time(&alone)) - expected).abs() < 1e-9);
    }

    #[test]
    fn the_staircase_has_both_sides_and_goes_on_beyond_the_last_knot() {
        let timer = timer();
        let base = |b: u32| {
            (ms(timer.decode_base(b)) - 0.125 - 0.02 * f64::from(b)) / 1.25 - 0.5 - 0.004 * f64::from(b)
        };
        assert!((base(8) - 6.0).abs() < 1e-9 && (base(9) - 8.0).abs() < 1e-9);
        let slope = 1.015 / 1015.0;
        for b in [4095u32, 4096, 4097, 8000] {
            let host = 0.02 * f64::from(b);
            let gpu = 9.015 + slope * f64::from(b - 1024) + 0.5 + 0.004 * f64::from(b);
            let expected = (1.25 * gpu + host + 0.125).max(3.0 + 0.5 * f64::from(b));
            assert!((ms(timer.step_time(&decode(b, 0))) - expected).abs() < 1e-6, "{b}");
        }
    }

    #[test]
    fn the_floor_holds_without_the_host_cost_on_top() {
        let timer = timer();
        assert_eq!(timer.floor(40), SimDuration::from_millis(23));
        assert_eq!(timer.step_time(&decode(40, 0)), SimDuration::from_millis(23));
        let over = timer.step_time(&decode(40, 1_000_000));
        assert_eq!(over.as_ps(), timer.decode_base(40).as_ps() + 1_000_000 * timer.context_slope().as_ps());
    }

    #[test]
    fn the_table_is_read_at_the_size_of_the_cuda_graph() {
        let timer = StepTime::new(&spec(), CudaGraphs::up_to(512), true).expect("the spec is good");
        // 5 requests are padded to 8; d1 and the host count the 5.
        assert!((ms(timer.decode_base(5)) - (1.25 * (6.0 + 0.5 + 0.02) + 0.125 + 0.1)).abs() < 1e-6);
        let mixed = BatchShape {
            decode_requests: 1,
            prefill_requests: 1,
            prefill_tokens: 4,
            ..BatchShape::default()
        };
        let gpu = 6.5 + 0.504 + 0.25 + 0.4 + 0.004;
        assert!((ms(timer.step_time(&mixed)) - (1.25 * gpu + 0.125 + 0.04)).abs() < 1e-6);
    }

    #[test]
    fn large_mixed_steps_take_at_least_the_sustained_rate() {
        let mut spec = spec();
        spec.sustained =
            Some(Sustained { above_tokens: 1000, token_ms: 0.01, provenance: spec.provenance.clone() });
        let timer = StepTime::new(&spec, CudaGraphs::up_to(512), true).expect("the spec is good");
        let step = |q: u64| {
            let batch = BatchShape { prefill_requests: 1, prefill_tokens: q, ..BatchShape::default() };
            (ms(timer.step_time(&batch)) - 0.125 - 0.02) / 1.25 - 0.4 - 0.001 * q as f64
        };
        let table = |q: f64| 8.5 + (q - 9.0) * 1.015 / 1015.0;
        assert!((step(1000) - table(1000.0)).abs() < 1e-6, "up to `above_tokens` the table alone");
        assert!((step(1001) - 10.01).abs() < 1e-6 && table(1001.0) < 10.01);
        assert_eq!(
            timer.decode_base(2000),
            self::timer().decode_base(2000),
            "decode-only steps do not take it"
        );
    }

    #[test]
    fn sync_scheduling_has_a_host_cost_of_its_own() {
        let sync = StepTime::new(&spec(), CudaGraphs::up_to(0), false).expect("the spec is good");
        assert!((ms(sync.decode_base(1)) - (1.25 * 5.504 + 8.0)).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_is_refused_at_its_key() {
        type Change = fn(&mut StepTimeSpec);
        let cases: [(&str, Change); 9] = [
            ("alpha", |s| s.alpha = 0.0),
            ("alpha", |s| s.alpha = f64::NAN),
            ("decode_attention.context_token_ms", |s| s.decode_attention.context_token_ms = -1.0),
            ("prefill_attention.pair_ms", |s| s.prefill_attention.pair_ms = f64::INFINITY),
            ("gemm.tokens.0", |s| s.gemm.tokens[0] = 2),
            ("gemm.mixed_ms", |s| s.gemm.mixed_ms.truncate(3)),
            ("host_sync.step_ms", |s| s.host_sync.step_ms = f64::NEG_INFINITY),
            ("host.request_ms", |s| s.host.request_ms = f64::NAN),
            ("host.provenance.source", |s| s.host.provenance.source.clear()),
        ];
        for (key, change) in cases {
            let mut spec = spec();
            change(&mut spec);
            let problem = spec.check().expect_err(key);
            assert_eq!(problem.place, crate::problem::Place::Key(key.to_owned()));
        }
        assert!(
            toml::from_str::<StepTimeSpec>(&format!("gama = 1\n{SPEC}")).is_err(),
            "unknown keys are refused"
        );
    }

    proptest! {
        /// A run of k decode steps has a closed form, to the picosecond: above the floor each step adds D * B to the one before.
        #[test]
        fn a_run_of_steps_has_a_closed_form(b in 1u32..300, context in 0u64..5_000_000, k in 1u64..500) {
            let timer = timer();
            let (a, d) = (timer.decode_base(b).as_ps(), timer.context_slope().as_ps());
            let floor = timer.floor(b).as_ps();
            let one_by_one: u64 = (0..k).map(|i| timer.step_time(&decode(b, context + i * u64::from(b))).as_ps()).sum();
            let first = a + d * context;
            prop_assume!(first >= floor);
            prop_assert_eq!(one_by_one, k * first + d * u64::from(b) * (k * (k - 1) / 2));
        }

        /// Any batch that fits the types has a time, no longer than a run; more of anything never makes it shorter than D says.
        #[test]
        fn no_batch_overflows(
            b in 0u32..=u32::MAX, s in 0u64..=u64::MAX, p in 0u32..=u32::MAX, q in 0u64..=u64::MAX, pairs in 0u128..=u128::MAX,
        ) {
            let batch = BatchShape {
                decode_requests: b, decode_context: s, prefill_requests: p, prefill_tokens: q, prefill_pairs_x2: pairs,
            };
            let time = timer().step_time(&batch);
            prop_assert!(time.as_ps() <= SimTime::HORIZON.as_ps());
            prop_assert_eq!(time.is_zero(), b == 0 && p == 0);
        }
    }

    #[test]
    fn the_largest_batch_of_the_contract_is_finite() {
        let q = (1u128 << 31) - 1;
        let batch = BatchShape {
            decode_requests: 1 << 19,
            decode_context: (1 << 19) * (q as u64),
            prefill_requests: 1 << 19,
            prefill_tokens: (1 << 19) * (q as u64),
            prefill_pairs_x2: (1 << 19) * q * (2 * q + q),
        };
        assert_eq!(timer().step_time(&batch).as_ps(), SimTime::HORIZON.as_ps());
    }
}
