//! The parser's errors, which have no places, at the places that they are about.

use super::functions;
use super::place::{Kind, Source, Token};
use super::semantics::Release;
use crate::problem::Problem;
use promql_parser::parser;

/// The longest query, in tokens, whose first wrong token is looked for: each try is a parse of its own.
const EXPLAINED_MAX: usize = 400;

/// What the parser says where the grammar does not fit, without a place.
const INVALID: &str = "invalid promql query";

/// The parser's message at the place that it is about.
pub(super) fn explain(source: &Source<'_>, message: &str, release: Release) -> Problem {
    if let Some(token) = source.tokens.iter().find(|token| token.kind == (Kind::Text { closed: false })) {
        return source.problem((token.start, token.end), "the text has no closing quote");
    }
    if let Some(problem) = unbalanced(source) {
        return problem;
    }
    if let Some(name) = between(message, "unknown function with name '", "'") {
        let problem = source.problem_at_word(name, format!("there is no function `{name}`"));
        return match functions::nearest(name, release) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        };
    }
    if message == INVALID && source.tokens.len() <= EXPLAINED_MAX {
        return unexpected(source);
    }
    if let Some(pattern) = message.strip_prefix("illegal regex for ") {
        let span = source.span_of_matcher("", pattern);
        return source.problem(span, format!("`{pattern}` is not a regular expression"));
    }
    if message.starts_with("ranges only allowed") {
        let range = source.tokens.windows(2).find(|two| source.of(two[0]) == ")" && source.of(two[1]) == "[");
        let span = range.map_or((0, source.text.len()), |two| (two[1].start, two[1].end));
        return source
            .problem(span, message)
            .help("a range of an expression is a subquery, with a colon: `[5m:30s]`");
    }
    let named = between(message, "call to function '", "'").or_else(|| between(message, "'", "'"));
    let mut words = source.tokens.iter().filter(|token| named.is_some_and(|name| source.of(**token) == name));
    let span = match words.next() {
        Some(token) => (token.start, token.end),
        None => match between(message, ": '", "'").and_then(|odd| source.text.find(odd)) {
            Some(at) => (at, at + source.text[at..].chars().next().map_or(0, char::len_utf8)),
            None => (0, source.text.len()),
        },
    };
    let message = ["type", "got"].iter().fold(message.to_owned(), |message, before| {
        // The types in the words of Prometheus' own errors.
        let message = message.replace(&format!("{before} matrix"), &format!("{before} range vector"));
        message.replace(&format!("{before} vector"), &format!("{before} instant vector"))
    });
    let problem = source.problem(span, message);
    match source.of_span(span) {
        "$" => problem.help("replace Grafana's variables, such as $__rate_interval, by durations"),
        _ => problem,
    }
}

/// The first bracket without its partner.
fn unbalanced(source: &Source<'_>) -> Option<Problem> {
    let mut open: Vec<Token> = Vec::new();
    for token in source.tokens.iter().copied() {
        let text = source.of(token);
        match token.kind {
            Kind::Open => open.push(token),
            Kind::Close => {
                let partner = open.pop().map(|partner| source.of(partner));
                if !matches!((partner, text), (Some("("), ")") | (Some("["), "]") | (Some("{"), "}")) {
                    return Some(
                        source.problem((token.start, token.end), format!("`{text}` closes nothing")),
                    );
                }
            }
            _ => {}
        }
    }
    let token = open.pop()?;
    Some(source.problem((token.start, token.end), format!("`{}` is never closed", source.of(token))))
}

/// Where the query stops being PromQL: the first token after the longest beginning that some ending completes.
fn unexpected(source: &Source<'_>) -> Problem {
    const ENDINGS: [&str; 9] = ["", " x", "(x)", " 1", "}", "\"x\"}", "=\"x\"}", "1m]", "]"];
    let viable = |count: usize| {
        let head = &source.text[..source.tokens[count - 1].end];
        let closers = closers(source, count);
        ENDINGS.iter().any(|ending| {
            // An ending that closes a bracket itself leaves one fewer to close.
            let closes = usize::from(ending.ends_with(['}', ']']));
            let closed = closers.get(closes..).unwrap_or_default();
            let message = parser::parse(&format!("{head}{ending}{closed}")).err();
            message.is_none_or(|message| message != INVALID && !message.starts_with("unexpected"))
        })
    };
    let Some(count) = (1..=source.tokens.len()).rev().find(|&count| viable(count)) else {
        let token = source.tokens[0];
        let message = format!("`{}` does not begin a query", source.of(token));
        return source.problem((token.start, token.end), message);
    };
    match source.tokens.get(count) {
        Some(token) => {
            let message = format!("`{}` cannot stand here", source.of(*token));
            source.problem((token.start, token.end), message)
        }
        None => {
            let token = source.tokens[count - 1];
            let message = format!("something is missing after `{}`", source.of(token));
            source.problem((token.start, token.end), message)
        }
    }
}

