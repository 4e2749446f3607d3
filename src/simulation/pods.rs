//! Pods come and go: from `spec.replicas` to engines that serve, and back to free GPUs.

use super::event::Event;
use super::record::{Controller, Fate, ScaleRecord};
use super::world::World;
use crate::serving::deployment::Reconcile;
use crate::serving::engine::{Engine, RequestId};
use crate::serving::nodes::NodeId;
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

    /// What a careful colleague would say about a fleet that asked for more than the nodes had, once the run is over.
    pub(super) fn warn_about_pods_without_gpus(&mut self) {
        let (without, all) = self.fleet.without_gpus();
        if without > 0 {
            let gpus = self.fleet.nodes.gpus_ordered();
            self.totals.warn(format!(
                "{without} of {all} pods never got a GPU; at the end the nodes had {gpus} GPUs (`serving.nodes`)"
            ));
        }
    }

    /// Assigns waiting pods to nodes as far as GPUs reach; their start-up begins.
    fn place_pods(&mut self) {
        while let Some((pod, node)) = self.fleet.nodes.place() {
            let plan = self.fleet.startup_plan(pod);
            self.start_pod(pod, node, plan.serving_after, plan.ready_after);
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
            self.start_pod(pod, node, SimDuration::ZERO, SimDuration::ZERO);
        }
        self.account_for_gpus();
        for pod in 0..pods {
            self.pod_transition(pod);
            self.endpoint_added(pod);
        }
    }

    fn start_pod(&mut self, pod: u32, node: NodeId, serving_after: SimDuration, ready_after: SimDuration) {
        self.fleet.slot_mut(pod).pod.start(self.now, node, serving_after, ready_after);
        self.follow_pod(pod);
        self.discover_pod(pod);
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
        }
        if gone {
            self.fleet.nodes.withdraw(ordinal);
            self.close_pod(ordinal);
        } else {
            self.follow_pod(ordinal);
            self.forget_pod_at_deletion(ordinal);
        }
    }

    /// Whatever is due in a pod's life.
    pub(super) fn pod_transition(&mut self, ordinal: u32) {
        while let Some(transition) = self.fleet.slot_mut(ordinal).pod.advance(self.now) {
            match transition {
                Transition::EngineUp => self.engine_up(ordinal),
                Transition::BecameReady => self.pod_became_ready(ordinal),
                Transition::Sigterm => self.exit_when_drained(ordinal),
                Transition::Exited => self.pod_exited(ordinal),
            }
        }
        self.follow_pod(ordinal);
    }

    fn engine_up(&mut self, ordinal: u32) {
        let engine = Box::new(self.fleet.new_engine());
        let slot = self.fleet.slot_mut(ordinal);
        slot.engine = Some(engine);
        slot.serving_since = self.now;
    }

    fn pod_became_ready(&mut self, ordinal: u32) {
        self.fleet.deployment.pod_ready();
        self.totals.levels.ready.add(self.now, 1);
        let known_at = self.now + self.fleet.pod_spec.endpoint_delay.duration();
        self.queue.push(known_at, Event::EndpointAdded(ordinal));
    }

    /// The router learns of a ready pod; the gateway lets go of what it holds.
    pub(super) fn endpoint_added(&mut self, ordinal: u32) {
        if self.fleet.slot(ordinal).pod.phase() == Phase::Ready {
            self.ingress.router.add(ordinal);
            self.release_held();
        }
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
            let served = self.fleet.served(ordinal, id.0);
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
        self.recorder.pod(&slot.record());
        if let Some(engine) = slot.engine.take() {
            self.totals.engines.add(engine.stats());
            self.totals.backlog.engine_queue(slot.waiting, 0);
            slot.waiting = 0;
        }
    }

    /// A node arrives or leaves, or the node autoscaler looks.
    pub(super) fn node_event(&mut self) {
        if self.fleet.nodes_followed == Some(self.now) {
            self.fleet.nodes_followed = None;
            self.fleet.nodes.advance(self.now);
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
