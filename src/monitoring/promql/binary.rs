//! Binary operators: arithmetic, comparisons and set operations, and which elements of two vectors belong together
//! (promql/engine.go, `VectorBinop`, `VectorscalarBinop`, `VectorAnd`, `VectorOr`, `VectorUnless`).

use super::eval::Evaluation;
use super::plan::{LabelRule, Vector};
use super::semantics::Semantics;
use super::value::{ExecutionError, LabelTable, LabelsId, Sample};
use crate::monitoring::labels::LabelsBuilder;
use rustc_hash::{FxHashMap, FxHashSet};

/// An operator between numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

impl Operator {
    /// Comparisons filter, and keep the metric's name; arithmetic makes a new quantity without one.
    pub(super) fn is_comparison(self) -> bool {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Greater | Less | GreaterOrEqual | LessOrEqual)
    }

    /// True where an element stays what it is called.
    fn keeps_name(self, returns_bool: bool, rules: &Semantics) -> bool {
        self.is_comparison() && !returns_bool || self == Operator::Atan2 && rules.atan2_keeps_names
    }

    /// The number that the operator makes; of a comparison 1 or 0.
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |truth: bool| f64::from(u8::from(truth));
        match self {
            Operator::Add => left + right,
            Operator::Sub => left - right,
            Operator::Mul => left * right,
            Operator::Div => left / right,
            // The sign of the dividend, as Go's math.Mod.
            Operator::Mod => left % right,
            Operator::Pow => libm::pow(left, right),
            Operator::Atan2 => libm::atan2(left, right),
            Operator::Equal => truth(left == right),
            Operator::NotEqual => truth(left != right),
            Operator::Greater => truth(left > right),
            Operator::Less => truth(left < right),
            Operator::GreaterOrEqual => truth(left >= right),
            Operator::LessOrEqual => truth(left <= right),
        }
    }

    /// The value of an element that keeps `kept` where a filter lets it pass; `None` where it does not.
    pub(super) fn combine(self, left: f64, right: f64, kept: f64, returns_bool: bool) -> Option<f64> {
        let value = self.apply(left, right);
        if !self.is_comparison() || returns_bool {
            return Some(value);
        }
        (value == 1.0).then_some(kept)
    }

    /// The same of a vector's element and a scalar, which is on the left where they are `swapped`: a filter keeps the
    /// element's value either way.
    pub(super) fn with_scalar(
        self,
        element: f64,
        scalar: f64,
        swapped: bool,
        returns_bool: bool,
    ) -> Option<f64> {
        let (left, right) = if swapped { (scalar, element) } else { (element, scalar) };
        self.combine(left, right, element, returns_bool)
    }
}

/// `vector op scalar`, or `scalar op vector` where it is `swapped`.
pub(super) fn with_scalar(
    evaluation: &mut Evaluation<'_>,
    operator: Operator,
    mut vector: Vec<Sample>,
    scalar: f64,
    swapped: bool,
    returns_bool: bool,
) -> Result<Vec<Sample>, ExecutionError> {
    vector.retain_mut(|sample| match operator.with_scalar(sample.value, scalar, swapped, returns_bool) {
        Some(value) => {
            sample.value = value;
            true
        }
        None => false,
    });
    if operator.keeps_name(returns_bool, evaluation.rules) {
        return Ok(vector);
    }
    evaluation.without_names(vector)
}

/// Two vectors under an arithmetic operator or a comparison.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    pub(super) operator: Operator,
    pub(super) returns_bool: bool,
    pub(super) left: Vector,
    pub(super) right: Vector,
    pub(super) cardinality: Cardinality,
    /// What elements that belong together have in common.
    pub(super) signature: LabelRule,
    /// What a one-to-one match leaves of the left labels.
    pub(super) result: LabelRule,
    /// The labels of `group_left (…)` or `group_right (…)`.
    pub(super) include: Vec<String>,
    /// What the labels of a pair became.
    pub(super) known: FxHashMap<(LabelsId, LabelsId), LabelsId>,
}

/// How many elements of each side may match one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cardinality {
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

