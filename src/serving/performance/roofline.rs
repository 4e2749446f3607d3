//! Step times from first principles: bytes over bandwidth and operations over peak, by what models reach of a GPU.
//!
//! For N tokens on one of `tp` GPUs:
//!
//! ```text
//! G(N) = sum over dense layers, experts, output layer of |( weight bytes / bandwidth, 2 * parameters * N / peak )|_p
//!        + activation bytes(N) / bandwidth + layers * layer_ms + all-reduces(N)
//! ```
//!
//! where |.|_p is the p-norm: a large p takes the larger of the two, p = 1 adds them. Each bandwidth and peak has a share of its
//! own, an [`Efficiency`], fitted to the tables of that GPU. Attention is linear in contexts and pairs, so the step-time form
//! and its closed form hold for estimates too.

use super::architectures::{Architecture, Dtype};
use super::gpus::Gpu;
use super::piecewise::number;
use super::provenance::Provenance;
use super::step_time_spec::{DecodeAttention, Gemm, PrefillAttention};
use crate::problem::Problem;
use serde::Deserialize;

/// What models reach of a GPU's peaks; `roofline` in `models/gpus.toml`. The set was fitted together, and absorbs what the form
/// does not count: one value alone means little, and some exceed 1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Share of the memory bandwidth when weights are read.
    pub memory: f64,
    /// Share of the peak of dense matrix products.
    pub gemm: f64,
    /// Factor on both in the experts of a mixture, at 16 or 8 bits.
    pub experts: f64,
    /// The same for MXFP4 experts.
    pub mxfp4_experts: f64,
    /// Factor on the 8-bit peak.
    pub fp8: f64,
    /// How sharply arithmetic follows memory: p of the norm that joins them; 1 adds.
    pub norm: f64,
    /// Share of the memory bandwidth when activations are read and written.
    pub activations: f64,
    /// Launches and small kernels, in ms a layer.
    pub layer_ms: f64,
    /// Fixed time of an all-reduce, of which a layer has two, in ms.
    pub all_reduce_ms: f64,
    /// Share of one direction of the link in an all-reduce.
    pub link: f64,
    /// Share of the memory bandwidth when decode attention reads the KV cache.
    pub decode_attention: f64,
    /// Fixed time of decode attention, in ms a layer.
    pub decode_layer_ms: f64,
    /// How often a decoding request's queries, keys and values cross the memory bus.
    pub decode_traffic: f64,
    /// Share of the 16-bit peak in prefill attention.
    pub prefill_attention: f64,
    /// Fixed time of prefill attention, in ms a layer.
    pub prefill_layer_ms: f64,
    /// How often a prefilling token's queries, keys and values cross the memory bus.
    pub prefill_traffic: f64,
    /// Where they come from.
    pub provenance: Provenance,
}

impl Efficiency {
    /// Refuses what is no efficiency, with keys relative to its table.
    ///
    /// # Errors
    /// A share or a norm that is no positive number, a time that is negative or no number.
    pub fn check(&self) -> Result<(), Problem> {
        let shares = [
            ("memory", self.memory),
            ("gemm", self.gemm),
            ("experts", self.experts),
            ("mxfp4_experts", self.mxfp4_experts),
            ("fp8", self.fp8),
            ("activations", self.activations),
            ("link", self.link),
            ("decode_attention", self.decode_attention),
            ("prefill_attention", self.prefill_attention),
        ];
        for (key, value) in shares {
            if !(0.001..=10.0).contains(&value) {
                return Err(Problem::key(key, format!("{value} is no share of a peak")).help("0.001 to 10"));
            }
        }
        if !(1.0..=100.0).contains(&self.norm) {
            return Err(Problem::key("norm", format!("there is no {}-norm", self.norm)).help("1 to 100"));
        }
        let times = [
            ("layer_ms", self.layer_ms),
            ("all_reduce_ms", self.all_reduce_ms),
            ("decode_layer_ms", self.decode_layer_ms),
            ("decode_traffic", self.decode_traffic),
            ("prefill_layer_ms", self.prefill_layer_ms),
            ("prefill_traffic", self.prefill_traffic),
        ];
        for (key, value) in times {
            number(key, value)?;
        }
        self.provenance.check()
    }
}

/// Knots of an estimate that has no table to take them from: the roofline has no stairs.
const KNOTS: [u32; 26] = [
    1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144,
    8192, 12288, 16384,
];

const MS_PER_S: f64 = 1e3;

