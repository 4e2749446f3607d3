//! What an evaluation gives, and what it works on.

use crate::monitoring::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::units::UnixMillis;
use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;
use std::fmt;

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number without labels, as `time()` and `scalar(…)` give.
    Scalar(f64),
    /// A text.
    String(String),
    /// One value for each of some label sets, at the instant of the query.
    Vector(Vec<(Labels, f64)>),
    /// The samples of some series in a range, each with its time.
    Matrix(Vec<(Labels, Vec<(UnixMillis, f64)>)>),
}

impl Value {
    /// `resultType` in Prometheus' HTTP API.
    pub fn result_type(&self) -> &'static str {
        match self {
            Value::Scalar(_) => "scalar",
            Value::String(_) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}

/// Why an evaluation failed although its query is well formed: HTTP 422, `errorType: "execution"`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExecutionError(pub String);

impl ExecutionError {
    /// Two elements of one result that nothing tells apart.
    pub(super) fn same_labelset() -> Self {
        ExecutionError("vector cannot contain metrics with the same labelset".to_owned())
    }
}

/// One sample in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Milliseconds since 1970.
    pub(super) t: i64,
    pub(super) value: f64,
}

/// One element of an instant vector while it is worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: LabelsId,
    pub(super) value: f64,
}

/// The handle of a label set in one query's [`LabelTable`]: equal handles are equal label sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LabelsId(u32);

impl LabelsId {
    /// No label at all; every table has it.
    pub(super) const EMPTY: LabelsId = LabelsId(0);

    /// Its place in a table indexed by handles.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for LabelsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The label sets that one query has met, so that evaluating compares and copies handles and never touches texts.
#[derive(Clone, Debug)]
pub(super) struct LabelTable {
    sets: IndexSet<Labels, FxBuildHasher>,
    nameless: Memo,
}

impl LabelTable {
    pub(super) fn new() -> Self {
        let mut sets = IndexSet::default();
        sets.insert(Labels::default());
        LabelTable { sets, nameless: Memo::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn intern(&mut self, labels: Labels) -> LabelsId {
        LabelsId(self.sets.insert_full(labels).0 as u32)
    }

    pub(super) fn get(&self, id: LabelsId) -> &Labels {
        &self.sets[id.index()]
    }

    /// The label set without the metric's name.
    pub(super) fn nameless(&mut self, id: LabelsId) -> LabelsId {
        if let Some(known) = self.nameless.get(id) {
            return known;
        }
        let without = self.get(id).without(&[METRIC_NAME]);
        let answer = self.intern(without);
        self.nameless.set(id, answer)
    }

    /// The label set with `name` set to `value`.
    pub(super) fn with(&mut self, id: LabelsId, name: &str, value: &str) -> LabelsId {
        let mut labels = LabelsBuilder::from(self.get(id));
        labels.set(name, value);
        self.intern(labels.finish())
    }
}

/// What a rule made of each label set, remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Memo(Vec<Option<LabelsId>>);

impl Memo {
    pub(super) fn get(&self, of: LabelsId) -> Option<LabelsId> {
        self.0.get(of.index()).copied().flatten()
    }

    /// Remembers `answer` and gives it back.
    pub(super) fn set(&mut self, of: LabelsId, answer: LabelsId) -> LabelsId {
        if self.0.len() <= of.index() {
            self.0.resize(of.index() + 1, None);
        }
        self.0[of.index()] = Some(answer);
        answer
    }
}

/// A number against some label sets, emptied in no time: one stamp tells old numbers from new ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    stamp: u32,
    marks: Vec<(u32, u32)>,
}

impl Marks {
    /// Forgets all numbers.
    pub(super) fn restart(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.marks.clear();
            self.stamp = 1;
        }
    }

    pub(super) fn get(&self, id: LabelsId) -> Option<usize> {
        let &(stamp, number) = self.marks.get(id.index())?;
        (stamp == self.stamp).then_some(number as usize)
    }

    pub(super) fn set(&mut self, id: LabelsId, number: usize) {
        if self.marks.len() <= id.index() {
            self.marks.resize(id.index() + 1, (0, 0));
        }
        self.marks[id.index()] = (self.stamp, number as u32);
    }

    /// Fails where two samples have the same labels.
    pub(super) fn check_unique(&mut self, vector: &[Sample]) -> Result<(), ExecutionError> {
        self.restart();
        for sample in vector {
            if self.get(sample.labels).is_some() {
                return Err(ExecutionError::same_labelset());
            }
            self.set(sample.labels, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_label_sets_have_one_handle() {
        let mut table = LabelTable::new();
        let up = table.intern(Labels::new([(METRIC_NAME, "up"), ("pod", "a")]));
        let down = table.intern(Labels::new([(METRIC_NAME, "down"), ("pod", "a")]));
        assert_ne!(up, down);
        assert_eq!(table.nameless(up), table.nameless(down));
        assert_eq!(table.with(up, METRIC_NAME, "down"), down);
        let bare = table.intern(Labels::metric("x"));
        assert_eq!(table.nameless(bare), LabelsId::EMPTY);
    }

    #[test]
    fn marks_are_gone_after_a_restart_even_when_the_stamp_wraps() {
        let mut marks = Marks { stamp: u32::MAX, marks: vec![(0, 9)] };
        marks.restart();
        assert_eq!(marks.get(LabelsId::EMPTY), None);
        marks.set(LabelsId::EMPTY, 3);
        assert_eq!(marks.get(LabelsId::EMPTY), Some(3));
        marks.restart();
        assert_eq!(marks.get(LabelsId::EMPTY), None);
    }
}
