//! AIBrix's PodAutoscaler: it reads the pods' own pages, and takes its time where they do not answer.

use super::{ControlLoops, phase, record_decision};
use crate::autoscaling::aibrix::{
    self, Collected, Decision, Plan, PodAnswer, PodAutoscaler, PodAutoscalerState, RESYNC_INTERVAL, collect,
    next_reconcile,
};
use crate::random::Streams;
use crate::simulation::event::Event;
use crate::simulation::fleet::Fleet;
use crate::simulation::record::Controller;
use crate::simulation::telemetry::Sensor;
use crate::simulation::world::World;
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};

/// A PodAutoscaler, created at t = 0.
pub struct AibrixSetup {
    /// The object.
    pub autoscaler: PodAutoscaler,
    /// The family on the pods' pages that each metric reads, in their order; `None` for one that AIBrix always reads as 0.
    pub families: Vec<Option<&'static str>>,
}

/// AIBrix in motion.
pub(in crate::simulation) struct Aibrix {
    setup: AibrixSetup,
    state: PodAutoscalerState,
    /// The controller's first tick.
    first_tick: SimTime,
    /// When the reconcile began that has not ended, and what it decided.
    reconciling: Option<(SimTime, Box<Decision>)>,
}

impl Aibrix {
    pub(super) fn new(setup: AibrixSetup, epoch: UnixMillis, streams: &Streams) -> Self {
        let state = PodAutoscalerState::new(&setup.autoscaler, epoch);
        let first_tick = phase(streams, "aibrix/resync-phase", RESYNC_INTERVAL);
        Aibrix { setup, state, first_tick, reconciling: None }
    }

    /// Begins a reconcile; the answer is when it ends.
    fn begin(&mut self, sensor: &Sensor, fleet: &Fleet, now: SimTime) -> SimTime {
        let current = fleet.deployment.spec_replicas();
        let (decision, took) = match aibrix::plan(&self.setup.autoscaler, current, &mut self.state) {
            Plan::Decided(decision) => (decision, SimDuration::ZERO),
            Plan::Fetch => {
                let collected = self.collect(sensor, fleet, now);
                let decision =
                    aibrix::decide(&self.setup.autoscaler, current, &mut self.state, now, &collected);
                (Box::new(decision), collected.took)
            }
        };
        self.reconciling = Some((now, decision));
        now + took
    }

    fn collect(&self, sensor: &Sensor, fleet: &Fleet, now: SimTime) -> Collected {
        let answer = |family: Option<&str>, pod: u32| {
            let slot = fleet.slot(pod);
            if !slot.pod.is_running(now) {
                return PodAnswer::NoAddress;
            }
            let engine = slot.engine.as_ref().filter(|_| slot.pod.answers());
            let value = engine
                .zip(family)
                .and_then(|(engine, family)| sensor.read_page(now, engine.as_ref(), family));
            value.map_or(PodAnswer::Failed, PodAnswer::Value)
        };
        let pods = fleet.live_ordinals();
        let of_family = |family: &Option<&str>| pods.iter().map(|&pod| answer(*family, pod)).collect();
        collect(&self.setup.families.iter().map(of_family).collect::<Vec<_>>())
    }
}

impl World<'_> {
    /// Schedules the first reconcile: the object was just created.
    pub(super) fn start_aibrix(&mut self) {
        self.queue.push(self.now, Event::AibrixReconcile);
    }

    /// AIBrix begins to reconcile.
    pub(in crate::simulation) fn aibrix_reconcile(&mut self) {
        let ControlLoops::Aibrix(aibrix) = &mut self.control else { return };
        self.fleet.catch_up(self.now);
        let ends = aibrix.begin(&self.sensor, &self.fleet, self.now);
        self.queue.push(ends, Event::AibrixReconciled);
    }

    /// The pods have answered, or not: the size is written.
    pub(in crate::simulation) fn aibrix_reconciled(&mut self) {
        let ControlLoops::Aibrix(aibrix) = &mut self.control else { return };
        let Some((began, decision)) = aibrix.reconciling.take() else { return };
        let took = self.now.since(began);
        let next = next_reconcile(aibrix.first_tick, began, took, decision.wrote_status);
        self.queue.push(next, Event::AibrixReconcile);
        let before = self.fleet.deployment.spec_replicas();
        let after: Replicas = if decision.scaled { decision.desired_replicas } else { before };
        record_decision(self.recorder, self.now, Controller::Aibrix, (before, after), &*decision);
        self.scale_to(after, Controller::Aibrix);
    }
}
