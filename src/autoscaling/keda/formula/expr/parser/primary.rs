//! What operators stand between: literals, names, brackets, prefix operators.

use super::super::ast::{Kind, NodeId};
use super::super::go_text::quoted;
use super::super::operator;
use super::super::token::{Token, TokenKind, TokenValue};
use super::Parser;
use std::sync::Arc;

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Option<NodeId> {
        let token = self.current.clone();
        if token.kind == TokenKind::Operator
            && let Some(operator) = operator::unary(token.text())
        {
            self.advance();
            let node = self.expression(operator.precedence);
            let node = self.node(Kind::Unary { operator, node: node? }, token.span)?;
            return self.postfix(Some(node));
        }
        if token.is_bracket("(") {
            self.advance();
            let node = self.sequence();
            self.expect_bracket(")");
            return self.postfix(node);
        }
        if self.predicates > 0 && (token.is_operator("#") || token.is_operator(".")) {
            let mut name = String::new();
            if token.is_operator("#") {
                self.advance();
                if self.current.kind == TokenKind::Identifier {
                    name = self.current.text().to_owned();
                    self.advance();
                }
            }
            let node = self.node(Kind::Pointer(Arc::from(name)), token.span)?;
            return self.postfix(Some(node));
        }
        if token.is_operator("::") {
            self.advance();
            let name = self.current.clone();
            self.expect_identifier();
            let node = self.call(&name, Vec::new(), false);
            return self.postfix(node);
        }
        self.secondary()
    }

    fn secondary(&mut self) -> Option<NodeId> {
        let token = self.current.clone();
        let node = match token.kind {
            TokenKind::Identifier => {
                self.advance();
                match token.text() {
                    // No access follows a constant or a number: `1[0]` is a mistake.
                    "true" => return self.node(Kind::Bool(true), token.span),
                    "false" => return self.node(Kind::Bool(false), token.span),
                    "nil" => return self.node(Kind::Nil, token.span),
                    _ if self.current.is_bracket("(") => self.call(&token, Vec::new(), true),
                    name => Some(self.node(Kind::Identifier(Arc::from(name)), token.span)?),
                }
            }
            TokenKind::Number => {
                self.advance();
                return self.number(&token);
            }
            TokenKind::String => {
                self.advance();
                Some(self.node(Kind::Text(Arc::from(token.text())), token.span)?)
            }
            TokenKind::Bytes => {
                self.advance();
                let TokenValue::Bytes(bytes) = &token.value else { return None };
                Some(self.node(Kind::Bytes(Arc::from(bytes.as_slice())), token.span)?)
            }
            _ if token.is_bracket("[") => self.array(&token),
            _ if token.is_bracket("{") => self.map(&token),
            _ => {
                self.fail_unexpected();
                None
            }
        };
        self.postfix(node)
    }

    /// A literal. A mistake in it is reported at the token after it.
    fn number(&mut self, token: &Token) -> Option<NodeId> {
        let text = token.text().replace('_', "");
        let lower = text.to_ascii_lowercase();
        let radix = |prefix: &str| lower.strip_prefix(prefix);
        let read = if let Some(digits) = radix("0x") {
            integer(digits, 16)
                .map_err(|why| format!("invalid hex literal: {}", parse_error("Int", &text, why)))
        } else if lower.contains(['.', 'e']) {
            float(&text).map_err(|why| format!("invalid float literal: {}", parse_error("Float", &text, why)))
        } else if let Some(digits) = radix("0b") {
            integer(digits, 2)
                .map_err(|why| format!("invalid binary literal: {}", parse_error("Int", &text, why)))
        } else if let Some(digits) = radix("0o") {
            integer(digits, 8)
                .map_err(|why| format!("invalid octal literal: {}", parse_error("Int", &text, why)))
        } else {
            integer(&text, 10)
                .map_err(|why| format!("invalid integer literal: {}", parse_error("Int", &text, why)))
        };
        match read {
            Ok(kind) => self.node(kind, token.span),
            Err(message) => {
                self.fail(message);
                None
            }
        }
    }

    fn array(&mut self, token: &Token) -> Option<NodeId> {
        let mut nodes = Vec::new();
        self.expect_bracket("[");
        while !self.current.is_bracket("]") && self.error.is_none() {
            if !nodes.is_empty() {
                self.expect_operator(",");
                if self.current.is_bracket("]") {
                    break;
                }
            }
            nodes.push(self.expression(0));
        }
        self.expect_bracket("]");
        let nodes = nodes.into_iter().collect::<Option<_>>()?;
        self.node(Kind::Array(nodes), token.span)
    }

    /// Keys are names, texts, numbers or expressions in parentheses.
    fn map(&mut self, token: &Token) -> Option<NodeId> {
        let mut pairs = Vec::new();
        self.expect_bracket("{");
        while !self.current.is_bracket("}") && self.error.is_none() {
            if !pairs.is_empty() {
                self.expect_operator(",");
                if self.current.is_bracket("}") {
                    break;
                }
                if self.current.is_operator(",") {
                    self.fail_unexpected();
                }
            }
            let key = match self.current.kind {
                TokenKind::Number | TokenKind::String | TokenKind::Identifier => {
                    let key = Kind::Text(Arc::from(self.current.text()));
                    let key = Some(self.node(key, self.current.span)?);
                    self.advance();
                    key
                }
                _ if self.current.is_bracket("(") => self.expression(0),
                _ => {
                    self.fail(format!(
                        "a map key must be a quoted string, a number, a identifier, or an expression enclosed in \
                         parentheses (unexpected token {})",
                        self.current
                    ));
                    None
                }
            };
            self.expect_operator(":");
            let value = self.expression(0);
            pairs.push(self.node(Kind::Pair { key: key?, value: value? }, token.span)?);
        }
        self.expect_bracket("}");
        self.node(Kind::Map(pairs), token.span)
    }
}

#[derive(Clone, Copy)]
enum Unread {
    Syntax,
    Range,
}

fn integer(digits: &str, radix: u32) -> Result<Kind, Unread> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(Unread::Syntax);
    }
    i64::from_str_radix(digits, radix).map(Kind::Integer).map_err(|_| Unread::Range)
}

fn float(text: &str) -> Result<Kind, Unread> {
    let value: f64 = text.parse().map_err(|_| Unread::Syntax)?;
    if value.is_finite() { Ok(Kind::Float(value)) } else { Err(Unread::Range) }
}

/// `strconv.NumError`.
fn parse_error(kind: &str, text: &str, why: Unread) -> String {
    let why = match why {
        Unread::Syntax => "invalid syntax",
        Unread::Range => "value out of range",
    };
    format!("strconv.Parse{kind}: parsing {}: {why}", quoted(text))
}
