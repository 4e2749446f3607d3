//! Pods and nodes: from `spec.replicas` to engines that serve, and back to free GPUs.

use super::event::Event;
use super::flight::Served;
use super::record::{Controller, Fate, PodRecord, ScaleRecord};
use super::world::World;
use crate::serving::deployment::Reconcile;
use crate::serving::engine::{Engine, EngineCore, RequestId};
use crate::serving::nodes::{NodeId, Nodes};
use crate::serving::pod::{Phase, Pod, Transition};
use crate::serving::replica_set::{self, Candidate, PodPhase};
use crate::units::{Replicas, SimDuration, SimTime};
use rustc_hash::FxHashMap;

/// A pod with its engine and what the loop remembers of it.
#[derive(Debug)]
pub(super) struct PodSlot {
    pub(super) pod: Pod,
    /// From when the API answers until the container exits.
    pub(super) engine: Option<Box<EngineCore>>,
    /// When the API server came up.
    pub(super) serving_since: SimTime,
    /// The engine's event that is in the queue.
    pub(super) followed: Option<SimTime>,
    /// Requests that wait in the engine, as counted in the world's total.
    pub(super) waiting: u64,
    pub(super) finished: u64,
    pub(super) killed: u64,
    pub(super) endpoint: bool,
}

impl World<'_> {
    /// A controller writes `spec.replicas`.
    pub(super) fn scale_to(&mut self, replicas: Replicas, by: Controller) {
        let from = self.deployment.spec_replicas();
        if from == replicas {
            return;
        }
        self.recorder.scale(&ScaleRecord { at: self.now, from, to: replicas, by });
        self.deployment.scale(replicas);
        self.levels.replicas.set(self.now, i64::from(replicas.get()));
        self.reconcile_pods();
    }

    /// The ReplicaSet's reconcile: creates what is missing, deletes what is too much.
    pub(super) fn reconcile_pods(&mut self) {
        match self.deployment.reconcile() {
            Reconcile::Nothing => {}
            Reconcile::Create(count) => (0..count).for_each(|_| self.create_pod()),
            Reconcile::Delete(count) => {
                for victim in self.victims(count as usize) {
                    self.delete_pod(victim);
                }
            }
        }
        self.place_pods();
    }

    /// The pods that the ReplicaSet deletes first. Kubernetes stores whole seconds.
    fn victims(&self, count: usize) -> Vec<u32> {
        let active: Vec<u32> = self.deployment.active().collect();
        let mut on_node: FxHashMap<Option<NodeId>, usize> = FxHashMap::default();
        for &pod in &active {
            *on_node.entry(self.pods[pod as usize].pod.node).or_default() += 1;
        }
        let candidates: Vec<Candidate<'_>> = active
            .iter()
            .map(|&ordinal| {
                let pod = &self.pods[ordinal as usize].pod;
                // A container that pulls its image has not started; all others run, ready or not.
                let phase = if pod.node.is_some() { PodPhase::Running } else { PodPhase::Pending };
                Candidate {
                    uid: &pod.uid,
                    assigned: pod.node.is_some(),
                    phase,
                    ready_since: pod.ready.map(whole_second),
                    deletion_cost: 0,
                    rank: on_node[&pod.node],
                    max_restarts: 0,
                    created: whole_second(pod.created),
                }
            })
            .collect();
        let order = replica_set::deletion_order(&candidates, self.now);
        order.into_iter().take(count).map(|index| active[index]).collect()
    }

    fn create_pod(&mut self) {
        let (ordinal, name, uid) = self.deployment.create_pod();
        debug_assert_eq!(ordinal as usize, self.pods.len());
        self.pods.push(PodSlot {
            pod: Pod::new(ordinal, name, uid, self.now),
            engine: None,
            serving_since: SimTime::NEVER,
            followed: None,
            waiting: 0,
            finished: 0,
            killed: 0,
            endpoint: false,
        });
        self.nodes.request(ordinal, self.gpus_per_pod);
    }

    /// Assigns waiting pods to nodes as far as GPUs reach; their start-up begins.
    pub(super) fn place_pods(&mut self) {
        while let Some((pod, node)) = self.nodes.place() {
            let plan = self.startup.plan(&mut self.startup_stream.at(u64::from(pod)));
            self.start_pod(pod, node, plan.serving_after, plan.ready_after);
        }
        self.account_for_gpus();
        self.follow_nodes();
    }

    /// The pods that are there when the run begins: ready, and known to the router.
    pub(super) fn create_initial_pods(&mut self) {
        self.reconcile_without_start_up();
        for pod in 0..self.pods.len() as u32 {
            self.pod_transition(pod);
            self.endpoint_added(pod);
        }
    }

    fn reconcile_without_start_up(&mut self) {
        if let Reconcile::Create(count) = self.deployment.reconcile() {
            (0..count).for_each(|_| self.create_pod());
        }
        while let Some((pod, node)) = self.nodes.place() {
            self.start_pod(pod, node, SimDuration::ZERO, SimDuration::ZERO);
        }
        self.account_for_gpus();
    }

    fn start_pod(&mut self, pod: u32, node: NodeId, serving_after: SimDuration, ready_after: SimDuration) {
        self.pods[pod as usize].pod.start(self.now, node, serving_after, ready_after);
        self.follow_pod(pod);
        self.discover_pod(pod);
    }

    fn delete_pod(&mut self, ordinal: u32) {
        let (now, spec) = (self.now, self.pod_spec);
        let slot = &mut self.pods[ordinal as usize];
        let was_ready = slot.pod.phase() == Phase::Ready;
        let gone = slot.pod.delete(now, &spec);
        self.deployment.delete_pod(ordinal, was_ready);
        if was_ready {
            self.levels.ready.add(now, -1);
            self.queue.push(now + spec.endpoint_delay.duration(), Event::EndpointDropped(ordinal));
        }
        if gone {
            self.nodes.withdraw(ordinal);
            self.record_pod(ordinal);
        } else {
            self.follow_pod(ordinal);
            self.forget_pod_at_deletion(ordinal);
        }
    }

    /// Whatever is due in a pod's life.
    pub(super) fn pod_transition(&mut self, ordinal: u32) {
        while let Some(transition) = self.pods[ordinal as usize].pod.advance(self.now) {
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
        let engine = Box::new(self.new_engine());
        let slot = &mut self.pods[ordinal as usize];
        slot.engine = Some(engine);
        slot.serving_since = self.now;
    }

    fn pod_became_ready(&mut self, ordinal: u32) {
        self.deployment.pod_ready();
        self.levels.ready.add(self.now, 1);
        self.queue.push(self.now + self.pod_spec.endpoint_delay.duration(), Event::EndpointAdded(ordinal));
    }

    /// The router learns of a ready pod; the gateway lets go of what it holds.
    pub(super) fn endpoint_added(&mut self, ordinal: u32) {
        let slot = &mut self.pods[ordinal as usize];
        if slot.pod.phase() == Phase::Ready && !slot.endpoint {
            slot.endpoint = true;
            self.router.add(ordinal);
            self.release_held();
        }
    }

    /// The router learns that a pod is going.
    pub(super) fn endpoint_dropped(&mut self, ordinal: u32) {
        self.pods[ordinal as usize].endpoint = false;
        self.router.remove(ordinal);
    }

    /// A draining pod ends when its engine has nothing left to do.
    pub(super) fn exit_when_drained(&mut self, ordinal: u32) {
        let slot = &mut self.pods[ordinal as usize];
        let idle = slot.engine.as_ref().is_none_or(|engine| engine.num_unfinished() == 0);
        if slot.pod.phase() == Phase::Draining && idle {
            slot.pod.exit(self.now);
            self.pod_exited(ordinal);
        }
    }

    /// The container is gone: what ran in it dies, its GPUs are free, and someone may be waiting for them.
    fn pod_exited(&mut self, ordinal: u32) {
        let now = self.now;
        let slot = &mut self.pods[ordinal as usize];
        let lost: Vec<RequestId> = slot.engine.iter().flat_map(|engine| engine.unfinished()).collect();
        slot.killed = lost.len() as u64;
        for id in lost {
            self.end_flight(id.0, Fate::Killed, "pod_terminated", now, Served::default());
        }
        self.record_pod(ordinal);
        self.forget_pod_at_exit(ordinal);
        if let Some(node) = self.pods[ordinal as usize].pod.node {
            self.nodes.release(now, node, self.gpus_per_pod);
        }
        self.place_pods();
    }

    /// The pod's record, and its engine's totals; the engine is gone afterwards.
    pub(super) fn record_pod(&mut self, ordinal: u32) {
        let slot = &mut self.pods[ordinal as usize];
        let mut record = PodRecord {
            ordinal,
            name: slot.pod.name.clone(),
            node: slot.pod.node.map(Nodes::name),
            created: slot.pod.created,
            scheduled: slot.pod.scheduled,
            ready: slot.pod.ready,
            deleted: slot.pod.deleted,
            exited: slot.pod.exited,
            finished: slot.finished,
            killed: slot.killed,
            steps: 0,
            preemptions: 0,
        };
        if let Some(engine) = slot.engine.take() {
            let stats = engine.stats();
            record.steps = stats.steps;
            record.preemptions = stats.num_preemptions;
            self.engines.add(stats);
            self.waiting -= slot.waiting;
            slot.waiting = 0;
        }
        self.recorder.pod(&record);
    }

    /// A node arrives or leaves, or the node autoscaler looks.
    pub(super) fn node_event(&mut self) {
        if self.nodes_followed == Some(self.now) {
            self.nodes_followed = None;
            self.nodes.advance(self.now);
            self.place_pods();
        }
    }

    fn follow_nodes(&mut self) {
        let next = self.nodes.next_event(self.now);
        if let Some(at) = next
            && self.nodes_followed != next
        {
            self.queue.push(at, Event::Nodes);
            self.nodes_followed = next;
        }
    }

    fn follow_pod(&mut self, ordinal: u32) {
        if let Some(at) = self.pods[ordinal as usize].pod.next_transition() {
            self.queue.push(at, Event::Pod(ordinal));
        }
    }

    fn account_for_gpus(&mut self) {
        self.levels.gpus.set(self.now, i64::from(self.nodes.gpus_used().get()));
        self.levels.node_gpus.set(self.now, i64::from(self.nodes.gpus_ordered().get()));
    }
}

fn whole_second(at: SimTime) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs(at.as_millis() / 1000)
}
