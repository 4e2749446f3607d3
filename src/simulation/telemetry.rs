//! What Prometheus sees: pods come into discovery and leave it, and are scraped in between.

use super::checkers;
use super::control::Wva;
use super::event::Event;
use super::exporters::Exporters;
use super::faults::{Asked, FaultsInMotion, Scrape, Shown};
use super::gpu_readings::GpuReadings;
use super::setup::{MonitoringSetup, Target};
use super::world::World;
use crate::autoscaling::instant_query::{Answer, Element};
use crate::autoscaling::keda::QueryOutcome;
use crate::monitoring::Discovery;
use crate::monitoring::dcgm::DcgmSpec;
use crate::monitoring::kube_state_metrics::{self, DeploymentStatus};
use crate::monitoring::labels::{Labels, METRIC_NAME};
use crate::monitoring::promql::{Query, Value};
use crate::monitoring::rules::Rules;
use crate::monitoring::scrape::{Prometheus, TargetId};
use crate::monitoring::vllm_metrics::Schema;
use crate::random::Streams;
use crate::serving::engine::Engine;
use crate::serving::nodes::{NodeId, Nodes};
use crate::units::{SimDuration, SimTime, UnixMillis};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Prometheus, and who its targets are.
pub(super) struct Sensor {
    pub(super) prometheus: Prometheus,
    pub(super) rules: Rules,
    /// The wall clock at t = 0.
    epoch: UnixMillis,
    discovery: Discovery,
    /// A pod's page.
    schema: Schema,
    /// As much of it as Prometheus is given.
    scraped: Schema,
    target: Target,
    kube_state_columns: Arc<[Labels]>,
    /// By target.
    owners: Vec<Owner>,
    /// By pod, as long as it is a target.
    pods: FxHashMap<u32, TargetId>,
    /// Kept for its allocation.
    page: Vec<f64>,
    pub(super) exporters: Exporters,
    pub(super) dcgm: DcgmSpec,
    /// Where somebody reads them.
    pub(super) gpu_readings: Option<GpuReadings>,
    pub(super) faults: FaultsInMotion,
    /// How long a query usually takes.
    pub(super) query_latency: SimDuration,
}

/// Whose page a target's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    KubeStateMetrics,
    /// By creation ordinal.
    Pod(u32),
    Epp,
    Router,
    Dcgm(NodeId),
    Wva,
}

impl Sensor {
    /// With `recorded`, everything is scraped and told, not only what is kept of it.
    pub(super) fn new(
        setup: MonitoringSetup,
        target: Target,
        epoch: UnixMillis,
        recorded: bool,
        streams: &Streams,
    ) -> Self {
        // What nobody hears of need not even be read off the page.
        let scraped = if recorded { setup.schema.clone() } else { setup.schema.kept(&setup.keep) };
        let mut prometheus = Prometheus::new(&setup.spec, epoch, setup.retention, setup.keep, streams);
        if recorded {
            prometheus.database_mut().keep_log();
        }
        Sensor {
            prometheus,
            rules: Rules::new(setup.rules, setup.spec.evaluation_duration.duration(), epoch, streams),
            epoch,
            discovery: setup.spec.discovery,
            schema: setup.schema,
            scraped,
            kube_state_columns: kube_state_metrics::columns(&target.namespace, &target.deployment).into(),
            target,
            owners: Vec::new(),
            pods: FxHashMap::default(),
            page: Vec::new(),
            exporters: setup.exporters,
            dcgm: setup.spec.dcgm,
            gpu_readings: None,
            faults: FaultsInMotion::new(setup.faults),
            query_latency: setup.spec.query_latency.duration(),
        }
    }

    /// An exporter is gone at `now`.
    pub(super) fn forget_exporter(&mut self, now: SimTime, owner: Owner) {
        // The youngest target of the owner is the one that is there.
        if let Some(target) = self.owners.iter().rposition(|other| *other == owner) {
            self.prometheus.forget(now, TargetId(target as u32));
        }
    }

    /// Asks Prometheus a trigger's query at `now`, as KEDA does: for its value at the current whole second, giving up after
    /// `timeout`.
    pub(super) fn ask(&self, query: &mut Query, now: SimTime, timeout: SimDuration) -> Asked<QueryOutcome> {
        let Asked { answer, delay } = self.reach(now, Some(timeout));
        let answer = answer.map_or_else(QueryOutcome::Error, |()| self.outcome(query, now));
        Asked { answer, delay }
    }

