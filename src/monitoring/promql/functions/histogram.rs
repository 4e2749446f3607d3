//! `histogram_quantile` and `histogram_fraction` of classic histograms (promql/quantile.go).

use super::super::eval::Evaluation;
use super::super::plan::{LabelRule, Scalar, Vector};
use super::super::semantics::Semantics;
use super::super::value::{ExecutionError, LabelTable, LabelsId, Sample};
use crate::monitoring::labels::{BUCKET_LABEL, METRIC_NAME};
use std::cmp::Ordering;

/// Bucket counts that differ by less than this share of their sum are taken for equal.
const SMALL_DELTA: f64 = 1e-12;

/// `histogram_avg(v)` and its like, which ask native histograms only: they leave every float out.
pub(in super::super) fn native(_: f64, _: &[f64]) -> Option<f64> {
    None
}

/// What is asked of a histogram.
#[derive(Clone, Debug)]
pub(in super::super) enum Question {
    /// `histogram_quantile(q, …)`.
    Quantile(Scalar),
    /// `histogram_fraction(lower, upper, …)`.
    Fraction(Scalar, Scalar),
}

/// A function of classic histograms, with what it knows of the label sets that it has met.
#[derive(Clone, Debug)]
pub(in super::super) struct OfHistograms {
    question: Question,
    of: Vector,
    /// What tells histograms apart: all labels but `le`.
    group: LabelRule,
    /// What is left on the answer: neither `le` nor the metric's name.
    answer: LabelRule,
    bounds: Bounds,
    /// Room for the buckets of the only histogram.
    buckets: Vec<Bucket>,
}

/// The `le` of each label set, by its handle: outer `None` is not looked at yet, inner is not a number.
#[derive(Clone, Debug, Default)]
struct Bounds(Vec<Option<Option<f64>>>);

/// A bucket: how many observations were at most its upper bound.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    upper_bound: f64,
    count: f64,
}

impl OfHistograms {
    pub(in super::super) fn new(question: Question, of: Vector) -> Self {
        let le = BUCKET_LABEL.to_owned();
        OfHistograms {
            question,
            of,
            group: LabelRule::drop_only(vec![le.clone()]),
            answer: LabelRule::drop_only(vec![le, METRIC_NAME.to_owned()]),
            bounds: Bounds::default(),
            buckets: Vec::new(),
        }
    }

    /// Calls these with the vector and with the parameters.
    pub(in super::super) fn visit(&mut self, vector: fn(&mut Vector), scalar: fn(&mut Scalar)) {
        vector(&mut self.of);
        match &mut self.question {
            Question::Quantile(q) => scalar(q),
            Question::Fraction(lower, upper) => {
                scalar(lower);
                scalar(upper);
            }
        }
    }

    /// True where the buckets are summed by `le` alone, so that there is one histogram at most.
    pub(in super::super) fn is_of_one(&self) -> bool {
        matches!(&self.of, Vector::FusedAggregate(buckets) if buckets.grouping().keeps_only(&[BUCKET_LABEL]))
    }

    /// The answer of the only histogram, where [`OfHistograms::is_of_one`].
    pub(in super::super) fn single(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Option<f64>, ExecutionError> {
        let parameters = self.parameters(evaluation, now)?;
        let is_folded = match &mut self.of {
            Vector::FusedAggregate(of) => of.fold(evaluation, now),
            _ => false,
        };
        let (bounds, buckets) = (&mut self.bounds, &mut self.buckets);
        buckets.clear();
        let mut keep = |sample: Sample, table: &LabelTable| {
            let upper_bound = bounds.of(sample.labels, table);
            buckets.extend(upper_bound.map(|upper_bound| Bucket { upper_bound, count: sample.value }));
        };
        match &mut self.of {
            Vector::FusedAggregate(of) if is_folded => {
                of.folded().for_each(|sample| keep(sample, evaluation.table));
            }
            of => {
                let samples = evaluation.vector(of, now)?;
                samples.into_iter().for_each(|sample| keep(sample, evaluation.table));
            }
        }
        let is_there = !buckets.is_empty();
        Ok(is_there.then(|| self.question.answer(parameters, buckets, evaluation.rules)))
    }

    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let parameters = self.parameters(evaluation, now)?;
        let vector = evaluation.vector(&mut self.of, now)?;
        let mut histograms: Vec<(LabelsId, Vec<Bucket>)> = Vec::new();
        evaluation.marks.restart();
        for sample in &vector {
            // A sample whose `le` is no number is no bucket.
            let Some(upper_bound) = self.bounds.of(sample.labels, evaluation.table) else { continue };
            let group = self.group.apply(sample.labels, evaluation.table);
            let at = evaluation.marks.get(group).unwrap_or_else(|| {
                evaluation.marks.set(group, histograms.len());
                histograms.push((sample.labels, Vec::new()));
                histograms.len() - 1
            });
            histograms[at].1.push(Bucket { upper_bound, count: sample.value });
        }
        let mut answers = Vec::with_capacity(histograms.len());
        for (labels, mut buckets) in histograms {
            let labels = self.answer.apply(labels, evaluation.table);
            let value = self.question.answer(parameters, &mut buckets, evaluation.rules);
            answers.push(Sample { labels, value });
        }
        evaluation.unique(answers)
    }

