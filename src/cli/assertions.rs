//! `--assert` and `[gate]`: what must hold, or the exit code is 1.

use super::{ExitStatus, Failure, output};
use crate::analysis::{Answer, Score, Scoring};
use crate::scenario::{Assertion, InputError, Origin, Outcome, SourceText};

/// Assertions in the order in which they were given.
pub(super) struct Assertions {
    assertions: Vec<Assertion>,
}

impl Assertions {
    /// Reads `--assert` arguments.
    pub(super) fn parse(texts: &[String]) -> Result<Self, Failure> {
        let assertions = texts.iter().map(|text| {
            Assertion::parse(text).map_err(|problem| {
                InputError::at(&Origin::whole(&SourceText::new("--assert", text.as_str())), problem)
            })
        });
        Ok(Assertions { assertions: assertions.collect::<Result<_, _>>()? })
    }

    /// Those of a gate.
    pub(super) fn of(assertions: Vec<Assertion>) -> Self {
        Assertions { assertions }
    }

    /// These, and those of a gate.
    pub(super) fn and(mut self, gate: &[Assertion]) -> Self {
        self.assertions.extend_from_slice(gate);
        self
    }

    /// Refuses keys that no summary of such a run has, before it begins: a typing mistake should not cost a run.
    pub(super) fn check(&self, scoring: Scoring) -> Result<(), Failure> {
        let Some(empty) = Answer::of(&[Score::new(scoring).finish()]) else { return Ok(()) };
        self.assertions.iter().try_for_each(|assertion| evaluate(assertion, &empty).map(drop))
    }

    /// Says on stderr which assertions failed for `whom`: of a sweep, a point.
    pub(super) fn judge(&self, answer: &Answer, whom: Option<&str>) -> Result<ExitStatus, Failure> {
        let mut status = ExitStatus::Done;
        for assertion in &self.assertions {
            let outcome = evaluate(assertion, answer)?;
            if !outcome.holds {
                let whom = whom.map(|whom| format!("{whom}: ")).unwrap_or_default();
                output::talk(&format!("{whom}assertion failed: {assertion}, but it is {}", outcome.actual));
                status = ExitStatus::Failed;
            }
        }
        Ok(status)
    }
}

fn evaluate(assertion: &Assertion, answer: &Answer) -> Result<Outcome, Failure> {
    let source = SourceText::new("--assert", assertion.to_string());
    let at = |problem| InputError::at(&Origin::whole(&source), problem);
    Ok(assertion.evaluate(answer.json()).map_err(at)?)
}
