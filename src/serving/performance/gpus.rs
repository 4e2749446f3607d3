//! What a GPU is capable of, by its datasheet and by what models reach of it.

use super::by_name::ByName;
use super::provenance::Provenance;
use super::roofline::Efficiency;
use crate::problem::Problem;

const GIB: f64 = (1u64 << 30) as f64;

/// A GPU; one table of `models/gpus.toml`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// The driver's name for it, on which vLLM's defaults depend: `NVIDIA A100-SXM4-80GB`.
    pub name: String,
    /// Other names of it, such as those of node labels.
    #[serde(default)]
    pub also: Vec<String>,
    /// Memory as `torch.cuda.get_device_properties` gives it, in GiB: less than the datasheet's.
    pub memory_gib: f64,
    /// Peak of dense 16-bit matrix products, in 10^12 operations a second.
    pub bf16_tflops: f64,
    /// Peak of dense 8-bit matrix products, where it has them.
    pub fp8_tflops: Option<f64>,
    /// Memory bandwidth, in 10^9 bytes a second.
    pub memory_gb_per_s: f64,
    /// Bandwidth to the other GPUs of the node, both directions together, in 10^9 bytes a second.
    pub link_gb_per_s: f64,
    /// Whether the GPUs share that bandwidth (PCIe and the host's bridge) instead of having it each (NVLink).
    pub shared_link: bool,
    /// The largest batch, in tokens, that vLLM captures a CUDA graph for: 1024 on data-centre Blackwell, else 512.
    pub cuda_graph_tokens_max: u32,
    /// Capturing CUDA graphs takes this many times as long as on a large data-centre GPU.
    pub graph_capture_factor: f64,
    /// Where the datasheet's numbers come from.
    pub provenance: Provenance,
    /// What models reach of the peaks; or the name of the GPU whose efficiencies are taken.
    pub roofline: ByName<Efficiency>,
    /// What matrix products reach at its power limit, where that is known.
    pub sustained: Option<SustainedRate>,
    /// What it costs.
    pub price: Price,
}

/// What the matrix products of a GPU at its power limit reach; see [`Sustained`](super::step_time_spec::Sustained).
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SustainedRate {
    /// Steps of up to so many tokens are exempt.
    pub above_tokens: u32,
    /// Share of the peak of the weights' format.
    pub peak_share: f64,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// A price of GPU time.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For one GPU for one hour.
    pub per_gpu_hour: f64,
    /// ISO 4217 code: `USD`.
    pub currency: String,
    /// Where the price comes from.
    pub provenance: Provenance,
}

impl Gpu {
    /// Refuses what is no GPU, with keys relative to its table.
    ///
    /// # Errors
    /// A size or a speed that is no positive number, a bad price or efficiency.
    pub fn check(&self) -> Result<(), Problem> {
        let positive = [
            ("memory_gib", Some(self.memory_gib)),
            ("bf16_tflops", Some(self.bf16_tflops)),
            ("fp8_tflops", self.fp8_tflops),
            ("memory_gb_per_s", Some(self.memory_gb_per_s)),
            ("link_gb_per_s", Some(self.link_gb_per_s)),
            ("graph_capture_factor", Some(self.graph_capture_factor)),
        ];
        for (key, value) in positive {
            // Written so that NaN is refused too.
            if value.is_some_and(|value| !(value > 0.0 && value <= 1e6)) {
                return Err(Problem::key(key, format!("`{key}` is {}", value.unwrap_or_default()))
                    .help("a positive number, at most 1e6"));
            }
        }
        if let ByName::Inline(efficiency) = &self.roofline {
            efficiency.check().map_err(|problem| problem.under("roofline"))?;
        }
        if let Some(sustained) = &self.sustained {
            sustained.check().map_err(|problem| problem.under("sustained"))?;
        }
        self.price.check().map_err(|problem| problem.under("price"))?;
        self.provenance.check()
    }

    /// Whether both take the same time for a step, whatever they cost.
    pub(super) fn same_hardware(&self, other: &Gpu) -> bool {
        let hardware = |gpu: &Gpu| {
            let speeds =
                [gpu.memory_gb_per_s, gpu.link_gb_per_s, gpu.bf16_tflops, gpu.fp8_tflops.unwrap_or_default()];
            (speeds, gpu.memory_gib, gpu.shared_link)
        };
        self.name == other.name && hardware(self) == hardware(other)
    }

    /// Memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        (self.memory_gib * GIB) as u64
    }
}

impl SustainedRate {
    fn check(&self) -> Result<(), Problem> {
        // Written so that NaN is refused too.
        if !(self.peak_share > 0.0 && self.peak_share <= 2.0) {
            return Err(Problem::key("peak_share", format!("{} is no share of a peak", self.peak_share))
                .help("above 0 and at most 2"));
        }
        self.provenance.check()
    }
}

impl Price {
    /// Refuses what is no price, with keys relative to its table.
    ///
    /// # Errors
    /// A price that is negative or no number, a currency that is no ISO 4217 code.
    pub fn check(&self) -> Result<(), Problem> {
        if !(self.per_gpu_hour >= 0.0 && self.per_gpu_hour <= 1e6) {
            return Err(Problem::key("per_gpu_hour", format!("{} is no price", self.per_gpu_hour))
                .help("a number from 0 to 1e6"));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(Problem::key("currency", format!("`{}` is no currency", self.currency))
                .help("three capitals as in ISO 4217, such as \"USD\""));
        }
        self.provenance.check()
    }
}
