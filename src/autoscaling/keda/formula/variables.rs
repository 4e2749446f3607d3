//! The triggers' values as the variables of a formula.

use super::expr::{Environment, Value};

/// What a formula sees of a trigger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Its value.
    Value(f64),
    /// Nil: it failed more often than `fallback.failureThreshold`, and the fallback's behavior is `scalingModifiers`.
    Nil,
}

impl Input {
    /// The value, of one that has one.
    pub fn value(self) -> Option<f64> {
        match self {
            Input::Value(value) => Some(value),
            Input::Nil => None,
        }
    }
}

/// The variables of one evaluation.
pub(super) struct Variables<'a> {
    values: Vec<(&'a str, Input)>,
    typed: bool,
}

impl<'a> Variables<'a> {
    /// The triggers that gave a value. One that is absent reads as nil, or, where the variables are `typed`, as 0.
    pub(super) fn of_triggers(inputs: &[(&'a str, Input)], typed: bool) -> Self {
        let mut values: Vec<(&'a str, Input)> = Vec::new();
        for &(name, input) in inputs {
            // Of two triggers of one name the later counts.
            match values.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = input,
                None => values.push((name, input)),
            }
        }
        Variables { values, typed }
    }

    /// Every trigger at -1, as the webhook tries a formula. These variables are floats: one that is absent is 0.
    pub(super) fn dummies(names: &[&'a str]) -> Self {
        let dummies: Vec<(&str, Input)> = names.iter().map(|&name| (name, Input::Value(-1.0))).collect();
        Variables::of_triggers(&dummies, true)
    }
}

impl From<Input> for Value {
    fn from(input: Input) -> Self {
        match input {
            Input::Value(value) => Value::Float(value),
            Input::Nil => Value::Nil,
        }
    }
}

impl Environment for Variables<'_> {
    fn fetch(&self, name: &str) -> Value {
        let found = self.values.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, input)) => (*input).into(),
            None if self.typed => Value::Float(0.0),
            None => Value::Nil,
        }
    }

    fn all(&self) -> Value {
        let entries = self.values.iter().map(|&(name, input)| (name, input.into()));
        Value::variables(entries, self.typed)
    }
}
