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
mod external;
mod flags;
mod horizontal_pod_autoscaler;
mod metrics;
mod pods;
mod policies;
pub mod prometheus_adapter;
mod reconcile;
mod spec;
mod stabilization;
mod status;
mod tolerance;
mod version;

pub use behavior::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};
pub use conditions::{Condition, Conditions, Reason};
pub use flags::ControllerManagerFlags;
pub(in crate::autoscaling) use horizontal_pod_autoscaler::bound_problems;
pub use horizontal_pod_autoscaler::{
    HorizontalPodAutoscalerSpec, MetricIdentifier, MetricKind, MetricSpec, TargetKind, TargetSpec,
};
pub use metrics::{Fetched, Proposal, propose};
pub use pods::{AdjustedUsage, Held, ListedPod, PodMetrics, PodState, PodsUsage};
pub use policies::{Limited, PolicyLimit};
pub use reconcile::{Decision, HpaState, Path, Plan, decide, plan};
pub(in crate::autoscaling) use spec::seconds_of;
pub use spec::{
    CompleteBehavior, CompleteRules, ExternalMetric, HpaSpec, Metric, MetricTarget, PodsMetric, Scale,
};
pub use stabilization::Stabilized;
pub use status::{CurrentMetric, HpaStatus, MetricNames};
pub use tolerance::Tolerance;
pub use version::KubernetesVersion;
