//! What model files say where nothing is known for one combination alone: host, request path, memory, start-up.
//!
//! The shipped files are written from these values, and an estimate takes them, so both say the same.

use super::architectures::{Architecture, Dtype};
use super::gpus::Gpu;
use super::kv_capacity::KvCacheSpec;
use super::model_file::RequestPath;
use super::provenance::{Knowledge, Provenance};
use super::roofline::Roofline;
use super::startup::{PhaseSpec, PhaseTime, ReadinessProbe, StartupPhase, StartupSpec, WeightsSpec};
use super::step_time_spec::{CpuFloor, HostCost, MixedAttention, Sustained};
use crate::random::distribution::{Distribution, Seconds};
use crate::units::SimDuration;

/// The day on which the sources were read.
const DATE: &str = "2026-11-23";

/// The steps that the two costs of mixed steps were fitted to.
const STEPS: &str = "8,555 steps with 1 to 8 prompts of about 986 tokens at 230 to 255 decoding requests: Qwen3-14B on one H100, vLLM \
                     0.23.0 (inference-sim/residency-vllm 2641b576)";

/// A provenance of that day.
pub fn known(kind: Knowledge, source: impl Into<String>) -> Provenance {
    Provenance { kind, date: DATE.to_owned(), source: source.into() }
}

/// Whether this is the combination whose public runs host, request path and sustained rate were fitted to: the only one with
/// timestamps of single requests under vLLM's V1 engine.
fn observed(roofline: &Roofline<'_>) -> bool {
    roofline.architecture.publisher == "Qwen/Qwen3-14B"
        && roofline.gpu.name == "NVIDIA H100 80GB HBM3"
        && (roofline.tp, roofline.dtype) == (1, Dtype::Bf16)
}

/// A provenance of what was fitted to those runs: assumed to hold elsewhere.
fn carried_over(roofline: &Roofline<'_>, source: &str, how: &str) -> Provenance {
    match observed(roofline) {
        true => known(Knowledge::Fitted, source),
        false => known(Knowledge::Assumed, format!("{source}; {how}")),
    }
}

/// HTTP, tokenizer, IPC and back, and what the first step after idle loses.
pub fn request_path(roofline: &Roofline<'_>) -> RequestPath {
    let microseconds = |us: u64| Seconds(SimDuration::from_nanos(1000 * us));
    RequestPath {
        input: microseconds(3400),
        output: microseconds(2400),
        idle_penalty: microseconds(3700),
        provenance: carried_over(
            roofline,
            "client timestamps of Qwen3-14B on one H100, vLLM 0.23, 2 requests/s (inference-sim/residency-vllm 2641b576)",
            "taken over",
        ),
    }
}

/// Memory beside weights and activations. FP8 combinations have an FP8 cache, as in the grids that their step times come from.
pub fn kv_cache(dtype: Dtype) -> KvCacheSpec {
    KvCacheSpec {
        number_bytes: if dtype == Dtype::Fp8 { 1 } else { 2 },
        context_gib: 0.25,
        collective_gib: 0.45,
        graphs_gib: 0.3,
        provenance: known(
            Knowledge::Fitted,
            "KV cache sizes in the logs of vLLM 0.15.1 and 0.23.0 on H100, five models, reproduced to 0.3 %; \
             graphs_gib from the one of 0.23",
        ),
    }
}

/// What the CPU adds under async scheduling: nothing, it works while the GPU does.
pub fn host(roofline: &Roofline<'_>) -> HostCost {
    HostCost {
        step_ms: 0.0,
        request_ms: 0.0,
        provenance: carried_over(
            roofline,
            "step times of Qwen3-14B on one H100, vLLM 0.23, up to 255 requests (inference-sim/residency-vllm 2641b576): at most \
             0.004 ms a request",
            "taken over",
        ),
    }
}

/// What the CPU adds under sync scheduling.
pub fn host_sync() -> HostCost {
    HostCost {
        step_ms: 1.1,
        request_ms: 0.05,
        provenance: known(
            Knowledge::Fitted,
            "Qwen3-32B TP4 and TP8, vLLM 0.12, 40 runs at fixed concurrency (silicon samples of aiconfigurator-core 0.12.0)",
        ),
    }
}

/// The least time of a step.
pub fn cpu_floor() -> CpuFloor {
    CpuFloor {
        step_ms: 2.8,
        request_ms: 0.02,
        provenance: known(
            Knowledge::Assumed,
            "below the fastest published steps of vLLM with async scheduling: 2.99 ms for 4 requests, 4.55 for 32, 5.62 for 64 \
             (gpt-oss-120b on 4 B200, 0.15.1, silicon samples of aiconfigurator-core 0.12.0)",
        ),
    }
}

/// What a decoding request costs more in a mixed step: the same for each of its tiles, one a layer and KV head.
pub fn mixed_attention(roofline: &Roofline<'_>) -> MixedAttention {
    // Qwen3-14B has 40 layers with 8 KV heads each.
    const TILE_MS: f64 = 0.0285 / (40.0 * 8.0);
    let architecture = roofline.architecture;
    let tiles = f64::from(architecture.layers) * f64::from((architecture.kv_heads / roofline.tp).max(1));
    MixedAttention {
        decode_request_ms: digits(TILE_MS * tiles),
        provenance: carried_over(
            roofline,
            STEPS,
            "taken over by the number of layers and of KV heads on a GPU",
        ),
    }
}

