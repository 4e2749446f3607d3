//! What is reported while a trigger fails: `pkg/fallback/fallback.go` (v2.15 to v2.20).
//!
//! Each metric has a counter of failures in a row. Every query of the HPA counts on it **and**, since v2.19, the poll
//! loop, so with both running a threshold of 3 is passed in some 30 to 45 seconds, not in three polling intervals.

use super::conditions::{Condition, Reason, Status};
use super::scaled_object::{Fallback, FallbackBehavior, MetricType, ScalingModifiers};
use super::version::KedaVersion;
use crate::autoscaling::go;
use crate::autoscaling::hpa::MetricTarget;
use crate::autoscaling::quantity::approximate_float;
use crate::units::{MilliValue, Replicas};
use serde::Serialize;

/// The name of the one metric that `scalingModifiers` reports.
pub const COMPOSITE_METRIC: &str = "composite-metric";

/// `status.health` of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `numberOfFailures`: failed evaluations in a row.
    #[serde(rename = "numberOfFailures")]
    pub failures: i32,
    /// `status`: `Happy` or `Failing`.
    pub status: HealthStatus,
}

/// `status.health.*.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum HealthStatus {
    /// The last evaluation succeeded.
    Happy,
    /// The last evaluation failed.
    Failing,
}

/// The failures of all metrics of one ScaledObject; empty entries without a valid fallback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackStatus {
    health: Vec<Option<Health>>,
    condition: Option<Condition>,
}

/// What `fallback` works on: parts of the ScaledObject and of one of its metrics.
#[derive(Clone, Copy, Debug)]
pub struct FallbackContext<'a> {
    /// `spec.fallback`.
    pub fallback: Option<&'a Fallback>,
    /// `spec.advanced.scalingModifiers`.
    pub modifiers: Option<&'a ScalingModifiers>,
    /// Name of the metric, such as `s0-prometheus`.
    pub metric_name: &'a str,
    /// Target of the metric.
    pub target: MetricTarget,
    /// The workload that is scaled.
    pub workload: Workload,
    /// The release that evaluates.
    pub version: KedaVersion,
}

/// The workload as KEDA reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `spec.replicas`.
    pub replicas: Replicas,
    /// Pods in phase Running with condition Ready.
    pub ready: Replicas,
}

/// A metric after the fallback was applied to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricWithFallback {
    /// Name and value, or why there is none.
    pub metric: Result<(String, MilliValue), String>,
    /// Whether the value is the fallback's; then the trigger counts as active (since v2.19).
    pub fallback_active: bool,
}

impl FallbackStatus {
    /// No metric was evaluated yet.
    pub fn new(metrics: usize) -> Self {
        FallbackStatus { health: vec![None; metrics], condition: None }
    }

    /// `status.health` of a metric; `None` where it was never evaluated or there is no valid fallback.
    pub fn health(&self, metric: usize) -> Option<Health> {
        self.health[metric]
    }

    /// The `Fallback` condition; `None` until it is set first.
    pub fn condition(&self) -> Option<Condition> {
        self.condition
    }

    /// Counts one evaluation of the metric with this index and applies the fallback to it
    /// (`GetMetricsWithFallback`). `outcome` is the scaler's value in thousandths, or its error.
    pub fn evaluate(
        &mut self,
        metric: usize,
        outcome: Result<MilliValue, String>,
        context: &FallbackContext<'_>,
    ) -> MetricWithFallback {
        let valid = context.fallback.filter(|fallback| is_valid(fallback, context));
        let failures = match outcome {
            Ok(_) => 0,
            Err(_) => self.health[metric].map_or(0, |health| health.failures).saturating_add(1),
        };
        if valid.is_some() || context.version.counts_health_without_fallback() {
            self.update(metric, failures, valid, context.version);
        }
        let error = match outcome {
            Err(error) => error,
            Ok(value) => {
                let metric = Ok((context.metric_name.to_owned(), value));
                return MetricWithFallback { metric, fallback_active: false };
            }
        };
        let Some(fallback) = valid else { return failed(error) };
        if failures <= fallback.failure_threshold {
            return failed(error);
        }
        if fallback.behavior == Some(FallbackBehavior::ScalingModifiers) {
            // The formula sees -1 as nil, for its `??`.
            let placeholder = (context.metric_name.to_owned(), MilliValue(-1000));
            return MetricWithFallback { metric: Ok(placeholder), fallback_active: false };
        }
        match fallback_value(fallback, context) {
            Some(metric) => MetricWithFallback { metric: Ok(metric), fallback_active: true },
            None => failed("error performing fallback".to_owned()),
        }
    }

    /// There is no valid fallback, which is said from the beginning (since v2.16).
    pub(super) fn is_never_needed(&mut self) {
        self.condition = Some(Condition::new(Status::False, Reason::NoFallbackFound));
    }

    /// A poll scaled to the fallback's size and says so, whatever the counters (up to v2.16).
    pub(super) fn scaled_at_once(&mut self) {
        self.condition = Some(Condition::new(Status::True, Reason::FallbackExists));
    }

