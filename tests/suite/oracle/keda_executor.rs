//! KEDA's poll loop and the target: `hpa/keda_executor.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::keda::{
    Annotations, Fallback, KedaVersion, ScaleRequest, ScaledObjectSpec, request_scale,
};
use dryscale::units::{Replicas, SimDuration, SimTime};
use indexmap::IndexMap;
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    id: u64,
    created_ms: u64,
    so: ScaledObject,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScaledObject {
    min_replica_count: Option<i32>,
    max_replica_count: Option<i32>,
    idle_replica_count: Option<i32>,
    cooldown_period: Option<i32>,
    initial_cooldown_period: Option<i32>,
    #[serde(rename = "has_fallback")]
    has_fallback: bool,
    #[serde(rename = "fallback_replicas")]
    fallback_replicas: i32,
    annotations: IndexMap<String, String>,
}

#[derive(Deserialize)]
struct Step {
    t_ms: u64,
    replicas_before: i32,
    last_active_ms_before: Option<u64>,
    is_active: bool,
    is_error: bool,
    #[serde(flatten)]
    out: Out,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Out {
    replicas_after: i32,
    scale_called: bool,
    last_active_set_to_now: bool,
    cond_active: String,
    cond_ready: String,
    cond_paused: String,
    events: Vec<String>,
}

#[test]
fn keda_executor() {
    let Some(lines) = lines("hpa/keda_executor.jsonl") else { return absent("keda_executor") };
    let mut tally = Tally::new("keda_executor");
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let so = &record.so;
    let spec = ScaledObjectSpec {
        min_replica_count: so.min_replica_count,
        max_replica_count: so.max_replica_count,
        idle_replica_count: so.idle_replica_count,
        cooldown_period: so.cooldown_period,
        initial_cooldown_period: so.initial_cooldown_period,
        fallback: so.has_fallback.then_some(Fallback {
            failure_threshold: 3,
            replicas: so.fallback_replicas,
            behavior: None,
        }),
        ..ScaledObjectSpec::default()
    };
    let annotations = Annotations::of(&so.annotations).map_err(|problem| problem.to_string())?;
    for step in &record.steps {
        let request = ScaleRequest {
            spec: &spec,
            annotations: &annotations,
            created: at(record.created_ms),
            last_active: step.last_active_ms_before.map(at),
            current: Replicas(step.replicas_before),
            is_active: step.is_active,
            is_error: step.is_error,
            version: KedaVersion::V2_20,
        };
        let got = out_of(&request, at(step.t_ms))?;
        if got != step.out {
            return Err(format!(
                "record {} at {} ms: got {got:?}, recorded {:?}",
                record.id, step.t_ms, step.out
            ));
        }
    }
    Ok(())
}

fn out_of(request: &ScaleRequest<'_>, now: SimTime) -> Result<Out, String> {
    let result = request_scale(request, now);
    let text = |condition: Option<_>| condition.map_or_else(String::new, |condition| format!("{condition}"));
    let events = serde_json::to_value(result.event.as_slice()).and_then(serde_json::from_value);
    Ok(Out {
        replicas_after: result.replicas.unwrap_or(request.current).get(),
        scale_called: result.replicas.is_some(),
        last_active_set_to_now: result.refreshes_last_active,
        cond_active: text(result.active),
        cond_ready: result.ready.to_string(),
        cond_paused: text(result.paused),
        events: events.map_err(|error| error.to_string())?,
    })
}

fn at(ms: u64) -> SimTime {
    SimTime::ZERO + SimDuration::from_millis(ms)
}
