//! Evaluation: one switch for each type, and every node calls what it is (promql/engine.go, `eval`).

use super::binary::with_scalar;
use super::functions::Window;
use super::plan::{EachRange, Range, Scalar, Vector};
use super::renamed::Renamed;
use super::selector::{Span, first_inside};
use super::semantics::Semantics;
use super::value::{ExecutionError, LabelTable, LabelsId, Marks, Point, Sample};
use crate::monitoring::labels::Labels;
use crate::monitoring::series::Database;
use crate::units::SimTime;
use rustc_hash::FxHashMap;
use std::ops::Deref;

/// One evaluation of one query: where it reads, what it may see, and what it may reuse.
pub(super) struct Evaluation<'a> {
    pub(super) db: &'a Database,
    /// Samples that become visible later do not exist yet.
    pub(super) seen: SimTime,
    pub(super) rules: &'a Semantics,
    /// From when to when the whole query is evaluated; subqueries evaluate at other instants.
    pub(super) span: Span,
    /// The ordinal of this evaluation among its query's.
    pub(super) query: u64,
    /// Nodes are evaluated at more than one instant.
    pub(super) has_several_instants: bool,
    /// The step of a subquery that names none, milliseconds.
    pub(super) evaluation_interval: i64,
    pub(super) table: &'a mut LabelTable,
    pub(super) marks: &'a mut Marks,
    /// Room for the samples of one series.
    pub(super) points: &'a mut Vec<Point>,
}

/// The most scalar arguments that a function beside a vector or a range has.
const ARGUMENTS_MAX: usize = 2;

/// Scalar arguments at one instant.
pub(super) struct Arguments {
    values: [f64; ARGUMENTS_MAX],
    count: usize,
}

impl Deref for Arguments {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values[..self.count.min(ARGUMENTS_MAX)]
    }
}

