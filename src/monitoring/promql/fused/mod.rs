//! Fused operators: the queries that autoscalers ask all day, without the vectors between their parts.
//!
//! ```text
//!   sum(rate(x[2m]))          interpreted:  rows ─► points ─► vector ─► groups ─► vector
//!                             fused:        rows ─► groups
//! ```
//!
//! | family | such as |
//! |---|---|
//! | [`Source`]: a number for each series of a selector | `rate(x[2m])`, `max_over_time(x[1m])` |
//! | [`FusedAggregate`]: sources folded by group | `sum(x)`, `sum by (le) (rate(x_bucket[2m]))`, `max(max_over_time(x[1m]))` |
//! | [`Single`]: arithmetic on at most one element without labels | `sum(x) / count(up == 1)`, `sum(x) or vector(0)`, `histogram_quantile(0.95, sum by (le) (rate(x_bucket[2m])))` |
//!
//! They compute what the interpreter computes, in its order, with its functions: the same bits. What they leave out is
//! finding groups and checking that elements differ, which depends on the series alone and is done when series come or go.
//! Where two series would be alike without their names, only the interpreter knows when both are there, so it is asked.

mod aggregate;
#[cfg(test)]
mod differential;
mod single;
mod source;

pub(super) use aggregate::FusedAggregate;
pub(super) use single::Single;
pub(super) use source::Source;

use super::aggregation::{Aggregate, Aggregator};
use super::binary::{Matched, SetOperation};
use super::plan::{Plan, Range, Scalar, Vector};

/// The plan with what can be fused fused, from the leaves up.
pub(super) fn fuse(plan: Plan) -> Plan {
    match plan {
        Plan::Scalar(of) => Plan::Scalar(scalar(of)),
        Plan::Vector(of) => Plan::Vector(vector(of)),
        Plan::Range(of) => Plan::Range(range(of)),
        Plan::Text(_) => plan,
    }
}

fn scalar(plan: Scalar) -> Scalar {
    match plan {
        Scalar::Number(_) | Scalar::Time => plan,
        Scalar::Of(of) => Scalar::Of(boxed(of, vector)),
        Scalar::Negated(of) => Scalar::Negated(boxed(of, scalar)),
        Scalar::Binary { operator, left, right } => {
            Scalar::Binary { operator, left: boxed(left, scalar), right: boxed(right, scalar) }
        }
    }
}

fn scalars(plans: Vec<Scalar>) -> Vec<Scalar> {
    plans.into_iter().map(scalar).collect()
}

fn range(plan: Range) -> Range {
    match plan {
        Range::Select { .. } => plan,
        Range::Subquery { of, shift, range, step } => {
            Range::Subquery { of: boxed(of, vector), shift, range, step }
        }
    }
}

fn vector(plan: Vector) -> Vector {
    if let Some(source) = Source::of_range(&plan) {
        return Vector::Fused(Box::new(source));
    }
    let plan = match plan {
        Vector::Select(_) | Vector::Timestamp(_) => return plan,
        // The passes below made these.
        Vector::Fused(_) | Vector::FusedAggregate(_) | Vector::Single(_) => return plan,
        Vector::Of(of) => Vector::Of(scalar(of)),
        Vector::TimestampOf(of) => Vector::TimestampOf(boxed(of, vector)),
        Vector::EachSample { function, of, arguments } => {
            Vector::EachSample { function, of: boxed(of, vector), arguments: scalars(arguments) }
        }
        Vector::EachRange { function, of, arguments } => {
            Vector::EachRange { function, of: range(of), arguments: scalars(arguments) }
        }
        Vector::Absent { of, labels } => Vector::Absent { of: boxed(of, vector), labels },
        Vector::AbsentOverTime { of, labels } => Vector::AbsentOverTime { of: range(of), labels },
        Vector::WithScalar { operator, vector: of, scalar: with, swapped, returns_bool } => {
            let (of, with) = (boxed(of, vector), scalar(with));
            Vector::WithScalar { operator, vector: of, scalar: with, swapped, returns_bool }
        }
        Vector::Aggregate(node) => aggregate(*node),
        Vector::Sorted(node) => Vector::Sorted(boxed(node, |node| node.map(vector))),
        Vector::OfHistograms(node) => Vector::OfHistograms(boxed(node, |node| node.map(vector, scalar))),
        Vector::LabelReplace(node) => Vector::LabelReplace(boxed(node, |node| node.map(vector))),
        Vector::LabelJoin(node) => Vector::LabelJoin(boxed(node, |node| node.map(vector))),
        Vector::Matched(node) => Vector::Matched(boxed(node, |node| node.map(vector))),
        Vector::Set(node) => Vector::Set(boxed(node, |node| node.map(vector))),
    };
    Single::of(plan)
}

fn aggregate(node: Aggregate) -> Vector {
    match FusedAggregate::of(&node) {
        Some(fused) => Vector::FusedAggregate(Box::new(fused)),
        None => {
            let aggregator = match node.aggregator {
                Aggregator::Quantile(of) => Aggregator::Quantile(scalar(of)),
                Aggregator::Choice(choice, of) => Aggregator::Choice(choice, scalar(of)),
                aggregator @ (Aggregator::Fold(_) | Aggregator::CountValues(_)) => aggregator,
            };
            Vector::Aggregate(Box::new(Aggregate { aggregator, of: vector(node.of), ..node }))
        }
    }
}

fn boxed<T>(of: Box<T>, map: impl FnOnce(T) -> T) -> Box<T> {
    Box::new(map(*of))
}
