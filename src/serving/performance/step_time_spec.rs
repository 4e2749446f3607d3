//! `[step_time]` of a model file: the coefficients of the step-time form, in milliseconds.

use super::cuda_graphs::CudaGraphs;
use super::piecewise::number;
use super::provenance::Provenance;
use super::step_time::StepTime;
use crate::problem::Problem;
use serde::Deserialize;

/// The coefficients of the step-time form; [`StepTime`] says what it is.
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
    /// What a decoding request costs more in a mixed step.
    pub mixed_attention: MixedAttention,
    /// What the CPU adds under async scheduling, vLLM's default.
    pub host: HostCost,
    /// What the CPU adds under sync scheduling.
    pub host_sync: HostCost,
    /// The least time of a step: the CPU's own, where the GPU would be faster.
    pub cpu_floor: CpuFloor,
    /// The least of `gemm` in large mixed steps, where it is known.
    pub sustained: Option<Sustained>,
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

/// Attention of the requests that decode while others prefill.
///
/// A mixed step does not run from the CUDA graph and the kernel that decode-only steps have. One kernel serves both kinds of
/// requests: each of those that decode takes a tile made for many query tokens, in each layer and for each KV head.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedAttention {
    /// m: for each request that decodes in a step with prefill, on top of its [`DecodeAttention`].
    pub decode_request_ms: f64,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// The matrix products of a GPU at its power limit.
///
/// Kernel tables are made of kernels that run alone. A server that prefills without pause sits at its power limit: clocks fall,
/// and matrices of all shapes get the same operations per second. Steps of up to [`Sustained::above_tokens`] tokens are too
/// short for the limiter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sustained {
    /// Mixed steps with more tokens than this are concerned.
    pub above_tokens: u32,
    /// For each token of the step.
    pub token_ms: f64,
    /// Where the rate comes from.
    pub provenance: Provenance,
}

/// What the CPU adds to the GPU's time: h0 + h1 R.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCost {
    /// h0: for each step.
    pub step_ms: f64,
    /// h1: for each request in it.
    pub request_ms: f64,
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
            ("mixed_attention", &self.mixed_attention.provenance),
            ("host", &self.host.provenance),
            ("host_sync", &self.host_sync.provenance),
            ("cpu_floor", &self.cpu_floor.provenance),
        ];
        self.provenance.check()?;
        for (key, provenance) in tables {
            provenance.check().map_err(|problem| problem.under(key))?;
        }
        if let Some(sustained) = &self.sustained {
            sustained.provenance.check().map_err(|problem| problem.under("sustained"))?;
        }
        StepTime::new(self, CudaGraphs::up_to(0), true).map(drop)
    }

    pub(super) fn check_numbers(&self) -> Result<(), Problem> {
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
            ("host.step_ms", self.host.step_ms),
            ("host.request_ms", self.host.request_ms),
            ("host_sync.step_ms", self.host_sync.step_ms),
            ("host_sync.request_ms", self.host_sync.request_ms),
            ("mixed_attention.decode_request_ms", self.mixed_attention.decode_request_ms),
            ("sustained.token_ms", self.sustained.as_ref().map_or(0.0, |rate| rate.token_ms)),
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
