//! The functions that work through an array.

use super::super::arithmetic;
use super::super::ast::{BuiltinCall, NodeId};
use super::super::builtin::{self, Loop, index_of, is_descending, raw_len};
use super::super::compare::less;
use super::super::error::{ExprError, Failure};
use super::super::value::{Array, Keys, Map, Value};
use super::{Evaluated, Scope, Vm};

impl Vm<'_> {
    pub(super) fn run_loop(&mut self, id: NodeId, kind: Loop, call: &BuiltinCall) -> Evaluated {
        self.evaluate(call.arguments[0])?;
        let items = self.pop();
        let len = raw_len(&items).ok_or_else(|| self.failed(id)(no_length(&items)))?;
        self.scopes.push(Scope { items, len, index: 0, accumulator: Value::Nil });
        match kind {
            Loop::All => self.until(id, call, false),
            Loop::Any => self.until(id, call, true),
            Loop::None => self.none(id, call),
            Loop::One => {
                let count = self.count(id, call, None)?;
                self.push(Value::Bool(count == 1))
            }
            Loop::Count => {
                let count = self.count(id, call, call.threshold)?;
                self.push(Value::Int(count))
            }
            Loop::Filter => self.filter(id, call),
            Loop::Map => self.map_items(id, call),
            Loop::Sum => self.sum(id, call),
            Loop::Find => self.find(id, call, false),
            Loop::FindLast => self.find(id, call, true),
            Loop::FindIndex => self.find_index(id, call, false),
            Loop::FindLastIndex => self.find_index(id, call, true),
            Loop::GroupBy => self.group_by(id, call),
            Loop::SortBy => self.sort_by(id, call),
            Loop::Reduce => self.reduce(id, call),
        }?;
        self.scopes.pop();
        Ok(())
    }

    /// `#`, `#index` or `#acc` of the innermost loop.
    pub(super) fn pointer(&mut self, id: NodeId, name: &str) -> Evaluated {
        let value = match (self.scopes.last(), name) {
            (None, _) => Value::Nil,
            (Some(_), "") => self.item(id)?,
            (Some(scope), "index") => Value::Int(scope.index as i64),
            (Some(scope), _) => scope.accumulator.clone(),
        };
        self.push(value)
    }

    fn item(&self, id: NodeId) -> Result<Value, ExprError> {
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

    /// Takes the accumulator from the stack.
    fn accumulate(&mut self) {
        let value = self.pop();
        if let Some(scope) = self.scopes.last_mut() {
            scope.accumulator = value;
        }
    }

    fn push_accumulated(&mut self) -> Evaluated {
        let accumulated = self.scopes.last().map_or(Value::Nil, |scope| scope.accumulator.clone());
        self.push(accumulated)
    }

    /// Leaves the predicate's value for the item at `index`, or the item itself where there is no predicate.
    fn predicate(&mut self, id: NodeId, call: &BuiltinCall, index: usize) -> Evaluated {
        self.meter.step(1).map_err(self.failed(id))?;
        self.move_to(index);
        match call.arguments.get(1) {
            Some(&predicate) => self.evaluate(predicate),
            None => {
                let item = self.item(id)?;
                self.push(item)
            }
        }
    }

    /// Whether the predicate is true for the item at `index`.
    fn test(&mut self, id: NodeId, call: &BuiltinCall, index: usize) -> Result<bool, ExprError> {
        self.predicate(id, call, index)?;
        let passed = self.current_bool(id)?;
        self.pop();
        Ok(passed)
    }

    /// Leaves `end` where the predicate gives it for any item.
    fn until(&mut self, id: NodeId, call: &BuiltinCall, end: bool) -> Evaluated {
        for index in 0..self.len() {
            if self.test(id, call, index)? == end {
                return self.push(Value::Bool(end));
            }
        }
        self.push(Value::Bool(!end))
    }

    fn none(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        self.until(id, call, true)?;
        let any = self.current_bool(id)?;
        self.pop();
        self.push(Value::Bool(!any))
    }

    fn count(&mut self, id: NodeId, call: &BuiltinCall, threshold: Option<i64>) -> Result<i64, ExprError> {
        let mut count = 0;
        for index in 0..self.len() {
            count += i64::from(self.test(id, call, index)?);
            if threshold.is_some_and(|threshold| count >= threshold) {
                break;
            }
        }
        Ok(count)
    }

    fn filter(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let mut passed = 0;
        for index in 0..self.len() {
            if self.test(id, call, index)? {
                passed += 1;
                self.push_passed(id, call)?;
            }
        }
        self.array(id, passed)
    }

    /// Leaves the current item, or what is to be made of it.
    fn push_passed(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        match call.map {
            Some(map) => self.evaluate(map),
            None => {
                let item = self.item(id)?;
                self.push(item)
            }
        }
    }

    fn map_items(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let len = self.len();
        for index in 0..len {
            self.predicate(id, call, index)?;
        }
        self.array(id, len)
    }

    /// What there is is added to the item, not the other way round.
    fn sum(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        self.push(Value::Int(0))?;
        self.accumulate();
        for index in 0..self.len() {
            self.predicate(id, call, index)?;
            self.push_accumulated()?;
            let (sum, value) = (self.pop(), self.pop());
            let sum = arithmetic::add(&value, &sum).map_err(self.failed(id))?;
            self.push(sum)?;
            self.accumulate();
        }
        self.push_accumulated()
    }

    /// Goes to the first item, or from the end to the last, for which the predicate is true. From the end, the truth
    /// values that the machine forgets stay on the stack.
    fn search(&mut self, id: NodeId, call: &BuiltinCall, last: bool) -> Result<Option<usize>, ExprError> {
        let len = self.len();
        for step in 0..len {
            if last {
                self.push(Value::Bool(true))?;
            }
            let index = if last { len - 1 - step } else { step };
            if self.test(id, call, index)? {
                return Ok(Some(index));
            }
        }
        if last {
            self.push(Value::Bool(false))?;
        }
        Ok(None)
    }

    fn find(&mut self, id: NodeId, call: &BuiltinCall, last: bool) -> Evaluated {
        match self.search(id, call, last)? {
            Some(_) => self.push_passed(id, call),
            None if call.throws => Err(self.failed(id)(Failure::bad("reflect: slice index out of range"))),
            None => self.push(Value::Nil),
        }
    }

    fn find_index(&mut self, id: NodeId, call: &BuiltinCall, last: bool) -> Evaluated {
        let found = self.search(id, call, last)?;
        self.push(found.map_or(Value::Nil, |index| Value::Int(index as i64)))
    }

    fn group_by(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let failed = self.failed(id);
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for index in 0..self.len() {
            self.predicate(id, call, index)?;
            let (key, item) = (self.pop(), self.item(id)?);
            match index_of(&groups, &key, &mut self.meter).map_err(&failed)? {
                Some(known) => groups[known].1.push(item),
                None => groups.push((key, vec![item])),
            }
        }
        let group = |(key, items)| Ok((key, Value::Array(Array::new(items)?)));
        let groups = groups.into_iter().map(group).collect::<Result<_, Failure>>();
        let map = groups.and_then(|groups| Map::new(Keys::Groups, groups)).map_err(failed)?;
        self.push(Value::Map(map))
    }

    fn sort_by(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let failed = self.failed(id);
        let descending = match call.arguments.get(2) {
            None => false,
            Some(&order) => {
                self.evaluate(order)?;
                match self.pop() {
                    Value::Text(order) => is_descending(&order)
                        .ok_or_else(|| failed(Failure::bad("unknown order, use asc or desc")))?,
                    _ => return Err(failed(Failure::bad("sortBy order argument must be a string"))),
                }
            }
        };
        let mut keyed = Vec::new();
        for index in 0..self.len() {
            self.predicate(id, call, index)?;
            keyed.push((self.pop(), self.item(id)?));
        }
        let meter = &mut self.meter;
        builtin::sort(&mut keyed, |(x, _), (y, _)| {
            meter.step(1)?;
            if descending { less(y, x) } else { less(x, y) }
        })
        .map_err(&failed)?;
        let len = keyed.len();
        self.stack.extend(keyed.into_iter().map(|(_, item)| item));
        self.array(id, len)
    }

    /// Without an initial value the first item is it.
    fn reduce(&mut self, id: NodeId, call: &BuiltinCall) -> Evaluated {
        let mut from = 0;
        match call.arguments.get(2) {
            Some(&initial) => self.evaluate(initial)?,
            None if self.len() == 0 => {
                let empty = Failure::bad("reduce of empty array with no initial value");
                return Err(self.failed(id)(empty));
            }
            None => {
                let first = self.item(id)?;
                self.push(first)?;
                from = 1;
            }
        }
        self.accumulate();
        for index in from..self.len() {
            self.predicate(id, call, index)?;
            self.accumulate();
        }
        self.push_accumulated()
    }
}

/// The panic of `reflect` for what has no length.
fn no_length(value: &Value) -> Failure {
    let on = if matches!(value, Value::Nil) { "zero" } else { value.kind_name() };
    Failure::bad(format!("reflect: call of reflect.Value.Len on {on} Value"))
}
