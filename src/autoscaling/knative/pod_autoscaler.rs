//! The status of a PodAutoscaler (`pkg/apis/autoscaling/v1alpha1/pa_lifecycle.go`, `computeActiveCondition` of
//! `pkg/reconciler/autoscaling/kpa/kpa.go`).

use super::wall_time::WallTime;
use crate::units::{Replicas, SimDuration};
use serde::{Serialize, Serializer};
use std::fmt;

/// Condition `Active` of a PodAutoscaler; printed `False/NoTraffic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveCondition {
    /// `True`: as many pods as wanted at least are ready.
    Active,
    /// `Unknown`, `Queued`: pods are wanted, and requests wait for them.
    Activating,
    /// `False`, `NoTraffic`: no pod is wanted.
    NoTraffic,
    /// `False`, `TimedOut`: the pods that were wanted did not become ready in time.
    TimedOut,
}

impl ActiveCondition {
    /// Whether its status is `False`.
    pub fn is_inactive(self) -> bool {
        matches!(self, ActiveCondition::NoTraffic | ActiveCondition::TimedOut)
    }
}

impl fmt::Display for ActiveCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ActiveCondition::Active => "True",
            ActiveCondition::Activating => "Unknown/Queued",
            ActiveCondition::NoTraffic => "False/NoTraffic",
            ActiveCondition::TimedOut => "False/TimedOut",
        })
    }
}

impl Serialize for ActiveCondition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the status remembers from one reconcile to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PodAutoscaler {
    active: ActiveCondition,
    /// `lastTransitionTime` of the condition.
    since: WallTime,
    /// Condition `ScaleTargetInitialized`: the revision once had as many ready pods as it was to start with.
    initialized: bool,
}

impl PodAutoscaler {
    /// A revision that has served before, and has long been as it is.
    pub(super) fn settled(active: ActiveCondition) -> Self {
        PodAutoscaler { active, since: WallTime::LONG_AGO, initialized: true }
    }

    /// A revision that has served before and has `ready` pods: what it has long been, unless it has too few.
    pub(super) fn restarted(ready: Replicas, min_scale: Replicas, now: WallTime) -> Self {
        if ready >= min_scale.max(Replicas(1)) {
            PodAutoscaler::settled(ActiveCondition::Active)
        } else if min_scale == Replicas::ZERO {
            PodAutoscaler::settled(ActiveCondition::NoTraffic)
        } else {
            PodAutoscaler { initialized: true, ..PodAutoscaler::new(now) }
        }
    }

    /// A new revision, of which no pod has been ready yet.
    pub(super) fn new(now: WallTime) -> Self {
        PodAutoscaler { active: ActiveCondition::Activating, since: now.whole_second(), initialized: false }
    }

    /// Condition `Active`.
    pub(super) fn active(&self) -> ActiveCondition {
        self.active
    }

    /// How long the condition has been what it is (`ActiveFor`, `InactiveFor`).
    pub(super) fn in_status_for(&self, now: WallTime) -> SimDuration {
        now.since(self.since)
    }

    /// Whether the revision ever had its initial scale.
    pub(super) fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// How many pods must be ready for the revision to be active (`activeThreshold`).
    fn active_threshold(&self, min_scale: Replicas, initial_scale: Replicas) -> Replicas {
        min_scale.max(if self.initialized { Replicas(1) } else { initial_scale })
    }

    /// Sets the condition after a reconcile that wants `want` pods (`None`: not known) and found `ready` ones.
    pub(super) fn compute_active_condition(
        &mut self,
        want: Option<Replicas>,
        ready: Replicas,
        min_scale: Replicas,
        initial_scale: Replicas,
        now: WallTime,
    ) {
        let min_ready = self.active_threshold(min_scale, initial_scale);
        self.initialized |= ready >= min_ready;
        let wanted = want.is_some_and(|want| want > Replicas::ZERO);
        if want == Some(Replicas::ZERO) || min_ready == Replicas::ZERO {
            // From activating straight to zero: only because the deadline is over.
            let timed_out = self.active == ActiveCondition::Activating && min_ready > Replicas::ZERO;
            self.mark(if timed_out { ActiveCondition::TimedOut } else { ActiveCondition::NoTraffic }, now);
        } else if !wanted && self.active.is_inactive() {
            // Nothing is known, as after a restart at zero.
            if ready < min_ready {
                self.mark(ActiveCondition::NoTraffic, now);
            }
        } else if ready < min_ready {
            self.mark(ActiveCondition::Activating, now);
        } else {
            self.mark(ActiveCondition::Active, now);
        }
    }

    /// A change of the reason alone is a transition too (`SetCondition` of `knative.dev/pkg/apis`).
    fn mark(&mut self, active: ActiveCondition, now: WallTime) {
        if active != self.active {
            self.active = active;
            self.since = now.whole_second();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{SimTime, UnixMillis};

    /// The condition after a reconcile of a revision that is initialised and has min-scale 2.
    fn after(active: ActiveCondition, want: i32, ready: i32) -> ActiveCondition {
        let mut pa = PodAutoscaler::settled(active);
        let want = (want >= 0).then_some(Replicas(want));
        let now = WallTime::of(UnixMillis(0), SimTime::ZERO);
        pa.compute_active_condition(want, Replicas(ready), Replicas(2), Replicas(1), now);
        pa.active()
    }

    #[test]
    fn the_condition_follows_upstreams_table() {
        use ActiveCondition::{Activating, Active, NoTraffic, TimedOut};
        for (before, want, ready, expected) in [
            (Active, 0, 2, NoTraffic),
            (Active, 0, 0, NoTraffic),
            (NoTraffic, 0, 2, NoTraffic),
            (Activating, 0, 1, TimedOut),
            (TimedOut, 0, 0, NoTraffic),
            (Active, 3, 1, Activating),
            (NoTraffic, 3, 1, Activating),
            (Activating, 3, 2, Active),
            (NoTraffic, 3, 2, Active),
            (NoTraffic, -1, 1, NoTraffic),
            (TimedOut, -1, 1, NoTraffic),
            (Activating, -1, 1, Activating),
            (Active, -1, 1, Activating),
            (NoTraffic, -1, 2, NoTraffic),
            (TimedOut, -1, 2, TimedOut),
            (Activating, -1, 2, Active),
            (Active, -1, 2, Active),
        ] {
            assert_eq!(after(before, want, ready), expected, "{before} {want} {ready}");
        }
    }

    #[test]
    fn a_new_revision_is_initialized_by_its_initial_scale() {
        let now = WallTime::of(UnixMillis(10_700), SimTime::ZERO);
        let mut pa = PodAutoscaler::new(now);
        assert_eq!(pa.in_status_for(now), SimDuration::from_millis(700));
        let reconcile = |pa: &mut PodAutoscaler, want, ready, initial| {
            pa.compute_active_condition(want, Replicas(ready), Replicas::ZERO, Replicas(initial), now);
            (pa.active(), pa.is_initialized())
        };
        assert_eq!(reconcile(&mut pa, None, 2, 3), (ActiveCondition::Activating, false));
        assert_eq!(reconcile(&mut pa, None, 3, 3), (ActiveCondition::Active, true));
        // Then one is enough.
        assert_eq!(reconcile(&mut pa, None, 1, 3), (ActiveCondition::Active, true));
        // An initial scale of zero is reached at once, and nothing is wanted.
        let mut pa = PodAutoscaler::new(now);
        assert_eq!(reconcile(&mut pa, None, 0, 0), (ActiveCondition::NoTraffic, true));
        assert_eq!(reconcile(&mut pa, None, 0, 0), (ActiveCondition::NoTraffic, true));
    }
}
