//! An HPA as its controller reads it: bounds, metrics, and behavior with every default filled in.

use super::PolicyKind;
use super::behavior::{Behavior, ScalingPolicy, ScalingRules, SelectPolicy};
use super::flags::ControllerManagerFlags;
use crate::autoscaling::quantity;
use crate::problem::Problem;
use crate::units::{MilliValue, Replicas, SimDuration, SimTime};
use serde::{Serialize, Serializer};

/// A HorizontalPodAutoscaler (autoscaling/v2) on external and pods metrics, and the flags of the controller that syncs it.
#[derive(Clone, Debug, PartialEq)]
pub struct HpaSpec {
    /// `minReplicas`; the API server fills in 1.
    pub min_replicas: Replicas,
    /// `maxReplicas`: at least 1 and `min_replicas`.
    pub max_replicas: Replicas,
    /// `metrics`, at least one.
    pub metrics: Vec<Metric>,
    /// `behavior`; `None` takes another code path than one filled with defaults.
    pub behavior: Option<CompleteBehavior>,
    /// Flags of kube-controller-manager.
    pub flags: ControllerManagerFlags,
}

/// One entry of `metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum Metric {
    /// A value from anywhere, by the external metrics API.
    External(ExternalMetric),
    /// A value a pod, by the custom metrics API.
    Pods(PodsMetric),
}

impl Metric {
    /// What Kubernetes calls its kind in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Metric::External(_) => "external",
            Metric::Pods(_) => "pods",
        }
    }

    /// `metric.name`.
    pub fn name(&self) -> &str {
        match self {
            Metric::External(metric) => &metric.name,
            Metric::Pods(metric) => &metric.name,
        }
    }

    /// `target`.
    pub fn target(&self) -> MetricTarget {
        match self {
            Metric::External(metric) => metric.target,
            Metric::Pods(metric) => MetricTarget::AverageValue(metric.average_value),
        }
    }
}

/// One entry of `metrics` of type `External`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExternalMetric {
    /// `metric.name`, such as `s0-prometheus`.
    pub name: String,
    /// `target`.
    pub target: MetricTarget,
}

/// One entry of `metrics` of type `Pods`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodsMetric {
    /// `metric.name`.
    pub name: String,
    /// `target.averageValue`, the only kind of target here. Positive.
    #[serde(rename = "target", serialize_with = "as_target")]
    pub average_value: MilliValue,
}

fn as_target<S: Serializer>(average_value: &MilliValue, serializer: S) -> Result<S::Ok, S::Error> {
    MetricTarget::AverageValue(*average_value).serialize(serializer)
}

/// `target` of an external metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "target_milli")]
pub enum MetricTarget {
    /// The value is shared between the replicas. Positive.
    AverageValue(MilliValue),
    /// The value is compared as it is. Positive.
    Value(MilliValue),
}

/// What the HPA reads of its target at the start of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`: the size that is asked for.
    pub spec: Replicas,
    /// `status.replicas`: pods that exist and do not terminate, ready or not.
    pub status: Replicas,
    /// Pods in phase Running with condition Ready.
    pub ready: Replicas,
}

/// `behavior` as the API server completes it.
#[derive(Clone, Debug, PartialEq)]
pub struct CompleteBehavior {
    /// Rules upwards.
    pub scale_up: CompleteRules,
    /// Rules downwards.
    pub scale_down: CompleteRules,
}

/// One direction of a behavior with nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub struct CompleteRules {
    /// `stabilizationWindowSeconds`.
    pub stabilization_window: SimDuration,
    /// `selectPolicy`.
    pub select_policy: SelectPolicy,
    /// `policies`, at least one.
    pub policies: Vec<ScalingPolicy>,
    /// `tolerance` as a fraction; the flag's where `None`.
    pub tolerance: Option<f64>,
}

