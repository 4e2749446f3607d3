//! Functions of a range that read the samples in order and need no room for them, so that they can be evaluated where the
//! samples lie.

use super::super::semantics::Semantics;
use super::super::value::Point;
use super::{over_time, rate};

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
    /// leaves the series out, as does a series without samples.
    pub(in super::super) fn reduce(
        self,
        samples: impl DoubleEndedIterator<Item = Point> + Clone,
        (start, end): (i64, i64),
        rules: &Semantics,
    ) -> Option<f64> {
        let values = samples.clone().map(|point| point.value);
        match self {
            Reducer::Rate => {
                let increase = rate::extrapolated(samples, true, (start, end), rules)?;
                Some(increase.amount * (increase.factor / rate::seconds(end - start)))
            }
            Reducer::Increase => {
                let increase = rate::extrapolated(samples, true, (start, end), rules)?;
                Some(increase.amount * increase.factor)
            }
            Reducer::Delta => {
                let change = rate::extrapolated(samples, false, (start, end), rules)?;
                Some(change.amount * change.factor)
            }
            Reducer::AvgOverTime => over_time::avg(values, rules),
            Reducer::CountOverTime => over_time::count(values),
            Reducer::LastOverTime => samples.last().map(|point| point.value),
            Reducer::MaxOverTime => over_time::max(values),
            Reducer::MinOverTime => over_time::min(values),
            Reducer::SumOverTime => over_time::sum(values),
        }
    }
}