/// What GPUs at their power limit reach, where it is known.
pub fn sustained(roofline: &Roofline<'_>) -> Option<Sustained> {
    let rate = roofline.gpu.sustained.as_ref()?;
    let token_ms = roofline.sustained_token_ms()?;
    Some(Sustained {
        above_tokens: rate.above_tokens,
        token_ms: digits(token_ms),
        provenance: carried_over(
            roofline,
            &rate.provenance.source,
            "taken over by this combination's matrix operations a token",
        ),
    })
}

/// Four significant digits: what the sources allow, and short to read.
fn digits(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// The time of a phase: lognormal around a median.
#[derive(Clone, Debug, PartialEq)]
pub struct TypicalPhase {
    /// Which.
    pub phase: StartupPhase,
    /// Median, in ms.
    pub median_ms: u64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// The weights' speed: lognormal around a median, in 10^9 bytes a second.
#[derive(Clone, Debug, PartialEq)]
pub struct TypicalSpeed {
    /// Median.
    pub median_gb_per_s: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// All phases of a start but the weights, in order: on a warm node that has the image, with a cold compile cache.
pub fn startup_phases(architecture: &Architecture, gpu: &Gpu, tp: u32) -> [TypicalPhase; 6] {
    let layers = u64::from(architecture.layers);
    let phase = |phase, median_ms, sigma, kind, source: &str| TypicalPhase {
        phase,
        median_ms,
        sigma,
        provenance: known(kind, source),
    };
    let capture = 150.0 * f64::from(architecture.layers) * gpu.graph_capture_factor;
    [
        phase(
            StartupPhase::Schedule,
            1500,
            0.3,
            Knowledge::Assumed,
            "kube-scheduler, volume mounts and sandbox on a node that is there: 1 to 3 s",
        ),
        phase(
            StartupPhase::ImagePull,
            1000,
            0.3,
            Knowledge::Assumed,
            "the node has the image; where it lacks it, 10 to 20 GB take 60 to 180 s (paperscode.org)",
        ),
        phase(
            StartupPhase::Boot,
            if tp > 1 { 26_000 } else { 20_000 },
            0.3,
            Knowledge::Fitted,
            "vllm#20264: 59 s to the first response less 34 s of engine start, API server included; 8 s of engine bootstrap \
             on a bare host (arXiv 2606.07362); several GPUs assumed to take 6 s more for workers and NCCL",
        ),
        phase(
            StartupPhase::Compile,
            850 * layers,
            0.35,
            Knowledge::Fitted,
            "cold cache, 0.85 s a layer: 19.4 s for 32 layers (vllm#11005), 45.8 s for 32 (runai-model-streamer#67), \
             54.7 s for 80 (vllm#12569), 85 s for 80 at TP8 (vllm#19824)",
        ),
        phase(
            StartupPhase::Profile,
            2000,
            0.3,
            Knowledge::Measured,
            "1.4 to 2.6 s, vLLM 0.10.1 on H100 (arXiv 2606.07362)",
        ),
        phase(
            StartupPhase::Graphs,
            capture as u64,
            0.4,
            Knowledge::Fitted,
            "0.15 s a layer on large GPUs: 2 to 7 s on H100 and A100, 12 to 13 s on L40S, vLLM >= 0.10.1 \
             (inference-sim/blis-registry vllm-cudagraph-capture-samples)",
        ),
    ]
}

/// How fast weights are read.
pub fn weights_speed() -> TypicalSpeed {
    TypicalSpeed {
        median_gb_per_s: 0.6,
        sigma: 0.5,
        provenance: known(
            Knowledge::Fitted,
            "disk 0.54 GB/s (arXiv 2606.07362); gp3 0.33, gp3 streamed 1.1, io2 streamed 2.1 (Run:ai Model Streamer benchmark)",
        ),
    }
}

/// The start-up of those phases, with Kubernetes' default probe.
pub fn startup(architecture: &Architecture, gpu: &Gpu, tp: u32) -> StartupSpec {
    let spec = |phase: TypicalPhase| {
        let median = Seconds(SimDuration::from_millis(phase.median_ms));
        let time = PhaseTime(Distribution::lognormal(median, phase.sigma));
        PhaseSpec { time, provenance: phase.provenance }
    };
    let [schedule, image_pull, boot, compile, profile, graphs] =
        startup_phases(architecture, gpu, tp).map(spec);
    let speed = weights_speed();
    StartupSpec {
        schedule,
        image_pull,
        boot,
        weights: WeightsSpec {
            gb_per_s: Distribution::lognormal(speed.median_gb_per_s, speed.sigma),
            provenance: speed.provenance,
        },
        compile,
        profile,
        graphs,
        readiness: ReadinessProbe::default(),
    }
}
