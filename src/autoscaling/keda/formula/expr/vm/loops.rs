//! The functions that work through an array.

use super::super::ast::{BuiltinCall, NodeId};
use super::super::builtin::{self, Loop, index_of, is_descending, raw_len};
use super::super::compare::less;
use super::super::error::{ExprError, Failure};
use super::super::arithmetic;
use super::super::value::{Array, Keys, Map, Value};
use super::{Evaluated, Scope, Vm};

impl Vm<'_> {
    pub(super) fn run_loop(&mut self, id: NodeId, kind: Loop, call: &BuiltinCall) -> Evaluated {
        let items = self.evaluate(call.arguments[0])?;
        let len = raw_len(&items).ok_or_else(|| self.failed(id)(no_length(&items)))?;
        self.scopes.push(Scope { items, len, index: 0, accumulator: Value::Nil });
        let value = match kind {
            Loop::All => self.find_test(id, call, false).map(|found| Value::Bool(!found)),
            Loop::Any => self.find_test(id, call, true).map(Value::Bool),
            Loop::None => self.find_test(id, call, true).map(|found| Value::Bool(!found)),
            Loop::One => self.count(id, call, None).map(|count| Value::Bool(count == 1)),
            Loop::Count => self.count(id, call, call.threshold).map(Value::Int),
            Loop::Filter => self.filter(id, call),
            Loop::Map => self.map_items(id, call),
            Loop::Sum => self.sum(id, call),
            Loop::Find | Loop::FindLast => self.find(id, call, kind == Loop::FindLast),
            Loop::FindIndex | Loop::FindLastIndex => self.find_index(id, call, kind == Loop::FindLastIndex),
            Loop::GroupBy => self.group_by(id, call),
            Loop::SortBy => self.sort_by(id, call),
            Loop::Reduce => self.reduce(id, call),
        }?;
        self.scopes.pop();
        Ok(value)
    }

    /// `#`, `#index` or `#acc` of the innermost loop.
    pub(super) fn pointer(&mut self, id: NodeId, name: &str) -> Evaluated {
        let Some(scope) = self.scopes.last() else { return Ok(Value::Nil) };
        match name {
            "" => self.item(id),
            "index" => Ok(Value::Int(scope.index as i64)),
            _ => Ok(scope.accumulator.clone()),
        }
    }

    fn item(&self, id: NodeId) -> Evaluated {
        let Some(scope) = self.scopes.last() else { return Ok(Value::Nil) };
        let item = match &scope.items {
            Value::Array(array) => array.get(scope.index),
            Value::Text(text) => text.as_bytes().get(scope.index).copied().map(Value::Uint8),
            Value::Bytes(bytes) => bytes.get(scope.index).copied().map(Value::Uint8),
            _ => None,
        };
        let kind = scope.items.kind_name();
        item.ok_or_else(|| {
            self.failed(id)(Failure::bad(format!("reflect: call of reflect.Value.Index on {kind} Value")))
        })
    }

    fn len(&self) -> usize {
        self.scopes.last().map_or(0, |scope| scope.len)
    }

    fn move_to(&mut self, index: usize) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.index = index;
        }
    }

    fn accumulate(&mut self, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.accumulator = value;
        }
    }

    fn accumulated(&self) -> Value {
        self.scopes.last().map_or(Value::Nil, |scope| scope.accumulator.clone())
    }

    /// The predicate's value for the current item, or the item itself where there is no predicate.
    fn predicate(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        self.meter.step(1).map_err(self.failed(id))?;
        match call.arguments.get(1) {
            Some(&predicate) => self.evaluate(predicate),
            None => self.item(id),
        }
    }

    fn test(&mut self, id: NodeId, call: &BuiltinCall) -> Result<bool, ExprError> {
        self.predicate(id, call)?.to_bool().map_err(self.failed(id))
    }

    /// Whether the predicate gives `wanted` for any item.
    fn find_test(&mut self, id: NodeId, call: &BuiltinCall, wanted: bool) -> Result<bool, ExprError> {
        for index in 0..self.len() {
            self.move_to(index);
            if self.test(id, call)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count(&mut self, id: NodeId, call: &BuiltinCall, threshold: Option<i64>) -> Result<i64, ExprError> {
        let mut count = 0;
        for index in 0..self.len() {
            self.move_to(index);
            count += i64::from(self.test(id, call)?);
            if threshold.is_some_and(|threshold| count >= threshold) {
                break;
            }
        }
        Ok(count)
    }

    fn filter(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let mut items = Vec::new();
        for index in 0..self.len() {
            self.move_to(index);
            if self.test(id, call)? {
                items.push(self.passed(id, call)?);
            }
        }
        self.made(id, items)
    }

    /// The current item, or what is to be made of it.
    fn passed(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        match call.map {
            Some(map) => self.evaluate(map),
            None => self.item(id),
        }
    }

    fn map_items(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let mut items = Vec::new();
        for index in 0..self.len() {
            self.move_to(index);
            items.push(self.predicate(id, call)?);
        }
        self.made(id, items)
    }

    fn made(&mut self, id: NodeId, items: Vec<Value>) -> Evaluated {
        let made = self.meter.grow(items.len()).and_then(|()| Array::new(items));
        made.map(Value::Array).map_err(self.failed(id))
    }

    /// The item is added to what there is, not the other way round.
    fn sum(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        self.accumulate(Value::Int(0));
        for index in 0..self.len() {
            self.move_to(index);
            let value = self.predicate(id, call)?;
            let sum = arithmetic::add(&value, &self.accumulated()).map_err(self.failed(id))?;
            self.accumulate(sum);
        }
        Ok(self.accumulated())
    }

    /// The first index, from either end, for which the predicate is true.
    fn search(&mut self, id: NodeId, call: &BuiltinCall, last: bool) -> Result<Option<usize>, ExprError> {
        let len = self.len();
        for step in 0..len {
            let index = if last { len - 1 - step } else { step };
            self.move_to(index);
            if self.test(id, call)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn find(&mut self, id: NodeId, call: &BuiltinCall, last: bool) -> Evaluated {
        match self.search(id, call, last)? {
            Some(_) => self.passed(id, call),
            None if call.throws => {
                Err(self.failed(id)(Failure::bad("reflect: slice index out of range")))
            }
            None => Ok(Value::Nil),
        }
    }

    fn find_index(&mut self, id: NodeId, call: &BuiltinCall, last: bool) -> Evaluated {
        let found = self.search(id, call, last)?;
        Ok(found.map_or(Value::Nil, |index| Value::Int(index as i64)))
    }

    fn group_by(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let failed = self.failed(id);
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for index in 0..self.len() {
            self.move_to(index);
            let key = self.predicate(id, call)?;
            let item = self.item(id)?;
            match index_of(&groups, &key, &mut self.meter).map_err(&failed)? {
                Some(known) => groups[known].1.push(item),
                None => groups.push((key, vec![item])),
            }
        }
        let group = |(key, items)| Ok((key, Value::Array(Array::new(items)?)));
        let groups = groups.into_iter().map(group).collect::<Result<_, Failure>>();
        groups.and_then(|groups| Map::new(Keys::Groups, groups)).map(Value::Map).map_err(failed)
    }

    fn sort_by(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let failed = self.failed(id);
        let descending = match call.arguments.get(2) {
            None => false,
            Some(&order) => match self.evaluate(order)? {
                Value::Text(order) => is_descending(&order)
                    .ok_or_else(|| failed(Failure::bad("unknown order, use asc or desc")))?,
                _ => return Err(failed(Failure::bad("sortBy order argument must be a string"))),
            },
        };
        let mut keyed = Vec::new();
        for index in 0..self.len() {
            self.move_to(index);
            keyed.push((self.predicate(id, call)?, self.item(id)?));
        }
        let meter = &mut self.meter;
        builtin::sort(&mut keyed, |(x, _), (y, _)| {
            meter.step(1)?;
            if descending { less(y, x) } else { less(x, y) }
        })
        .map_err(&failed)?;
        self.made(id, keyed.into_iter().map(|(_, item)| item).collect())
    }

    /// Without an initial value the first item is it.
    fn reduce(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let mut from = 0;
        match call.arguments.get(2) {
            Some(&initial) => {
                let initial = self.evaluate(initial)?;
                self.accumulate(initial);
            }
            None if self.len() == 0 => {
                let empty = Failure::bad("reduce of empty array with no initial value");
                return Err(self.failed(id)(empty));
            }
            None => {
                let first = self.item(id)?;
                self.accumulate(first);
                from = 1;
            }
        }
        for index in from..self.len() {
            self.move_to(index);
            let value = self.predicate(id, call)?;
            self.accumulate(value);
        }
        Ok(self.accumulated())
    }
}

/// The panic of `reflect` for what has no length.
fn no_length(value: &Value) -> Failure {
    let on = if matches!(value, Value::Nil) { "zero" } else { value.kind_name() };
    Failure::bad(format!("reflect: call of reflect.Value.Len on {on} Value"))
}
