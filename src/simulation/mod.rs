//! The loop: the only place that wires plant, sensor and controller to a clock.
//!
//! A reader's way in: [`World`] holds everything, `step` is one `match` on the next event, one line an arm. The arms are
//! in `traffic` (requests), `fleet` (pods and nodes), `telemetry` (scrapes) and `control` (KEDA and the HPA).

mod checkers;
mod control;
mod event;
mod fleet;
mod flight;
mod level;
pub mod record;
mod setup;
pub mod summary;
mod telemetry;
mod traffic;
mod world;

pub use control::{Autoscaling, KedaSetup};
pub use setup::{EngineSetup, MonitoringSetup, RequestPath, ServingSetup, Setup, Target};
pub use world::World;
