//! The KEDA operator (kedacore/keda v2.20): its poll loop, and what it answers the HPA.

mod scaled_object;

pub use scaled_object::{
    Advanced, AuthenticationRef, Fallback, FallbackBehavior, HorizontalPodAutoscalerConfig, MetricType,
    ScaledObjectSpec, ScalingModifiers, Trigger,
};
