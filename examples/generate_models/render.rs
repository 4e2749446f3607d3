//! The text of the model files: what each number is, and where it comes from.

use dryscale::problem::Problem;
use dryscale::serving::performance::{Architecture, ByName, Catalogue, Dtype, Gpu};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// When the sources were read.
const DATE: &str = "2026-11-23";

/// One combination of the coefficient table.
#[derive(Deserialize)]
struct Combination {
    gpu: String,
    model: String,
    tp: u32,
    dtype: Dtype,
    knots: Vec<u32>,
    gemm_decode_ms: Vec<f64>,
    gemm_mixed_ms: Vec<f64>,
    decode_attn: DecodeAttention,
    prefill_attn: PrefillAttention,
    fit: Fit,
}

#[derive(Deserialize)]
struct DecodeAttention {
    c0: f64,
    c_req: f64,
    c_kv: f64,
}

#[derive(Deserialize)]
struct PrefillAttention {
    c0: f64,
    c_tok: f64,
    c_pair: f64,
}

#[derive(Deserialize)]
struct Fit {
    median_ape: f64,
    p95_ape: f64,
}

/// The table's name of a GPU, its name in `models/gpus.toml`, and the vLLM release whose kernels were measured on it.
const GPUS: [(&str, &str, &str); 5] = [
    ("a100_sxm", "a100-80gb", "0.14.0"),
    ("h100_sxm", "h100-80gb", "0.24.0"),
    ("h200_sxm", "h200", "0.24.0"),
    ("b200_sxm", "b200", "0.24.0"),
    ("l40s", "l40s", "0.24.0"),
];

/// Name and text of each file, in order of the names.
pub(crate) fn model_files(table: &str, catalogue: &Catalogue) -> Result<BTreeMap<String, String>, Problem> {
    let table: BTreeMap<String, Combination> = serde_json::from_str(table)
        .map_err(|why| Problem::whole(format!("the coefficient table is not what it was: {why}")))?;
    table.values().map(|combination| model_file(combination, catalogue)).collect()
}

fn model_file(c: &Combination, catalogue: &Catalogue) -> Result<(String, String), Problem> {
    let (_, gpu_name, kernels) = GPUS
        .into_iter()
        .find(|(theirs, ..)| *theirs == c.gpu)
        .ok_or_else(|| Problem::whole(format!("the GPU `{}` has no name of ours yet", c.gpu)))?;
    let served = c.model.to_lowercase();
    let architecture_name = served.trim_end_matches("-fp8");
    let architecture = catalogue.architecture(&ByName::Name(architecture_name.to_owned()))?.clone();
    let gpu = catalogue.gpu(&ByName::Name(gpu_name.to_owned()))?.clone();
    let name = format!("{served}-{gpu_name}-tp{}", c.tp);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\
# {publisher} ({dtype}) on {tp} x {gpu}, vLLM 0.32.
# Written by `cargo run --example generate_models`; docs/models.md says how each number is known.
{unfit}
name = \"{name}\"
architecture = \"{architecture_name}\"
gpu = \"{gpu_name}\"
tensor_parallel = {tp}
dtype = \"{dtype}\"

",
        publisher = architecture.publisher,
        dtype = c.dtype.word(),
        tp = c.tp,
        gpu = gpu.name,
        unfit = unfit(&architecture, &gpu, c),
    );
    text += &request_path();
    text += &kv_cache(c.dtype);
    text += &startup(&architecture, &gpu, c.tp);
    text += &price(&gpu);
    text += &step_time(c, kernels);
    Ok((name, text))
}

/// The grid has kernel times also where the weights do not fit.
fn unfit(architecture: &Architecture, gpu: &Gpu, c: &Combination) -> &'static str {
    if architecture.weight_bytes(c.dtype) / u64::from(c.tp) < gpu.memory_bytes() {
        return "";
    }
    "# The weights do not fit: it cannot be served, and only step times of other combinations are estimated from it.\n"
}

fn provenance(kind: &str, source: &str) -> String {
    format!("provenance = {{ kind = \"{kind}\", date = \"{DATE}\", source = \"{source}\" }}\n")
}

fn request_path() -> String {
    let known = provenance(
        "fitted",
        "client timestamps of Qwen3-14B on one H100, vLLM 0.23, 2 requests/s (inference-sim/residency-vllm 2641b576)",
    );
    format!("[request_path]\ninput = \"3.4ms\"\noutput = \"2.4ms\"\nidle_penalty = \"3.7ms\"\n{known}\n")
}

fn kv_cache(dtype: Dtype) -> String {
    // The FP8 combinations of the grid were composed with an FP8 cache: their slope per context token is half of bf16's.
    let number_bytes = if dtype == Dtype::Fp8 { 1 } else { 2 };
    let known = provenance(
        "fitted",
        "logged KV cache sizes of vLLM 0.15.1 and 0.23.0 on H100, five models, within 0.1 GiB; graphs_gib from the one of 0.23",
    );
    format!(
        "[kv_cache]\nnumber_bytes = {number_bytes}\ncontext_gib = 0.25\ncollective_gib = 0.45\ngraphs_gib = 0.25\n{known}\n"
    )
}

fn price(gpu: &Gpu) -> String {
    let price = &gpu.price;
    let known = &price.provenance;
    format!(
        "[price]\nper_gpu_hour = {:?}\ncurrency = \"{}\"\nprovenance = {{ kind = \"{}\", date = \"{}\", source = \"{}\" }}\n\n",
        price.per_gpu_hour,
        price.currency,
        known.kind.word(),
        known.date,
        known.source
    )
}

