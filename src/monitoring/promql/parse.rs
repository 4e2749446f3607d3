//! Text to syntax tree.
//!
//! The grammar is the crate promql-parser's. It recurses, and it panics on numbers that no duration can hold, so what
//! reaches it is bounded here first.

use super::explain::explain;
use super::place::{Kind, Source};
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
    let (mut in_range, mut after_offset) = (false, false);
    for token in &source.tokens {
        let text = source.of(*token);
        let infinite = text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("inf");
        if token.kind == Kind::Number || infinite {
            let at = |message: String| source.problem((token.start, token.end), message);
            let hex = text.starts_with("0x") || text.starts_with("0X");
            let is_duration = !hex && text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
            let stands_for_time = in_range || after_offset;
            if stands_for_time {
                let digits = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
                if digits > DURATION_DIGITS_MAX {
                    return Err(at(format!("`{text}` is too long for a duration")));
                }
                let is_seconds =
                    rules.durations_are_numbers && !infinite && !hex && !text.contains(['e', 'E']);
                if !is_duration && !is_seconds {
                    return Err(at(format!("`{text}` is not a duration")).help("such as 30s or 1h30m"));
                }
            } else if is_duration && !rules.durations_are_numbers {
                let problem = at(format!("the duration `{text}` stands where a number must"));
                return Err(problem.help("only Prometheus 3 takes durations for numbers of seconds"));
            }
        }
        in_range = (in_range || text == "[") && text != "]";
        after_offset = text.eq_ignore_ascii_case("offset") || after_offset && matches!(text, "+" | "-");
    }
    Ok(())
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
            ("x[5]", false, true),
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
