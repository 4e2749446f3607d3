//! `sort` and its relatives: the same elements in another order, which the answer to an instant query keeps.

use super::super::eval::Evaluation;
use super::super::natural_order::precedes;
use super::super::plan::Vector;
use super::super::value::{ExecutionError, Sample};
use std::cmp::Ordering;

/// A sorting function with its vector.
#[derive(Clone, Debug)]
pub(in super::super) struct Sort {
    pub(in super::super) of: Vector,
    pub(in super::super) by: Key,
    pub(in super::super) descending: bool,
}

/// What is compared.
#[derive(Clone, Debug)]
pub(in super::super) enum Key {
    /// `sort(v)`.
    Value,
    /// `sort_by_label(v, "label", …)`, in natural order.
    Labels(Vec<String>),
}

impl Sort {
    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let samples = evaluation.vector(&mut self.of, now)?;
        let Key::Labels(names) = &self.by else { return Ok(ranked(samples, self.descending)) };
        let by_all_labels = evaluation.rules.sort_by_label_then_all_labels;
        let samples = if by_all_labels { samples } else { ranked(samples, self.descending) };
        let table = &*evaluation.table;
        let order = |a: &Sample, b: &Sample| {
            let (a, b) = (table.get(a.labels), table.get(b.labels));
            let differing = names.iter().map(|name| (a.get(name), b.get(name))).find(|(a, b)| a != b);
            let order = match differing {
                Some((a, b)) if precedes(a, b) => Ordering::Less,
                Some(_) => Ordering::Greater,
                None if by_all_labels => a.cmp(b),
                None => Ordering::Equal,
            };
            if self.descending { order.reverse() } else { order }
        };
        // Natural order is none where digits fit no integer: a search for the place takes any, the library's sort panics.
        let mut sorted: Vec<Sample> = Vec::with_capacity(samples.len());
        for sample in samples {
            let at = sorted.partition_point(|before| order(&sample, before).is_ge());
            sorted.insert(at, sample);
        }
        Ok(sorted)
    }
}

/// The samples from the best to the worst; NaN is worst, equal ones stay in order.
fn ranked(mut samples: Vec<Sample>, descending: bool) -> Vec<Sample> {
    samples.sort_by(|a, b| {
        let by_value = a.value.partial_cmp(&b.value).unwrap_or(Ordering::Equal);
        let by_value = if descending { by_value.reverse() } else { by_value };
        a.value.is_nan().cmp(&b.value.is_nan()).then(by_value)
    });
    samples
}

#[cfg(test)]
mod tests {
    use super::super::super::value::LabelsId;
    use super::*;

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
