//! A plain HPA over prometheus-adapter, with external metrics and with metrics of the pods.

use super::hpa_loop::HpaLoop;
use super::{ControlLoops, record_decision};
use crate::autoscaling::describe::DescribedEvent;
use crate::autoscaling::hpa::{
    self, Fetched, HpaSpec, HpaStatus, ListedPod, Metric, PodState, Scale, prometheus_adapter,
};
use crate::autoscaling::instant_query::Answer;
use crate::monitoring::promql::Query;
use crate::random::Streams;
use crate::serving::pod::Pod;
use crate::simulation::event::Event;
use crate::simulation::fleet::Fleet;
use crate::simulation::record::Controller;
use crate::simulation::telemetry::Sensor;
use crate::simulation::world::World;
use crate::units::{SimDuration, SimTime};
use serde::Serialize;

/// An HPA with its compiled queries.
pub struct HpaSetup {
    /// The HPA, created at t = 0.
    pub spec: HpaSpec,
    /// Its status.
    pub status: HpaStatus,
    /// What prometheus-adapter asks for each metric, in the order of the spec.
    pub queries: Vec<Query>,
    /// How long one query takes, HTTP included; delays the HPA's next sync.
    pub query_latency: SimDuration,
}

/// A plain HPA in motion.
pub(in crate::simulation) struct PlainHpa {
    setup: HpaSetup,
    hpa: HpaLoop,
}

/// A sync as decisions.jsonl shows it.
#[derive(Serialize)]
struct SyncDetail<'a> {
    queries: Vec<&'a str>,
    #[serde(flatten)]
    decision: &'a hpa::Decision,
    hpa: &'a HpaStatus,
    events: &'a [DescribedEvent],
}

impl PlainHpa {
    pub(super) fn new(setup: HpaSetup, streams: &Streams) -> Self {
        PlainHpa { hpa: HpaLoop::new(Some(&setup.spec), setup.status.clone(), streams), setup }
    }

    /// One sync, how many queries it took, and how much later than usual they were answered.
    fn sync(
        &mut self,
        sensor: &Sensor,
        fleet: &Fleet,
        scale: Scale,
        now: SimTime,
    ) -> (hpa::Decision, u64, SimDuration) {
        if let Some(decision) = self.hpa.plan(&self.setup.spec, scale, now) {
            return (decision, 0, SimDuration::ZERO);
        }
        let mut delay = SimDuration::ZERO;
        let HpaSetup { spec, queries, .. } = &mut self.setup;
        let fetched: Vec<Fetched> = spec
            .metrics
            .iter()
            .zip(queries)
            .map(|(metric, query)| {
                let answer = match sensor.metrics_api_error(now) {
                    Some(error) => Answer::Error(error),
                    None => {
                        let asked = sensor.answer(query, now);
                        delay += asked.delay;
                        asked.answer
                    }
                };
                match metric {
                    Metric::External(_) => prometheus_adapter::external(&answer),
                    Metric::Pods(_) => prometheus_adapter::pods(&answer, listed_pods(fleet, now)),
                }
            })
            .collect();
        let queries = fetched.len() as u64;
        (self.hpa.decide(&self.setup.spec, scale, now + delay, &fetched), queries, delay)
    }
}

/// The pods of the target's selector, as the HPA's controller lists them.
fn listed_pods(fleet: &Fleet, now: SimTime) -> Vec<ListedPod> {
    let state = |pod: &Pod| match pod.deleted {
        Some(_) => PodState::Terminating,
        None if pod.is_running(now) => PodState::Running,
        None => PodState::Pending,
    };
    fleet.live().map(|slot| ListedPod { name: slot.pod.name.clone(), state: state(&slot.pod) }).collect()
}

impl World<'_> {
    /// Schedules the first sync.
    pub(super) fn start_hpa(&mut self) {
        if let ControlLoops::Hpa(plain) = &self.control {
            self.queue.push(plain.hpa.first_sync(), Event::HpaSync);
        }
    }

    /// The plain HPA syncs.
    pub(super) fn sync_plain_hpa(&mut self) {
        let scale = self.fleet.scale();
        let ControlLoops::Hpa(plain) = &mut self.control else { return };
        let (decision, queries, delay) = plain.sync(&self.sensor, &self.fleet, scale, self.now);
        let HpaSetup { spec, query_latency, .. } = &plain.setup;
        self.queue.push(HpaLoop::next_sync(spec, self.now + delay, *query_latency, queries), Event::HpaSync);
        let events = plain.hpa.observe(&plain.setup.spec, &decision, self.now);
        let queries = plain.setup.queries.iter().map(Query::text).collect();
        let detail = SyncDetail { queries, decision: &decision, hpa: plain.hpa.status(), events: &events };
        let sizes = (scale.spec, decision.desired_replicas);
        record_decision(self.recorder, self.now, Controller::HpaSync, sizes, &detail);
        self.scale_after(delay, decision.desired_replicas, Controller::HpaSync);
    }
}
