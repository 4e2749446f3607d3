//! GPU nodes: slots for pods, and a node autoscaler that orders and removes nodes.
//!
//! Pods wait for GPUs in order of their creation. Placement spreads, as kube-scheduler's default `LeastAllocated` does:
//! the node with the most free GPUs, the oldest among equals. The autoscaler follows the Kubernetes cluster-autoscaler:
//! it looks every `scan_interval`, orders nodes for the pods that do not fit, and removes a node that has been empty for
//! `scale_down_unneeded_time` (and whose neighbours were not added within `scale_down_delay_after_add`).

use crate::problem::Problem;
use crate::random::NamedStream;
use crate::random::distribution::{Distribution, Sampler, Seconds};
use crate::units::{Gpus, Replicas, SimDuration, SimTime};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[serving.nodes]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodesSpec {
    /// GPUs of one node, above 0; 8 when left out.
    pub gpus_per_node: Gpus,
    /// Nodes that are there from the start and stay; 1 when left out. There are more at the start where the initial replicas
    /// need them.
    pub min_nodes: u32,
    /// Nodes that there may be. When left out, those of the start stay as they are: `min_nodes`, or as many as the initial
    /// replicas need.
    pub max_nodes: Option<u32>,
    /// From the order of a node until pods can run on it: virtual machine, driver, device plugin. Lognormal with median
    /// 210 s when left out (assumed: 2 to 8 min are reported).
    pub provisioning: Distribution<Seconds>,
    /// `--scan-interval`, 10 s when left out, as the next two in cluster-autoscaler 1.3x.
    pub scan_interval: Seconds,
    /// `--scale-down-unneeded-time`, 10 min when left out.
    pub scale_down_unneeded_time: Seconds,
    /// `--scale-down-delay-after-add`, 10 min when left out.
    pub scale_down_delay_after_add: Seconds,
}

impl Default for NodesSpec {
    fn default() -> Self {
        NodesSpec {
            gpus_per_node: Gpus(8),
            min_nodes: 1,
            max_nodes: None,
            provisioning: Distribution::lognormal(Seconds(SimDuration::from_secs(210)), 0.3),
            scan_interval: Seconds(SimDuration::from_secs(10)),
            scale_down_unneeded_time: Seconds(SimDuration::from_secs(600)),
            scale_down_delay_after_add: Seconds(SimDuration::from_secs(600)),
        }
    }
}

/// The most nodes that a world may have.
const NODES_MAX: u32 = 100_000;

/// A run with a shorter one would not end.
const SCAN_INTERVAL_MIN: SimDuration = SimDuration::from_millis(100);

impl NodesSpec {
    /// Nodes that there may be.
    pub fn nodes_max(&self) -> u32 {
        self.max_nodes.unwrap_or(self.min_nodes)
    }

    /// Pods of `gpus` GPUs each that one node holds; at least 1.
    pub fn pods_per_node(&self, gpus: Gpus) -> u32 {
        (self.gpus_per_node.get() / gpus.get().max(1)).max(1)
    }

    /// Nodes at the start: as many as `replicas` pods of `gpus` GPUs each need, and no fewer than `min_nodes`.
    pub fn initial_nodes(&self, gpus: Gpus, replicas: Replicas) -> u32 {
        let replicas = replicas.get().max(0).cast_unsigned();
        replicas.div_ceil(self.pods_per_node(gpus)).max(self.min_nodes)
    }

