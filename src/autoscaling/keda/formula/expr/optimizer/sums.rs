//! Sums (`optimizer/sum_range.go`, `sum_array.go`, `sum_map.go`).

use super::super::ast::{Ast, BuiltinCall, Kind, NodeId};
use super::super::operator::BinaryOp;
use super::membership::literal_range;
use super::{replace_by_constant, replace_keeping_type};

/// `sum(m..n)`, also of a term that is linear in `#`, and `reduce(m..n, # + #acc)` have closed forms.
pub(super) fn sum_range(ast: &mut Ast, id: NodeId) {
    if let Some(total) = range_total(ast, id) {
        replace_by_constant(ast, id, Kind::Integer(total));
    }
}

fn range_total(ast: &Ast, id: NodeId) -> Option<i64> {
    let call = ast.builtin_call(id)?;
    let (from, to) = literal_range(ast, *call.arguments.first()?)?;
    let (from, to) = (ast.integer(from)?, ast.integer(to)?);
    if to < from {
        return None;
    }
    let count = to.wrapping_sub(from).wrapping_add(1);
    let total = count.wrapping_mul(from.wrapping_add(to)).wrapping_div(2);
    match (call.builtin.name, call.arguments.as_slice()) {
        ("sum", [_]) => Some(total),
        ("sum", [_, predicate]) => linear_total(ast, *predicate, total, count),
        ("reduce", [_, predicate]) if adds_to_accumulator(ast, *predicate) => Some(total),
        ("reduce", [_, predicate, initial]) if adds_to_accumulator(ast, *predicate) => {
            Some(ast.integer(*initial)?.wrapping_add(total))
        }
        _ => None,
    }
}

/// The sum of `#`, or of `#` with one integer.
fn linear_total(ast: &Ast, predicate: NodeId, total: i64, count: i64) -> Option<i64> {
    let body = ast.predicate(predicate)?;
    if is_pointer(ast, body, "") {
        return Some(total);
    }
    let Kind::Binary { operator, left, right } = ast.kind(body) else { return None };
    let (constant, item_first) = if is_pointer(ast, *left, "") {
        (ast.integer(*right)?, true)
    } else if is_pointer(ast, *right, "") {
        (ast.integer(*left)?, false)
    } else {
        return None;
    };
    let constants = count.wrapping_mul(constant);
    match (operator.op, item_first) {
        (BinaryOp::Multiply, _) => Some(constant.wrapping_mul(total)),
        (BinaryOp::Add, _) => Some(total.wrapping_add(constants)),
        (BinaryOp::Subtract, true) => Some(total.wrapping_sub(constants)),
        (BinaryOp::Subtract, false) => Some(constants.wrapping_sub(total)),
        _ => None,
    }
}

fn is_pointer(ast: &Ast, id: NodeId, name: &str) -> bool {
    matches!(ast.kind(id), Kind::Pointer(own) if **own == *name)
}

fn adds_to_accumulator(ast: &Ast, predicate: NodeId) -> bool {
    let Some(Kind::Binary { operator, left, right }) = ast.predicate(predicate).map(|body| ast.kind(body))
    else {
        return false;
    };
    let pair = |item, accumulator| is_pointer(ast, item, "") && is_pointer(ast, accumulator, "acc");
    operator.op == BinaryOp::Add && (pair(*left, *right) || pair(*right, *left))
}

/// `sum([a, b, c])` becomes `a + (b + c)`. An array of literals alone is a constant by now and stays.
pub(super) fn sum_array(ast: &mut Ast, id: NodeId) {
    let Some(call) = ast.builtin_call(id).filter(|call| call.is("sum", 1)) else { return };
    if let Kind::Array(nodes) = ast.kind(call.arguments[0])
        && nodes.len() >= 2
    {
        let nodes = nodes.clone();
        replace_keeping_type(ast, id, Kind::SumFromTheRight(nodes));
    }
}

/// `sum(map(items, predicate))` becomes `sum(items, predicate)`.
pub(super) fn sum_map(ast: &mut Ast, id: NodeId) {
    let Some(call) = ast.builtin_call(id).filter(|call| call.is("sum", 1)) else { return };
    let Some(map) = ast.builtin_call(call.arguments[0]).filter(|map| map.is("map", 2)) else { return };
    let sum = BuiltinCall::new(call.builtin, map.arguments.clone());
    replace_keeping_type(ast, id, Kind::Builtin(sum));
}
