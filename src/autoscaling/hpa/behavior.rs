//! `spec.behavior` of an HPA (autoscaling/v2), as users write it and as the API server completes it.

use serde::{Deserialize, Serialize};

/// `behavior`: `None` fields are what the user left out. An HPA without any behavior takes another code path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behavior {
    /// Rules upwards.
    #[serde(alias = "scaleUp", skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Rules downwards.
    #[serde(alias = "scaleDown", skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// `HPAScalingRules`: one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingRules {
    /// Seconds, 0..=3600.
    #[serde(alias = "stabilizationWindowSeconds", skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i32>,
    /// Which policy wins; `Max` when left out.
    #[serde(alias = "selectPolicy", skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// Rate limits; a list that is given replaces the defaults whole and may not be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// A `resource.Quantity` text such as `"50m"` (0.05); overrides the cluster's tolerance in this direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<String>,
}

/// `ScalingPolicySelect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectPolicy {
    /// The policy that allows the largest change.
    #[default]
    Max,
    /// The policy that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// `HPAScalingPolicy`: at most so much change in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingPolicy {
    /// Unit of `value`.
    #[serde(rename = "type")]
    pub kind: PolicyKind,
    /// Pods or percent, above 0.
    pub value: i32,
    /// Seconds, 1..=1800.
    #[serde(alias = "periodSeconds")]
    pub period_seconds: i32,
}

/// `HPAScalingPolicyType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// An absolute number of pods.
    Pods,
    /// Percent of the size at the start of the period.
    Percent,
}