    /// Refuses what cannot be, with keys relative to `serving.nodes`.
    ///
    /// # Errors
    /// No GPU, no node, `max_nodes` below `min_nodes` or below what the replicas of the start need, a pod larger than a
    /// node, a scan interval of zero, or a bad distribution.
    pub fn check(&self, gpus_per_pod: Gpus, initial: Replicas) -> Result<(), Problem> {
        if self.gpus_per_node == Gpus::ZERO {
            return Err(
                Problem::key("gpus_per_node", "a node without GPUs can run no replica").help("at least 1")
            );
        }
        if self.gpus_per_node < gpus_per_pod {
            let message = format!("a replica needs {gpus_per_pod} GPUs, a node has {}", self.gpus_per_node);
            return Err(Problem::key("gpus_per_node", message)
                .help("raise it, or choose a smaller tensor parallelism"));
        }
        if self.nodes_max() == 0 || self.nodes_max() > NODES_MAX {
            let message = format!("there may be {} nodes", self.nodes_max());
            return Err(Problem::key("max_nodes", message).help(format!("from 1 to {NODES_MAX}")));
        }
        if self.nodes_max() < self.min_nodes {
            let message = format!("`max_nodes` {} is below `min_nodes` {}", self.nodes_max(), self.min_nodes);
            return Err(Problem::key("max_nodes", message).help("at least `min_nodes`"));
        }
        let needed = self.initial_nodes(gpus_per_pod, initial);
        if let Some(most) = self.max_nodes.filter(|most| *most < needed) {
            let message = format!("the {initial} replicas of the start need {needed} nodes, not {most}");
            return Err(Problem::key("max_nodes", message)
                .help(format!("at least {needed}, or start with fewer replicas")));
        }
        if needed > NODES_MAX {
            let message = format!("the {initial} replicas of the start need {needed} nodes");
            return Err(
                Problem::key("gpus_per_node", message).help(format!("there may be {NODES_MAX} nodes"))
            );
        }
        if self.scan_interval.duration() < SCAN_INTERVAL_MIN {
            return Err(Problem::key("scan_interval", "the autoscaler cannot look that often")
                .help("such as \"10s\""));
        }
        self.provisioning.check().map_err(|problem| problem.under("provisioning"))
    }
}

/// A node, by order of creation.
pub type NodeId = u32;

#[derive(Clone, Debug)]
struct Node {
    free: Gpus,
    /// Pods can run from here on.
    available_at: SimTime,
    available: bool,
    empty_since: Option<SimTime>,
}

/// All nodes and the pods that wait for one.
#[derive(Clone, Debug)]
pub struct Nodes {
    spec: NodesSpec,
    provisioning: Sampler,
    stream: NamedStream,
    /// Those that were ordered and not removed.
    nodes: BTreeMap<NodeId, Node>,
    /// Nodes that there ever were.
    created: NodeId,
    /// How many there are at least, and at most.
    bounds: (u32, u32),
    /// Pods that wait, with the GPUs they need, by creation ordinal.
    pending: BTreeMap<u32, Gpus>,
    next_scan: SimTime,
    last_added: Option<SimTime>,
    used: Gpus,
}

impl Nodes {
    /// `nodes` nodes, at least `min_nodes`, empty and available; `stream` draws the provisioning delays by node.
    ///
    /// # Errors
    /// The `provisioning` distribution cannot be.
    pub fn new(spec: NodesSpec, nodes: u32, stream: NamedStream) -> Result<Self, Problem> {
        let provisioning = spec.provisioning.sampler().map_err(|problem| problem.under("provisioning"))?;
        let node = Node {
            free: spec.gpus_per_node,
            available_at: SimTime::ZERO,
            available: true,
            empty_since: Some(SimTime::ZERO),
        };
        let nodes = nodes.max(spec.min_nodes);
        Ok(Nodes {
            bounds: spec.max_nodes.map_or((nodes, nodes), |most| (spec.min_nodes, most)),
            nodes: (0..nodes).map(|id| (id, node.clone())).collect(),
            created: nodes,
            next_scan: SimTime::ZERO + spec.scan_interval.duration(),
            pending: BTreeMap::new(),
            last_added: None,
            used: Gpus::ZERO,
            provisioning,
            stream,
            spec,
        })
    }

    /// The pod waits for `gpus` GPUs on one node.
    pub fn request(&mut self, pod: u32, gpus: Gpus) {
        self.pending.insert(pod, gpus);
    }

