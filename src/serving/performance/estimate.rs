//! A combination of model and GPU that has no file: its step times from the nearest table, else from the roofline.
//!
//! The roofline says how two combinations differ much better than what each of them takes, so a table is scaled by the ratio of
//! the two rooflines, knot by knot, and keeps its stairs.

use super::architectures::{Architecture, Dtype};
use super::by_name::{ByName, Catalogue};
use super::gpus::Gpu;
use super::model_file::ModelFile;
use super::provenance::Knowledge;
use super::roofline::Roofline;
use super::step_time_spec::{DecodeAttention, Gemm, PrefillAttention, StepTimeSpec};
use super::typical;
use crate::problem::Problem;
use serde::Deserialize;

/// What is to be served, on what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combination {
    /// The architecture, by its name in `models/architectures.toml` or written out.
    pub architecture: ByName<Architecture>,
    /// The GPU, by its name in `models/gpus.toml` or written out.
    pub gpu: ByName<Gpu>,
    /// GPUs of a replica; 1 when left out.
    #[serde(default = "one")]
    pub tensor_parallel: u32,
    /// Format of the weights; bf16 when left out.
    #[serde(default = "bf16")]
    pub dtype: Dtype,
}

const fn one() -> u32 {
    1
}

const fn bf16() -> Dtype {
    Dtype::Bf16
}

