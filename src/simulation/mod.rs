//! The loop: the only place that wires plant, sensor and controller to a clock.
//!
//! A reader's way in: [`World`] holds everything, `step` is one `match` on the next event, one line an arm. What the arms
//! do is told along the loop:
//!
//! ```text
//!   clients ─► traffic ─► engines            telemetry ─► control
//!   (who sends) (gateway,  (batches,          (scrapes)    (autoscalers)
//!                router)    outputs)              ▲            │
//!                              ▲                  │            ▼ spec.replicas
//!                              └───── fleet, pods ┴────────────┘
//! ```

mod checkers;
mod clients;
mod control;
mod engines;
mod event;
mod exporters;
mod faults;
mod fleet;
mod flight;
mod gpu_readings;
mod level;
mod pods;
pub mod record;
mod setup;
pub mod summary;
mod telemetry;
mod timeline;
mod totals;
mod traffic;
mod world;

pub use control::{
    AibrixSetup, Autoscaling, HpaSetup, KedaSetup, KnativeSetup, Schedule, ScheduleStep, WvaSetup,
};
pub use exporters::Exporters;
pub use setup::{EngineKind, EngineSetup, MonitoringSetup, RequestPath, ServingSetup, Setup, Target};
pub use world::World;
