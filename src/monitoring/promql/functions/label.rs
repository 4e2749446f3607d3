//! `label_replace` and `label_join`: they change what series are called, never their values.

use super::super::eval::Evaluation;
use super::super::plan::Vector;
use super::super::value::{ExecutionError, LabelTable, LabelsId, Memo, Sample};
use regex::Regex;

/// `label_replace(v, destination, replacement, source, regex)`.
#[derive(Clone, Debug)]
pub(in super::super) struct LabelReplace {
    pub(in super::super) of: Vector,
    pub(in super::super) destination: String,
    pub(in super::super) replacement: String,
    pub(in super::super) source: String,
    /// Anchored at both ends.
    pub(in super::super) regex: Regex,
    pub(in super::super) known: Memo,
}

/// `label_join(v, destination, separator, sources…)`.
#[derive(Clone, Debug)]
pub(in super::super) struct LabelJoin {
    pub(in super::super) of: Vector,
    pub(in super::super) destination: String,
    pub(in super::super) separator: String,
    pub(in super::super) sources: Vec<String>,
    pub(in super::super) known: Memo,
}

impl LabelReplace {
    /// The same of a `map`ped vector.
    pub(in super::super) fn map(self, map: impl FnOnce(Vector) -> Vector) -> Self {
        LabelReplace { of: map(self.of), ..self }
    }

    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let mut vector = evaluation.vector(&mut self.of, now)?;
        for sample in &mut vector {
            sample.labels = match self.known.get(sample.labels) {
                Some(known) => known,
                None => self.known.set(sample.labels, self.replaced(sample.labels, evaluation.table)),
            };
        }
        evaluation.unique(vector)
    }

    fn replaced(&self, labels: LabelsId, table: &mut LabelTable) -> LabelsId {
        let mut value = String::new();
        match self.regex.captures(table.get(labels).get(&self.source)) {
            // Where the pattern does not match, nothing changes.
            None => return labels,
            Some(found) => found.expand(&self.replacement, &mut value),
        }
        table.with(labels, &self.destination, &value)
    }
}

impl LabelJoin {
    /// The same of a `map`ped vector.
    pub(in super::super) fn map(self, map: impl FnOnce(Vector) -> Vector) -> Self {
        LabelJoin { of: map(self.of), ..self }
    }

    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let mut vector = evaluation.vector(&mut self.of, now)?;
        for sample in &mut vector {
            sample.labels = match self.known.get(sample.labels) {
                Some(known) => known,
                None => self.known.set(sample.labels, self.joined(sample.labels, evaluation.table)),
            };
        }
        evaluation.unique(vector)
    }

    fn joined(&self, labels: LabelsId, table: &mut LabelTable) -> LabelsId {
        let set = table.get(labels);
        let values: Vec<&str> = self.sources.iter().map(|source| set.get(source)).collect();
        let joined = values.join(&self.separator);
        table.with(labels, &self.destination, &joined)
    }
}
