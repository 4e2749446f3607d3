//! The sensor: what Prometheus knows, and when.

pub mod kube_state_metrics;
pub mod labels;
pub mod never_match;
pub mod promql;
pub mod scrape;
pub mod series;
mod settings;
pub mod vllm_metrics;

pub use settings::{Discovery, MonitoringSpec};
