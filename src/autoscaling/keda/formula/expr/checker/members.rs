//! Access to what lies in a value.

use super::super::ast::{Kind, NodeId};
use super::super::error::Class;
use super::super::methods;
use super::super::nature::{Nature, Type, TypeKind};
use super::{Checked, Checker, ENV};

impl Checker<'_> {
    /// Whether the node is the name of all variables together.
    pub(super) fn is_env(&self, id: NodeId) -> bool {
        matches!(self.ast.kind(id), Kind::Identifier(name) if **name == *ENV)
    }

    pub(super) fn member(
        &mut self,
        id: NodeId,
        node: NodeId,
        property: NodeId,
        optional: bool,
        method: bool,
    ) -> Checked {
        let name = self.ast.text(property).cloned();
        if self.is_env(node) {
            return match name {
                // An optional access may name a variable that is not there.
                Some(name) if !optional || (self.is_variable)(&name) => self.trigger(id, &name),
                _ => Ok(Nature::default()),
            };
        }
        let (base, index) = (self.visit(node)?, self.visit(property)?);
        if base.is_unknown() {
            return Ok(Nature::default());
        }
        if let Some(name) = &name {
            if base.nil {
                return self.mismatch(id, format!("type nil has no field {name}"));
            }
            let found = methods::by_name(base.type_or_any(), name).map_err(self.failed(id))?;
            if let Some(found) = found {
                return Ok(Type::Func(found.signature).into());
            }
        }
        match base.kind() {
            TypeKind::Map => {
                if !index.is_assignable_to(&base.key()) && !index.is_unknown() {
                    let message = format!("cannot use {index} to get an element from {base}");
                    return self.bad_argument(property, message);
                }
                Ok(base.element())
            }
            TypeKind::Slice => {
                if !index.is_integer() && !index.is_unknown() {
                    let message =
                        format!("array elements can only be selected using an integer (got {index})");
                    return self.mismatch(property, message);
                }
                Ok(base.element())
            }
            _ => self.mismatch(
                id,
                match name {
                    Some(name) if method => format!("type {base} has no method {name}"),
                    Some(name) => format!("type {base} has no field {name}"),
                    None => format!("type {base}[{index}] is undefined"),
                },
            ),
        }
    }

    pub(super) fn slice(
        &mut self,
        id: NodeId,
        node: NodeId,
        from: Option<NodeId>,
        to: Option<NodeId>,
    ) -> Checked {
        let nature = self.visit(node)?;
        if nature.is_unknown() {
            return Ok(Nature::default());
        }
        if !matches!(nature.kind(), TypeKind::String | TypeKind::Slice) {
            return self.mismatch(id, format!("cannot slice {nature}"));
        }
        for end in [from, to].into_iter().flatten() {
            let index = self.visit(end)?;
            if !index.is_integer() && !index.is_unknown() {
                return self.mismatch(end, format!("non-integer slice index {index}"));
            }
        }
        Ok(nature)
    }

    /// The function `get`.
    pub(super) fn get(&mut self, id: NodeId, arguments: &[NodeId]) -> Checked {
        let &[from, index] = arguments else {
            let message = format!("invalid number of arguments (expected 2, got {})", arguments.len());
            return Err(self.error(id, Class::Arity, message));
        };
        let (base, property) = (self.visit(from)?, self.visit(index)?);
        if self.is_env(from) {
            let known = self.ast.text(index).is_some_and(|name| (self.is_variable)(name));
            return Ok(if known { Type::Float64.into() } else { Nature::default() });
        }
        if base.is_unknown() {
            return Ok(Nature::default());
        }
        match base.kind() {
            TypeKind::Slice if !property.is_integer() && !property.is_unknown() => {
                self.bad_argument(index, format!("non-integer slice index {property}"))
            }
            TypeKind::Map if !property.is_assignable_to(&base.key()) && !property.is_unknown() => {
                self.bad_argument(index, format!("cannot use {property} to get an element from {base}"))
            }
            TypeKind::Slice | TypeKind::Map => Ok(base.element()),
            _ => self.bad_argument(from, format!("type {base} does not support indexing")),
        }
    }
}
