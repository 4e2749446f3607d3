//! Events and their total order: (time, rank, key).
//!
//! The key is the creation ordinal of the entity, never a push counter: an engine that advances many steps in one
//! event pushes fewer events, and must not change the order of the others.

use crate::units::SimTime;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// What happens. Events carry no payload beyond whom they concern: the state is read when they fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An engine's batch ends on its GPU. By pod.
    EngineStep(u32),
    /// An idle engine has work. By pod.
    EngineWake(u32),
    /// The next transition of a pod's life is due. By pod.
    Pod(u32),
    /// A node arrives, leaves, or the node autoscaler looks.
    Nodes,
    /// A pod becomes an endpoint of the router. By pod.
    EndpointAdded(u32),
    /// A pod ceases to be an endpoint of the router. By pod.
    EndpointDropped(u32),
    /// The gateway's flow control reads the pods' metrics.
    GatewayRefresh,
    /// The client sees the last token of its answer. By request.
    Answer(u64),
    /// A request of a source with a cap has ended, and its client may send the next. By request.
    ClientDone {
        /// The source.
        source: u16,
        /// The request.
        request: u64,
    },
    /// The client gives up. By request.
    ClientTimeout(u64),
    /// The gateway has held a request for as long as it may. By request.
    GatewayTimeout(u64),
    /// A request reaches its engine's input queue. By request.
    Delivery(u64),
    /// The workload's next request comes due. By request.
    Arrival(u64),
    /// Prometheus goes, or is back.
    PrometheusEdge,
    /// The sample period of the GPUs' next reading begins.
    GpuSampleBegins,
    /// The GPUs are read.
    GpuSampleEnds,
    /// Prometheus scrapes a target. By target.
    Scrape(u32),
    /// Prometheus evaluates a group of recording rules. By group.
    Rules(u32),
    /// A step of a timetable is due. By step.
    ScheduledScale(u32),
    /// AIBrix begins to reconcile.
    AibrixReconcile,
    /// AIBrix ends a reconcile.
    AibrixReconciled,
    /// Knative's autoscaler looks.
    KnativeLook,
    /// The Workload Variant Autoscaler looks.
    WvaOptimize,
    /// A controller writes what it decided earlier.
    LateScale,
    /// KEDA's scale loop.
    KedaPoll,
    /// The HPA's reconcile.
    HpaSync,
    /// The timeline is sampled.
    Tick,
}

/// What goes first among events of one instant.
///
/// The plant moves before it is looked at, and it is looked at before anyone decides, so that a scrape sees what
/// happened up to its instant and a controller sees the scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Frees seats and blocks before anything asks for them.
    Completion,
    /// A pod that becomes ready at t serves what arrives at t; one that ends at t does not.
    PodState,
    /// After the pods that fill or free them.
    Nodes,
    /// After the readiness it propagates.
    Endpoint,
    /// Sees the endpoints and their engines, and lets go of what waits before anything new comes.
    GatewayRefresh,
    /// A client that is done at t may send at t.
    Client,
    /// A request sent earlier reaches its engine before one that comes due now is routed.
    Delivery,
    /// New work, on the fleet as it is now.
    Arrival,
    /// After all that arrives at the same instant, so that it starts together.
    EngineWake,
    /// A server that goes at t does not scrape at t; one that is back at t answers at t.
    PrometheusEdge,
    /// Sees the engines as they are now, and is seen by the scrape.
    GpuReading,
    /// Sees all of the above.
    Scrape,
    /// Reads what was scraped, and is read by the controllers.
    Rules,
    /// What was decided earlier is there before anyone decides again.
    LateScale,
    /// Decides without looking at anything.
    Schedule,
    /// Reads the pods themselves.
    Aibrix,
    /// Reads the queue-proxies and the activator.
    Knative,
    /// Reads what Prometheus knows; what it says is scraped later.
    Wva,
    /// KEDA reads what Prometheus knows.
    KedaPoll,
    /// The HPA asks KEDA, after the poll of the same instant filled its cache.
    HpaSync,
    /// The record shows the instant's outcome.
    Tick,
}

