//! Pods come and go: from `spec.replicas` to engines that serve, and back to free GPUs.

use super::event::Event;
use super::record::{Controller, Fate, ScaleRecord};
use super::world::World;
use crate::serving::deployment::Reconcile;
use crate::serving::engine::RequestId;
use crate::serving::nodes::NodeId;
use crate::serving::performance::StartupPlan;
use crate::serving::pod::{Phase, Transition};
use crate::units::{Replicas, SimDuration};

impl World<'_> {
    /// A controller writes `spec.replicas`.
    pub(super) fn scale_to(&mut self, replicas: Replicas, by: Controller) {
        let from = self.fleet.deployment.spec_replicas();
        if from == replicas {
            return;
        }
        self.recorder.scale(&ScaleRecord { at: self.now, from, to: replicas, by });
        self.fleet.deployment.scale(replicas);
        self.totals.levels.replicas.set(self.now, i64::from(replicas.get()));
        self.reconcile_pods();
    }

    /// A controller that has decided writes `spec.replicas`, so much later than it usually would.
    pub(super) fn scale_after(&mut self, delay: SimDuration, replicas: Replicas, by: Controller) {
        if delay.is_zero() {
            self.scale_to(replicas, by);
        } else if replicas != self.fleet.deployment.spec_replicas() {
            let at = self.now + delay;
            self.late_scales.push((at, replicas, by));
            self.queue.push(at, Event::LateScale);
        }
    }

    /// What was decided earlier is written.
    pub(super) fn late_scale(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.late_scales.extract_if(.., |(at, ..)| *at <= now).collect();
        due.into_iter().for_each(|(_, replicas, by)| self.scale_to(replicas, by));
    }

    /// The ReplicaSet's reconcile: creates what is missing, deletes what is too much.
    fn reconcile_pods(&mut self) {
        match self.fleet.deployment.reconcile() {
            Reconcile::Nothing => {}
            Reconcile::Create(count) => (0..count).for_each(|_| self.fleet.create_pod(self.now)),
            Reconcile::Delete(count) => {
                for victim in self.fleet.victims(count as usize, self.now) {
                    self.delete_pod(victim);
                }
            }
        }
        self.place_pods();
    }

    /// Assigns waiting pods to nodes as far as GPUs reach; their start-up begins.
    fn place_pods(&mut self) {
        while let Some((pod, node)) = self.fleet.nodes.place() {
            self.start_pod(pod, node, &self.fleet.startup_plan(pod));
            self.discover_pod(pod);
        }
        self.account_for_gpus();
        self.follow_nodes();
    }

    /// The pods that are there when the run begins: ready, and known to the router.
    pub(super) fn create_initial_pods(&mut self) {
        let mut pods = 0;
        if let Reconcile::Create(count) = self.fleet.deployment.reconcile() {
            (0..count).for_each(|_| self.fleet.create_pod(self.now));
            pods = count;
        }
        while let Some((pod, node)) = self.fleet.nodes.place() {
            self.start_pod(pod, node, &StartupPlan::done());
        }
        self.account_for_gpus();
        for pod in 0..pods {
            self.pod_transition(pod);
            self.discover_old_pod(pod);
            self.endpoint_added(pod);
        }
    }

    fn start_pod(&mut self, pod: u32, node: NodeId, plan: &StartupPlan) {
        self.fleet.slot_mut(pod).pod.start(self.now, node, plan);
        self.follow_pod(pod);
    }

    fn delete_pod(&mut self, ordinal: u32) {
        let (now, spec) = (self.now, self.fleet.pod_spec);
        let pod = &mut self.fleet.slot_mut(ordinal).pod;
        let was_ready = pod.phase() == Phase::Ready;
        let gone = pod.delete(now, &spec);
        self.fleet.deployment.delete_pod(ordinal, was_ready);
        if was_ready {
            self.totals.levels.ready.add(now, -1);
            self.queue.push(now + spec.endpoint_delay.duration(), Event::EndpointDropped(ordinal));
            self.knative_pod(ordinal, false);
        }
        if gone {
            self.fleet.nodes.withdraw(ordinal);
            self.close_pod(ordinal);
        } else {
            self.follow_pod(ordinal);
            self.forget_pod_at_deletion(ordinal);
        }
    }

    /// Whatever is due in a pod's life; nothing, where its deletion has overtaken an event.
    pub(super) fn pod_transition(&mut self, ordinal: u32) {
        let mut moved = false;
        while let Some(transition) = self.fleet.slot_mut(ordinal).pod.advance(self.now) {
            moved = true;
            match transition {
                Transition::EngineUp => self.engine_up(ordinal),
                Transition::BecameReady => self.pod_became_ready(ordinal),
                Transition::Sigterm => self.exit_when_drained(ordinal),
                Transition::Exited => self.pod_exited(ordinal),
            }
        }
        if moved {
            self.follow_pod(ordinal);
        }
    }

    fn engine_up(&mut self, ordinal: u32) {
        let engine = self.fleet.new_engine();
        let slot = self.fleet.slot_mut(ordinal);
        slot.engine = Some(engine);
        slot.serving_since = self.now;
    }

    fn pod_became_ready(&mut self, ordinal: u32) {
        self.fleet.deployment.pod_ready();
        self.totals.levels.ready.add(self.now, 1);
        let known_at = self.now + self.fleet.pod_spec.endpoint_delay.duration();
        self.queue.push(known_at, Event::EndpointAdded(ordinal));
        self.knative_pod(ordinal, true);
    }

    /// The router learns that a pod was ready, whatever has become of it since; the gateway lets go of what it holds.
    pub(super) fn endpoint_added(&mut self, ordinal: u32) {
        self.ingress.router.add(ordinal);
        self.endpoint_appeared();
    }

    /// The router learns that a pod is going.
    pub(super) fn endpoint_dropped(&mut self, ordinal: u32) {
        self.ingress.router.remove(ordinal);
    }

    /// A draining pod ends when its engine has nothing left to do.
    pub(super) fn exit_when_drained(&mut self, ordinal: u32) {
        let slot = self.fleet.slot_mut(ordinal);
        let idle = slot.engine.as_ref().is_none_or(|engine| engine.num_unfinished() == 0);
        if slot.pod.phase() == Phase::Draining && idle {
            slot.pod.exit(self.now);
            self.pod_exited(ordinal);
        }
    }

    /// The container is gone: what ran in it dies, its GPUs are free, and someone may be waiting for them.
    fn pod_exited(&mut self, ordinal: u32) {
        let slot = self.fleet.slot(ordinal);
        let lost: Vec<RequestId> = slot.engine.iter().flat_map(|engine| engine.unfinished()).collect();
        for id in lost {
            let served = self.fleet.served(self.now, ordinal, id.0);
            if self.end_flight(id.0, Fate::Killed, "pod_terminated", served) == Some(Fate::Killed) {
                self.fleet.slot_mut(ordinal).killed += 1;
            }
        }
        self.close_pod(ordinal);
        self.forget_pod_at_exit(ordinal);
        if let Some(node) = self.fleet.slot(ordinal).pod.node {
            self.fleet.nodes.release(self.now, node, self.fleet.gpus_per_pod);
        }
        self.place_pods();
    }

    /// Records a pod that has exited, or that is there when the run ends. Its engine's counts go to the totals, and the
    /// engine is gone.
    pub(super) fn close_pod(&mut self, ordinal: u32) {
        self.fleet.bury(ordinal);
        let slot = self.fleet.slot_mut(ordinal);
        slot.catch_up(self.now);
        self.recorder.pod(&slot.record(self.now));
        if let Some(engine) = slot.engine.take() {
            self.totals.engines.add(engine.stats(self.now));
            self.totals.backlog.engine_queue(self.now, slot.waiting, 0);
            slot.waiting = 0;
        }
    }

    /// What a careful colleague would say about pods for which there were no GPUs, once the run is over.
    pub(super) fn warn_about_capacity(&mut self) {
        let capacity = self.fleet.nodes.capacity(self.fleet.gpus_per_pod);
        self.totals.levels.replicas.settle(self.now);
        let (_, asked) = self.totals.levels.replicas.range();
        if asked > i64::from(capacity) {
            self.totals.warn(format!(
                "{asked} replicas were asked for, and the nodes hold {capacity}: the others waited for GPUs \
                 (serving.nodes.max_nodes, serving.nodes.gpus_per_node)"
            ));
        }
    }

    /// A node arrives or leaves, or the node autoscaler looks.
    pub(super) fn node_event(&mut self) {
        if self.fleet.nodes_followed == Some(self.now) {
            self.fleet.nodes_followed = None;
            self.fleet.nodes.advance(self.now);
            self.follow_exporters_of_nodes();
            self.place_pods();
        }
    }

    fn follow_nodes(&mut self) {
        let next = self.fleet.nodes.next_event(self.now);
        if let Some(at) = next
            && self.fleet.nodes_followed != next
        {
            self.queue.push(at, Event::Nodes);
            self.fleet.nodes_followed = next;
        }
    }

    fn follow_pod(&mut self, ordinal: u32) {
        if let Some(at) = self.fleet.slot(ordinal).pod.next_transition() {
            self.queue.push(at, Event::Pod(ordinal));
        }
    }

    fn account_for_gpus(&mut self) {
        let (nodes, levels) = (&self.fleet.nodes, &mut self.totals.levels);
        levels.gpus.set(self.now, i64::from(nodes.gpus_used().get()));
        levels.node_gpus.set(self.now, i64::from(nodes.gpus_ordered().get()));
    }
}
