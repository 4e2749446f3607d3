//! dryscale answers one question before anything is deployed: *what will this autoscaling policy do to my vLLM service?*
//!
//! It is a control loop, so the source tree is the control loop:
//!
//! ```text
//!     scenario ─► workload ─► router ─► engine (one per pod) ─► /metrics ─scrape─► series
//!                               ▲                                                    │ PromQL
//!                               │ ready pods                                         ▼
//!     report ◄─ score ◄─ record ◄─ deployment & pods ◄─ replicas ── HPA ◄─ metric ── KEDA
//! ```
//!
//! - [`workload`]: requests in time.
//! - [`serving`]: the **plant**. Engines, pods, nodes, the router.
//! - [`monitoring`]: the **sensor**. vLLM's metrics, Prometheus' scrapes, PromQL.
//! - [`autoscaling`]: the **controller**. KEDA and the HPA.
//! - [`simulation`]: the one place that closes the **loop**, on an integer clock with a total order of events.
//! - [`scenario`]: files that users write, turned into checked types.
//! - [`manifests`]: Kubernetes YAML, read and written.
//! - [`analysis`] and [`report`]: from records to verdicts.
//!
//! Components are plain state machines: `now` is an argument, there is no I/O, no clock and no global.

pub mod analysis;
pub mod autoscaling;
pub mod cli;
pub mod histogram;
pub mod lines;
pub mod manifests;
pub mod monitoring;
pub mod nearest;
pub mod problem;
pub mod progression;
pub mod random;
pub mod report;
pub mod scenario;
pub mod serving;
pub mod simulation;
pub mod units;
pub mod workload;
