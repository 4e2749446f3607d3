//! The text of the model files: what each number is, and where it comes from.

use dryscale::problem::Problem;
use dryscale::random::distribution::Seconds;
use dryscale::serving::performance::roofline::Roofline;
use dryscale::serving::performance::step_time_spec::{
    DecodeAttention, Fit, Gemm, HostCost, PrefillAttention,
};
use dryscale::serving::performance::typical::{self, TypicalPhase};
use dryscale::serving::performance::{ByName, Catalogue, Dtype, Knowledge, Provenance};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One combination of the coefficient table, in milliseconds.
#[derive(Deserialize)]
struct Combination {
    gpu: String,
    model: String,
    tp: u32,
    dtype: Dtype,
    knots: Vec<u32>,
    gemm_decode_ms: Vec<f64>,
    gemm_mixed_ms: Vec<f64>,
    decode_attn: DecodeCoefficients,
    prefill_attn: PrefillCoefficients,
    fit: Errors,
}

#[derive(Deserialize)]
struct DecodeCoefficients {
    c0: f64,
    c_req: f64,
    c_kv: f64,
}

#[derive(Deserialize)]
struct PrefillCoefficients {
    c0: f64,
    c_tok: f64,
    c_pair: f64,
}

/// Absolute errors against the grid, in per cent.
#[derive(Deserialize)]
struct Errors {
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
    table.into_values().map(|combination| model_file(combination, catalogue)).collect()
}

fn model_file(c: Combination, catalogue: &Catalogue) -> Result<(String, String), Problem> {
    let (_, gpu_name, kernels) = GPUS
        .into_iter()
        .find(|(theirs, ..)| *theirs == c.gpu)
        .ok_or_else(|| Problem::whole(format!("the GPU `{}` has no name of ours yet", c.gpu)))?;
    let served = c.model.to_lowercase();
    let architecture_name = served.trim_end_matches("-fp8");
    let gpu = ByName::Name(gpu_name.to_owned());
    let gpu = catalogue.gpu(&gpu)?;
    let architecture = ByName::Name(architecture_name.to_owned());
    let roofline = Roofline {
        architecture: catalogue.architecture(&architecture)?,
        gpu,
        efficiency: catalogue.efficiency(gpu)?,
        tp: c.tp,
        dtype: c.dtype,
    };
    let gemm = Gemm { tokens: c.knots, decode_ms: c.gemm_decode_ms, mixed_ms: c.gemm_mixed_ms };
    let name = format!("{served}-{gpu_name}-tp{}", c.tp);
    let mut text = format!(
        "\
# {publisher} ({dtype}) on {tp} x {gpu}, vLLM 0.32.
# Written by `cargo run --example generate_models`; docs/models.md says how each number is known.

name = \"{name}\"
",
        publisher = roofline.architecture.publisher,
        dtype = c.dtype.word(),
        tp = c.tp,
        gpu = gpu.name,
    );
    if let Some(caution) = caution(&roofline, &gemm) {
        text += &format!("caution = \"{caution}\"\n");
    }
    text += &format!(
        "\
architecture = \"{architecture_name}\"
gpu = \"{gpu_name}\"
tensor_parallel = {tp}
dtype = \"{dtype}\"

",
        tp = c.tp,
        dtype = c.dtype.word(),
    );
    text += &request_path(&roofline);
    text += &kv_cache(c.dtype);
    text += &startup(&roofline);
    text += &price(&roofline);
    let decode = DecodeAttention {
        step_ms: c.decode_attn.c0,
        request_ms: c.decode_attn.c_req,
        context_token_ms: c.decode_attn.c_kv,
    };
    let prefill = PrefillAttention {
        step_ms: c.prefill_attn.c0,
        token_ms: c.prefill_attn.c_tok,
        pair_ms: c.prefill_attn.c_pair,
    };
    let fit = Fit { median_percent: c.fit.median_ape, p95_percent: c.fit.p95_ape };
    text += &step_time(kernels, fit, decode, prefill);
    text += &step_limits(&roofline);
    text += &table(&gemm);
    Ok((name, text))
}

/// What users of a combination should know.
fn caution(roofline: &Roofline<'_>, gemm: &Gemm) -> Option<String> {
    let Roofline { architecture, gpu, tp, dtype, .. } = roofline;
    let mut cautions = Vec::new();
    if architecture.weight_bytes(*dtype) / u64::from(*tp) >= gpu.memory_bytes() {
        cautions.push(
            "the weights do not fit: only step times of other combinations are estimated from it".to_owned(),
        );
    }
    if roofline.doubts(gemm) {
        let (table, roofline) = (gemm.decode_ms[0], roofline.gemm_ms(1, true));
        cautions.push(format!(
            "the table says {table:.0} ms for a step of one token where {roofline:.0} ms are to be expected: \
             its kernels are not those that vLLM would choose"
        ));
    } else if *dtype == Dtype::Fp8 {
        cautions.push(
            "half of the FP8 kernel times were estimated, not measured; the KV cache is FP8 too, as with --kv-cache-dtype fp8"
                .to_owned(),
        );
    }
    if architecture.kv_layers() < architecture.layers {
        cautions.push("the few KV blocks of sliding-window layers are left out".to_owned());
    }
    if gpu.shared_link && *tp > 1 {
        cautions.push("all-reduce over PCIe dominates, and depends on the host".to_owned());
    }
    (!cautions.is_empty()).then(|| cautions.join("; "))
}

/// A provenance as one line of TOML.
fn line(provenance: &Provenance) -> String {
    let Provenance { kind, date, source } = provenance;
    format!("provenance = {{ kind = \"{}\", date = \"{date}\", source = \"{source}\" }}\n", kind.word())
}

