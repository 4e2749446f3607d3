//! The life of a pod, from its creation to its container's exit.
//!
//! ```text
//!   Pending ──node──► Starting ──/health──► Serving ──probe──► Ready
//!      │                 │                     │                 │
//!      └──────────────── deletion ─────────────┴─────────────────┤
//!                                                                ▼
//!                Exited ◄── drained, shutdown timeout, SIGKILL ── Terminating (preStop, then SIGTERM)
//! ```
//!
//! vLLM opens its HTTP socket only when the engine is ready, so a pod that starts refuses connections. A Terminating pod
//! keeps its GPUs until its container exits, and keeps serving until SIGTERM.

use super::nodes::NodeId;
use super::performance::StartupPlan;
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::{SimDuration, SimTime};
use serde::Deserialize;

/// `[serving.pod]`: how a pod ends, and how the service learns of its beginning and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PodSpec {
    /// `terminationGracePeriodSeconds`: SIGKILL this long after deletion; Kubernetes' 30 s when left out.
    pub termination_grace_period: Seconds,
    /// Sleep of the preStop hook before SIGTERM, within the grace period; none when left out, as in Kubernetes.
    pub pre_stop: Seconds,
    /// vLLM's `--shutdown-timeout`: how long in-flight requests may go on after SIGTERM. vLLM's 0 when left out: they are
    /// cut off.
    pub shutdown_timeout: Seconds,
    /// From a pod's readiness or deletion until the router acts on it (EndpointSlice propagation); 1 s when left out
    /// (assumed: 0.1 to 2 s are typical).
    pub endpoint_delay: Seconds,
}

impl Default for PodSpec {
    fn default() -> Self {
        PodSpec {
            termination_grace_period: Seconds(SimDuration::from_secs(30)),
            pre_stop: Seconds(SimDuration::ZERO),
            shutdown_timeout: Seconds(SimDuration::ZERO),
            endpoint_delay: Seconds(SimDuration::from_secs(1)),
        }
    }
}

impl PodSpec {
    /// Refuses what cannot be, with keys relative to `serving.pod`.
    ///
    /// # Errors
    /// A preStop sleep that is longer than the grace period: SIGKILL would come before SIGTERM.
    pub fn check(&self) -> Result<(), Problem> {
        if self.pre_stop > self.termination_grace_period {
            let message =
                "the preStop sleep is longer than `termination_grace_period`, so SIGTERM would never come";
            return Err(Problem::key("pre_stop", message).help("raise `termination_grace_period` above it"));
        }
        Ok(())
    }
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for GPUs.
    Pending,
    /// On a node: image pull, weights, compilation. Connections are refused.
    Starting,
    /// The engine answers, the readiness probe has not seen it yet.
    Serving,
    /// Ready.
    Ready,
    /// Deleted; the preStop hook sleeps and the engine still answers (or never did, if it was starting).
    Stopping,
    /// After SIGTERM: no new requests; what runs may go on until the shutdown timeout.
    Draining,
    /// The container has exited, or never started.
    Exited,
}

/// What happened to a pod at a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The engine answers.
    EngineUp,
    /// The readiness probe succeeded.
    BecameReady,
    /// SIGTERM: no new requests. If the engine is idle, call [`Pod::exit`].
    Sigterm,
    /// Time is up: whatever still runs is cut off.
    Exited,
}

/// One pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Creation ordinal.
    pub ordinal: u32,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: decides ties between victims.
    pub uid: String,
    /// Creation.
    pub created: SimTime,
    /// The node, once assigned.
    pub node: Option<NodeId>,
    /// Assignment to the node: GPUs are held from here.
    pub scheduled: Option<SimTime>,
    /// First success of the readiness probe.
    pub ready: Option<SimTime>,
    /// Deletion requested.
    pub deleted: Option<SimTime>,
    /// Container exited.
    pub exited: Option<SimTime>,
    phase: Phase,
    /// The container runs from here on.
    running_at: SimTime,
    /// The engine answers from here on.
    serving_at: SimTime,
    ready_at: SimTime,
    sigterm_at: SimTime,
    exit_at: SimTime,
}

