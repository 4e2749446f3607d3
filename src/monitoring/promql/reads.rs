//! What a query reads: which series, and how far back.

use super::matcher::{MatchOp, Matcher};
use super::selector::{At, LOOKBACK, Shift};
use crate::monitoring::labels::METRIC_NAME;
use crate::units::SimDuration;

/// One selector of a query.
#[derive(Clone, Debug)]
pub struct Read {
    /// All of them must match; the metric's name is one.
    pub matchers: Vec<Matcher>,
    /// How long before the instant of an evaluation the oldest sample may be that it uses: range, offset, the lookback
    /// of five minutes and the subqueries around it, together. [`SimDuration::MAX`] under `@` with a fixed instant.
    pub look_behind: SimDuration,
}

impl Read {
    /// The name of the metric, where the selector fixes it.
    pub fn metric(&self) -> Option<&str> {
        let name = self.matchers.iter().find(|matcher| matcher.name == METRIC_NAME)?;
        (name.op == MatchOp::Equal).then_some(name.value.as_str())
    }
}

/// The subqueries around a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Milliseconds that they look back, `None` for ever.
    back: Option<i64>,
    /// How many evaluations they ask for together.
    pub(super) steps: i64,
}

impl Default for Scope {
    fn default() -> Self {
        Scope { back: Some(0), steps: 1 }
    }
}

impl Scope {
    /// The scope inside one more subquery.
    pub(super) fn inside(self, shift: Shift, range: i64, step: i64) -> Self {
        Scope { back: self.reach(shift, range), steps: self.steps.saturating_mul(range / step + 1) }
    }

    /// How far a selector with a range of so many milliseconds looks back.
    pub(super) fn look_behind(self, shift: Shift, range: i64) -> SimDuration {
        // An instant selector reaches back the lookback, a range its range; both for either costs nothing.
        match self.reach(shift, range + LOOKBACK) {
            Some(ms) => {
                let millisecond = SimDuration::from_millis(1);
                millisecond.checked_mul(ms.max(0).unsigned_abs()).unwrap_or(SimDuration::MAX)
            }
            None => SimDuration::MAX,
        }
    }

    fn reach(self, shift: Shift, range: i64) -> Option<i64> {
        match shift.at {
            At::Now => self.back.map(|back| back + shift.offset.max(0) + range),
            At::Start | At::End => Some(shift.offset.max(0) + range),
            At::Fixed(_) => None,
        }
    }
}
