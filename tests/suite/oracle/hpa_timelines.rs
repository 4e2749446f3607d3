//! The HPA controller over whole timelines: `hpa/hpa_timelines.jsonl` (tolerance test of Kubernetes 1.33 and later) and
//! `hpa/hpa_timelines_v128.jsonl` (Kubernetes 1.28, unmodified).

use super::{Tally, absent, lines};
use dryscale::autoscaling::hpa::{
    Behavior, CompleteBehavior, Condition, ControllerManagerFlags, Decision, ExternalMetric, Fetched,
    HpaSpec, HpaState, KubernetesVersion, Metric as HpaMetric, MetricTarget, Plan, Scale, decide, plan,
    propose,
};
use dryscale::units::{MilliValue, Replicas, SimDuration, SimTime};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    id: u64,
    hpa: Hpa,
    ticks: Vec<Tick>,
}

#[derive(Deserialize)]
struct Hpa {
    min_replicas: i32,
    max_replicas: i32,
    global_tolerance: f64,
    global_downscale_stabilization_s: u64,
    /// As a user wrote it.
    behavior_input: Option<Behavior>,
    /// As the API server completed it.
    behavior: Option<Behavior>,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    #[serde(rename = "type")]
    kind: String,
    target_milli: i64,
}

#[derive(Deserialize)]
struct Tick {
    t_ms: u64,
    spec: i32,
    status: i32,
    ready: i32,
    metrics: Vec<Answer>,
    out: Out,
}

#[derive(Deserialize)]
struct Answer {
    values_milli: Option<Vec<i64>>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Out {
    proposals: Vec<Option<i32>>,
    desired: i32,
    rescaled: bool,
    err: bool,
    able: String,
    active: String,
    limited: String,
}

#[test]
fn hpa_timelines() {
    replay("hpa_timelines", "1.35");
}

#[test]
fn hpa_timelines_v128() {
    replay("hpa_timelines_v128", "1.28");
}

fn replay(kind: &'static str, kubernetes: &str) {
    let path = format!("hpa/{kind}.jsonl");
    let Some(lines) = lines(&path) else { return absent(kind) };
    let kubernetes = KubernetesVersion::parse(kubernetes).expect("a release");
    let mut tally = Tally::new(kind);
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record, kubernetes)));
    }
    tally.finish();
}

fn check(record: &Record, kubernetes: KubernetesVersion) -> Result<(), String> {
    let spec = spec_of(&record.hpa, kubernetes)?;
    let mut state = HpaState::default();
    for tick in &record.ticks {
        let got = sync(&spec, tick, &mut state);
        if got != tick.out {
            return Err(format!(
                "record {} at {} ms: got {got:?}, recorded {:?}",
                record.id, tick.t_ms, tick.out
            ));
        }
    }
    Ok(())
}

fn spec_of(hpa: &Hpa, kubernetes: KubernetesVersion) -> Result<HpaSpec, String> {
    let flags = ControllerManagerFlags {
        kubernetes,
        tolerance: hpa.global_tolerance,
        downscale_stabilization: SimDuration::from_secs(hpa.global_downscale_stabilization_s),
        ..ControllerManagerFlags::default()
    };
    let complete = |behavior: &Option<Behavior>| {
        let complete = behavior.as_ref().map(|behavior| CompleteBehavior::of(behavior, &flags));
        complete.transpose().map_err(|problem| problem.to_string())
    };
    let behavior = complete(&hpa.behavior_input)?;
    if behavior != complete(&hpa.behavior)? {
        return Err(format!("defaults: {behavior:?} instead of {:?}", hpa.behavior));
    }
    let metrics = hpa.metrics.iter().enumerate().map(|(i, metric)| {
        let target = MilliValue(metric.target_milli);
        let target = match metric.kind.as_str() {
            "AverageValue" => MetricTarget::AverageValue(target),
            "Value" => MetricTarget::Value(target),
            other => return Err(format!("target type {other}")),
        };
        Ok(HpaMetric::External(ExternalMetric { name: format!("s{i}-prometheus"), target }))
    });
    Ok(HpaSpec {
        min_replicas: Replicas(hpa.min_replicas),
        max_replicas: Replicas(hpa.max_replicas),
        metrics: metrics.collect::<Result<_, _>>()?,
        behavior,
        flags,
    })
}

fn sync(spec: &HpaSpec, tick: &Tick, state: &mut HpaState) -> Out {
    let now = SimTime::ZERO + SimDuration::from_millis(tick.t_ms);
    let scale =
        Scale { spec: Replicas(tick.spec), status: Replicas(tick.status), ready: Replicas(tick.ready) };
    let fetched: Vec<Fetched> = tick.metrics.iter().map(fetched_of).collect();
    // The recording has a proposal also where the controller would not have asked.
    let proposals =
        spec.metrics.iter().zip(&fetched).map(|(metric, fetched)| propose(spec, metric, fetched, scale));
    let proposals = proposals.map(|proposal| proposal.replicas.map(Replicas::get)).collect();
    let decision: Decision = match plan(spec, scale, state, now) {
        Plan::Decided(decision) => *decision,
        Plan::Fetch => decide(spec, scale, state, now, &fetched),
    };
    Out {
        proposals,
        desired: decision.desired_replicas.get(),
        rescaled: decision.rescaled,
        err: decision.error.is_some(),
        able: text(decision.conditions.able_to_scale),
        active: text(decision.conditions.scaling_active),
        limited: text(decision.conditions.scaling_limited),
    }
}

fn fetched_of(answer: &Answer) -> Fetched {
    let values = answer.values_milli.as_ref().ok_or_else(|| "recorded error".to_owned());
    Fetched::External(values.map(|values| values.iter().copied().map(MilliValue).collect()))
}

fn text(condition: Option<Condition>) -> String {
    condition.map_or_else(String::new, |condition| condition.to_string())
}
