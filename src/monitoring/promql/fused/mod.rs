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

use super::aggregation::Aggregator;
use super::plan::{Plan, Range, Scalar, Vector};

/// Replaces what can be fused, from the leaves up.
pub(super) fn fuse(plan: &mut Plan) {
    match plan {
        Plan::Scalar(of) => scalar(of),
        Plan::Vector(of) => vector(of),
        Plan::Range(of) => range(of),
        Plan::Text(_) => {}
    }
}

fn scalar(plan: &mut Scalar) {
    match plan {
        Scalar::Number(_) | Scalar::Time => {}
        Scalar::Of(of) => vector(of),
        Scalar::Negated(of) => scalar(of),
        Scalar::Binary { left, right, .. } => {
            scalar(left);
            scalar(right);
        }
    }
}

fn range(plan: &mut Range) {
    match plan {
        Range::Select { .. } => {}
        Range::Subquery { of, .. } => vector(of),
    }
}

fn vector(plan: &mut Vector) {
    if fuse_source(plan) {
        return;
    }
    match plan {
        Vector::Select(_) | Vector::Timestamp(_) => {}
        Vector::Fused(_) | Vector::FusedAggregate(_) | Vector::Single(_) => {}
        Vector::Of(of) => scalar(of),
        Vector::TimestampOf(of) | Vector::Negated { of, .. } | Vector::Absent { of, .. } => vector(of),
        Vector::AbsentOverTime { of, .. } => range(of),
        Vector::EachSample { of, arguments, .. } => {
            vector(of);
            arguments.iter_mut().for_each(scalar);
        }
        Vector::EachRange(node) => {
            range(&mut node.of);
            node.arguments.iter_mut().for_each(scalar);
        }
        Vector::WithScalar { vector: of, scalar: with, .. } => {
            vector(of);
            scalar(with);
        }
        Vector::Aggregate(node) => {
            vector(&mut node.of);
            match &mut node.aggregator {
                Aggregator::Quantile(of) | Aggregator::Choice(_, of) => scalar(of),
                Aggregator::Fold(_) | Aggregator::CountValues(_) => {}
            }
        }
        Vector::Sorted(node) => vector(&mut node.of),
        Vector::OfHistograms(node) => node.visit(vector, scalar),
        Vector::LabelReplace(node) => vector(&mut node.relabelled.of),
        Vector::LabelJoin(node) => vector(&mut node.relabelled.of),
        Vector::Matched(node) => {
            vector(&mut node.left);
            vector(&mut node.right);
        }
        Vector::Set(node) => {
            vector(&mut node.left);
            vector(&mut node.right);
        }
    }
    fuse_single(plan);
}

/// Replaces a source, or an aggregation of one; the answer is whether it was one.
// What recurses leaves this to a function of its own: the nodes are large, and a thread's stack has an end.
#[inline(never)]
fn fuse_source(plan: &mut Vector) -> bool {
    let fused = match plan {
        Vector::Aggregate(node) => {
            FusedAggregate::of(node).map(|fused| Vector::FusedAggregate(Box::new(fused)))
        }
        _ => Source::of_range(plan).map(|fused| Vector::Fused(Box::new(fused))),
    };
    let Some(fused) = fused else { return false };
    *plan = fused;
    fuse_single(plan);
    true
}

#[inline(never)]
fn fuse_single(plan: &mut Vector) {
    if let Some(single) = Single::of(plan) {
        *plan = Vector::Single(Box::new(single));
    }
}
