//! KEDA's poll and the sync of the HPA that it made, each at its own pace, over what Prometheus knows.

use super::hpa_loop::HpaLoop;
use super::{ControlLoops, phase, record_decision};
use crate::autoscaling::describe::DescribedEvent;
use crate::autoscaling::hpa::{self, HpaStatus, Scale};
use crate::autoscaling::keda::{
    self, CompositeReading, KedaOperator, PrometheusTrigger, QueryOutcome, Scaler, TriggerReading,
};
use crate::monitoring::promql::Query;
use crate::random::Streams;
use crate::simulation::event::Event;
use crate::simulation::faults::Asked;
use crate::simulation::record::Controller;
use crate::simulation::telemetry::Sensor;
use crate::simulation::world::World;
use crate::units::{SimDuration, SimTime};
use serde::{Serialize, Serializer};

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

/// KEDA in motion.
pub(in crate::simulation) struct Keda {
    operator: KedaOperator,
    queries: Vec<Option<Query>>,
    query_latency: SimDuration,
    hpa: HpaLoop,
    first_poll: SimTime,
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
    /// How much later than usual they came, together.
    delay: SimDuration,
}

impl Keda {
    /// The loops begin at phases of their own: relative to the traffic, and to each other, they are arbitrary.
    pub(super) fn new(setup: KedaSetup, streams: &Streams) -> Self {
        Keda {
            first_poll: phase(streams, "keda/poll-phase", setup.polling_interval),
            hpa: HpaLoop::new(setup.operator.hpa(), setup.operator.hpa_status(), streams),
            seen: vec![Seen::default(); setup.queries.len()],
            seen_formula: SeenFormula::default(),
            operator: setup.operator,
            queries: setup.queries,
            query_latency: setup.query_latency,
        }
    }

    /// KEDA's scale loop: every trigger, then 0 <-> min; and how much later than usual the decision comes.
    fn poll(
        &mut self,
        sensor: &Sensor,
        workload: keda::Workload,
        now: SimTime,
    ) -> (keda::PollDecision, SimDuration) {
        let ask = |(query, scaler): (&mut Option<Query>, &keda::Scaler)| {
            Some(sensor.ask(query.as_mut()?, now, scaler.prometheus()?.timeout))
        };
        let asked = self.queries.iter_mut().zip(self.operator.scalers()).map(ask);
        let asked: Vec<Option<Asked<QueryOutcome>>> = asked.collect();
        // All triggers are asked at once.
        let delay = asked.iter().flatten().map(|asked| asked.delay).max().unwrap_or_default();
        let outcomes: Vec<Option<QueryOutcome>> =
            asked.into_iter().map(|asked| asked.map(|asked| asked.answer)).collect();
        let decision = self.operator.poll(now, now + delay, workload, &outcomes, self.hpa.status());
        for ((seen, outcome), reading) in self.seen.iter_mut().zip(&outcomes).zip(&decision.triggers) {
            outcome.iter().for_each(|outcome| seen.note(outcome, reading));
        }
        self.seen_formula.note(decision.composite.as_ref());
        (decision, delay)
    }

    /// The HPA's reconcile: a fresh query for each metric, unless the size alone decides. `None` without an HPA.
    fn sync(
        &mut self,
        sensor: &Sensor,
        workload: keda::Workload,
        scale: Scale,
        now: SimTime,
    ) -> Option<(hpa::Decision, Fetch)> {
        if let Some(decision) = self.hpa.plan(self.operator.hpa()?, scale, now) {
            return Some((decision, Fetch::default()));
        }
        if let Some(error) = sensor.metrics_api_error(now) {
            let hpa = self.operator.hpa()?;
            let values = vec![hpa::Fetched::External(Err(error)); hpa.metrics.len()];
            return Some((self.hpa.decide(hpa, scale, now, &values), Fetch::default()));
        }
        let mut fetch = self.fetch(sensor, workload, now);
        let (values, composite) = self.operator.answer(&fetch.readings);
        if composite.is_some() {
            // The triggers of a formula are queried at the same time.
            fetch.queries = fetch.queries.min(1);
        }
        let values: Vec<hpa::Fetched> = values.into_iter().map(hpa::Fetched::External).collect();
        self.seen_formula.note(composite.as_ref());
        fetch.composite = composite;
        let decision = self.hpa.decide(self.operator.hpa()?, scale, now + fetch.delay, &values);
        Some((decision, fetch))
    }

