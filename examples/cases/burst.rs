//! ai-on-openshift: a burst of a minute at one pod under KEDA. The GPU is not known.

use super::table::{Spread, heading, row, short};
use super::world::{Run, Variant};
use anyhow::{Context, Result};
use dryscale::simulation::record::TickRecord;
use serde_json::Value;

/// Many: how long the decision takes depends on where scrapes and syncs happen to fall.
const SEEDS: u64 = 20;

/// Title, GPU, tokens of a prompt, seconds for which 20 requests a second are sent.
const WORLDS: [(&str, &str, u32, u32); 6] = [
    ("L4", "l4", 100, 63),
    ("A10", "a10", 100, 63),
    ("A10, sent for 33 s", "a10", 100, 33),
    ("L40S", "l40s", 100, 63),
    ("L40S, prompts of 1000", "l40s", 1000, 63),
    ("A100-40GB", "a100-40gb", 100, 63),
];

/// One line for what was recorded, one for each world.
pub(crate) fn table(case: &Value) -> Result<String> {
    let rate = case.pointer("/derived/single_pod_completion_rate_rps_15_to_47s").and_then(Value::as_f64);
    let points = case.pointer("/timeline").and_then(Value::as_array).context("there is no timeline")?;
    let number = |point: &Value, key: &str| point.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let most = |key: &str| points.iter().map(|point| number(point, key)).fold(0.0, f64::max);
    let first = |key: &str, above: f64| {
        points.iter().find(|point| number(point, key) > above).map_or(f64::NAN, |point| number(point, "t"))
    };
    let (queue, decided) = (first("waiting", 0.0), first("pods", 1.0));
    let columns = [
        "",
        "queue from, s",
        "decision after, s",
        "replicas",
        "another pod Ready, s",
        "running",
        "waiting",
        "completions/s",
    ];
    let mut text = heading(columns.map(str::to_owned));
    text += &row([
        "published".to_owned(),
        short(queue),
        short(decided - queue),
        short(most("pods")),
        "not within 63".to_owned(),
        short(most("running")),
        short(most("waiting")),
        rate.map_or_else(String::new, short),
    ]);
    for (title, gpu, prompt, seconds) in WORLDS {
        let variant = Variant::of(title, "ai-on-openshift")
            .with(format!("serving.model.gpu={gpu}"))
            .with(format!("workload.class.0.input.value={prompt}"))
            .with(format!("duration={seconds}"));
        let runs = variant.runs(SEEDS)?;
        let measures: [fn(&Run) -> f64; 7] = [
            queue_from,
            |run| run.changes.first().map_or(f64::NAN, |change| change.0) - queue_from(run),
            Run::replicas_max,
            |run| run.others_ready_s.iter().copied().fold(f64::NAN, f64::min),
            |run| largest(run, |tick| tick.running),
            |run| largest(run, |tick| tick.waiting),
            completions_per_s,
        ];
        let cells = measures.map(|of| Spread::of(runs.iter().map(of)).to_string());
        text += &row(std::iter::once(title.to_owned()).chain(cells));
    }
    Ok(text)
}

/// The first second at which all of the pod's sequences run and requests wait; NaN without one.
fn queue_from(run: &Run) -> f64 {
    let full = |tick: &&TickRecord| tick.running >= 256 && tick.waiting > 0;
    run.ticks.iter().find(full).map_or(f64::NAN, |tick| tick.at.as_secs_f64())
}

/// The largest value of the minute.
fn largest(run: &Run, of: fn(&TickRecord) -> u64) -> f64 {
    run.ticks.iter().filter(|tick| tick.at.as_secs_f64() <= 63.0).map(of).max().unwrap_or(0) as f64
}

/// From 15 to 47 s, as it was derived from the recording.
fn completions_per_s(run: &Run) -> f64 {
    let during = run.ticks.iter().filter(|tick| (15.5..47.5).contains(&tick.at.as_secs_f64()));
    during.map(|tick| tick.finished).sum::<u64>() as f64 / 32.0
}
