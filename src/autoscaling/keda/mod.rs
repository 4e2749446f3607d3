//! The KEDA operator (kedacore/keda v2.15 to v2.20): its poll loop, and what it answers the HPA.
//!
//! [`KedaOperator`] drives the rest: a [`Scaler`] is worth a value, `fallback` stands in for errors, `executor` moves the
//! target between zero and the minimum, `hpa` makes the HPA, `status` tells what `kubectl` shows, and [`validate`] refuses
//! what KEDA would refuse or what is not simulated. [`KedaVersion`] says where releases differ.

mod annotations;
mod composite_scaler;
mod conditions;
pub mod cron;
mod cron_scaler;
mod events;
mod executor;
mod external_metric;
mod fallback;
#[cfg(test)]
mod fixture;
pub mod formula;
mod hpa;
mod metadata;
mod operator;
mod poll;
mod prometheus_scaler;
mod pruning;
mod reading;
mod scaled_object;
mod scaler;
mod status;
pub mod validate;
mod version;

pub use annotations::Annotations;
pub use composite_scaler::{CompositeReading, CompositeSource};
pub use conditions::{Condition, Reason, Status};
pub use cron_scaler::CronTrigger;
pub use events::Event;
pub use executor::{Rule, ScaleRequest, ScaleResult, request_scale};
pub use external_metric::Told;
pub use fallback::{
    COMPOSITE_METRIC, FallbackContext, FallbackStatus, Health, HealthStatus, MetricWithFallback, Workload,
};
pub use hpa::{generate_hpa, hpa_behavior, hpa_name};
pub use operator::{KedaOperator, ObjectNames};
pub use poll::PollDecision;
pub use prometheus_scaler::{PrometheusTrigger, QueryOutcome};
pub use reading::{Source, TriggerReading};
pub use scaled_object::{
    Advanced, AuthenticationRef, Fallback, FallbackBehavior, HorizontalPodAutoscalerConfig, MetricType,
    ScaledObjectSpec, ScalingModifiers, Trigger,
};
pub use scaler::Scaler;
pub use status::ScaledObjectStatus;
pub use version::KedaVersion;
