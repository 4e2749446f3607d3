//! The Horizontal Pod Autoscaler's controller (Kubernetes `pkg/controller/podautoscaler`).

mod behavior;

pub use behavior::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};
