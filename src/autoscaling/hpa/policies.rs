//! Bounds and rate limits: the last cut of a stabilized recommendation (`horizontal.go`).

use super::behavior::{PolicyKind, ScalingPolicy, SelectPolicy};
use super::conditions::Reason;
use super::events::ScaleEvents;
use super::spec::{CompleteBehavior, CompleteRules, HpaSpec, seconds_of};
use crate::autoscaling::go;
use crate::units::{Replicas, SimTime};
use serde::Serialize;

/// How bounds and rate limits cut a recommendation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limited {
    /// What the scale rate allows: the most upwards, the fewest downwards; `None` where no rate was asked.
    pub rate_limit: Option<Replicas>,
    /// Which policy won, where `behavior` has one.
    pub select_policy: Option<SelectPolicy>,
    /// Each policy's own limit.
    pub policies: Vec<PolicyLimit>,
    /// The size after all cuts.
    pub replicas: Replicas,
    /// Which cut it was; [`Reason::DesiredWithinRange`] for none.
    #[serde(serialize_with = "by_name")]
    pub reason: Reason,
}

/// The limit of one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyLimit {
    /// The policy.
    #[serde(flatten)]
    pub policy: ScalingPolicy,
    /// The size at the start of its period, as the HPA's own events tell.
    pub period_start: Replicas,
    /// The size that it allows.
    pub limit: Replicas,
}

impl Limited {
    fn uncut(replicas: Replicas) -> Self {
        Limited {
            rate_limit: None,
            select_policy: None,
            policies: Vec::new(),
            replicas,
            reason: Reason::DesiredWithinRange,
        }
    }

    fn cut_above(mut self, rate_limit: Replicas, max: Replicas) -> Self {
        let (highest, reason) = if max > rate_limit {
            (rate_limit, Reason::ScaleUpLimit)
        } else {
            (max, Reason::TooManyReplicas)
        };
        self.rate_limit = Some(rate_limit);
        if self.replicas > highest {
            (self.replicas, self.reason) = (highest, reason);
        }
        self
    }
}

/// Without behavior (`convertDesiredReplicasWithRules`): at most double, but 4 at least, per sync.
pub(super) fn limit_without_behavior(spec: &HpaSpec, current: Replicas, stabilized: Replicas) -> Limited {
    let limited = Limited::uncut(stabilized);
    if stabilized < spec.min_replicas {
        return Limited { replicas: spec.min_replicas, reason: Reason::TooFewReplicas, ..limited };
    }
    let rate_limit = Replicas(go::int32((2.0 * f64::from(current.get())).max(4.0)));
    limited.cut_above(rate_limit, spec.max_replicas)
}

/// With behavior (`convertDesiredReplicasWithBehaviorRate`): only the bound in the direction of the change counts.
pub(super) fn limit_with_behavior(
    spec: &HpaSpec,
    behavior: &CompleteBehavior,
    events: &ScaleEvents,
    current: Replicas,
    stabilized: Replicas,
    now: SimTime,
) -> Limited {
    let mut limited = Limited::uncut(stabilized);
    if stabilized > current {
        let rules = &behavior.scale_up;
        limited.policies = policy_limits(rules, events, current, now, pods_up, percent_up);
        limited.select_policy = Some(rules.select_policy);
        // Not below the present size: an exhausted rate waits, it does not take back.
        let rate_limit = select(rules, &limited.policies, current, Replicas::max, Replicas::min).max(current);
        return limited.cut_above(rate_limit, spec.max_replicas);
    }
    if stabilized < current {
        let rules = &behavior.scale_down;
        limited.policies = policy_limits(rules, events, current, now, pods_down, percent_down);
        limited.select_policy = Some(rules.select_policy);
        let rate_limit = select(rules, &limited.policies, current, Replicas::min, Replicas::max).min(current);
        limited.rate_limit = Some(rate_limit);
        let (lowest, reason) = if spec.min_replicas < rate_limit {
            (rate_limit, Reason::ScaleDownLimit)
        } else {
            (spec.min_replicas, Reason::TooFewReplicas)
        };
        if stabilized < lowest {
            (limited.replicas, limited.reason) = (lowest, reason);
        }
    }
    limited
}

fn policy_limits(
    rules: &CompleteRules,
    events: &ScaleEvents,
    current: Replicas,
    now: SimTime,
    pods: fn(i32, i32) -> i32,
    percent: fn(i32, i32) -> i32,
) -> Vec<PolicyLimit> {
    let limit_of = |&policy: &ScalingPolicy| {
        let period_start = events.size_before(current, seconds_of(policy.period_seconds), now);
        let limit = match policy.kind {
            PolicyKind::Pods => pods,
            PolicyKind::Percent => percent,
        }(period_start.get(), policy.value);
        PolicyLimit { policy, period_start, limit: Replicas(limit) }
    };
    rules.policies.iter().map(limit_of).collect()
}

