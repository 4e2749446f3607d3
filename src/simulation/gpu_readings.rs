//! Which pod holds which GPU, and what each node's exporter has read of it last.

use super::fleet::Fleet;
use crate::monitoring::dcgm::{DcgmSpec, Gpu};
use crate::random::Streams;
use crate::serving::nodes::{NodeId, Nodes};
use crate::units::{SimDuration, SimTime};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// The exporters' readings. All nodes are read at the same instants.
#[derive(Debug)]
pub(super) struct GpuReadings {
    collect_interval: SimDuration,
    sample_period: SimDuration,
    /// When the next sample period begins.
    begins: SimTime,
    /// By node: its GPUs by index.
    nodes: BTreeMap<NodeId, Vec<Slot>>,
    /// By pod: how long its GPUs had been busy when the sample period began.
    busy: FxHashMap<u32, SimDuration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    pod: Option<u32>,
    utilization: Option<u32>,
}

/// How the nodes differ from what they were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) came: Vec<NodeId>,
    pub(super) left: Vec<NodeId>,
}

impl GpuReadings {
    /// The first reading comes within the first interval, at a phase of its own.
    pub(super) fn new(spec: &DcgmSpec, streams: &Streams) -> Self {
        let (collect_interval, sample_period) =
            (spec.collect_interval.duration(), spec.sample_period.duration());
        let phase = streams.stream("dcgm/collect-phase").below(collect_interval.as_ps());
        GpuReadings {
            collect_interval,
            sample_period,
            begins: SimTime::from_ps(phase),
            nodes: BTreeMap::new(),
            busy: FxHashMap::default(),
        }
    }

    /// When the next sample period begins.
    pub(super) fn begins(&self) -> SimTime {
        self.begins
    }

    /// The nodes are what they are now.
    pub(super) fn follow_nodes(&mut self, nodes: &Nodes) -> Changes {
        let available: Vec<NodeId> = nodes.available().collect();
        let is_there = |node: &NodeId| available.binary_search(node).is_ok();
        let left: Vec<NodeId> = self.nodes.keys().copied().filter(|node| !is_there(node)).collect();
        for node in &left {
            self.nodes.remove(node);
        }
        let came: Vec<NodeId> =
            available.iter().copied().filter(|node| !self.nodes.contains_key(node)).collect();
        for node in &came {
            self.nodes.insert(*node, vec![Slot::default(); nodes.gpus_per_node().get() as usize]);
        }
        Changes { came, left }
    }

    /// A sample period begins at `now`. The answer is when it ends.
    pub(super) fn begin(&mut self, now: SimTime, fleet: &mut Fleet) -> SimTime {
        self.busy.clear();
        fleet.catch_up(now);
        for slot in fleet.live() {
            if let Some(engine) = &slot.engine {
                self.busy.insert(slot.pod.ordinal, engine.busy(now));
            }
        }
        now + self.sample_period
    }

    /// The GPUs are read at `now`, in whole percent. The answer is when the next sample period begins.
    pub(super) fn end(&mut self, now: SimTime, fleet: &mut Fleet) -> SimTime {
        fleet.catch_up(now);
        self.assign(fleet);
        for gpu in self.nodes.values_mut().flatten() {
            let engine = gpu.pod.and_then(|pod| Some((pod, fleet.slot(pod).engine.as_ref()?)));
            let busy = engine.map_or(SimDuration::ZERO, |(pod, engine)| {
                engine.busy(now) - self.busy.get(&pod).copied().unwrap_or_default()
            });
            gpu.utilization = Some(percent(busy, self.sample_period));
        }
        self.begins += self.collect_interval;
        self.begins
    }

    /// The GPUs of a node, as its exporter shows them; `None` where the node is gone.
    pub(super) fn gpus<'f>(&mut self, node: NodeId, fleet: &'f Fleet) -> Option<Vec<Gpu<'f>>> {
        self.assign(fleet);
        let name = |pod: u32| fleet.slot(pod).pod.name.as_str();
        let shown = |slot: &Slot| Gpu { pod: slot.pod.map(name), utilization: slot.utilization };
        Some(self.nodes.get(&node)?.iter().map(shown).collect())
    }

    /// Pods that are gone leave their GPUs; those that have come since take the first that are free, in order of their
    /// creation.
    fn assign(&mut self, fleet: &Fleet) {
        for gpu in self.nodes.values_mut().flatten() {
            gpu.pod = gpu.pod.filter(|&pod| fleet.slot(pod).pod.exited.is_none());
        }
        let each = fleet.gpus_per_pod.get() as usize;
        for slot in fleet.live() {
            let ordinal = slot.pod.ordinal;
            let Some(gpus) = slot.pod.node.and_then(|node| self.nodes.get_mut(&node)) else { continue };
            if gpus.iter().all(|gpu| gpu.pod != Some(ordinal)) {
                let free = gpus.iter_mut().filter(|gpu| gpu.pod.is_none());
                free.take(each).for_each(|gpu| gpu.pod = Some(ordinal));
            }
        }
    }
}

/// The share of `period` that is `busy`, rounded to whole percent; 100 at most.
fn percent(busy: SimDuration, period: SimDuration) -> u32 {
    let (busy, period) = (u128::from(busy.as_ps()), u128::from(period.as_ps().max(1)));
    ((200 * busy + period) / (2 * period)).min(100) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_to_whole_percent() {
        let ps = SimDuration::from_ps;
        let shares = [0, 4, 5, 995, 994, 1000, 1001].map(|busy| percent(ps(busy), ps(1000)));
        assert_eq!(shares, [0, 0, 1, 100, 99, 100, 100]);
    }
}
