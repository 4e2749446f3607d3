//! What serves: the Deployment, its pods with their engines, and the nodes that they run on.

use super::flight::Served;
use super::record::PodRecord;
use super::setup::{EngineSetup, ServingSetup};
use crate::autoscaling::hpa::Scale;
use crate::autoscaling::keda::Workload;
use crate::problem::Problem;
use crate::random::{NamedStream, Streams};
use crate::serving::deployment::Deployment;
use crate::serving::engine::{Engine, RequestId};
use crate::serving::nodes::{NodeId, Nodes};
use crate::serving::performance::{Startup, StartupPlan};
use crate::serving::pod::{Pod, PodSpec};
use crate::serving::replica_set::{self, Candidate, PodPhase};
use crate::units::{Gpus, Replicas, SimDuration, SimTime};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// The plant, as far as it is not on the way of a request.
pub(super) struct Fleet {
    pub(super) deployment: Deployment,
    pub(super) nodes: Nodes,
    /// The nodes' event that is in the queue.
    pub(super) nodes_followed: Option<SimTime>,
    pub(super) pod_spec: PodSpec,
    pub(super) gpus_per_pod: Gpus,
    /// All pods that there ever were, by creation ordinal.
    pods: Vec<PodSlot>,
    /// Those that have not exited.
    live: BTreeSet<u32>,
    startup: Startup,
    startup_stream: NamedStream,
    engine: EngineSetup,
}

/// A pod with its engine and what the loop remembers of it.
#[derive(Debug)]
pub(super) struct PodSlot {
    pub(super) pod: Pod,
    /// From when the API answers until the container exits.
    pub(super) engine: Option<Box<dyn Engine>>,
    /// When the API server came up.
    pub(super) serving_since: SimTime,
    /// The engine's event that is in the queue.
    pub(super) followed: Option<SimTime>,
    /// Requests that wait in the engine, as counted in the backlog.
    pub(super) waiting: u64,
    pub(super) finished: u64,
    pub(super) killed: u64,
}

impl Fleet {
    /// A fleet without pods, on the nodes that its first pods will need.
    ///
    /// # Errors
    /// A setting that only fails when it is put to use.
    pub(super) fn new(name: &str, serving: ServingSetup, streams: &Streams) -> Result<Self, Problem> {
        serving.engine.build()?;
        let initial_nodes = serving.nodes.initial_nodes(serving.gpus_per_pod, serving.initial_replicas);
        Ok(Fleet {
            deployment: Deployment::new(name, serving.initial_replicas, streams),
            nodes: Nodes::new(serving.nodes, initial_nodes, streams.named("nodes/provisioning"))?,
            nodes_followed: None,
            pod_spec: serving.pod,
            gpus_per_pod: serving.gpus_per_pod,
            pods: Vec::new(),
            live: BTreeSet::new(),
            startup: serving.startup,
            startup_stream: streams.named("startup"),
            engine: serving.engine,
        })
    }

    /// A pod, also one that is gone.
    pub(super) fn slot(&self, pod: u32) -> &PodSlot {
        &self.pods[pod as usize]
    }

    /// See [`Fleet::slot`].
    pub(super) fn slot_mut(&mut self, pod: u32) -> &mut PodSlot {
        &mut self.pods[pod as usize]
    }

    /// The pods that have not exited, oldest first.
    pub(super) fn live(&self) -> impl Iterator<Item = &PodSlot> {
        self.live.iter().map(|&pod| self.slot(pod))
    }

    /// Their ordinals.
    pub(super) fn live_ordinals(&self) -> Vec<u32> {
        self.live.iter().copied().collect()
    }

    /// What KEDA reads of its target.
    pub(super) fn workload(&self) -> Workload {
        let (replicas, ready) = (self.deployment.spec_replicas(), self.deployment.ready_replicas());
        Workload { replicas, ready }
    }

    /// What the HPA reads of its target. Pods that terminate count among the ready ones while they are, unlike in
    /// `status.readyReplicas` (`pkg/controller/podautoscaler/replica_calculator.go`, `getReadyPodsCount`).
    pub(super) fn scale(&self) -> Scale {
        Scale {
            spec: self.deployment.spec_replicas(),
            status: self.deployment.status_replicas(),
            ready: Replicas(self.live().filter(|slot| slot.pod.is_ready()).count() as i32),
        }
    }