/// One model on `tp` GPUs, as the roofline sees it.
#[derive(Clone, Copy, Debug)]
pub struct Roofline<'a> {
    /// The model.
    pub architecture: &'a Architecture,
    /// The GPU.
    pub gpu: &'a Gpu,
    /// What models reach of it.
    pub efficiency: &'a Efficiency,
    /// GPUs; at least 1.
    pub tp: u32,
    /// Format of the weights.
    pub dtype: Dtype,
}

impl Roofline<'_> {
    /// G: the time of a step of `tokens` tokens without attention, in ms. A step that only decodes computes logits for each
    /// token, a mixed one for few.
    pub fn gemm_ms(&self, tokens: u32, decode_only: bool) -> f64 {
        let (a, e) = (self.architecture, self.efficiency);
        let n = f64::from(tokens);
        let dense = self.dense_parameters();
        let mut seconds = self.product(dense * self.dense_bytes(), dense * n, 1.0, self.dtype);
        if let Some(moe) = &a.moe {
            let each = a.layer_parameters(a.feed_forward_parameters()) / f64::from(self.tp);
            let (count, passed) = (f64::from(moe.experts), f64::from(moe.top_k));
            // Each token chooses evenly: how many experts none of them passes.
            let idle = count * libm::pow(1.0 - passed / count, n);
            let (bytes, factor) = match self.dtype {
                Dtype::Mxfp4 => (Dtype::MXFP4_BYTES, e.mxfp4_experts),
                Dtype::Bf16 | Dtype::Fp8 => (self.dense_bytes(), e.experts),
            };
            seconds += self.product(each * (count - idle) * bytes, each * passed * n, factor, self.dtype);
        }
        let head = f64::from(a.vocab) * f64::from(a.hidden) / f64::from(self.tp);
        let rows = if decode_only { n } else { 1.0 };
        seconds += self.product(head * 2.0, head * rows, 1.0, Dtype::Bf16);
        seconds += self.activation_bytes() * n / (self.bandwidth() * e.activations);
        seconds * MS_PER_S + f64::from(a.layers) * (e.layer_ms + self.all_reduces_ms(n))
    }

    /// The time of a product of matrices that reads `bytes` and multiplies `multiplications` pairs of numbers.
    fn product(&self, bytes: f64, multiplications: f64, factor: f64, dtype: Dtype) -> f64 {
        let e = self.efficiency;
        let memory = bytes / (self.bandwidth() * e.memory * factor);
        let arithmetic = 2.0 * multiplications / (self.peak(dtype) * e.gemm * factor);
        libm::pow(libm::pow(memory, e.norm) + libm::pow(arithmetic, e.norm), 1.0 / e.norm)
    }

    /// The peak of matrix products in this format, in operations a second. Without 8-bit units, 8-bit weights are widened; MXFP4
    /// weights always are.
    fn peak(&self, dtype: Dtype) -> f64 {
        let tera = match (dtype, self.gpu.fp8_tflops) {
            (Dtype::Fp8, Some(fp8)) => fp8 * self.efficiency.fp8,
            _ => self.gpu.bf16_tflops,
        };
        tera * 1e12
    }

    fn bandwidth(&self) -> f64 {
        self.gpu.memory_gb_per_s * 1e9
    }

    fn dense_bytes(&self) -> f64 {
        if self.dtype == Dtype::Fp8 { 1.0 } else { 2.0 }
    }

    /// Parameters on each GPU that every token passes, without the embedding and the output layer.
    fn dense_parameters(&self) -> f64 {
        let a = self.architecture;
        let feed_forward = if a.moe.is_some() { 0.0 } else { a.feed_forward_parameters() };
        let attention = a.attention_parameters(self.tp);
        a.layer_parameters(attention + feed_forward) / f64::from(self.tp)
    }

    /// Parameters on each GPU that a token passes, without the embedding and the output layer.
    fn passed_parameters(&self) -> f64 {
        let a = self.architecture;
        let experts = a.moe.map_or(0.0, |moe| f64::from(moe.top_k) * a.feed_forward_parameters());
        self.dense_parameters() + a.layer_parameters(experts) / f64::from(self.tp)
    }

    /// Bytes of activations that one token moves on each GPU: four times the residual stream, queries, keys and values, and
    /// three times the feed-forward layer, at two bytes.
    fn activation_bytes(&self) -> f64 {
        let a = self.architecture;
        let tp = f64::from(self.tp);
        let experts = f64::from(a.moe.map_or(1, |moe| moe.top_k));
        let heads = f64::from(a.heads) / tp + 2.0 * self.kv_heads();
        let feed_forward = 3.0 * f64::from(a.intermediate) * experts / tp;
        2.0 * a.layer_parameters(4.0 * f64::from(a.hidden) + heads * f64::from(a.head_dim) + feed_forward)
    }

    /// Key/value heads on each GPU.
    fn kv_heads(&self) -> f64 {
        f64::from((self.architecture.kv_heads / self.tp).max(1))
    }

    /// The two all-reduces of a layer, as rings.
    fn all_reduces_ms(&self, tokens: f64) -> f64 {
        if self.tp == 1 {
            return 0.0;
        }
        let others = f64::from(self.tp) - 1.0;
        let bytes = 2.0 * others / f64::from(self.tp) * tokens * f64::from(self.architecture.hidden) * 2.0;
        let sharers = if self.gpu.shared_link { others } else { 1.0 };
        let one_direction = self.gpu.link_gb_per_s * 1e9 / 2.0 * self.efficiency.link;
        2.0 * (self.efficiency.all_reduce_ms + sharers * bytes / one_direction * MS_PER_S)
    }

    /// Bytes of queries, keys, values and outputs of one token on each GPU.
    fn qkv_bytes(&self) -> f64 {
        let a = self.architecture;
        let heads = (2.0 * f64::from(a.heads) + 2.0 * f64::from(a.kv_heads)) / f64::from(self.tp);
        2.0 * a.layer_parameters(heads * f64::from(a.head_dim))
    }

    /// Attention of the requests that decode, with `number_bytes` bytes a number in the KV cache.
    pub fn decode_attention(&self, number_bytes: u32) -> DecodeAttention {
        let (a, e) = (self.architecture, self.efficiency);
        let token = a.kv_bytes_per_token(self.tp, number_bytes) as f64;
        DecodeAttention {
            step_ms: f64::from(a.layers) * e.decode_layer_ms,
            request_ms: e.decode_traffic * self.qkv_bytes() / self.bandwidth() * MS_PER_S,
            context_token_ms: token / (self.bandwidth() * e.decode_attention) * MS_PER_S,
        }
    }

    /// Attention of the requests that prefill. A pair costs two products of a head's width.
    pub fn prefill_attention(&self) -> PrefillAttention {
        let (a, e) = (self.architecture, self.efficiency);
        let width = f64::from(a.heads) * f64::from(a.head_dim) / f64::from(self.tp);
        let operations = 4.0 * f64::from(a.kv_layers()) * width;
        PrefillAttention {
            step_ms: f64::from(a.layers) * e.prefill_layer_ms,
            token_ms: e.prefill_traffic * self.qkv_bytes() / self.bandwidth() * MS_PER_S,
            pair_ms: operations / (self.gpu.bf16_tflops * 1e12 * e.prefill_attention) * MS_PER_S,
        }
    }

    /// G at knots of its own.
    pub fn gemm(&self) -> Gemm {
        let column = |decode_only| KNOTS.iter().map(|n| self.gemm_ms(*n, decode_only)).collect();
        Gemm { tokens: KNOTS.to_vec(), decode_ms: column(true), mixed_ms: column(false) }
    }

    /// What each token takes on a GPU at its power limit, where its rate is known, in ms.
    pub fn sustained_token_ms(&self) -> Option<f64> {
        let rate = self.gpu.sustained.as_ref()?;
        let peak = match (self.dtype, self.gpu.fp8_tflops) {
            (Dtype::Fp8, Some(fp8)) => fp8,
            _ => self.gpu.bf16_tflops,
        };
        Some(2.0 * self.passed_parameters() / (rate.peak_share * peak * 1e12) * MS_PER_S)
    }

    /// Whether a table says more than twice what the roofline does for a single token: then its kernels were not those that vLLM
    /// would choose, and nothing is estimated from it.
    pub fn doubts(&self, table: &Gemm) -> bool {
        table.decode_ms.first().is_some_and(|ms| *ms > 2.0 * self.gemm_ms(1, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }";

    fn architecture() -> Architecture {
        toml::from_str(&format!(
            "publisher = 'a'\nlayers = 10\nhidden = 1000\nheads = 10\nkv_heads = 5\nhead_dim = 100\nintermediate = 4000
            vocab = 10000\nparameters_billion = 0.17\ntied_embeddings = false\nmax_model_len = 4096\n{KNOWN}"
        ))
        .expect("the architecture reads")
    }

    /// Everything at its peak, times simply added.
    fn ideal() -> Efficiency {
        toml::from_str(&format!(
            "memory = 1.0\ngemm = 1.0\nexperts = 1.0\nmxfp4_experts = 1.0\nfp8 = 1.0\nnorm = 1.0\nactivations = 10.0
            layer_ms = 0.0\nall_reduce_ms = 0.0\nlink = 1.0\ndecode_attention = 1.0\ndecode_layer_ms = 0.0
            decode_traffic = 0.0\nprefill_attention = 1.0\nprefill_layer_ms = 0.0\nprefill_traffic = 0.0\n{KNOWN}"
        ))
        .expect("the efficiency reads")
    }

    fn gpu() -> Gpu {
        toml::from_str(&format!(
            "name = 'x'\nmemory_gib = 80.0\nbf16_tflops = 100.0\nmemory_gb_per_s = 1000.0\nlink_gb_per_s = 200.0
            shared_link = false\ncuda_graph_tokens_max = 512\ngraph_capture_factor = 1.0\nroofline = 'itself'\n{KNOWN}
            [sustained]\nabove_tokens = 1024\npeak_share = 0.5\n{KNOWN}
            [price]\nper_gpu_hour = 1.0\ncurrency = 'USD'\n{KNOWN}"
        ))
        .expect("the GPU reads")
    }

    #[test]
    fn an_ideal_gpu_takes_bytes_over_bandwidth_and_operations_over_peak() {
        let (architecture, gpu, efficiency) = (architecture(), gpu(), ideal());
        let one = Roofline {
            architecture: &architecture,
            gpu: &gpu,
            efficiency: &efficiency,
            tp: 1,
            dtype: Dtype::Bf16,
        };
        // A layer has 3 M parameters in attention and 12 M in the feed-forward part; the output layer 10 M.
        let (memory, arithmetic) = (320e6 / 1e9, 2.0 * 160e6 / 1e11);
        // 4000 + 2000 + 12000 numbers a layer, at ten times the bandwidth.
        let activations = 2.0 * 10.0 * 18_000.0 / 1e10;
        assert!((one.gemm_ms(1, true) - (memory + arithmetic + activations)).abs() < 1e-9);
        let mixed = memory + 100.0 * (2.0 * 150e6 / 1e11 + activations) + 2.0 * 10e6 / 1e11;
        assert!((one.gemm_ms(100, false) - mixed).abs() < 1e-9, "one row of logits");
        assert!((one.decode_attention(2).context_token_ms - 20_000.0 / 1e9).abs() < 1e-15);
        assert!((one.prefill_attention().pair_ms - 4.0 * 10.0 * 1000.0 / 1e11).abs() < 1e-15);
        let token = one.sustained_token_ms().expect("the rate is known");
        assert!((token - 2.0 * 150e6 / 0.5e11).abs() < 1e-12);
    }

    #[test]
    fn gpus_share_the_work_and_pay_for_the_all_reduce() {
        let (architecture, mut gpu, efficiency) = (architecture(), gpu(), ideal());
        let time = |gpu: &Gpu, tp| {
            let roofline = Roofline {
                architecture: &architecture,
                gpu,
                efficiency: &efficiency,
                tp,
                dtype: Dtype::Bf16,
            };
            roofline.gemm_ms(64, true)
        };
        // The residual stream is on each GPU; half of the rest; and 2 x 10 rings of 64 x 1000 x 2 bytes over 100 GB/s.
        let residual = 64.0 * 2.0 * 10.0 * 4000.0 / 1e10;
        let ring = 20.0 * 64.0 * 2000.0 / 1e8;
        // Five key/value heads on two GPUs are two on each.
        let heads = 64.0 * 2.0 * 10.0 * 2.0 * 0.5 * 100.0 / 1e10;
        assert!((time(&gpu, 2) - (time(&gpu, 1) + residual) / 2.0 - ring + heads).abs() < 1e-9);
        let (nvlink, alone) = (time(&gpu, 5), time(&gpu, 1));
        gpu.shared_link = true;
        assert!(time(&gpu, 5) > nvlink && time(&gpu, 1) == alone, "four others share the link");
    }

    #[test]
    fn a_table_far_above_the_roofline_is_in_doubt() {
        let (architecture, gpu, efficiency) = (architecture(), gpu(), ideal());
        let one = Roofline {
            architecture: &architecture,
            gpu: &gpu,
            efficiency: &efficiency,
            tp: 1,
            dtype: Dtype::Bf16,
        };
        let mut table = one.gemm();
        assert!(!one.doubts(&table));
        table.decode_ms[0] *= 2.1;
        assert!(one.doubts(&table));
    }
}
