//! The sensor: what Prometheus knows, and when.

pub mod kube_state_metrics;
pub mod labels;
mod nearest;
pub mod promql;
pub mod scrape;
pub mod series;
mod settings;

pub use settings::{Discovery, MonitoringSpec};
