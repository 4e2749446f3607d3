//! The controllers' loops: KEDA's poll and the HPA's sync, each at its own pace, over what Prometheus knows.

use super::event::Event;
use super::record::{Controller, DecisionRecord, Recorder};
use super::telemetry::Sensor;
use super::world::World;
use crate::autoscaling::describe::DescribedEvent;
use crate::autoscaling::hpa::{self, HpaState, HpaStatus, Plan, Scale};
use crate::autoscaling::keda::{
    self, CompositeReading, KedaOperator, PrometheusTrigger, QueryOutcome, TriggerReading,
};
use crate::monitoring::promql::Query;
use crate::random::Streams;
use crate::units::{Replicas, SimDuration, SimTime};
use serde::{Serialize, Serializer};

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
    /// The query of each trigger, in the order of the spec; `None` for a trigger that asks none.
    pub queries: Vec<Option<Query>>,
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
    queries: Vec<Option<Query>>,
    query_latency: SimDuration,
    hpa_state: HpaState,
    hpa_status: HpaStatus,
    first_poll: SimTime,
    first_sync: SimTime,
    /// By trigger.
    seen: Vec<Seen>,
    seen_formula: SeenFormula,
}

/// What was seen of one trigger over the run.
#[derive(Clone, Debug, Default)]
struct Seen {
    evaluations: u64,
    empty: u64,
    /// Answers that are ranges, of which KEDA reads no value.
    ranges: u64,
    failed: u64,
    first_error: Option<String>,
}

impl Seen {
    fn note(&mut self, outcome: &QueryOutcome, reading: &TriggerReading) {
        self.evaluations += 1;
        self.empty += u64::from(matches!(outcome, QueryOutcome::Vector(values) if values.is_empty()));
        self.ranges += u64::from(matches!(outcome, QueryOutcome::Matrix(_)));
        if let Some(error) = &reading.scaler_error {
            self.failed += 1;
            self.first_error.get_or_insert_with(|| error.clone());
        }
    }

    /// What a careful colleague would say about it.
    fn warning(&self, trigger: &PrometheusTrigger, name: &str) -> Option<String> {
        let Seen { evaluations, empty, ranges, failed, .. } = self;
        let reported = if trigger.ignore_null_values { "0" } else { "an error" };
        if *ranges > 0 && *failed == 0 {
            return Some(format!(
                "trigger {name}: the query gives a range, which KEDA reports as {reported}; put it into a function such as avg_over_time()"
            ));
        }
        if *evaluations > 0 && empty == evaluations {
            return Some(format!(
                "trigger {name}: the query was empty at all {evaluations} evaluations, which KEDA reports as {reported}"
            ));
        }
        let error = self.first_error.as_ref()?;
        Some(format!("trigger {name} failed at {failed} of {evaluations} evaluations: {error}"))
    }
}

/// What was seen of a formula over the run. KEDA only logs that it fails.
#[derive(Clone, Debug, Default)]
struct SeenFormula {
    evaluations: u64,
    failed: u64,
    first_error: Option<String>,
}

impl SeenFormula {
    fn note(&mut self, composite: Option<&CompositeReading>) {
        let Some(composite) = composite else { return };
        self.evaluations += 1;
        if let Some(error) = &composite.error {
            self.failed += 1;
            self.first_error.get_or_insert_with(|| error.clone());
        }
    }

    fn warning(&self) -> Option<String> {
        let (SeenFormula { evaluations, failed, .. }, error) = (self, self.first_error.as_ref()?);
        Some(format!(
            "the formula failed at {failed} of {evaluations} evaluations, which leaves the HPA without a metric: {error}"
        ))
    }
}

/// A poll as decisions.jsonl shows it.
#[derive(Serialize)]
struct PollDetail<'a> {
    queries: Vec<Option<&'a str>>,
    #[serde(flatten)]
    decision: &'a keda::PollDecision,
    scaled_object: StatusOf<'a>,
}

/// The status of a ScaledObject, made when somebody wants to read it.
struct StatusOf<'a>(&'a KedaOperator);

