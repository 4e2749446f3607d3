//! Runs a compiled expression (`vm/vm.go`, expr v1.17.8).
//!
//! The real one is a stack machine. Walking the tree in the order of its instructions gives the same values and the
//! same mistakes at the same places: an instruction's place is that of the node that it was compiled for.

mod loops;
mod meter;
mod nodes;

use super::ast::{Ast, Kind, NodeId};
use super::error::{ExprError, Failure};
use super::nature::TypeKind;
use super::operator::{BinaryOp, UnaryOp};
use super::value::Value;
use super::{arithmetic, compare};
use std::sync::Arc;

pub(super) use meter::Meter;

/// Where the variables of an expression come from.
pub trait Environment {
    /// The value of a variable. One that is absent is nil, or the zero of the type that all variables have.
    fn fetch(&self, name: &str) -> Value;

    /// All variables, as the map that they are.
    fn all(&self) -> Value;
}

/// Runs the tree below `root`.
///
/// # Errors
/// The mistake that ends the run.
pub(super) fn run(ast: &Ast, root: NodeId, environment: &dyn Environment) -> Result<Value, ExprError> {
    let mut vm =
        Vm { ast, environment, declared: Vec::new(), scopes: Vec::new(), meter: Meter::default() };
    vm.evaluate(root)
}

struct Vm<'a> {
    ast: &'a Ast,
    environment: &'a dyn Environment,
    /// The variables of `let` that are in sight.
    declared: Vec<(Arc<str>, Value)>,
    scopes: Vec<Scope>,
    meter: Meter,
}

/// A loop over the items of an array.
struct Scope {
    items: Value,
    len: usize,
    index: usize,
    accumulator: Value,
}

type Evaluated = Result<Value, ExprError>;

