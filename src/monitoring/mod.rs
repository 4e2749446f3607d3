//! The sensor: what Prometheus knows, and when.
