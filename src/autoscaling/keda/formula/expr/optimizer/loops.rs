//! Functions with predicates that become one, or that end early (`optimizer/filter_*.go`, `count_*.go`,
//! `predicate_combination.go`).

use super::super::ast::{Ast, BuiltinCall, Kind, NodeId};
use super::super::builtin;
use super::super::operator::{self, BinaryOp, BinaryOperator};
use super::{made, replace_keeping_type};

/// The call of `filter` with a predicate that this node is.
fn filter(ast: &Ast, id: NodeId) -> Option<&BuiltinCall> {
    ast.builtin_call(id).filter(|call| call.is("filter", 2))
}

/// `map(filter(items, p), q)` becomes a filter that maps what passes, unless `q` reads `#index`.
pub(super) fn filter_map(ast: &mut Ast, id: NodeId) {
    let Some(map) = ast.builtin_call(id).filter(|call| call.is("map", 2)) else { return };
    let Some(inner) = ast.builtin_call(map.arguments[0]).filter(|call| call.builtin.name == "filter") else {
        return;
    };
    let Some(body) = ast.predicate(map.arguments[1]) else { return };
    if inner.map.is_some() || reads_index(ast, body) {
        return;
    }
    let merged = BuiltinCall { map: Some(body), ..BuiltinCall::new(inner.builtin, inner.arguments.clone()) };
    replace_keeping_type(ast, id, Kind::Builtin(merged));
}

fn reads_index(ast: &Ast, id: NodeId) -> bool {
    let kind = ast.kind(id);
    matches!(kind, Kind::Pointer(name) if **name == *"index")
        || kind.children().any(|child| reads_index(ast, child))
}

/// `len(filter(...))` becomes `count(...)`.
pub(super) fn filter_len(ast: &mut Ast, id: NodeId) {
    let Some(len) = ast.builtin_call(id).filter(|call| call.is("len", 1)) else { return };
    let Some(arguments) = filter(ast, len.arguments[0]).map(|call| call.arguments.clone()) else { return };
    replace_by_call(ast, id, "count", arguments);
}

/// `filter(...)[-1]` and `last(filter(...))` become `findLast(...)`.
pub(super) fn filter_last(ast: &mut Ast, id: NodeId) {
    filter_end(ast, id, -1, "last", "findLast");
}

/// `filter(...)[0]` and `first(filter(...))` become `find(...)`.
pub(super) fn filter_first(ast: &mut Ast, id: NodeId) {
    filter_end(ast, id, 0, "first", "find");
}

fn filter_end(ast: &mut Ast, id: NodeId, index: i64, function: &str, search: &str) {
    let (items, throws) = match ast.kind(id) {
        Kind::Member { node, property, optional: false, .. } if ast.integer(*property) == Some(index) => {
            (*node, true)
        }
        Kind::Builtin(call) if call.is(function, 1) => (call.arguments[0], false),
        _ => return,
    };
    let (Some(filter), Some(builtin)) = (filter(ast, items), builtin::by_name(search)) else { return };
    let call = BuiltinCall { throws, map: filter.map, ..BuiltinCall::new(builtin, filter.arguments.clone()) };
    replace_keeping_type(ast, id, Kind::Builtin(call));
}

fn replace_by_call(ast: &mut Ast, id: NodeId, name: &str, arguments: Vec<NodeId>) {
    if let Some(builtin) = builtin::by_name(name) {
        replace_keeping_type(ast, id, Kind::Builtin(BuiltinCall::new(builtin, arguments)));
    }
}

