//! Score, repeat, sweep: from records to verdicts.
//!
//! ```text
//!     records ─► score ─► Summary ─► repetition ─► Answer ─► verdict
//!                                        ▲            │
//!                        grid ─► sweep ──┘            └────► ranking
//!                                  │
//!                               journal (what is finished survives)
//! ```
//!
//! The wing runs worlds only through [`Worlds`], and knows nothing of how they are built.

mod attainment;
mod grid;
mod journal;
mod latency;
mod load;
mod ranking;
mod repetition;
mod score;
mod sweep;
mod timeline;
mod verdict;
mod worlds;

pub use attainment::ClassTargets;
pub use grid::{Axis, Plan, Point, PointId, Setting};
pub use journal::Journal;
pub use latency::EXACT_UP_TO;
pub use ranking::{Ranking, Standing};
pub use repetition::{Answer, Interval, repeat, seeds};
pub use score::{Bill, Score, Scoring};
pub use sweep::{PointResult, Progress, SweepError, Swept, sweep};
pub use timeline::{Bin, Timeline};
pub use verdict::{Bounds, Verdict};
pub use worlds::{Bug, RunError, Stop, Worlds};
