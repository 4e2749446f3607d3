//! Tokens to a tree (`parser/parser.go`, expr v1.17.8).
//!
//! After a mistake the real parser reads on until its loops notice; the first mistake is the one that counts, but one
//! of the lexer that is met on the way replaces it. So this one goes the same way, and a part that could not be read
//! is `None`.

mod call;
mod postfix;
mod primary;

use super::ast::{Ast, Kind, NodeId};
use super::error::{Class, ExprError, Span};
use super::lexer::Lexer;
use super::limits::{DEPTH_MAX, NODES_MAX};
use super::operator::{self, BinaryOp, BinaryOperator};
use super::token::{Token, TokenKind};
use std::sync::Arc;

/// A tree and its root.
pub(super) type Tree = (Ast, NodeId);

/// Reads `source`. Calls of the `overridden` names are calls of variables, whatever the language calls so.
///
/// # Errors
/// The first mistake.
pub(super) fn parse(source: &str, overridden: &dyn Fn(&str) -> bool) -> Result<Tree, ExprError> {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        current: Token::default(),
        stashed: None,
        error: None,
        overridden,
        predicates: 0,
        nodes: 0,
        depth: 0,
        ast: Ast::default(),
    };
    parser.advance();
    let root = parser.sequence();
    if parser.current.kind != TokenKind::Eof {
        parser.fail_unexpected();
    }
    match (parser.error, root) {
        (Some(error), _) => Err(error),
        (None, Some(root)) => Ok((parser.ast, root)),
        (None, None) => Err(ExprError::new(Class::Syntax, Span::default(), "unexpected end of expression")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    current: Token,
    stashed: Option<Token>,
    error: Option<ExprError>,
    overridden: &'a dyn Fn(&str) -> bool,
    /// Predicates that are open: `#` stands in them only.
    predicates: usize,
    nodes: usize,
    /// Expressions that are open.
    depth: usize,
    ast: Ast,
}

impl Parser<'_> {
    /// Keeps the first mistake.
    fn fail(&mut self, message: impl Into<String>) {
        self.fail_at(self.current.span, Class::Syntax, message);
    }

    fn fail_at(&mut self, span: Span, class: Class, message: impl Into<String>) {
        self.error.get_or_insert_with(|| ExprError::new(class, span, message));
    }

    fn fail_unexpected(&mut self) {
        self.fail(format!("unexpected token {}", self.current));
    }

    /// On to the next token.
    fn advance(&mut self) {
        if let Some(stashed) = self.stashed.take() {
            self.current = stashed;
            return;
        }
        match self.lexer.next_token() {
            Ok(Some(token)) => self.current = token,
            Ok(None) => self.fail("unexpected end of expression"),
            Err(error) => self.error = Some(error),
        }
    }

    fn expect_operator(&mut self, text: &str) {
        let there = self.current.is_operator(text);
        self.expect(there);
    }

    fn expect_bracket(&mut self, text: &str) {
        let there = self.current.is_bracket(text);
        self.expect(there);
    }

    fn expect_identifier(&mut self) {
        let there = self.current.kind == TokenKind::Identifier;
        self.expect(there);
    }

    fn expect(&mut self, there: bool) {
        if there { self.advance() } else { self.fail_unexpected() }
    }

    /// Adds a node unless there was a mistake.
    fn node(&mut self, kind: Kind, span: Span) -> Option<NodeId> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.fail("compilation failed: expression exceeds maximum allowed nodes");
        }
        if self.error.is_some() {
            return None;
        }
        let id = self.ast.add(kind, span);
        if self.ast.depth(id) > DEPTH_MAX {
            self.fail_at(span, Class::Unsupported, too_deep());
        }
        Some(id)
    }

    /// Expressions with semicolons between them; the last is the value.
    fn sequence(&mut self) -> Option<NodeId> {
        let first = self.expression(0);
        let mut nodes = vec![first];
        while self.current.is_operator(";") && self.error.is_none() {
            self.advance();
            if self.current.kind == TokenKind::Eof {
                break;
            }
            nodes.push(self.expression(0));
        }
        if nodes.len() == 1 {
            return first;
        }
        let nodes: Vec<NodeId> = nodes.into_iter().collect::<Option<_>>()?;
        let span = self.ast.span(nodes[0]);
        self.node(Kind::Sequence(nodes), span)
    }

    /// An expression whose operators bind at least as tightly as `precedence`.
    fn expression(&mut self, precedence: u16) -> Option<NodeId> {
        if self.error.is_some() {
            return None;
        }
        if self.depth == DEPTH_MAX {
            self.fail_at(self.current.span, Class::Unsupported, too_deep());
            return None;
        }
        self.depth += 1;
        let node = self.expression_within(precedence);
        self.depth -= 1;
        node
    }

    fn expression_within(&mut self, precedence: u16) -> Option<NodeId> {
        if precedence == 0 && self.current.is_operator("let") {
            return self.variable_declaration();
        }
        if precedence == 0 && self.current.is_operator("if") {
            return self.conditional_if();
        }
        let left = self.primary();
        let left = self.operations(left, precedence);
        if precedence == 0 { self.ternary(left) } else { left }
    }

    /// The infix operators after `left`.
    fn operations(&mut self, mut left: Option<NodeId>, precedence: u16) -> Option<NodeId> {
        let mut previous: Option<&'static BinaryOperator> = None;
        while self.current.kind == TokenKind::Operator && self.error.is_none() {
            let not = self.current.is_operator("not").then(|| self.current.clone());
            if let Some(not) = &not
                && !self.negated_operator(not, precedence)
            {
                break;
            }
            let token = self.current.clone();
            let found = operator::binary(token.text()).filter(|found| found.precedence >= precedence);
            let Some(operator) = found else { break };
            self.advance();
            if operator.op == BinaryOp::Pipe {
                let name = self.current.clone();
                self.expect_identifier();
                left = self.call(&name, vec![left], true);
            } else if previous.is_some_and(|previous| previous.op == BinaryOp::Coalesce)
                && operator.op != BinaryOp::Coalesce
            {
                let message = format!(
                    "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                    operator.text
                );
                self.fail_at(token.span, Class::Syntax, message);
                break;
            } else if operator.is_comparison() {
                left = self.comparison(left, &token, operator);
            } else {
                let above = operator.precedence + u16::from(!operator.right_associative);
                let right = self.expression(above);
                left = Some(self.binary(operator, left, right, token.span)?);
                if not.is_some() {
                    let negation = Kind::Unary { operator: operator::unary("not")?, node: left? };
                    left = Some(self.node(negation, token.span)?);
                }
            }
            previous = Some(operator);
        }
        left
    }

    /// Steps from `not` to the operator that it negates. False where there is none: then the token is `not` again, or
    /// there was a mistake.
    fn negated_operator(&mut self, not: &Token, precedence: u16) -> bool {
        self.advance();
        match operator::binary(self.current.text()).filter(|operator| operator.takes_not()) {
            Some(operator) if operator.precedence >= precedence => true,
            Some(_) => {
                self.stashed = Some(std::mem::replace(&mut self.current, not.clone()));
                false
            }
            None => {
                self.fail_unexpected();
                false
            }
        }
    }

    fn binary(
        &mut self,
        operator: &'static BinaryOperator,
        left: Option<NodeId>,
        right: Option<NodeId>,
        span: Span,
    ) -> Option<NodeId> {
        // Counted like any other node, also where a mistake lies below it.
        let (Some(left), Some(right)) = (left, right) else {
            self.nodes += 1;
            return None;
        };
        self.node(Kind::Binary { operator, left, right }, span)
    }

    /// `a < b < c` is `a < b && b < c`.
    fn comparison(
        &mut self,
        mut left: Option<NodeId>,
        token: &Token,
        operator: &'static BinaryOperator,
    ) -> Option<NodeId> {
        let precedence = operator.precedence;
        let (mut operator, mut span) = (operator, token.span);
        let mut whole: Option<NodeId> = None;
        loop {
            let right = self.expression(precedence + 1);
            let compared = self.binary(operator, left, right, span)?;
            whole = Some(match whole {
                None => compared,
                Some(before) => self.binary(operator::binary("&&")?, Some(before), Some(compared), span)?,
            });
            left = right;
            let next = (self.current.kind == TokenKind::Operator)
                .then(|| operator::binary(self.current.text()))
                .flatten();
            match next.filter(|next| next.is_comparison() && self.error.is_none()) {
                None => return whole,
                Some(next) => (operator, span) = (next, self.current.span),
            }
            self.advance();
        }
    }

    fn variable_declaration(&mut self) -> Option<NodeId> {
        self.expect_operator("let");
        let name = self.current.clone();
        self.expect_identifier();
        self.expect_operator("=");
        let value = self.expression(0);
        self.expect_operator(";");
        let body = self.sequence();
        let kind = Kind::Let { name: Arc::from(name.text()), value: value?, body: body? };
        self.node(kind, name.span)
    }

    /// `if a { b } else { c }`. Its node counts for no limit and has no place.
    fn conditional_if(&mut self) -> Option<NodeId> {
        if self.depth == DEPTH_MAX {
            self.fail_at(self.current.span, Class::Unsupported, too_deep());
            return None;
        }
        self.advance();
        if self.error.is_some() {
            return None;
        }
        let condition = self.expression(0);
        self.expect_bracket("{");
        let then = self.sequence();
        self.expect_bracket("}");
        self.expect_operator("else");
        let otherwise = if self.current.is_operator("if") {
            self.depth += 1;
            let otherwise = self.conditional_if();
            self.depth -= 1;
            otherwise
        } else {
            self.expect_bracket("{");
            let otherwise = self.sequence();
            self.expect_bracket("}");
            otherwise
        };
        let kind = Kind::Conditional { condition: condition?, then: then?, otherwise: otherwise? };
        Some(self.ast.add(kind, Span::default()))
    }

    /// `? b : c` after `a`, and `?: c`, which stands for `? a : c`.
    fn ternary(&mut self, condition: Option<NodeId>) -> Option<NodeId> {
        let mut node = condition;
        while self.current.is_operator("?") && self.error.is_none() {
            self.advance();
            let (then, otherwise);
            if self.current.is_operator(":") {
                self.advance();
                then = node;
                otherwise = self.expression(0);
            } else {
                then = self.expression(0);
                self.expect_operator(":");
                otherwise = self.expression(0);
            }
            let kind = Kind::Conditional { condition: node?, then: then?, otherwise: otherwise? };
            node = Some(self.node(kind, self.current.span)?);
        }
        node
    }
}

fn too_deep() -> String {
    format!("more than {DEPTH_MAX} expressions lie within each other")
}