/// A phase whose logarithm is normal with this standard deviation.
fn phase(name: &str, median: f64, sigma: f64, kind: &str, source: &str) -> String {
    let median = tenths(median);
    let known = provenance(kind, source);
    format!(
        "[startup.{name}]\ntime = {{ dist = \"lognormal\", median = \"{median}s\", sigma = {sigma:?} }}\n{known}\n"
    )
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn startup(architecture: &Architecture, gpu: &Gpu, tp: u32) -> String {
    let layers = f64::from(architecture.layers);
    let mut text = phase(
        "schedule",
        1.5,
        0.3,
        "assumed",
        "kube-scheduler, volume mounts and sandbox on a node that is there: 1 to 3 s",
    );
    text += &phase(
        "image_pull",
        1.0,
        0.3,
        "assumed",
        "image already on the node; 10 to 20 GB take 60 to 180 s where it is not (paperscode.org)",
    );
    let (boot, ranks) = if tp > 1 { (26.0, " plus 6 s for NCCL and more workers") } else { (20.0, "") };
    text += &phase(
        "boot",
        boot,
        0.3,
        "fitted",
        &format!(
            "vllm#20264: 59 s to the first response less 34 s of engine start, API server included; \
             8 s of engine bootstrap on a bare host (arXiv 2606.07362){ranks}"
        ),
    );
    let bandwidth = provenance(
        "fitted",
        "disk 0.54 GB/s (arXiv 2606.07362), gp3 0.33, gp3 streamed 1.1, io2 streamed 2.1 (Run:ai Model Streamer benchmark)",
    );
    let _ = write!(
        text,
        "[startup.weights]\ngb_per_s = {{ dist = \"lognormal\", median = 0.6, sigma = 0.5 }}\n{bandwidth}\n"
    );
    text += &phase(
        "compile",
        0.85 * layers,
        0.35,
        "fitted",
        "cold cache, 0.85 s a layer: 19.4 s for 32 layers (vllm#11005), 45.8 s for 32 (runai-model-streamer#67), \
         54.7 s for 80 (vllm#12569), 85 s for 80 at TP8 (vllm#19824)",
    );
    text += &phase("profile", 2.0, 0.3, "measured", "1.4 to 2.6 s, vLLM 0.10.1 on H100 (arXiv 2606.07362)");
    text += &phase(
        "graphs",
        0.15 * layers * gpu.graph_capture_factor,
        0.4,
        "fitted",
        "0.15 s a layer on large GPUs: 2 to 7 s on H100 and A100, 12 to 13 s on L40S, vLLM >= 0.10.1 \
         (inference-sim/blis-registry vllm-cudagraph-capture-samples)",
    );
    text += "[startup.readiness]\ninitial_delay = \"0s\"\nperiod = \"10s\"\n\n";
    text
}

fn step_time(c: &Combination, kernels: &str) -> String {
    let (decode, prefill) = (&c.decode_attn, &c.prefill_attn);
    let grid = provenance(
        "fitted",
        &format!(
            "step grid composed with aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0) from kernels of vLLM {kernels}: \
             gemm read off the grid, attention fitted to it"
        ),
    );
    let host = provenance(
        "fitted",
        "client-side step times of Qwen3-14B on one H100, vLLM 0.23 (inference-sim/residency-vllm 2641b576)",
    );
    let host_sync = provenance(
        "fitted",
        "Qwen3-32B TP4 and TP8, vLLM 0.12, 40 runs at fixed concurrency (silicon samples of aiconfigurator-core 0.12.0)",
    );
    let floor = provenance("assumed", "CPU time of a step of vLLM V1; never counted on top of the host cost");
    let mut text = String::new();
    let _ = write!(
        text,
        "\
[step_time]
alpha = 1.0
fit = {{ median_percent = {median:?}, p95_percent = {p95:?} }}
{grid}
[step_time.decode_attention]
step_ms = {d0:?}
request_ms = {d1:?}
context_token_ms = {d2}

[step_time.prefill_attention]
step_ms = {p0:?}
token_ms = {p1:?}
pair_ms = {p2}

[step_time.host]
requests = [0, 1000]
ms = [0.0, 20.0]
prefill_request_ms = 0.0
step_ms = 0.0
{host}
[step_time.host_sync]
requests = [0, 1000]
ms = [0.0, 50.0]
prefill_request_ms = 0.0
step_ms = 1.1
{host_sync}
[step_time.cpu_floor]
step_ms = 3.0
request_ms = 0.0
{floor}
[step_time.gemm]
",
        median = c.fit.median_ape,
        p95 = c.fit.p95_ape,
        d0 = decode.c0,
        d1 = decode.c_req,
        d2 = scientific(decode.c_kv),
        p0 = prefill.c0,
        p1 = prefill.c_tok,
        p2 = scientific(prefill.c_pair),
    );
    text += &list("tokens", c.knots.iter().map(u32::to_string));
    text += &list("decode_ms", c.gemm_decode_ms.iter().map(|ms| format!("{ms:?}")));
    text += &list("mixed_ms", c.gemm_mixed_ms.iter().map(|ms| format!("{ms:?}")));
    text
}

/// Small coefficients in a form that reads well and parses to the same bits.
fn scientific(x: f64) -> String {
    format!("{x:e}")
}

/// A TOML array, wrapped at 110 columns.
fn list(key: &str, items: impl Iterator<Item = String>) -> String {
    let mut text = format!("{key} = [\n");
    let mut line = String::from("   ");
    for item in items {
        if line.len() + item.len() + 2 > 110 {
            text += &line;
            text.push('\n');
            line = String::from("   ");
        }
        let _ = write!(line, " {item},");
    }
    text += &line;
    text += "\n]\n";
    text
}