    /// Stores the failures of a metric and tells whether any is past the threshold: before v2.20 as it was before.
    fn update(&mut self, metric: usize, failures: i32, fallback: Option<&Fallback>, version: KedaVersion) {
        let before = fallback.is_some_and(|fallback| self.exceeds(fallback.failure_threshold));
        let status = if failures == 0 { HealthStatus::Happy } else { HealthStatus::Failing };
        self.health[metric] = Some(Health { failures, status });
        let after = fallback.is_some_and(|fallback| self.exceeds(fallback.failure_threshold));
        let exceeded = if version.fallback_condition_is_current() { after } else { before };
        self.condition = Some(if exceeded {
            Condition::new(Status::True, Reason::FallbackExists)
        } else {
            Condition::new(Status::False, Reason::NoFallbackFound)
        });
    }

    fn exceeds(&self, threshold: i32) -> bool {
        let exceeds = |health: &Health| health.status == HealthStatus::Failing && health.failures > threshold;
        self.health.iter().flatten().any(exceeds)
    }
}

fn failed(error: String) -> MetricWithFallback {
    MetricWithFallback { metric: Err(error), fallback_active: false }
}

/// Whether this fallback can stand in for this metric (`isFallbackEnabled`, `HasValidFallback`), else errors pass through.
///
/// With `scalingModifiers` their target must be a positive integer. Before v2.18 the target is shared between the
/// replicas: that of the modifiers in v2.17, the metric's own before.
fn is_valid(fallback: &Fallback, context: &FallbackContext<'_>) -> bool {
    let version = context.version;
    let by_value = match context.modifiers {
        Some(modifiers) if version.has_fallback_behaviors() => {
            modifiers.metric_type == Some(MetricType::Value)
        }
        _ => matches!(context.target, MetricTarget::Value(_)),
    };
    has_valid_fallback(fallback, context.modifiers) && (version.falls_back_for_values() || !by_value)
}

/// `HasValidFallback`.
pub(super) fn has_valid_fallback(fallback: &Fallback, modifiers: Option<&ScalingModifiers>) -> bool {
    let target_is_usable =
        modifiers.is_none_or(|modifiers| whole_target(modifiers).is_some_and(|target| target > 0));
    fallback.failure_threshold >= 0 && fallback.replicas >= 0 && target_is_usable
}

fn whole_target(modifiers: &ScalingModifiers) -> Option<i64> {
    modifiers.target.as_deref()?.parse().ok()
}

