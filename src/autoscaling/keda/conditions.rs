//! `status.conditions` of a ScaledObject, with the upstream names.

use serde::{Serialize, Serializer};
use std::fmt;

/// Status and reason of one condition; printed `False/ScalerCooldown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: Status,
    /// Why.
    pub reason: Reason,
}

/// `metav1.ConditionStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

/// Reasons of conditions (`pkg/scaling/executor/scale_scaledobjects.go`, `pkg/fallback/fallback.go`, v2.20.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Ready: nothing is wrong with the ScaledObject.
    ScaledObjectReady,
    /// Ready unknown: some triggers are active and some failed.
    PartialTriggerError,
    /// Not ready: no trigger is active and some failed, without a fallback.
    TriggerError,
    /// Active: a trigger is active, or activation is forced.
    ScalerActive,
    /// Not active: no trigger is.
    ScalerNotActive,
    /// Not active, but not yet long enough.
    ScalerCooldown,
    /// Paused by an annotation.
    ScaledObjectPaused,
    /// Fallback: some metric failed more often than the threshold.
    FallbackExists,
    /// No fallback: no metric did.
    NoFallbackFound,
}

impl Condition {
    pub(super) fn new(status: Status, reason: Reason) -> Self {
        Condition { status, reason }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.status, self.reason)
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
    fn names_are_upstreams() {
        let condition = Condition::new(Status::Unknown, Reason::PartialTriggerError);
        assert_eq!(condition.to_string(), "Unknown/PartialTriggerError");
    }
}
