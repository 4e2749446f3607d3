//! Runs a compiled expression (`vm/vm.go`, expr v1.17.8).
//!
//! The real one is a stack machine. This one walks the tree and does to its stack what the instructions of each node
//! do, in their order. So it gives the same values, the same mistakes at the same places (an instruction's place is
//! that of the node that it was compiled for), and the same wrong operands after the instructions that leave more on
//! the stack than their value: `findLast` and `findLastIndex` leave a truth value for each item they look at, and a
//! method of a chain that met nil leaves its arguments. `a + findLast(items, # > 1)` adds `true` to the item.

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
pub(crate) trait Environment {
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
    let mut vm = Vm {
        ast,
        environment,
        stack: Vec::new(),
        declared: Vec::new(),
        scopes: Vec::new(),
        meter: Meter::default(),
    };
    vm.evaluate(root)?;
    Ok(vm.pop())
}

struct Vm<'a> {
    ast: &'a Ast,
    environment: &'a dyn Environment,
    stack: Vec<Value>,
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

/// A value was left on top of the stack, or the run has ended.
type Evaluated = Result<(), ExprError>;

impl Vm<'_> {
    fn failed(&self, at: NodeId) -> impl Fn(Failure) -> ExprError + use<> {
        let span = self.ast.span(at);
        move |failure| failure.at(span)
    }

    fn push(&mut self, value: Value) -> Evaluated {
        self.stack.push(value);
        Ok(())
    }

    /// Every node leaves a value, so there is one.
    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or(Value::Nil)
    }

    fn current(&self) -> &Value {
        self.stack.last().unwrap_or(&Value::Nil)
    }

    /// The value on top, which must be true or false, as the node `at` tests it; it stays there.
    fn current_bool(&self, at: NodeId) -> Result<bool, ExprError> {
        self.current().to_bool().map_err(self.failed(at))
    }

    /// Takes so many values from the stack, the lowest first.
    fn take(&mut self, count: usize) -> Vec<Value> {
        let from = self.stack.len().saturating_sub(count);
        self.stack.split_off(from)
    }

    fn evaluate(&mut self, id: NodeId) -> Evaluated {
        self.meter.step(1).map_err(self.failed(id))?;
        let ast = self.ast;
        match ast.kind(id) {
            Kind::Nil => self.push(Value::Nil),
            Kind::Identifier(name) => {
                let value = self.variable(name);
                self.push(value)
            }
            Kind::Integer(value) => self.push(Value::Int(*value)),
            Kind::Float(value) => self.push(Value::Float(*value)),
            Kind::Bool(value) => self.push(Value::Bool(*value)),
            Kind::Text(text) => self.push(Value::Text(text.clone())),
            Kind::Bytes(bytes) => self.push(Value::Bytes(bytes.clone())),
            Kind::Constant(value) => self.push(value.clone()),
            Kind::Unary { operator, node } => self.unary(id, operator.op, *node),
            Kind::Binary { operator, left, right } => self.binary(id, operator.op, *left, *right),
            Kind::InSet { left, set } => self.in_set(id, *left, set),
            Kind::Chain(node) => self.chain(*node),
            // Outside a chain none of its accesses is optional.
            Kind::Member { .. } | Kind::Call { .. } => self.link(id).map(drop),
            Kind::Slice { node, from, to } => self.slice(id, *node, *from, *to),
            Kind::Builtin(call) => self.builtin(id, call),
            Kind::Predicate(body) => self.evaluate(*body),
            Kind::Pointer(name) => self.pointer(id, name),
            Kind::Let { name, value, body } => self.declaration(name, *value, *body),
            Kind::Sequence(nodes) => self.sequence(nodes),
            Kind::Conditional { condition, then, otherwise } => {
                self.evaluate(*condition)?;
                let condition = self.current_bool(id)?;
                self.pop();
                self.evaluate(if condition { *then } else { *otherwise })
            }
            Kind::Array(nodes) => {
                self.all(nodes)?;
                self.array(id, nodes.len())
            }
            Kind::Map(pairs) => {
                self.all(pairs)?;
                self.map(id, pairs.len())
            }
            Kind::Pair { key, value } => {
                self.evaluate(*key)?;
                self.evaluate(*value)
            }
            Kind::SumFromTheRight(nodes) => self.sum_from_the_right(id, nodes),
        }
    }

    fn all(&mut self, nodes: &[NodeId]) -> Evaluated {
        nodes.iter().try_for_each(|&node| self.evaluate(node))
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
        self.evaluate(value)?;
        let value = self.pop();
        self.declared.push((name.clone(), value));
        self.evaluate(body)?;
        self.declared.pop();
        Ok(())
    }

    fn sequence(&mut self, nodes: &[NodeId]) -> Evaluated {
        for (index, &node) in nodes.iter().enumerate() {
            if index > 0 {
                self.pop();
            }
            self.evaluate(node)?;
        }
        Ok(())
    }

    fn unary(&mut self, id: NodeId, op: UnaryOp, node: NodeId) -> Evaluated {
        self.evaluate(node)?;
        let value = self.pop();
        let value = match op {
            UnaryOp::Not => value.to_bool().map(|value| Value::Bool(!value)),
            UnaryOp::Minus => arithmetic::negate(&value),
            UnaryOp::Plus => Ok(value),
        };
        let value = value.map_err(self.failed(id))?;
        self.push(value)
    }

    fn binary(&mut self, id: NodeId, op: BinaryOp, left: NodeId, right: NodeId) -> Evaluated {
        self.evaluate(left)?;
        let goes_on = match op {
            BinaryOp::Or => !self.current_bool(id)?,
            BinaryOp::And => self.current_bool(id)?,
            BinaryOp::Coalesce => self.current().is_nil(),
            _ => {
                self.evaluate(right)?;
                let (r, l) = (self.pop(), self.pop());
                let value = match op {
                    BinaryOp::Equal => self.equal(left, right, &l, &r).map(Value::Bool),
                    BinaryOp::NotEqual => self.equal(left, right, &l, &r).map(|equal| Value::Bool(!equal)),
                    op => self.operation(op, &l, &r),
                };
                let value = value.map_err(self.failed(id))?;
                return self.push(value);
            }
        };
        if goes_on {
            self.pop();
            self.evaluate(right)?;
        }
        Ok(())
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
            BinaryOp::Matches => self.matches(l, r).map(Value::Bool),
            BinaryOp::Contains => part_of(l, r, |text, part| text.contains(part)),
            BinaryOp::StartsWith => part_of(l, r, |text, part| text.starts_with(part)),
            BinaryOp::EndsWith => part_of(l, r, |text, part| text.ends_with(part)),
            BinaryOp::Range => self.range(l, r),
            BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Or
            | BinaryOp::And
            | BinaryOp::Coalesce
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
            return Ok(integer(l)? == integer(r)?);
        }
        if plain(TypeKind::String) {
            return Ok(l.to_text()? == r.to_text()?);
        }
        compare::equal(l, r, &mut self.meter)
    }

    /// Adds the last two first. All but the last addition stand at no place of the text.
    fn sum_from_the_right(&mut self, id: NodeId, nodes: &[NodeId]) -> Evaluated {
        self.all(nodes)?;
        for left in (1..nodes.len()).rev() {
            let span = if left == 1 { self.ast.span(id) } else { super::error::Span::default() };
            let (r, l) = (self.pop(), self.pop());
            let sum = arithmetic::add(&l, &r).map_err(|failure| failure.at(span))?;
            self.stack.push(sum);
        }
        Ok(())
    }
}

/// An operator on a text and a part of it: false where either is nil.
fn part_of(l: &Value, r: &Value, test: impl Fn(&str, &str) -> bool) -> Result<Value, Failure> {
    if l.is_nil() || r.is_nil() {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(test(l.to_text()?, r.to_text()?)))
}