    /// What KEDA reads for the HPA, trigger by trigger.
    fn fetch(&mut self, sensor: &Sensor, workload: keda::Workload, now: SimTime) -> Fetch {
        let mut fetch = Fetch::default();
        for (metric, query) in self.queries.iter_mut().enumerate() {
            let query = query.as_mut().filter(|_| self.operator.wants_query(metric));
            let trigger = self.operator.scalers()[metric].prometheus();
            let asked = query.zip(trigger).map(|(query, trigger)| sensor.ask(query, now, trigger.timeout));
            fetch.delay += asked.as_ref().map(|asked| asked.delay).unwrap_or_default();
            let outcome = asked.map(|asked| asked.answer);
            let reading = self.operator.external_metric(metric, now, workload, outcome.as_ref());
            if let Some(outcome) = outcome {
                fetch.queries += 1;
                self.seen[metric].note(&outcome, &reading);
            }
            fetch.readings.push(reading);
        }
        fetch
    }

    /// When the HPA is due again, having waited for `queries` queries since `now`.
    fn next_sync(&self, now: SimTime, queries: u64) -> Option<SimTime> {
        Some(HpaLoop::next_sync(self.operator.hpa()?, now, self.query_latency, queries))
    }

    /// What a careful colleague would say about the triggers.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let scalers = self.seen.iter().zip(self.operator.scalers()).enumerate();
        let of_trigger = |(index, (seen, scaler)): (usize, (&Seen, &Scaler))| {
            seen.warning(scaler.prometheus()?, self.operator.metric_name(index))
        };
        scalers.filter_map(of_trigger).chain(self.seen_formula.warning())
    }
}

impl World<'_> {
    /// Schedules the first poll and sync; a paused object gets its size.
    pub(super) fn start_keda(&mut self) {
        let replicas = self.fleet.workload().replicas;
        let ControlLoops::Keda(keda) = &mut self.control else { return };
        let paused = keda.operator.start(replicas);
        if keda.operator.poll_due().is_some() {
            self.queue.push(keda.first_poll, Event::KedaPoll);
        }
        if keda.operator.hpa().is_some() {
            self.queue.push(keda.hpa.first_sync(), Event::HpaSync);
        }
        if let Some(replicas) = paused {
            self.scale_to(replicas, Controller::KedaPoll);
        }
    }

    /// KEDA polls.
    pub(in crate::simulation) fn keda_poll(&mut self) {
        let workload = self.fleet.workload();
        let ControlLoops::Keda(keda) = &mut self.control else { return };
        let (decision, delay) = keda.poll(&self.sensor, workload, self.now);
        if let Some(due) = keda.operator.poll_due() {
            self.queue.push(due, Event::KedaPoll);
        }
        let replicas = decision.scale.replicas.unwrap_or(workload.replicas);
        let scalers = keda.operator.scalers().iter();
        let queries = scalers.map(|scaler| Some(scaler.prometheus()?.query.as_str())).collect();
        let detail = PollDetail { queries, decision: &decision, scaled_object: StatusOf(&keda.operator) };
        let sizes = (workload.replicas, replicas);
        record_decision(self.recorder, self.now, Controller::KedaPoll, sizes, &detail);
        self.scale_after(delay, replicas, Controller::KedaPoll);
    }

    /// The HPA that KEDA made syncs.
    pub(super) fn sync_kedas_hpa(&mut self) {
        let (workload, scale) = (self.fleet.workload(), self.fleet.scale());
        let ControlLoops::Keda(keda) = &mut self.control else { return };
        let Some((decision, fetch)) = keda.sync(&self.sensor, workload, scale, self.now) else { return };
        if let Some(due) = keda.next_sync(self.now + fetch.delay, fetch.queries) {
            self.queue.push(due, Event::HpaSync);
        }
        let hpa = keda.operator.hpa();
        let events = hpa.map(|hpa| keda.hpa.observe(hpa, &decision, self.now)).unwrap_or_default();
        let detail = SyncDetail {
            external_metrics: &fetch.readings,
            composite: fetch.composite.as_ref(),
            decision: &decision,
            hpa: keda.hpa.status(),
            events: &events,
        };
        let sizes = (scale.spec, decision.desired_replicas);
        record_decision(self.recorder, self.now, Controller::HpaSync, sizes, &detail);
        self.scale_after(fetch.delay, decision.desired_replicas, Controller::HpaSync);
    }
}
