//! Places in a query's text: the parser's tree has none, and an error without a caret is half an error.
//!
//! The text is cut into tokens by PromQL's lexical rules (Prometheus, promql/parser/lex.go), which is enough to find a
//! word, to bound how deep a query nests before any recursion sees it, and to say where it stops being PromQL.

use crate::problem::Problem;
use promql_parser::util::unquote_string;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A metric, label, function or keyword.
    Word,
    /// A number or a duration.
    Number,
    /// A quoted text, its quotes included. `closed` is false where the query ends inside it.
    Text { closed: bool },
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// Anything else: operators, commas, and characters that PromQL does not know.
    Sign,
}

/// A token and its byte range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A query's text with its tokens.
#[derive(Clone, Debug)]
pub(super) struct Source<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<Token>,
}

impl<'t> Source<'t> {
    /// Cuts `text` into tokens; no text is refused here.
    pub(super) fn new(text: &'t str) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        let mut in_range = false;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let (kind, length) = match c {
                c if c.is_whitespace() => {
                    at += c.len_utf8();
                    continue;
                }
                '#' => {
                    at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                '"' | '\'' | '`' => quoted(rest, c),
                '(' | '[' | '{' => (Kind::Open, 1),
                ')' | ']' | '}' => (Kind::Close, 1),
                c if c.is_ascii_digit() => (Kind::Number, number(rest)),
                '.' if rest[1..].starts_with(|d: char| d.is_ascii_digit()) => (Kind::Number, number(rest)),
                // In a range a colon stands before the step, elsewhere it is part of a recording rule's name.
                c if c.is_ascii_alphabetic() || c == '_' || (c == ':' && !in_range) => {
                    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                    (Kind::Word, rest.find(|c| !part(c)).unwrap_or(rest.len()))
                }
                _ => {
                    let two = ["==", "!=", "=~", "!~", "<=", ">="].iter().any(|sign| rest.starts_with(sign));
                    (Kind::Sign, if two { 2 } else { c.len_utf8() })
                }
            };
            in_range = match c {
                '[' => true,
                ']' => false,
                _ => in_range,
            };
            tokens.push(Token { kind, start: at, end: at + length });
            at += length;
        }
        Source { text, tokens }
    }

    /// The text of a token.
    pub(super) fn of(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    /// A problem with the bytes of `span`.
    pub(super) fn problem(&self, span: (usize, usize), message: impl Into<String>) -> Problem {
        Problem::text(self.text, span, message)
    }

    /// A problem with the first token that reads `word`; with the whole text where there is none.
    pub(super) fn problem_at_word(&self, word: &str, message: impl Into<String>) -> Problem {
        let span = self.find(|token| self.of(token).eq_ignore_ascii_case(word));
        self.problem(span, message)
    }

    /// Where the first operator `sign` stands.
    pub(super) fn span_of_sign(&self, sign: &str) -> (usize, usize) {
        self.find(|token| token.kind == Kind::Sign && self.of(token) == sign)
    }

    /// Where the matcher of the label `name` with `value` stands, or the metric called `value`.
    pub(super) fn span_of_matcher(&self, name: &str, value: &str) -> (usize, usize) {
        let is_value = |token: Token| {
            let text = self.of(token);
            token.kind == (Kind::Text { closed: true })
                && unquote_string(text).is_ok_and(|text| text == value)
        };
        let written = self.tokens.windows(3).find(|three| self.of(three[0]) == name && is_value(three[2]));
        match written {
            Some(three) => (three[0].start, three[2].end),
            None => self.find(|token| is_value(token) || token.kind == Kind::Word && self.of(token) == value),
        }
    }

    fn find(&self, is_it: impl Fn(Token) -> bool) -> (usize, usize) {
        let found = self.tokens.iter().copied().find(|&token| is_it(token));
        found.map_or((0, self.text.len()), |token| (token.start, token.end))
    }
}

/// The length of a quoted text that `rest` begins with. Backquotes take no escapes.
fn quoted(rest: &str, quote: char) -> (Kind, usize) {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return (Kind::Text { closed: true }, at + 1);
        }
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    (Kind::Text { closed: false }, rest.len())
}

/// The length of a number or duration that `rest` begins with: `1e-3`, `0x1f`, `1h30m`.
fn number(rest: &str) -> usize {
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    let mut before = ' ';
    for (at, c) in rest.char_indices() {
        let exponent_sign = (c == '+' || c == '-') && (before == 'e' || before == 'E') && !hex;
        if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent_sign) {
            return at;
        }
        before = c;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let source = Source::new(text);
        source.tokens.iter().map(|t| source.of(*t)).collect()
    }

    #[test]
    fn tokens_follow_promql() {
        assert_eq!(
            words("sum by(pod) (rate(vllm:x_total{a=~'b\\'c'}[1h30m:10s] offset -5m)) >= bool 1e-3 # end"),
            [
                "sum",
                "by",
                "(",
                "pod",
                ")",
                "(",
                "rate",
                "(",
                "vllm:x_total",
                "{",
                "a",
                "=~",
                "'b\\'c'",
                "}",
                "[",
                "1h30m",
                ":",
                "10s",
                "]",
                "offset",
                "-",
                "5m",
                ")",
                ")",
                ">=",
                "bool",
                "1e-3"
            ]
        );
        assert_eq!(words("a - -.5 ^0x1f"), ["a", "-", "-", ".5", "^", "0x1f"]);
    }

    #[test]
    fn any_text_is_cut_into_tokens_that_lie_inside_it() {
        for text in ["", "\"", "'\\", "é😀`", "{a=\"ü\"}", "[::]", "a#b\nc", "."] {
            let source = Source::new(text);
            for token in &source.tokens {
                assert!(
                    text.get(token.start..token.end).is_some_and(|t| !t.is_empty()),
                    "{text:?} {token:?}"
                );
            }
        }
    }
}
