//! `--assert` and `[gate]`: what must hold, or the exit code is 1.

use super::{ExitStatus, Failure, output};
use crate::analysis::Answer;
use crate::scenario::{Assertion, InputError, Origin, SourceText};

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

    /// Says on stderr which assertions failed.
    pub(super) fn judge(&self, answer: &Answer) -> Result<ExitStatus, Failure> {
        let mut status = ExitStatus::Done;
        for assertion in &self.assertions {
            let source = SourceText::new("--assert", assertion.to_string());
            let outcome = assertion
                .evaluate(answer.json())
                .map_err(|problem| InputError::at(&Origin::whole(&source), problem))?;
            if !outcome.holds {
                output::talk(&format!("assertion failed: {assertion}, but it is {}", outcome.actual));
                status = ExitStatus::Failed;
            }
        }
        Ok(status)
    }
}