    /// The pod waits no longer. False if it did not wait.
    pub fn withdraw(&mut self, pod: u32) -> bool {
        self.pending.remove(&pod).is_some()
    }

    /// Assigns GPUs to the pod that has waited longest, if a node has room for it.
    pub fn place(&mut self) -> Option<(u32, NodeId)> {
        let (&pod, &gpus) = self.pending.first_key_value()?;
        let roomy = self.nodes.iter_mut().filter(|(_, node)| node.available && node.free >= gpus);
        // `max_by_key` keeps the last of equals; reversed ordinals make that the oldest.
        let (&id, node) = roomy.max_by_key(|(id, node)| (node.free, std::cmp::Reverse(**id)))?;
        node.free -= gpus;
        node.empty_since = None;
        self.used += gpus;
        self.pending.remove(&pod);
        Some((pod, id))
    }

    /// The GPUs of a pod that ended are free again.
    pub fn release(&mut self, now: SimTime, node: NodeId, gpus: Gpus) {
        self.used -= gpus;
        // A node is removed only when it is empty, so one that held a pod is there.
        if let Some(node) = self.nodes.get_mut(&node) {
            node.free += gpus;
            if node.free == self.spec.gpus_per_node {
                node.empty_since = Some(now);
            }
        }
    }

    /// When [`Nodes::advance`] is due: a node becomes available, or the autoscaler looks and has reason to.
    pub fn next_event(&self, now: SimTime) -> Option<SimTime> {
        let ordered = self.nodes.values().filter(|node| !node.available);
        let arrival = ordered.map(|node| node.available_at).min();
        let scan = self.scan_matters().then(|| self.next_scan_from(now));
        [arrival, scan].into_iter().flatten().min()
    }

    /// Nodes become available, are ordered and are removed, as due at `now`.
    pub fn advance(&mut self, now: SimTime) {
        for node in self.nodes.values_mut() {
            if !node.available && node.available_at <= now {
                node.available = true;
                node.empty_since = Some(now);
            }
        }
        if now >= self.next_scan {
            self.next_scan = self.next_scan_from(now);
            if now == self.next_scan {
                self.next_scan = now + self.spec.scan_interval.duration();
                self.order_for_pending(now);
                self.remove_unneeded(now);
            }
        }
    }

    /// GPUs that pods hold.
    pub fn gpus_used(&self) -> Gpus {
        self.used
    }

    /// GPUs of all nodes from their order to their removal, as a bill per node counts them.
    pub fn gpus_ordered(&self) -> Gpus {
        Gpus(self.spec.gpus_per_node.get() * self.standing())
    }

    /// Pods that need `gpus` GPUs each which all nodes that there may be hold together.
    pub fn capacity(&self, gpus: Gpus) -> u32 {
        self.bounds.1.saturating_mul(self.spec.pods_per_node(gpus))
    }

    /// Pods that wait for GPUs.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The nodes that pods can run on, in order of creation.
    pub fn available(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter(|(_, node)| node.available).map(|(&id, _)| id)
    }

    /// GPUs of each node.
    pub fn gpus_per_node(&self) -> Gpus {
        self.spec.gpus_per_node
    }

    /// Name of a node.
    pub fn name(node: NodeId) -> String {
        format!("gpu-{node}")
    }

    /// Recounts every GPU: what nodes lack is what pods hold. For debug builds and tests.
    pub fn is_consistent(&self) -> bool {
        let per_node = self.spec.gpus_per_node.get();
        let taken: u32 = self.nodes.values().map(|node| per_node - node.free.get()).sum();
        taken == self.used.get()
    }

