//! Which operands an operator takes.

use super::super::ast::NodeId;
use super::super::error::Class;
use super::super::nature::{Nature, Type};
use super::super::operator::{BinaryOp, BinaryOperator, UnaryOp, UnaryOperator};
use super::super::regexp::Regexp;
use super::{Checked, Checker};

/// The types of operands that an operator takes where the other operand is unknown.
type Takes = fn(&Nature) -> bool;

fn is_bool(nature: &Nature) -> bool {
    nature.is(Type::Bool)
}

fn is_text(nature: &Nature) -> bool {
    nature.is(Type::String)
}

fn is_number_or_duration(nature: &Nature) -> bool {
    nature.is_number() || nature.is(Type::Duration)
}

fn is_number_or_time(nature: &Nature) -> bool {
    is_number_or_duration(nature) || nature.is(Type::Time)
}

fn is_ordered(nature: &Nature) -> bool {
    is_number_or_time(nature) || is_text(nature)
}

/// Both unknown, or one unknown and the other taken (`MaybeCompatible`).
fn may_fit(left: &Nature, right: &Nature, takes: Takes) -> bool {
    match (left.is_unknown(), right.is_unknown()) {
        (true, true) => true,
        (true, false) => takes(right),
        (false, true) => takes(left),
        (false, false) => false,
    }
}

impl Checker<'_> {
    pub(super) fn unary(&mut self, id: NodeId, operator: &UnaryOperator, node: NodeId) -> Checked {
        let nature = self.visit(node)?;
        let unknown = nature.is_unknown();
        match operator.op {
            UnaryOp::Not if is_bool(&nature) || unknown => Ok(Type::Bool.into()),
            UnaryOp::Plus | UnaryOp::Minus if nature.is_number() => Ok(nature),
            UnaryOp::Plus | UnaryOp::Minus if unknown => Ok(Nature::default()),
            _ => {
                self.mismatch(id, format!("invalid operation: {} (mismatched type {nature})", operator.text))
            }
        }
    }

    pub(super) fn binary(
        &mut self,
        id: NodeId,
        operator: &BinaryOperator,
        left: NodeId,
        right: NodeId,
    ) -> Checked {
        let (l, r) = (self.visit(left)?, self.visit(right)?);
        let result = match operator.op {
            BinaryOp::In => self.membership(id, &l, &r)?,
            BinaryOp::Matches => {
                if let Some(pattern) = self.ast.text(right) {
                    let pattern = Regexp::new(pattern);
                    pattern.map_err(|failure| self.error(id, failure.class, failure.message))?;
                }
                let fits = (is_text(&l) || l.is(Type::Bytes)) && is_text(&r) || may_fit(&l, &r, is_text);
                fits.then(|| Type::Bool.into())
            }
            BinaryOp::Coalesce => Some(coalesced(l.clone(), r.clone())),
            op => result_of(op, &l, &r),
        };
        match result {
            Some(nature) => Ok(nature),
            None => self
                .mismatch(id, format!("invalid operation: {} (mismatched types {l} and {r})", operator.text)),
        }
    }

    /// `in`: of a key in a map, of an item in an array.
    fn membership(&self, id: NodeId, l: &Nature, r: &Nature) -> Result<Option<Nature>, super::ExprError> {
        if r.is(Type::Time) && (l.is_unknown() || is_text(l)) {
            return Ok(Some(Type::Bool.into()));
        }
        if r.is_map() {
            let key = r.key();
            if !l.is_unknown() && !l.is_assignable_to(&key) {
                let message = format!("cannot use {l} as type {key} in map key");
                return Err(self.error(id, Class::BadArgument, message));
            }
            return Ok(Some(Type::Bool.into()));
        }
        if r.is_array() {
            let element = r.element();
            if !l.is_comparable_to(&element) {
                let message = format!("cannot use {l} as type {element} in array");
                return Err(self.error(id, Class::BadArgument, message));
            }
            return Ok(Some(Type::Bool.into()));
        }
        let fits = l.is_unknown() && is_text(r) || r.is_unknown();
        Ok(fits.then(|| Type::Bool.into()))
    }
}

/// `??`: what is not nil, or the left where it can take the right.
fn coalesced(l: Nature, r: Nature) -> Nature {
    match (l.nil, r.nil) {
        (true, false) => r,
        (false, true) => l,
        (true, true) => Nature::nil(),
        (false, false) if r.is_assignable_to(&l) => l,
        (false, false) => Nature::default(),
    }
}

/// The result of any other operator; `None` where it does not take these operands.
fn result_of(op: BinaryOp, l: &Nature, r: &Nature) -> Option<Nature> {
    let numbers = l.is_number() && r.is_number();
    let both = |ty| l.is(ty) && r.is(ty);
    let pair = |left, right| l.is(left) && r.is(right);
    let given = |fits: bool, ty: Type| fits.then(|| ty.into());
    let unknown = |takes| may_fit(l, r, takes).then(Nature::default);
    match op {
        BinaryOp::Equal | BinaryOp::NotEqual => given(l.is_comparable_to(r), Type::Bool),
        BinaryOp::Or | BinaryOp::And => given(both(Type::Bool) || may_fit(l, r, is_bool), Type::Bool),
        BinaryOp::Less | BinaryOp::More | BinaryOp::MoreOrEqual | BinaryOp::LessOrEqual => {
            let same = both(Type::String) || both(Type::Time) || both(Type::Duration);
            given(numbers || same || may_fit(l, r, is_ordered), Type::Bool)
        }
        BinaryOp::Subtract if numbers => Some(l.promoted(r)),
        BinaryOp::Subtract if both(Type::Time) || both(Type::Duration) => Some(Type::Duration.into()),
        BinaryOp::Subtract if pair(Type::Time, Type::Duration) => Some(Type::Time.into()),
        BinaryOp::Subtract => unknown(is_number_or_time),
        BinaryOp::Multiply if numbers => Some(l.promoted(r)),
        BinaryOp::Multiply if is_number_or_duration(l) && is_number_or_duration(r) => {
            Some(Type::Duration.into())
        }
        BinaryOp::Multiply => unknown(is_number_or_duration),
        BinaryOp::Divide | BinaryOp::Exponent => {
            given(numbers || may_fit(l, r, Nature::is_number), Type::Float64)
        }
        BinaryOp::Modulo => {
            given(l.is_integer() && r.is_integer() || may_fit(l, r, Nature::is_integer), Type::Int)
        }
        BinaryOp::Add if numbers => Some(l.promoted(r)),
        BinaryOp::Add if both(Type::String) => Some(Type::String.into()),
        BinaryOp::Add if pair(Type::Time, Type::Duration) || pair(Type::Duration, Type::Time) => {
            Some(Type::Time.into())
        }
        BinaryOp::Add if both(Type::Duration) => Some(Type::Duration.into()),
        BinaryOp::Add => unknown(is_ordered),
        BinaryOp::Contains | BinaryOp::StartsWith | BinaryOp::EndsWith => {
            given(both(Type::String) || may_fit(l, r, is_text), Type::Bool)
        }
        BinaryOp::Range => {
            let fits = l.is_integer() && r.is_integer() || may_fit(l, r, Nature::is_integer);
            fits.then(|| Nature::array_of(Type::Int.into()))
        }
        // A pipe is no node, and the others are not decided by their operands' types alone.
        BinaryOp::Pipe | BinaryOp::In | BinaryOp::Matches | BinaryOp::Coalesce => None,
    }
}
