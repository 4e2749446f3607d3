//! The loop: the only place that wires plant, sensor and controller to a clock.

pub mod record;
pub mod summary;
