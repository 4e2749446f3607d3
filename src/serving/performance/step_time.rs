//! Wall time of one engine step: a table over the tokens of the batch, and attention that is linear in the contexts.
//!
//! For a step that decodes B requests whose contexts sum to S, and prefills P requests with chunks of q tokens on top of p
//! tokens each, N = B + sum q tokens and R = B + P requests in all:
//!
//! ```text
//! T = max( alpha * [ G(N) + [B > 0] (d0 + d1 B + d2 S) + [P > 0] (p0 + p1 sum q + p2 sum q (p + q/2)) ]
//!            + host(R) + h1 P + h0,   F(R) )
//! ```
//!
//! G is a staircase: matrix products fill whole tiles and waves, so 1025 tokens take 12 % longer than 1024. Its knots lie on
//! both sides of each edge. It has two columns: steps that only decode run from CUDA graphs, mixed ones may not.
//!
//! Times are integer picoseconds. For a decode-only step everything that does not depend on S is rounded once for each B, and
//! d2 is an integer, so that a run of steps has a closed form: `T(B, S) = max(A(B) + D S, F(B))`.

use super::piecewise::{Piecewise, number};
use super::provenance::Provenance;
use crate::problem::Problem;
use crate::serving::engine::{BatchShape, StepTimer};
use crate::units::{SimDuration, SimTime};
use serde::Deserialize;

/// The coefficients of the step-time form; `[step_time]` of a model file. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTimeSpec {
    /// What the GPU's time is multiplied with: 1 unless calibrated on a cluster of one's own.
    pub alpha: f64,
    /// Where table and attention come from.
    pub provenance: Provenance,
    /// How far the form is from the grid that it was fitted to.
    pub fit: Option<Fit>,
    /// Decode attention.
    pub decode_attention: DecodeAttention,
    /// Prefill attention.
    pub prefill_attention: PrefillAttention,
    /// What the CPU adds under async scheduling, vLLM's default.
    pub host: HostCost,
    /// What the CPU adds under sync scheduling.
    pub host_sync: HostCost,
    /// The least time of a step: the CPU's own, where the GPU would be faster.
    pub cpu_floor: CpuFloor,
    /// Everything else that the GPU does.
    pub gemm: Gemm,
}

/// How far a form is from what it was fitted to, in per cent of each point.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Median of the absolute errors.
    pub median_percent: f64,
    /// 95th percentile of the absolute errors.
    pub p95_percent: f64,
}

/// Matrix products, norms, experts, all-reduce: by the number of tokens in the batch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gemm {
    /// Knots, ascending. Between them the time is linear; beyond the last one its segment's slope goes on.
    pub tokens: Vec<u32>,
    /// Time at each knot in a step that only decodes.
    pub decode_ms: Vec<f64>,
    /// Time at each knot in a step that prefills too.
    pub mixed_ms: Vec<f64>,
}

/// Attention of the requests that decode.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeAttention {
    /// d0: once, where any request decodes.
    pub step_ms: f64,
    /// d1: for each request.
    pub request_ms: f64,
    /// d2: for each token of their contexts.
    pub context_token_ms: f64,
}

/// Attention of the requests that prefill.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillAttention {
    /// p0: once, where any request prefills.
    pub step_ms: f64,
    /// p1: for each token of a chunk.
    pub token_ms: f64,
    /// p2: for each pair of a token and one that it attends to; a chunk of q tokens on top of p has q (p + q/2).
    pub pair_ms: f64,
}

