//! Duration expressions: arithmetic in ranges, steps and offsets, `[5m * 2]` (promql/durations.go).
//!
//! They are constants, so they are computed here and the parser sees the literals that they come to. Where they may stand:
//!
//! ```text
//!   x[ EXPRESSION : EXPRESSION ]      x offset (EXPRESSION)      x offset -(EXPRESSION)
//! ```
//!
//! After `offset` an expression begins with a parenthesis: `x offset 1m + 2m` adds 120 to the vector.

use super::place::{Kind, Source, Token};
use crate::problem::Problem;
use promql_parser::util::{parse_duration, parse_str_radix};
use std::ops::Range;

/// An expression in a query's text: the tokens that it is made of, and what it comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expression {
    /// By their places in [`Source::tokens`].
    pub(super) tokens: Range<usize>,
    /// Negative after `offset` alone.
    pub(super) milliseconds: i64,
}

/// The expressions of `source`, in the order of the text; literals alone, with or without a sign after `offset`, are none.
pub(super) fn expressions(source: &Source<'_>) -> Result<Vec<Expression>, Problem> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut in_range = false;
    while at < source.tokens.len() {
        let text = source.of(source.tokens[at]);
        let after_offset = text.eq_ignore_ascii_case("offset") && source.tokens[at].kind == Kind::Word;
        let opens = text == "[";
        let divides = text == ":" && in_range;
        in_range = (in_range || opens) && text != "]";
        at += 1;
        if !(opens || divides || after_offset) {
            continue;
        }
        let mut reader = Reader { source, at };
        let is_expression = if after_offset {
            let signs = usize::from(matches!(reader.peek(), "+" | "-"));
            reader.peek_at(signs) == "("
        } else {
            let inside = source.tokens[at..].iter().map(|token| source.of(*token));
            let inside: Vec<&str> = inside.take_while(|text| !matches!(*text, "]" | ":")).collect();
            // A `$` is one of Grafana's variables, and the parser's problem.
            inside.len() > 1 && !inside.contains(&"$")
        };
        if !is_expression {
            continue;
        }
        let seconds = reader.sum()?;
        let tokens = at..reader.at;
        let span = (source.tokens[tokens.start].start, source.tokens[tokens.end - 1].end);
        let milliseconds = seconds * 1000.0;
        if !after_offset && milliseconds < 1.0 {
            return Err(source.problem(span, "the duration must be greater than 0"));
        }
        // Go's durations are nanoseconds in 64 bits.
        if milliseconds.is_nan() || milliseconds.abs() > i64::MAX as f64 / 1e6 {
            return Err(source.problem(span, "the duration is out of range"));
        }
        at = tokens.end;
        found.push(Expression { tokens, milliseconds: milliseconds as i64 });
    }
    Ok(found)
}

/// Reads an expression from its first token on.
struct Reader<'s, 't> {
    source: &'s Source<'t>,
    at: usize,
}

