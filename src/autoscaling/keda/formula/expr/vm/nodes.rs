//! Accesses, calls, arrays, maps, `in`, `matches` and ranges.

use super::super::arithmetic::to_int;
use super::super::ast::{BuiltinCall, Kind, Literals, NodeId};
use super::super::builtin::{self, Body};
use super::super::compare::{equal, map_index, not_a_key};
use super::super::error::{Class, ExprError, Failure};
use super::super::regexp::Regexp;
use super::super::value::{Array, Keys, Map, Value};
use super::{Evaluated, Vm};
use std::sync::Arc;

/// A value, or `None` where a chain met nil.
type Link = Result<Option<Value>, ExprError>;

/// What the compilation of a pattern counts for.
const PATTERN_STEPS: usize = 1_000;

impl Vm<'_> {
    /// A chain of accesses: nil where an optional one meets nil.
    pub(super) fn chain(&mut self, node: NodeId) -> Evaluated {
        let value = self.link(node)?.filter(|value| !value.is_nil());
        Ok(value.unwrap_or(Value::Nil))
    }

    fn link(&mut self, id: NodeId) -> Link {
        self.meter.step(1).map_err(self.failed(id))?;
        match self.ast.kind(id) {
            Kind::Member { .. } => self.member(id),
            Kind::Call { callee, arguments } => self.call(id, *callee, arguments),
            _ => self.evaluate(id).map(Some),
        }
    }

    pub(super) fn member(&mut self, id: NodeId) -> Link {
        let &Kind::Member { node, property, optional, .. } = self.ast.kind(id) else { return Ok(None) };
        let Some(base) = self.link(node)? else { return Ok(None) };
        if optional && base.is_nil() {
            return Ok(None);
        }
        let index = self.evaluate(property)?;
        builtin::fetch(&base, &index, &mut self.meter).map(Some).map_err(self.failed(id))
    }

    /// Arguments come before what is called.
    pub(super) fn call(&mut self, id: NodeId, callee: NodeId, arguments: &[NodeId]) -> Link {
        let arguments = self.all(arguments)?;
        let Some(callee) = self.link(callee)? else { return Ok(None) };
        let called = match &callee {
            Value::Method(bound) => bound.method.call(&bound.receiver, &arguments),
            Value::Nil => Err(Failure::bad("invalid operation: cannot call nil").of(Class::NilOperand)),
            other => {
                let own = other.type_name();
                Err(Failure::bad(format!("invalid operation: cannot call non-function of type {own}")))
            }
        };
        called.map(Some).map_err(self.failed(id))
    }

    fn all(&mut self, nodes: &[NodeId]) -> Result<Vec<Value>, ExprError> {
        nodes.iter().map(|&node| self.evaluate(node)).collect()
    }

    pub(super) fn slice(
        &mut self,
        id: NodeId,
        node: NodeId,
        from: Option<NodeId>,
        to: Option<NodeId>,
    ) -> Evaluated {
        let value = self.evaluate(node)?;
        let to = to.map(|to| self.evaluate(to)).transpose()?;
        let from = from.map_or(Ok(Value::Int(0)), |from| self.evaluate(from))?;
        builtin::slice(&value, &from, to.as_ref()).map_err(self.failed(id))
    }

    pub(super) fn builtin(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        match call.builtin.body {
            Body::Loop(kind) => self.run_loop(id, kind, call),
            Body::Function(function) => {
                let arguments = self.all(&call.arguments)?;
                function(&arguments, &mut self.meter).map_err(self.failed(id))
            }
        }
    }

    pub(super) fn array(&mut self, id: NodeId, nodes: &[NodeId]) -> Evaluated {
        let items = self.all(nodes)?;
        let made = self.meter.grow(items.len()).and_then(|()| Array::new(items));
        made.map(Value::Array).map_err(self.failed(id))
    }

    /// The last of equal keys stands first on the machine's stack, and the first one's value is written last.
    pub(super) fn map(&mut self, id: NodeId, pairs: &[NodeId]) -> Evaluated {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        let mut evaluated = Vec::new();
        for &pair in pairs {
            if let &Kind::Pair { key, value } = self.ast.kind(pair) {
                evaluated.push((self.evaluate(key)?, self.evaluate(value)?));
            }
        }
        let failed = self.failed(id);
        self.meter.grow(evaluated.len()).map_err(&failed)?;
        for (key, value) in evaluated {
            let text: Arc<str> = key.to_text().map_err(&failed)?.clone();
            self.meter.step(entries.len()).map_err(&failed)?;
            let known = |(own, _): &(Value, Value)| matches!(own, Value::Text(own) if *own == text);
            if !entries.iter().any(known) {
                entries.push((key, value));
            }
        }
        Map::new(Keys::Object, entries).map(Value::Map).map_err(failed)
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
        let needle = self.evaluate(left)?;
        let found = match (set, &needle) {
            (Literals::Integers(integers), Value::Int(value)) => Ok(integers.contains(value)),
            (Literals::Integers(integers), Value::Nil) => Ok(integers.contains(&0)),
            (Literals::Integers(_), _) => Err(not_a_key(&needle, "int")),
            (Literals::Texts(texts), Value::Text(text)) => Ok(texts.contains(text)),
            (Literals::Texts(texts), Value::Nil) => Ok(texts.contains("")),
            (Literals::Texts(_), _) => Err(not_a_key(&needle, "string")),
        };
        found.map(Value::Bool).map_err(self.failed(id))
    }

    /// `matches`. A literal pattern that does not compile was refused before.
    pub(super) fn matches(&mut self, id: NodeId, value: &Value, pattern: NodeId) -> Evaluated {
        let pattern = self.evaluate(pattern)?;
        if value.is_nil() || pattern.is_nil() {
            return Ok(Value::Bool(false));
        }
        let failed = self.failed(id);
        self.meter.step(PATTERN_STEPS).map_err(&failed)?;
        let pattern = Regexp::new(pattern.to_text().map_err(&failed)?);
        let pattern = pattern.map_err(|failure| failed(failure.of(Class::BadArgument)))?;
        let found = match value {
            Value::Text(text) => Ok(pattern.is_match(text)),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(pattern.is_match(text)),
                Err(_) => Err(Failure::unsupported("bytes that are no text are not matched")),
            },
            other => Err(other.conversion("[]uint8")),
        };
        found.map(Value::Bool).map_err(failed)
    }

    pub(super) fn range(&mut self, from: &Value, to: &Value) -> Result<Value, Failure> {
        let (first, last) = (to_int(from)?, to_int(to)?);
        let len = usize::try_from(last.wrapping_sub(first).wrapping_add(1)).unwrap_or(0);
        self.meter.grow(len)?;
        Ok(Value::Array(Array::range(first, len)))
    }
}
