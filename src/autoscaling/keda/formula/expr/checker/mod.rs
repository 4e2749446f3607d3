//! The static check (`checker/checker.go`, expr v1.17.8): what the compiler refuses although it parses.
//!
//! Every node gets its nature, which later decides about optimizations and about the kind of `==`. The arguments of a
//! call of something unknown are not looked at, so neither are mistakes in them.

mod calls;
mod loops;
mod members;
mod operators;

use super::ast::{Ast, Kind, NodeId};
use super::builtin;
use super::error::{Class, ExprError, Failure};
use super::nature::{Nature, Type};
use std::sync::Arc;

/// Checks the tree below `root` where the variables that `is_variable` names are floats.
///
/// # Errors
/// The first mistake.
pub(super) fn check(
    ast: &mut Ast,
    root: NodeId,
    is_variable: &dyn Fn(&str) -> bool,
) -> Result<(), ExprError> {
    let mut checker = Checker { ast, is_variable, declared: Vec::new(), scopes: Vec::new() };
    checker.visit(root)?;
    match find_now(ast, root) {
        Some(at) => Err(ExprError::new(
            Class::Unsupported,
            ast.span(at),
            "`now` reads the operator's clock, which is not simulated",
        )),
        None => Ok(()),
    }
}

/// A call of `now`.
fn find_now(ast: &Ast, id: NodeId) -> Option<NodeId> {
    let is_now = ast.builtin_call(id).is_some_and(|call| call.builtin.name == "now");
    if is_now { Some(id) } else { ast.kind(id).children().find_map(|child| find_now(ast, child)) }
}

struct Checker<'a> {
    ast: &'a mut Ast,
    is_variable: &'a dyn Fn(&str) -> bool,
    /// The variables of `let` that are in sight.
    declared: Vec<(Arc<str>, Nature)>,
    /// The predicates that are open.
    scopes: Vec<Scope>,
}

/// What `#` and its relatives are in a predicate.
struct Scope {
    collection: Nature,
    pointers: Vec<(&'static str, Nature)>,
}

type Checked = Result<Nature, ExprError>;

/// The name of all variables together.
pub(super) const ENV: &str = "$env";

impl Checker<'_> {
    fn error(&self, at: NodeId, class: Class, message: impl Into<String>) -> ExprError {
        ExprError::new(class, self.ast.span(at), message)
    }

    fn mismatch<T>(&self, at: NodeId, message: String) -> Result<T, ExprError> {
        Err(self.error(at, Class::TypeMismatch, message))
    }

    fn bad_argument<T>(&self, at: NodeId, message: String) -> Result<T, ExprError> {
        Err(self.error(at, Class::BadArgument, message))
    }

    fn failed(&self, at: NodeId) -> impl Fn(Failure) -> ExprError + use<> {
        let span = self.ast.span(at);
        move |failure| failure.at(span)
    }

    fn visit(&mut self, id: NodeId) -> Checked {
        let nature = match self.ast.kind(id).clone() {
            Kind::Nil => Nature::nil(),
            Kind::Identifier(name) => self.identifier(id, &name)?,
            Kind::Integer(_) => Type::Int.into(),
            Kind::Float(_) => Type::Float64.into(),
            Kind::Bool(_) => Type::Bool.into(),
            Kind::Text(_) => Type::String.into(),
            Kind::Bytes(_) => Type::Bytes.into(),
            Kind::Unary { operator, node } => self.unary(id, operator, node)?,
            Kind::Binary { operator, left, right } => self.binary(id, operator, left, right)?,
            Kind::Chain(node) => self.visit(node)?,
            Kind::Member { node, property, optional, method } => {
                self.member(id, node, property, optional, method)?
            }
            Kind::Slice { node, from, to } => self.slice(id, node, from, to)?,
            Kind::Call { callee, arguments } => self.call(id, callee, &arguments)?,
            Kind::Builtin(call) => self.builtin(id, &call)?,
            Kind::Predicate(body) => self.visit(body)?,
            Kind::Pointer(name) => self.pointer(id, &name)?,
            Kind::Let { name, value, body } => self.variable(id, &name, value, body)?,
            Kind::Sequence(nodes) => self.last_of(&nodes)?,
            Kind::Conditional { condition, then, otherwise } => {
                self.conditional(condition, then, otherwise)?
            }
            Kind::Array(nodes) => self.array(&nodes)?,
            Kind::Map(pairs) => {
                self.last_of(&pairs)?;
                Type::Object.into()
            }
            Kind::Pair { key, value } => {
                self.visit(key)?;
                self.visit(value)?;
                Nature::nil()
            }
            // Made by the optimizer, which comes later.
            Kind::Constant(_) | Kind::InSet { .. } | Kind::SumFromTheRight(_) => Nature::default(),
        };
        self.ast.set_nature(id, nature.clone());
        Ok(nature)
    }

