//! The Knative Pod Autoscaler (knative/serving v1.23.0), for revisions of a Knative Service such as KServe's in Knative mode.
//!
//! [`Kpa`] drives the rest, in the order of the files:
//!
//! ```text
//!   stat, stats_scraper, activator ─► collection (aggregation) ─► autoscaler ─► scaler ─► spec.replicas
//!        requests in flight            stable and panic window     decider      bounds, last pod
//!                 ▲                                                                │
//!                 └── serverless_service: activator in the path? ◄── pod_autoscaler: Active?
//! ```
//!
//! [`KnativeSpec`] is what users write, [`ConfigAutoscaler`] the cluster's part of it, [`InferenceServiceComponent`] the same
//! in KServe's words.

mod activator;
mod aggregation;
mod annotations;
mod autoscaler;
mod collection;
mod config;
mod decider;
mod decision;
mod go_duration;
mod kpa;
mod kserve;
mod pod_autoscaler;
#[cfg(test)]
mod rehearsal;
mod scaler;
mod serverless_service;
mod spec;
mod stat;
mod stats_scraper;
mod validate;
mod wall_time;

pub use aggregation::{TimeWindow, TimedFloat64Buckets, WeightedFloat64Buckets};
pub use autoscaler::{Autoscaler, InvalidScale, PodListerError, ReadyCount, ScaleResult, ShapedBy};
pub use collection::{MetricError, Observed};
pub use config::ConfigAutoscaler;
pub use decider::DeciderSpec;
pub use decision::{Cause, Decision, Reconcile, ScaleTarget};
pub use go_duration::GoDuration;
pub use kpa::{Kpa, PodReport, Start};
pub use kserve::InferenceServiceComponent;
pub use pod_autoscaler::ActiveCondition;
pub use scaler::{Bound, ToZero};
pub use serverless_service::OperationMode;
pub use spec::{KnativeSpec, Metric, MetricAggregationAlgorithm};
pub use stat::{RequestStats, Route, Stat};