    fn standing(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// A fleet at its only size has nothing to look at.
    fn scan_matters(&self) -> bool {
        let (least, most) = self.bounds;
        let could_order = !self.pending.is_empty() && self.standing() < most;
        let could_remove =
            self.standing() > least && self.nodes.values().any(|node| node.empty_since.is_some());
        could_order || could_remove
    }

    /// The first instant of the scan's grid at or after both `now` and the scan that is due.
    fn next_scan_from(&self, now: SimTime) -> SimTime {
        let interval = self.spec.scan_interval.duration();
        if now <= self.next_scan {
            return self.next_scan;
        }
        let late = now.since(self.next_scan).rem(interval);
        if late.is_zero() { now } else { now + (interval - late) }
    }

    /// Orders as many nodes as the waiting pods need beyond what is free or on its way.
    fn order_for_pending(&mut self, now: SimTime) {
        let per_node = self.spec.gpus_per_node.get();
        let mut rooms: Vec<u32> = self.nodes.values().map(|node| node.free.get()).collect();
        let could_be = self.bounds.1.saturating_sub(self.standing());
        let mut orders = 0;
        for gpus in self.pending.values().map(|gpus| gpus.get()) {
            if let Some(room) = rooms.iter_mut().find(|room| **room >= gpus) {
                *room -= gpus;
            } else if orders < could_be {
                rooms.push(per_node - gpus);
                orders += 1;
            }
        }
        for _ in 0..orders {
            let delay = self.provisioning.sample_duration(&mut self.stream.at(u64::from(self.created)));
            let node = Node {
                free: self.spec.gpus_per_node,
                available_at: now + delay,
                available: false,
                empty_since: None,
            };
            self.nodes.insert(self.created, node);
            self.created += 1;
            self.last_added = Some(now);
        }
    }

    /// Removes the youngest nodes first, down to the least number.
    fn remove_unneeded(&mut self, now: SimTime) {
        let quiet = self
            .last_added
            .is_none_or(|added| now.since(added) >= self.spec.scale_down_delay_after_add.duration());
        if !quiet {
            return;
        }
        let unneeded = self.spec.scale_down_unneeded_time.duration();
        let idle = |node: &Node| node.empty_since.is_some_and(|since| now.since(since) >= unneeded);
        let spare = self.standing().saturating_sub(self.bounds.0) as usize;
        let idle = self.nodes.iter().rev().filter(|(_, node)| idle(node)).map(|(&id, _)| id);
        for id in idle.take(spare).collect::<Vec<NodeId>>() {
            self.nodes.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn seconds(s: u64) -> Seconds {
        Seconds(SimDuration::from_secs(s))
    }
    fn at(s: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(s)
    }
    fn pool(min: u32, max: u32, gpus: u32) -> Nodes {
        let spec = NodesSpec {
            gpus_per_node: Gpus(gpus),
            min_nodes: min,
            max_nodes: Some(max),
            provisioning: Distribution::constant(seconds(120)),
            ..NodesSpec::default()
        };
        spec.check(Gpus(1), Replicas(0)).expect("a good pool");
        Nodes::new(spec, 0, Streams::new(1).named("nodes")).expect("a good pool")
    }

    #[test]
    fn placement_spreads_and_serves_the_oldest_pod_first() {
        let mut nodes = pool(2, 2, 2);
        for pod in [3, 1, 2, 0, 4] {
            nodes.request(pod, Gpus(1));
        }
        let placed: Vec<_> = std::iter::from_fn(|| nodes.place()).collect();
        assert_eq!(placed, [(0, 0), (1, 1), (2, 0), (3, 1)]);
        assert_eq!((nodes.pending(), nodes.gpus_used()), (1, Gpus(4)));
        assert_eq!(nodes.next_event(at(1)), None, "a fixed pool orders nothing");
        nodes.release(at(9), 1, Gpus(1));
        assert_eq!(nodes.place(), Some((4, 1)));
        assert!(nodes.is_consistent());
    }

    #[test]
    fn a_waiting_pod_gets_a_node_which_leaves_when_it_has_been_empty_long_enough() {
        let mut nodes = pool(0, 3, 4);
        nodes.request(7, Gpus(4));
        nodes.request(8, Gpus(2));
        nodes.request(9, Gpus(2));
        assert_eq!(nodes.next_event(at(3)), Some(at(10)));
        nodes.advance(at(10));
        assert_eq!(nodes.gpus_ordered(), Gpus(8), "two pods share the second node");
        assert_eq!(nodes.next_event(at(10)), Some(at(20)), "the third node could still be ordered");
        nodes.advance(at(20));
        assert_eq!(nodes.gpus_ordered(), Gpus(8));
        nodes.advance(at(130));
        let placed: Vec<_> = std::iter::from_fn(|| nodes.place()).collect();
        assert_eq!(placed, [(7, 0), (8, 1), (9, 1)]);
        assert_eq!(nodes.next_event(at(130)), None);
        nodes.release(at(1000), 1, Gpus(2));
        nodes.release(at(1005), 1, Gpus(2));
        let mut now = at(1005);
        while let Some(next) = nodes.next_event(now) {
            assert!(next >= now && next <= at(1610));
            now = next;
            nodes.advance(now);
            now += SimDuration::from_ps(1);
        }
        assert_eq!(nodes.gpus_ordered(), Gpus(4));
        assert!(now > at(1605), "removed at {now}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let bad = |edit: fn(&mut NodesSpec)| {
            let mut spec = NodesSpec::default();
            edit(&mut spec);
            spec.check(Gpus(2), Replicas(9)).expect_err("refused").to_string()
        };
        assert!(bad(|s| s.gpus_per_node = Gpus(0)).contains("gpus_per_node"));
        assert!(bad(|s| s.gpus_per_node = Gpus(1)).contains("needs 2 GPUs"));
        assert!(bad(|s| s.max_nodes = Some(0)).contains("max_nodes"));
        assert!(bad(|s| s.min_nodes = 0).contains("max_nodes"));
        assert!(bad(|s| s.scan_interval = seconds(0)).contains("scan_interval"));
        assert!(bad(|s| s.max_nodes = Some(2)).contains("9 replicas of the start need 3 nodes, not 2"));
    }

    #[test]
    fn without_a_maximum_the_nodes_of_the_start_stay() {
        let spec = NodesSpec { gpus_per_node: Gpus(2), min_nodes: 1, ..NodesSpec::default() };
        assert_eq!(spec.initial_nodes(Gpus(1), Replicas(5)), 3);
        let mut nodes = Nodes::new(spec, 3, Streams::new(1).named("nodes")).expect("a good pool");
        assert_eq!((nodes.capacity(Gpus(1)), nodes.capacity(Gpus(2))), (6, 3));
        assert_eq!(nodes.next_event(at(0)), None, "nothing is removed");
        (0..7).for_each(|pod| nodes.request(pod, Gpus(1)));
        while nodes.place().is_some() {}
        assert_eq!((nodes.pending(), nodes.next_event(at(1))), (1, None), "nothing is ordered");
    }

    #[test]
    fn the_youngest_empty_nodes_leave_first_and_names_are_not_used_again() {
        let mut nodes = pool(1, 3, 1);
        (0..3).for_each(|pod| nodes.request(pod, Gpus(1)));
        assert_eq!(nodes.place(), Some((0, 0)));
        nodes.advance(at(10));
        nodes.advance(at(130));
        assert_eq!((nodes.place(), nodes.place()), (Some((1, 1)), Some((2, 2))));
        nodes.release(at(200), 1, Gpus(1));
        nodes.release(at(200), 0, Gpus(1));
        for scan in [790, 800] {
            nodes.advance(at(scan));
            assert_eq!(nodes.gpus_ordered(), Gpus(if scan < 800 { 3 } else { 1 }), "at {scan} s");
        }
        nodes.request(3, Gpus(1));
        nodes.advance(at(810));
        nodes.advance(at(930));
        assert_eq!(nodes.place(), Some((3, 3)));
    }
}
