//! Functions of a range that read the samples in order and need no room for them, so that they can be evaluated where the
//! samples lie.

use super::super::semantics::Semantics;
use super::super::value::Point;
use super::over_time;
use super::rate::{self, Spacing};

/// Such a function, by its name in PromQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reducer {
    Rate,
    Increase,
    Delta,
    AvgOverTime,
    CountOverTime,
    LastOverTime,
    MaxOverTime,
    MinOverTime,
    SumOverTime,
}

impl Reducer {
    /// The function's value for the samples of one series in a range from `start` to `end`, milliseconds since 1970; `None`
    /// leaves the series out, as does a series without samples. `spacing` is `None` for the first series of a range, and
    /// afterwards what the one before left.
    #[inline]
    pub(in super::super) fn reduce(
        self,
        samples: impl Iterator<Item = Point> + Clone,
        (start, end): (i64, i64),
        rules: &Semantics,
        spacing: &mut Option<Spacing>,
    ) -> Option<f64> {
        let bounds = (start, end);
        match self {
            Reducer::Rate => rate::extrapolated(samples, (true, true), bounds, rules, spacing),
            Reducer::Increase => rate::extrapolated(samples, (true, false), bounds, rules, spacing),
            Reducer::Delta => rate::extrapolated(samples, (false, false), bounds, rules, spacing),
            Reducer::AvgOverTime => over_time::avg(values(samples), rules),
            Reducer::CountOverTime => over_time::count(values(samples)),
            Reducer::LastOverTime => values(samples).last(),
            Reducer::MaxOverTime => over_time::max(values(samples)),
            Reducer::MinOverTime => over_time::min(values(samples)),
            Reducer::SumOverTime => over_time::sum(values(samples)),
        }
    }
}

fn values(samples: impl Iterator<Item = Point>) -> impl Iterator<Item = f64> {
    samples.map(|point| point.value)
}