/// What the CPU adds to the GPU's time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCost {
    /// Knots over the requests in the batch, ascending. Linear between them, constant below, the last slope beyond.
    pub requests: Vec<u32>,
    /// Time at each knot.
    pub ms: Vec<f64>,
    /// h1: for each request that prefills.
    pub prefill_request_ms: f64,
    /// h0: for each step.
    pub step_ms: f64,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// F: the least time of a step with R requests. [`HostCost`] is not added to it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuFloor {
    /// For the step.
    pub step_ms: f64,
    /// For each request in it.
    pub request_ms: f64,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl StepTimeSpec {
    /// Refuses coefficients that cannot be, with keys relative to `step_time`.
    ///
    /// # Errors
    /// As [`StepTime::new`], and for a provenance that is none.
    pub fn check(&self) -> Result<(), Problem> {
        let tables = [
            ("host", &self.host.provenance),
            ("host_sync", &self.host_sync.provenance),
            ("cpu_floor", &self.cpu_floor.provenance),
        ];
        self.provenance.check()?;
        for (key, provenance) in tables {
            provenance.check().map_err(|problem| problem.under(key))?;
        }
        for scheduling in [true, false] {
            StepTime::new(self, scheduling)?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Problem> {
        let (decode, prefill) = (&self.decode_attention, &self.prefill_attention);
        let coefficients = [
            ("decode_attention.step_ms", decode.step_ms),
            ("decode_attention.request_ms", decode.request_ms),
            ("decode_attention.context_token_ms", decode.context_token_ms),
            ("prefill_attention.step_ms", prefill.step_ms),
            ("prefill_attention.token_ms", prefill.token_ms),
            ("prefill_attention.pair_ms", prefill.pair_ms),
            ("cpu_floor.step_ms", self.cpu_floor.step_ms),
            ("cpu_floor.request_ms", self.cpu_floor.request_ms),
            ("host.prefill_request_ms", self.host.prefill_request_ms),
            ("host.step_ms", self.host.step_ms),
            ("host_sync.prefill_request_ms", self.host_sync.prefill_request_ms),
            ("host_sync.step_ms", self.host_sync.step_ms),
        ];
        for (key, value) in coefficients {
            number(key, value)?;
        }
        // Written so that NaN is refused too.
        if !(self.alpha > 0.0 && self.alpha <= 1000.0) {
            return Err(Problem::key("alpha", format!("{} is no factor of a time", self.alpha))
                .help("above 0 and at most 1000; 1 unless calibrated"));
        }
        if self.gemm.tokens.first().is_some_and(|first| *first != 1) {
            return Err(Problem::key("gemm.tokens.0", "the first knot is not 1")
                .help("a step has at least one token"));
        }
        Ok(())
    }
}

const PS_PER_MS: f64 = 1e9;
/// Steps never last longer than a run may.
const LONGEST: u64 = SimTime::HORIZON.as_ps();
/// Bits after the point of the prefill coefficients: a pair takes nanoseconds, and there are up to 2^84 of them.
const FRACTION_BITS: u32 = 32;
/// A(B) is tabulated up to here: twice vLLM's largest default of `max_num_seqs`.
const TABULATED: u64 = 4096;

/// The step-time form of one model file, in integer picoseconds.
///
/// [`StepTimer::step_time`] does no allocation: two look-ups for a decode-only step, a binary search for a mixed one. It
/// never overflows: what would last longer than [`SimTime::HORIZON`] lasts that long.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// A(B) for B in 0..=[`TABULATED`], in ps.
    tabulated: Vec<u64>,
    /// D, in ps.
    context_slope: u64,
    parts: Parts,
}

/// The parts of the form that a step evaluates when they are not tabulated; times in ms, `alpha` applied where not said.
#[derive(Clone, Debug)]
struct Parts {
    alpha: f64,
    decode: Piecewise,
    mixed: Piecewise,
    decode_step: f64,
    decode_request: f64,
    host: Piecewise,
    host_prefill_request: f64,
    host_step: f64,
    floor_step: f64,
    floor_request: f64,
    /// p0, p1 and half of p2 with `alpha`, in ps with [`FRACTION_BITS`] bits after the point.
    prefill_step: u128,
    prefill_token: u128,
    prefill_half_pair: u128,
}

impl StepTime {
    /// Makes the coefficients ready, for the given scheduling (vLLM's `--async-scheduling`, on by default).
    ///
    /// # Errors
    /// A problem with a key relative to `step_time`: a table without knots, of different lengths or not ascending, a
    /// coefficient that is negative, no number or beyond 1e9.
    pub fn new(spec: &StepTimeSpec, async_scheduling: bool) -> Result<StepTime, Problem> {
        spec.check_numbers()?;
        let gemm = &spec.gemm;
        let (host, host_key) =
            if async_scheduling { (&spec.host, "host") } else { (&spec.host_sync, "host_sync") };
        let prefill = &spec.prefill_attention;
        let parts = Parts {
            alpha: spec.alpha,
            decode: Piecewise::new(&gemm.tokens, "gemm.tokens", &gemm.decode_ms, "gemm.decode_ms")?,
            mixed: Piecewise::new(&gemm.tokens, "gemm.tokens", &gemm.mixed_ms, "gemm.mixed_ms")?,
            decode_step: spec.decode_attention.step_ms,
            decode_request: spec.decode_attention.request_ms,
            host: Piecewise::new(
                &host.requests,
                &format!("{host_key}.requests"),
                &host.ms,
                &format!("{host_key}.ms"),
            )?,
            host_prefill_request: host.prefill_request_ms,
            host_step: host.step_ms,
            floor_step: spec.cpu_floor.step_ms,
            floor_request: spec.cpu_floor.request_ms,
            prefill_step: fixed_point(spec.alpha * prefill.step_ms),
            prefill_token: fixed_point(spec.alpha * prefill.token_ms),
            prefill_half_pair: fixed_point(spec.alpha * prefill.pair_ms / 2.0),
        };
        Ok(StepTime {
            tabulated: (0..=TABULATED).map(|requests| parts.decode_base(requests)).collect(),
            context_slope: picoseconds(spec.alpha * spec.decode_attention.context_token_ms),
            parts,
        })
    }

    /// A(B): the time of a step that decodes `requests` requests, without what their contexts add and without the floor.
    pub fn decode_base(&self, requests: u32) -> SimDuration {
        let tabulated = self.tabulated.get(requests as usize).copied();
        SimDuration::from_ps(tabulated.unwrap_or_else(|| self.parts.decode_base(u64::from(requests))))
    }

    /// D: what each token of the contexts adds to a step.
    pub fn context_slope(&self) -> SimDuration {
        SimDuration::from_ps(self.context_slope)
    }

    /// F(R): the least time of a step with `requests` requests.
    pub fn floor(&self, requests: u32) -> SimDuration {
        SimDuration::from_ps(self.parts.floor(u64::from(requests)))
    }
}

impl StepTimer for StepTime {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        let requests = u64::from(batch.decode_requests) + u64::from(batch.prefill_requests);
        if requests == 0 {
            return SimDuration::ZERO;
        }
        let fixed = if batch.prefill_requests == 0 {
            u128::from(self.decode_base(batch.decode_requests).as_ps())
        } else {
            u128::from(self.parts.mixed_base(batch, requests)).saturating_add(self.parts.prefill(batch))
        };
        let contexts = u128::from(self.context_slope) * u128::from(batch.decode_context);
        let time = fixed.saturating_add(contexts).max(u128::from(self.parts.floor(requests)));
        SimDuration::from_ps(u64::try_from(time).unwrap_or(LONGEST).min(LONGEST))
    }
}

