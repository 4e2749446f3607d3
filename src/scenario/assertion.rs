//! What must hold for a summary: `--assert 'ttft_s.p95<2'` and the lines of `[gate]`.

use crate::nearest::nearest;
use crate::problem::Problem;
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;

/// A key of the summary, compared with a number or a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    key: String,
    operator: Operator,
    bound: Value,
}

/// How an assertion turned out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it holds; never on null, on which nothing can be said.
    pub holds: bool,
    /// What the summary has.
    pub actual: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Longer signs first: `<=` begins with `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Assertion {
    /// Reads `KEY OPERATOR VALUE`: a key of the summary, one of `<`, `<=`, `>`, `>=`, `==`, `!=`, and a number, `true`,
    /// `false`, or, for the last two, a text.
    ///
    /// # Errors
    /// A text that is none, with the part that is wrong.
    pub fn parse(text: &str) -> Result<Assertion, Problem> {
        let example = "such as `ttft_s.p95<2`";
        let refuse = |start: usize, end: usize, message: String| {
            Err(Problem::text(text, (start, end), message).help(example))
        };
        let Some(at) = text.find(['<', '>', '=', '!']) else {
            return refuse(0, text.len(), "this assertion compares nothing".to_owned());
        };
        let Some((sign, operator)) = OPERATORS.into_iter().find(|(sign, _)| text[at..].starts_with(sign))
        else {
            let message = format!("`{}` is not a comparison", &text[at..=at]);
            return Err(Problem::text(text, (at, at + 1), message).help("use <, <=, >, >=, == or !="));
        };
        let key = text[..at].trim();
        if key.is_empty() {
            return refuse(0, at, "this assertion names no key of the summary".to_owned());
        }
        let start = at + sign.len();
        let given = text[start..].trim();
        let bound = match given.parse::<f64>() {
            Ok(number) if number.is_finite() => serde_json::json!(number),
            Ok(_) => return refuse(start, text.len(), format!("`{given}` can be compared with nothing")),
            Err(_) if given.is_empty() => {
                return refuse(at, text.len(), "there is nothing to compare with".to_owned());
            }
            Err(_) => match given {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => Value::String(given.trim_matches(['"', '\'']).to_owned()),
            },
        };
        if !bound.is_number() && !matches!(operator, Operator::Equal | Operator::NotEqual) {
            return refuse(start, text.len(), format!("`{given}` is not a number"));
        }
        Ok(Assertion { text: text.trim().to_owned(), key: key.to_owned(), operator, bound })
    }

    /// The key of the summary.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Compares with `summary`, the JSON object of a run.
    ///
    /// # Errors
    /// A key that the summary does not have, with the nearest that it has, and a value of another type than the one it
    /// is compared with.
    pub fn evaluate(&self, summary: &Value) -> Result<Outcome, Problem> {
        let key_span = self.text.find(&self.key).map_or((0, 0), |start| (start, start + self.key.len()));
        let refuse = |message: String| Problem::text(&self.text, key_span, message);
        let Some(actual) = self.key.split('.').try_fold(summary, |value, segment| match value {
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            _ => value.get(segment),
        }) else {
            let problem = refuse(format!("the summary has no `{}`", self.key));
            let keys = keys(summary);
            return Err(match nearest(&self.key, keys.iter().map(String::as_str)) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(self.neighbours(&keys)),
            });
        };
        let ordering = match (actual, &self.bound) {
            (Value::Null, _) => return Ok(Outcome { holds: false, actual: Value::Null }),
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Object(_) | Value::Array(_), _) => {
                let keys: Vec<String> =
                    keys(summary).into_iter().filter(|key| key.starts_with(&self.key)).collect();
                let problem = refuse(format!("`{}` is not one value", self.key));
                return Err(if keys.is_empty() {
                    problem
                } else {
                    problem.help(format!("it has {}", keys.join(", ")))
                });
            }
            _ => {
                return Err(refuse(format!(
                    "`{}` is {actual}, which {} is no match for",
                    self.key, self.bound
                )));
            }
        };
        Ok(Outcome { holds: self.operator.holds(ordering), actual: actual.clone() })
    }

    /// The keys of the summary below the first segment of ours that it has, or else its tables.
    fn neighbours(&self, keys: &[String]) -> String {
        let first = self.key.split('.').next().unwrap_or_default();
        let below: Vec<&str> =
            keys.iter().map(String::as_str).filter(|key| key.split('.').next() == Some(first)).collect();
        match &below[..] {
            [] => format!("the summary has {}", keys.join(", ")),
            below => format!("the summary has {}", below.join(", ")),
        }
    }
}

impl Operator {
    fn holds(self, ordering: Option<Ordering>) -> bool {
        match self {
            Operator::Less => ordering == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => ordering == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
            Operator::Equal => ordering == Some(Ordering::Equal),
            Operator::NotEqual => ordering.is_some_and(|ordering| ordering != Ordering::Equal),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The keys of single values in a JSON object, in its order, segments joined by dots.
fn keys(summary: &Value) -> Vec<String> {
    fn collect(value: &Value, prefix: &str, keys: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    collect(
                        value,
                        &if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") },
                        keys,
                    );
                }
            }
            Value::Array(_) => {}
            _ => keys.push(prefix.to_owned()),
        }
    }
    let mut all = Vec::new();
    collect(summary, "", &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;

    fn summary() -> Value {
        serde_json::json!({
            "policy": "queue", "ttft_s": { "p95": 1.5, "max": null }, "replicas": { "max": 5 }, "warnings": ["a"],
        })
    }
    fn holds(text: &str) -> bool {
        Assertion::parse(text).unwrap().evaluate(&summary()).unwrap().holds
    }

    #[test]
    fn every_comparison_is_made() {
        for (text, expected) in [
            ("ttft_s.p95<2", true),
            (" ttft_s.p95 < 1.5 ", false),
            ("ttft_s.p95<=1.5", true),
            ("ttft_s.p95>1e-3", true),
            ("replicas.max >= 6", false),
            ("replicas.max == 5", true),
            ("replicas.max != 5", false),
            ("policy==queue", true),
            ("policy != 'queue'", false),
            ("warnings.0 == a", true),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_holds_for_null() {
        for sign in ["<", "<=", ">", ">=", "==", "!="] {
            assert!(!holds(&format!("ttft_s.max{sign}1")), "{sign}");
        }
    }

    #[test]
    fn what_is_no_assertion_is_refused_where_it_stands() {
        for (text, part, message) in [
            ("ttft_s.p95", "ttft_s.p95", "compares nothing"),
            ("", "", "compares nothing"),
            ("<2", "", "names no key"),
            ("a = 2", "=", "is not a comparison"),
            ("a ! 2", "!", "is not a comparison"),
            ("a <", "<", "nothing to compare with"),
            ("a < two", " two", "is not a number"),
            ("a < nan", " nan", "compared with nothing"),
            ("a => 2", "=", "is not a comparison"),
        ] {
            let problem = Assertion::parse(text).unwrap_err();
            let Place::Text { text: shown, span } = &problem.place else { panic!() };
            assert_eq!(&shown[span.0..span.1], part, "{text}");
            assert!(problem.message.contains(message), "{text}: {}", problem.message);
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        for (text, help) in [
            ("ttft.p95<2", "did you mean `ttft_s.p95`?"),
            ("ttft_s.p42<2", "ttft_s.p95"),
            ("replicas<2", "it has replicas.max"),
            ("nothing<2", "the summary has policy, ttft_s.p95"),
        ] {
            let problem = Assertion::parse(text).unwrap().evaluate(&summary()).unwrap_err();
            assert!(problem.help.as_deref().unwrap_or_default().contains(help), "{text}: {problem}");
        }
        assert!(Assertion::parse("policy==2").unwrap().evaluate(&summary()).is_err());
    }
}
