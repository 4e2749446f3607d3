//! The sensor: what Prometheus knows, and when.

pub mod labels;
mod nearest;
pub mod promql;
pub mod series;