/// `doFallback`: the metric that makes the HPA compute the fallback's size; `None` where a `Value` target has no
/// ready pod to divide by.
fn fallback_value(fallback: &Fallback, context: &FallbackContext<'_>) -> Option<(String, MilliValue)> {
    let (given, current) = (fallback.replicas, context.workload.replicas.get());
    let replicas = match fallback.behavior.unwrap_or_default() {
        FallbackBehavior::Static | FallbackBehavior::ScalingModifiers => given,
        FallbackBehavior::CurrentReplicas => current,
        FallbackBehavior::CurrentReplicasIfHigher => current.max(given),
        FallbackBehavior::CurrentReplicasIfLower => current.min(given),
    };
    let name = context.modifiers.map_or(context.metric_name, |_| COMPOSITE_METRIC).to_owned();
    let (by_value, target) = match context.modifiers {
        Some(modifiers) => {
            let target = modifiers.target.as_deref().and_then(|target| go::parse_float(target).ok())?;
            (modifiers.metric_type == Some(MetricType::Value), target)
        }
        None => {
            let (MetricTarget::AverageValue(milli) | MetricTarget::Value(milli)) = context.target;
            (matches!(context.target, MetricTarget::Value(_)), approximate_float(milli))
        }
    };
    if !context.version.falls_back_for_values() {
        let whole = go::int64(target).wrapping_mul(1000).wrapping_mul(i64::from(replicas));
        return Some((name, MilliValue(whole)));
    }
    let mut replicas = f64::from(replicas);
    if by_value {
        if context.workload.ready.get() == 0 {
            return None;
        }
        replicas /= f64::from(context.workload.ready.get());
    }
    Some((name, MilliValue(go::int64(target * 1000.0 * replicas))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(fallback: &'a Fallback, target: MetricTarget) -> FallbackContext<'a> {
        FallbackContext {
            fallback: Some(fallback),
            modifiers: None,
            metric_name: "s0-prometheus",
            target,
            workload: Workload { replicas: Replicas(4), ready: Replicas(2) },
            version: KedaVersion::V2_20,
        }
    }

    fn value(evaluated: &MetricWithFallback) -> Option<i64> {
        evaluated.metric.as_ref().ok().map(|(_, value)| value.get())
    }

    #[test]
    fn the_fallback_starts_past_the_threshold_and_ends_with_a_success() {
        let fallback = Fallback { failure_threshold: 1, replicas: 3, behavior: None };
        let context = context(&fallback, MetricTarget::AverageValue(MilliValue(2000)));
        let mut status = FallbackStatus::new(1);
        let mut evaluate = |outcome| {
            let evaluated = status.evaluate(0, outcome, &context);
            (value(&evaluated), evaluated.fallback_active, status.condition().map(|c| c.to_string()))
        };
        let none = || Some("False/NoFallbackFound".to_owned());
        assert_eq!(evaluate(Err("refused".to_owned())), (None, false, none()));
        assert_eq!(
            evaluate(Err("refused".to_owned())),
            (Some(6000), true, Some("True/FallbackExists".to_owned()))
        );
        assert_eq!(evaluate(Ok(MilliValue(7))), (Some(7), false, none()));
    }

    #[test]
    fn a_value_target_divides_by_ready_pods() {
        let fallback = Fallback {
            failure_threshold: 0,
            replicas: 3,
            behavior: Some(FallbackBehavior::CurrentReplicasIfHigher),
        };
        let context = context(&fallback, MetricTarget::Value(MilliValue(1500)));
        let mut status = FallbackStatus::new(1);
        assert_eq!(value(&status.evaluate(0, Err(String::new()), &context)), Some(3000));
        let unready =
            FallbackContext { workload: Workload { replicas: Replicas(4), ready: Replicas(0) }, ..context };
        assert_eq!(
            status.evaluate(0, Err(String::new()), &unready).metric,
            Err("error performing fallback".to_owned())
        );
    }

    #[test]
    fn one_failing_metric_is_enough_for_the_condition() {
        let fallback = Fallback { failure_threshold: 0, replicas: 3, behavior: None };
        let context = context(&fallback, MetricTarget::AverageValue(MilliValue(2000)));
        let mut status = FallbackStatus::new(2);
        status.evaluate(1, Err(String::new()), &context);
        status.evaluate(0, Ok(MilliValue(1)), &context);
        assert_eq!(status.condition().map(|c| c.status), Some(Status::True));
        assert_eq!(
            (status.health(0).map(|h| h.failures), status.health(1).map(|h| h.failures)),
            (Some(0), Some(1))
        );
    }

    #[test]
    fn before_2_18_only_shared_targets_fall_back_and_lose_their_fraction() {
        let fallback = Fallback { failure_threshold: 0, replicas: 3, behavior: None };
        let falls_back = |target, version| {
            let context = FallbackContext { version, ..context(&fallback, target) };
            value(&FallbackStatus::new(1).evaluate(0, Err(String::new()), &context))
        };
        let (shared, compared) =
            (MetricTarget::AverageValue(MilliValue(1900)), MetricTarget::Value(MilliValue(1900)));
        for version in [KedaVersion::V2_15, KedaVersion::V2_16, KedaVersion::V2_17] {
            assert_eq!((falls_back(shared, version), falls_back(compared, version)), (Some(3000), None));
        }
        for version in [KedaVersion::V2_18, KedaVersion::V2_19, KedaVersion::V2_20] {
            assert_eq!(
                (falls_back(shared, version), falls_back(compared, version)),
                (Some(5700), Some(2850))
            );
        }
    }

    #[test]
    fn modifiers_decide_about_the_type_from_2_17() {
        let fallback = Fallback { failure_threshold: 0, replicas: 3, behavior: None };
        let modifiers = ScalingModifiers { target: Some("2".to_owned()), ..ScalingModifiers::default() };
        let falls_back = |version| {
            let plain = context(&fallback, MetricTarget::Value(MilliValue(1000)));
            let context = FallbackContext { modifiers: Some(&modifiers), version, ..plain };
            value(&FallbackStatus::new(1).evaluate(0, Err(String::new()), &context))
        };
        assert_eq!((falls_back(KedaVersion::V2_16), falls_back(KedaVersion::V2_17)), (None, Some(6000)));
    }

    #[test]
    fn before_2_20_the_condition_is_an_evaluation_late() {
        let fallback = Fallback { failure_threshold: 0, replicas: 3, behavior: None };
        let plain = context(&fallback, MetricTarget::AverageValue(MilliValue(2000)));
        let context = FallbackContext { version: KedaVersion::V2_19, ..plain };
        let mut status = FallbackStatus::new(1);
        let mut evaluate = |outcome| {
            status.evaluate(0, outcome, &context);
            status.condition().map(|condition| condition.status)
        };
        assert_eq!(evaluate(Err(String::new())), Some(Status::False));
        assert_eq!(evaluate(Ok(MilliValue(1))), Some(Status::True));
        assert_eq!(evaluate(Ok(MilliValue(1))), Some(Status::False));
    }

    #[test]
    fn only_2_15_counts_without_a_fallback() {
        for version in KedaVersion::ALL {
            let fallback = Fallback { failure_threshold: 0, replicas: 3, behavior: None };
            let plain = context(&fallback, MetricTarget::AverageValue(MilliValue(2000)));
            let context = FallbackContext { fallback: None, version, ..plain };
            let mut status = FallbackStatus::new(1);
            assert_eq!(
                status.evaluate(0, Err("refused".to_owned()), &context).metric,
                Err("refused".to_owned())
            );
            let counted = status.health(0).map(|health| health.failures);
            assert_eq!(counted, (version == KedaVersion::V2_15).then_some(1), "{version}");
        }
    }
}
