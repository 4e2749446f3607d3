//! AIBrix's PodAutoscaler (vllm-project/aibrix v0.7.0, `pkg/controller/podautoscaler`), strategies APA and KPA.
//!
//! One reconcile, in the order of the files:
//!
//! ```text
//!   plan ─► pods' /metrics ─► windows ─► apa | kpa ─► largest proposal ─► cooldown ─► bounds ─► spec.replicas
//!     │       (fetch)         180 s, 60 s  (tolerances, rates)           (history)               │
//!     └─ 0 replicas, above max, below min: decided without metrics             status ─► again ◄─┘
//! ```
//!
//! Its third strategy, HPA, makes a plain HorizontalPodAutoscaler: [`crate::autoscaling::hpa`].

mod annotations;
mod apa;
mod cooldown;
mod fetch;
mod kpa;
mod metric;
mod pod_autoscaler;
mod reconcile;
mod resync;
mod status;
pub mod validate;
mod window;

pub use annotations::{Annotations, ScalingContext};
pub use apa::ApaProposal;
pub use cooldown::{Cooldown, Pick};
pub use fetch::{Collected, PodAnswer, Samples, collect};
pub use kpa::{KpaProposal, Mode};
pub use metric::engine_metric;
pub use pod_autoscaler::{MetricSource, MetricSourceType, PodAutoscalerSpec, ProtocolType, ScalingStrategy};
pub use reconcile::{
    Algorithm, Computed, Decision, Plan, PodAutoscaler, PodAutoscalerState, Proposal, decide, plan,
};
pub use resync::{RESYNC_INTERVAL, next_reconcile};
