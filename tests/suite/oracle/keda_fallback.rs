//! KEDA's fallback of one metric: `hpa/keda_fallback.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::hpa::MetricTarget;
use dryscale::autoscaling::keda::{
    Fallback, FallbackBehavior, FallbackContext, FallbackStatus, KedaVersion, MetricType, ScalingModifiers,
    Workload,
};
use dryscale::units::{MilliValue, Replicas};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    id: u64,
    fallback_configured: bool,
    behavior: String,
    failure_threshold: i32,
    fallback_replicas: i32,
    target_type: String,
    target_milli: i64,
    /// Empty where no modifiers are used.
    scaling_modifiers_target: String,
    scaling_modifiers_metric_type: String,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    scaler_error: bool,
    metric_milli: i64,
    spec_replicas: i32,
    ready_pods: i32,
    #[serde(flatten)]
    out: Out,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Out {
    out_error: bool,
    out_milli: Option<i64>,
    out_fallback_active: bool,
    out_metric_name: String,
    failures_after: Option<i32>,
    health_after: String,
    cond_fallback: String,
}

#[test]
fn keda_fallback() {
    let Some(lines) = lines("hpa/keda_fallback.jsonl") else { return absent("keda_fallback") };
    let mut tally = Tally::new("keda_fallback");
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let behavior = match record.behavior.as_str() {
        "" => None,
        name => Some(named::<FallbackBehavior>(name)?),
    };
    let fallback = Fallback {
        failure_threshold: record.failure_threshold,
        replicas: record.fallback_replicas,
        behavior,
    };
    let metric_type = match record.scaling_modifiers_metric_type.as_str() {
        "" => None,
        name => Some(named::<MetricType>(name)?),
    };
    let modifiers = ScalingModifiers {
        target: Some(record.scaling_modifiers_target.clone()),
        metric_type,
        ..ScalingModifiers::default()
    };
    let target = MilliValue(record.target_milli);
    let target = match record.target_type.as_str() {
        "AverageValue" => MetricTarget::AverageValue(target),
        "Value" => MetricTarget::Value(target),
        other => return Err(format!("target type {other}")),
    };
    let mut status = FallbackStatus::new(1);
    for (i, call) in record.calls.iter().enumerate() {
        let context = FallbackContext {
            fallback: record.fallback_configured.then_some(&fallback),
            modifiers: (!record.scaling_modifiers_target.is_empty()).then_some(&modifiers),
            metric_name: "s0-prometheus",
            target,
            workload: Workload { replicas: Replicas(call.spec_replicas), ready: Replicas(call.ready_pods) },
            version: KedaVersion::V2_20,
        };
        let got = out_of(&mut status, call, &context);
        if got != call.out {
            return Err(format!("record {} call {i}: got {got:?}, recorded {:?}", record.id, call.out));
        }
    }
    Ok(())
}

fn out_of(status: &mut FallbackStatus, call: &Call, context: &FallbackContext<'_>) -> Out {
    let outcome =
        if call.scaler_error { Err("recorded error".to_owned()) } else { Ok(MilliValue(call.metric_milli)) };
    let evaluated = status.evaluate(0, outcome, context);
    let health = status.health(0);
    let (name, milli) = evaluated
        .metric
        .as_ref()
        .map_or((String::new(), None), |(name, value)| (name.clone(), Some(value.get())));
    Out {
        out_error: evaluated.metric.is_err(),
        out_milli: milli,
        out_fallback_active: evaluated.fallback_active,
        out_metric_name: name,
        failures_after: health.map(|health| health.failures),
        health_after: health.map_or_else(String::new, |health| format!("{:?}", health.status)),
        cond_fallback: status.condition().map_or_else(String::new, |condition| condition.to_string()),
    }
}

/// A value by its name in a manifest.
fn named<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}
