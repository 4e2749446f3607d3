//! One vLLM V1 engine: its scheduler, its KV cache, and the loop that runs steps on a clock.
//!
//! ```text
//!   requests ─► input queue ─► scheduler ─► batch ─► step time ─► outputs ─► client
//!                                 │  ▲                                 │
//!                                 ▼  └──────────── update ◄────────────┘
//!                              KV cache
//! ```

mod batch;

pub use batch::{BatchShape, StepTimer};
