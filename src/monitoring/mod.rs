//! The sensor: what Prometheus knows, and when.

pub mod dcgm;
pub mod epp_metrics;
pub mod exposition;
pub mod faults;
mod keep;
pub mod kube_state_metrics;
pub mod labels;
pub mod never_match;
pub mod promql;
pub mod router_metrics;
pub mod rules;
pub mod scrape;
pub mod series;
mod settings;
pub mod vllm_metrics;
pub mod wal;
pub mod wva_metrics;

pub use keep::Keep;
pub use settings::{Discovery, MonitoringSpec};
