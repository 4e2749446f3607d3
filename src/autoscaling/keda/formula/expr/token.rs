//! Tokens (`parser/lexer/token.go`).

use super::error::Span;
use super::go_text::quoted;
use std::fmt;

/// What a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// None was read yet.
    #[default]
    Nothing,
    Identifier,
    Number,
    String,
    Bytes,
    Operator,
    Bracket,
    Eof,
}

/// A token; `value` is its text, of a literal what it stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) value: TokenValue,
    pub(super) span: Span,
}

/// The text of a token. A bytes literal may hold what is no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenValue {
    Text(String),
    Bytes(Vec<u8>),
}

impl Default for TokenValue {
    fn default() -> Self {
        TokenValue::Text(String::new())
    }
}

impl Token {
    pub(super) fn text(&self) -> &str {
        match &self.value {
            TokenValue::Text(text) => text,
            TokenValue::Bytes(_) => "",
        }
    }

    pub(super) fn is(&self, kind: TokenKind, text: &str) -> bool {
        self.kind == kind && self.text() == text
    }

    pub(super) fn is_operator(&self, text: &str) -> bool {
        self.is(TokenKind::Operator, text)
    }

    pub(super) fn is_bracket(&self, text: &str) -> bool {
        self.is(TokenKind::Bracket, text)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TokenKind::Nothing => "",
            TokenKind::Identifier => "Identifier",
            TokenKind::Number => "Number",
            TokenKind::String => "String",
            TokenKind::Bytes => "Bytes",
            TokenKind::Operator => "Operator",
            TokenKind::Bracket => "Bracket",
            TokenKind::Eof => "EOF",
        };
        match &self.value {
            TokenValue::Text(text) if text.is_empty() => f.write_str(kind),
            TokenValue::Text(text) => write!(f, "{kind}({})", quoted(text)),
            TokenValue::Bytes(bytes) if bytes.is_empty() => f.write_str(kind),
            TokenValue::Bytes(bytes) => write!(f, "{kind}({})", quoted(&String::from_utf8_lossy(bytes))),
        }
    }
}
