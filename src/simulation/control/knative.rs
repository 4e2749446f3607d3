//! Knative's autoscaler: it counts requests where they pass, at the activator and at each pod's queue-proxy.
//!
//! The gateway is the activator: it holds what comes while no pod is ready. Requests go on through it until the autoscaler
//! takes it out of their way, which costs no time here but decides who counts them.

use super::{ControlLoops, record_decision};
use crate::autoscaling::knative::{
    Decision, KnativeSpec, Kpa, PodReport, RequestStats, Route, ScaleTarget, Start,
};
use crate::random::Streams;
use crate::simulation::event::Event;
use crate::simulation::fleet::Fleet;
use crate::simulation::record::Controller;
use crate::simulation::world::World;
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// The autoscaler of one revision, whose service has been running before the run.
pub struct KnativeSetup {
    /// The revision's settings, without problems.
    pub spec: KnativeSpec,
    /// Pods at the start, all of them ready.
    pub ready_pods: Replicas,
    /// From a change of the endpoints until the ingress obeys.
    pub programming_delay: SimDuration,
}

/// Knative in motion.
pub(in crate::simulation) struct Knative {
    kpa: Kpa,
    /// The queue-proxy's counters of each ready pod, by creation ordinal.
    queue_proxies: BTreeMap<u32, RequestStats>,
    /// Requests on their way: by which route they came, and in which pod they are.
    ways: FxHashMap<u64, Way>,
    /// The event that is in the queue.
    followed: Option<SimTime>,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    route: Route,
    pod: Option<u32>,
}

impl Knative {
    pub(super) fn new(setup: &KnativeSetup, epoch: UnixMillis, streams: &Streams) -> Self {
        let start = Start::Restarted { ready_pods: setup.ready_pods };
        Knative {
            kpa: Kpa::new(&setup.spec, start, epoch, setup.programming_delay, streams),
            queue_proxies: BTreeMap::new(),
            ways: FxHashMap::default(),
            followed: None,
        }
    }

    fn advance(&mut self, fleet: &Fleet, now: SimTime) -> Option<Decision> {
        let target = ScaleTarget {
            spec_replicas: fleet.deployment.spec_replicas(),
            ready_pods: fleet.deployment.ready_replicas(),
        };
        let proxies = &mut self.queue_proxies;
        self.kpa.advance(now, target, &mut || {
            let report = |(&pod, stats): (&u32, &mut RequestStats)| PodReport {
                started: fleet.slot(pod).pod.scheduled.unwrap_or(SimTime::ZERO),
                stat: stats.report(now),
            };
            proxies.iter_mut().map(report).collect()
        })
    }

    /// A request is sent; true where the autoscaler must look at once.
    fn request_sent(&mut self, request: u64, reachable: bool, now: SimTime) -> bool {
        let route = if reachable { self.kpa.route(now) } else { Route::Activator };
        self.ways.insert(request, Way { route, pod: None });
        route == Route::Activator && self.kpa.activator_in(now)
    }

    fn request_routed(&mut self, request: u64, pod: u32, now: SimTime) {
        let Some(way) = self.ways.get_mut(&request) else { return };
        way.pod = Some(pod);
        if let Some(proxy) = self.queue_proxies.get_mut(&pod) {
            proxy.request_in(now, way.route);
        }
    }

    fn request_ended(&mut self, request: u64, now: SimTime) {
        let Some(way) = self.ways.remove(&request) else { return };
        if way.route == Route::Activator {
            self.kpa.activator_out(now);
        }
        if let Some(proxy) = way.pod.and_then(|pod| self.queue_proxies.get_mut(&pod)) {
            proxy.request_out(now, way.route);
        }
    }
}

impl World<'_> {
    /// Schedules the first look.
    pub(super) fn start_knative(&mut self) {
        self.follow_knative();
    }

    /// One of the autoscaler's loops is due, or something happened that it looks at.
    pub(in crate::simulation) fn knative_look(&mut self) {
        let ControlLoops::Knative(knative) = &mut self.control else { return };
        if knative.followed.is_some_and(|followed| followed <= self.now) {
            knative.followed = None;
        }
        let decision = knative.advance(&self.fleet, self.now);
        self.follow_knative();
        let Some(decision) = decision else { return };
        let before = decision.target.spec_replicas;
        let after = decision.replicas.unwrap_or(before);
        record_decision(self.recorder, self.now, Controller::Knative, (before, after), &decision);
        self.scale_to(after, Controller::Knative);
    }

    /// A client sends a request.
    pub(in crate::simulation) fn knative_sent(&mut self, request: u64) {
        let reachable = self.ingress.router.has_endpoint();
        if let ControlLoops::Knative(knative) = &mut self.control
            && knative.request_sent(request, reachable, self.now)
        {
            self.queue.push(self.now, Event::KnativeLook);
        }
    }

    /// A request goes to a pod.
    pub(in crate::simulation) fn knative_routed(&mut self, request: u64, pod: u32) {
        if let ControlLoops::Knative(knative) = &mut self.control {
            knative.request_routed(request, pod, self.now);
        }
    }

    /// A request is done, whatever its fate.
    pub(in crate::simulation) fn knative_ended(&mut self, request: u64) {
        if let ControlLoops::Knative(knative) = &mut self.control {
            knative.request_ended(request, self.now);
        }
    }

    /// A pod has become ready, or ceased to be.
    pub(in crate::simulation) fn knative_pod(&mut self, pod: u32, ready: bool) {
        let ControlLoops::Knative(knative) = &mut self.control else { return };
        if ready {
            knative.queue_proxies.insert(pod, RequestStats::new(self.now));
        } else {
            knative.queue_proxies.remove(&pod);
        }
        self.queue.push(self.now, Event::KnativeLook);
    }

    fn follow_knative(&mut self) {
        let ControlLoops::Knative(knative) = &mut self.control else { return };
        let due = knative.kpa.due().max(self.now);
        if knative.followed.is_none_or(|followed| due < followed) {
            knative.followed = Some(due);
            self.queue.push(due, Event::KnativeLook);
        }
    }
}
