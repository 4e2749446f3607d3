//! Vectors that have at most one element, without labels: what KEDA's scaler can read, and no vector is needed for.

use super::super::binary::{Operator, SetOperator};
use super::super::eval::Evaluation;
use super::super::functions::SampleFunction;
use super::super::functions::histogram::OfHistograms;
use super::super::functions::math;
use super::super::plan::{Scalar, Vector};
use super::super::value::ExecutionError;
use super::FusedAggregate;

/// What gives at most one number.
#[derive(Clone, Debug)]
pub(in super::super) enum Single {
    /// An aggregation of all series together.
    Aggregate(FusedAggregate),
    /// A question to the only histogram that buckets summed by `le` alone make.
    OfHistogram(OfHistograms),
    /// `vector(s)`.
    Of(Scalar),
    EachSample {
        function: SampleFunction,
        of: Box<Single>,
        arguments: Vec<Scalar>,
    },
    WithScalar {
        operator: Operator,
        of: Box<Single>,
        scalar: Scalar,
        /// The scalar is on the left.
        swapped: bool,
        returns_bool: bool,
    },
    /// Two without labels always match.
    Matched {
        operator: Operator,
        returns_bool: bool,
        left: Box<Single>,
        right: Box<Single>,
    },
    Set {
        operator: SetOperator,
        left: Box<Single>,
        right: Box<Single>,
    },
}

impl Single {
    /// What `vector` is as a single, where it is one; its parts are fused.
    pub(super) fn of(vector: &Vector) -> Option<Single> {
        let part = |vector: &Vector| match vector {
            Vector::Single(single) => Some(single.clone()),
            _ => None,
        };
        Some(match vector {
            Vector::FusedAggregate(node) if node.grouping().keeps_only(&[]) => {
                Single::Aggregate((**node).clone())
            }
            Vector::OfHistograms(node) if node.is_of_one() => Single::OfHistogram((**node).clone()),
            Vector::Of(scalar) => Single::Of(scalar.clone()),
            Vector::EachSample { function, of, arguments } => {
                Single::EachSample { function: *function, of: part(of)?, arguments: arguments.clone() }
            }
            Vector::Negated { of, .. } => {
                Single::EachSample { function: math::negate, of: part(of)?, arguments: Vec::new() }
            }
            Vector::WithScalar { operator, vector, scalar, swapped, returns_bool } => Single::WithScalar {
                operator: *operator,
                of: part(vector)?,
                scalar: scalar.clone(),
                swapped: *swapped,
                returns_bool: *returns_bool,
            },
            Vector::Matched(node) => Single::Matched {
                operator: node.operator,
                returns_bool: node.returns_bool,
                left: part(&node.left)?,
                right: part(&node.right)?,
            },
            Vector::Set(node) => {
                Single::Set { operator: node.operator, left: part(&node.left)?, right: part(&node.right)? }
            }
            _ => return None,
        })
    }

    /// The element's value at `now`, if there is one.
    pub(in super::super) fn value(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
    ) -> Result<Option<f64>, ExecutionError> {
        Ok(match self {
            Single::Aggregate(node) => node.single(evaluation, now)?,
            Single::OfHistogram(node) => node.single(evaluation, now)?,
            Single::Of(scalar) => Some(evaluation.scalar(scalar, now)?),
            Single::EachSample { function, of, arguments } => {
                let arguments = evaluation.arguments(arguments, now)?;
                of.value(evaluation, now)?.and_then(|value| function(value, &arguments))
            }
            Single::WithScalar { operator, of, scalar, swapped, returns_bool } => {
                let value = of.value(evaluation, now)?;
                let scalar = evaluation.scalar(scalar, now)?;
                value.and_then(|value| operator.with_scalar(value, scalar, *swapped, *returns_bool))
            }
            Single::Matched { operator, returns_bool, left, right } => {
                let (left, right) = (left.value(evaluation, now)?, right.value(evaluation, now)?);
                let pair = left.zip(right);
                pair.and_then(|(left, right)| operator.combine(left, right, left, *returns_bool))
            }
            Single::Set { operator, left, right } => {
                let (left, right) = (left.value(evaluation, now)?, right.value(evaluation, now)?);
                match operator {
                    SetOperator::And => left.filter(|_| right.is_some()),
                    SetOperator::Or => left.or(right),
                    SetOperator::Unless => left.filter(|_| right.is_none()),
                }
            }
        })
    }

    /// How much room the buffers have, for a test that they do not grow.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        match self {
            Single::Aggregate(node) => node.room(),
            Single::OfHistogram(node) => node.room(),
            Single::Of(_) => 0,
            Single::EachSample { of, .. } | Single::WithScalar { of, .. } => of.room(),
            Single::Matched { left, right, .. } | Single::Set { left, right, .. } => {
                left.room() + right.room()
            }
        }
    }
}
