//! Events that KEDA records of a ScaledObject, with their texts (`pkg/eventreason/eventreason.go`,
//! `pkg/common/message/message.go`, `pkg/scaling`, v2.20.2).

use super::operator::ObjectNames;
use crate::autoscaling::describe::{DescribedEvent, EventType};
use crate::units::Replicas;
use serde::{Serialize, Serializer};

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The target was scaled up from zero or idle.
    ScaleTargetActivated,
    /// The target was scaled down to zero or idle.
    ScaleTargetDeactivated,
    /// A trigger could not be read.
    ScalerFailed,
    /// A trigger of a formula could not be read.
    MetricSourceFailed,
    /// A poll found the first metric that falls back (since v2.19).
    FallbackActivated,
    /// A poll found that no metric falls back any more (since v2.19).
    FallbackDeactivated,
}

impl Event {
    const fn reason(self) -> &'static str {
        match self {
            Event::ScaleTargetActivated => "KEDAScaleTargetActivated",
            Event::ScaleTargetDeactivated => "KEDAScaleTargetDeactivated",
            Event::ScalerFailed => "KEDAScalerFailed",
            Event::MetricSourceFailed => "KEDAMetricSourceFailed",
            Event::FallbackActivated => "ScaledObjectFallbackActivated",
            Event::FallbackDeactivated => "ScaledObjectFallbackDeactivated",
        }
    }

    fn normal(self, message: String) -> DescribedEvent {
        DescribedEvent { kind: EventType::Normal, reason: self.reason(), message }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reason())
    }
}

/// A trigger that could not be read, by itself or for a formula.
pub(super) fn scaler_failed(error: &str, for_formula: bool) -> DescribedEvent {
    let event = if for_formula { Event::MetricSourceFailed } else { Event::ScalerFailed };
    let reason = event.reason();
    DescribedEvent { kind: EventType::Warning, reason, message: error.to_owned() }
}

/// The first metric that falls back, or the end of that.
pub(super) fn fallback(active: bool) -> DescribedEvent {
    if active {
        Event::FallbackActivated.normal("ScaledObject fallback is active".to_owned())
    } else {
        Event::FallbackDeactivated.normal("ScaledObject fallback is no longer active".to_owned())
    }
}

/// What the executor did to the target; `cause` is the names of the active triggers, or `None` where the annotation forces
/// activation.
pub(super) fn scaled(
    event: Event,
    target: &ObjectNames,
    (from, to): (Replicas, Replicas),
    cause: Option<&[&str]>,
) -> DescribedEvent {
    let target = format!("apps/v1.Deployment {}/{} from {from} to {to}", target.namespace, target.deployment);
    match (event, cause) {
        (Event::ScaleTargetDeactivated, _) => event.normal(format!("Deactivated {target}")),
        (_, None) => event.normal(format!("Scaled {target}, caused by forced activation annotation")),
        (_, Some(triggers)) => event.normal(format!("Scaled {target}, triggered by {}", triggers.join(";"))),
    }
}