    /// How much room the buffers have, for a test that they do not grow.
    #[cfg(test)]
    pub(in super::super) fn room(&self) -> usize {
        match &self.of {
            Vector::FusedAggregate(of) => of.room() + self.buckets.capacity() + self.bounds.0.capacity(),
            _ => 0,
        }
    }

    fn parameters(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<(f64, f64), ExecutionError> {
        Ok(match &mut self.question {
            Question::Quantile(q) => (evaluation.scalar(q, now)?, f64::NAN),
            Question::Fraction(lower, upper) => {
                (evaluation.scalar(lower, now)?, evaluation.scalar(upper, now)?)
            }
        })
    }
}

impl Question {
    fn answer(&self, (first, second): (f64, f64), buckets: &mut Vec<Bucket>, rules: &Semantics) -> f64 {
        match self {
            Question::Quantile(_) => bucket_quantile(first, buckets, rules),
            Question::Fraction(..) => bucket_fraction(first, second, buckets),
        }
    }
}

impl Bounds {
    fn of(&mut self, labels: LabelsId, table: &LabelTable) -> Option<f64> {
        if self.0.len() <= labels.index() {
            self.0.resize(labels.index() + 1, None);
        }
        *self.0[labels.index()].get_or_insert_with(|| table.get(labels).get(BUCKET_LABEL).parse().ok())
    }
}

/// The `q`-quantile of one histogram, by linear interpolation inside a bucket (`BucketQuantile`).
fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>, rules: &Semantics) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if !complete(buckets) {
        return f64::NAN;
    }
    make_monotonic(buckets, rules);
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if buckets.len() < 2 || total == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * total;
    // A NaN reaches no rank.
    let below = |bucket: &Bucket| bucket.count.partial_cmp(&rank).is_none_or(Ordering::is_lt);
    let at = buckets[..last].partition_point(below);
    if at == last {
        // Above the highest finite bound nothing is known.
        return buckets[last - 1].upper_bound;
    }
    let Bucket { upper_bound: end, mut count } = buckets[at];
    if at == 0 && end <= 0.0 {
        return end;
    }
    let mut start = 0.0;
    if at > 0 {
        start = buckets[at - 1].upper_bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    start + (end - start) * (rank / count)
}

/// The share of the observations between `lower` and `upper`, by linear interpolation inside buckets (`BucketFraction`).
fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !complete(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank =
        |bound: f64| rank_of(bound, buckets).map_or(total, |rank| if rank > total { total } else { rank });
    (rank(upper) - rank(lower)) / total
}

/// How many observations lie below `bound`; `None` above all buckets.
fn rank_of(bound: f64, buckets: &[Bucket]) -> Option<f64> {
    let (mut below, mut start) = (0.0, f64::NEG_INFINITY);
    for bucket in buckets {
        if start >= bound {
            return Some(below);
        }
        if bucket.upper_bound > bound {
            return Some(below + (bucket.count - below) * (bound - start) / (bucket.upper_bound - start));
        }
        (below, start) = (bucket.count, bucket.upper_bound);
    }
    None
}

