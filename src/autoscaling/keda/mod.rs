//! The KEDA operator (kedacore/keda v2.20): its poll loop, and what it answers the HPA.

mod annotations;
mod conditions;
mod executor;
mod fallback;
mod scaled_object;
mod version;

pub use annotations::Annotations;
pub use conditions::{Condition, Event, Reason, Status};
pub use executor::{Rule, ScaleRequest, ScaleResult, request_scale};
pub use fallback::{FallbackContext, FallbackStatus, Health, HealthStatus, MetricWithFallback, Workload};
pub use scaled_object::{
    Advanced, AuthenticationRef, Fallback, FallbackBehavior, HorizontalPodAutoscalerConfig, MetricType,
    ScaledObjectSpec, ScalingModifiers, Trigger,
};
pub use version::KedaVersion;