impl Event {
    #[inline]
    fn rank(self) -> Rank {
        match self {
            Event::EngineStep(_) => Rank::Completion,
            Event::EngineWake(_) => Rank::EngineWake,
            Event::Pod(_) => Rank::PodState,
            Event::Nodes => Rank::Nodes,
            Event::EndpointAdded(_) | Event::EndpointDropped(_) => Rank::Endpoint,
            Event::Answer(_)
            | Event::ClientTimeout(_)
            | Event::GatewayTimeout(_)
            | Event::ClientDone { .. } => Rank::Client,
            Event::GatewayRefresh => Rank::GatewayRefresh,
            Event::Delivery(_) => Rank::Delivery,
            Event::Arrival(_) => Rank::Arrival,
            Event::PrometheusEdge => Rank::PrometheusEdge,
            Event::GpuSampleBegins | Event::GpuSampleEnds => Rank::GpuReading,
            Event::Scrape(_) => Rank::Scrape,
            Event::Rules(_) => Rank::Rules,
            Event::ScheduledScale(_) => Rank::Schedule,
            Event::AibrixReconcile | Event::AibrixReconciled => Rank::Aibrix,
            Event::KnativeLook => Rank::Knative,
            Event::WvaOptimize => Rank::Wva,
            Event::LateScale => Rank::LateScale,
            Event::KedaPoll => Rank::KedaPoll,
            Event::HpaSync => Rank::HpaSync,
            Event::Tick => Rank::Tick,
        }
    }

    #[inline]
    fn key(self) -> u64 {
        match self {
            Event::EngineStep(pod)
            | Event::EngineWake(pod)
            | Event::Pod(pod)
            | Event::EndpointAdded(pod)
            | Event::EndpointDropped(pod) => u64::from(pod),
            Event::Answer(request)
            | Event::ClientDone { request, .. }
            | Event::ClientTimeout(request)
            | Event::GatewayTimeout(request)
            | Event::Delivery(request)
            | Event::Arrival(request) => request,
            Event::Scrape(target) => u64::from(target),
            Event::Rules(group) => u64::from(group),
            Event::ScheduledScale(step) => u64::from(step),
            Event::Nodes
            | Event::GatewayRefresh
            | Event::PrometheusEdge
            | Event::GpuSampleBegins
            | Event::GpuSampleEnds
            | Event::AibrixReconcile
            | Event::AibrixReconciled
            | Event::KnativeLook
            | Event::WvaOptimize
            | Event::LateScale
            | Event::KedaPoll
            | Event::HpaSync
            | Event::Tick => 0,
        }
    }

    /// Tells events of one rank and key apart, so that the order is total. An answer that comes when its client would
    /// give up has come. A reading ends before the next begins. A reconcile that takes no time begins before it ends.
    #[inline]
    fn variant(self) -> u8 {
        match self {
            Event::EndpointDropped(_)
            | Event::ClientTimeout(_)
            | Event::GpuSampleBegins
            | Event::AibrixReconciled => 1,
            Event::GatewayTimeout(_) => 2,
            Event::ClientDone { .. } => 3,
            _ => 0,
        }
    }
}

/// Bits of [`Event::order`] below the rank: the key, and below it the variant.
const KEY_BITS: u32 = 57;
const VARIANT_BITS: u32 = 2;

impl Event {
    /// Rank, key and variant in one integer whose order is theirs.
    #[inline]
    fn order(self) -> u64 {
        let key = self.key();
        debug_assert!(key < 1 << KEY_BITS, "no run has so many requests");
        (self.rank() as u64) << (KEY_BITS + VARIANT_BITS) | key << VARIANT_BITS | u64::from(self.variant())
    }

    /// The line in which it waits: events of these kinds come a constant time after what causes them, mostly, and so in
    /// the order in which they are pushed.
    #[inline]
    fn line(self) -> Option<usize> {
        match self {
            Event::Arrival(_) => Some(0),
            Event::Delivery(_) => Some(1),
            Event::Answer(_) => Some(2),
            Event::ClientTimeout(_) => Some(3),
            Event::GatewayTimeout(_) => Some(4),
            _ => None,
        }
    }
}

const LINES: usize = 5;

/// An event with its place in the total order: the instant in the upper half of `order`, [`Event::order`] in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    order: u128,
    event: Event,
}

impl Entry {
    #[inline]
    fn new(at: SimTime, event: Event) -> Self {
        Entry { order: u128::from(at.as_ps()) << 64 | u128::from(event.order()), event }
    }

