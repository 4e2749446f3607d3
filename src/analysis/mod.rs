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
//! `comparison` puts the answers of several policies side by side, and `lower_bound` beside them what no policy can go below.
//!
//! The wing runs worlds only through [`Worlds`], and knows nothing of how they are built.

mod attainment;
mod comparison;
mod grid;
mod journal;
mod latency;
mod load;
mod lower_bound;
mod ranking;
mod repetition;
mod score;
mod sweep;
mod timeline;
mod verdict;
mod worlds;

pub use attainment::ClassTargets;
pub use comparison::{CompareError, Comparison, Pair, Regret, compare};
pub use grid::{Axis, Plan, Point, PointId, Setting};
pub use journal::Journal;
pub use latency::EXACT_UP_TO;
pub use lower_bound::{Bounded, Found, Infeasible, Optimum, RELAXATION, least_gpu_hours, optimum};
pub use ranking::{Ranking, Standing};
pub use repetition::{Answer, Interval, repeat, seeds};
pub use score::{Bill, Score, Scoring};
pub use sweep::{PointResult, Progress, SweepError, Swept, sweep};
pub use timeline::{Bin, Timeline};
pub use verdict::{Bounds, Verdict};
pub use worlds::{Bug, RunError, Stop, Worlds};