fn seconds(time: Seconds) -> String {
    let us = time.duration().as_ps() / 1_000_000;
    if us.is_multiple_of(1000) { format!("\"{}ms\"", us / 1000) } else { format!("\"{us}us\"") }
}

fn request_path(roofline: &Roofline<'_>) -> String {
    let path = typical::request_path(roofline);
    let (input, output, idle) = (seconds(path.input), seconds(path.output), seconds(path.idle_penalty));
    format!(
        "[request_path]\ninput = {input}\noutput = {output}\nidle_penalty = {idle}\n{}\n",
        line(&path.provenance)
    )
}

fn kv_cache(dtype: Dtype) -> String {
    let cache = typical::kv_cache(dtype);
    format!(
        "[kv_cache]\nnumber_bytes = {}\ncontext_gib = {:?}\ncollective_gib = {:?}\ngraphs_gib = {:?}\n{}\n",
        cache.number_bytes,
        cache.context_gib,
        cache.collective_gib,
        cache.graphs_gib,
        line(&cache.provenance)
    )
}

fn startup(roofline: &Roofline<'_>) -> String {
    let phases = typical::startup_phases(roofline.architecture, roofline.gpu, roofline.tp);
    let [before @ .., compile, profile, graphs] = phases.each_ref().map(phase);
    let speed = typical::weights_speed();
    let weights = format!(
        "[startup.weights]\ngb_per_s = {{ dist = \"lognormal\", median = {:?}, sigma = {:?} }}\n{}\n",
        speed.median_gb_per_s,
        speed.sigma,
        line(&speed.provenance)
    );
    let probe = "[startup.readiness]\ninitial_delay = \"0s\"\nperiod = \"10s\"\n\n";
    before.concat() + &weights + &compile + &profile + &graphs + probe
}

fn phase(phase: &TypicalPhase) -> String {
    format!(
        "[startup.{}]\ntime = {{ dist = \"lognormal\", median = \"{}ms\", sigma = {:?} }}\n{}\n",
        phase.phase.word(),
        phase.median_ms,
        phase.sigma,
        line(&phase.provenance)
    )
}

fn price(roofline: &Roofline<'_>) -> String {
    let price = &roofline.gpu.price;
    format!(
        "[price]\nper_gpu_hour = {:?}\ncurrency = \"{}\"\n{}\n",
        price.per_gpu_hour,
        price.currency,
        line(&price.provenance)
    )
}

fn step_time(kernels: &str, fit: Fit, decode: DecodeAttention, prefill: PrefillAttention) -> String {
    let grid = typical::known(
        Knowledge::Fitted,
        format!(
            "step grid composed with aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0) from kernels of vLLM {kernels}: \
             gemm read off the grid, attention fitted to it"
        ),
    );
    format!(
        "\
[step_time]
alpha = 1.0
fit = {{ median_percent = {median:?}, p95_percent = {p95:?} }}
{grid}
[step_time.decode_attention]
step_ms = {d0:?}
request_ms = {d1:?}
context_token_ms = {d2:e}

[step_time.prefill_attention]
step_ms = {p0:?}
token_ms = {p1:?}
pair_ms = {p2:e}

",
        median = fit.median_percent,
        p95 = fit.p95_percent,
        grid = line(&grid),
        d0 = decode.step_ms,
        d1 = decode.request_ms,
        d2 = decode.context_token_ms,
        p0 = prefill.step_ms,
        p1 = prefill.token_ms,
        p2 = prefill.pair_ms,
    )
}

/// What is added to the GPU's time, and what it is never below.
fn step_limits(roofline: &Roofline<'_>) -> String {
    let host = |name: &str, host: HostCost| {
        format!(
            "[step_time.{name}]\nstep_ms = {:?}\nrequest_ms = {:?}\n{}\n",
            host.step_ms,
            host.request_ms,
            line(&host.provenance)
        )
    };
    let mixed = typical::mixed_attention(roofline);
    let floor = typical::cpu_floor();
    let mut text = format!(
        "[step_time.mixed_attention]\ndecode_request_ms = {:?}\n{}\n",
        mixed.decode_request_ms,
        line(&mixed.provenance)
    );
    text += &(host("host", typical::host(roofline)) + &host("host_sync", typical::host_sync()));
    let _ = write!(
        text,
        "[step_time.cpu_floor]\nstep_ms = {:?}\nrequest_ms = {:?}\n{}\n",
        floor.step_ms,
        floor.request_ms,
        line(&floor.provenance)
    );
    if let Some(sustained) = typical::sustained(roofline) {
        let _ = write!(
            text,
            "[step_time.sustained]\nabove_tokens = {}\ntoken_ms = {:?}\n{}\n",
            sustained.above_tokens,
            sustained.token_ms,
            line(&sustained.provenance)
        );
    }
    text
}

fn table(gemm: &Gemm) -> String {
    let ms = |column: &[f64]| column.iter().map(|ms| format!("{ms:?}")).collect();
    "[step_time.gemm]\n".to_owned()
        + &list("tokens", gemm.tokens.iter().map(u32::to_string).collect())
        + &list("decode_ms", ms(&gemm.decode_ms))
        + &list("mixed_ms", ms(&gemm.mixed_ms))
}

/// A TOML array, wrapped at 110 columns.
fn list(key: &str, items: Vec<String>) -> String {
    let mut text = format!("{key} = [\n");
    let mut row = String::from("   ");
    for item in items {
        if row.len() + item.len() + 2 > 110 {
            text += &row;
            text.push('\n');
            row = String::from("   ");
        }
        let _ = write!(row, " {item},");
    }
    text + &row + "\n]\n"
}
