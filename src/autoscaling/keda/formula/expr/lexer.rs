//! Text to tokens, one at a time (`parser/lexer/`, expr v1.17.8).
//!
//! The parser asks for the next token when it needs it: of two mistakes the one that the parser meets first counts.

use super::error::{Class, ExprError, Span};
use super::literal::{unescape, unescape_bytes};
use super::token::{Token, TokenKind, TokenValue};
use super::unicode::{is_alphanumeric, is_printable};
use std::collections::VecDeque;

/// A place in the text.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    byte: usize,
    character: usize,
}

/// Reads one expression.
pub(super) struct Lexer<'a> {
    source: &'a str,
    start: Cursor,
    end: Cursor,
    /// The end of the text was read; stepping back then only takes that back.
    at_eof: bool,
    done: bool,
    tokens: VecDeque<Token>,
    error: Option<ExprError>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Lexer {
            source,
            start: Cursor::default(),
            end: Cursor::default(),
            at_eof: false,
            done: false,
            tokens: VecDeque::new(),
            error: None,
        }
    }

    /// The next token; `None` after the one that marks the end.
    ///
    /// # Errors
    /// The first mistake in the text, at each call from then on.
    pub(super) fn next_token(&mut self) -> Result<Option<Token>, ExprError> {
        while self.tokens.is_empty() && self.error.is_none() && !self.done {
            self.root();
        }
        match &self.error {
            Some(error) => Err(error.clone()),
            None => Ok(self.tokens.pop_front()),
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        match next {
            Some(c) => {
                self.end.byte += c.len_utf8();
                self.end.character += 1;
            }
            None => self.at_eof = true,
        }
        next
    }

    fn peek(&self) -> Option<char> {
        self.source[self.end.byte..].chars().next()
    }

    fn backup(&mut self) {
        if self.at_eof {
            self.at_eof = false;
        } else if let Some(c) = self.source[..self.end.byte].chars().next_back() {
            self.end.byte -= c.len_utf8();
            self.end.character -= 1;
        }
    }

    fn word(&self) -> &'a str {
        &self.source[self.start.byte..self.end.byte]
    }

    fn skip(&mut self) {
        self.start = self.end;
    }

    fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| valid.contains(c));
        if accepted {
            self.next();
        }
        accepted
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn emit(&mut self, kind: TokenKind) {
        self.emit_value(kind, TokenValue::Text(self.word().to_owned()));
    }

    fn emit_value(&mut self, kind: TokenKind, value: TokenValue) {
        let span = Span { from: self.start.character, to: self.end.character };
        self.tokens.push_back(Token { kind, value, span });
        self.skip();
    }

    fn emit_eof(&mut self) {
        let span = Span { from: self.end.character.saturating_sub(1), to: self.end.character };
        self.tokens.push_back(Token { kind: TokenKind::Eof, value: TokenValue::default(), span });
        self.skip();
        self.done = true;
    }

    /// Keeps the first mistake.
    fn fail(&mut self, message: impl Into<String>) {
        let to = self.end.character + usize::from(self.at_eof);
        let span = Span { from: to.saturating_sub(1), to };
        self.error.get_or_insert_with(|| ExprError::new(Class::Syntax, span, message));
    }

    /// Reads one token, or what separates tokens.
    fn root(&mut self) {
        let Some(c) = self.next() else { return self.emit_eof() };
        match c {
            _ if c.is_whitespace() => self.skip(),
            '\'' | '"' => self.string(c),
            '`' => self.raw_string(),
            'b' | 'B' if matches!(self.peek(), Some('\'' | '"')) => self.bytes(),
            '0'..='9' => {
                self.backup();
                self.number();
            }
            '?' => {
                self.accept(".?");
                self.emit(TokenKind::Operator);
            }
            '/' => self.slash(),
            '#' => self.pointer(),
            '|' => {
                self.accept("|");
                self.emit(TokenKind::Operator);
            }
            ':' => {
                self.accept(":");
                self.emit(TokenKind::Operator);
            }
            '(' | '[' | '{' | ')' | ']' | '}' => self.emit(TokenKind::Bracket),
            // `+` to `-` include the comma; `^` stands alone.
            ',' | ';' | '%' | '+' | '-' | '^' => self.emit(TokenKind::Operator),
            '&' | '!' | '=' | '*' | '<' | '>' => {
                self.accept("&=*");
                self.emit(TokenKind::Operator);
            }
            '.' => self.dot(),
            _ if is_alphanumeric(c) => {
                self.backup();
                self.identifier();
            }
            _ => {
                let shown = if is_printable(c) { format!(" '{c}'") } else { String::new() };
                self.fail(format!("unrecognized character: U+{:04X}{shown}", u32::from(c)));
            }
        }
    }

    fn number(&mut self) {
        if self.scan_number() {
            self.emit(TokenKind::Number);
        } else {
            self.fail(format!("bad number syntax: {}", super::go_text::quoted(self.word())));
        }
    }

    fn scan_number(&mut self) -> bool {
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        let before_dot = self.end;
        if self.accept(".") {
            // A second dot makes it a range: `1..2`.
            if self.peek() == Some('.') {
                self.end = before_dot;
                return true;
            }
            self.accept_run(digits);
        }
        if self.accept("eE") {
            self.accept("+-");
            self.accept_run(digits);
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }

    fn dot(&mut self) {
        if self.accept("0123456789") {
            self.backup();
            // The dot stays read, so a second one still belongs to the number: `.5.5` is one bad literal.
            return self.number();
        }
        self.accept(".");
        self.emit(TokenKind::Operator);
    }

    /// Steps over letters and digits.
    fn skip_word(&mut self) {
        while self.next().is_some_and(is_alphanumeric) {}
        self.backup();
    }

    fn identifier(&mut self) {
        self.skip_word();
        match self.word() {
            "not" => self.not(),
            "in" | "or" | "and" | "matches" | "contains" | "startsWith" | "endsWith" | "let" | "if"
            | "else" => self.emit(TokenKind::Operator),
            _ => self.emit(TokenKind::Identifier),
        }
    }

    /// `not`, and the operator after it where it is one that `not` may stand before.
    fn not(&mut self) {
        self.emit(TokenKind::Operator);
        self.accept_run(" ");
        self.skip();
        let end = self.end;
        self.skip_word();
        match self.word() {
            "in" | "matches" | "contains" | "startsWith" | "endsWith" => self.emit(TokenKind::Operator),
            _ => self.end = end,
        }
    }

    fn slash(&mut self) {
        if self.accept("/") {
            while self.next().is_some_and(|c| c != '\n') {}
            self.skip();
        } else if self.accept("*") {
            loop {
                match self.next() {
                    None => return self.fail("unclosed comment"),
                    Some('*') if self.accept("/") => break,
                    Some(_) => {}
                }
            }
            self.skip();
        } else {
            self.emit(TokenKind::Operator);
        }
    }

    /// `#`, and the name after it.
    fn pointer(&mut self) {
        self.accept("#");
        self.emit(TokenKind::Operator);
        self.skip_word();
        if !self.word().is_empty() {
            self.emit(TokenKind::Identifier);
        }
    }

    fn string(&mut self, quote: char) {
        self.scan_string(quote);
        match unescape(self.word()) {
            Ok(text) => self.emit_value(TokenKind::String, TokenValue::Text(text)),
            Err(message) => self.fail(message),
        }
    }

    fn bytes(&mut self) {
        if let Some(quote) = self.next() {
            self.scan_string(quote);
        }
        match unescape_bytes(&self.word()[1..]) {
            Ok(bytes) => self.emit_value(TokenKind::Bytes, TokenValue::Bytes(bytes)),
            Err(message) => self.fail(message),
        }
    }

    /// To the closing quote.
    fn scan_string(&mut self, quote: char) {
        let mut c = self.next();
        while c != Some(quote) {
            c = match c {
                None | Some('\n') => return self.fail("literal not terminated"),
                Some('\\') => self.scan_escape(quote),
                Some(_) => self.next(),
            };
        }
    }

    /// Over an escape sequence, to the character after it.
    fn scan_escape(&mut self, quote: char) -> Option<char> {
        match self.next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => self.next(),
            Some(c) if c == quote => self.next(),
            Some(c @ '0'..='7') => self.scan_digits(Some(c), 8, 3),
            Some('x') => {
                let first = self.next();
                self.scan_digits(first, 16, 2)
            }
            Some('u') if self.peek() == Some('{') => self.scan_braced(),
            Some('u') => {
                let first = self.next();
                self.scan_digits(first, 16, 4)
            }
            Some('U') => {
                let first = self.next();
                self.scan_digits(first, 16, 8)
            }
            c => {
                self.fail("invalid char escape");
                c
            }
        }
    }

    fn scan_digits(&mut self, mut c: Option<char>, base: u32, count: usize) -> Option<char> {
        for _ in 0..count {
            if !c.is_some_and(|c| c.is_digit(base)) {
                self.fail("invalid char escape");
                break;
            }
            c = self.next();
        }
        c
    }

    /// `{` and one to six hexadecimal digits and `}`.
    fn scan_braced(&mut self) -> Option<char> {
        self.next();
        let mut digits = 0;
        while self.peek() != Some('}') {
            if digits == 6 || !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                self.fail("invalid char escape");
                return None;
            }
            self.next();
            digits += 1;
        }
        if digits == 0 {
            self.fail("invalid char escape");
            return None;
        }
        self.next();
        self.next()
    }

    /// Between backquotes; two of them stand for one.
    fn raw_string(&mut self) {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return self.fail("literal not terminated"),
                Some('`') if self.peek() == Some('`') => {
                    self.next();
                    text.push('`');
                }
                Some('`') => break,
                Some(c) => text.push(c),
            }
        }
        self.emit_value(TokenKind::String, TokenValue::Text(text));
    }
}
