//! Aggregation: `sum by (pod) (…)` and its relatives (promql/engine.go, `aggregation`,
//! `aggregationK` and `aggregationCountValues`).

use super::choice::Choice;
use super::eval::Evaluation;
use super::fold::{Fold, Folded};
use super::plan::{LabelRule, Scalar, Vector};
use super::sum::quantile;
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
    Fold(Fold),
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
                Ok(groups
                    .into_iter()
                    .flat_map(|(_, samples)| choice.of(samples, limit, evaluation))
                    .collect())
            }
            Aggregator::CountValues(label) => {
                for sample in &mut vector {
                    sample.labels = evaluation.table.with(sample.labels, label, &go_decimal(sample.value));
                }
                Ok(self.fold(Fold::Count, evaluation, &vector))
            }
            Aggregator::Fold(fold) => Ok(self.fold(*fold, evaluation, &vector)),
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

    fn fold(&mut self, fold: Fold, evaluation: &mut Evaluation<'_>, vector: &[Sample]) -> Vec<Sample> {
        let mut groups: Vec<(LabelsId, Folded)> = Vec::new();
        evaluation.marks.restart();
        for sample in vector {
            let group = self.grouping.apply(sample.labels, evaluation.table);
            match evaluation.marks.get(group) {
                Some(at) => groups[at].1.add(sample.value, evaluation.rules),
                None => {
                    evaluation.marks.set(group, groups.len());
                    groups.push((group, Folded::starting_at(fold, sample.value, evaluation.rules)));
                }
            }
        }
        groups.into_iter().map(|(labels, folded)| Sample { labels, value: folded.finish() }).collect()
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
    use super::*;

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
