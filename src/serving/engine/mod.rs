//! One vLLM V1 engine: its scheduler, its KV cache, and the loop that runs steps on a clock.
//!
//! ```text
//!   requests ─► input queue ─► scheduler ─► batch ─► step time ─► outputs ─► client
//!                                 │  ▲                                 │
//!                                 ▼  └──────────── update ◄────────────┘
//!                              KV cache
//! ```
//!
//! - [`EngineArgs`] are vLLM's flags; [`EngineArgs::resolve`] fills in its defaults and gives an [`EngineConfig`].
//! - [`Scheduler`] is vLLM's scheduler, pass by pass and without a clock: [`Scheduler::schedule`] gives out a step's
//!   tokens, [`Scheduler::update`] takes its outputs back. It matches the real one, 0.32, step by step.
//! - A [`KvCache`] is what it gives out: [`BlockCache`] as vLLM keeps it, or [`RunLengthCache`], which behaves the same.
//! - [`EngineCore`] puts it on a clock: an [`Engine`] that runs every pass. How long a step takes is for a
//!   [`StepTimer`] to say.
//! - [`Stats`] is what the API process' `/metrics` would show.
//!
//! ```
//! use dryscale::serving::engine::*;
//! use dryscale::units::{Blocks, SimDuration, SimTime, Tokens};
//! use dryscale::workload::Finish;
//! use std::sync::Arc;
//!
//! struct TenMillis;
//! impl StepTimer for TenMillis {
//!     fn step_time(&self, _: &BatchShape) -> SimDuration {
//!         SimDuration::from_millis(10)
//!     }
//!     fn decode_form(&self, _: u32) -> DecodeForm {
//!         DecodeForm::constant(SimDuration::from_millis(10))
//!     }
//! }
//!
//! let gpu = GpuClass { name: "NVIDIA L4".into(), memory_bytes: 24 << 30 };
//! let config = EngineArgs::default().resolve(&gpu, &ModelLimits { max_model_len: Tokens(8192) })?;
//! let mut engine = EngineCore::new(config, Blocks(2000), Arc::new(TenMillis), EngineTiming::default())?;
//!
//! let request = EngineRequest {
//!     id: RequestId(0),
//!     arrival_time: SimTime::ZERO,
//!     prompt: Arc::from([]),
//!     prompt_tokens: Tokens(700),
//!     output_tokens: Tokens(3),
//!     finish: Finish::Length,
//!     max_tokens: None,
//!     output_content: None,
//!     priority: 0,
//!     measured: true,
//! };
//! engine.submit(SimTime::ZERO, request).expect("it fits");
//! let mut heard = Vec::new();
//! while let Some(now) = engine.next_event() {
//!     engine.advance(now, &mut heard);
//! }
//! let first_token_at = SimTime::ZERO + SimDuration::from_millis(10);
//! assert_eq!(heard[0], Output::FirstToken { id: RequestId(0), at: first_token_at });
//! engine.catch_up(first_token_at);
//! assert_eq!(engine.stats(first_token_at).steps, 3);
//! # Ok::<(), dryscale::problem::Problem>(())
//! ```

mod args;
mod audit;
mod batch;
mod bucket_histogram;
mod config;
mod content;
mod engine_core;
mod fast;
mod flags;
mod in_flight;
mod journal;
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
pub use batch::{Admitted, Batch, BatchShape, DecodeForm, Scheduled, StepTimer};
pub use bucket_histogram::{BucketHistogram, Measure};
pub use config::{EngineConfig, SchedulingPolicy};
pub use engine_core::{Engine, EngineCore, EngineTiming};
pub use fast::{FastEngine, Unclocked};
pub use kv_cache::{BlockCache, KvCache, RunLengthCache};
pub use release::Release;
pub use request::{EngineRequest, FinishReason, Output, Refusal, RequestId, Usage};
pub use scheduler::{PrefixCacheStats, Scheduler, Slot};
pub use stats::{AdmissionRejections, RequestSuccess, Stats};
pub use update::TokenOutput;
