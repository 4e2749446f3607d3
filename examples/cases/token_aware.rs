//! llm-d's guide keda-epp-token-aware: three shapes of requests, on one replica and scaled.

use super::table::{Spread, heading, row, short};
use super::world::{Run, Variant};
use anyhow::{Context, Result};
use serde_json::Value;

const SEEDS: u64 = 5;

/// What the guide's table has, and the same of a run.
const METRICS: [(&str, &str, fn(&Run) -> f64); 5] = [
    ("peak replicas", "replicas_peak", Run::replicas_max),
    ("TTFT p50, s", "ttft_p50_s", |run| run.ttft_s(0.5)),
    ("TTFT p99, s", "ttft_p99_s", |run| run.ttft_s(0.99)),
    ("completed", "completed", Run::completed),
    ("output tokens/s", "output_tok_s", Run::output_tokens_per_s),
];

/// The files of the guide, by the shape's name in their names and in ours.
const SHAPES: [(&str, &str); 3] =
    [("prefill_heavy", "prefill-heavy"), ("symmetrical", "symmetrical"), ("decode_heavy", "decode-heavy")];

/// The published file that belongs to a shape, and the table of the runs beside it.
pub(crate) fn tables(mut published: impl FnMut(&str) -> Result<Option<Value>>) -> Result<String> {
    let mut text = String::new();
    for kind in ["static1", "autoscaled"] {
        for (theirs, ours) in SHAPES {
            let file = format!("token_aware/tokenaware_pd_colocated_{theirs}_{kind}.json");
            let Some(case) = published(&file)? else { continue };
            let result = case.pointer("/results/0").with_context(|| format!("{file} has no results"))?;
            text += &format!("\n{ours}, {kind}\n\n{}", table(&variants(ours, kind), result)?);
        }
    }
    Ok(text)
}

/// The model file as it ships has CUDA graphs; the guide's server ran without them (--enforce-eager), so that the CPU launches
/// each kernel of each step. How long that takes nobody has published: two guesses.
fn variants(shape: &str, kind: &str) -> Vec<Variant> {
    let experiment = format!("token-aware-{shape}");
    let world = |title: &str| {
        let variant = Variant::of(title, &experiment);
        if kind == "static1" { variant.under("static:1") } else { variant }
    };
    let eager =
        |title: &str, step_ms: u32| world(title).with(format!("model.step_time.cpu_floor.step_ms={step_ms}"));
    let mut variants =
        vec![world("as shipped"), eager("a step takes 30 ms or more", 30), eager("38 ms or more", 38)];
    if kind == "autoscaled" && shape == "prefill-heavy" {
        let pod =
            |title: &str, weights: &str| eager(title, 30).with(format!("serving.startup.weights={weights}"));
        variants.push(pod("30 ms, Ready after 105 s", "65"));
        variants.push(pod("30 ms, Ready after 165 s", "125"));
        let scrape = "monitoring.scrape_interval=30".to_owned();
        variants.push(eager("30 ms, scraped every 30 s", 30).with(scrape));
    }
    variants
}

fn table(variants: &[Variant], published: &Value) -> Result<String> {
    let titles = variants.iter().map(|variant| variant.title.clone());
    let mut text = heading(["".to_owned(), "published".to_owned()].into_iter().chain(titles));
    let runs = variants.iter().map(|variant| variant.runs(SEEDS)).collect::<Result<Vec<Vec<Run>>>>()?;
    for (name, key, of) in METRICS {
        let Some(number) = published.get(key).and_then(Value::as_f64) else { continue };
        let simulated = runs.iter().map(|runs| Spread::of(runs.iter().map(of)).to_string());
        text += &row([name.to_owned(), short(number)].into_iter().chain(simulated));
    }
    Ok(text)
}
