//! The aggregations that need no more of a group than a few numbers, one sample after the other (promql/engine.go,
//! `aggregation`).

use super::semantics::Semantics;
use super::sum::{Compensated, Mean};

/// Such an aggregation, by its name in PromQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
}

/// What a group has come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Folded {
    Sum(Compensated),
    Avg(Mean),
    /// NaN gives way to any number.
    Min(f64),
    Max(f64),
    Count(f64),
    Group,
    Variance {
        count: f64,
        mean: f64,
        squares: f64,
        root: bool,
    },
}

impl Folded {
    #[inline]
    pub(super) fn starting_at(fold: Fold, first: f64, rules: &Semantics) -> Self {
        match fold {
            Fold::Sum => Folded::Sum(Compensated::starting_at(first)),
            Fold::Avg => Folded::Avg(Mean::starting_at(first, rules.compensated_sum, false)),
            Fold::Min => Folded::Min(first),
            Fold::Max => Folded::Max(first),
            Fold::Count => Folded::Count(1.0),
            Fold::Group => Folded::Group,
            Fold::Stddev | Fold::Stdvar => {
                let poisoned = !first.is_finite() && rules.deviation_of_non_finite_is_nan;
                let squares = if poisoned { f64::NAN } else { 0.0 };
                let root = fold == Fold::Stddev;
                Folded::Variance { count: 1.0, mean: first, squares, root }
            }
        }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64, rules: &Semantics) {
        match self {
            Folded::Sum(sum) if rules.compensated_sum => sum.add(value),
            Folded::Sum(sum) => *sum = Compensated::starting_at(sum.total() + value),
            Folded::Avg(mean) => mean.add(value),
            Folded::Min(least) if *least > value || least.is_nan() => *least = value,
            Folded::Max(most) if *most < value || most.is_nan() => *most = value,
            Folded::Min(_) | Folded::Max(_) | Folded::Group => {}
            Folded::Count(count) => *count += 1.0,
            Folded::Variance { count, mean, squares, .. } => {
                // Welford's algorithm.
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
        }
    }

    pub(super) fn finish(self) -> f64 {
        match self {
            Folded::Sum(sum) => sum.total(),
            Folded::Avg(mean) => mean.total(),
            Folded::Min(value) | Folded::Max(value) | Folded::Count(value) => value,
            Folded::Group => 1.0,
            Folded::Variance { count, squares, root, .. } => {
                if root {
                    (squares / count).sqrt()
                } else {
                    squares / count
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::semantics::Release;
    use super::*;

    fn folded(fold: Fold, values: &[f64], release: Release) -> f64 {
        let rules = release.semantics();
        let mut folded = Folded::starting_at(fold, values[0], &rules);
        values[1..].iter().for_each(|&value| folded.add(value, &rules));
        folded.finish()
    }

    #[test]
    fn nan_poisons_sums_and_gives_way_in_min_and_max() {
        let values = [f64::NAN, 2.0, 5.0];
        for fold in [Fold::Sum, Fold::Avg, Fold::Stddev] {
            assert!(folded(fold, &values, Release::V3_5).is_nan());
        }
        assert_eq!(folded(Fold::Min, &values, Release::V3_5), 2.0);
        assert_eq!(folded(Fold::Max, &values, Release::V3_5), 5.0);
        assert_eq!(folded(Fold::Count, &values, Release::V3_5), 3.0);
        assert_eq!(folded(Fold::Group, &values, Release::V3_5), 1.0);
    }

    #[test]
    fn sums_are_compensated_since_3() {
        let values = [1.0, 1e17, 1.0, -1e17];
        assert_eq!(folded(Fold::Sum, &values, Release::V3_5), 2.0);
        assert_eq!(folded(Fold::Sum, &values, Release::V2_53), 0.0);
    }

    #[test]
    fn deviation_is_of_the_population_and_a_single_nan_differs_by_release() {
        assert_eq!(folded(Fold::Stdvar, &[1.0, 3.0], Release::V3_5), 1.0);
        assert_eq!(folded(Fold::Stddev, &[1.0, 5.0], Release::V3_5), 2.0);
        assert!(folded(Fold::Stddev, &[f64::NAN], Release::V3_5).is_nan());
        assert_eq!(folded(Fold::Stddev, &[f64::NAN], Release::V2_53), 0.0);
    }
}
