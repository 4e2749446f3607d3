//! Operators of small ScaledObjects, for the tests of both loops.

use super::{
    Annotations, KedaOperator, KedaVersion, ObjectNames, PollDecision, QueryOutcome, ScaledObjectSpec,
    TriggerReading, Workload,
};
use crate::autoscaling::hpa::ControllerManagerFlags;
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};

pub(super) const SEED: &str = "type = 'prometheus'\nmetadata = { query = 'q', threshold = '2' }";

/// 2026-01-05T08:00:00Z, a Monday.
const EPOCH: UnixMillis = UnixMillis(1_767_600_000_000);

pub(super) fn build(
    settings: &str,
    triggers: &[&str],
    annotations: Annotations,
    version: KedaVersion,
) -> KedaOperator {
    let triggers: String = triggers.iter().map(|trigger| format!("[[triggers]]\n{trigger}\n")).collect();
    let spec: ScaledObjectSpec = toml::from_str(&format!("{settings}\n{triggers}")).expect("valid TOML");
    let names = ObjectNames {
        namespace: "prod".to_owned(),
        name: "llama".to_owned(),
        deployment: "llama-predictor".to_owned(),
    };
    let flags = ControllerManagerFlags::default();
    KedaOperator::new(names, &spec, annotations, version, &flags, SimTime::ZERO, EPOCH).expect("valid")
}

pub(super) fn plain(settings: &str) -> KedaOperator {
    build(settings, &[SEED], Annotations::default(), KedaVersion::V2_20)
}

pub(super) fn annotated(settings: &str, annotations: Annotations) -> KedaOperator {
    build(settings, &[SEED], annotations, KedaVersion::V2_20)
}

pub(super) fn cached(settings: &str, version: KedaVersion) -> KedaOperator {
    build(settings, &[&format!("use_cached_metrics = true\n{SEED}")], Annotations::default(), version)
}

pub(super) fn ms(ms: u64) -> SimTime {
    SimTime::ZERO + SimDuration::from_millis(ms)
}

pub(super) fn size(replicas: i32) -> Workload {
    Workload { replicas: Replicas(replicas), ready: Replicas(replicas) }
}

pub(super) fn value(value: f64) -> QueryOutcome {
    QueryOutcome::Vector(vec![value])
}

pub(super) fn refused() -> QueryOutcome {
    QueryOutcome::Error("refused".to_owned())
}

pub(super) fn poll(keda: &mut KedaOperator, at: u64, replicas: i32, outcome: QueryOutcome) -> PollDecision {
    let hpa = keda.hpa_status();
    keda.poll(ms(at), ms(at), size(replicas), &[Some(outcome)], &hpa)
}

pub(super) fn sync(
    keda: &mut KedaOperator,
    at: u64,
    replicas: i32,
    outcome: &QueryOutcome,
) -> TriggerReading {
    keda.external_metric(0, ms(at), size(replicas), Some(outcome))
}

pub(super) fn reasons(decision: &PollDecision) -> Vec<&str> {
    decision.events.iter().map(|event| event.reason).collect()
}

/// A condition as `Status/Reason: message`.
pub(super) fn condition(keda: &KedaOperator, kind: &str) -> String {
    let conditions = keda.status().conditions;
    let condition = conditions.iter().find(|condition| condition.kind == kind).expect("a condition");
    format!("{}/{}: {}", condition.status, condition.reason, condition.message)
}