impl Parts {
    /// A(B) in ps, rounded once.
    fn decode_base(&self, requests: u64) -> u64 {
        let gpu = self.decode.value(requests) + self.decode_step + self.decode_request * requests as f64;
        picoseconds(self.alpha * gpu + self.host.value(requests) + self.host_step)
    }

    /// The same for a step that prefills, without the prefill's attention.
    fn mixed_base(&self, batch: &BatchShape, requests: u64) -> u64 {
        let decode = match batch.decode_requests {
            0 => 0.0,
            b => self.decode_step + self.decode_request * f64::from(b),
        };
        let tokens = u64::from(batch.decode_requests).saturating_add(batch.prefill_tokens);
        let host = self.host.value(requests)
            + self.host_prefill_request * f64::from(batch.prefill_requests)
            + self.host_step;
        picoseconds(self.alpha * (self.mixed.value(tokens) + decode) + host)
    }

    /// The prefill's attention in ps, rounded once.
    fn prefill(&self, batch: &BatchShape) -> u128 {
        let tokens = self.prefill_token.saturating_mul(u128::from(batch.prefill_tokens));
        let pairs = self.prefill_half_pair.saturating_mul(batch.prefill_pairs_x2);
        let half = 1u128 << (FRACTION_BITS - 1);
        let sum = self.prefill_step.saturating_add(tokens).saturating_add(pairs).saturating_add(half);
        sum >> FRACTION_BITS
    }

    fn floor(&self, requests: u64) -> u64 {
        picoseconds(self.floor_step + self.floor_request * requests as f64)
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
