//! One vLLM V1 engine: its scheduler, its KV cache, and the loop that runs steps on a clock.
//!
//! ```text
//!   requests ─► input queue ─► scheduler ─► batch ─► step time ─► outputs ─► client
//!                                 │  ▲                                 │
//!                                 ▼  └──────────── update ◄────────────┘
//!                              KV cache
//! ```

mod args;
mod audit;
mod batch;
mod block_pool;
mod bucket_histogram;
mod config;
mod content;
mod engine_core;
mod flags;
mod kv_cache;
mod output_processor;
mod release;
mod request;
mod schedule;
mod scheduler;
mod stats;
mod update;
mod waiting;

#[cfg(test)]
mod properties;

pub use args::{EngineArgs, GpuClass, ModelLimits, PerformanceMode};
pub use batch::{Admitted, Batch, BatchShape, Scheduled, StepTimer};
pub use bucket_histogram::{BucketHistogram, Measure};
pub use config::{EngineConfig, SchedulingPolicy};
pub use engine_core::{Engine, EngineCore, EngineTiming};
pub use release::Release;
pub use request::{EngineRequest, FinishReason, Output, Refusal, RequestId, Usage};
pub use scheduler::{PrefixCacheStats, Scheduler, Slot};
pub use stats::{AdmissionRejections, RequestSuccess, Stats};
pub use update::TokenOutput;