impl Serialize for StatusOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.status().serialize(serializer)
    }
}

/// A sync as decisions.jsonl shows it.
#[derive(Serialize)]
struct SyncDetail<'a> {
    external_metrics: &'a [TriggerReading],
    #[serde(skip_serializing_if = "Option::is_none")]
    composite: Option<&'a CompositeReading>,
    #[serde(flatten)]
    decision: &'a hpa::Decision,
    hpa: &'a HpaStatus,
    events: &'a [DescribedEvent],
}

/// What one sync of the HPA fetched.
#[derive(Default)]
struct Fetch {
    readings: Vec<TriggerReading>,
    /// What they come to, with `scalingModifiers`.
    composite: Option<CompositeReading>,
    /// How many queries it took, one after the other.
    queries: u64,
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
                seen_formula: SeenFormula::default(),
                hpa_status: setup.operator.hpa_status(),
                operator: setup.operator,
                queries: setup.queries,
                query_latency: setup.query_latency,
                hpa_state: HpaState::default(),
            }),
        }
    }
}

impl Keda {
    /// KEDA's scale loop: every trigger, then 0 <-> min.
    fn poll(&mut self, sensor: &Sensor, workload: keda::Workload, now: SimTime) -> keda::PollDecision {
        let ask = |query: &mut Option<Query>| Some(sensor.ask(query.as_mut()?, now));
        let outcomes: Vec<Option<QueryOutcome>> = self.queries.iter_mut().map(ask).collect();
        let decision = self.operator.poll(now, now, workload, &outcomes, &self.hpa_status);
        for ((seen, outcome), reading) in self.seen.iter_mut().zip(&outcomes).zip(&decision.triggers) {
            outcome.iter().for_each(|outcome| seen.note(outcome, reading));
        }
        self.seen_formula.note(decision.composite.as_ref());
        decision
    }

    /// The HPA's reconcile: a fresh query for each metric, unless the size alone decides. `None` without an HPA.
    fn sync(
        &mut self,
        sensor: &Sensor,
        workload: keda::Workload,
        scale: Scale,
        now: SimTime,
    ) -> Option<(hpa::Decision, Fetch)> {
        if let Plan::Decided(decision) = hpa::plan(self.operator.hpa()?, scale, &mut self.hpa_state, now) {
            return Some((*decision, Fetch::default()));
        }
        let mut fetch = self.fetch(sensor, workload, now);
        let (values, composite) = self.operator.answer(&fetch.readings);
        if composite.is_some() {
            // The triggers of a formula are queried at the same time.
            fetch.queries = fetch.queries.min(1);
        }
        self.seen_formula.note(composite.as_ref());
        fetch.composite = composite;
        let decision = hpa::decide(self.operator.hpa()?, scale, &mut self.hpa_state, now, &values);
        Some((decision, fetch))
    }

    /// What KEDA reads for the HPA, trigger by trigger.
    fn fetch(&mut self, sensor: &Sensor, workload: keda::Workload, now: SimTime) -> Fetch {
        let mut fetch = Fetch::default();
        for (metric, query) in self.queries.iter_mut().enumerate() {
            let query = query.as_mut().filter(|_| self.operator.wants_query(metric));
            let outcome = query.map(|query| sensor.ask(query, now));
            let reading = self.operator.external_metric(metric, now, workload, outcome.as_ref());
            if let Some(outcome) = outcome {
                fetch.queries += 1;
                self.seen[metric].note(&outcome, &reading);
            }
            fetch.readings.push(reading);
        }
        fetch
    }

    /// Takes a sync over into the HPA's status, and gives its events.
    fn observe(&mut self, decision: &hpa::Decision, now: SimTime) -> Vec<DescribedEvent> {
        let Some(hpa) = self.operator.hpa() else { return Vec::new() };
        self.hpa_status.observe(hpa, decision, now)
    }

