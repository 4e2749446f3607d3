//! Text to syntax tree, with every error at its place.
//!
//! The grammar is the crate promql-parser's. It recurses, and it panics on numbers that no duration can hold, so what
//! reaches it is bounded here first; and it has no places in its errors, so they are found again here.

use super::functions;
use super::place::{Kind, Source, Token};
use super::semantics::Semantics;
use crate::problem::Problem;
use promql_parser::parser::{self, Expr};

/// The longest query, in bytes: Prometheus has no limit of its own, a URL has.
const LENGTH_MAX: usize = 32 * 1024;

/// The deepest tree: what walks it recurses, and a thread's stack has an end.
const DEPTH_MAX: usize = 128;

/// The longest range, offset or step, in digits of each of its numbers: nine digits of milliseconds are eleven days, of
/// seconds 31 years.
const DURATION_DIGITS_MAX: usize = 9;

/// The longest query, in tokens, whose first wrong token is looked for: each try is a parse of its own.
const EXPLAINED_MAX: usize = 400;

/// What the parser says where the grammar does not fit, without a place.
const INVALID: &str = "invalid promql query";

/// The tree of `source`.
pub(super) fn parse(source: &Source<'_>, rules: &Semantics) -> Result<Expr, Problem> {
    check_size(source)?;
    check_numbers(source, rules)?;
    parser::parse(&renamed(source, rules)?).map_err(|message| explain(source, &message))
}

/// The text under the names of 3.0, which are the parser's: `holt_winters` became `double_exponential_smoothing`.
fn renamed(source: &Source<'_>, rules: &Semantics) -> Result<String, Problem> {
    const OLD: &str = "holt_winters";
    const NEW: &str = "double_exponential_smoothing";
    let (here, elsewhere) = if rules.holt_winters { (OLD, NEW) } else { (NEW, OLD) };
    let called =
        |name| source.tokens.windows(2).find(|two| source.of(two[0]) == name && source.of(two[1]) == "(");
    if let Some(two) = called(elsewhere) {
        let span = (two[0].start, two[0].end);
        let problem = source.problem(span, format!("there is no function `{elsewhere}`"));
        return Err(problem.help(format!("this release of Prometheus calls it `{here}`; 3.0 renamed it")));
    }
    let mut text = String::new();
    let mut copied = 0;
    for two in source.tokens.windows(2).filter(|two| source.of(two[0]) == OLD && source.of(two[1]) == "(") {
        text.push_str(&source.text[copied..two[0].start]);
        text.push_str(NEW);
        copied = two[0].end;
    }
    text.push_str(&source.text[copied..]);
    Ok(text)
}

fn check_size(source: &Source<'_>) -> Result<(), Problem> {
    let length = source.text.len();
    if source.tokens.is_empty() {
        return Err(Problem::whole("the query is empty").help("for example: sum(vllm:num_requests_waiting)"));
    }
    if length > LENGTH_MAX {
        return Err(Problem::whole(format!("the query has {length} bytes, the most is {LENGTH_MAX}")));
    }
    let depth = depth(source);
    if depth > DEPTH_MAX {
        let message = format!(
            "the query nests {depth} deep, brackets and chained operators counted; the most is {DEPTH_MAX}"
        );
        return Err(Problem::whole(message)
            .help("put parentheses around parts of long chains, or use several triggers"));
    }
    Ok(())
}

/// No less than the depth of the tree: an operator puts what is before it one deeper, a bracket what is inside it.
fn depth(source: &Source<'_>) -> usize {
    /// One open bracket, or the whole query: operators since the last comma, the deepest bracket since then, and the
    /// deepest of what came before the comma.
    #[derive(Default)]
    struct Level {
        operators: usize,
        inside: usize,
        before: usize,
    }
    impl Level {
        fn depth(&self) -> usize {
            self.before.max(self.operators + self.inside)
        }
    }
    let mut levels = vec![Level::default()];
    let close = |levels: &mut Vec<Level>| {
        let depth = levels.pop().map_or(0, |level| level.depth()) + 1;
        match levels.last_mut() {
            Some(level) => level.inside = level.inside.max(depth),
            None => levels.push(Level { inside: depth, ..Level::default() }),
        }
    };
    for token in &source.tokens {
        let text = source.of(*token);
        let named = ["and", "or", "unless", "atan2"].iter().any(|word| text.eq_ignore_ascii_case(word));
        match token.kind {
            Kind::Open => levels.push(Level::default()),
            Kind::Close => close(&mut levels),
            Kind::Sign if text == "," => {
                if let Some(level) = levels.last_mut() {
                    *level = Level { before: level.depth(), ..Level::default() };
                }
            }
            Kind::Sign | Kind::Word if token.kind == Kind::Sign || named => {
                if let Some(level) = levels.last_mut() {
                    level.operators += 1;
                }
            }
            _ => {}
        }
    }
    while levels.len() > 1 {
        close(&mut levels);
    }
    levels.pop().map_or(0, |level| level.depth())
}

