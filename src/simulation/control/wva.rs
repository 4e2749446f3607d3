//! llm-d's Workload Variant Autoscaler: it says how many replicas it wants as a metric, and an HPA follows.

use super::{phase, record_decision};
use crate::autoscaling::wva::{
    Decision, OPTIMIZATION_INTERVAL, Observed, Optimizer, SaturationScalingConfig,
};
use crate::monitoring::promql::Query;
use crate::random::Streams;
use crate::simulation::event::Event;
use crate::simulation::fleet::Fleet;
use crate::simulation::record::Controller;
use crate::simulation::telemetry::Sensor;
use crate::simulation::world::World;
use crate::units::{Replicas, SimDuration, SimTime};
use serde::Serialize;

/// The WVA for one variant.
pub struct WvaSetup {
    /// Its thresholds.
    pub config: SaturationScalingConfig,
    /// What it asks Prometheus: peaks of KV cache usage and of waiting requests, by pod.
    pub queries: [Query; 2],
    /// How long one query takes.
    pub query_latency: SimDuration,
}

/// The WVA in motion.
pub(in crate::simulation) struct Wva {
    setup: WvaSetup,
    optimizer: Optimizer,
    first_run: SimTime,
}

/// A run as decisions.jsonl shows it.
#[derive(Serialize)]
struct RunDetail<'a> {
    queries: [&'a str; 2],
    #[serde(flatten)]
    decision: &'a Decision,
}

impl Wva {
    pub(in crate::simulation) fn new(setup: WvaSetup, streams: &Streams) -> Self {
        let first_run = phase(streams, "wva/optimize-phase", OPTIMIZATION_INTERVAL);
        Wva { optimizer: Optimizer::new(setup.config), first_run, setup }
    }

    /// What its gauge shows; `None` where it was never set.
    pub(in crate::simulation) fn exported(&self) -> Option<Replicas> {
        self.optimizer.exported()
    }

    /// One run, and how much later than usual its queries were answered.
    fn run(&mut self, sensor: &Sensor, fleet: &Fleet, now: SimTime) -> (Decision, SimDuration) {
        let asked = self.setup.queries.each_mut().map(|query| sensor.answer(query, now));
        let delay = asked.iter().fold(SimDuration::ZERO, |sum, asked| sum + asked.delay);
        let [kv_cache_usage, queue_length] = asked.map(|asked| asked.answer);
        let decision = self.optimizer.optimize(&Observed {
            kv_cache_usage,
            queue_length,
            pods: fleet.live().map(|slot| slot.pod.name.clone()).collect(),
            spec_replicas: fleet.deployment.spec_replicas(),
            status_replicas: fleet.deployment.status_replicas(),
            ready_replicas: fleet.deployment.ready_replicas(),
        });
        (decision, delay)
    }
}

impl World<'_> {
    /// Schedules its first run.
    pub(super) fn start_wva(&mut self) {
        if let Some(wva) = &self.wva {
            self.queue.push(wva.first_run, Event::WvaOptimize);
        }
    }

    /// The WVA looks, and sets its gauge.
    pub(in crate::simulation) fn wva_optimize(&mut self) {
        let Some(wva) = &mut self.wva else { return };
        let (decision, delay) = wva.run(&self.sensor, &self.fleet, self.now);
        let took = wva.setup.query_latency + wva.setup.query_latency + delay;
        self.queue.push(self.now + took + OPTIMIZATION_INTERVAL, Event::WvaOptimize);
        let replicas = self.fleet.deployment.spec_replicas();
        let queries = wva.setup.queries.each_ref().map(Query::text);
        let detail = RunDetail { queries, decision: &decision };
        record_decision(self.recorder, self.now, Controller::Wva, (replicas, replicas), &detail);
    }
}
