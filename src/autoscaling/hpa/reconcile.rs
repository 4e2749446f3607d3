//! One sync of the HPA controller: `reconcileAutoscaler` of `pkg/controller/podautoscaler/horizontal.go` (v1.28).
//!
//! It comes in two halves, since only some syncs fetch metrics, and each fetch touches KEDA's failure counters:
//! [`plan`] decides, or asks for the metrics, with which [`decide`] goes on.

use super::conditions::{Condition, Conditions, Reason};
use super::events::ScaleEvents;
use super::metrics::{Fetched, Proposal, propose};
use super::policies::{Limited, limit_with_behavior, limit_without_behavior};
use super::spec::{HpaSpec, Metric, Scale};
use super::stabilization::{Recommendations, Stabilized};
use crate::units::{Replicas, SimTime};
use serde::Serialize;

/// What the controller remembers between syncs, in memory and in the HPA's status. Deleting the HPA loses it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HpaState {
    recommendations: Recommendations,
    events: ScaleEvents,
    conditions: Conditions,
}

impl HpaState {
    /// `status.conditions` after the last sync.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }
}

/// The first half of a sync.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Decided without a look at any metric.
    Decided(Box<Decision>),
    /// All metrics of the spec are wanted, in their order; then call [`decide`].
    Fetch,
}

/// Which way a sync went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// No replicas and `minReplicas` above 0: the HPA sleeps.
    ScalingDisabled,
    /// Above `maxReplicas`: set to it, past stabilization and rate limits.
    AboveMax,
    /// Below `minReplicas`: likewise.
    BelowMin,
    /// Too many metrics failed: nothing is changed or remembered.
    MetricsFailed,
    /// Metrics gave a proposal.
    Proposed,
}

/// Everything that shaped one sync.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Which way the sync went.
    pub path: Path,
    /// `spec.replicas` before.
    pub spec_replicas: Replicas,
    /// `status.replicas`.
    pub status_replicas: Replicas,
    /// Running and Ready pods.
    pub ready_replicas: Replicas,
    /// `minReplicas`.
    pub min_replicas: Replicas,
    /// `maxReplicas`.
    pub max_replicas: Replicas,
    /// Each metric's proposal; empty where none was fetched.
    pub metrics: Vec<Proposal>,
    /// The largest proposal.
    pub proposal: Option<Replicas>,
    /// The metric that made it; the first of equal ones.
    pub proposed_by: Option<String>,
    /// What stabilization made of it.
    pub stabilization: Option<Stabilized>,
    /// What bounds and rate limits made of that.
    pub limits: Option<Limited>,
    /// `spec.replicas` after.
    pub desired_replicas: Replicas,
    /// Whether `spec.replicas` was written.
    pub rescaled: bool,
    /// Why a change was wanted, in the words of the HPA's event.
    pub reason: Option<String>,
    /// The error that the sync ended with; it may have rescaled all the same.
    pub error: Option<String>,
    /// Conditions after the sync.
    pub conditions: Conditions,
}

/// Starts a sync at `now` for a target at `scale`.
///
/// No metric is fetched at 0 replicas, above `maxReplicas` and below `minReplicas`.
pub fn plan(spec: &HpaSpec, scale: Scale, state: &mut HpaState, now: SimTime) -> Plan {
    state.conditions.able_to_scale = Condition::holds(Reason::SucceededGetScale);
    state.recommendations.record_initial(scale.spec, now);
    let mut decision = Decision::unchanged(spec, scale);
    if scale.spec.get() == 0 && spec.min_replicas.get() != 0 {
        decision.path = Path::ScalingDisabled;
        state.conditions.scaling_active = Condition::fails(Reason::ScalingDisabled);
    } else if scale.spec > spec.max_replicas {
        decision.path = Path::AboveMax;
        decision.desired_replicas = spec.max_replicas;
        decision.reason = Some("Current number of replicas above Spec.MaxReplicas".to_owned());
    } else if scale.spec < spec.min_replicas {
        decision.path = Path::BelowMin;
        decision.desired_replicas = spec.min_replicas;
        decision.reason = Some("Current number of replicas below Spec.MinReplicas".to_owned());
    } else {
        return Plan::Fetch;
    }
    Plan::Decided(Box::new(finish(decision, spec, state, now)))
}

