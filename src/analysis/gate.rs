//! Assertions about an answer: what turns a result into an exit code.

use super::repetition::Answer;
use crate::problem::Problem;
use serde::Serialize;
use serde_json::Value;

/// What an assertion found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It holds for this value.
    Holds(f64),
    /// It does not hold for this value.
    Fails(f64),
    /// The value is `null`, about which nothing can be asserted: it fails.
    Null,
}

/// An assertion and what it found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// As the user wrote it: `ttft_s.p95<2`.
    pub assertion: String,
    /// The value that it was about.
    pub value: Option<f64>,
    /// Whether it holds.
    pub holds: bool,
}

/// Asks each of `assertions` about `answer`, in their order; `ask` evaluates one against the summary's JSON.
///
/// # Errors
/// What `ask` refuses, such as a key that the summary does not have.
pub fn evaluate<A: ToString>(
    answer: &Answer,
    assertions: &[A],
    ask: impl Fn(&A, &Value) -> Result<Outcome, Problem>,
) -> Result<Vec<Finding>, Problem> {
    let find = |assertion: &A| {
        let (value, holds) = match ask(assertion, answer.json())? {
            Outcome::Holds(value) => (Some(value), true),
            Outcome::Fails(value) => (Some(value), false),
            Outcome::Null => (None, false),
        };
        Ok(Finding { assertion: assertion.to_string(), value, holds })
    };
    assertions.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_on_null_fails_and_one_that_is_refused_stops_the_gate() {
        let answer = Answer::from_json(serde_json::json!({ "requests": {}, "cost": 3.0, "x": null }));
        let answer = answer.expect("an answer");
        // `key<4`, for the keys that there are.
        let ask = |key: &&str, summary: &Value| match &summary[*key] {
            Value::Null if *key == "x" => Ok(Outcome::Null),
            Value::Null => Err(Problem::key(*key, "is no key of the summary")),
            value if value.as_f64() < Some(4.0) => Ok(Outcome::Holds(3.0)),
            _ => Ok(Outcome::Fails(3.0)),
        };
        let findings = evaluate(&answer, &["cost", "x"], ask).expect("known keys");
        let seen: Vec<_> = findings.iter().map(|f| (f.assertion.as_str(), f.value, f.holds)).collect();
        assert_eq!(seen, [("cost", Some(3.0), true), ("x", None, false)]);
        assert!(evaluate(&answer, &["cost", "y"], ask).is_err());
    }
}