/// Refuses numbers that the parser would panic on or silently take for nothing, and durations where a release wants numbers.
fn check_numbers(source: &Source<'_>, rules: &Semantics) -> Result<(), Problem> {
    for token in &source.tokens {
        let text = source.of(*token);
        let infinite = text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("inf");
        if token.kind != Kind::Number && !infinite {
            continue;
        }
        let hex = text.starts_with("0x") || text.starts_with("0X");
        let is_duration = !hex && text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
        let digits = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        let odd =
            digits > DURATION_DIGITS_MAX || infinite || hex || !is_duration && text.contains(['e', 'E']);
        if !odd && (!is_duration || rules.durations_are_numbers) {
            continue;
        }
        let span = (token.start, token.end);
        match stands_for_time(source, *token) {
            true if digits > DURATION_DIGITS_MAX => {
                return Err(source.problem(span, format!("`{text}` is too long for a duration")));
            }
            true if odd => {
                return Err(source
                    .problem(span, format!("`{text}` is not a duration"))
                    .help("such as 30s or 1h30m"));
            }
            false if is_duration && !rules.durations_are_numbers => {
                let problem =
                    source.problem(span, format!("the duration `{text}` stands where a number must"));
                return Err(problem.help("only Prometheus 3 takes durations for numbers of seconds"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// True inside `[…]` and after `offset`.
fn stands_for_time(source: &Source<'_>, number: Token) -> bool {
    let before: Vec<&str> = source
        .tokens
        .iter()
        .take_while(|token| token.start < number.start)
        .map(|token| source.of(*token))
        .collect();
    let open = before.iter().rposition(|&text| text == "[");
    let in_range = open.is_some_and(|open| !before[open..].contains(&"]"));
    let mut last = before.iter().rev().skip_while(|text| matches!(**text, "+" | "-"));
    in_range || last.next().is_some_and(|text| text.eq_ignore_ascii_case("offset"))
}

/// The parser's message at the place that it is about.
fn explain(source: &Source<'_>, message: &str) -> Problem {
    if let Some(token) = source.tokens.iter().find(|token| token.kind == (Kind::Text { closed: false })) {
        return source.problem((token.start, token.end), "the text has no closing quote");
    }
    if let Some(problem) = unbalanced(source) {
        return problem;
    }
    if let Some(name) = between(message, "unknown function with name '", "'") {
        let problem = source.problem_at_word(name, format!("there is no function `{name}`"));
        return match functions::nearest(name) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        };
    }
    if message == INVALID && source.tokens.len() <= EXPLAINED_MAX {
        return unexpected(source);
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
    match (1..source.tokens.len()).rev().find(|&count| viable(count)) {
        Some(count) => {
            let token = source.tokens[count];
            let text = source.of(token);
            source.problem((token.start, token.end), format!("`{text}` cannot stand here"))
        }
        None => {
            let token = source.tokens[0];
            source.problem((token.start, token.end), format!("`{}` does not begin a query", source.of(token)))
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
    use super::super::{Query, QueryOptions, Release};
    use super::*;
    use crate::monitoring::labels::{Labels, METRIC_NAME};
    use crate::monitoring::series::{ABSENT, Database, Retention, STALE};
    use crate::problem::Place;
    use crate::units::{SimTime, UnixMillis};
    use proptest::prelude::*;
    use std::sync::Arc;

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
            ("sum(x) by", "", ""),
            ("sum(rate(x[5m])) y", "y", "cannot stand here"),
            ("sum(x) + * 2", "*", "cannot stand here"),
            ("x{a=b}", "b", "expected string"),
            ("rate(x)", "rate", "expected type range vector in call to function 'rate', got instant vector"),
            ("rat(x[5m])", "rat", "did you mean `rate`"),
            ("rate(x[5minutes])", "", ""),
            ("rate(x[$__rate_interval])", "$", "Grafana"),
            ("x > bool", "", ""),
            ("1 == 1", "1 == 1", "BOOL"),
            ("sum by (pod) x", "x", "cannot stand here"),
            ("x[1e300]", "1e300", "not a duration"),
            ("x offset -NaN", "NaN", "not a duration"),
            ("x offset 99999999999y", "99999999999y", "too long"),
            ("topk(x, y)", "", "scalar"),
            ("count_values(\"v\", x)", "count_values", "not supported yet"),
            ("minute()", "minute", "not supported yet"),
            ("label_replace(x, \"9\", \"\", \"\", \"\")", "label_replace", "not a label's name"),
            ("x{a=~\"(\"}", "", "regex"),
            ("max_over_time(x[1d:1ms])", ":", "86400001 evaluations"),
        ] {
            let (got, message) = problem(text);
            assert!(message.contains(part), "{text}: {message}");
            assert!(place.is_empty() || got == place, "{text}: caret under {got:?}: {message}");
        }
    }

    #[test]
    fn deep_and_long_queries_are_refused_before_any_recursion() {
        let deep = format!("{}x{}", "(".repeat(100_000), ")".repeat(100_000));
        let chain = format!("x{}", " + x".repeat(100_000));
        let minus = format!("{}1", "-".repeat(5_000));
        for text in [deep, chain, minus, "x".repeat(LENGTH_MAX + 1)] {
            assert!(Query::compile(&text, QueryOptions::default()).is_err());
        }
        let compiles = |text: &str| Query::compile(text, QueryOptions::default()).is_ok();
        let chain = |n: usize| format!("x{}", " + x".repeat(n));
        assert!(compiles(&chain(DEPTH_MAX)) && !compiles(&chain(DEPTH_MAX + 1)));
        let nested = |n: usize| format!("{}x{}", "sum(".repeat(n), ")".repeat(n));
        assert!(compiles(&nested(DEPTH_MAX)) && !compiles(&nested(DEPTH_MAX + 1)));
        let wide = format!("label_join(x, \"y\", \"-\"{})", ", \"z\"".repeat(2000));
        assert!(compiles(&wide), "what is wide is not deep");
        let sums = |n: usize| vec![format!("({})", chain(20)); n].join(" + ");
        assert!(compiles(&sums(50)));
    }

    #[test]
    fn releases_know_their_own_names() {
        let compiles = |text: &str, release| {
            Query::compile(text, QueryOptions { release, ..QueryOptions::default() }).is_ok()
        };
        for (text, old, new) in [
            ("holt_winters(x[5m], 0.5, 0.5)", true, false),
            ("double_exponential_smoothing(x[5m], 0.5, 0.5)", false, true),
            ("1h", false, true),
            ("x offset 1h", true, true),
        ] {
            assert_eq!((compiles(text, Release::V2_53), compiles(text, Release::V3_5)), (old, new), "{text}");
        }
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "sum",
            "rate",
            "x",
            "vllm:y",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "5m",
            "1e9",
            "0x1f",
            "1h30m",
            ":",
            ",",
            "=",
            "=~",
            "!~",
            "!=",
            "==",
            ">",
            "bool",
            "by",
            "on",
            "ignoring",
            "group_left",
            "or",
            "and",
            "unless",
            "offset",
            "@",
            "start",
            "end",
            "-",
            "+",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "\"a\"",
            "'b'",
            "`c`",
            "\"\\x41\"",
            "\"(\"",
            "le",
            "histogram_quantile",
            "0.9",
            "NaN",
            "Inf",
            "topk",
            "#",
            "\n",
            " ",
            "é",
            "\\",
            "\"",
            "clamp",
            "time()",
            "1",
        ])
    }

    /// Texts made of what queries are made of.
    fn soup() -> impl Strategy<Value = String> {
        prop::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.join(" "))
    }

    /// A good query with some of its tokens replaced.
    fn slips() -> impl Strategy<Value = String> {
        let good = prop::sample::select(vec![
            "histogram_quantile(0.95, sum by (le) (rate(x_bucket{pod=~\"a.*\", le!=\"1\"}[2m] offset 1m))) or vector(0)",
            "sum(x) / on (pod) group_left (job) max_over_time(sum(y)[5m:30s] @ 1700001003) > bool 5",
            "clamp_max(topk(3, -x ^ 2) unless y @ start(), 1e3) + ignoring (pod) label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")",
            "avg without (le, engine) (predict_linear(x[1h], 300)) and hour() >= scalar(time() - timestamp(x))",
            "quantile_over_time(0.9, x[4m:7s]) == round(absent(x{a=\"b\"}), 0.5) atan2 pi()",
        ]);
        let edits = prop::collection::vec((any::<prop::sample::Index>(), piece()), 0..4);
        (good, edits).prop_map(|(good, edits)| {
            let source = Source::new(good);
            let mut tokens: Vec<&str> = source.tokens.iter().map(|token| source.of(*token)).collect();
            for (at, piece) in edits {
                let at = at.index(tokens.len());
                tokens[at] = piece;
            }
            tokens.join(" ")
        })
    }

    /// Two series, a histogram's bucket among them, with a reset, a gap and a marker.
    fn database() -> Database {
        let mut db = Database::new(Retention::All);
        let columns = ["x", "x_bucket", "y"].map(|name| Labels::new([(METRIC_NAME, name), ("le", "1.0")]));
        for pod in ["a", "b"] {
            let id = db.open(Labels::new([("pod", pod)]), Arc::new(columns.clone()));
            for (t, row) in
                [[1.0, 2.0, f64::NAN], [5.0, ABSENT, 2.0], [3.0, STALE, f64::INFINITY]].iter().enumerate()
            {
                db.append(id, UnixMillis(1_700_000_990_000 + t as i64 * 15_000), SimTime::ZERO, row);
            }
        }
        db
    }

    proptest! {
        #[test]
        fn no_text_panics(
            text in prop_oneof![any::<String>(), soup(), soup().prop_map(|s| s.replace(' ', "")), slips(), slips()],
        ) {
            for release in Release::ALL {
                match Query::compile(&text, QueryOptions { release, ..QueryOptions::default() }) {
                    Ok(mut query) => drop(query.evaluate(&database(), UnixMillis(1_700_001_033_500), SimTime::NEVER)),
                    Err(Problem { place: Place::Text { text, span }, .. }) => {
                        prop_assert!(text.get(span.0..span.1).is_some(), "{span:?}");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}
