//! What models reach of a GPU's peaks.
use super::provenance::Provenance;
use crate::problem::Problem;

/// What models reach of a GPU's peaks. The set was fitted together: one value alone means little.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Share of the memory bandwidth when weights are read.
    pub memory: f64,
    /// Share of the peak of matrix products; above 1 where other terms count some of the time twice.
    pub gemm: f64,
    /// Share of the memory bandwidth when the KV cache is read.
    pub kv: f64,
    /// Share of the 16-bit peak in prefill attention.
    pub prefill_attention: f64,
    /// Share of the link in an all-reduce.
    pub collective: f64,
    /// Fixed time of a layer, in ms.
    pub layer_ms: f64,
    /// Fixed time of an all-reduce, of which a layer has two, in ms.
    pub allreduce_ms: f64,
    /// Share of the memory bandwidth when activations are read and written.
    pub activations: f64,
    /// How sharp the corner between memory and arithmetic is: times add up as a p-norm.
    pub p: f64,
    /// Where they come from.
    pub provenance: Provenance,
}

impl Efficiency {
    /// Refuses what is no efficiency, with keys relative to its table.
    ///
    /// # Errors
    /// A share or an exponent that is no positive number, a time that is negative or no number.
    pub fn check(&self) -> Result<(), Problem> {
        let shares = [
            ("memory", self.memory, 100.0),
            ("gemm", self.gemm, 100.0),
            ("kv", self.kv, 100.0),
            ("prefill_attention", self.prefill_attention, 100.0),
            ("collective", self.collective, 100.0),
            ("activations", self.activations, 100.0),
            ("p", self.p, 100.0),
        ];
        for (key, value, most) in shares {
            // Written so that NaN is refused too.
            if !(value > 0.0 && value <= most) {
                return Err(
                    Problem::key(key, format!("`{key}` is {value}")).help("a positive number, at most 100")
                );
            }
        }
        for (key, value) in [("layer_ms", self.layer_ms), ("allreduce_ms", self.allreduce_ms)] {
            super::piecewise::number(key, value)?;
        }
        self.provenance.check()
    }
}