impl Reader<'_, '_> {
    fn peek(&self) -> &str {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &str {
        self.source.tokens.get(self.at + ahead).map_or("", |token| self.source.of(*token))
    }

    /// Seconds of terms under `+` and `-`.
    fn sum(&mut self) -> Result<f64, Problem> {
        let mut seconds = self.product()?;
        while let sign @ ("+" | "-") = self.peek() {
            let is_plus = sign == "+";
            self.at += 1;
            let term = self.product()?;
            seconds = if is_plus { seconds + term } else { seconds - term };
        }
        Ok(seconds)
    }

    fn product(&mut self) -> Result<f64, Problem> {
        let mut seconds = self.signed()?;
        loop {
            let operator: fn(f64, f64) -> f64 = match self.peek() {
                "*" => |a, b| a * b,
                "/" => |a, b| a / b,
                "%" => |a, b| a % b,
                _ => return Ok(seconds),
            };
            let (divides, token) = (self.peek() != "*", self.source.tokens[self.at]);
            self.at += 1;
            let factor = self.signed()?;
            if divides && factor == 0.0 {
                return Err(self.source.problem((token.start, token.end), "the duration is divided by zero"));
            }
            seconds = operator(seconds, factor);
        }
    }

    /// A sign binds looser than a power: `-2 ^ 2` is -4.
    fn signed(&mut self) -> Result<f64, Problem> {
        match self.peek() {
            "-" => {
                self.at += 1;
                Ok(-self.signed()?)
            }
            "+" => {
                self.at += 1;
                self.signed()
            }
            _ => self.power(),
        }
    }

    fn power(&mut self) -> Result<f64, Problem> {
        let base = self.operand()?;
        if self.peek() != "^" {
            return Ok(base);
        }
        self.at += 1;
        // To the right, and a sign may stand before the exponent.
        Ok(libm::pow(base, self.signed()?))
    }

    fn operand(&mut self) -> Result<f64, Problem> {
        let Some(&token) = self.source.tokens.get(self.at) else {
            let end = self.source.text.len();
            return Err(self.source.problem((end, end), "the query ends inside a duration"));
        };
        self.at += 1;
        if token.kind == Kind::Number {
            return self.literal(token);
        }
        if self.source.of(token) == "(" {
            let seconds = self.sum()?;
            if self.peek() == ")" {
                self.at += 1;
                return Ok(seconds);
            }
            return Err(self.source.problem((token.start, token.end), "`(` is not closed in the duration"));
        }
        let message = format!("`{}` cannot stand in a duration", self.source.of(token));
        Err(self.source.problem((token.start, token.end), message))
    }

    fn literal(&self, token: Token) -> Result<f64, Problem> {
        let text = self.source.of(token).replace('_', "");
        let value = match parse_duration(&text) {
            Ok(duration) if text.ends_with(char::is_alphabetic) => Ok(duration.as_secs_f64()),
            _ if text.trim_start_matches('0').len() == 1 && text.ends_with(char::is_alphabetic) => Ok(0.0),
            _ => parse_str_radix(&text),
        };
        let span = (token.start, token.end);
        value.map_err(|_| self.source.problem(span, format!("`{text}` is neither a duration nor a number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(text: &str) -> Result<Vec<i64>, String> {
        let found = expressions(&Source::new(text)).map_err(|problem| problem.to_string())?;
        Ok(found.into_iter().map(|expression| expression.milliseconds).collect())
    }

    #[test]
    fn expressions_come_to_milliseconds() {
        for (text, want) in [
            ("x[5m]", vec![]),
            ("x[5m:] offset -1m + 2m", vec![]),
            ("x[26m+4m]", vec![1_800_000]),
            ("x[2m*(10+5)]", vec![1_800_000]),
            ("x[-5m+35m]", vec![1_800_000]),
            ("x[30m + 0s]", vec![1_800_000]),
            ("x[1h30m % 1h]", vec![1_800_000]),
            ("x[11s+10s-5*2^2]", vec![1000]),
            ("x[0 - -2 ^ 2]", vec![4000]),
            ("x[2 ^ 3 ^ 2]", vec![512_000]),
            ("x[29s+1s:5s+5s]", vec![30_000, 10_000]),
            ("x[4s:1s*2] offset (5s-8)", vec![2000, -3000]),
            ("x offset -(100 + 2) > 1 + 2", vec![-102_000]),
            ("x[1.5 * 1s] + y[1 / 4]", vec![1500, 250]),
        ] {
            assert_eq!(milliseconds(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_at_its_place() {
        for (text, part) in [
            ("x[5m - 5m]", "greater than 0"),
            ("x[-2^2]", "greater than 0"),
            ("x[1m / 0]", "divided by zero"),
            ("x[1m % (1 - 1)]", "divided by zero"),
            ("x[9y * 1e9]", "out of range"),
            ("x[(1m + 1m]", "not closed"),
            ("x[1m + y]", "`y` cannot stand"),
            ("x[1m +", "ends inside"),
            ("x offset (1m", "not closed"),
        ] {
            let message = milliseconds(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
