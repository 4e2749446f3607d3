//! Aggregations of sources, folded while they are read.

use super::super::aggregation::{Aggregate, Aggregator};
use super::super::eval::Evaluation;
use super::super::fold::{Fold, Folded};
use super::super::plan::LabelRule;
use super::super::value::{ExecutionError, LabelsId, Sample};
use super::Source;

/// An aggregation of a source, with what it knows of the groups of the series that are there.
#[derive(Clone, Debug)]
pub(in super::super) struct FusedAggregate {
    fold: Fold,
    source: Source,
    grouping: LabelRule,
    /// The labels of each group.
    groups: Vec<LabelsId>,
    /// The group of each series.
    group_of: Vec<u32>,
    /// What each group has come to in this evaluation.
    folded: Vec<Option<Folded>>,
    /// The groups that have come to something, in order of their first sample.
    present: Vec<u32>,
    /// The same for the interpreter.
    interpreted: Box<Aggregate>,
}

impl FusedAggregate {
    /// `node`, where it folds a source.
    pub(super) fn of(node: &Aggregate) -> Option<FusedAggregate> {
        let Aggregator::Fold(fold) = node.aggregator else { return None };
        Some(FusedAggregate {
            fold,
            source: Source::of(&node.of)?,
            grouping: node.grouping.clone(),
            groups: Vec::new(),
            group_of: Vec::new(),
            folded: Vec::new(),
            present: Vec::new(),
            interpreted: Box::new(node.clone()),
        })
    }

    /// Which labels of the series are left on the groups.
    pub(in super::super) fn grouping(&self) -> &LabelRule {
        &self.grouping
    }

    /// Folds what is there at `now`; false where only the interpreter can.
    pub(in super::super) fn fold(&mut self, evaluation: &mut Evaluation<'_>, now: i64) -> bool {
        for group in self.present.drain(..) {
            self.folded[group as usize] = None;
        }
        if !self.is_ready(evaluation) {
            return false;
        }
        let (fold, rules) = (self.fold, evaluation.rules);
        let (group_of, folded, present) = (&self.group_of, &mut self.folded, &mut self.present);
        self.source.read(evaluation, now, |series, value| {
            let group = group_of[series];
            match &mut folded[group as usize] {
                Some(folded) => folded.add(value, rules),
                first => {
                    *first = Some(Folded::starting_at(fold, value, rules));
                    present.push(group);
                }
            }
        });
        true
    }

    /// Looks for the series; false where only the interpreter can fold them.
    fn is_ready(&mut self, evaluation: &mut Evaluation<'_>) -> bool {
        if self.source.resolve(evaluation) {
            self.regroup(evaluation);
        }
        !self.source.needs_interpreter()
    }

    /// The groups that were folded.
    pub(in super::super) fn folded(&self) -> impl Iterator<Item = Sample> {
        self.present.iter().filter_map(|&group| {
            let value = self.folded[group as usize]?.finish();
            Some(Sample { labels: self.groups[group as usize], value })
        })
    }

    pub(in super::super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        if self.fold(evaluation, now) {
            Ok(self.folded().collect())
        } else {
            self.interpreted.evaluate(evaluation, now)
        }
    }

    /// The value of the only group that there can be, where series are not told apart.
    pub(super) fn single(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Option<f64>, ExecutionError> {
        if !self.is_ready(evaluation) {
            return Ok(self.interpreted.evaluate(evaluation, now)?.first().map(|sample| sample.value));
        }
        let (fold, rules) = (self.fold, evaluation.rules);
        let mut folded: Option<Folded> = None;
        self.source.read(evaluation, now, |_, value| match &mut folded {
            Some(folded) => folded.add(value, rules),
            first => *first = Some(Folded::starting_at(fold, value, rules)),
        });
        Ok(folded.map(Folded::finish))
    }

    /// How much room the buffers have, for a test that they do not grow.
    #[cfg(test)]
    pub(in super::super) fn room(&self) -> usize {
        self.groups.capacity() + self.group_of.capacity() + self.folded.capacity() + self.present.capacity()
    }

    fn regroup(&mut self, evaluation: &mut Evaluation<'_>) {
        self.groups.clear();
        self.group_of.clear();
        evaluation.marks.restart();
        for &labels in self.source.labels() {
            let group = self.grouping.apply(labels, evaluation.table);
            let at = evaluation.marks.get(group).unwrap_or_else(|| {
                evaluation.marks.set(group, self.groups.len());
                self.groups.push(group);
                self.groups.len() - 1
            });
            self.group_of.push(at as u32);
        }
        self.present.clear();
        self.folded.clear();
        self.folded.resize(self.groups.len(), None);
    }
}
