//! Aggregation: `sum by (pod) (…)` and its relatives (promql/engine.go, `aggregation` and `aggregationK`).

use super::eval::Evaluation;
use super::plan::{LabelRule, Scalar, Vector};
use super::semantics::Semantics;
use super::sum::{Compensated, Mean, quantile};
use super::value::{ExecutionError, LabelsId, Sample};
use std::cmp::Ordering;

/// An aggregation with what it knows of the label sets that it has met.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) aggregator: Aggregator,
    pub(super) of: Vector,
    pub(super) grouping: LabelRule,
}

/// The aggregation operators. What is not here is refused by name before anything runs.
#[derive(Clone, Debug)]
pub(super) enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Quantile(Scalar),
    Topk(Scalar),
    Bottomk(Scalar),
}

/// The names of the aggregators, for messages.
pub(super) const NAMES: &str = "avg, bottomk, count, group, max, min, quantile, stddev, stdvar, sum, topk";

impl Aggregate {
    pub(super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let parameter = match &mut self.aggregator {
            Aggregator::Quantile(parameter)
            | Aggregator::Topk(parameter)
            | Aggregator::Bottomk(parameter) => evaluation.scalar(parameter, now)?,
            _ => f64::NAN,
        };
        let vector = evaluation.vector(&mut self.of, now)?;
        match self.aggregator {
            Aggregator::Quantile(_) => {
                let mut groups = self.gather(evaluation, &vector, |sample| sample.value);
                let one = |(labels, values): &mut (LabelsId, Vec<f64>)| Sample {
                    labels: *labels,
                    value: quantile(parameter, values),
                };
                Ok(groups.iter_mut().map(one).collect())
            }
            Aggregator::Topk(_) | Aggregator::Bottomk(_) => {
                let descending = matches!(self.aggregator, Aggregator::Topk(_));
                let Some(k) = at_most(parameter, vector.len())? else { return Ok(Vec::new()) };
                let groups = self.gather(evaluation, &vector, |sample| sample);
                Ok(groups
                    .into_iter()
                    .flat_map(|(_, samples)| ranked(samples, descending).into_iter().take(k))
                    .collect())
            }
            _ => Ok(self.fold(evaluation, &vector)),
        }
    }

    /// The samples of each group, groups in order of their first sample.
    fn gather<T>(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        vector: &[Sample],
        keep: impl Fn(Sample) -> T,
    ) -> Vec<(LabelsId, Vec<T>)> {
        let mut groups: Vec<(LabelsId, Vec<T>)> = Vec::new();
        evaluation.marks.restart();
        for sample in vector {
            let group = self.grouping.apply(sample.labels, evaluation.table);
            match evaluation.marks.get(group) {
                Some(at) => groups[at].1.push(keep(*sample)),
                None => {
                    evaluation.marks.set(group, groups.len());
                    groups.push((group, vec![keep(*sample)]));
                }
            }
        }
        groups
    }

    /// The aggregations that need no more of a group than a few numbers.
    fn fold(&mut self, evaluation: &mut Evaluation<'_>, vector: &[Sample]) -> Vec<Sample> {
        let mut groups: Vec<(LabelsId, Folded)> = Vec::new();
        evaluation.marks.restart();
        for sample in vector {
            let group = self.grouping.apply(sample.labels, evaluation.table);
            match evaluation.marks.get(group) {
                Some(at) => groups[at].1.add(sample.value, evaluation.rules),
                None => {
                    evaluation.marks.set(group, groups.len());
                    groups
                        .push((group, Folded::starting_at(&self.aggregator, sample.value, evaluation.rules)));
                }
            }
        }
        groups.into_iter().map(|(labels, folded)| Sample { labels, value: folded.finish() }).collect()
    }
}

/// What a group has come to.
#[derive(Clone, Copy, Debug)]
enum Folded {
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
    fn starting_at(aggregator: &Aggregator, first: f64, rules: &Semantics) -> Self {
        match aggregator {
            Aggregator::Avg => Folded::Avg(Mean::starting_at(first, rules.compensated_sum, false)),
            Aggregator::Min => Folded::Min(first),
            Aggregator::Max => Folded::Max(first),
            Aggregator::Count => Folded::Count(1.0),
            Aggregator::Group => Folded::Group,
            Aggregator::Stddev | Aggregator::Stdvar => {
                let poisoned = !first.is_finite() && rules.deviation_of_non_finite_is_nan;
                let squares = if poisoned { f64::NAN } else { 0.0 };
                let root = matches!(aggregator, Aggregator::Stddev);
                Folded::Variance { count: 1.0, mean: first, squares, root }
            }
            // The others gather their samples and never come here.
            Aggregator::Sum | Aggregator::Quantile(_) | Aggregator::Topk(_) | Aggregator::Bottomk(_) => {
                Folded::Sum(Compensated::starting_at(first))
            }
        }
    }