    fn at(&self) -> SimTime {
        SimTime::from_ps((self.order >> 64) as u64)
    }
}

impl Ord for Entry {
    /// Reversed: the standard heap gives the greatest first, we want the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.cmp(&self.order)
    }
}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Future events, earliest first. `push` and `pop` are O(log n), and O(1) for events that are pushed in their order.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    heap: BinaryHeap<Entry>,
    /// By [`Event::line`]: events in their order. One that would break it goes to the heap.
    lines: [VecDeque<Entry>; LINES],
}

impl EventQueue {
    /// Adds an event at `at`; pushing the same event for the same instant twice fires it twice.
    // Whoever pushes knows which event it is, and with it rank and line, when this is compiled.
    #[inline]
    pub(super) fn push(&mut self, at: SimTime, event: Event) {
        let entry = Entry::new(at, event);
        if let Some(line) = event.line().map(|line| &mut self.lines[line])
            && line.back().is_none_or(|last| last.order <= entry.order)
        {
            line.push_back(entry);
        } else {
            self.heap.push(entry);
        }
    }

    /// Takes the earliest event.
    pub(super) fn pop(&mut self) -> Option<(SimTime, Event)> {
        let mut first = self.heap.peek().map_or(u128::MAX, |entry| entry.order);
        let mut from = None;
        for (i, line) in self.lines.iter().enumerate() {
            if let Some(entry) = line.front().filter(|entry| entry.order < first) {
                (first, from) = (entry.order, Some(i));
            }
        }
        let entry = match from {
            Some(line) => self.lines[line].pop_front(),
            None => self.heap.pop(),
        };
        entry.map(|entry| (entry.at(), entry.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn one_instant_runs_plant_then_sensor_then_controller_whatever_the_order_of_pushing() {
        let wanted = [
            Event::EngineStep(0),
            Event::EngineStep(1),
            Event::Pod(0),
            Event::EndpointAdded(2),
            Event::EndpointDropped(2),
            Event::GatewayRefresh,
            Event::Answer(5),
            Event::ClientTimeout(5),
            Event::ClientDone { source: 0, request: 5 },
            Event::Answer(6),
            Event::Delivery(4),
            Event::Arrival(9),
            Event::EngineWake(3),
            Event::PrometheusEdge,
            Event::GpuSampleEnds,
            Event::GpuSampleBegins,
            Event::Scrape(3),
            Event::Rules(0),
            Event::Rules(1),
            Event::LateScale,
            Event::ScheduledScale(0),
            Event::AibrixReconcile,
            Event::AibrixReconciled,
            Event::KnativeLook,
            Event::WvaOptimize,
            Event::KedaPoll,
            Event::HpaSync,
            Event::Tick,
        ];
        for rotation in 0..wanted.len() {
            let mut queue = EventQueue::default();
            queue.push(SimTime::from_ps(6), Event::EngineStep(0));
            for i in 0..wanted.len() {
                // A stride that has no divisor in common with the length, whatever that is.
                let stride = wanted.len() - 1;
                queue.push(SimTime::from_ps(5), wanted[(i * stride + rotation) % wanted.len()]);
            }
            let got: Vec<Event> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
            assert_eq!(got[..wanted.len()], wanted);
        }
    }

    #[test]
    fn events_come_in_their_order_from_lines_and_heap_alike() {
        let mut queue = EventQueue::default();
        let mut stream = Streams::new(1).stream("events");
        let (mut now, mut waiting) = (0, Vec::new());
        for request in 0..2000 {
            let at = now + stream.below(50);
            let event = match stream.below(6) {
                0 => Event::Arrival(request),
                1 => Event::Delivery(request),
                2 => Event::Answer(request),
                3 => Event::ClientTimeout(request),
                4 => Event::GatewayTimeout(request),
                _ => Event::EngineStep(request as u32),
            };
            queue.push(SimTime::from_ps(at), event);
            waiting.push((at, event.order(), event));
            if stream.below(2) == 0 {
                waiting.sort_unstable_by_key(|&(at, order, _)| (at, order));
                let (at, _, event) = waiting.remove(0);
                assert_eq!(queue.pop(), Some((SimTime::from_ps(at), event)));
                now = at;
            }
        }
        assert!(queue.lines.iter().all(|line| !line.is_empty()) && !queue.heap.is_empty());
    }
}
