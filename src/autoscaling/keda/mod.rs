//! The KEDA operator (kedacore/keda v2.20): its poll loop, and what it answers the HPA.
//!
//! [`KedaOperator`] drives the rest: [`PrometheusTrigger`] reads an answer of Prometheus, `fallback` stands in for
//! errors, `executor` moves the target between zero and the minimum, `hpa` makes the HPA, and [`validate`] refuses what
//! KEDA would refuse or what is not simulated.

mod annotations;
mod conditions;
mod executor;
mod fallback;
pub mod formula;
mod hpa;
mod operator;
mod prometheus_scaler;
mod scaled_object;
pub mod validate;
mod version;

pub use annotations::Annotations;
pub use conditions::{Condition, Event, Reason, Status};
pub use executor::{Rule, ScaleRequest, ScaleResult, request_scale};
pub use fallback::{FallbackContext, FallbackStatus, Health, HealthStatus, MetricWithFallback, Workload};
pub use hpa::{generate_hpa, hpa_behavior, hpa_name, metric_name};
pub use operator::{KedaOperator, PollDecision, Source, TriggerReading};
pub use prometheus_scaler::{PrometheusTrigger, QueryOutcome};
pub use scaled_object::{
    Advanced, AuthenticationRef, Fallback, FallbackBehavior, HorizontalPodAutoscalerConfig, MetricType,
    ScaledObjectSpec, ScalingModifiers, Trigger,
};
pub use version::KedaVersion;