    fn add(&mut self, value: f64, rules: &Semantics) {
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

    fn finish(self) -> f64 {
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

/// `k` of `topk`, at most `len`; `None` where nothing is asked for.
fn at_most(k: f64, len: usize) -> Result<Option<usize>, ExecutionError> {
    // The bounds of Go's conversion to int64.
    if k.is_nan() || k.abs() >= 9_223_372_036_854_774_784.0 {
        return Err(ExecutionError(format!("Scalar value {k} overflows int64")));
    }
    Ok((k >= 1.0).then_some((k as usize).min(len)))
}

/// The samples from the best to the worst; NaN is worst, equal ones stay in order.
pub(super) fn ranked(mut samples: Vec<Sample>, descending: bool) -> Vec<Sample> {
    samples.sort_by(|a, b| {
        let by_value = a.value.partial_cmp(&b.value).unwrap_or(Ordering::Equal);
        let by_value = if descending { by_value.reverse() } else { by_value };
        a.value.is_nan().cmp(&b.value.is_nan()).then(by_value)
    });
    samples
}

#[cfg(test)]
mod tests {
    use super::super::semantics::Release;
    use super::*;

    fn folded(aggregator: Aggregator, values: &[f64], release: Release) -> f64 {
        let rules = release.semantics();
        let mut folded = Folded::starting_at(&aggregator, values[0], &rules);
        values[1..].iter().for_each(|&value| folded.add(value, &rules));
        folded.finish()
    }

    #[test]
    fn nan_poisons_sums_and_gives_way_in_min_and_max() {
        let values = [f64::NAN, 2.0, 5.0];
        for aggregator in [Aggregator::Sum, Aggregator::Avg, Aggregator::Stddev] {
            assert!(folded(aggregator, &values, Release::V3_5).is_nan());
        }
        assert_eq!(folded(Aggregator::Min, &values, Release::V3_5), 2.0);
        assert_eq!(folded(Aggregator::Max, &values, Release::V3_5), 5.0);
        assert_eq!(folded(Aggregator::Count, &values, Release::V3_5), 3.0);
        assert_eq!(folded(Aggregator::Group, &values, Release::V3_5), 1.0);
    }

    #[test]
    fn sums_are_compensated_since_3() {
        let values = [1.0, 1e17, 1.0, -1e17];
        assert_eq!(folded(Aggregator::Sum, &values, Release::V3_5), 2.0);
        assert_eq!(folded(Aggregator::Sum, &values, Release::V2_53), 0.0);
    }

    #[test]
    fn deviation_is_of_the_population_and_a_single_nan_differs_by_release() {
        assert_eq!(folded(Aggregator::Stdvar, &[1.0, 3.0], Release::V3_5), 1.0);
        assert_eq!(folded(Aggregator::Stddev, &[1.0, 5.0], Release::V3_5), 2.0);
        assert!(folded(Aggregator::Stddev, &[f64::NAN], Release::V3_5).is_nan());
        assert_eq!(folded(Aggregator::Stddev, &[f64::NAN], Release::V2_53), 0.0);
    }

    #[test]
    fn k_is_truncated_and_bounded() {
        assert_eq!(at_most(2.9, 5), Ok(Some(2)));
        assert_eq!(at_most(9.0, 5), Ok(Some(5)));
        assert_eq!(at_most(0.9, 5), Ok(None));
        assert!(at_most(f64::NAN, 5).is_err() && at_most(1e19, 5).is_err());
    }

    #[test]
    fn nan_ranks_last_both_ways() {
        let samples = [f64::NAN, 1.0, 3.0].map(|value| Sample { labels: LabelsId::EMPTY, value });
        let values =
            |descending| ranked(samples.to_vec(), descending).iter().map(|s| s.value).collect::<Vec<_>>();
        assert_eq!(values(true)[..2], [3.0, 1.0]);
        assert_eq!(values(false)[..2], [1.0, 3.0]);
        assert!(values(true)[2].is_nan() && values(false)[2].is_nan());
    }
}
