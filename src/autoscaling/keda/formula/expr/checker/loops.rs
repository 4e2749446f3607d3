//! The functions that take a predicate.

use super::super::ast::{BuiltinCall, NodeId};
use super::super::builtin::Loop;
use super::super::nature::{Nature, Type};
use super::{Checked, Checker, ExprError, Scope};

impl Checker<'_> {
    pub(super) fn loop_over(&mut self, kind: Loop, call: &BuiltinCall) -> Checked {
        let (items, predicate) = (call.arguments[0], call.arguments.get(1).copied());
        let collection = self.collection(items, call.builtin.name)?;
        let pointers = match kind {
            Loop::Map => vec![("index", Type::Int.into())],
            Loop::Reduce => vec![("index", Type::Int.into()), ("acc", Nature::default())],
            _ => Vec::new(),
        };
        self.scopes.push(Scope { collection: collection.clone(), pointers });
        let body = predicate.map(|predicate| self.visit(predicate)).transpose()?;
        self.scopes.pop();
        let third = call.arguments.get(2).map(|&third| self.visit(third).map(|n| (third, n))).transpose()?;
        match kind {
            Loop::Count | Loop::Sum if body.is_none() => Ok(match kind {
                Loop::Count => Type::Int.into(),
                _ => collection.element(),
            }),
            Loop::All | Loop::None | Loop::Any | Loop::One => {
                self.test(predicate, body).map(|()| Type::Bool.into())
            }
            Loop::Filter => {
                self.test(predicate, body)?;
                Ok(if collection.is_unknown() {
                    Type::Array.into()
                } else {
                    Nature::array_of(collection.element())
                })
            }
            Loop::Find | Loop::FindLast => self.test(predicate, body).map(|()| collection.element()),
            Loop::FindIndex | Loop::FindLastIndex | Loop::Count => {
                self.test(predicate, body).map(|()| Type::Int.into())
            }
            Loop::Map => self.value(predicate, body, "one input").map(Nature::array_of),
            // The type of the items of an array is forgotten here.
            Loop::Sum => self.value(predicate, body, "one input").map(|body| body.type_or_any().into()),
            Loop::GroupBy => self.value(predicate, body, "one input").map(|_| Type::Groups.into()),
            Loop::SortBy => {
                if let Some((order, nature)) = third
                    && !nature.is(Type::String)
                    && !nature.is_unknown()
                {
                    let message = format!("sortBy order argument must be a string (got {nature})");
                    return self.bad_argument(order, message);
                }
                self.value(predicate, body, "one input").map(|_| collection)
            }
            Loop::Reduce => self.value(predicate, body, "two input"),
        }
    }

    fn collection(&mut self, items: NodeId, name: &str) -> Checked {
        let collection = self.visit(items)?;
        if !collection.is_array() && !collection.is_unknown() {
            let message = format!("builtin {name} takes only array (got {collection})");
            return self.bad_argument(items, message);
        }
        Ok(collection)
    }

    /// The predicate's nature. One that is nil gives no value.
    fn value(&self, predicate: Option<NodeId>, body: Option<Nature>, inputs: &str) -> Checked {
        match (predicate, body) {
            (_, Some(body)) if !body.nil => Ok(body),
            (Some(predicate), _) => {
                let message = format!("predicate should has {inputs} and one output param");
                self.bad_argument(predicate, message)
            }
            (None, _) => Ok(Nature::default()),
        }
    }

    /// A predicate that is true or false.
    fn test(&self, predicate: Option<NodeId>, body: Option<Nature>) -> Result<(), ExprError> {
        let body = self.value(predicate, body, "one input")?;
        match predicate {
            Some(predicate) if !body.is(Type::Bool) && !body.is_unknown() => {
                self.bad_argument(predicate, format!("predicate should return boolean (got {body})"))
            }
            _ => Ok(()),
        }
    }
}