    /// Whether the request runs in the pod's engine.
    pub(super) fn runs(&self, pod: u32, request: u64) -> bool {
        let engine = self.slot(pod).engine.as_ref();
        engine.is_some_and(|engine| engine.is_running(RequestId(request)))
    }

    /// What the request, which has not ended, got in the pod's engine until `now`.
    pub(super) fn served(&mut self, now: SimTime, pod: u32, request: u64) -> Served {
        let slot = self.slot_mut(pod);
        slot.catch_up(now);
        let engine = slot.engine.as_ref();
        engine.map_or_else(Served::default, |engine| engine.usage(now, RequestId(request)).into())
    }

    /// All engines have accounted for what happened until `now`.
    pub(super) fn catch_up(&mut self, now: SimTime) {
        for &pod in &self.live {
            self.pods[pod as usize].catch_up(now);
        }
    }

    /// Creates a pod, which waits for its GPUs.
    pub(super) fn create_pod(&mut self, now: SimTime) {
        let (ordinal, name, uid) = self.deployment.create_pod();
        debug_assert_eq!(ordinal as usize, self.pods.len());
        self.pods.push(PodSlot {
            pod: Pod::new(ordinal, name, uid, now),
            engine: None,
            serving_since: SimTime::NEVER,
            followed: None,
            waiting: 0,
            finished: 0,
            killed: 0,
        });
        self.live.insert(ordinal);
        self.nodes.request(ordinal, self.gpus_per_pod);
    }

    /// The pod has exited.
    pub(super) fn bury(&mut self, pod: u32) {
        self.live.remove(&pod);
    }

    /// How the pod starts.
    pub(super) fn startup_plan(&self, pod: u32) -> StartupPlan {
        self.startup.plan(&mut self.startup_stream.at(u64::from(pod)))
    }

    /// An engine as every new pod starts it.
    pub(super) fn new_engine(&self) -> Box<dyn Engine> {
        self.engine
            .build()
            .unwrap_or_else(|problem| unreachable!("one was built when the fleet was: {problem}"))
    }

    /// The `count` pods that the ReplicaSet deletes first.
    pub(super) fn victims(&self, count: usize, now: SimTime) -> Vec<u32> {
        let active: Vec<u32> = self.deployment.active().collect();
        let mut on_node: FxHashMap<Option<NodeId>, usize> = FxHashMap::default();
        for &pod in &active {
            *on_node.entry(self.slot(pod).pod.node).or_default() += 1;
        }
        let candidates: Vec<Candidate<'_>> = active
            .iter()
            .map(|&ordinal| {
                let pod = &self.slot(ordinal).pod;
                let phase = if pod.is_running(now) { PodPhase::Running } else { PodPhase::Pending };
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
        let order = replica_set::deletion_order(&candidates, now);
        order.into_iter().take(count).map(|index| active[index]).collect()
    }
}

impl PodSlot {
    /// The engine has accounted for what happened until `now`.
    pub(super) fn catch_up(&mut self, now: SimTime) {
        if let Some(engine) = &mut self.engine {
            engine.catch_up(now);
        }
    }

    /// The pod's life until `now`, up to which its engine has caught up.
    pub(super) fn record(&self, now: SimTime) -> PodRecord {
        let stats = self.engine.as_ref().map(|engine| engine.stats(now));
        let pod = &self.pod;
        PodRecord {
            ordinal: pod.ordinal,
            name: pod.name.clone(),
            node: pod.node.map(Nodes::name),
            created: pod.created,
            scheduled: pod.scheduled,
            ready: pod.ready,
            deleted: pod.deleted,
            exited: pod.exited,
            finished: self.finished,
            killed: self.killed,
            steps: stats.map_or(0, |stats| stats.steps),
            preemptions: stats.map_or(0, |stats| stats.num_preemptions),
        }
    }
}

/// As Kubernetes stores times.
fn whole_second(at: SimTime) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs(at.as_millis() / 1000)
}