/// What closes the brackets that are open after the first `count` tokens.
fn closers(source: &Source<'_>, count: usize) -> String {
    let mut open = Vec::new();
    for token in &source.tokens[..count] {
        match source.of(*token) {
            "(" => open.push(')'),
            "[" => open.push(']'),
            "{" => open.push('}'),
            ")" | "]" | "}" => drop(open.pop()),
            _ => {}
        }
    }
    open.iter().rev().collect()
}

fn between<'m>(message: &'m str, before: &str, after: &str) -> Option<&'m str> {
    let start = message.find(before)? + before.len();
    message[start..].split(after).next()
}

impl<'t> Source<'t> {
    fn of_span(&self, (start, end): (usize, usize)) -> &'t str {
        self.text.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Query, QueryOptions};
    use crate::problem::Place;

    /// The problem's message with what its caret is under.
    fn problem(text: &str) -> (String, String) {
        let problem = Query::compile(text, QueryOptions::default()).expect_err(text);
        match &problem.place {
            Place::Text { text, span } => (text[span.0..span.1].to_owned(), problem.to_string()),
            _ => (String::new(), problem.to_string()),
        }
    }

    #[test]
    fn errors_are_at_their_place() {
        for (text, place, part) in [
            ("", "", "empty"),
            ("# nothing", "", "empty"),
            ("sum(x", "(", "never closed"),
            ("sum(x))", ")", "closes nothing"),
            ("sum(x{a=\"b})", "\"b})", "closing quote"),
            ("sum(x) by", "by", "missing after `by`"),
            ("rate(x[5m]) >", ">", "missing after `>`"),
            ("x / on(a) group_left", "group_left", "missing after"),
            ("sum(rate(x[5m])) y", "y", "cannot stand here"),
            ("sum(x) + * 2", "*", "cannot stand here"),
            ("x{a=b}", "b", "expected string"),
            ("rate(x)", "rate", "expected type range vector in call to function 'rate', got instant vector"),
            ("raet(x[5m])", "raet", "did you mean `rate`"),
            ("rate(x[5minutes])", "", ""),
            ("rate(x[$__rate_interval])", "$", "Grafana"),
            ("x > bool", "", ""),
            ("1 == 1", "1 == 1", "BOOL"),
            ("sum by (pod) x", "x", "cannot stand here"),
            ("x[1e300]", "1e300", "not a duration"),
            ("x offset -NaN", "NaN", "not a duration"),
            ("x offset 99999999999y", "99999999999y", "too long"),
            ("topk(x, y)", "", "scalar"),
            ("first_over_time(x[5m])", "first_over_time", "3.5 has no function"),
            ("info(x)", "info", "target_info"),
            ("limitk(1, x)", "limitk", "enable_features = [\"promql-experimental-functions\"]"),
            ("mad_over_time(x[5m])", "mad_over_time", "promql-experimental-functions"),
            ("sum by (\"\") (x)", "\"\"", "not empty"),
            ("x[5m * 2]", "5m * 2", "promql-duration-expr"),
            ("1e999", "1e999", "out of range"),
            ("label_replace(x, \"\", \"\", \"\", \"\")", "label_replace", "not a label's name"),
            ("x{a=~\"(\"}", "\"(\"", "not a regular expression"),
            ("avg_over_time(sum(x)[5m])", "[", "with a colon"),
            ("max_over_time(x[1d:1ms])", ":", "86400001 evaluations"),
        ] {
            let (got, message) = problem(text);
            assert!(message.contains(part), "{text}: {message}");
            assert!(place.is_empty() || got == place, "{text}: caret under {got:?}: {message}");
        }
    }
}