/// The model file of `wanted`: the one among `files`, if it is there; else one estimated from the nearest of them, or from the
/// roofline alone where none is near. An estimate says so in [`ModelFile::caution`] and in its provenance.
///
/// # Errors
/// A problem with `architecture`, `gpu`, `tensor_parallel` or `dtype`: an unknown name (with the nearest known ones), heads that
/// the GPUs cannot share, weights that do not fit.
pub fn model_file(
    wanted: &Combination,
    files: &[ModelFile],
    catalogue: &Catalogue,
) -> Result<ModelFile, Problem> {
    let target = roofline(wanted, catalogue)?;
    target.architecture.check_tensor_parallel(wanted.tensor_parallel)?;
    let mut nearest: Option<(f64, &ModelFile, Roofline<'_>)> = None;
    for file in files {
        let source = roofline_of(file, catalogue)?;
        let distance = distance(&target, &source);
        if distance == 0.0 {
            return Ok(file.clone());
        }
        let nearer = nearest.as_ref().is_none_or(|(least, ..)| distance < *least);
        if nearer && !source.doubts(&file.step_time.gemm) {
            nearest = Some((distance, file, source));
        }
    }
    let name = name_of(wanted);
    let file = match nearest {
        Some((distance, file, source)) if distance < TOO_FAR => scaled(&name, wanted, &target, file, &source),
        _ => from_roofline(&name, wanted, &target),
    };
    file.resolve(catalogue)?;
    Ok(file)
}

fn roofline<'a>(wanted: &'a Combination, catalogue: &'a Catalogue) -> Result<Roofline<'a>, Problem> {
    let gpu = catalogue.gpu(&wanted.gpu)?;
    Ok(Roofline {
        architecture: catalogue.architecture(&wanted.architecture)?,
        gpu,
        efficiency: catalogue.efficiency(gpu).map_err(|problem| problem.under("gpu"))?,
        tp: wanted.tensor_parallel.max(1),
        dtype: wanted.dtype,
    })
}

fn roofline_of<'a>(file: &'a ModelFile, catalogue: &'a Catalogue) -> Result<Roofline<'a>, Problem> {
    let gpu = catalogue.gpu(&file.gpu)?;
    Ok(Roofline {
        architecture: catalogue.architecture(&file.architecture)?,
        gpu,
        efficiency: catalogue.efficiency(gpu).map_err(|problem| problem.under("gpu"))?,
        tp: file.tensor_parallel.max(1),
        dtype: file.dtype,
    })
}

/// From here on the roofline alone is no worse than the nearest table.
const TOO_FAR: f64 = 0.1;

/// About how large the median error is of an estimate for `target` from the table of `source`; zero for the same combination.
///
/// The parts follow from estimating each of the shipped tables from each other one: another model of the same kind on the same
/// GPUs 2 % (experts: more), another parallelism or another GPU 4 % (10 % where all-reduces go over PCIe), another format of
/// the weights 9 %, a dense model from a mixture of experts or the reverse 12 %.
fn distance(target: &Roofline<'_>, source: &Roofline<'_>) -> f64 {
    let octaves = |a: f64, b: f64| libm::fabs(libm::log2(a / b));
    let each_tp = if target.gpu.shared_link || source.gpu.shared_link { 0.05 } else { 0.02 };
    let mut distance = each_tp * octaves(f64::from(target.tp), f64::from(source.tp));
    if !target.gpu.same_hardware(source.gpu) {
        distance += 0.03 + 0.01 * octaves(target.gpu.memory_gb_per_s, source.gpu.memory_gb_per_s);
    }
    if !target.architecture.same_shape(source.architecture) {
        let [to, from] = [target, source].map(|side| side.architecture.parameters_billion);
        let experts = if target.architecture.moe.is_some() { 0.05 } else { 0.0 };
        distance += 0.01 + experts + 0.005 * octaves(to, from);
    }
    if target.architecture.moe.is_some() != source.architecture.moe.is_some() {
        distance += 0.1;
    }
    if target.dtype != source.dtype {
        distance += 0.06;
    }
    distance
}

fn name_of(wanted: &Combination) -> String {
    fn word<'a, T>(by_name: &'a ByName<T>, inline: &'a str) -> &'a str {
        match by_name {
            ByName::Name(name) => name,
            ByName::Inline(_) => inline,
        }
    }
    let dtype = if wanted.dtype == Dtype::Fp8 { "-fp8" } else { "" };
    let (model, gpu) = (word(&wanted.architecture, "model"), word(&wanted.gpu, "gpu"));
    format!("{model}{dtype}-{gpu}-tp{}", wanted.tensor_parallel).to_lowercase()
}

fn scaled(
    name: &str,
    wanted: &Combination,
    target: &Roofline<'_>,
    file: &ModelFile,
    source: &Roofline<'_>,
) -> ModelFile {
    let table = &file.step_time;
    let column = |ms: &[f64], decode_only: bool| -> Vec<f64> {
        let ratio = |n: u32| target.gemm_ms(n, decode_only) / source.gemm_ms(n, decode_only);
        rising_end(table.gemm.tokens.iter().zip(ms).map(|(n, ms)| ms * ratio(*n)).collect())
    };
    let (to, from) =
        (target.decode_attention(number_bytes(target)), source.decode_attention(number_bytes(source)));
    let decode = &table.decode_attention;
    let decode_attention = DecodeAttention {
        step_ms: decode.step_ms * ratio(to.step_ms, from.step_ms),
        request_ms: decode.request_ms * ratio(to.request_ms, from.request_ms),
        context_token_ms: decode.context_token_ms * ratio(to.context_token_ms, from.context_token_ms),
    };
    let (to, from) = (target.prefill_attention(), source.prefill_attention());
    let prefill = &table.prefill_attention;
    let prefill_attention = PrefillAttention {
        step_ms: prefill.step_ms * ratio(to.step_ms, from.step_ms),
        token_ms: prefill.token_ms * ratio(to.token_ms, from.token_ms),
        pair_ms: prefill.pair_ms * ratio(to.pair_ms, from.pair_ms),
    };
    let gemm = Gemm {
        tokens: table.gemm.tokens.clone(),
        decode_ms: column(&table.gemm.decode_ms, true),
        mixed_ms: column(&table.gemm.mixed_ms, false),
    };
    let how = format!("the table of {}, scaled by the ratio of the two rooflines", file.name);
    file_of(name, wanted, target, gemm, decode_attention, prefill_attention, &how)
}

fn from_roofline(name: &str, wanted: &Combination, target: &Roofline<'_>) -> ModelFile {
    file_of(
        name,
        wanted,
        target,
        target.gemm(),
        target.decode_attention(number_bytes(target)),
        target.prefill_attention(),
        "the roofline alone",
    )
}

/// Everything but the times of steps is typical.
fn file_of(
    name: &str,
    wanted: &Combination,
    target: &Roofline<'_>,
    gemm: Gemm,
    decode_attention: DecodeAttention,
    prefill_attention: PrefillAttention,
    how: &str,
) -> ModelFile {
    ModelFile {
        name: name.to_owned(),
        caution: Some(format!(
            "the step times of {name} are an estimate from {how}: no table has this combination (docs/models.md says how far \
             such estimates are off)"
        )),
        architecture: wanted.architecture.clone(),
        gpu: wanted.gpu.clone(),
        tensor_parallel: wanted.tensor_parallel,
        dtype: wanted.dtype,
        step_time: StepTimeSpec {
            alpha: 1.0,
            provenance: typical::known(Knowledge::Assumed, format!("estimated: {how}")),
            fit: None,
            decode_attention,
            prefill_attention,
            mixed_attention: typical::mixed_attention(target),
            host: typical::host(target),
            host_sync: typical::host_sync(),
            cpu_floor: typical::cpu_floor(),
            sustained: typical::sustained(target),
            gemm,
        },
        request_path: typical::request_path(target),
        kv_cache: typical::kv_cache(wanted.dtype),
        startup: typical::startup(target.architecture, target.gpu, wanted.tensor_parallel),
        price: None,
    }
}

fn number_bytes(roofline: &Roofline<'_>) -> u32 {
    typical::kv_cache(roofline.dtype).number_bytes
}

/// `to / from`; 1 where there is nothing to compare.
fn ratio(to: f64, from: f64) -> f64 {
    if from > 0.0 { to / from } else { 1.0 }
}

/// The slope beyond the last knot must not fall, and ratios that shrink could make it.
fn rising_end(mut ms: Vec<f64>) -> Vec<f64> {
    if let [.., before, last] = ms.as_mut_slice() {
        *last = last.max(*before);
    }
    ms
}
