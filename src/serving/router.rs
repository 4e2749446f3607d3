//! The router: which ready pod serves a request.

use crate::random::Stream;
use serde::Deserialize;
use std::collections::BTreeSet;

/// `[serving.router]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterSpec {
    /// How a pod is chosen; `round_robin` when left out.
    #[serde(default)]
    pub policy: RoutingPolicy,
}

/// How the router chooses among the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingPolicy {
    /// One after the other, as IPVS `rr` and most gateways do.
    #[default]
    RoundRobin,
    /// Uniformly at random, as kube-proxy's iptables mode does for each connection.
    Random,
    /// The pod with the fewest requests in flight; among equals the one that was chosen longest ago.
    LeastRequests,
}

/// Endpoints of the service and what the router knows of them. Choosing is O(1), or O(log n) for `least_requests`.
#[derive(Clone, Debug)]
pub struct Router {
    policy: RoutingPolicy,
    /// Endpoints by pod ordinal, ascending.
    endpoints: Vec<u32>,
    /// Round robin: position of the next choice.
    cursor: usize,
    /// Least requests: (in flight, time of last choice as a count, pod).
    by_load: BTreeSet<(u32, u64, u32)>,
    /// By pod ordinal.
    load: Vec<Load>,
    choices: u64,
    stream: Stream,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    in_flight: u32,
    chosen: u64,
    endpoint: bool,
}

impl Router {
    /// No endpoint yet; `stream` serves the random policy.
    pub fn new(spec: RouterSpec, stream: Stream) -> Self {
        Router {
            policy: spec.policy,
            endpoints: Vec::new(),
            cursor: 0,
            by_load: BTreeSet::new(),
            load: Vec::new(),
            choices: 0,
            stream,
        }
    }

    /// The pod becomes an endpoint. Adding one twice changes nothing.
    pub fn add(&mut self, pod: u32) {
        if let Err(position) = self.endpoints.binary_search(&pod) {
            self.endpoints.insert(position, pod);
            if position < self.cursor {
                self.cursor += 1;
            }
            let load = self.entry(pod);
            load.endpoint = true;
            let key = (load.in_flight, load.chosen, pod);
            if self.policy == RoutingPolicy::LeastRequests {
                self.by_load.insert(key);
            }
        }
    }

    /// The pod is no endpoint any more; what it has in flight goes on.
    pub fn remove(&mut self, pod: u32) {
        if let Ok(position) = self.endpoints.binary_search(&pod) {
            self.endpoints.remove(position);
            if position < self.cursor {
                self.cursor -= 1;
            }
            let load = self.entry(pod);
            load.endpoint = false;
            let key = (load.in_flight, load.chosen, pod);
            self.by_load.remove(&key);
        }
    }

    /// The pods that can be chosen, in order of their creation.
    pub fn endpoints(&self) -> &[u32] {
        &self.endpoints
    }

    /// Whether any pod can be chosen.
    pub fn has_endpoint(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Chooses a pod for one request, which counts as in flight until [`Router::done`]; `None` without endpoints.
    pub fn choose(&mut self) -> Option<u32> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let pod = match self.policy {
            RoutingPolicy::RoundRobin => {
                let position = self.cursor % count;
                self.cursor = position + 1;
                self.endpoints[position]
            }
            RoutingPolicy::Random => self.endpoints[self.stream.below(count as u64) as usize],
            RoutingPolicy::LeastRequests => self.by_load.first()?.2,
        };
        self.choices += 1;
        let chosen = self.choices;
        self.change(pod, |load| {
            load.in_flight += 1;
            load.chosen = chosen;
        });
        Some(pod)
    }

    /// A request of the pod is no longer in flight.
    pub fn done(&mut self, pod: u32) {
        self.change(pod, |load| load.in_flight -= 1);
    }

    /// Requests in flight at all pods, those that are no endpoints any more among them. O(pods).
    pub fn in_flight_total(&self) -> u64 {
        self.load.iter().map(|load| u64::from(load.in_flight)).sum()
    }

    /// Requests in flight at the pod.
    pub fn in_flight(&self, pod: u32) -> u32 {
        self.load.get(pod as usize).map_or(0, |load| load.in_flight)
    }

    fn entry(&mut self, pod: u32) -> &mut Load {
        let index = pod as usize;
        if index >= self.load.len() {
            self.load.resize(index + 1, Load::default());
        }
        &mut self.load[index]
    }

    fn change(&mut self, pod: u32, edit: impl FnOnce(&mut Load)) {
        let load = self.entry(pod);
        let before = (load.in_flight, load.chosen, pod);
        edit(load);
        let after = (load.in_flight, load.chosen, pod);
        // Only one policy reads the order; the others should not pay for it.
        if load.endpoint && self.policy == RoutingPolicy::LeastRequests {
            self.by_load.remove(&before);
            self.by_load.insert(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn router(policy: RoutingPolicy, pods: &[u32]) -> Router {
        let mut router = Router::new(RouterSpec { policy }, Streams::new(1).stream("router"));
        pods.iter().for_each(|&pod| router.add(pod));
        router
    }

    #[test]
    fn round_robin_goes_on_where_it_was_when_endpoints_come_and_go() {
        let mut router = router(RoutingPolicy::RoundRobin, &[1, 2, 3]);
        assert_eq!(router.choose(), Some(1));
        assert_eq!(router.choose(), Some(2));
        router.remove(1);
        assert_eq!(router.choose(), Some(3));
        assert_eq!(router.choose(), Some(2));
        router.add(0);
        assert_eq!(router.choose(), Some(3));
        assert_eq!(router.choose(), Some(0));
    }

    #[test]
    fn least_requests_spreads_and_prefers_who_was_chosen_longest_ago() {
        let mut router = router(RoutingPolicy::LeastRequests, &[4, 7]);
        assert_eq!((router.choose(), router.choose(), router.choose()), (Some(4), Some(7), Some(4)));
        router.done(4);
        router.done(4);
        assert_eq!(router.choose(), Some(4));
        assert_eq!((router.in_flight(4), router.in_flight(7), router.in_flight_total()), (1, 1, 2));
        assert_eq!(router.choose(), Some(7));
        router.remove(4);
        assert_eq!(router.choose(), Some(7));
        router.done(4); // a request of a pod that is no endpoint any more
        assert_eq!(router.in_flight(4), 0);
        router.add(4);
        assert_eq!(router.choose(), Some(4));
    }

    #[test]
    fn random_reaches_every_endpoint_and_nobody_else() {
        let mut router = router(RoutingPolicy::Random, &[2, 5, 6]);
        for _ in 0..300 {
            router.choose();
        }
        assert!([2, 5, 6].iter().all(|&pod| router.in_flight(pod) > 50));
        assert_eq!(router.in_flight(3), 0);
    }

    #[test]
    fn nobody_to_choose() {
        let mut router = router(RoutingPolicy::RoundRobin, &[]);
        assert!(!router.has_endpoint());
        assert_eq!(router.choose(), None);
    }
}