    /// When the HPA is due again, having waited for `queries` queries since `now`.
    fn next_sync(&self, now: SimTime, queries: u64) -> Option<SimTime> {
        let took = self.query_latency.checked_mul(queries);
        let ended = took.and_then(|took| now.checked_add(took)).unwrap_or(SimTime::HORIZON);
        Some(self.operator.hpa()?.flags.next_sync(ended.min(SimTime::HORIZON)))
    }
}

impl World<'_> {
    /// Schedules the first poll and sync; a paused object gets its size.
    pub(super) fn start_control(&mut self) {
        let replicas = self.fleet.workload().replicas;
        let Some(keda) = &mut self.control.keda else { return };
        let paused = keda.operator.start(replicas);
        if keda.operator.poll_due().is_some() {
            self.queue.push(keda.first_poll, Event::KedaPoll);
        }
        if keda.operator.hpa().is_some() {
            self.queue.push(keda.first_sync, Event::HpaSync);
        }
        if let Some(replicas) = paused {
            self.scale_to(replicas, Controller::KedaPoll);
        }
    }

    /// KEDA polls.
    pub(super) fn keda_poll(&mut self) {
        let workload = self.fleet.workload();
        let Some(keda) = &mut self.control.keda else { return };
        let decision = keda.poll(&self.sensor, workload, self.now);
        if let Some(due) = keda.operator.poll_due() {
            self.queue.push(due, Event::KedaPoll);
        }
        let replicas = decision.scale.replicas.unwrap_or(workload.replicas);
        let scalers = keda.operator.scalers().iter();
        let queries = scalers.map(|scaler| Some(scaler.prometheus()?.query.as_str())).collect();
        let detail = PollDetail { queries, decision: &decision, scaled_object: StatusOf(&keda.operator) };
        let sizes = (workload.replicas, replicas);
        record_decision(self.recorder, self.now, Controller::KedaPoll, sizes, &detail);
        self.scale_to(replicas, Controller::KedaPoll);
    }

    /// The HPA syncs.
    pub(super) fn hpa_sync(&mut self) {
        let (workload, scale) = (self.fleet.workload(), self.fleet.scale());
        let Some(keda) = &mut self.control.keda else { return };
        let Some((decision, fetch)) = keda.sync(&self.sensor, workload, scale, self.now) else { return };
        if let Some(due) = keda.next_sync(self.now, fetch.queries) {
            self.queue.push(due, Event::HpaSync);
        }
        let events = keda.observe(&decision, self.now);
        let detail = SyncDetail {
            external_metrics: &fetch.readings,
            composite: fetch.composite.as_ref(),
            decision: &decision,
            hpa: &keda.hpa_status,
            events: &events,
        };
        let sizes = (scale.spec, decision.desired_replicas);
        record_decision(self.recorder, self.now, Controller::HpaSync, sizes, &detail);
        self.scale_to(decision.desired_replicas, Controller::HpaSync);
    }

    /// What a careful colleague would say about the triggers, once the run is over.
    pub(super) fn warn_about_triggers(&mut self) {
        let Some(keda) = &self.control.keda else { return };
        for (index, (seen, scaler)) in keda.seen.iter().zip(keda.operator.scalers()).enumerate() {
            let Some(trigger) = scaler.prometheus() else { continue };
            if let Some(warning) = seen.warning(trigger, keda.operator.metric_name(index)) {
                self.totals.warn(warning);
            }
        }
        keda.seen_formula.warning().into_iter().for_each(|warning| self.totals.warn(warning));
    }
}

/// Tells a decision to whoever wants to hear it; `sizes` are `spec.replicas` before and after.
fn record_decision(
    recorder: &mut dyn Recorder,
    at: SimTime,
    controller: Controller,
    sizes: (Replicas, Replicas),
    detail: &impl Serialize,
) {
    if !recorder.wants_decisions() {
        return;
    }
    let (replicas_before, replicas_after) = sizes;
    // Serializing plain structs with string keys cannot fail; a null would still be a record of when it happened.
    let detail = serde_json::to_value(detail).unwrap_or_default();
    recorder.decision(&DecisionRecord { at, controller, replicas_before, replicas_after, detail });
}
