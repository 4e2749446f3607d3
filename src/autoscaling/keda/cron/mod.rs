//! Cron as KEDA's cron scaler uses it: the standard five fields of `github.com/robfig/cron/v3` (v3.0.1) and time zones
//! as Go's `time` package reads them.
//!
//! Crates for cron exist. Their languages differ from robfig's (seconds and years, `L` and `W`, Sunday as 7, the
//! meaning of a day of the month beside a day of the week), and none follows its steps through a change of the clocks.

mod fields;
mod location;
mod schedule;

pub use location::Location;
pub use schedule::Schedule;
