//! What happens to a request while no pod can serve it: it is refused, or held until one can.

use super::flow_control::{FlowControl, FlowControlSpec};
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::{SimDuration, SimTime};
use rustc_hash::FxHashSet;
use serde::Deserialize;
use std::collections::VecDeque;

/// `[serving.gateway]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySpec {
    /// While no pod is ready; `refuse` when left out. Under flow control requests are held.
    pub when_none_ready: WhenNoneReady,
    /// Requests are held while the pool is saturated, too; they are not when left out.
    pub flow_control: Option<FlowControlSpec>,
    /// Requests held at most; more are refused. 1,000 when left out (assumed: no gateway documents a common bound).
    pub held_max: u32,
    /// A request that was held this long is refused; 60 s when left out (the KEDA HTTP add-on's order of magnitude).
    pub hold_timeout: Seconds,
}

impl Default for GatewaySpec {
    fn default() -> Self {
        GatewaySpec {
            when_none_ready: WhenNoneReady::default(),
            flow_control: None,
            held_max: 1_000,
            hold_timeout: Seconds(SimDuration::from_secs(60)),
        }
    }
}

impl GatewaySpec {
    /// Refuses what cannot be, with keys relative to `serving.gateway`.
    ///
    /// # Errors
    /// As [`FlowControlSpec::check`].
    pub fn check(&self) -> Result<(), Problem> {
        self.flow_control
            .map_or(Ok(()), |control| control.check().map_err(|problem| problem.under("flow_control")))
    }
}

/// What a gateway does while it has no endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenNoneReady {
    /// HTTP 503 at once, as a Service or an ordinary gateway without endpoints answers.
    #[default]
    Refuse,
    /// The request waits for an endpoint, as in the KEDA HTTP add-on's interceptor or Knative's activator.
    Hold,
}

/// What the gateway did with a request that no pod could take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits, at most until this instant.
    Held(SimTime),
    /// HTTP 503.
    Refused,
}

/// Requests that wait for an endpoint, in order of arrival.
#[derive(Clone, Debug)]
pub struct Gateway {
    spec: GatewaySpec,
    /// Where the spec has it.
    pub flow_control: Option<FlowControl>,
    /// In order of arrival; some may have left since, but never the first.
    queue: VecDeque<u64>,
    held: FxHashSet<u64>,
}

impl Gateway {
    /// Holds nothing yet.
    pub fn new(spec: GatewaySpec) -> Self {
        let flow_control = spec.flow_control.map(FlowControl::new);
        Gateway { spec, flow_control, queue: VecDeque::new(), held: FxHashSet::default() }
    }

    /// Whether a request goes to a pod as soon as there is one: not past others that wait, nor while the pool is saturated.
    pub fn is_open(&self) -> bool {
        self.flow_control.is_none_or(|control| control.dispatches() && self.held.is_empty())
    }

    /// A request came at `now` that cannot go to a pod.
    pub fn offer(&mut self, now: SimTime, request: u64) -> Admission {
        let full = self.held.len() >= self.spec.held_max as usize;
        let refuses = self.flow_control.is_none() && self.spec.when_none_ready == WhenNoneReady::Refuse;
        if full || refuses {
            return Admission::Refused;
        }
        self.queue.push_back(request);
        self.held.insert(request);
        Admission::Held(now + self.spec.hold_timeout.duration())
    }

    /// The request that waited longest, now that there is an endpoint.
    pub fn release(&mut self) -> Option<u64> {
        let request = *self.queue.front()?;
        self.withdraw(request);
        Some(request)
    }

    /// The request waits no longer: its client gave up, or it was held too long. False if it was not held. O(1) in the
    /// long run.
    pub fn withdraw(&mut self, request: u64) -> bool {
        let held = self.held.remove(&request);
        while self.queue.front().is_some_and(|first| !self.held.contains(first)) {
            self.queue.pop_front();
        }
        held
    }

    /// How long a request is held at most.
    pub fn hold_timeout(&self) -> SimDuration {
        self.spec.hold_timeout.duration()
    }

    /// How many wait.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_in_order_up_to_its_bound_and_lets_go_of_who_leaves() {
        let spec =
            GatewaySpec { when_none_ready: WhenNoneReady::Hold, held_max: 2, ..GatewaySpec::default() };
        let mut gateway = Gateway::new(spec);
        let now = SimTime::ZERO + SimDuration::from_secs(5);
        assert_eq!(gateway.offer(now, 1), Admission::Held(SimTime::ZERO + SimDuration::from_secs(65)));
        assert!(matches!(gateway.offer(now, 2), Admission::Held(_)));
        assert_eq!(gateway.offer(now, 3), Admission::Refused);
        assert!(gateway.withdraw(1));
        assert!(!gateway.withdraw(1));
        assert_eq!((gateway.release(), gateway.release()), (Some(2), None));
        for request in 4..6 {
            assert!(matches!(gateway.offer(now, request), Admission::Held(_)));
        }
        assert!(gateway.withdraw(5));
        assert_eq!(gateway.held(), 1);
        assert!(matches!(gateway.offer(now, 6), Admission::Held(_)), "who left makes room");
        assert_eq!((gateway.release(), gateway.release(), gateway.release()), (Some(4), Some(6), None));
        assert!(!gateway.withdraw(6));
    }

    #[test]
    fn an_ordinary_gateway_refuses() {
        assert_eq!(Gateway::new(GatewaySpec::default()).offer(SimTime::ZERO, 1), Admission::Refused);
    }
}