    fn outcome(&self, query: &mut Query, now: SimTime) -> QueryOutcome {
        let at = self.epoch.at(now).whole_second();
        match query.evaluate(self.prometheus.database(), at, now) {
            Ok(Value::Vector(elements)) => {
                QueryOutcome::Vector(elements.into_iter().map(|(_, value)| value).collect())
            }
            Ok(Value::Matrix(series)) => QueryOutcome::Matrix(series.len()),
            Ok(Value::Scalar(_) | Value::String(_)) => QueryOutcome::ScalarOrString,
            Err(error) => QueryOutcome::Error(error.to_string()),
        }
    }

    /// Asks Prometheus a query at `now`, to the millisecond, for a value a pod, and waits as long as it takes.
    pub(super) fn answer(&self, query: &mut Query, now: SimTime) -> Asked<Answer> {
        let Asked { answer, delay } = self.reach(now, None);
        Asked { answer: answer.map_or_else(Answer::Error, |()| self.elements(query, now)), delay }
    }

    fn elements(&self, query: &mut Query, now: SimTime) -> Answer {
        match query.evaluate(self.prometheus.database(), self.epoch.at(now), now) {
            Ok(Value::Vector(elements)) => {
                let element =
                    |(labels, value): (Labels, f64)| Element { pod: labels.get("pod").to_owned(), value };
                Answer::Vector(elements.into_iter().map(element).collect())
            }
            Ok(Value::Scalar(value)) => Answer::Scalar(value),
            Ok(Value::Matrix(_) | Value::String(_)) => Answer::Other,
            Err(error) => Answer::Error(error.to_string()),
        }
    }

    /// The first sample of a family on an engine's own page, as it is now.
    pub(super) fn read_page(&self, now: SimTime, engine: &dyn Engine, family: &str) -> Option<f64> {
        let column = self.schema.columns().iter().position(|labels| labels.get(METRIC_NAME) == family)?;
        let mut page = Vec::new();
        self.schema.fill(engine.stats(now), self.epoch, &mut page);
        page.get(column).copied()
    }
}

impl World<'_> {
    /// Prometheus was there before the run; kube-state-metrics too.
    pub(super) fn start_sensor(&mut self) {
        let labels = kube_state_metrics::target_labels();
        let sensor = &mut self.sensor;
        let id = sensor.prometheus.known_target(labels, &sensor.kube_state_columns);
        self.follow_target(id, Owner::KubeStateMetrics);
        for (group, at) in (0..).zip(self.sensor.rules.next_evaluations()) {
            self.queue.push(at, Event::Rules(group));
        }
    }

    /// Prometheus evaluates a group of recording rules.
    pub(super) fn evaluate_rules(&mut self, group: u32) {
        let (now, index) = (self.now, group as usize);
        let Sensor { prometheus, rules, .. } = &mut self.sensor;
        if !prometheus.is_down() && rules.next_evaluation(index) == now {
            rules.evaluate(prometheus.database_mut(), index, now);
            self.queue.push(rules.next_evaluation(index), Event::Rules(group));
        }
    }

    /// What a careful colleague would say about the recording rules, once the run is over.
    pub(super) fn warn_about_rules(&mut self) {
        self.sensor.rules.warnings().into_iter().for_each(|warning| self.totals.warn(warning));
    }

    /// A pod has an address: service discovery will find it, whether it answers or not.
    pub(super) fn discover_pod(&mut self, ordinal: u32) {
        let labels = self.pod_labels(ordinal);
        let sensor = &mut self.sensor;
        let id = sensor.prometheus.discover(self.now, labels, sensor.scraped.columns());
        self.follow_target(id, Owner::Pod(ordinal));
    }

    /// A pod that was there before the run was discovered before, too.
    pub(super) fn discover_old_pod(&mut self, ordinal: u32) {
        let labels = self.pod_labels(ordinal);
        let sensor = &mut self.sensor;
        let id = sensor.prometheus.known_target(labels, sensor.scraped.columns());
        self.follow_target(id, Owner::Pod(ordinal));
    }

    fn pod_labels(&self, ordinal: u32) -> Labels {
        let pod = &self.fleet.slot(ordinal).pod;
        let node = pod.node.map(Nodes::name).unwrap_or_default();
        self.sensor.target.labels_of(&pod.name, ordinal, &node)
    }

    pub(super) fn follow_target(&mut self, id: TargetId, owner: Owner) {
        debug_assert_eq!(id.0 as usize, self.sensor.owners.len());
        self.sensor.owners.push(owner);
        if let Owner::Pod(ordinal) = owner {
            self.sensor.pods.insert(ordinal, id);
        }
        if let Some(at) = self.sensor.prometheus.next_scrape(id) {
            self.queue.push(at, Event::Scrape(id.0));
        }
    }

    /// A pod is deleted: with role `endpoints` it leaves discovery as soon as the endpoint controller has heard.
    pub(super) fn forget_pod_at_deletion(&mut self, ordinal: u32) {
        if self.sensor.discovery == Discovery::Endpoints {
            self.forget_pod(ordinal, self.now + self.fleet.pod_spec.endpoint_delay.duration());
        }
    }

    /// A pod's container has exited: with role `pod` it leaves discovery now.
    pub(super) fn forget_pod_at_exit(&mut self, ordinal: u32) {
        if self.sensor.discovery == Discovery::Pod {
            self.forget_pod(ordinal, self.now);
        }
    }

    fn forget_pod(&mut self, ordinal: u32, at: SimTime) {
        if let Some(id) = self.sensor.pods.remove(&ordinal) {
            self.sensor.prometheus.forget(at, id);
        }
    }

    /// Hands on what was written to Prometheus' store since the last time.
    pub(super) fn tell_series(&mut self) {
        for record in self.sensor.prometheus.database_mut().take_log() {
            self.recorder.series(&record);
        }
    }

    /// Prometheus scrapes a target, and the checkers look at the totals.
    pub(super) fn scrape(&mut self, target: u32) {
        let (id, now) = (TargetId(target), self.now);
        if self.sensor.prometheus.next_scrape(id) != Some(now) {
            return;
        }
        let owner = self.sensor.owners[target as usize];
        let shown = self.show(owner);
        let Sensor { prometheus, faults, scraped, kube_state_columns, page, .. } = &mut self.sensor;
        let columns = if owner.is_pod() { scraped.columns() } else { &*kube_state_columns };
        let scrape = Scrape { id, labels: prometheus.labels(id), columns, is_pod: owner.is_pod() };
        let shown = faults.scrape(now, &scrape, shown);
        prometheus.scrape(id, now, shown.scraped());
        if let Shown::Values(values) = shown {
            *page = values;
        }
        if let Some(at) = prometheus.next_scrape(id) {
            self.queue.push(at, Event::Scrape(target));
        }
        self.tell_series();
        checkers::conserved(self);
        if cfg!(debug_assertions)
            && let Owner::Pod(ordinal) = owner
            && let Some(engine) = &self.fleet.slot(ordinal).engine
        {
            checkers::audit(self, engine.as_ref());
        }
    }
}

