//! The Horizontal Pod Autoscaler's controller (Kubernetes `pkg/controller/podautoscaler`).
//!
//! One sync, in the order of the files:
//!
//! ```text
//!   plan ─► fetch ─► metrics ─► largest proposal ─► stabilization ─► policies ─► spec.replicas
//!     │               (tolerance)                   (recommendations)  (events)
//!     └─ 0 replicas, above max, below min: decided without metrics
//! ```

mod behavior;
mod conditions;
mod events;
mod flags;
mod metrics;
mod policies;
mod reconcile;
mod spec;
mod stabilization;
mod status;
mod tolerance;
mod version;

pub use behavior::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};
pub use conditions::{Condition, Conditions, Reason};
pub use flags::ControllerManagerFlags;
pub use metrics::{Fetched, Proposal, propose};
pub use policies::{Limited, PolicyLimit};
pub use reconcile::{Decision, HpaState, Path, Plan, decide, plan};
pub(in crate::autoscaling) use spec::seconds_of;
pub use spec::{CompleteBehavior, CompleteRules, ExternalMetric, HpaSpec, MetricTarget, Scale};
pub use stabilization::Stabilized;
pub use status::{CurrentMetric, HpaStatus, MetricNames};
pub use tolerance::Tolerance;
pub use version::KubernetesVersion;
