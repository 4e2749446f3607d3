//! Calls, and the predicates that some functions take.

use super::super::ast::{BuiltinCall, Kind, NodeId};
use super::super::builtin::{self, Argument};
use super::super::token::Token;
use super::Parser;
use std::sync::Arc;

impl Parser<'_> {
    /// The call of `name`; the token is its opening bracket. `arguments` holds what a pipe brought.
    pub(super) fn call(
        &mut self,
        name: &Token,
        arguments: Vec<Option<NodeId>>,
        takes_overrides: bool,
    ) -> Option<NodeId> {
        let overridden = takes_overrides && (self.overridden)(name.text());
        let Some(builtin) = builtin::by_name(name.text()).filter(|_| !overridden) else {
            let callee = self.node(Kind::Identifier(Arc::from(name.text())), name.span)?;
            let arguments = self.arguments(arguments).into_iter().collect::<Option<_>>()?;
            return self.node(Kind::Call { callee, arguments }, name.span);
        };
        let arguments = match builtin.predicate_arguments() {
            Some(expected) => self.predicate_call(expected, arguments),
            None => self.arguments(arguments),
        };
        let arguments = arguments.into_iter().collect::<Option<_>>()?;
        self.node(Kind::Builtin(BuiltinCall::new(builtin, arguments)), name.span)
    }

    fn predicate_call(
        &mut self,
        expected: &[Argument],
        mut arguments: Vec<Option<NodeId>>,
    ) -> Vec<Option<NodeId>> {
        self.expect_bracket("(");
        let expected = expected.get(arguments.len()..).unwrap_or_default();
        for (i, argument) in expected.iter().enumerate() {
            if self.current.is_bracket(")") {
                if argument.optional {
                    break;
                }
                self.fail_at(
                    self.current.span,
                    super::Class::Arity,
                    format!("expected at least {} arguments", expected.len()),
                );
            }
            if i > 0 {
                self.expect_operator(",");
            }
            let node = if argument.predicate { self.predicate() } else { self.expression(0) };
            arguments.push(node);
        }
        // One comma may follow the last argument.
        if self.current.is_operator(",") {
            self.advance();
        }
        self.expect_bracket(")");
        arguments
    }

    pub(super) fn arguments(&mut self, mut arguments: Vec<Option<NodeId>>) -> Vec<Option<NodeId>> {
        let piped = arguments.len();
        self.expect_bracket("(");
        while !self.current.is_bracket(")") && self.error.is_none() {
            if arguments.len() > piped {
                self.expect_operator(",");
            }
            if self.current.is_bracket(")") {
                break;
            }
            arguments.push(self.expression(0));
        }
        self.expect_bracket(")");
        arguments
    }

    /// An expression in which `#` is the item, with or without braces around it.
    fn predicate(&mut self) -> Option<NodeId> {
        let span = self.current.span;
        let braces = self.current.is_bracket("{");
        if braces {
            self.advance();
        }
        self.predicates += 1;
        let body = if braces {
            self.sequence()
        } else {
            let body = self.expression(0);
            if self.current.is_operator(";") {
                self.fail("wrap predicate with brackets { and }");
            }
            body
        };
        self.predicates -= 1;
        if braces {
            self.expect_bracket("}");
        }
        self.node(Kind::Predicate(body?), span)
    }
}
