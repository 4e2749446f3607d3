//! `status.conditions` of an HPA, with the upstream names.

use serde::{Serialize, Serializer};
use std::fmt;

/// The three conditions; `None` was never set. They are carried from one reconcile to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// `AbleToScale`: whether the size can be read and set, and what stabilization did.
    pub able_to_scale: Option<Condition>,
    /// `ScalingActive`: whether a size can be computed.
    pub scaling_active: Option<Condition>,
    /// `ScalingLimited`: whether a bound or a rate limit changed the size. Reconciles that do not get so far leave it.
    pub scaling_limited: Option<Condition>,
}

/// Status and reason of one condition; printed `True/ValidMetricFound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: bool,
    /// Why.
    pub reason: Reason,
}

/// Reasons of conditions (`pkg/controller/podautoscaler/horizontal.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The target's size was read.
    SucceededGetScale,
    /// Stabilization left the proposal as it was.
    ReadyForNewScale,
    /// Recent recommendations were lower.
    ScaleUpStabilized,
    /// Recent recommendations were higher.
    ScaleDownStabilized,
    /// The target's size was changed.
    SucceededRescale,
    /// At least one metric gave a proposal.
    ValidMetricFound,
    /// The target has no replicas.
    ScalingDisabled,
    /// An external metric could not be had.
    FailedGetExternalMetric,
    /// A pods metric could not be had.
    FailedGetPodsMetric,
    /// No bound was touched.
    DesiredWithinRange,
    /// Cut to `maxReplicas`.
    TooManyReplicas,
    /// Raised to `minReplicas`.
    TooFewReplicas,
    /// Cut to what the scale-up rate allows.
    ScaleUpLimit,
    /// Raised to what the scale-down rate allows.
    ScaleDownLimit,
}

impl Condition {
    /// A condition that holds.
    pub(super) fn holds(reason: Reason) -> Option<Self> {
        Some(Condition { status: true, reason })
    }
    /// A condition that does not hold.
    pub(super) fn fails(reason: Reason) -> Option<Self> {
        Some(Condition { status: false, reason })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", if self.status { "True" } else { "False" }, self.reason)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_print_as_kubectl_users_know_them() {
        let conditions =
            Conditions { able_to_scale: Condition::holds(Reason::SucceededRescale), ..Conditions::default() };
        let json = serde_json::to_string(&conditions).expect("serializes");
        assert_eq!(
            json,
            r#"{"able_to_scale":"True/SucceededRescale","scaling_active":null,"scaling_limited":null}"#
        );
    }
}
