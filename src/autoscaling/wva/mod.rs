//! llm-d's Workload Variant Autoscaler, its first analyzer (llm-d/llm-d-workload-variant-autoscaler v0.5.1,
//! `internal/saturation`), for one variant.
//!
//! ```text
//!   two queries ─► replicas ─► analysis ─► target ─► wva_desired_replicas ─scrape─► Prometheus
//!    (1 min peaks)  (by pod)   (spare)     (+1, -1)                                     │ prometheus-adapter
//!                                                     spec.replicas ◄─ HPA, AverageValue 1 ◄┘
//! ```

mod analysis;
mod engine;
mod replicas;
mod spec;

pub use analysis::{Analysis, Replica, SaturationScalingConfig};
pub use engine::{Action, Decision, OPTIMIZATION_INTERVAL, Observed, Optimizer};
pub use spec::{DESIRED_REPLICAS, WvaSpec, queries};