impl World<'_> {
    /// What a target shows now.
    fn show(&mut self, owner: Owner) -> Shown {
        let sensor = &mut self.sensor;
        match owner {
            Owner::KubeStateMetrics => {
                let status = DeploymentStatus {
                    spec_replicas: self.fleet.deployment.spec_replicas(),
                    status_replicas: self.fleet.deployment.status_replicas(),
                    ready_replicas: self.fleet.deployment.ready_replicas(),
                };
                Shown::Values(kube_state_metrics::page(status).to_vec())
            }
            Owner::Pod(ordinal) => {
                let slot = self.fleet.slot_mut(ordinal);
                slot.catch_up(self.now);
                let Some(engine) = slot.engine.as_ref().filter(|_| slot.pod.answers()) else {
                    return Shown::Refused;
                };
                let mut page = std::mem::take(&mut sensor.page);
                sensor.scraped.fill(engine.stats(self.now), sensor.epoch.at(slot.serving_since), &mut page);
                Shown::Values(page)
            }
            Owner::Epp => Shown::Series(sensor.exporters.epp_page(self.now, &mut self.fleet, &self.ingress)),
            Owner::Router => Shown::Series(sensor.exporters.router_page(&self.fleet, &self.ingress)),
            Owner::Wva => {
                let desired = self.wva.as_ref().and_then(Wva::exported);
                let current = self.fleet.deployment.status_replicas();
                let page = sensor.exporters.wva.as_ref().map(|wva| wva.page(desired, current));
                Shown::Series(page.unwrap_or_default())
            }
            Owner::Dcgm(node) => sensor.dcgm_page(node, &self.fleet).map_or(Shown::Refused, Shown::Series),
        }
    }
}

impl Target {
    /// The labels that Prometheus gives to all series of a pod, as a ServiceMonitor or PodMonitor of the Prometheus
    /// Operator relabels them.
    pub fn labels_of(&self, pod: &str, ordinal: u32, node: &str) -> Labels {
        let instance = Target::address_of(ordinal);
        Labels::new([
            ("namespace", self.namespace.as_str()),
            ("pod", pod),
            ("container", Target::CONTAINER),
            ("service", &self.deployment),
            ("job", &self.deployment),
            ("endpoint", "metrics"),
            ("instance", &instance),
            ("node", node),
        ])
    }

    /// The name of a pod's container.
    pub const CONTAINER: &'static str = "kserve-container";

    /// Where the pod with this ordinal listens. Pods have addresses of one /16, in order of creation.
    pub fn address_of(ordinal: u32) -> String {
        format!("10.128.{}.{}:8080", ordinal / 250 % 256, ordinal % 250 + 2)
    }
}
