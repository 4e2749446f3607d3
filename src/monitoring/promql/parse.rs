//! Text to syntax tree.
//!
//! The grammar is the crate promql-parser's. It recurses, and it panics on numbers that no duration can hold, so what
//! reaches it is bounded here first.

use super::duration::{self, Expression};
use super::explain::explain;
use super::place::{Kind, Source, Token};
use super::{Features, QueryOptions, Release, Semantics};
use crate::problem::Problem;
use promql_parser::parser::{self, Expr};
use std::ops::Range;

/// The longest query, in bytes: Prometheus has no limit of its own, a URL has.
const LENGTH_MAX: usize = 32 * 1024;

/// The deepest tree: what walks it recurses, and a thread's stack has an end.
const DEPTH_MAX: usize = 128;

/// The longest range, offset or step, in digits of each of its numbers: nine digits of milliseconds are eleven days, of
/// seconds 31 years.
const DURATION_DIGITS_MAX: usize = 9;

/// The tree of `source`.
pub(super) fn parse(source: &Source<'_>, options: &QueryOptions) -> Result<Expr, Problem> {
    let rules = options.release.semantics();
    check_size(source)?;
    check_dialect(source, options)?;
    let durations = durations(source, options)?;
    check_numbers(source, &rules, &durations)?;
    let text = rewritten(source, &rules, &durations);
    parser::parse(&text).map_err(|message| {
        // The parser knows nothing of duration expressions: what else is wrong is shown with the durations computed.
        let source = if durations.is_empty() { source } else { &Source::new(&text) };
        explain(source, &message, options.release)
    })
}

/// Refuses what only other releases have.
fn check_dialect(source: &Source<'_>, options: &QueryOptions) -> Result<(), Problem> {
    let (release, rules) = (options.release, options.release.semantics());
    let at = |token: Token, message: String| source.problem((token.start, token.end), message);
    let mut lists_labels = false;
    for (i, &token) in source.tokens.iter().enumerate() {
        let text = source.of(token);
        let before = i.checked_sub(1).map_or("", |before| source.of(source.tokens[before]));
        if text == "(" {
            let opener = before.to_ascii_lowercase();
            let openers = ["by", "without", "on", "ignoring", "group_left", "group_right"];
            lists_labels = openers.contains(&opener.as_str());
        } else if text == ")" {
            lists_labels = false;
        }
        let named_by_text = token.kind == (Kind::Text { closed: true }) && matches!(before, "{" | ",");
        let braces = || source.tokens[..i].iter().rev().map(|token| source.of(*token));
        let in_braces =
            || braces().find(|text| matches!(*text, "{" | "(" | "[" | ")" | "]" | "}")) == Some("{");
        match token.kind {
            Kind::Number if text.contains('_') && !rules.underscores_in_numbers => {
                return Err(at(token, format!("Prometheus {release} takes no `_` in numbers")));
            }
            Kind::Number if text.contains('_') && !sets_digits_apart(text) => {
                return Err(at(token, format!("`{text}` is no number: `_` stands between digits")));
            }
            Kind::Text { .. } if lists_labels && !rules.utf8_names => {
                return Err(at(token, format!("Prometheus {release} takes no quoted names of labels here")));
            }
            Kind::Text { .. } if !rules.quoted_names && named_by_text && in_braces() => {
                return Err(at(token, format!("Prometheus {release} takes no quoted names")));
            }
            Kind::Text { closed: true } if escapes_bytes(text) => {
                return Err(at(token, "escaped bytes above 127 are not supported".to_owned())
                    .help("write the characters themselves"));
            }
            Kind::Text { .. } if lists_labels && text.len() == 2 => {
                return Err(at(token, "a label's name is not empty".to_owned()));
            }
            _ => {}
        }
    }
    let (here, elsewhere) =
        if rules.holt_winters { (HOLT_WINTERS, SMOOTHING) } else { (SMOOTHING, HOLT_WINTERS) };
    match calls(source, elsewhere).next() {
        Some(token) => Err(at(token, format!("there is no function `{elsewhere}`"))
            .help(format!("this release of Prometheus calls it `{here}`; 3.0 renamed it"))),
        None => Ok(()),
    }
}

