//! A number for each series of a selector: its latest sample, or what a function makes of its range.

use super::super::eval::Evaluation;
use super::super::functions::Reads;
use super::super::functions::reducer::Reducer;
use super::super::plan::{Range, Vector};
use super::super::selector::Selector;
use super::super::value::{ExecutionError, LabelsId, Sample};

/// A selector with what is read of each of its series.
#[derive(Clone, Debug)]
pub(in super::super) struct Source {
    selector: Selector,
    reading: Reading,
    /// The labels of each series' number, in the order in which series are read.
    labels: Vec<LabelsId>,
    /// Some of those labels are the same: the numbers are an error where both series are there.
    are_alike: bool,
    /// The same for the interpreter.
    interpreted: Box<Vector>,
}

#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The instant vector.
    Latest,
    Range {
        /// Milliseconds.
        range: i64,
        reducer: Reducer,
        keeps_name: bool,
    },
}

impl Source {
    /// The source that is `vector`, where it is one.
    pub(super) fn of(vector: &Vector) -> Option<Source> {
        match vector {
            Vector::Select(selector) => Some(Source::new(selector, Reading::Latest, vector)),
            _ => Source::of_range(vector),
        }
    }

    /// The same, bare selectors excepted.
    pub(super) fn of_range(vector: &Vector) -> Option<Source> {
        let Vector::EachRange(node) = vector else { return None };
        let Range::Select { selector, range } = &node.of else { return None };
        let Reads::InOrder(reducer) = node.function.reads else { return None };
        let reading = Reading::Range { range: *range, reducer, keeps_name: node.function.keeps_name };
        Some(Source::new(selector, reading, vector))
    }

    fn new(selector: &Selector, reading: Reading, interpreted: &Vector) -> Self {
        Source {
            selector: selector.clone(),
            reading,
            labels: Vec::new(),
            are_alike: false,
            interpreted: Box::new(interpreted.clone()),
        }
    }

    /// Looks for the series; the answer is whether there are others now.
    pub(super) fn resolve(&mut self, evaluation: &mut Evaluation<'_>) -> bool {
        if !self.selector.resolve(evaluation.db, evaluation.table) {
            return false;
        }
        let keeps_name = match self.reading {
            Reading::Latest => true,
            Reading::Range { keeps_name, .. } => keeps_name,
        };
        self.labels.clear();
        evaluation.marks.restart();
        self.are_alike = false;
        for series in self.selector.series() {
            let labels = if keeps_name { series } else { evaluation.table.nameless(series) };
            self.are_alike |= evaluation.marks.get(labels).is_some();
            evaluation.marks.set(labels, 0);
            self.labels.push(labels);
        }
        true
    }

    /// The labels of each series' number, in the order in which series are read. The series must be resolved.
    pub(super) fn labels(&self) -> &[LabelsId] {
        &self.labels
    }

    /// True where only the interpreter can say whether elements are alike. A selector's own are not: series differ.
    pub(super) fn needs_interpreter(&self) -> bool {
        self.are_alike && !matches!(self.reading, Reading::Latest)
    }

    /// Calls `each` with the ordinal and the number of each series that has one. The series must be resolved.
    #[inline]
    pub(super) fn read(&self, evaluation: &Evaluation<'_>, now: i64, mut each: impl FnMut(usize, f64)) {
        match self.reading {
            Reading::Latest => {
                self.selector.instant(evaluation, now, |latest| each(latest.series, latest.value));
            }
            Reading::Range { range, reducer, .. } => {
                let end = self.selector.shift.reference(now, evaluation.span);
                let mut spacing = None;
                for window in self.selector.windows(evaluation, now, range) {
                    for (series, &(column, _)) in (window.first_series..).zip(window.columns) {
                        let samples = window.samples(column);
                        let bounds = (end - range, end);
                        let value = reducer.reduce(samples, bounds, evaluation.rules, &mut spacing);
                        if let Some(value) = value {
                            each(series, value);
                        }
                    }
                }
            }
        }
    }

    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        self.resolve(evaluation);
        if self.needs_interpreter() {
            return evaluation.vector(&mut self.interpreted, now);
        }
        let mut samples = Vec::with_capacity(self.labels.len());
        self.read(evaluation, now, |series, value| {
            samples.push(Sample { labels: self.labels[series], value })
        });
        Ok(samples)
    }
}
