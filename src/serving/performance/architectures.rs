//! The shape of a model, as its published configuration gives it: what memory and arithmetic follow from.

use super::provenance::Provenance;
use crate::problem::Problem;
use crate::units::Tokens;

/// In which format the weights are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// 16-bit weights and activations; `fp16` has the same size and speed.
    #[serde(alias = "fp16")]
    Bf16,
    /// 8-bit weights and activations in the linear layers; embeddings and the output layer stay at 16 bits.
    Fp8,
    /// MXFP4 experts (4 bits and a shared 8-bit scale for each 32 weights), everything else at 16 bits.
    Mxfp4,
}

impl Dtype {
    /// Bytes of an MXFP4 weight: 4 bits, and its part of a scale.
    pub(super) const MXFP4_BYTES: f64 = (4.0 + 8.0 / 32.0) / 8.0;

    /// The word of the files.
    pub const fn word(self) -> &'static str {
        match self {
            Dtype::Bf16 => "bf16",
            Dtype::Fp8 => "fp8",
            Dtype::Mxfp4 => "mxfp4",
        }
    }
}

/// A model's shape; one table of `models/architectures.toml`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The publisher's name of it: `meta-llama/Llama-3.2-3B`.
    pub publisher: String,
    /// Other names of it.
    #[serde(default)]
    pub also: Vec<String>,
    /// Transformer layers.
    pub layers: u32,
    /// Layers whose KV cache grows with the context; `layers` when left out. Fewer where some layers attend to a short
    /// window only: what those keep does not grow and is left out.
    pub kv_layers: Option<u32>,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Width of the feed-forward layer; of one expert in a mixture of experts.
    pub intermediate: u32,
    /// Entries of the vocabulary.
    pub vocab: u32,
    /// All parameters, in 10^9.
    pub parameters_billion: f64,
    /// Whether the output layer is the embedding.
    pub tied_embeddings: bool,
    /// The longest context of the published configuration, in tokens.
    pub max_model_len: Tokens,
    /// The mixture of experts, where it is one.
    pub moe: Option<Moe>,
    /// Where the shape comes from.
    pub provenance: Provenance,
}

/// The experts of a mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moe {
    /// Experts of a layer.
    pub experts: u32,
    /// Experts that a token passes.
    pub top_k: u32,
    /// Parameters that a token passes, in 10^9.
    pub active_billion: f64,
}

