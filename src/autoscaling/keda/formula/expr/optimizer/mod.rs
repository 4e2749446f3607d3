//! What the compiler changes in a checked tree (`optimizer/`, expr v1.17.8), where the change can be seen: sums are
//! added in another order, constants may fail to fold, `in` compares with types, and searches that end early meet fewer
//! mistakes.

mod fold;
mod loops;
mod membership;
mod sums;

use super::ast::{Ast, Kind, NodeId};
use super::error::{ExprError, Span};
use super::nature::{Nature, Type};

/// Changes the tree below `root`.
///
/// # Errors
/// A constant part that cannot be computed.
pub(super) fn optimize(ast: &mut Ast, root: NodeId) -> Result<(), ExprError> {
    /// Rounds of folding: each goes from the leaves up, so few are needed.
    const FOLDS_MAX: usize = 1_000;
    walk(ast, root, &mut |ast, id| {
        membership::in_array(ast, id);
        Ok(())
    })?;
    for _ in 0..=FOLDS_MAX {
        let mut folded = false;
        walk(ast, root, &mut |ast, id| {
            folded |= fold::fold(ast, id)?;
            Ok(())
        })?;
        if !folded {
            break;
        }
    }
    let passes: [fn(&mut Ast, NodeId); 11] = [
        membership::in_range,
        loops::filter_map,
        loops::filter_len,
        loops::filter_last,
        loops::filter_first,
        loops::predicate_combination,
        sums::sum_range,
        sums::sum_array,
        sums::sum_map,
        loops::count_any,
        loops::count_threshold,
    ];
    for pass in passes {
        walk(ast, root, &mut |ast, id| {
            pass(ast, id);
            Ok(())
        })?;
    }
    Ok(())
}

type Visit<'a> = dyn FnMut(&mut Ast, NodeId) -> Result<(), ExprError> + 'a;

/// Visits the nodes from the leaves up.
fn walk(ast: &mut Ast, id: NodeId, visit: &mut Visit<'_>) -> Result<(), ExprError> {
    let children: Vec<NodeId> = ast.kind(id).children().collect();
    for child in children {
        walk(ast, child, visit)?;
    }
    visit(ast, id)
}

/// A node that stands at no place of the text and whose nature is unknown.
fn made(ast: &mut Ast, kind: Kind) -> NodeId {
    ast.add(kind, Span::default())
}

/// Replaces a node by one that keeps its type, if not all that is known of it (`patchCopyType`).
fn replace_keeping_type(ast: &mut Ast, id: NodeId, kind: Kind) {
    let nature = Nature::from(ast.nature(id).type_or_any());
    ast.replace(id, kind, nature);
}

/// Replaces a node by a constant (`patchWithType`).
fn replace_by_constant(ast: &mut Ast, id: NodeId, kind: Kind) {
    let ty = match &kind {
        Kind::Integer(_) => Type::Int,
        Kind::Float(_) => Type::Float64,
        Kind::Bool(_) => Type::Bool,
        Kind::Text(_) => Type::String,
        _ => Type::Array,
    };
    ast.replace(id, kind, ty.into());
}