impl CompleteBehavior {
    /// Fills in what the user left out, field by field (`pkg/apis/autoscaling/v2/defaults.go`, v1.28): both directions
    /// even if only one is given, and a list of policies only as a whole. The window downwards comes from the
    /// controller's flag.
    ///
    /// # Errors
    /// The key and text of a `tolerance` that is no quantity.
    pub fn of(behavior: &Behavior, flags: &ControllerManagerFlags) -> Result<Self, Problem> {
        let policy = |kind, value| ScalingPolicy { kind, value, period_seconds: 15 };
        let up = CompleteRules {
            stabilization_window: SimDuration::ZERO,
            select_policy: SelectPolicy::Max,
            policies: vec![policy(PolicyKind::Pods, 4), policy(PolicyKind::Percent, 100)],
            tolerance: None,
        };
        let down = CompleteRules {
            stabilization_window: flags.downscale_stabilization,
            select_policy: SelectPolicy::Max,
            policies: vec![policy(PolicyKind::Percent, 100)],
            tolerance: None,
        };
        Ok(CompleteBehavior {
            scale_up: up
                .overridden_by(behavior.scale_up.as_ref())
                .map_err(|problem| problem.under("scale_up"))?,
            scale_down: down
                .overridden_by(behavior.scale_down.as_ref())
                .map_err(|problem| problem.under("scale_down"))?,
        })
    }
}

impl CompleteRules {
    fn overridden_by(mut self, given: Option<&ScalingRules>) -> Result<Self, Problem> {
        let Some(given) = given else { return Ok(self) };
        if let Some(seconds) = given.stabilization_window_seconds {
            self.stabilization_window = seconds_of(seconds);
        }
        if let Some(select_policy) = given.select_policy {
            self.select_policy = select_policy;
        }
        if let Some(policies) = &given.policies {
            self.policies.clone_from(policies);
        }
        if let Some(text) = &given.tolerance {
            let tolerance = quantity::parse_float(text).map_err(|error| {
                Problem::key("tolerance", format!("`{text}` {error}")).help("write 5 % as \"50m\"")
            })?;
            self.tolerance = Some(tolerance);
        }
        Ok(self)
    }

    /// The longest `periodSeconds` among the policies.
    pub(super) fn longest_period(&self) -> SimDuration {
        self.policies
            .iter()
            .map(|policy| seconds_of(policy.period_seconds))
            .max()
            .unwrap_or(SimDuration::ZERO)
    }
}

/// A setting in seconds of Kubernetes' `int32`: at least 0, and at most as long as a run can be, since `int32` seconds
/// reach further than picoseconds do.
pub(in crate::autoscaling) fn seconds_of(seconds: i32) -> SimDuration {
    const PS_PER_SEC: u64 = 1_000_000_000_000;
    let longest = SimTime::HORIZON.as_ps() / PS_PER_SEC;
    SimDuration::from_secs(u64::try_from(seconds).unwrap_or(0).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_given_side_brings_the_defaults_of_the_other() {
        let behavior = Behavior {
            scale_up: Some(ScalingRules {
                stabilization_window_seconds: Some(60),
                ..ScalingRules::default()
            }),
            scale_down: None,
        };
        let complete = CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).expect("complete");
        assert_eq!(complete.scale_up.stabilization_window, SimDuration::from_secs(60));
        assert_eq!(complete.scale_up.policies.len(), 2);
        assert_eq!(complete.scale_down.stabilization_window, SimDuration::from_secs(300));
        assert_eq!(complete.scale_down.policies.len(), 1);
        assert_eq!(complete.scale_down.longest_period(), SimDuration::from_secs(15));
    }

    #[test]
    fn seconds_past_the_horizon_are_the_horizon() {
        assert_eq!(seconds_of(-1), SimDuration::ZERO);
        assert_eq!(seconds_of(300), SimDuration::from_secs(300));
        assert!(SimTime::HORIZON.checked_add(seconds_of(i32::MAX)).is_some());
    }

    #[test]
    fn a_tolerance_that_is_no_quantity_is_a_problem_with_its_key() {
        let rules = ScalingRules { tolerance: Some("5%".to_owned()), ..ScalingRules::default() };
        let behavior = Behavior { scale_up: None, scale_down: Some(rules) };
        let problem =
            CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).expect_err("no quantity");
        assert!(problem.to_string().starts_with("scale_down.tolerance: `5%` has a suffix"), "{problem}");
    }
}
