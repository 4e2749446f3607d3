//! Aggregation: `sum by (pod) (…)` and its relatives (promql/engine.go, `aggregation`,
//! `aggregationK` and `aggregationCountValues`).

use super::choice::Choice;
use super::eval::Evaluation;
use super::plan::{LabelRule, Scalar, Vector};
use super::semantics::Semantics;
use super::sum::{Compensated, Mean, quantile};
use super::value::{ExecutionError, LabelsId, Sample};

/// An aggregation with what it knows of the label sets that it has met.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) aggregator: Aggregator,
    pub(super) of: Vector,
    pub(super) grouping: LabelRule,
}

/// The aggregation operators.
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
    /// `count_values("label", v)`: the label that holds the value.
    CountValues(String),
    Choice(Choice, Scalar),
}

impl Aggregate {
    pub(super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let parameter = match &mut self.aggregator {
            Aggregator::Quantile(parameter) | Aggregator::Choice(_, parameter) => {
                evaluation.scalar(parameter, now)?
            }
            _ => f64::NAN,
        };
        let mut vector = evaluation.vector(&mut self.of, now)?;
        match &self.aggregator {
            Aggregator::Quantile(_) => {
                let mut groups = self.gather(evaluation, &vector, |sample| sample.value);
                let one = |(labels, values): &mut (LabelsId, Vec<f64>)| Sample {
                    labels: *labels,
                    value: quantile(parameter, values),
                };
                Ok(groups.iter_mut().map(one).collect())
            }
            Aggregator::Choice(choice, _) => {
                let choice = *choice;
                let Some(limit) = choice.limit(parameter, vector.len())? else { return Ok(Vec::new()) };
                let groups = self.gather(evaluation, &vector, |sample| sample);
                let table = &*evaluation.table;
                Ok(groups.into_iter().flat_map(|(_, samples)| choice.of(samples, limit, table)).collect())
            }
            Aggregator::CountValues(label) => {
                for sample in &mut vector {
                    sample.labels = evaluation.table.with(sample.labels, label, &go_decimal(sample.value));
                }
                Ok(self.fold(evaluation, &vector))
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
            Aggregator::Count | Aggregator::CountValues(_) => Folded::Count(1.0),
            Aggregator::Group => Folded::Group,
            Aggregator::Stddev | Aggregator::Stdvar => {
                let poisoned = !first.is_finite() && rules.deviation_of_non_finite_is_nan;
                let squares = if poisoned { f64::NAN } else { 0.0 };
                let root = matches!(aggregator, Aggregator::Stddev);
                Folded::Variance { count: 1.0, mean: first, squares, root }
            }
            // The others gather their samples and never come here.
            Aggregator::Sum | Aggregator::Quantile(_) | Aggregator::Choice(..) => {
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

/// The value as Go writes it without an exponent (`strconv.FormatFloat(v, 'f', -1, 64)`).
fn go_decimal(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    value.to_string()
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
    fn values_are_written_as_go_does() {
        for (value, text) in [
            (6.0, "6"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(go_decimal(value), text);
        }
    }
}
