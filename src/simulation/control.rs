//! The controllers' loops: KEDA's poll and the HPA's sync, each at its own pace, over what Prometheus knows.

use super::event::Event;
use super::record::{Controller, DecisionRecord};
use super::world::World;
use crate::autoscaling::hpa::{self, HpaState, Plan, Scale};
use crate::autoscaling::keda::{self, KedaOperator, QueryOutcome, TriggerReading};
use crate::monitoring::promql::Query;
use crate::random::Streams;
use crate::units::{Replicas, SimDuration, SimTime};
use serde::Serialize;

/// What decides about `spec.replicas`.
pub enum Autoscaling {
    /// Nothing does: a fixed size.
    Static,
    /// KEDA and the HPA that it generates.
    Keda(Box<KedaSetup>),
}

/// KEDA with its compiled queries.
pub struct KedaSetup {
    /// The operator of the ScaledObject, created at t = 0.
    pub operator: KedaOperator,
    /// The query of each trigger, in the order of the spec.
    pub queries: Vec<Query>,
    /// How long one query takes, HTTP included; delays the HPA's next sync.
    pub query_latency: SimDuration,
    /// Period of KEDA's poll, for its phase.
    pub polling_interval: SimDuration,
}

/// The loops in motion.
pub(super) struct ControlLoops {
    keda: Option<Keda>,
}

struct Keda {
    operator: KedaOperator,
    queries: Vec<Query>,
    query_latency: SimDuration,
    hpa_state: HpaState,
    first_poll: SimTime,
    first_sync: SimTime,
    /// By trigger: what was seen of it, for the warnings at the end.
    seen: Vec<Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    evaluations: u64,
    empty: u64,
    failed: u64,
    first_error: Option<String>,
}

/// A poll as decisions.jsonl shows it.
#[derive(Serialize)]
struct PollDetail<'a> {
    queries: Vec<&'a str>,
    #[serde(flatten)]
    decision: &'a keda::PollDecision,
}

/// A sync as decisions.jsonl shows it.
#[derive(Serialize)]
struct SyncDetail<'a> {
    external_metrics: &'a [TriggerReading],
    #[serde(flatten)]
    decision: &'a hpa::Decision,
}

impl ControlLoops {
    /// The loops begin at phases of their own: relative to the traffic, and to each other, they are arbitrary.
    pub(super) fn new(autoscaling: Autoscaling, streams: &Streams) -> Self {
        let Autoscaling::Keda(setup) = autoscaling else { return ControlLoops { keda: None } };
        let phase = |name: &str, period: SimDuration| {
            SimTime::ZERO + SimDuration::from_ps(streams.stream(name).below(period.as_ps().max(1)))
        };
        let sync_period = setup.operator.hpa().map_or(SimDuration::ZERO, |spec| spec.flags.sync_period);
        ControlLoops {
            keda: Some(Keda {
                first_poll: phase("keda/poll-phase", setup.polling_interval),
                first_sync: phase("hpa/sync-phase", sync_period),
                seen: vec![Seen::default(); setup.queries.len()],
                operator: setup.operator,
                queries: setup.queries,
                query_latency: setup.query_latency,
                hpa_state: HpaState::default(),
            }),
        }
    }
}

