//! Accesses: `.name`, `?.name`, `[index]`, `[from:to]` and calls of methods.

use super::super::ast::{Kind, NodeId};
use super::super::token::{Token, TokenKind};
use super::super::unicode::is_identifier;
use super::Parser;
use std::sync::Arc;

impl Parser<'_> {
    /// The accesses after `node`.
    pub(super) fn postfix(&mut self, mut node: Option<NodeId>) -> Option<NodeId> {
        while matches!(self.current.kind, TokenKind::Operator | TokenKind::Bracket) && self.error.is_none() {
            let token = self.current.clone();
            match token.text() {
                "." => node = Some(self.member(node, false)?),
                "?." => {
                    self.advance();
                    let bracket = self.current.clone();
                    node = Some(if bracket.is_bracket("[") {
                        self.index(node, &bracket, true)?
                    } else {
                        self.named_member(node, true)?
                    });
                }
                "[" => node = Some(self.index(node, &token, false)?),
                _ => break,
            }
        }
        node
    }

    fn member(&mut self, node: Option<NodeId>, optional: bool) -> Option<NodeId> {
        self.advance();
        self.named_member(node, optional)
    }

    /// The name after the dot. Words that are operators are names here.
    fn named_member(&mut self, node: Option<NodeId>, optional: bool) -> Option<NodeId> {
        let name = self.current.clone();
        self.advance();
        let is_word = name.kind == TokenKind::Operator && is_identifier(name.text());
        if name.kind != TokenKind::Identifier && !is_word {
            self.fail("expected name");
        }
        let property = self.node(Kind::Text(Arc::from(name.text())), name.span)?;
        // A chain grows: what is optional in it makes all of it optional.
        let (node, chained) = match self.ast.kind(node?) {
            Kind::Chain(inner) => (*inner, true),
            _ => (node?, false),
        };
        let method = self.current.is_bracket("(");
        let member = self.node(Kind::Member { node, property, optional, method }, name.span)?;
        let node = if method {
            let arguments = self.arguments(Vec::new()).into_iter().collect::<Option<_>>()?;
            self.node(Kind::Call { callee: member, arguments }, name.span)?
        } else {
            member
        };
        if chained || optional { self.node(Kind::Chain(node), name.span) } else { Some(node) }
    }

    /// What stands in square brackets.
    fn index(&mut self, node: Option<NodeId>, bracket: &Token, optional: bool) -> Option<NodeId> {
        self.advance();
        if self.current.is_operator(":") {
            return self.slice(node, None, bracket);
        }
        let index = self.expression(0);
        if self.current.is_operator(":") {
            return self.slice(node, Some(index), bracket);
        }
        let kind = Kind::Member { node: node?, property: index?, optional, method: false };
        let mut member = self.node(kind, bracket.span)?;
        if optional {
            member = self.node(Kind::Chain(member), bracket.span)?;
        }
        self.expect_bracket("]");
        Some(member)
    }

    /// `:to]`; either end may be left out.
    fn slice(
        &mut self,
        node: Option<NodeId>,
        from: Option<Option<NodeId>>,
        bracket: &Token,
    ) -> Option<NodeId> {
        self.advance();
        let to = if self.current.is_bracket("]") { None } else { Some(self.expression(0)?) };
        let from = match from {
            None => None,
            Some(from) => Some(from?),
        };
        let slice = self.node(Kind::Slice { node: node?, from, to }, bracket.span)?;
        self.expect_bracket("]");
        Some(slice)
    }
}
