//! `in` with literals on its right (`optimizer/in_array.go`, `in_range.go`).

use super::super::ast::{Ast, Kind, Literals, NodeId};
use super::super::nature::TypeKind;
use super::super::operator::{self, BinaryOp};
use super::{made, replace_keeping_type};
use std::sync::Arc;

/// The sides of `in`, where this node is one.
fn sides(ast: &Ast, id: NodeId) -> Option<(NodeId, NodeId)> {
    match ast.kind(id) {
        Kind::Binary { operator, left, right } if operator.op == BinaryOp::In => Some((*left, *right)),
        _ => None,
    }
}

/// An array of integers (where the left is one) or of texts becomes a set, in which types count.
pub(super) fn in_array(ast: &mut Ast, id: NodeId) {
    let Some((left, right)) = sides(ast, id) else { return };
    let Kind::Array(nodes) = ast.kind(right) else { return };
    if nodes.is_empty() {
        return;
    }
    let is_int = ast.nature(left).kind() == TypeKind::Int;
    let integers = || nodes.iter().map(|&node| ast.integer(node)).collect::<Option<_>>();
    let texts = || nodes.iter().map(|&node| ast.text(node).cloned()).collect::<Option<_>>();
    let set = match is_int.then(integers).flatten() {
        Some(integers) => Some(Literals::Integers(integers)),
        None => texts().map(Literals::Texts),
    };
    if let Some(set) = set {
        replace_keeping_type(ast, id, Kind::InSet { left, set: Arc::new(set) });
    }
}

/// An integer in a range of literals becomes two comparisons.
pub(super) fn in_range(ast: &mut Ast, id: NodeId) {
    let Some((left, right)) = sides(ast, id) else { return };
    if ast.nature(left).kind() != TypeKind::Int {
        return;
    }
    let Some((from, to)) = literal_range(ast, right) else { return };
    let (Some(least), Some(most), Some(and)) =
        (operator::binary(">="), operator::binary("<="), operator::binary("and"))
    else {
        return;
    };
    let least = made(ast, Kind::Binary { operator: least, left, right: from });
    let most = made(ast, Kind::Binary { operator: most, left, right: to });
    replace_keeping_type(ast, id, Kind::Binary { operator: and, left: least, right: most });
}

/// The ends of a range of two literals.
pub(super) fn literal_range(ast: &Ast, id: NodeId) -> Option<(NodeId, NodeId)> {
    match ast.kind(id) {
        Kind::Binary { operator, left, right }
            if operator.op == BinaryOp::Range
                && ast.integer(*left).is_some()
                && ast.integer(*right).is_some() =>
        {
            Some((*left, *right))
        }
        _ => None,
    }
}