/// Ends a sync with what the metrics API answered, one entry for each metric of the spec in its order.
///
/// `now` may be later than [`plan`]'s where fetching took time.
pub fn decide(
    spec: &HpaSpec,
    scale: Scale,
    state: &mut HpaState,
    now: SimTime,
    fetched: &[Fetched],
) -> Decision {
    let mut decision = Decision::unchanged(spec, scale);
    decision.metrics = spec
        .metrics
        .iter()
        .zip(fetched)
        .map(|(metric, fetched)| propose(spec, metric, fetched, scale))
        .collect();
    let largest = largest(&decision.metrics);
    let combined = largest.and_then(|metric| metric.replicas).unwrap_or(Replicas::ZERO);
    decision.error = first_error(&decision.metrics);
    let failed = decision.metrics.iter().filter(|metric| metric.replicas.is_none()).count();
    // A missing metric might have asked for more, so the others may raise the size but not lower it.
    if failed == decision.metrics.len() || (failed > 0 && combined < scale.spec) {
        decision.path = Path::MetricsFailed;
        state.conditions.scaling_active = Condition::fails(failure(&decision.metrics));
        decision.conditions = state.conditions;
        return decision;
    }
    state.conditions.scaling_active = Condition::holds(Reason::ValidMetricFound);
    // Negative proposals exist: KEDA before v2.20 passes negative values on.
    let proposal = combined.max(Replicas::ZERO);
    decision.proposal = Some(proposal);
    let above = largest.map(|metric| {
        let metric = &metric.metric;
        format!("{} metric {} above target", metric.kind(), metric.name())
    });
    decision.proposed_by = largest.map(|metric| metric.metric.name().to_owned());
    decision.reason = if proposal > scale.spec {
        above
    } else {
        (proposal < scale.spec).then(|| "All metrics below target".to_owned())
    };
    let (stabilized, limited) = normalize(spec, scale.spec, proposal, state, now);
    decision.desired_replicas = limited.replicas;
    decision.stabilization = Some(stabilized);
    decision.limits = Some(limited);
    finish(decision, spec, state, now)
}

/// Stabilizes and limits a proposal and sets the conditions that say so (`normalizeDesiredReplicas`,
/// `normalizeDesiredReplicasWithBehaviors`).
fn normalize(
    spec: &HpaSpec,
    current: Replicas,
    proposal: Replicas,
    state: &mut HpaState,
    now: SimTime,
) -> (Stabilized, Limited) {
    let (stabilized, limited, held_back) = match &spec.behavior {
        None => {
            let window = spec.flags.downscale_stabilization;
            let stabilized = state.recommendations.highest_of(proposal, window, now);
            (
                stabilized,
                limit_without_behavior(spec, current, stabilized.replicas),
                Reason::ScaleDownStabilized,
            )
        }
        Some(behavior) => {
            let stabilized = state.recommendations.clamp_current(proposal, current, behavior, now);
            let limited =
                limit_with_behavior(spec, behavior, &state.events, current, stabilized.replicas, now);
            let held_back =
                if proposal >= current { Reason::ScaleUpStabilized } else { Reason::ScaleDownStabilized };
            (stabilized, limited, held_back)
        }
    };
    state.conditions.able_to_scale =
        Condition::holds(if stabilized.replicas == proposal { Reason::ReadyForNewScale } else { held_back });
    state.conditions.scaling_limited = if limited.replicas == stabilized.replicas {
        Condition::fails(limited.reason)
    } else {
        Condition::holds(limited.reason)
    };
    (stabilized, limited)
}

/// Writes the new size, if it is one.
fn finish(mut decision: Decision, spec: &HpaSpec, state: &mut HpaState, now: SimTime) -> Decision {
    decision.rescaled = decision.desired_replicas != decision.spec_replicas;
    if decision.rescaled {
        state.conditions.able_to_scale = Condition::holds(Reason::SucceededRescale);
        // Without behavior nothing reads the events, so upstream stores none.
        if let Some(behavior) = &spec.behavior {
            state.events.store(behavior, decision.spec_replicas, decision.desired_replicas, now);
        }
    }
    decision.conditions = state.conditions;
    decision
}

/// The metric with the largest proposal. As upstream, a first proposal of 0 or a negative one gives way to the next.
fn largest(metrics: &[Proposal]) -> Option<&Proposal> {
    let valid = metrics.iter().filter_map(|metric| Some((metric.replicas?, metric)));
    let largest =
        valid.reduce(
            |largest, next| {
                if largest.0 == Replicas::ZERO || next.0 > largest.0 { next } else { largest }
            },
        );
    largest.map(|(_, metric)| metric)
}

/// The condition's reason is the first failed metric's.
fn failure(metrics: &[Proposal]) -> Reason {
    match metrics.iter().find(|metric| metric.error.is_some()).map(|metric| &metric.metric) {
        Some(Metric::Pods(_)) => Reason::FailedGetPodsMetric,
        _ => Reason::FailedGetExternalMetric,
    }
}

fn first_error(metrics: &[Proposal]) -> Option<String> {
    let (metric, first) = metrics.iter().find_map(|metric| Some((metric, metric.error.as_ref()?)))?;
    let failed = metrics.iter().filter(|metric| metric.error.is_some()).count();
    let name = metric.metric.name();
    Some(format!(
        "invalid metrics ({failed} invalid out of {}), first error is: {name}: {first}",
        metrics.len()
    ))
}