/// The limit that `selectPolicy` picks; `wider` picks the larger change, `narrower` the smaller.
fn select(
    rules: &CompleteRules,
    limits: &[PolicyLimit],
    current: Replicas,
    wider: fn(Replicas, Replicas) -> Replicas,
    narrower: fn(Replicas, Replicas) -> Replicas,
) -> Replicas {
    let pick = match rules.select_policy {
        SelectPolicy::Disabled => return current,
        SelectPolicy::Max => wider,
        SelectPolicy::Min => narrower,
    };
    limits.iter().map(|policy| policy.limit).reduce(pick).unwrap_or(current)
}

// Sums of `int32` wrap in Go, and floats are evaluated as written there: 10 * (1 - 90/100) is a little less than 1.
fn pods_up(start: i32, value: i32) -> i32 {
    start.wrapping_add(value)
}
fn pods_down(start: i32, value: i32) -> i32 {
    start.wrapping_sub(value)
}
fn percent_up(start: i32, value: i32) -> i32 {
    go::int32(libm::ceil(f64::from(start) * (1.0 + f64::from(value) / 100.0)))
}
fn percent_down(start: i32, value: i32) -> i32 {
    go::int32(f64::from(start) * (1.0 - f64::from(value) / 100.0))
}

fn by_name<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{reason:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::behavior::{Behavior, ScalingRules};
    use super::super::flags::ControllerManagerFlags;
    use super::*;

    fn hpa(min: i32, max: i32) -> HpaSpec {
        HpaSpec {
            min_replicas: Replicas(min),
            max_replicas: Replicas(max),
            metrics: Vec::new(),
            behavior: None,
            flags: ControllerManagerFlags::default(),
        }
    }

    fn rules(select_policy: SelectPolicy, policies: &[(PolicyKind, i32)]) -> Option<ScalingRules> {
        let policies =
            policies.iter().map(|&(kind, value)| ScalingPolicy { kind, value, period_seconds: 60 }).collect();
        Some(ScalingRules {
            select_policy: Some(select_policy),
            policies: Some(policies),
            ..ScalingRules::default()
        })
    }

    fn limited(behavior: Behavior, current: i32, stabilized: i32) -> (i32, Reason) {
        let behavior = CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).expect("complete");
        let (spec, events) = (hpa(1, 50), ScaleEvents::default());
        let limited = limit_with_behavior(
            &spec,
            &behavior,
            &events,
            Replicas(current),
            Replicas(stabilized),
            SimTime::ZERO,
        );
        (limited.replicas.get(), limited.reason)
    }

    #[test]
    fn without_behavior_the_size_doubles_at_most_and_four_is_always_allowed() {
        let limit = |current, stabilized| {
            let limited = limit_without_behavior(&hpa(2, 10), Replicas(current), Replicas(stabilized));
            (limited.replicas.get(), limited.reason)
        };
        assert_eq!(limit(2, 9), (4, Reason::ScaleUpLimit));
        assert_eq!(limit(5, 11), (10, Reason::TooManyReplicas));
        assert_eq!(limit(5, 1), (2, Reason::TooFewReplicas));
        assert_eq!(limit(5, 7), (7, Reason::DesiredWithinRange));
    }

    #[test]
    fn max_takes_the_widest_policy_min_the_narrowest_disabled_none() {
        let policies = [(PolicyKind::Pods, 3), (PolicyKind::Percent, 50)];
        for (select, up, down) in
            [(SelectPolicy::Max, 15, 5), (SelectPolicy::Min, 13, 7), (SelectPolicy::Disabled, 10, 10)]
        {
            let behavior =
                Behavior { scale_up: rules(select, &policies), scale_down: rules(select, &policies) };
            assert_eq!(limited(behavior.clone(), 10, 40), (up, Reason::ScaleUpLimit), "{select:?}");
            assert_eq!(limited(behavior, 10, 1), (down, Reason::ScaleDownLimit), "{select:?}");
        }
    }

    #[test]
    fn percent_downwards_is_cut_in_floats_as_written() {
        let behavior =
            Behavior { scale_up: None, scale_down: rules(SelectPolicy::Max, &[(PolicyKind::Percent, 90)]) };
        assert_eq!(limited(behavior, 10, 0), (1, Reason::TooFewReplicas));
    }
}
