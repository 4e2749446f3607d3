//! `label_replace` and `label_join`: they change what series are called, never their values.

use super::super::eval::Evaluation;
use super::super::plan::Vector;
use super::super::renamed::Renamed;
use super::super::value::{ExecutionError, LabelTable, LabelsId, Memo, Sample};
use regex::Regex;

/// A vector of which one label is changed, with what is known of the label sets that it has met.
#[derive(Clone, Debug)]
pub(in super::super) struct Relabelled {
    pub(in super::super) of: Vector,
    destination: String,
    known: Memo,
    renamed: Renamed,
}

/// `label_replace(v, destination, replacement, source, regex)`.
#[derive(Clone, Debug)]
pub(in super::super) struct LabelReplace {
    pub(in super::super) relabelled: Relabelled,
    pub(in super::super) replacement: String,
    pub(in super::super) source: String,
    /// Anchored at both ends.
    pub(in super::super) regex: Regex,
}

/// `label_join(v, destination, separator, sources…)`.
#[derive(Clone, Debug)]
pub(in super::super) struct LabelJoin {
    pub(in super::super) relabelled: Relabelled,
    pub(in super::super) separator: String,
    pub(in super::super) sources: Vec<String>,
}

impl Relabelled {
    pub(in super::super) fn new(of: Vector, destination: String) -> Self {
        Relabelled { of, destination, known: Memo::default(), renamed: Renamed::default() }
    }

    /// The vector, each element with the value of the label that `change` gives; `None` leaves it as it is.
    fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
        change: impl Fn(LabelsId, &LabelTable) -> Option<String>,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let mut vector = evaluation.vector(&mut self.of, now)?;
        for sample in &mut vector {
            let from = sample.labels;
            sample.labels = self.known.get(from).unwrap_or_else(|| {
                let table = &mut *evaluation.table;
                let changed = change(from, table);
                let to = changed.map_or(from, |value| table.with(from, &self.destination, &value));
                self.known.set(from, to)
            });
            if evaluation.rules.relabels_whole_ranges {
                self.renamed.note(evaluation, from, sample.labels)?;
            }
        }
        evaluation.unique(vector)
    }
}

impl LabelReplace {
    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let LabelReplace { relabelled, replacement, source, regex } = self;
        relabelled.evaluate(evaluation, now, |labels, table| {
            // Where the pattern does not match, nothing changes.
            let found = regex.captures(table.get(labels).get(source))?;
            let mut value = String::new();
            found.expand(replacement, &mut value);
            Some(value)
        })
    }
}

impl LabelJoin {
    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let LabelJoin { relabelled, separator, sources } = self;
        relabelled.evaluate(evaluation, now, |labels, table| {
            let set = table.get(labels);
            let values: Vec<&str> = sources.iter().map(|source| set.get(source)).collect();
            Some(values.join(separator))
        })
    }
}
