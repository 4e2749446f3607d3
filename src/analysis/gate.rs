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