impl Evaluation<'_> {
    /// The number that `node` gives at `now`.
    pub(super) fn scalar(&mut self, node: &mut Scalar, now: i64) -> Result<f64, ExecutionError> {
        Ok(match node {
            Scalar::Number(number) => *number,
            Scalar::Time => now as f64 / 1000.0,
            Scalar::Of(vector) => match &mut **vector {
                Vector::Single(single) => single.value(self, now)?.unwrap_or(f64::NAN),
                vector => match self.vector(vector, now)?[..] {
                    [sample] => sample.value,
                    _ => f64::NAN,
                },
            },
            Scalar::Negated(of) => -self.scalar(of, now)?,
            Scalar::Binary { operator, left, right } => {
                operator.apply(self.scalar(left, now)?, self.scalar(right, now)?)
            }
        })
    }

    /// The instant vector that `node` gives at `now`.
    pub(super) fn vector(&mut self, node: &mut Vector, now: i64) -> Result<Vec<Sample>, ExecutionError> {
        match node {
            Vector::Select(selector) => {
                let mut samples = Vec::new();
                selector.resolve(self.db, self.table);
                selector.instant(self, now, |latest| {
                    samples.push(Sample { labels: latest.labels, value: latest.value });
                });
                Ok(samples)
            }
            Vector::Of(scalar) => {
                let value = self.scalar(scalar, now)?;
                Ok(vec![Sample { labels: LabelsId::EMPTY, value }])
            }
            Vector::Timestamp(selector) => {
                let mut samples = Vec::new();
                selector.resolve(self.db, self.table);
                selector.instant(self, now, |latest| {
                    samples.push(Sample { labels: latest.labels, value: latest.t as f64 / 1000.0 });
                });
                self.without_names(samples)
            }
            Vector::TimestampOf(of) => {
                let mut samples = self.vector(of, now)?;
                samples.iter_mut().for_each(|sample| sample.value = now as f64 / 1000.0);
                self.without_names(samples)
            }
            Vector::EachSample { function, of, arguments } => {
                let arguments = self.arguments(arguments, now)?;
                let mut samples = self.vector(of, now)?;
                samples.retain_mut(|sample| match function(sample.value, &arguments) {
                    Some(value) => {
                        sample.value = value;
                        true
                    }
                    None => false,
                });
                self.without_names(samples)
            }
            Vector::Negated { of, renamed } => {
                let mut samples = self.vector(of, now)?;
                samples.iter_mut().for_each(|sample| sample.value = -sample.value);
                self.renamed(samples, renamed)
            }
            Vector::EachRange(node) => {
                let EachRange { function, of, arguments, renamed } = &mut **node;
                let arguments = self.arguments(arguments, now)?;
                let mut samples = Vec::new();
                self.range(of, now, |window, labels| {
                    (function.check)(&arguments)?;
                    let value = function.evaluate(&window, &arguments);
                    samples.extend(value.map(|value| Sample { labels, value }));
                    Ok(())
                })?;
                if function.keeps_name { self.unique(samples) } else { self.renamed(samples, renamed) }
            }
            Vector::Absent { of, labels } => {
                let present = !self.vector(of, now)?.is_empty();
                Ok(self.absence(present, labels))
            }
            Vector::AbsentOverTime { of, labels } => {
                let mut present = false;
                self.range(of, now, |_, _| {
                    present = true;
                    Ok(())
                })?;
                Ok(self.absence(present, labels))
            }
            Vector::Sorted(node) => node.evaluate(self, now),
            Vector::WithScalar { operator, vector, scalar, swapped, returns_bool } => {
                let samples = self.vector(vector, now)?;
                let scalar = self.scalar(scalar, now)?;
                with_scalar(self, *operator, samples, scalar, *swapped, *returns_bool)
            }
            Vector::OfHistograms(node) => node.evaluate(self, now),
            Vector::LabelReplace(node) => node.evaluate(self, now),
            Vector::LabelJoin(node) => node.evaluate(self, now),
            Vector::Aggregate(node) => node.evaluate(self, now),
            Vector::Matched(node) => node.evaluate(self, now),
            Vector::Set(node) => node.evaluate(self, now),
            Vector::Fused(node) => node.evaluate(self, now),
            Vector::FusedAggregate(node) => node.evaluate(self, now),
            Vector::Single(node) => {
                let value = node.value(self, now)?;
                Ok(value.map(|value| Sample { labels: LabelsId::EMPTY, value }).into_iter().collect())
            }
        }
    }

    /// Calls `each` with the samples of each series that has any in the range that `node` gives at `now`.
    pub(super) fn range(
        &mut self,
        node: &mut Range,
        now: i64,
        mut each: impl FnMut(Window<'_>, LabelsId) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        match node {
            Range::Select { selector, range } => {
                let end = selector.shift.reference(now, self.span);
                let (start, rules) = (end - *range, self.rules);
                selector.range(self, now, *range, |labels, points| {
                    each(Window { points, start, end, now, rules }, labels)
                })
            }
            Range::Subquery { of, shift, range, step } => {
                let end = shift.reference(now, self.span);
                let start = end - *range;
                let step = step.unwrap_or(self.evaluation_interval);
                let rules = self.rules;
                for (labels, points) in self.steps(of, start, end, step)? {
                    each(Window { points: &points, start, end, now, rules }, labels)?;
                }
                Ok(())
            }
        }
    }

    /// The series of a subquery: `node` evaluated at each multiple of `step` in the range, as an instant query of its own.
    fn steps(
        &mut self,
        node: &mut Vector,
        start: i64,
        end: i64,
        step: i64,
    ) -> Result<Vec<(LabelsId, Vec<Point>)>, ExecutionError> {
        let mut series: Vec<(LabelsId, Vec<Point>)> = Vec::new();
        let mut places = FxHashMap::default();
        // Go's division truncates towards zero; a run is not in 1969, and then rounding down is the same.
        let mut t = step * start.div_euclid(step);
        if t < first_inside(start, self.rules) {
            t += step;
        }
        let outside = self.has_several_instants;
        self.has_several_instants |= t + step <= end;
        while t <= end {
            for sample in self.vector(node, t)? {
                let at = *places.entry(sample.labels).or_insert_with(|| {
                    series.push((sample.labels, Vec::new()));
                    series.len() - 1
                });
                series[at].1.push(Point { t, value: sample.value });
            }
            t += step;
        }
        self.has_several_instants = outside;
        Ok(series)
    }

    /// The scalar arguments of a function.
    pub(super) fn arguments(&mut self, nodes: &mut [Scalar], now: i64) -> Result<Arguments, ExecutionError> {
        let mut arguments = Arguments { values: [f64::NAN; ARGUMENTS_MAX], count: nodes.len() };
        for (value, node) in arguments.values.iter_mut().zip(nodes) {
            *value = self.scalar(node, now)?;
        }
        Ok(arguments)
    }

    /// One element with these labels where nothing is present.
    fn absence(&mut self, present: bool, labels: &Labels) -> Vec<Sample> {
        if present {
            return Vec::new();
        }
        vec![Sample { labels: self.table.intern(labels.clone()), value: 1.0 }]
    }

    /// The vector without its metrics' names, which a new quantity does not have.
    pub(super) fn without_names(&mut self, mut samples: Vec<Sample>) -> Result<Vec<Sample>, ExecutionError> {
        for sample in &mut samples {
            sample.labels = self.table.nameless(sample.labels);
        }
        self.unique(samples)
    }

    /// The same where a node compares what it renames over all instants.
    fn renamed(
        &mut self,
        mut samples: Vec<Sample>,
        renamed: &mut Renamed,
    ) -> Result<Vec<Sample>, ExecutionError> {
        for sample in &mut samples {
            let to = self.table.nameless(sample.labels);
            renamed.note(self, sample.labels, to)?;
            sample.labels = to;
        }
        self.unique(samples)
    }

    /// The vector, unless two elements have the same labels.
    pub(super) fn unique(&mut self, samples: Vec<Sample>) -> Result<Vec<Sample>, ExecutionError> {
        self.marks.check_unique(&samples)?;
        Ok(samples)
    }
}

/// The whole range that a query's outermost node selects, for a matrix answer.
pub(super) fn matrix(
    evaluation: &mut Evaluation<'_>,
    node: &mut Range,
) -> Result<Vec<(LabelsId, Vec<Point>)>, ExecutionError> {
    let mut series = Vec::new();
    let now = evaluation.span.end;
    evaluation.range(node, now, |window, labels| {
        series.push((labels, window.points.to_vec()));
        Ok(())
    })?;
    Ok(series)
}
