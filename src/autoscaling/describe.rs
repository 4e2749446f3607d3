//! What `kubectl describe` shows of any object: its conditions and its events.

use crate::units::SimTime;
use serde::{Serialize, Serializer};

/// A row under `Conditions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescribedCondition {
    /// `type`: `ScalingActive`, `Ready`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `status`: `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// `reason`, one word; empty where nothing has set it yet.
    pub reason: String,
    /// `message`, for people; likewise.
    pub message: String,
}

/// A row under `Events`, when it is recorded. `kubectl` counts equal ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescribedEvent {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// `reason`, one word.
    pub reason: &'static str,
    /// `message`, for people.
    pub message: String,
}

/// `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum EventType {
    /// All is well.
    Normal,
    /// Something is not.
    Warning,
}

impl DescribedCondition {
    /// A condition that nothing has set yet.
    pub fn unset(kind: &'static str, status: &'static str) -> Self {
        DescribedCondition { kind, status, reason: String::new(), message: String::new() }
    }
}

/// `serde(serialize_with)` for an instant, in seconds since the start of the run.
pub(super) fn as_seconds<S: Serializer>(at: &Option<SimTime>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(SimTime::as_secs_f64).serialize(serializer)
}