impl Decision {
    fn unchanged(spec: &HpaSpec, scale: Scale) -> Self {
        Decision {
            path: Path::Proposed,
            spec_replicas: scale.spec,
            status_replicas: scale.status,
            ready_replicas: scale.ready,
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            metrics: Vec::new(),
            proposal: None,
            proposed_by: None,
            stabilization: None,
            limits: None,
            desired_replicas: scale.spec,
            rescaled: false,
            reason: None,
            error: None,
            conditions: Conditions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::behavior::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};
    use super::super::flags::ControllerManagerFlags;
    use super::super::spec::{CompleteBehavior, ExternalMetric, MetricTarget, PodsMetric};
    use super::*;
    use crate::units::{MilliValue, SimDuration};
    use proptest::prelude::*;

    fn hpa(metrics: usize) -> HpaSpec {
        let metric = |i| {
            Metric::External(ExternalMetric {
                name: format!("s{i}-prometheus"),
                target: MetricTarget::AverageValue(MilliValue(2000)),
            })
        };
        HpaSpec {
            min_replicas: Replicas(1),
            max_replicas: Replicas(5),
            metrics: (0..metrics).map(metric).collect(),
            behavior: None,
            flags: ControllerManagerFlags::default(),
        }
    }

    fn scale(replicas: i32) -> Scale {
        Scale { spec: Replicas(replicas), status: Replicas(replicas), ready: Replicas(replicas) }
    }

    fn sync(
        spec: &HpaSpec,
        state: &mut HpaState,
        replicas: i32,
        seconds: u64,
        values: &[Option<i64>],
    ) -> Decision {
        let now = SimTime::ZERO + SimDuration::from_secs(seconds);
        let fetched: Vec<Fetched> = values
            .iter()
            .map(|value| Fetched::External(value.map(|v| vec![MilliValue(v)]).ok_or("refused".to_owned())))
            .collect();
        match plan(spec, scale(replicas), state, now) {
            Plan::Decided(decision) => *decision,
            Plan::Fetch => decide(spec, scale(replicas), state, now, &fetched),
        }
    }

    #[test]
    fn the_seed_policy_jumps_to_max_and_waits_five_minutes_to_come_back() {
        let (spec, mut state) = (hpa(1), HpaState::default());
        let up = sync(&spec, &mut state, 1, 15, &[Some(412_000)]);
        assert_eq!(
            (up.desired_replicas, up.reason.as_deref()),
            (Replicas(4), Some("external metric s0-prometheus above target"))
        );
        assert_eq!(
            up.conditions.scaling_limited.map(|c| c.to_string()),
            Some("True/ScaleUpLimit".to_owned())
        );
        assert_eq!(sync(&spec, &mut state, 4, 30, &[Some(412_000)]).desired_replicas, Replicas(5));
        for seconds in (45..=330).step_by(15) {
            assert!(!sync(&spec, &mut state, 5, seconds, &[Some(0)]).rescaled, "{seconds}");
        }
        let down = sync(&spec, &mut state, 5, 345, &[Some(0)]);
        assert_eq!(
            (down.desired_replicas, down.reason.as_deref()),
            (Replicas(1), Some("All metrics below target"))
        );
    }

    #[test]
    fn a_failing_metric_blocks_the_way_down_but_not_up() {
        let (spec, mut state) = (hpa(2), HpaState::default());
        let down = sync(&spec, &mut state, 3, 15, &[Some(2_000), None]);
        assert_eq!((down.path, down.rescaled), (Path::MetricsFailed, false));
        let error = "invalid metrics (1 invalid out of 2), first error is: s1-prometheus: unable to fetch metrics from external metrics API: refused";
        assert_eq!(down.error.as_deref(), Some(error));
        let up = sync(&spec, &mut state, 3, 30, &[Some(10_000), None]);
        assert_eq!((up.desired_replicas, up.rescaled, up.error.as_deref()), (Replicas(5), true, Some(error)));
    }

    #[test]
    fn the_first_metric_that_fails_names_the_condition() {
        let external = hpa(1).metrics.remove(0);
        let pods = Metric::Pods(PodsMetric { name: "waiting".to_owned(), average_value: MilliValue(5000) });
        let refused = |metric: &Metric| match metric {
            Metric::External(_) => Fetched::External(Err("refused".to_owned())),
            Metric::Pods(_) => Fetched::Pods(Err("refused".to_owned())),
        };
        for (metrics, reason) in [
            (vec![external.clone(), pods.clone()], Reason::FailedGetExternalMetric),
            (vec![pods, external], Reason::FailedGetPodsMetric),
        ] {
            let fetched: Vec<Fetched> = metrics.iter().map(refused).collect();
            let spec = HpaSpec { metrics, ..hpa(0) };
            let decision = decide(&spec, scale(3), &mut HpaState::default(), SimTime::ZERO, &fetched);
            assert_eq!(decision.conditions.scaling_active, Condition::fails(reason));
        }
    }

    #[test]
    fn outside_the_bounds_no_metric_is_wanted() {
        let (spec, mut state) = (hpa(1), HpaState::default());
        for (replicas, path, desired) in [(0, Path::ScalingDisabled, 0), (9, Path::AboveMax, 5)] {
            let Plan::Decided(decision) = plan(&spec, scale(replicas), &mut state, SimTime::ZERO) else {
                panic!("fetches")
            };
            assert_eq!((decision.path, decision.desired_replicas), (path, Replicas(desired)));
        }
        let spec = HpaSpec { min_replicas: Replicas(2), ..spec };
        assert_eq!(sync(&spec, &mut state, 1, 15, &[]).desired_replicas, Replicas(2));
    }

    #[test]
    fn negative_proposals_count_as_none_left() {
        let behavior = Behavior {
            scale_up: None,
            scale_down: Some(ScalingRules {
                stabilization_window_seconds: Some(0),
                ..ScalingRules::default()
            }),
        };
        let behavior = CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).ok();
        let (spec, mut state) = (HpaSpec { behavior, ..hpa(1) }, HpaState::default());
        let decision = sync(&spec, &mut state, 3, 15, &[Some(-9_000)]);
        assert_eq!((decision.proposal, decision.desired_replicas), (Some(Replicas(0)), Replicas(1)));
    }