    fn last_of(&mut self, nodes: &[NodeId]) -> Checked {
        let mut last = Nature::default();
        for &node in nodes {
            last = self.visit(node)?;
        }
        Ok(last)
    }

    fn identifier(&self, id: NodeId, name: &str) -> Checked {
        let declared = self.declared.iter().rev().find(|(declared, _)| **declared == *name);
        if let Some((_, nature)) = declared {
            return Ok(nature.clone());
        }
        if name == ENV {
            return Ok(Nature::default());
        }
        match builtin::by_name(name).filter(|_| !(self.is_variable)(name)) {
            Some(builtin) => Ok(Nature::function(builtin)),
            None => self.trigger(id, name),
        }
    }

    /// A variable of the environment.
    fn trigger(&self, at: NodeId, name: &str) -> Checked {
        if (self.is_variable)(name) {
            return Ok(Type::Float64.into());
        }
        Err(self.error(at, Class::UnknownName, format!("unknown name {name}")))
    }

    fn pointer(&self, id: NodeId, name: &str) -> Checked {
        let unknown = |what: String| self.error(id, Class::UnknownName, what);
        let Some(scope) = self.scopes.last() else {
            return Err(unknown("cannot use pointer accessor outside predicate".to_owned()));
        };
        if name.is_empty() {
            return Ok(scope.collection.element());
        }
        let found = scope.pointers.iter().find(|(own, _)| *own == name);
        found.map(|(_, nature)| nature.clone()).ok_or_else(|| unknown(format!("unknown pointer #{name}")))
    }

    fn variable(&mut self, id: NodeId, name: &Arc<str>, value: NodeId, body: NodeId) -> Checked {
        let taken = if (self.is_variable)(name) {
            Some(String::new())
        } else if builtin::by_name(name).is_some() {
            Some("builtin ".to_owned())
        } else {
            let declared = self.declared.iter().any(|(declared, _)| declared == name);
            declared.then(|| "variable ".to_owned())
        };
        if let Some(what) = taken {
            return Err(self.error(id, Class::Redeclare, format!("cannot redeclare {what}{name}")));
        }
        let nature = self.visit(value)?;
        self.declared.push((name.clone(), nature));
        let nature = self.visit(body)?;
        self.declared.pop();
        Ok(nature)
    }

    /// The nature of a conditional is that of its first branch, where the second can take it.
    fn conditional(&mut self, condition: NodeId, then: NodeId, otherwise: NodeId) -> Checked {
        let nature = self.visit(condition)?;
        if !nature.is(Type::Bool) && !nature.is_unknown() {
            return self
                .mismatch(condition, format!("non-bool expression (type {nature}) used as condition"));
        }
        let (first, second) = (self.visit(then)?, self.visit(otherwise)?);
        Ok(match (first.nil, second.nil) {
            (true, false) => second,
            (false, true) => first,
            (true, true) => Nature::nil(),
            (false, false) if first.is_assignable_to(&second) => {
                let (a, b) = (first.element(), second.element());
                let arrays = first.is_array() && second.is_array();
                if arrays && !(a.is_assignable_to(&b) && b.is_assignable_to(&a)) {
                    Type::Array.into()
                } else {
                    first
                }
            }
            (false, false) => Nature::default(),
        })
    }

    /// An array whose items have one nature, or of anything. Nil counts as unknown here.
    fn array(&mut self, nodes: &[NodeId]) -> Checked {
        let mut previous = Nature::default();
        let mut same = true;
        for (i, &node) in nodes.iter().enumerate() {
            let current = self.visit(node)?;
            same &= i == 0 || current.kind() == previous.kind();
            previous = current;
        }
        Ok(if same { Nature::array_of(previous) } else { Type::Array.into() })
    }
}
