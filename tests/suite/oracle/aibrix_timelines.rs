//! AIBrix's PodAutoscaler over whole timelines: `aibrix/aibrix_timelines.jsonl` (v0.7.0, strategies APA and KPA).

use super::{Tally, absent, lines};
use dryscale::autoscaling::aibrix::{
    Algorithm, Annotations, Collected, Computed, Decision, MetricSource, Mode, Plan, PodAutoscaler,
    PodAutoscalerSpec, PodAutoscalerState, Proposal, Samples, ScalingStrategy, decide, plan,
};
use dryscale::units::{Replicas, SimDuration, SimTime, UnixMillis};
use indexmap::IndexMap;
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    id: u64,
    strategy: ScalingStrategy,
    min_replicas: Option<i32>,
    max_replicas: i32,
    target_values: Vec<String>,
    annotations: IndexMap<String, String>,
    t0_unix_ms: i64,
    ticks: Vec<Tick>,
}

#[derive(Deserialize)]
struct Tick {
    t_ms: u64,
    current_replicas: i32,
    metrics: Vec<Metric>,
    #[serde(flatten)]
    out: Out,
}

#[derive(Deserialize)]
struct Metric {
    /// By pod; `None` where none was read.
    values: Option<Vec<f64>>,
    #[serde(default)]
    error: bool,
    #[serde(flatten)]
    out: MetricOut,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Out {
    recommendation: Option<i32>,
    desired: i32,
    should_scale: bool,
    decided_by: String,
    reason: String,
    error: bool,
}

/// All `None` where the metric failed or the size alone decided; `mode` is KPA's.
#[derive(Deserialize, Debug, Default, PartialEq)]
struct MetricOut {
    stable: Option<f64>,
    panic: Option<f64>,
    proposal: Option<i32>,
    mode: Option<String>,
}

#[test]
fn aibrix_timelines() {
    let Some(lines) = lines("aibrix/aibrix_timelines.jsonl") else { return absent("aibrix_timelines") };
    let mut tally = Tally::new("aibrix_timelines");
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let autoscaler = PodAutoscaler::new(&spec_of(record)?).map_err(|problems| format!("{problems:?}"))?;
    let mut state = PodAutoscalerState::new(&autoscaler, UnixMillis(record.t0_unix_ms));
    for tick in &record.ticks {
        let decision = reconcile(&autoscaler, &mut state, tick);
        let got = (metrics_of(&decision, tick.metrics.len()), out_of(&decision));
        let recorded: Vec<&MetricOut> = tick.metrics.iter().map(|metric| &metric.out).collect();
        if got.0.iter().collect::<Vec<_>>() != recorded || got.1 != tick.out {
            return Err(format!(
                "record {} at {} ms: got {got:?}, recorded {:?}",
                record.id,
                tick.t_ms,
                (recorded, &tick.out)
            ));
        }
    }
    Ok(())
}

/// The recording does not name its metrics.
fn spec_of(record: &Record) -> Result<PodAutoscalerSpec, String> {
    const NAMES: [&str; 3] = ["kv_cache_usage_perc", "num_requests_waiting", "num_requests_running"];
    if record.target_values.len() > NAMES.len() {
        return Err(format!("record {} has {} metrics", record.id, record.target_values.len()));
    }
    let source = |(name, target): (&&str, &String)| MetricSource {
        metric_source_type: None,
        protocol_type: None,
        endpoint: None,
        path: None,
        port: None,
        target_metric: (*name).to_owned(),
        target_value: target.clone(),
    };
    Ok(PodAutoscalerSpec {
        scaling_strategy: record.strategy,
        min_replicas: record.min_replicas,
        max_replicas: record.max_replicas,
        metrics_sources: NAMES.iter().zip(&record.target_values).map(source).collect(),
        annotations: Annotations::of(&record.annotations),
    })
}

fn reconcile(autoscaler: &PodAutoscaler, state: &mut PodAutoscalerState, tick: &Tick) -> Decision {
    let current = Replicas(tick.current_replicas);
    if let Plan::Decided(decision) = plan(autoscaler, current, state) {
        return *decision;
    }
    let samples = |metric: &Metric| -> Samples {
        if metric.error {
            return Err("recorded error".to_owned());
        }
        Ok(metric.values.clone().unwrap_or_default())
    };
    let collected = Collected {
        samples: tick.metrics.iter().map(samples).collect(),
        took: SimDuration::ZERO,
        timed_out: false,
    };
    let now = SimTime::ZERO + SimDuration::from_millis(tick.t_ms);
    decide(autoscaler, current, state, now, &collected)
}

fn metrics_of(decision: &Decision, count: usize) -> Vec<MetricOut> {
    let out = |proposal: &Proposal| MetricOut {
        stable: proposal.stable,
        panic: proposal.panic,
        proposal: proposal.replicas.map(Replicas::get),
        mode: proposal.computed.and_then(mode_of),
    };
    let mut metrics: Vec<MetricOut> = decision.metrics.iter().map(out).collect();
    metrics.resize_with(count, MetricOut::default);
    metrics
}

fn mode_of(computed: Computed) -> Option<String> {
    match computed {
        Computed::Apa(_) => None,
        Computed::Kpa(kpa) => Some(match kpa.mode {
            Mode::Stable => "stable".to_owned(),
            Mode::Panic => "panic".to_owned(),
        }),
    }
}

fn out_of(decision: &Decision) -> Out {
    let decided_by = match decision.algorithm {
        None => "",
        Some(Algorithm::BoundaryCheck) => "boundary-check",
        Some(Algorithm::Apa) => "apa",
        Some(Algorithm::Kpa) => "kpa",
    };
    Out {
        recommendation: decision.recommendation.map(Replicas::get),
        desired: decision.desired_replicas.get(),
        should_scale: decision.should_scale,
        decided_by: decided_by.to_owned(),
        reason: decision.reason.clone(),
        error: decision.error.is_some(),
    }
}
