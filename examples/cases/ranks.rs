//! AIBrix's comparison of HPA, KPA and APA, of which only ranks are published.

use super::table::{Spread, heading, row, short};
use super::world::{Run, Variant};
use anyhow::{Context, Result};
use serde_json::Value;

const SEEDS: u64 = 5;

/// Peaks of the V100: operations and bandwidth.
const TFLOPS: f64 = 125.0;
const GB_PER_S: f64 = 900.0;

/// A line for what was published; then, for each world, a line a policy and one of the ranks.
pub(crate) fn table(case: &Value, with_trace: bool) -> Result<String> {
    let columns =
        ["world", "policy", "mean E2E, s", "E2E p99, s", "GPU-hours", "largest size", "changes of size"];
    let mut text = heading(columns.map(str::to_owned));
    let ranks = |key: &str| -> Result<String> {
        let names = case.pointer(&format!("/results_rank/{key}")).and_then(Value::as_array);
        let names = names.with_context(|| format!("there are no ranks {key}"))?;
        Ok(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" > "))
    };
    let (latency, cost) = (ranks("latency_worst_to_best")?, ranks("cost_highest_to_lowest")?);
    let flapping = case.pointer("/results_rank/flapping").and_then(Value::as_str).unwrap_or_default();
    text += &row(["published", "", &latency, "", &cost, "", flapping].map(str::to_owned));
    let mut worlds = Vec::new();
    if with_trace {
        worlds.extend([("aibrix", 1.0), ("aibrix", 2.0)]);
    }
    worlds.extend([("aibrix-trend", 1.0), ("aibrix-trend", 2.0), ("aibrix-trend", 3.0)]);
    for (experiment, slower) in worlds {
        text += &lines(experiment, slower)?;
    }
    Ok(text)
}

/// The policies in one world, on GPUs so many times as slow.
fn lines(experiment: &str, slower: f64) -> Result<String> {
    let world = format!("{experiment}, peaks / {slower}");
    let variant = |name: &str, policy: &str| {
        Variant::of(name, experiment)
            .under(policy)
            .with(format!("serving.model.gpu.bf16_tflops={}", TFLOPS / slower))
            .with(format!("serving.model.gpu.memory_gb_per_s={}", GB_PER_S / slower))
    };
    let as_written = "policy.hpa.metrics.0.target.average_value=\"50\"".to_owned();
    let window = "policy.aibrix.annotations.scale_down_cooldown_window=\"300s\"".to_owned();
    let variants = [
        variant("HPA", "aibrix-hpa"),
        variant("KPA", "aibrix-kpa"),
        variant("APA", "aibrix-apa"),
        variant("APA, window of 300 s", "aibrix-apa").with(window),
        variant("HPA as written: 50", "aibrix-hpa").with(as_written),
    ];
    let measures: [fn(&Run) -> f64; 5] = [
        Run::e2e_mean_s,
        |run| run.e2e_s(0.99),
        Run::gpu_hours,
        Run::replicas_max,
        |run| run.changes.len() as f64,
    ];
    let mut text = String::new();
    let mut means = Vec::new();
    for variant in &variants {
        let runs = variant.runs(SEEDS)?;
        let spreads = measures.map(|of| Spread::of(runs.iter().map(of)));
        means.push((variant.title.as_str(), spreads.each_ref().map(Spread::mean)));
        let cells = spreads.iter().map(Spread::to_string);
        text += &row([world.clone(), variant.title.clone()].into_iter().chain(cells));
    }
    // The others are further readings of two of these.
    means.truncate(3);
    let ranks = |measure: usize| {
        let mut sorted: Vec<(&str, f64)> =
            means.iter().map(|(name, means)| (*name, means[measure])).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut text = String::new();
        let mut before = None;
        for (name, mean) in sorted {
            // What prints as the same number is no rank.
            text += before.map_or("", |before| if before == short(mean) { " = " } else { " > " });
            text += name;
            before = Some(short(mean));
        }
        text
    };
    text += &row([world, "ranks".to_owned(), ranks(0), ranks(1), ranks(2), ranks(3), ranks(4)]);
    Ok(text)
}
