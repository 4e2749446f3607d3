//! One vLLM V1 engine: its scheduler, its KV cache, and the loop that runs steps on a clock.
//!
//! ```text
//!   requests ─► input queue ─► scheduler ─► batch ─► step time ─► outputs ─► client
//!                                 │  ▲                                 │
//!                                 ▼  └──────────── update ◄────────────┘
//!                              KV cache
//! ```

mod args;
mod batch;
mod block_pool;
mod config;
mod content;
mod flags;
mod kv_cache;
mod release;
mod request;
mod schedule;
mod scheduler;
mod update;
mod waiting;

pub use args::{EngineArgs, GpuClass, ModelLimits, PerformanceMode};
pub use batch::{Admitted, Batch, BatchShape, Scheduled, StepTimer};
pub use config::{EngineConfig, SchedulingPolicy};
pub use release::Release;
pub use request::{EngineRequest, FinishReason, Output, Refusal, RequestId, Usage};
pub use scheduler::{PrefixCacheStats, Scheduler, Slot};
pub use update::TokenOutput;
