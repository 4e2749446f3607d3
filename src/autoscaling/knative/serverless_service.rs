//! The ServerlessService (SKS) of a revision: whether requests go through the activator
//! (`pkg/reconciler/serverlessservice/serverlessservice.go`).

use super::stat::Route;
use super::wall_time::WallTime;
use crate::units::{Replicas, SimDuration, SimTime};
use serde::Serialize;
use std::collections::VecDeque;

/// `spec.mode` of a ServerlessService.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum OperationMode {
    /// Requests go to the pods, if there is one that is ready.
    Serve,
    /// Requests go through the activator.
    Proxy,
}

/// The mode, the condition that follows it, and the way of requests, which follows later.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServerlessService {
    mode: OperationMode,
    /// Since when the condition `ActivatorEndpointsPopulated` is true.
    populated_since: Option<WallTime>,
    /// From endpoints to the ingress that obeys them.
    programming_delay: SimDuration,
    /// When the way changes and to which; the first entry is in force.
    routes: VecDeque<(SimTime, Route)>,
}

impl ServerlessService {
    /// In proxy mode since `since`, with an ingress that obeys already.
    pub(super) fn proxying(since: WallTime, programming_delay: SimDuration) -> Self {
        ServerlessService {
            mode: OperationMode::Proxy,
            populated_since: Some(since.whole_second()),
            programming_delay,
            routes: VecDeque::from([(SimTime::ZERO, Route::Activator)]),
        }
    }

    /// `spec.mode`.
    pub(super) fn mode(&self) -> OperationMode {
        self.mode
    }

    /// Sets the mode and lets condition and way of requests follow: without a ready pod the activator stands in for it.
    /// True where mode or condition changed.
    pub(super) fn reconcile(
        &mut self,
        mode: OperationMode,
        ready: Replicas,
        now: SimTime,
        wall: WallTime,
    ) -> bool {
        let populated = mode == OperationMode::Proxy || ready == Replicas::ZERO;
        let changed = mode != self.mode || populated != self.populated_since.is_some();
        self.mode = mode;
        if populated != self.populated_since.is_some() {
            self.populated_since = populated.then(|| wall.whole_second());
            while self.routes.get(1).is_some_and(|&(at, _)| at <= now) {
                self.routes.pop_front();
            }
            let route = if populated { Route::Activator } else { Route::Direct };
            self.routes.push_back((now + self.programming_delay, route));
        }
        changed
    }

    /// How long the condition has been true (`ProxyFor`); zero while it is not.
    pub(super) fn proxy_for(&self, wall: WallTime) -> SimDuration {
        self.populated_since.map_or(SimDuration::ZERO, |since| wall.since(since))
    }

    /// The way of a request that the ingress takes in at `now`.
    pub(super) fn route(&self, now: SimTime) -> Route {
        let in_force = self.routes.iter().rev().find(|&&(at, _)| at <= now);
        in_force.or(self.routes.front()).map_or(Route::Activator, |&(_, route)| route)
    }

    /// When a probe that begins at `now` and is repeated every `period` first reaches the activator, if no other change
    /// comes.
    pub(super) fn probe_success(&self, now: SimTime, period: SimDuration) -> Option<SimTime> {
        if self.route(now) == Route::Activator {
            return Some(now);
        }
        let &(at, last) = self.routes.back()?;
        let periods = at.since(now).as_ps().div_ceil(period.as_ps());
        (last == Route::Activator).then(|| now + SimDuration::from_ps(periods * period.as_ps()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;

    fn at(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    fn wall(ms: u64) -> WallTime {
        WallTime::of(UnixMillis(0), at(ms))
    }

    #[test]
    fn the_way_follows_the_mode_after_a_delay_and_the_activator_stands_in_for_missing_pods() {
        let delay = SimDuration::from_millis(1500);
        let mut sks = ServerlessService::proxying(WallTime::LONG_AGO, delay);
        assert_eq!((sks.route(at(0)), sks.proxy_for(wall(0))), (Route::Activator, SimDuration::MAX));
        assert!(sks.reconcile(OperationMode::Serve, Replicas(1), at(1000), wall(1000)));
        assert!(!sks.reconcile(OperationMode::Serve, Replicas(2), at(1100), wall(1100)));
        assert_eq!((sks.route(at(2499)), sks.route(at(2500))), (Route::Activator, Route::Direct));
        assert_eq!(sks.proxy_for(wall(9000)), SimDuration::ZERO);
        assert!(sks.reconcile(OperationMode::Serve, Replicas(0), at(5200), wall(5200)));
        assert_eq!(sks.mode(), OperationMode::Serve);
        assert_eq!((sks.route(at(6699)), sks.route(at(6700))), (Route::Direct, Route::Activator));
        assert_eq!(sks.proxy_for(wall(6700)), SimDuration::from_millis(1700));
        // A change of the mode alone is one, but leaves the condition.
        assert!(sks.reconcile(OperationMode::Proxy, Replicas(0), at(7000), wall(7000)));
        assert_eq!(sks.proxy_for(wall(8000)), SimDuration::from_secs(3));
    }

    #[test]
    fn a_probe_reaches_the_activator_when_the_way_leads_there() {
        let mut sks = ServerlessService::proxying(WallTime::LONG_AGO, SimDuration::from_millis(1500));
        let period = SimDuration::from_secs(1);
        assert_eq!(sks.probe_success(at(0), period), Some(at(0)));
        sks.reconcile(OperationMode::Serve, Replicas(1), at(0), wall(0));
        assert_eq!(sks.probe_success(at(2000), period), None);
        sks.reconcile(OperationMode::Proxy, Replicas(1), at(2000), wall(2000));
        assert_eq!(sks.probe_success(at(2000), period), Some(at(4000)));
        assert_eq!(sks.probe_success(at(3500), period), Some(at(3500)));
    }
}