impl Vm<'_> {
    fn failed(&self, at: NodeId) -> impl Fn(Failure) -> ExprError + use<> {
        let span = self.ast.span(at);
        move |failure| failure.at(span)
    }

    fn evaluate(&mut self, id: NodeId) -> Evaluated {
        self.meter.step(1).map_err(self.failed(id))?;
        match self.ast.kind(id) {
            Kind::Nil => Ok(Value::Nil),
            Kind::Identifier(name) => Ok(self.variable(name)),
            Kind::Integer(value) => Ok(Value::Int(*value)),
            Kind::Float(value) => Ok(Value::Float(*value)),
            Kind::Bool(value) => Ok(Value::Bool(*value)),
            Kind::Text(text) => Ok(Value::Text(text.clone())),
            Kind::Bytes(bytes) => Ok(Value::Bytes(bytes.clone())),
            Kind::Constant(value) => Ok(value.clone()),
            Kind::Unary { operator, node } => self.unary(id, operator.op, *node),
            Kind::Binary { operator, left, right } => self.binary(id, operator.op, *left, *right),
            Kind::InSet { left, set } => self.in_set(id, *left, set),
            Kind::Chain(node) => self.chain(*node),
            Kind::Member { .. } => Ok(self.member(id)?.unwrap_or(Value::Nil)),
            Kind::Slice { node, from, to } => self.slice(id, *node, *from, *to),
            Kind::Call { callee, arguments } => {
                Ok(self.call(id, *callee, arguments)?.unwrap_or(Value::Nil))
            }
            Kind::Builtin(call) => self.builtin(id, call),
            Kind::Predicate(body) => self.evaluate(*body),
            Kind::Pointer(name) => self.pointer(id, name),
            Kind::Let { name, value, body } => self.declaration(name, *value, *body),
            Kind::Sequence(nodes) => self.sequence(nodes),
            Kind::Conditional { condition, then, otherwise } => {
                let condition = self.evaluate(*condition)?.to_bool().map_err(self.failed(id))?;
                self.evaluate(if condition { *then } else { *otherwise })
            }
            Kind::Array(nodes) => self.array(id, nodes),
            Kind::Map(pairs) => self.map(id, pairs),
            // Only within a map.
            Kind::Pair { value, .. } => self.evaluate(*value),
            Kind::SumFromTheRight(nodes) => self.sum_from_the_right(id, nodes),
        }
    }

    fn variable(&self, name: &str) -> Value {
        let declared = self.declared.iter().rev().find(|(declared, _)| **declared == *name);
        match declared {
            Some((_, value)) => value.clone(),
            None if name == super::checker::ENV => self.environment.all(),
            None => self.environment.fetch(name),
        }
    }

    fn declaration(&mut self, name: &Arc<str>, value: NodeId, body: NodeId) -> Evaluated {
        let value = self.evaluate(value)?;
        self.declared.push((name.clone(), value));
        let value = self.evaluate(body)?;
        self.declared.pop();
        Ok(value)
    }

    fn sequence(&mut self, nodes: &[NodeId]) -> Evaluated {
        let mut last = Value::Nil;
        for &node in nodes {
            last = self.evaluate(node)?;
        }
        Ok(last)
    }

    fn unary(&mut self, id: NodeId, op: UnaryOp, node: NodeId) -> Evaluated {
        let value = self.evaluate(node)?;
        match op {
            UnaryOp::Not => value.to_bool().map(|value| Value::Bool(!value)),
            UnaryOp::Minus => arithmetic::negate(&value),
            UnaryOp::Plus => Ok(value),
        }
        .map_err(self.failed(id))
    }

    fn binary(&mut self, id: NodeId, op: BinaryOp, left: NodeId, right: NodeId) -> Evaluated {
        let l = self.evaluate(left)?;
        match op {
            BinaryOp::Or | BinaryOp::And => {
                let decided = l.to_bool().map_err(self.failed(id))? == (op == BinaryOp::Or);
                return if decided { Ok(l) } else { self.evaluate(right) };
            }
            BinaryOp::Coalesce => return if l.is_nil() { self.evaluate(right) } else { Ok(l) },
            BinaryOp::Matches => return self.matches(id, &l, right),
            _ => {}
        }
        let r = self.evaluate(right)?;
        match op {
            BinaryOp::Equal => self.equal(left, right, &l, &r).map(Value::Bool),
            BinaryOp::NotEqual => self.equal(left, right, &l, &r).map(|equal| Value::Bool(!equal)),
            op => self.operation(op, &l, &r),
        }
        .map_err(self.failed(id))
    }

    fn operation(&mut self, op: BinaryOp, l: &Value, r: &Value) -> Result<Value, Failure> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let compared = |sign, accepted: [std::cmp::Ordering; 2]| {
            let ordering = compare::compare(l, r, sign)?;
            Ok(Value::Bool(ordering.is_some_and(|ordering| accepted.contains(&ordering))))
        };
        match op {
            BinaryOp::Less => compared("<", [Less, Less]),
            BinaryOp::More => compared(">", [Greater, Greater]),
            BinaryOp::LessOrEqual => compared("<=", [Less, Equal]),
            BinaryOp::MoreOrEqual => compared(">=", [Greater, Equal]),
            BinaryOp::Add => arithmetic::add(l, r),
            BinaryOp::Subtract => arithmetic::subtract(l, r),
            BinaryOp::Multiply => arithmetic::multiply(l, r),
            BinaryOp::Divide => arithmetic::divide(l, r),
            BinaryOp::Modulo => arithmetic::modulo(l, r),
            BinaryOp::Exponent => arithmetic::exponent(l, r),
            BinaryOp::In => self.contains(l, r).map(Value::Bool),
            BinaryOp::Contains => part_of(l, r, |text, part| text.contains(part)),
            BinaryOp::StartsWith => part_of(l, r, |text, part| text.starts_with(part)),
            BinaryOp::EndsWith => part_of(l, r, |text, part| text.ends_with(part)),
            BinaryOp::Range => self.range(l, r),
            BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Or
            | BinaryOp::And
            | BinaryOp::Coalesce
            | BinaryOp::Matches
            | BinaryOp::Pipe => Err(Failure::bad(format!("unknown operator ({op:?})"))),
        }
    }

    /// `==`. Where both sides are integers, or both texts, by their static types, values of another type are an error.
    fn equal(&mut self, left: NodeId, right: NodeId, l: &Value, r: &Value) -> Result<bool, Failure> {
        let types = (self.ast.nature(left).type_or_any(), self.ast.nature(right).type_or_any());
        let plain = |kind: TypeKind| types.0 == types.1 && types.0.kind() == kind && types.0.is_unnamed();
        if plain(TypeKind::Int) {
            let integer = |value: &Value| match value {
                Value::Int(value) => Ok(*value),
                other => Err(other.conversion("int")),
            };
            // The second operand is asserted last.
            return Ok(integer(l)? == integer(r)?);
        }
        if plain(TypeKind::String) {
            return Ok(l.to_text()? == r.to_text()?);
        }
        compare::equal(l, r, &mut self.meter)
    }

    /// Adds the last two first. All but the first addition stand at no place of the text.
    fn sum_from_the_right(&mut self, id: NodeId, nodes: &[NodeId]) -> Evaluated {
        let mut values = Vec::with_capacity(nodes.len());
        for &node in nodes {
            values.push(self.evaluate(node)?);
        }
        let Some(mut sum) = values.pop() else { return Ok(Value::Nil) };
        for (index, value) in values.iter().enumerate().rev() {
            let span = if index == 0 { self.ast.span(id) } else { super::error::Span::default() };
            sum = arithmetic::add(value, &sum).map_err(|failure| failure.at(span))?;
        }
        Ok(sum)
    }
}

/// An operator on a text and a part of it: false where either is nil.
fn part_of(l: &Value, r: &Value, test: impl Fn(&str, &str) -> bool) -> Result<Value, Failure> {
    if l.is_nil() || r.is_nil() {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(test(l.to_text()?, r.to_text()?)))
}