/// True where each `_` of a number stands between digits, or after `0x` (Go's strconv, `underscoreOK`).
fn sets_digits_apart(number: &str) -> bool {
    let digits = number.strip_prefix("0x").or_else(|| number.strip_prefix("0X"));
    let is_digit = |c: char| c.is_ascii_digit() || digits.is_some() && c.is_ascii_hexdigit();
    let parts = digits.map_or(number, |digits| digits.strip_prefix('_').unwrap_or(digits)).split('_');
    let parts: Vec<&str> = parts.collect();
    parts.windows(2).all(|two| two[0].ends_with(is_digit) && two[1].starts_with(is_digit))
}

/// True where a quoted text has an escape such as `\xff`: to Prometheus a byte, which need be no character.
fn escapes_bytes(quoted: &str) -> bool {
    if quoted.starts_with('`') {
        return false;
    }
    let mut rest = quoted;
    while let Some((_, escape)) = rest.split_once('\\') {
        let octal = escape.starts_with(['2', '3']);
        if octal || escape.starts_with('x') && escape[1..].starts_with(|c: char| c > '7') {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// What 3.0 renamed, and what it renamed it to, which is the parser's name.
const HOLT_WINTERS: &str = "holt_winters";
const SMOOTHING: &str = "double_exponential_smoothing";

/// The names of `function` where it is called.
fn calls<'s>(source: &'s Source<'_>, function: &'s str) -> impl Iterator<Item = Token> + 's {
    let called = move |two: &&[Token]| source.of(two[0]) == function && source.of(two[1]) == "(";
    source.tokens.windows(2).filter(called).map(|two| two[0])
}

/// The duration expressions, where the release has them and they are turned on.
fn durations(source: &Source<'_>, options: &QueryOptions) -> Result<Vec<Expression>, Problem> {
    if options.release < Release::V3_5 {
        return Ok(Vec::new());
    }
    let found = duration::expressions(source)?;
    match found.first() {
        Some(Expression { tokens, .. }) if !options.features.duration_expressions => {
            let span = (source.tokens[tokens.start].start, source.tokens[tokens.end - 1].end);
            let message = "duration expressions are experimental and are not enabled";
            Err(source.problem(span, message).help(Features::how_to_enable(Features::DURATION_EXPRESSIONS)))
        }
        _ => Ok(found),
    }
}

/// The text as the parser takes it: durations computed, offsets of nothing left out, functions under their newest names.
fn rewritten(source: &Source<'_>, rules: &Semantics, durations: &[Expression]) -> String {
    let span = |tokens: &Range<usize>| source.tokens[tokens.start].start..source.tokens[tokens.end - 1].end;
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    if rules.holt_winters {
        let renamed = calls(source, HOLT_WINTERS);
        changes.extend(renamed.map(|token| (token.start..token.end, SMOOTHING.to_owned())));
    }
    if rules.durations_are_numbers {
        let computed = durations.iter().filter(|expression| expression.milliseconds != 0);
        changes.extend(
            computed.map(|computed| (span(&computed.tokens), format!("{}ms", computed.milliseconds))),
        );
        let apart = source.tokens.iter().enumerate().filter(|(i, token)| {
            let is_computed = durations.iter().any(|computed| computed.tokens.contains(i));
            token.kind == Kind::Number && !is_computed && source.of(**token).contains('_')
        });
        changes.extend(apart.map(|(_, token)| (token.start..token.end, source.of(*token).replace('_', ""))));
        changes
            .extend(zeros(source, durations).into_iter().map(|(tokens, instead)| (span(&tokens), instead)));
    }
    changes.sort_by_key(|(span, _)| span.start);
    let mut text = String::new();
    let mut copied = 0;
    for (span, instead) in changes {
        text.push_str(&source.text[copied..span.start]);
        text.push_str(&instead);
        copied = span.end;
    }
    text.push_str(&source.text[copied..]);
    text
}

/// Durations of nothing, which the parser refuses and Prometheus 3 takes, by their tokens: as an offset they are left out
/// with the word, as a number they are 0.
fn zeros(source: &Source<'_>, durations: &[Expression]) -> Vec<(Range<usize>, String)> {
    let mut zeros: Vec<(Range<usize>, String)> = Vec::new();
    let before = |at: usize| at.checked_sub(1).map_or("", |before| source.of(source.tokens[before]));
    for (i, &token) in source.tokens.iter().enumerate() {
        let text = source.of(token);
        let nothing = |c: char| matches!(c, '0' | '.' | 's' | 'm' | 'h' | 'd' | 'w' | 'y');
        let is_literal = token.kind == Kind::Number && text.chars().all(nothing);
        let computed = durations.iter().find(|computed| computed.tokens.start == i);
        let tokens = match computed {
            Some(computed) if computed.milliseconds == 0 => computed.tokens.clone(),
            None if is_literal && !durations.iter().any(|computed| computed.tokens.contains(&i)) => i..i + 1,
            _ => continue,
        };
        let sign = usize::from(computed.is_none() && matches!(before(i), "+" | "-"));
        if before(i - sign).eq_ignore_ascii_case("offset") {
            zeros.push((i - sign - 1..tokens.end, String::new()));
        } else if computed.is_none() && !matches!(before(i), "[" | ":") && text.ends_with(char::is_alphabetic)
        {
            zeros.push((tokens, "0".to_owned()));
        }
    }
    zeros
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
fn check_numbers(source: &Source<'_>, rules: &Semantics, durations: &[Expression]) -> Result<(), Problem> {
    let (mut in_range, mut after_offset) = (false, false);
    for (i, token) in source.tokens.iter().enumerate() {
        let text = source.of(*token);
        let infinite = text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("inf");
        let is_computed = durations.iter().any(|expression| expression.tokens.contains(&i));
        if (token.kind == Kind::Number || infinite) && !is_computed {
            let at = |message: String| source.problem((token.start, token.end), message);
            let hex = text.starts_with("0x") || text.starts_with("0X");
            let is_duration = !hex && text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
            let stands_for_time = in_range || after_offset;
            if stands_for_time || is_duration {
                let digits = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
                if digits > DURATION_DIGITS_MAX {
                    return Err(at(format!("`{text}` is too long for a duration")));
                }
            }
            if stands_for_time {
                let is_seconds =
                    rules.durations_are_numbers && !infinite && !hex && !text.contains(['e', 'E']);
                if !is_duration && !is_seconds {
                    return Err(at(format!("`{text}` is not a duration")).help("such as 30s or 1h30m"));
                }
            } else if is_duration && !rules.durations_are_numbers {
                let problem = at(format!("the duration `{text}` stands where a number must"));
                return Err(problem.help("only Prometheus 3 takes durations for numbers of seconds"));
            } else if !infinite && text.replace('_', "").parse().is_ok_and(f64::is_infinite) {
                return Err(at(format!("`{text}` is out of range")));
            }
        }
        in_range = (in_range || text == "[") && text != "]";
        after_offset = text.eq_ignore_ascii_case("offset") || after_offset && matches!(text, "+" | "-");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;
    use crate::monitoring::labels::{Labels, METRIC_NAME};
    use crate::monitoring::series::{ABSENT, Database, Retention, STALE};
    use crate::problem::Place;
    use crate::units::{SimTime, UnixMillis};
    use proptest::prelude::*;
    use std::sync::Arc;

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
        let features = Features { experimental_functions: true, duration_expressions: true };
        let compiles = |text: &str, release| {
            Query::compile(text, QueryOptions { release, features, ..QueryOptions::default() }).is_ok()
        };
        for (text, old, new) in [
            ("holt_winters(x[5m], 0.5, 0.5)", true, false),
            ("double_exponential_smoothing(x[5m], 0.5, 0.5)", false, true),
            ("1h", false, true),
            ("x[5]", false, true),
            ("x offset 1h", true, true),
            ("x offset 0s", false, true),
            ("x[1m + 1m]", false, true),
            ("1_000.5_0 + 0x_1F", false, true),
            ("0deadbeef", false, false),
            ("0m", false, true),
            ("1__000", false, false),
            ("1_000_", false, false),
            ("1_.5", false, false),
            ("x{a=\"\\xff\"}", false, false),
            ("x{a=\"\\x41\\\\xff\"}", true, true),
            ("sum by (\"a.b\") (x)", false, true),
            ("limitk(1, x)", false, true),
            ("ts_of_max_over_time(x[5m])", false, true),
            ("mad_over_time(x[5m])", true, true),
            ("{\"x\", \"a\"=\"b\"}", true, true),
            ("label_replace(x, \"9\", \"\", \"\", \"\")", false, true),
            ("rate(x[5m] smoothed)", false, false),
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
