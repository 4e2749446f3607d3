//! Constants are computed (`optimizer/fold.go`).

use super::super::ast::{Ast, BuiltinCall, Kind, NodeId};
use super::super::error::{Class, ExprError};
use super::super::go_math::pow;
use super::super::operator::{self, BinaryOp, UnaryOp};
use super::super::value::{Array, Value};
use super::{made, replace_by_constant, replace_keeping_type};

/// Folds this node, of which the parts are folded. True where something changed.
///
/// # Errors
/// An integer that is divided by zero.
pub(super) fn fold(ast: &mut Ast, id: NodeId) -> Result<bool, ExprError> {
    let folded = match ast.kind(id) {
        Kind::Unary { operator, node } => unary(operator.op, ast.kind(*node)),
        Kind::Binary { operator, left, right } => {
            let (left, right) = (*left, *right);
            match operator.op {
                op @ (BinaryOp::And | BinaryOp::Or) => return Ok(boolean(ast, id, op, left, right)),
                op => {
                    let folded = binary(op, ast.kind(left), ast.kind(right));
                    folded.map_err(|message| ExprError::new(Class::ConstFold, ast.span(id), message))?
                }
            }
        }
        Kind::Array(nodes) => array(nodes.iter().map(|&node| ast.kind(node))),
        Kind::Builtin(call) if call.is("filter", 2) => return Ok(filter_of_filter(ast, id)),
        _ => None,
    };
    let changed = folded.is_some();
    if let Some(kind) = folded {
        replace_by_constant(ast, id, kind);
    }
    Ok(changed)
}

fn unary(op: UnaryOp, node: &Kind) -> Option<Kind> {
    match (op, node) {
        (UnaryOp::Minus, Kind::Integer(x)) => Some(Kind::Integer(x.wrapping_neg())),
        (UnaryOp::Minus, Kind::Float(x)) => Some(Kind::Float(-x)),
        (UnaryOp::Plus, Kind::Integer(x)) => Some(Kind::Integer(*x)),
        (UnaryOp::Plus, Kind::Float(x)) => Some(Kind::Float(*x)),
        (UnaryOp::Not, Kind::Bool(x)) => Some(Kind::Bool(!x)),
        _ => None,
    }
}

fn binary(op: BinaryOp, left: &Kind, right: &Kind) -> Result<Option<Kind>, &'static str> {
    if let (&Kind::Integer(x), &Kind::Integer(y)) = (left, right) {
        return Ok(match op {
            BinaryOp::Add => Some(Kind::Integer(x.wrapping_add(y))),
            BinaryOp::Subtract => Some(Kind::Integer(x.wrapping_sub(y))),
            BinaryOp::Multiply => Some(Kind::Integer(x.wrapping_mul(y))),
            BinaryOp::Modulo if y == 0 => return Err("integer divide by zero"),
            BinaryOp::Modulo => Some(Kind::Integer(x.wrapping_rem(y))),
            BinaryOp::Equal => Some(Kind::Bool(x == y)),
            _ => floats(op, x as f64, y as f64),
        });
    }
    if let (Some(x), Some(y)) = (number(left), number(right)) {
        return Ok(floats(op, x, y));
    }
    Ok(match (op, left, right) {
        (BinaryOp::Add, Kind::Text(x), Kind::Text(y)) => Some(Kind::Text(format!("{x}{y}").into())),
        (BinaryOp::Equal, Kind::Text(x), Kind::Text(y)) => Some(Kind::Bool(x == y)),
        (BinaryOp::Equal, Kind::Bool(x), Kind::Bool(y)) => Some(Kind::Bool(x == y)),
        _ => None,
    })
}

/// Comparisons of floats are not folded.
fn floats(op: BinaryOp, x: f64, y: f64) -> Option<Kind> {
    Some(Kind::Float(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Subtract => x - y,
        BinaryOp::Multiply => x * y,
        BinaryOp::Divide => x / y,
        BinaryOp::Exponent => pow(x, y),
        _ => return None,
    }))
}

fn number(kind: &Kind) -> Option<f64> {
    match kind {
        Kind::Integer(x) => Some(*x as f64),
        Kind::Float(x) => Some(*x),
        _ => None,
    }
}

/// `and` and `or` with a constant: it decides, or the other side does.
fn boolean(ast: &mut Ast, id: NodeId, op: BinaryOp, left: NodeId, right: NodeId) -> bool {
    let constant = |node| match ast.kind(node) {
        Kind::Bool(value) => Some(*value),
        _ => None,
    };
    let neutral = op == BinaryOp::And;
    let (a, b) = (constant(left), constant(right));
    if a == Some(neutral) {
        let right = ast.kind(right).clone();
        replace_keeping_type(ast, id, right);
    } else if b == Some(neutral) {
        let left = ast.kind(left).clone();
        replace_keeping_type(ast, id, left);
    } else if a == Some(!neutral) || b == Some(!neutral) {
        replace_by_constant(ast, id, Kind::Bool(!neutral));
    } else {
        return false;
    }
    true
}

/// An array of literals is made once.
fn array<'a>(nodes: impl ExactSizeIterator<Item = &'a Kind>) -> Option<Kind> {
    if nodes.len() == 0 {
        return None;
    }
    let literal = |kind: &Kind| match kind {
        Kind::Integer(value) => Some(Value::Int(*value)),
        Kind::Float(value) => Some(Value::Float(*value)),
        Kind::Text(value) => Some(Value::Text(value.clone())),
        Kind::Bool(value) => Some(Value::Bool(*value)),
        _ => None,
    };
    let values = nodes.map(literal).collect::<Option<Vec<Value>>>()?;
    // Literals do not lie within each other.
    Array::new(values).ok().map(|array| Kind::Constant(Value::Array(array)))
}

/// Two filters become one with both predicates.
fn filter_of_filter(ast: &mut Ast, id: NodeId) -> bool {
    let Some([items, outer]) = ast.builtin_call(id).map(|call| [call.arguments[0], call.arguments[1]]) else {
        return false;
    };
    let Some(inner) = ast.builtin_call(items).filter(|call| call.is("filter", 2)) else { return false };
    let (builtin, items, first) = (inner.builtin, inner.arguments[0], inner.arguments[1]);
    let (Some(left), Some(right), Some(operator)) =
        (ast.predicate(first), ast.predicate(outer), operator::binary("&&"))
    else {
        return false;
    };
    let both = made(ast, Kind::Binary { operator, left, right });
    let predicate = made(ast, Kind::Predicate(both));
    let merged = BuiltinCall::new(builtin, vec![items, predicate]);
    replace_keeping_type(ast, id, Kind::Builtin(merged));
    true
}