    #[test]
    fn a_decision_tells_every_step_as_json() {
        let (spec, mut state) = (hpa(1), HpaState::default());
        let json = serde_json::to_value(sync(&spec, &mut state, 2, 15, &[Some(5_000)])).expect("serializes");
        assert_eq!(json["metrics"][0]["ratio"], 1.25);
        assert_eq!(json["metrics"][0]["target"]["target_milli"], 2000);
        assert_eq!(json["limits"]["reason"], "DesiredWithinRange");
        assert_eq!(json["conditions"]["able_to_scale"], "True/SucceededRescale");
    }

    #[test]
    fn a_pods_metric_looks_like_an_external_one_as_json() {
        let pods = Metric::Pods(PodsMetric { name: "waiting".to_owned(), average_value: MilliValue(5000) });
        let json = serde_json::to_value(pods).expect("serializes");
        let target = serde_json::json!({ "type": "AverageValue", "target_milli": 5000 });
        assert_eq!(json, serde_json::json!({ "type": "Pods", "name": "waiting", "target": target }));
    }

    fn any_rules() -> impl Strategy<Value = Option<ScalingRules>> {
        let kind = prop_oneof![Just(PolicyKind::Pods), Just(PolicyKind::Percent)];
        let policy = (kind, 1..150_i32, 1..120_i32).prop_map(|(kind, value, period_seconds)| ScalingPolicy {
            kind,
            value,
            period_seconds,
        });
        let select =
            prop_oneof![Just(SelectPolicy::Max), Just(SelectPolicy::Min), Just(SelectPolicy::Disabled)];
        let rules = (0..120_i32, select, proptest::collection::vec(policy, 1..3)).prop_map(
            |(window, select, policies)| ScalingRules {
                stabilization_window_seconds: Some(window),
                select_policy: Some(select),
                policies: Some(policies),
                tolerance: None,
            },
        );
        proptest::option::of(rules)
    }

    proptest! {
        /// From inside the bounds no metric, window or policy leads outside, and a failing metric never lowers the size.
        #[test]
        fn sizes_stay_inside_the_bounds(
            behavior in proptest::option::of((any_rules(), any_rules())),
            values in proptest::collection::vec([proptest::option::of(-5_000..60_000_i64), proptest::option::of(0..20_000_i64)], 1..40),
        ) {
            let behavior = behavior.map(|(scale_up, scale_down)| Behavior { scale_up, scale_down });
            let complete = |behavior| CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).expect("complete");
            let spec = HpaSpec { min_replicas: Replicas(2), max_replicas: Replicas(9), behavior: behavior.map(complete), ..hpa(2) };
            let (mut state, mut replicas) = (HpaState::default(), 3);
            for (tick, values) in values.iter().enumerate() {
                let decision = sync(&spec, &mut state, replicas, 15 * tick as u64, values);
                let desired = decision.desired_replicas.get();
                prop_assert!((2..=9).contains(&desired), "{decision:?}");
                prop_assert!(desired >= replicas || values.iter().all(Option::is_some), "{decision:?}");
                prop_assert_eq!(decision.rescaled, desired != replicas);
                replicas = desired;
            }
        }
    }
}