/// Sorts the buckets and adds equal ones; false where there is none for all observations.
fn complete(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
    merge_equal_bounds(buckets);
    buckets.last().is_some_and(|last| last.upper_bound == f64::INFINITY)
}

/// Adds buckets whose bounds were written differently, `1` and `1.0`.
fn merge_equal_bounds(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper_bound == kept.upper_bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Counts may not fall towards higher bounds; they do where scrapes tear a histogram, or by rounding.
fn make_monotonic(buckets: &mut [Bucket], rules: &Semantics) {
    let Some(first) = buckets.first() else { return };
    let mut highest = first.count;
    for bucket in &mut buckets[1..] {
        let by_rounding = rules.small_delta_tolerance && almost_equal(highest, bucket.count);
        if by_rounding || bucket.count < highest {
            bucket.count = highest;
        } else {
            highest = bucket.count;
        }
    }
}

/// `almost.Equal` (util/almost/almost.go) with the tolerance of histograms.
fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

#[cfg(test)]
mod tests {
    use super::super::super::semantics::Release;
    use super::*;

    fn quantile(q: f64, buckets: &[(f64, f64)]) -> f64 {
        let mut buckets: Vec<Bucket> =
            buckets.iter().map(|&(upper_bound, count)| Bucket { upper_bound, count }).collect();
        bucket_quantile(q, &mut buckets, &Release::V3_5.semantics())
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn inside_a_bucket_the_quantile_is_linear() {
        let buckets = [(INF, 20.0), (1.0, 10.0), (2.0, 20.0)];
        assert_eq!((quantile(0.25, &buckets), quantile(0.75, &buckets)), (0.5, 1.5));
        assert_eq!((quantile(0.0, &buckets), quantile(1.0, &buckets)), (0.0, 2.0));
    }

    #[test]
    fn above_the_highest_bound_the_answer_saturates() {
        assert_eq!(quantile(0.95, &[(1.0, 10.0), (2560.0, 10.0), (INF, 100.0)]), 2560.0);
    }

    #[test]
    fn what_is_no_histogram_is_nan() {
        assert!(quantile(0.5, &[(1.0, 3.0), (2.0, 5.0)]).is_nan(), "no +Inf");
        assert!(quantile(0.5, &[(INF, 5.0)]).is_nan(), "only +Inf");
        assert!(quantile(0.5, &[(1.0, 0.0), (INF, 0.0)]).is_nan(), "nothing observed");
        assert!(quantile(f64::NAN, &[(1.0, 3.0), (INF, 5.0)]).is_nan());
        assert_eq!((quantile(-0.1, &[(INF, 1.0)]), quantile(1.1, &[(INF, 1.0)])), (-INF, INF));
    }

    #[test]
    fn a_fraction_undoes_a_quantile() {
        let fraction = |lower, upper| {
            let mut buckets: Vec<Bucket> = [(INF, 20.0), (1.0, 10.0), (2.0, 20.0)]
                .map(|(upper_bound, count)| Bucket { upper_bound, count })
                .into();
            bucket_fraction(lower, upper, &mut buckets)
        };
        assert_eq!((fraction(-INF, 1.0), fraction(1.0, 1.5), fraction(1.5, INF)), (0.5, 0.25, 0.25));
        assert_eq!((fraction(3.0, INF), fraction(2.0, 1.0), fraction(-INF, INF)), (0.0, 0.0, 1.0));
        assert!(fraction(f64::NAN, 1.0).is_nan());
        // Below the lowest bound nothing is known.
        assert!(fraction(0.5, 1.0).is_nan());
        assert!(bucket_fraction(0.0, 1.0, &mut vec![Bucket { upper_bound: 1.0, count: 3.0 }]).is_nan());
    }

    #[test]
    fn a_lowest_bucket_below_zero_gives_its_bound() {
        assert_eq!(quantile(0.1, &[(-1.0, 5.0), (1.0, 10.0), (INF, 10.0)]), -1.0);
    }

    #[test]
    fn equal_bounds_are_added_and_falling_counts_lifted() {
        assert_eq!(quantile(0.5, &[(1.0, 2.0), (1.0, 3.0), (INF, 10.0)]), 1.0);
        assert_eq!(quantile(0.5, &[(1.0, 8.0), (2.0, 4.0), (INF, 16.0)]), 1.0);
    }
}
