//! `ScaledObject.spec` (keda.sh/v1alpha1, KEDA v2.20), with KEDA's own field names.
//!
//! Our TOML writes them in snake_case, a manifest in camelCase; `None` is what the user left out, so that a policy can
//! be exported as it was written. KEDA's defaults are methods, not values filled in.

use crate::autoscaling::hpa::{Behavior, MetricTarget, seconds_of};
use crate::units::{MilliValue, Replicas, SimDuration};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The parts of `ScaledObject.spec` that decide about scaling. Seconds are integers, as in KEDA.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaledObjectSpec {
    /// `pollingInterval`: seconds between two checks of the triggers; 30 when left out.
    #[serde(alias = "pollingInterval", skip_serializing_if = "Option::is_none")]
    pub polling_interval: Option<i32>,
    /// `initialCooldownPeriod`: seconds after creation before scaling to zero; 0 when left out.
    #[serde(alias = "initialCooldownPeriod", skip_serializing_if = "Option::is_none")]
    pub initial_cooldown_period: Option<i32>,
    /// `cooldownPeriod`: seconds after the last activity before scaling to zero or idle; 300 when left out.
    #[serde(alias = "cooldownPeriod", skip_serializing_if = "Option::is_none")]
    pub cooldown_period: Option<i32>,
    /// `idleReplicaCount`: the size while nothing is active; below `min_replica_count`.
    #[serde(alias = "idleReplicaCount", skip_serializing_if = "Option::is_none")]
    pub idle_replica_count: Option<i32>,
    /// `minReplicaCount`: 0 when left out.
    #[serde(alias = "minReplicaCount", skip_serializing_if = "Option::is_none")]
    pub min_replica_count: Option<i32>,
    /// `maxReplicaCount`: 100 when left out.
    #[serde(alias = "maxReplicaCount", skip_serializing_if = "Option::is_none")]
    pub max_replica_count: Option<i32>,
    /// What to report while a trigger fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// HPA settings and scaling modifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
    /// What to scale on.
    pub triggers: Vec<Trigger>,
}

impl ScaledObjectSpec {
    /// Time between two polls (`defaultPollingInterval`).
    pub fn polling_interval(&self) -> SimDuration {
        seconds_of(self.polling_interval.unwrap_or(30))
    }
    /// Time after the last activity before scaling to zero or idle (`defaultCooldownPeriod`).
    pub fn cooldown(&self) -> SimDuration {
        seconds_of(self.cooldown_period.unwrap_or(300))
    }
    /// Time after creation before scaling to zero or idle, while nothing was active yet.
    pub fn initial_cooldown(&self) -> SimDuration {
        seconds_of(self.initial_cooldown_period.unwrap_or(0))
    }
    /// The minimum as the poll loop sees it; the HPA's is 1 at least.
    pub fn min_replicas(&self) -> Replicas {
        Replicas(self.min_replica_count.unwrap_or(0))
    }
    /// `minReplicas` of the HPA (`GetHPAMinReplicas`): never 0.
    pub fn hpa_min_replicas(&self) -> Replicas {
        Replicas(self.min_replica_count.filter(|&min| min > 0).unwrap_or(1))
    }
    /// `maxReplicas` of the HPA (`GetHPAMaxReplicas`).
    pub fn hpa_max_replicas(&self) -> Replicas {
        Replicas(self.max_replica_count.unwrap_or(100))
    }
    /// `advanced.horizontalPodAutoscalerConfig`.
    pub fn hpa_config(&self) -> Option<&HorizontalPodAutoscalerConfig> {
        self.advanced.as_ref()?.horizontal_pod_autoscaler_config.as_ref()
    }
    /// `advanced.scalingModifiers` if it says anything (`IsUsingModifiers`).
    pub fn scaling_modifiers(&self) -> Option<&ScalingModifiers> {
        let modifiers = self.advanced.as_ref()?.scaling_modifiers.as_ref()?;
        (*modifiers != ScalingModifiers::default()).then_some(modifiers)
    }
}

/// `spec.fallback`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// `failureThreshold`: consecutive failures before falling back.
    #[serde(alias = "failureThreshold")]
    pub failure_threshold: i32,
    /// The size to fall back to.
    pub replicas: i32,
    /// How `replicas` and the current size combine; `static` when left out (since KEDA v2.17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<FallbackBehavior>,
}

/// `spec.fallback.behavior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FallbackBehavior {
    /// Always `replicas`.
    #[default]
    Static,
    /// The current size.
    CurrentReplicas,
    /// The larger of both.
    CurrentReplicasIfHigher,
    /// The smaller of both.
    CurrentReplicasIfLower,
    /// The formula of `scalingModifiers` sees nil.
    ScalingModifiers,
}

/// `spec.advanced`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advanced {
    /// `restoreToOriginalReplicaCount`: what happens when the ScaledObject is deleted; never does in a run.
    #[serde(alias = "restoreToOriginalReplicaCount", skip_serializing_if = "Option::is_none")]
    pub restore_to_original_replica_count: Option<bool>,
    /// `horizontalPodAutoscalerConfig`.
    #[serde(alias = "horizontalPodAutoscalerConfig", skip_serializing_if = "Option::is_none")]
    pub horizontal_pod_autoscaler_config: Option<HorizontalPodAutoscalerConfig>,
    /// `scalingModifiers`.
    #[serde(alias = "scalingModifiers", skip_serializing_if = "Option::is_none")]
    pub scaling_modifiers: Option<ScalingModifiers>,
}

/// `spec.advanced.horizontalPodAutoscalerConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizontalPodAutoscalerConfig {
    /// Name of the HPA that KEDA makes; `keda-hpa-<name>` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Passed to the HPA as it is; left out, the HPA has no behavior at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// `spec.advanced.scalingModifiers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingModifiers {
    /// Combines the named triggers to one value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Target of the combined value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `activationTarget`: active above this; 0 when left out.
    #[serde(alias = "activationTarget", default, skip_serializing_if = "Option::is_none")]
    pub activation_target: Option<String>,
    /// `metricType`: `AverageValue` when left out.
    #[serde(alias = "metricType", default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<MetricType>,
}

/// `metricType` of a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricType {
    /// The value is shared between the replicas.
    #[default]
    AverageValue,
    /// The value is compared as it is.
    Value,
    /// Only for cpu and memory.
    Utilization,
}

impl MetricType {
    /// The target of an external metric. `Utilization` is none, and refused where triggers are read.
    pub(super) fn target(self, milli: MilliValue) -> MetricTarget {
        match self {
            MetricType::Value => MetricTarget::Value(milli),
            MetricType::AverageValue | MetricType::Utilization => MetricTarget::AverageValue(milli),
        }
    }
}

/// One entry of `spec.triggers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The scaler: `prometheus`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Names the trigger for formulas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `metricType`: `AverageValue` when left out.
    #[serde(alias = "metricType", default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<MetricType>,
    /// `useCachedMetrics`: the HPA is served the last poll's value; false when left out.
    #[serde(alias = "useCachedMetrics", default, skip_serializing_if = "Option::is_none")]
    pub use_cached_metrics: Option<bool>,
    /// Settings of the scaler, verbatim: KEDA's camelCase keys, every value a string.
    pub metadata: IndexMap<String, String>,
    /// `authenticationRef`: carried to the export, of no effect on a run.
    #[serde(alias = "authenticationRef", default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,
}

/// `authenticationRef` of a trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthenticationRef {
    /// Name of the TriggerAuthentication.
    pub name: String,
    /// `TriggerAuthentication` or `ClusterTriggerAuthentication`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}
