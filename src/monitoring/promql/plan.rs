//! A query ready to run: the syntax tree with its types checked, its functions found and its names resolved.
//!
//! Types are in the tree: a [`Scalar`] is a number, a [`Vector`] has one value for each of some label sets, a [`Range`]
//! has the samples of some series. Nodes that work on labels remember what they made of each label set, so a second
//! evaluation touches no text.

use super::aggregation::Aggregate;
use super::binary::{Matched, Operator, SetOperation};
use super::functions::histogram::OfHistograms;
use super::functions::label::{LabelJoin, LabelReplace};
use super::functions::sort::Sort;
use super::functions::{RangeFunction, SampleFunction};
use super::fused::{FusedAggregate, Single, Source};
use super::renamed::Renamed;
use super::selector::{Selector, Shift};
use super::value::{LabelTable, LabelsId, Memo};
use crate::monitoring::labels::{Labels, METRIC_NAME};

/// A whole query, by its type.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Scalar(Scalar),
    Vector(Vector),
    Range(Range),
    Text(String),
}

/// What gives one number.
#[derive(Clone, Debug)]
pub(super) enum Scalar {
    Number(f64),
    /// `time()`: seconds since 1970.
    Time,
    /// `scalar(v)`: the value of a vector's only element, else NaN.
    Of(Box<Vector>),
    Negated(Box<Scalar>),
    Binary {
        operator: Operator,
        left: Box<Scalar>,
        right: Box<Scalar>,
    },
}

/// What gives an instant vector.
#[derive(Clone, Debug)]
pub(super) enum Vector {
    Select(Selector),
    /// `vector(s)`: one element without labels.
    Of(Scalar),
    /// `timestamp(selector)`: when each sample was taken.
    Timestamp(Selector),
    /// `timestamp(v)` of anything else: now, for each element.
    TimestampOf(Box<Vector>),
    EachSample {
        function: SampleFunction,
        of: Box<Vector>,
        arguments: Vec<Scalar>,
    },
    EachRange(Box<EachRange>),
    /// `-v`
    Negated {
        of: Box<Vector>,
        renamed: Renamed,
    },
    Absent {
        of: Box<Vector>,
        labels: Labels,
    },
    AbsentOverTime {
        of: Box<Range>,
        labels: Labels,
    },
    Sorted(Box<Sort>),
    OfHistograms(Box<OfHistograms>),
    LabelReplace(Box<LabelReplace>),
    LabelJoin(Box<LabelJoin>),
    Aggregate(Box<Aggregate>),
    WithScalar {
        operator: Operator,
        vector: Box<Vector>,
        scalar: Scalar,
        /// The scalar is on the left.
        swapped: bool,
        returns_bool: bool,
    },
    Matched(Box<Matched>),
    Set(Box<SetOperation>),
    Fused(Box<Source>),
    FusedAggregate(Box<FusedAggregate>),
    Single(Box<Single>),
}

/// A function of each series' samples in a range.
#[derive(Clone, Debug)]
pub(super) struct EachRange {
    pub(super) function: RangeFunction,
    pub(super) of: Range,
    pub(super) arguments: Vec<Scalar>,
    pub(super) renamed: Renamed,
}

/// What gives a range vector.
#[derive(Clone, Debug)]
pub(super) enum Range {
    Select {
        selector: Selector,
        /// Milliseconds.
        range: i64,
    },
    Subquery {
        of: Box<Vector>,
        shift: Shift,
        /// Milliseconds.
        range: i64,
        /// Milliseconds; `None` is the global evaluation interval.
        step: Option<i64>,
    },
}

/// Which labels count: `by (…)` and `on (…)` keep the named ones, `without (…)` and `ignoring (…)` drop them and the
/// metric's name.
#[derive(Clone, Debug)]
pub(super) struct LabelRule {
    keeps: bool,
    names: Vec<String>,
    known: Memo,
}

impl LabelRule {
    pub(super) fn keep(names: Vec<String>) -> Self {
        LabelRule { keeps: true, names, known: Memo::default() }
    }

    pub(super) fn drop(mut names: Vec<String>) -> Self {
        names.push(METRIC_NAME.to_owned());
        LabelRule::drop_only(names)
    }

    /// As [`LabelRule::drop`], but the metric's name stays unless it is listed.
    pub(super) fn drop_only(names: Vec<String>) -> Self {
        LabelRule { keeps: false, names, known: Memo::default() }
    }

    /// True where the rule keeps these labels and no other.
    pub(super) fn keeps_only(&self, names: &[&str]) -> bool {
        self.keeps && self.names == names
    }

    /// What the rule leaves of a label set.
    pub(super) fn apply(&mut self, labels: LabelsId, table: &mut LabelTable) -> LabelsId {
        if let Some(known) = self.known.get(labels) {
            return known;
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let set = table.get(labels);
        let left = if self.keeps { set.only(&names) } else { set.without(&names) };
        let answer = table.intern(left);
        self.known.set(labels, answer)
    }
}
