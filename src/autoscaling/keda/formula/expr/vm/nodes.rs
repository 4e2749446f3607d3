//! Accesses, calls, arrays, maps, `in`, `matches` and ranges.

use super::super::arithmetic::to_int;
use super::super::ast::{BuiltinCall, Kind, Literals, NodeId};
use super::super::builtin::{self, Body};
use super::super::compare::{equal, map_index, not_a_key};
use super::super::error::{Class, ExprError, Failure};
use super::super::regexp::Regexp;
use super::super::value::{Array, Keys, Map, Value};
use super::{Evaluated, Vm};

/// What the compilation of a pattern counts for.
const PATTERN_STEPS: usize = 1_000;

/// Whether an optional access of a chain met nil: then that is on top of the stack, and the chain ends.
type Ended = Result<bool, ExprError>;

impl Vm<'_> {
    /// A chain of accesses: nil where an optional one meets nil.
    pub(super) fn chain(&mut self, node: NodeId) -> Evaluated {
        self.link(node)?;
        if self.current().is_nil() {
            self.pop();
            self.stack.push(Value::Nil);
        }
        Ok(())
    }

    /// An access or a call, or what it begins with.
    pub(super) fn link(&mut self, id: NodeId) -> Ended {
        self.meter.step(1).map_err(self.failed(id))?;
        let ast = self.ast;
        match ast.kind(id) {
            Kind::Member { node, property, optional, .. } => self.member(id, *node, *property, *optional),
            Kind::Call { callee, arguments } => self.call(id, *callee, arguments),
            _ => self.evaluate(id).map(|()| false),
        }
    }

    fn member(&mut self, id: NodeId, node: NodeId, property: NodeId, optional: bool) -> Ended {
        if self.link(node)? || (optional && self.current().is_nil()) {
            return Ok(true);
        }
        self.evaluate(property)?;
        let (index, base) = (self.pop(), self.pop());
        let value = builtin::fetch(&base, &index, &mut self.meter).map_err(self.failed(id))?;
        self.push(value).map(|()| false)
    }

    /// Arguments come before what is called.
    fn call(&mut self, id: NodeId, callee: NodeId, arguments: &[NodeId]) -> Ended {
        self.all(arguments)?;
        if self.link(callee)? {
            return Ok(true);
        }
        let callee = self.pop();
        let arguments = self.take(arguments.len());
        let called = match &callee {
            Value::Method(bound) => bound.method.call(&bound.receiver, &arguments),
            Value::Nil => Err(Failure::new(Class::NilOperand, "invalid operation: cannot call nil")),
            other => {
                let own = other.type_name();
                Err(Failure::bad(format!("invalid operation: cannot call non-function of type {own}")))
            }
        };
        let value = called.map_err(self.failed(id))?;
        self.push(value).map(|()| false)
    }

    pub(super) fn slice(
        &mut self,
        id: NodeId,
        node: NodeId,
        from: Option<NodeId>,
        to: Option<NodeId>,
    ) -> Evaluated {
        self.evaluate(node)?;
        match to {
            Some(to) => self.evaluate(to)?,
            None => {
                let len = builtin::len_of(self.current()).map_err(self.failed(id))?;
                self.push(len)?;
            }
        }
        match from {
            Some(from) => self.evaluate(from)?,
            None => self.push(Value::Int(0))?,
        }
        let (from, to, value) = (self.pop(), self.pop(), self.pop());
        let slice = builtin::slice(&value, &from, &to).map_err(self.failed(id))?;
        self.push(slice)
    }

    pub(super) fn builtin(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        match call.builtin.body {
            Body::Loop(kind) => self.run_loop(id, kind, call),
            Body::Function(function) => {
                self.all(&call.arguments)?;
                let arguments = self.take(call.arguments.len());
                let value = function(&arguments, &mut self.meter).map_err(self.failed(id))?;
                self.push(value)
            }
        }
    }

    /// An array of the values on top of the stack.
    pub(super) fn array(&mut self, id: NodeId, len: usize) -> Evaluated {
        let items = self.take(len);
        let made = self.meter.grow(len).and_then(|()| Array::new(items));
        let made = made.map_err(self.failed(id))?;
        self.push(Value::Array(made))
    }

    /// A map of the keys and values on top of the stack. They are taken from above, so of equal keys the first counts.
    pub(super) fn map(&mut self, id: NodeId, pairs: usize) -> Evaluated {
        let failed = self.failed(id);
        self.meter.grow(pairs).map_err(&failed)?;
        let mut entries: Vec<(Value, Value)> = Vec::new();
        for _ in 0..pairs {
            let (value, key) = (self.pop(), self.pop());
            key.to_text().map_err(&failed)?;
            builtin::insert(&mut entries, key, value, &mut self.meter).map_err(&failed)?;
        }
        entries.reverse();
        let map = Map::new(Keys::Object, entries).map_err(failed)?;
        self.push(Value::Map(map))
    }

    /// `runtime.In`.
    pub(super) fn contains(&mut self, needle: &Value, collection: &Value) -> Result<bool, Failure> {
        match collection {
            Value::Nil => Ok(false),
            Value::Array(array) => {
                for item in array.iter() {
                    if equal(&item, needle, &mut self.meter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Bytes(bytes) => {
                for &byte in bytes.iter() {
                    if equal(&Value::Uint8(byte), needle, &mut self.meter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Map(map) => Ok(map_index(map, needle, &mut self.meter)?.is_some()),
            // It has no field that can be named.
            Value::Time(_) if matches!(needle, Value::Text(_)) => Ok(false),
            Value::Time(_) => Err(Failure::bad(format!(
                "cannot use {} as field name of {}",
                needle.type_name(),
                collection.type_name()
            ))),
            other => Err(Failure::bad(format!("operator \"in\" not defined on {}", other.type_name()))),
        }
    }

    /// `in` a set of literals: nil stands for 0 and for the empty text, a value of another type is an error.
    pub(super) fn in_set(&mut self, id: NodeId, left: NodeId, set: &Literals) -> Evaluated {
        self.evaluate(left)?;
        let needle = self.pop();
        let found = match (set, &needle) {
            (Literals::Integers(integers), Value::Int(value)) => Ok(integers.contains(value)),
            (Literals::Integers(integers), Value::Nil) => Ok(integers.contains(&0)),
            (Literals::Integers(_), _) => Err(not_a_key(&needle, "int")),
            (Literals::Texts(texts), Value::Text(text)) => Ok(texts.contains(text)),
            (Literals::Texts(texts), Value::Nil) => Ok(texts.contains("")),
            (Literals::Texts(_), _) => Err(not_a_key(&needle, "string")),
        };
        let found = found.map_err(self.failed(id))?;
        self.push(Value::Bool(found))
    }

    /// `matches`: nil matches nothing. A literal pattern that does not compile was refused before.
    pub(super) fn matches(&mut self, value: &Value, pattern: &Value) -> Result<bool, Failure> {
        if value.is_nil() || pattern.is_nil() {
            return Ok(false);
        }
        self.meter.step(PATTERN_STEPS)?;
        let pattern = Regexp::new(pattern.to_text()?).map_err(|failure| failure.of(Class::BadArgument))?;
        match value {
            Value::Text(text) => Ok(pattern.is_match(text)),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(pattern.is_match(text)),
                Err(_) => Err(Failure::unsupported("bytes that are no text are not matched")),
            },
            other => Err(other.conversion("[]uint8")),
        }
    }

    pub(super) fn range(&mut self, from: &Value, to: &Value) -> Result<Value, Failure> {
        let (first, last) = (to_int(from)?, to_int(to)?);
        let len = usize::try_from(last.wrapping_sub(first).wrapping_add(1)).unwrap_or(0);
        self.meter.grow(len)?;
        Ok(Value::Array(Array::range(first, len)))
    }
}
