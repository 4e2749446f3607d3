//! The sensor: what Prometheus knows, and when.

mod keep;
pub mod kube_state_metrics;
pub mod labels;
pub mod never_match;
pub mod promql;
pub mod scrape;
pub mod series;
mod settings;
pub mod vllm_metrics;
pub mod wal;

pub use keep::Keep;
pub use settings::{Discovery, MonitoringSpec};
