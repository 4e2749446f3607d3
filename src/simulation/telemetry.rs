//! What Prometheus sees: pods come into discovery and leave it, and are scraped in between.

use super::checkers;
use super::event::Event;
use super::setup::{MonitoringSetup, Target};
use super::world::World;
use crate::autoscaling::keda::QueryOutcome;
use crate::monitoring::Discovery;
use crate::monitoring::kube_state_metrics::{self, DeploymentStatus};
use crate::monitoring::labels::Labels;
use crate::monitoring::promql::{Query, Value};
use crate::monitoring::scrape::{Prometheus, Scraped, TargetId};
use crate::monitoring::vllm_metrics::Schema;
use crate::random::Streams;
use crate::serving::engine::Engine;
use crate::serving::nodes::Nodes;
use crate::units::{SimTime, UnixMillis};
use rustc_hash::FxHashMap;

/// Prometheus, and who its targets are.
pub(super) struct Sensor {
    prometheus: Prometheus,
    /// The wall clock at t = 0.
    epoch: UnixMillis,
    discovery: Discovery,
    schema: Schema,
    target: Target,
    kube_state_columns: Vec<Labels>,
    /// By target.
    owners: Vec<Owner>,
    /// By pod, as long as it is a target.
    pods: FxHashMap<u32, TargetId>,
    /// Kept for its allocation.
    page: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    KubeStateMetrics,
    Pod(u32),
}

impl Sensor {
    /// With `recorded`, everything is scraped and told, not only what is kept.
    pub(super) fn new(
        setup: MonitoringSetup,
        target: Target,
        epoch: UnixMillis,
        recorded: bool,
        streams: &Streams,
    ) -> Self {
        // Whatever nobody hears of need not even be read off the page.
        let schema = if recorded { setup.schema } else { setup.schema.kept(&setup.keep) };
        let mut prometheus = Prometheus::new(&setup.spec, epoch, setup.retention, setup.keep, streams);
        if recorded {
            prometheus.keep_log();
        }
        Sensor {
            prometheus,
            epoch,
            discovery: setup.spec.discovery,
            schema,
            kube_state_columns: kube_state_metrics::columns(&target.namespace, &target.deployment),
            target,
            owners: Vec::new(),
            pods: FxHashMap::default(),
            page: Vec::new(),
        }
    }

    /// Asks Prometheus a trigger's query at `now`, as KEDA does: for its value at the current whole second.
    pub(super) fn ask(&self, query: &mut Query, now: SimTime) -> QueryOutcome {
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
}

impl World<'_> {
    /// Prometheus was there before the run; kube-state-metrics too.
    pub(super) fn start_sensor(&mut self) {
        let labels = kube_state_metrics::target_labels();
        let sensor = &mut self.sensor;
        let id = sensor.prometheus.known_target(labels, &sensor.kube_state_columns);
        self.follow_target(id, Owner::KubeStateMetrics);
    }

    /// A pod has an address: service discovery will find it, whether it answers or not.
    pub(super) fn discover_pod(&mut self, ordinal: u32) {
        let labels = self.pod_labels(ordinal);
        let sensor = &mut self.sensor;
        let id = sensor.prometheus.discover(self.now, labels, sensor.schema.columns());
        self.follow_target(id, Owner::Pod(ordinal));
    }

    /// A pod that was there before the run was discovered before, too.
    pub(super) fn discover_old_pod(&mut self, ordinal: u32) {
        let labels = self.pod_labels(ordinal);
        let sensor = &mut self.sensor;
        let id = sensor.prometheus.known_target(labels, sensor.schema.columns());
        self.follow_target(id, Owner::Pod(ordinal));
    }

    fn pod_labels(&self, ordinal: u32) -> Labels {
        let pod = &self.fleet.slot(ordinal).pod;
        let node = pod.node.map(Nodes::name).unwrap_or_default();
        self.sensor.target.labels_of(&pod.name, ordinal, &node)
    }

    fn follow_target(&mut self, id: TargetId, owner: Owner) {
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
        for record in self.sensor.prometheus.take_log() {
            self.recorder.series(&record);
        }
    }

    /// Prometheus scrapes a target, and the checkers look at the totals.
    pub(super) fn scrape(&mut self, target: u32) {
        let (id, now) = (TargetId(target), self.now);
        if self.sensor.prometheus.next_scrape(id) != Some(now) {
            return;
        }
        let sensor = &mut self.sensor;
        let owner = sensor.owners[target as usize];
        match owner {
            Owner::KubeStateMetrics => {
                let status = DeploymentStatus {
                    spec_replicas: self.fleet.deployment.spec_replicas(),
                    status_replicas: self.fleet.deployment.status_replicas(),
                    ready_replicas: self.fleet.deployment.ready_replicas(),
                };
                sensor.prometheus.scrape(id, now, Scraped::Page(&kube_state_metrics::page(status)));
            }
            Owner::Pod(ordinal) => {
                let slot = self.fleet.slot(ordinal);
                match slot.engine.as_ref().filter(|_| slot.pod.answers()) {
                    Some(engine) => {
                        let created = sensor.epoch.at(slot.serving_since);
                        sensor.schema.fill(engine.stats(), created, &mut sensor.page);
                        sensor.prometheus.scrape(id, now, Scraped::Page(&sensor.page));
                    }
                    None => sensor.prometheus.scrape(id, now, Scraped::Refused),
                }
            }
        }
        if let Some(at) = sensor.prometheus.next_scrape(id) {
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

impl Target {
    /// The labels that Prometheus gives to all series of a pod, as a ServiceMonitor or PodMonitor of the Prometheus
    /// Operator relabels them.
    pub fn labels_of(&self, pod: &str, ordinal: u32, node: &str) -> Labels {
        // Pod addresses of one /16, in order of creation.
        let instance = format!("10.128.{}.{}:8080", ordinal / 250 % 256, ordinal % 250 + 2);
        Labels::new([
            ("namespace", self.namespace.as_str()),
            ("pod", pod),
            ("container", "kserve-container"),
            ("service", &self.deployment),
            ("job", &self.deployment),
            ("endpoint", "metrics"),
            ("instance", &instance),
            ("node", node),
        ])
    }
}