impl Pod {
    /// A new pod, Pending.
    pub fn new(ordinal: u32, name: String, uid: String, now: SimTime) -> Self {
        Pod {
            ordinal,
            name,
            uid,
            created: now,
            node: None,
            scheduled: None,
            ready: None,
            deleted: None,
            exited: None,
            phase: Phase::Pending,
            running_at: SimTime::NEVER,
            serving_at: SimTime::NEVER,
            ready_at: SimTime::NEVER,
            sigterm_at: SimTime::NEVER,
            exit_at: SimTime::NEVER,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Assigned to a node at `now`, where it starts as `plan` says.
    pub fn start(&mut self, now: SimTime, node: NodeId, plan: &StartupPlan) {
        debug_assert_eq!(self.phase, Phase::Pending);
        debug_assert!(plan.running_after <= plan.serving_after && plan.serving_after <= plan.ready_after);
        self.node = Some(node);
        self.scheduled = Some(now);
        self.running_at = now + plan.running_after;
        self.serving_at = now + plan.serving_after;
        self.ready_at = now + plan.ready_after;
        self.phase = Phase::Starting;
    }

    /// Whether `status.phase` is Running at `now`: its container has been started, its image pulled.
    pub fn is_running(&self, now: SimTime) -> bool {
        self.running_at <= now && self.phase != Phase::Exited
    }

    /// Whether its condition Ready is true. Readiness probes go on while a pod terminates, so it stays Ready as long as
    /// it answers (Kubernetes `pkg/kubelet/prober/worker.go`, which stops only liveness and startup probes at deletion).
    pub fn is_ready(&self) -> bool {
        self.ready.is_some() && self.answers()
    }

    /// Deletion is requested at `now`. A pod without a container is gone at once: `true`.
    pub fn delete(&mut self, now: SimTime, spec: &PodSpec) -> bool {
        debug_assert!(self.deleted.is_none());
        self.deleted = Some(now);
        if self.phase == Phase::Pending {
            self.exit(now);
            return true;
        }
        let killed_at = now + spec.termination_grace_period.duration();
        // A container that has not started has no hook to run.
        let pre_stop = if self.is_running(now) { spec.pre_stop.duration() } else { SimDuration::ZERO };
        self.sigterm_at = now + pre_stop;
        // A process without a serving engine has nothing to drain and ends at SIGTERM.
        let drain = if self.serves() { spec.shutdown_timeout.duration() } else { SimDuration::ZERO };
        self.exit_at = self.sigterm_at.checked_add(drain).map_or(killed_at, |drained| drained.min(killed_at));
        self.phase = Phase::Stopping;
        false
    }

    /// The container exits at `now`: drained, or its time is up.
    pub fn exit(&mut self, now: SimTime) {
        self.phase = Phase::Exited;
        self.exited = Some(now);
    }

    /// Whether the API answers: requests, `/metrics`, `/health`.
    pub fn answers(&self) -> bool {
        match self.phase {
            Phase::Serving | Phase::Ready => true,
            Phase::Stopping | Phase::Draining => self.has_served(),
            Phase::Pending | Phase::Starting | Phase::Exited => false,
        }
    }

    /// Whether the API takes new requests: not after SIGTERM.
    pub fn accepts(&self) -> bool {
        self.answers() && self.phase != Phase::Draining
    }

    /// When the next transition is due.
    pub fn next_transition(&self) -> Option<SimTime> {
        let at = match self.phase {
            Phase::Starting => self.serving_at,
            Phase::Serving => self.ready_at,
            Phase::Stopping => self.sigterm_at,
            Phase::Draining => self.exit_at,
            Phase::Pending | Phase::Ready | Phase::Exited => return None,
        };
        Some(at)
    }

    /// The transition that is due at `now`, if one is. Call until `None`: several may fall on one instant.
    pub fn advance(&mut self, now: SimTime) -> Option<Transition> {
        if self.next_transition()? > now {
            return None;
        }
        Some(match self.phase {
            Phase::Starting => {
                self.phase = Phase::Serving;
                Transition::EngineUp
            }
            Phase::Serving => {
                self.phase = Phase::Ready;
                self.ready = Some(now);
                Transition::BecameReady
            }
            Phase::Stopping => {
                self.phase = Phase::Draining;
                Transition::Sigterm
            }
            Phase::Draining => {
                self.exit(now);
                Transition::Exited
            }
            Phase::Pending | Phase::Ready | Phase::Exited => return None,
        })
    }

    fn serves(&self) -> bool {
        matches!(self.phase, Phase::Serving | Phase::Ready)
    }

    /// Of a pod that is being deleted: whether its engine had come up before.
    fn has_served(&self) -> bool {
        self.deleted.is_some_and(|deleted| self.serving_at <= deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(s)
    }
    fn seconds(s: u64) -> Seconds {
        Seconds(SimDuration::from_secs(s))
    }
    fn started() -> Pod {
        let mut pod = Pod::new(0, "p".into(), "u".into(), at(0));
        let after = SimDuration::from_secs;
        let plan = StartupPlan {
            running_after: after(5),
            serving_after: after(90),
            ready_after: after(95),
            phases: vec![],
        };
        pod.start(at(10), 0, &plan);
        pod
    }

    #[test]
    fn its_container_runs_once_its_image_is_there() {
        let mut pod = Pod::new(0, "p".into(), "u".into(), at(0));
        assert!(!pod.is_running(at(9)));
        pod = started();
        assert_eq!((pod.is_running(at(14)), pod.is_running(at(15))), (false, true));
        pod.exit(at(20));
        assert!(!pod.is_running(at(20)));
    }

    #[test]
    fn a_terminating_pod_stays_ready_while_it_answers() {
        let mut pod = started();
        pod.advance(at(100));
        assert!(!pod.is_ready());
        pod.advance(at(105));
        assert!(pod.is_ready());
        pod.delete(at(200), &PodSpec { pre_stop: seconds(15), ..PodSpec::default() });
        assert!(pod.is_ready());
        pod.advance(at(215));
        pod.advance(at(215));
        assert!(!pod.is_ready());
    }

    #[test]
    fn it_answers_before_it_is_ready() {
        let mut pod = started();
        assert_eq!((pod.next_transition(), pod.answers()), (Some(at(100)), false));
        assert_eq!(pod.advance(at(100)), Some(Transition::EngineUp));
        assert!(pod.answers() && pod.accepts() && pod.ready.is_none());
        assert_eq!((pod.advance(at(100)), pod.advance(at(105))), (None, Some(Transition::BecameReady)));
        assert_eq!((pod.ready, pod.next_transition()), (Some(at(105)), None));
    }

    #[test]
    fn a_terminating_pod_serves_through_pre_stop_drains_and_is_killed_at_the_grace_period() {
        let spec = PodSpec {
            pre_stop: seconds(15),
            shutdown_timeout: seconds(60),
            termination_grace_period: seconds(30),
            ..PodSpec::default()
        };
        let mut pod = started();
        pod.advance(at(100));
        pod.advance(at(105));
        assert!(!pod.delete(at(200), &spec));
        assert!(pod.accepts());
        assert_eq!(pod.advance(at(215)), Some(Transition::Sigterm));
        assert!(pod.answers() && !pod.accepts());
        assert_eq!(pod.next_transition(), Some(at(230)), "SIGKILL comes before the shutdown timeout ends");
        assert_eq!(pod.advance(at(230)), Some(Transition::Exited));
        assert_eq!((pod.exited, pod.phase()), (Some(at(230)), Phase::Exited));
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let longest = Seconds(SimDuration::from_ps(SimTime::HORIZON.as_ps()));
        let spec = PodSpec {
            termination_grace_period: longest,
            pre_stop: longest,
            shutdown_timeout: longest,
            endpoint_delay: longest,
        };
        let mut pod = started();
        pod.advance(at(100));
        pod.delete(SimTime::HORIZON, &spec);
        assert_eq!(pod.next_transition(), SimTime::HORIZON.checked_add(longest.duration()));
    }

    #[test]
    fn by_default_sigterm_cuts_off_what_runs() {
        let mut pod = started();
        pod.advance(at(100));
        pod.delete(at(101), &PodSpec::default());
        assert_eq!(pod.advance(at(101)), Some(Transition::Sigterm));
        assert_eq!(pod.advance(at(101)), Some(Transition::Exited));
    }

    #[test]
    fn a_pod_that_has_not_come_up_never_answers() {
        let mut pending = Pod::new(0, "p".into(), "u".into(), at(0));
        assert!(pending.delete(at(3), &PodSpec::default()));
        assert_eq!(pending.exited, Some(at(3)));
        let mut starting = started();
        let spec = PodSpec { pre_stop: seconds(25), ..PodSpec::default() };
        assert!(!starting.delete(at(90), &spec));
        assert!(!starting.answers());
        assert_eq!(starting.next_transition(), Some(at(115)));
        starting.advance(at(115));
        assert!(!starting.answers());
        assert_eq!(starting.advance(at(115)), Some(Transition::Exited));
        let mut pulling = started();
        assert!(!pulling.delete(at(12), &spec));
        assert_eq!(pulling.next_transition(), Some(at(12)));
    }

    #[test]
    fn pre_stop_must_fit_into_the_grace_period() {
        let spec = PodSpec { pre_stop: seconds(31), ..PodSpec::default() };
        assert!(spec.check().expect_err("too long").to_string().contains("pre_stop"));
    }
}