impl Architecture {
    /// Refuses what is no model, with keys relative to its table.
    ///
    /// # Errors
    /// A size that is zero, more layers with a KV cache than layers, key/value heads that do not divide the heads, parameters
    /// that are no positive number, experts that contradict each other.
    pub fn check(&self) -> Result<(), Problem> {
        for (key, size) in self.sizes() {
            // The bound keeps the bytes of a token, twice the product of three sizes, within 64 bits.
            if size == 0 || size > 1_000_000 {
                return Err(
                    Problem::key(key, format!("`{key}` is {size}")).help("it counts from 1 to 1000000")
                );
            }
        }
        if self.max_model_len == Tokens::ZERO || self.max_model_len.get() > i32::MAX as u32 {
            let message = format!("`max_model_len` is {}", self.max_model_len);
            return Err(Problem::key("max_model_len", message).help("in tokens, from 1 to 2147483647"));
        }
        if self.kv_layers() > self.layers {
            let message = format!("{} layers with a KV cache, but {} layers", self.kv_layers(), self.layers);
            return Err(Problem::key("kv_layers", message).help("at most `layers`"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let message = format!("{} heads cannot share {} key/value heads", self.heads, self.kv_heads);
            return Err(Problem::key("kv_heads", message).help("a divisor of `heads`"));
        }
        parameters("parameters_billion", self.parameters_billion)?;
        if let Some(moe) = &self.moe {
            parameters("moe.active_billion", moe.active_billion)?;
            if moe.top_k == 0 || moe.top_k > moe.experts || moe.active_billion > self.parameters_billion {
                return Err(Problem::key("moe", "a token passes more experts or parameters than there are")
                    .help("`top_k` is 1 to `experts`, `active_billion` at most `parameters_billion`"));
            }
        }
        self.provenance.check()
    }

    fn sizes(&self) -> [(&'static str, u32); 8] {
        [
            ("layers", self.layers),
            ("kv_layers", self.kv_layers()),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("intermediate", self.intermediate),
            ("vocab", self.vocab),
        ]
    }

    /// Refuses a tensor parallelism that vLLM would not start with.
    ///
    /// # Errors
    /// A problem with `tensor_parallel`: zero, heads that it does not divide, key/value heads that neither divide it nor are
    /// divided by it (vLLM `model_executor/models/*.py`: heads are split evenly, key/value heads split or replicated evenly).
    pub fn check_tensor_parallel(&self, tp: u32) -> Result<(), Problem> {
        let splits = |tp: u32| {
            self.heads.is_multiple_of(tp)
                && (self.kv_heads.is_multiple_of(tp) || tp.is_multiple_of(self.kv_heads))
        };
        if tp > 0 && splits(tp) {
            return Ok(());
        }
        let fits: Vec<String> = (1..=16).filter(|tp| splits(*tp)).map(|tp| tp.to_string()).collect();
        let message = format!(
            "{tp} GPUs cannot share the {} heads and {} key/value heads of {} evenly",
            self.heads, self.kv_heads, self.publisher
        );
        Err(Problem::key("tensor_parallel", message).help(format!("one of {}", fits.join(", "))))
    }

    /// Layers whose KV cache grows with the context.
    pub fn kv_layers(&self) -> u32 {
        self.kv_layers.unwrap_or(self.layers)
    }

    /// Parameters of the embedding, and of the output layer where it is another.
    fn embedding_parameters(&self) -> f64 {
        let copies = if self.tied_embeddings { 1.0 } else { 2.0 };
        copies * f64::from(self.vocab) * f64::from(self.hidden)
    }

    /// `each` of every layer.
    pub(super) fn layer_parameters(&self, each: f64) -> f64 {
        f64::from(self.layers) * each
    }

    /// Parameters of one layer's feed-forward part, or of one of its experts: three matrices.
    pub(super) fn feed_forward_parameters(&self) -> f64 {
        3.0 * f64::from(self.hidden) * f64::from(self.intermediate)
    }

    /// Parameters of one layer's attention over all of `tp` GPUs, which replicate key/value heads where there are too few.
    pub(super) fn attention_parameters(&self, tp: u32) -> f64 {
        let kv_heads = f64::from(self.kv_heads.max(tp));
        let heads = 2.0 * f64::from(self.heads) + 2.0 * kv_heads;
        f64::from(self.hidden) * heads * f64::from(self.head_dim)
    }

    /// Parameters of all experts.
    fn expert_parameters(&self) -> f64 {
        let experts = self.moe.map_or(0, |moe| moe.experts);
        f64::from(experts) * self.layer_parameters(self.feed_forward_parameters())
    }

    /// Whether both have the same step times and memory, whatever they are called.
    pub(super) fn same_shape(&self, other: &Architecture) -> bool {
        let shape = |a: &Architecture| {
            let moe = a.moe.map(|moe| (moe.experts, moe.top_k));
            let width = (a.hidden, a.heads, a.kv_heads, a.head_dim, a.intermediate);
            (a.layers, a.kv_layers(), width, a.vocab, a.tied_embeddings, moe)
        };
        shape(self) == shape(other)
    }

    /// Bytes of all weights, over all GPUs. For bf16 that is 2 bytes a parameter, which logs of vLLM confirm to 0.1 %.
    pub fn weight_bytes(&self, dtype: Dtype) -> u64 {
        let all = self.parameters_billion * 1e9;
        let bytes = match dtype {
            Dtype::Bf16 => 2.0 * all,
            Dtype::Fp8 => {
                let wide = self.embedding_parameters().min(all);
                (all - wide) + 2.0 * wide
            }
            Dtype::Mxfp4 => {
                let narrow = self.expert_parameters().min(all);
                2.0 * (all - narrow) + narrow * Dtype::MXFP4_BYTES
            }
        };
        bytes as u64
    }

    /// Bytes of KV cache that one token takes on each of `tp` GPUs, with `bytes` bytes a number. Key/value heads are
    /// replicated where there are more GPUs than heads (vLLM `ModelConfig.get_num_kv_heads`).
    pub fn kv_bytes_per_token(&self, tp: u32, bytes: u32) -> u64 {
        let heads = u64::from((self.kv_heads / tp.max(1)).max(1));
        2 * u64::from(self.kv_layers()) * heads * u64::from(self.head_dim) * u64::from(bytes)
    }
}

fn parameters(key: &str, billion: f64) -> Result<(), Problem> {
    // Written so that NaN is refused too.
    if billion > 0.0 && billion <= 1e5 {
        return Ok(());
    }
    Err(Problem::key(key, format!("{billion} is no number of parameters")).help("in 10^9, such as 8.03"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;

    fn read(text: &str) -> Architecture {
        let known = "provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }";
        toml::from_str(&format!("{known}\n{text}")).expect(text)
    }

    fn llama_8b() -> Architecture {
        read(
            "publisher = 'a'\nlayers = 32\nhidden = 4096\nheads = 32\nkv_heads = 8\nhead_dim = 128\nintermediate = 14336
            vocab = 128256\nparameters_billion = 8.03\ntied_embeddings = false\nmax_model_len = 131072",
        )
    }

    fn gpt_oss_120b() -> Architecture {
        read(
            "publisher = 'b'\nlayers = 36\nkv_layers = 18\nhidden = 2880\nheads = 64\nkv_heads = 8\nhead_dim = 64
            intermediate = 2880\nvocab = 201088\nparameters_billion = 116.8\ntied_embeddings = false
            max_model_len = 131072\nmoe = { experts = 128, top_k = 4, active_billion = 5.1 }",
        )
    }

    #[test]
    fn a_token_takes_the_bytes_that_vllm_counts() {
        let model = llama_8b();
        assert_eq!(model.kv_bytes_per_token(1, 2), 131_072);
        assert_eq!(model.kv_bytes_per_token(4, 2), 32_768);
        assert_eq!(model.kv_bytes_per_token(8, 1), 8_192);
        assert_eq!(model.kv_bytes_per_token(16, 2), 16_384, "beyond the heads they are replicated");
        assert_eq!(
            gpt_oss_120b().kv_bytes_per_token(1, 2),
            36_864,
            "only the layers with full attention grow"
        );
    }

    #[test]
    fn weights_have_the_size_of_the_published_checkpoints() {
        let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
        assert!((gib(llama_8b().weight_bytes(Dtype::Bf16)) - 14.96).abs() < 0.01);
        // 8-bit linear layers, 16-bit embedding and output layer: the files of the FP8 checkpoints have 8.5 GiB.
        assert!((gib(llama_8b().weight_bytes(Dtype::Fp8)) - 8.5).abs() < 0.1);
        // The files of openai/gpt-oss-120b have 60.8 GiB.
        assert!((gib(gpt_oss_120b().weight_bytes(Dtype::Mxfp4)) - 60.8).abs() < 0.2);
    }

    #[test]
    fn parallelism_must_divide_the_heads() {
        let fits = |tp| llama_8b().check_tensor_parallel(tp).is_ok();
        assert_eq!((0..=64).filter(|tp| fits(*tp)).collect::<Vec<u32>>(), [1, 2, 4, 8, 16, 32]);
    }

    #[test]
    fn what_is_no_model_is_refused_at_its_key() {
        type Change = fn(&mut Architecture);
        let cases: [(&str, Change); 9] = [
            ("layers", |a| a.layers = 0),
            ("vocab", |a| a.vocab = u32::MAX),
            ("max_model_len", |a| a.max_model_len = Tokens(0)),
            ("kv_layers", |a| a.kv_layers = Some(33)),
            ("kv_heads", |a| a.kv_heads = 5),
            ("parameters_billion", |a| a.parameters_billion = f64::NAN),
            ("parameters_billion", |a| a.parameters_billion = 0.0),
            ("moe", |a| a.moe = Some(Moe { experts: 4, top_k: 5, active_billion: 1.0 })),
            ("moe.active_billion", |a| a.moe = Some(Moe { experts: 4, top_k: 2, active_billion: -1.0 })),
        ];
        assert_eq!(llama_8b().check(), Ok(()));
        for (key, change) in cases {
            let mut model = llama_8b();
            change(&mut model);
            let problem = model.check().expect_err(key);
            assert_eq!(problem.place, Place::Key(key.to_owned()));
            assert!(problem.help.is_some(), "{problem}: no remedy");
        }
    }
}