impl Matched {
    pub(super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let left = evaluation.vector(&mut self.left, now)?;
        let right = evaluation.vector(&mut self.right, now)?;
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        // From here on `one` is the side whose elements must be unique.
        let swapped = self.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        evaluation.marks.restart();
        for (at, sample) in one.iter().enumerate() {
            let signature = self.signature.apply(sample.labels, evaluation.table);
            if let Some(other) = evaluation.marks.get(signature) {
                return Err(self.not_unique(evaluation.table, signature, *sample, one[other], swapped));
            }
            evaluation.marks.set(signature, at);
        }
        let mut answers = Vec::with_capacity(many.len());
        let mut matched = FxHashSet::default();
        for sample in many {
            let signature = self.signature.apply(sample.labels, evaluation.table);
            let Some(at) = evaluation.marks.get(signature) else { continue };
            let partner = one[at];
            let (left, right) =
                if swapped { (partner.value, sample.value) } else { (sample.value, partner.value) };
            // A filter keeps the left side's value, also where the left side is the one.
            let Some(value) = self.operator.combine(left, right, left, self.returns_bool) else { continue };
            let labels = self.labels(evaluation, sample.labels, partner.labels);
            let unique = match self.cardinality {
                Cardinality::OneToOne => matched.insert((signature, LabelsId::EMPTY)),
                _ => matched.insert((signature, labels)),
            };
            if !unique {
                return Err(self.many_matches());
            }
            answers.push(Sample { labels, value });
        }
        evaluation.unique(answers)
    }

    /// The labels of the element that a pair makes (`resultMetric`).
    fn labels(&mut self, evaluation: &mut Evaluation<'_>, many: LabelsId, one: LabelsId) -> LabelsId {
        if let Some(&known) = self.known.get(&(many, one)) {
            return known;
        }
        let table = &mut *evaluation.table;
        let keeps_name = self.operator.keeps_name(self.returns_bool, evaluation.rules);
        let mut labels = if keeps_name { many } else { table.nameless(many) };
        if self.cardinality == Cardinality::OneToOne {
            labels = self.result.apply(labels, table);
        }
        if !self.include.is_empty() {
            let mut set = LabelsBuilder::from(table.get(labels));
            for name in &self.include {
                set.set(name, table.get(one).get(name));
            }
            labels = table.intern(set.finish());
        }
        self.known.insert((many, one), labels);
        labels
    }

    fn not_unique(
        &self,
        table: &LabelTable,
        signature: LabelsId,
        a: Sample,
        b: Sample,
        swapped: bool,
    ) -> ExecutionError {
        let side = if swapped { "left" } else { "right" };
        let (group, a, b) = (table.get(signature), table.get(a.labels), table.get(b.labels));
        ExecutionError(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{a}, {b}]; \
             many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    fn many_matches(&self) -> ExecutionError {
        let why = match self.cardinality {
            Cardinality::OneToOne => "many-to-one matching must be explicit (group_left/group_right)",
            _ => "grouping labels must ensure unique matches",
        };
        ExecutionError(format!("multiple matches for labels: {why}"))
    }
}

/// Two vectors under `and`, `or` or `unless`.
#[derive(Clone, Debug)]
pub(super) struct SetOperation {
    pub(super) operator: SetOperator,
    pub(super) left: Vector,
    pub(super) right: Vector,
    pub(super) signature: LabelRule,
}

/// A set operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetOperator {
    And,
    Or,
    Unless,
}

impl SetOperation {
    pub(super) fn evaluate(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Vec<Sample>, ExecutionError> {
        let mut left = evaluation.vector(&mut self.left, now)?;
        let mut right = evaluation.vector(&mut self.right, now)?;
        // `or` drops from the right what the left has; the others choose on the left by what the right has.
        let (choosing, from) = match self.operator {
            SetOperator::Or => (&left, &mut right),
            SetOperator::And | SetOperator::Unless => (&right, &mut left),
        };
        evaluation.marks.restart();
        for sample in choosing {
            let signature = self.signature.apply(sample.labels, evaluation.table);
            evaluation.marks.set(signature, 0);
        }
        let stays_if_marked = self.operator == SetOperator::And;
        from.retain(|sample| {
            let signature = self.signature.apply(sample.labels, evaluation.table);
            evaluation.marks.get(signature).is_some() == stays_if_marked
        });
        if self.operator == SetOperator::Or {
            left.append(&mut right);
        }
        evaluation.unique(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_follows_go() {
        assert_eq!(Operator::Mod.apply(-7.0, 3.0), -1.0);
        assert!(Operator::Mod.apply(1.0, 0.0).is_nan() && Operator::Div.apply(0.0, 0.0).is_nan());
        assert_eq!(Operator::Div.apply(-1.0, 0.0), f64::NEG_INFINITY);
        assert_eq!(Operator::Pow.apply(2.0, -1.0), 0.5);
        assert_eq!(Operator::Atan2.apply(0.0, 1.0), 0.0);
    }

    #[test]
    fn filters_keep_a_value_and_bool_makes_one() {
        assert_eq!(Operator::Greater.combine(3.0, 2.0, 3.0, false), Some(3.0));
        assert_eq!(Operator::Greater.combine(2.0, 3.0, 3.0, false), None);
        assert_eq!(Operator::Greater.combine(2.0, 3.0, 3.0, true), Some(0.0));
        assert_eq!(Operator::NotEqual.combine(f64::NAN, f64::NAN, f64::NAN, true), Some(1.0));
    }
}