impl World<'_> {
    /// Schedules the first poll and sync.
    pub(super) fn start_control(&mut self) {
        let Some(keda) = &self.control.keda else { return };
        if keda.operator.poll_due().is_some() {
            self.queue.push(keda.first_poll, Event::KedaPoll);
        }
        if keda.operator.hpa().is_some() {
            self.queue.push(keda.first_sync, Event::HpaSync);
        }
        if let Some(replicas) = keda.operator.paused_replicas() {
            self.scale_to(replicas, Controller::KedaPoll);
        }
    }

    /// KEDA's scale loop: every trigger, then 0 <-> min.
    pub(super) fn keda_poll(&mut self) {
        let Some(mut keda) = self.control.keda.take() else { return };
        let outcomes: Vec<QueryOutcome> =
            (0..keda.queries.len()).map(|trigger| self.ask(&mut keda, trigger)).collect();
        let workload = keda::Workload {
            replicas: self.fleet.deployment.spec_replicas(),
            ready: self.fleet.deployment.ready_replicas(),
        };
        let decision = keda.operator.poll(self.now, self.now, workload, &outcomes);
        if let Some(due) = keda.operator.poll_due() {
            self.queue.push(due, Event::KedaPoll);
        }
        let replicas = decision.scale.replicas.unwrap_or(workload.replicas);
        if self.recorder.wants_decisions() {
            let queries = keda.operator.triggers().iter().map(|trigger| trigger.query.as_str()).collect();
            let detail = PollDetail { queries, decision: &decision };
            self.record_decision(Controller::KedaPoll, workload.replicas, replicas, &detail);
        }
        self.control.keda = Some(keda);
        self.scale_to(replicas, Controller::KedaPoll);
    }

    /// The HPA's reconcile: a fresh query for each metric, unless the size alone decides.
    pub(super) fn hpa_sync(&mut self) {
        let Some(mut keda) = self.control.keda.take() else { return };
        if let Some(spec) = keda.operator.hpa().cloned() {
            let scale = Scale {
                spec: self.fleet.deployment.spec_replicas(),
                status: self.fleet.deployment.status_replicas(),
                ready: self.fleet.deployment.ready_replicas(),
            };
            let mut readings = Vec::new();
            let decision = match hpa::plan(&spec, scale, &mut keda.hpa_state, self.now) {
                Plan::Decided(decision) => *decision,
                Plan::Fetch => {
                    readings = self.external_metrics(&mut keda, scale);
                    let fetched: Vec<hpa::Fetched> =
                        readings.iter().map(|reading| reading.reported().map(|milli| vec![milli])).collect();
                    hpa::decide(&spec, scale, &mut keda.hpa_state, self.now, &fetched)
                }
            };
            let ended = self.now + keda.query_latency.checked_mul(readings.len() as u64).unwrap_or_default();
            self.queue.push(spec.flags.next_sync(ended), Event::HpaSync);
            if self.recorder.wants_decisions() {
                let detail = SyncDetail { external_metrics: &readings, decision: &decision };
                self.record_decision(Controller::HpaSync, scale.spec, decision.desired_replicas, &detail);
            }
            self.control.keda = Some(keda);
            self.scale_to(decision.desired_replicas, Controller::HpaSync);
        } else {
            self.control.keda = Some(keda);
        }
    }

    fn external_metrics(&mut self, keda: &mut Keda, scale: Scale) -> Vec<TriggerReading> {
        let workload = keda::Workload { replicas: scale.spec, ready: scale.ready };
        let mut readings = Vec::with_capacity(keda.queries.len());
        for metric in 0..keda.queries.len() {
            // Only read where the operator wants a query; a cached record stands in for it otherwise.
            let outcome = if keda.operator.wants_query(metric) {
                self.ask(keda, metric)
            } else {
                QueryOutcome::Vector(Vec::new())
            };
            readings.push(keda.operator.external_metric(metric, workload, &outcome));
        }
        readings
    }

    /// Asks Prometheus the query of a trigger, as KEDA does: at the current instant cut to the whole second.
    fn ask(&self, keda: &mut Keda, trigger: usize) -> QueryOutcome {
        let at = self.epoch.at(self.now).whole_second();
        let outcome = self.sensor.ask(&mut keda.queries[trigger], at, self.now);
        let seen = &mut keda.seen[trigger];
        seen.evaluations += 1;
        match &outcome {
            QueryOutcome::Vector(values) if values.is_empty() => seen.empty += 1,
            QueryOutcome::Vector(values) if values.len() > 1 => {
                seen.failed += 1;
                let count = values.len();
                seen.first_error
                    .get_or_insert_with(|| format!("the query returned {count} elements, KEDA takes one"));
            }
            QueryOutcome::Error(error) => {
                seen.failed += 1;
                seen.first_error.get_or_insert_with(|| error.clone());
            }
            QueryOutcome::ScalarOrString | QueryOutcome::Matrix(_) => {
                seen.failed += 1;
                seen.first_error.get_or_insert_with(|| {
                    "the query does not return a vector; wrap it in vector()".to_owned()
                });
            }
            QueryOutcome::Vector(_) | QueryOutcome::Null => {}
        }
        outcome
    }

    fn record_decision(
        &mut self,
        controller: Controller,
        before: Replicas,
        after: Replicas,
        detail: &impl Serialize,
    ) {
        // Serializing plain structs with string keys cannot fail; a null would still be a record of when it happened.
        let detail = serde_json::to_value(detail).unwrap_or_default();
        let record = DecisionRecord {
            at: self.now,
            controller,
            replicas_before: before,
            replicas_after: after,
            detail,
        };
        self.recorder.decision(&record);
    }

    /// What a careful colleague would say about the triggers, once the run is over.
    pub(super) fn warn_about_triggers(&mut self) {
        let Some(keda) = self.control.keda.take() else { return };
        for (trigger, seen) in keda.seen.iter().enumerate() {
            let name = keda::metric_name(trigger);
            if seen.evaluations > 0 && seen.empty == seen.evaluations {
                self.totals.warn(format!(
                    "trigger {name}: the query was empty at all {} evaluations, which KEDA reports as {}",
                    seen.evaluations,
                    if keda.operator.triggers()[trigger].ignore_null_values { "0" } else { "an error" }
                ));
            }
            if let Some(error) = &seen.first_error {
                let (failed, all) = (seen.failed, seen.evaluations);
                self.totals.warn(format!("trigger {name} failed at {failed} of {all} evaluations: {error}"));
            }
        }
        self.control.keda = Some(keda);
    }
}
