//! What is reported while a trigger fails: `pkg/fallback/fallback.go` (v2.20.2).
//!
//! Each metric has a counter of failures in a row. The poll loop **and** every query of the HPA count on it, so with
//! both running a threshold of 3 is passed in some 30 to 45 seconds, not in three polling intervals.

use super::conditions::{Condition, Reason, Status};
use super::scaled_object::{Fallback, FallbackBehavior, MetricType, ScalingModifiers};
use crate::autoscaling::go;
use crate::autoscaling::hpa::MetricTarget;
use crate::autoscaling::quantity::approximate_float;
use crate::units::{MilliValue, Replicas};
use serde::Serialize;

/// The name of the one metric that `scalingModifiers` reports.
const COMPOSITE_METRIC: &str = "composite-metric";

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
        let valid = context.fallback.filter(|fallback| is_valid(fallback, context.modifiers));
        let error = match outcome {
            Err(error) => error,
            Ok(value) => {
                if let Some(fallback) = valid {
                    let health = Health { failures: 0, status: HealthStatus::Happy };
                    self.update(metric, health, fallback.failure_threshold);
                }
                let metric = Ok((context.metric_name.to_owned(), value));
                return MetricWithFallback { metric, fallback_active: false };
            }
        };
        let Some(fallback) = valid else { return failed(error) };
        let failures = self.health[metric].map_or(0, |health| health.failures).saturating_add(1);
        self.update(metric, Health { failures, status: HealthStatus::Failing }, fallback.failure_threshold);
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

    fn update(&mut self, metric: usize, health: Health, threshold: i32) {
        self.health[metric] = Some(health);
        let exceeded =
            |health: &Health| health.status == HealthStatus::Failing && health.failures > threshold;
        self.condition = Some(if self.health.iter().flatten().any(exceeded) {
            Condition::new(Status::True, Reason::FallbackExists)
        } else {
            Condition::new(Status::False, Reason::NoFallbackFound)
        });
    }
}

fn failed(error: String) -> MetricWithFallback {
    MetricWithFallback { metric: Err(error), fallback_active: false }
}

/// `HasValidFallback`: with `scalingModifiers` their target must be a positive integer, else errors pass through.
fn is_valid(fallback: &Fallback, modifiers: Option<&ScalingModifiers>) -> bool {
    let target_is_usable = modifiers.is_none_or(|modifiers| {
        modifiers
            .target
            .as_deref()
            .and_then(|target| target.parse::<i64>().ok())
            .is_some_and(|target| target > 0)
    });
    fallback.failure_threshold >= 0 && fallback.replicas >= 0 && target_is_usable
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
    let (by_value, target, name) = match context.modifiers {
        Some(modifiers) => {
            let target = modifiers.target.as_deref().and_then(|target| target.parse::<f64>().ok())?;
            (modifiers.metric_type == Some(MetricType::Value), target, COMPOSITE_METRIC)
        }
        None => {
            let (by_value, MetricTarget::AverageValue(milli) | MetricTarget::Value(milli)) =
                (matches!(context.target, MetricTarget::Value(_)), context.target);
            (by_value, approximate_float(milli), context.metric_name)
        }
    };
    let mut replicas = f64::from(replicas);
    if by_value {
        if context.workload.ready.get() == 0 {
            return None;
        }
        replicas /= f64::from(context.workload.ready.get());
    }
    Some((name.to_owned(), MilliValue(go::int64(target * 1000.0 * replicas))))
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
}
