//! How fast, how large and how soon: what one replica of a model on a GPU can do.
//!
//! ```text
//!   models/NAME.toml ─► ModelFile ─┬─► StepTime      wall time of one engine step
//!   gpus.toml ──────┐              ├─► kv_blocks     how many KV-cache blocks the memory holds
//!   architectures ──┴─► Catalogue ─┼─► Startup       from a node to Ready, phase by phase
//!                                  └─► price, request path
//! ```
//!
//! A combination of architecture, GPU and parallelism that has no file of its own is [estimated](estimate) from the nearest
//! one that has, else from the [roofline]. Every number says where it comes from: see [`Provenance`].

pub mod architectures;
pub mod by_name;
pub mod cuda_graphs;
pub mod estimate;
pub mod gpus;
pub mod kv_capacity;
pub mod least_work;
pub mod model;
pub mod model_file;
pub mod piecewise;
pub mod provenance;
pub mod roofline;
pub mod startup;
pub mod step_time;
pub mod step_time_spec;
pub mod typical;

pub use architectures::{Architecture, Dtype};
pub use by_name::{ByName, Catalogue};
pub use cuda_graphs::CudaGraphs;
pub use estimate::Combination;
pub use gpus::Gpu;
pub use kv_capacity::KvCacheSpec;
pub use least_work::LeastWork;
pub use model::ModelSpec;
pub use model_file::{ModelFile, RequestPath};
pub use provenance::{Knowledge, Provenance};
pub use startup::{Startup, StartupOverlay, StartupPhase, StartupPlan, StartupSpec};
pub use step_time::StepTime;
pub use step_time_spec::StepTimeSpec;