/// `all(x, p) && all(x, q)` becomes `all(x, p && q)`; likewise `any` with `||`, and `none` with `&&`, which tests
/// `p || q` then.
pub(super) fn predicate_combination(ast: &mut Ast, id: NodeId) {
    let &Kind::Binary { operator, left, right } = ast.kind(id) else { return };
    let (Some(a), Some(b)) = (ast.builtin_call(left), ast.builtin_call(right)) else { return };
    let Some(combined) = combined_operator(a.builtin.name, operator) else { return };
    let (&[items, first], &[other_items, second]) = (a.arguments.as_slice(), b.arguments.as_slice()) else {
        return;
    };
    if a.builtin.name != b.builtin.name || !is_same(ast, items, other_items) {
        return;
    }
    let (Some(first), Some(second)) = (ast.predicate(first), ast.predicate(second)) else { return };
    let builtin = a.builtin;
    let both = made(ast, Kind::Binary { operator: combined, left: first, right: second });
    predicate_combination(ast, both);
    let predicate = made(ast, Kind::Predicate(both));
    let call = BuiltinCall::new(builtin, vec![items, predicate]);
    replace_keeping_type(ast, id, Kind::Builtin(call));
}

fn combined_operator(name: &str, operator: &'static BinaryOperator) -> Option<&'static BinaryOperator> {
    match (name, operator.op) {
        ("all", BinaryOp::And) | ("any", BinaryOp::Or) => Some(operator),
        ("none", BinaryOp::And) => operator::binary(if operator.text == "and" { "or" } else { "||" }),
        _ => None,
    }
}

/// Whether two parts of the tree read the same.
fn is_same(ast: &Ast, a: NodeId, b: NodeId) -> bool {
    let (a, b) = (ast.kind(a), ast.kind(b));
    let same = match (a, b) {
        (Kind::Identifier(x), Kind::Identifier(y))
        | (Kind::Text(x), Kind::Text(y))
        | (Kind::Pointer(x), Kind::Pointer(y)) => x == y,
        (Kind::Integer(x), Kind::Integer(y)) => x == y,
        (Kind::Float(x), Kind::Float(y)) => x == y,
        (Kind::Bool(x), Kind::Bool(y)) => x == y,
        (Kind::Constant(x), Kind::Constant(y)) => {
            super::super::format::shown(x) == super::super::format::shown(y)
        }
        (Kind::Unary { operator: x, .. }, Kind::Unary { operator: y, .. }) => x == y,
        (Kind::Binary { operator: x, .. }, Kind::Binary { operator: y, .. }) => x == y,
        (Kind::Builtin(x), Kind::Builtin(y)) => x.builtin.name == y.builtin.name,
        (Kind::Let { name: x, .. }, Kind::Let { name: y, .. }) => x == y,
        (Kind::Slice { from: x, to: x_to, .. }, Kind::Slice { from: y, to: y_to, .. }) => {
            (x.is_some(), x_to.is_some()) == (y.is_some(), y_to.is_some())
        }
        (Kind::Bytes(_) | Kind::InSet { .. } | Kind::SumFromTheRight(_), _) => false,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    };
    same && a.children().count() == b.children().count()
        && a.children().zip(b.children()).all(|(a, b)| is_same(ast, a, b))
}

/// The sides of a comparison of a count with an integer.
fn count_comparison(ast: &Ast, id: NodeId) -> Option<(BinaryOp, NodeId, i64)> {
    let Kind::Binary { operator, left, right } = ast.kind(id) else { return None };
    ast.builtin_call(*left).filter(|call| call.is("count", 2))?;
    Some((operator.op, *left, ast.integer(*right)?))
}

/// `count(...) > 0` becomes `any(...)`.
pub(super) fn count_any(ast: &mut Ast, id: NodeId) {
    let Some((BinaryOp::More, count, 0) | (BinaryOp::MoreOrEqual, count, 1)) = count_comparison(ast, id)
    else {
        return;
    };
    let Some(arguments) = ast.builtin_call(count).map(|call| call.arguments.clone()) else { return };
    replace_by_call(ast, id, "any", arguments);
}

/// A count that is compared need not go past the number that it is compared with.
pub(super) fn count_threshold(ast: &mut Ast, id: NodeId) {
    let Some((op, count, number)) = count_comparison(ast, id) else { return };
    let threshold = match op {
        BinaryOp::More | BinaryOp::LessOrEqual => number.wrapping_add(1),
        BinaryOp::MoreOrEqual | BinaryOp::Less => number,
        _ => return,
    };
    if let Some(call) = ast.call_mut(count).filter(|_| number >= 0 && threshold > 1) {
        call.threshold = Some(threshold);
    }
}
