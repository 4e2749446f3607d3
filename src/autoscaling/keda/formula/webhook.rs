//! What KEDA's admission webhook does with `scalingModifiers` (`ValidateAndCompileScalingModifiers` of
//! `apis/keda/v1alpha1/scaledobject_webhook.go`, v2.15 to v2.20). The operator compiles a formula by the same steps.

use super::cast::{CastFormula, cast_to_float_if_necessary};
use super::expr::{Class, ExprError, Program};
use super::variables::Variables;
use crate::autoscaling::go;
use crate::autoscaling::keda::KedaVersion;
use crate::nearest::nearest;
use crate::problem::Problem;

/// The step at which a formula is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The formula does not compile.
    Compile,
    /// It fails when every trigger is -1.
    DummyRun,
    /// The formula or its target is missing, or the target is no positive number.
    TargetOrEmpty,
}

/// Why it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// There is no formula.
    FormulaEmpty,
    /// There is no target.
    TargetEmpty,
    /// The target is no positive number.
    TargetInvalid,
    /// The formula does not compile.
    Formula(Class),
    /// It fails when every trigger is -1.
    DummyRun,
}

/// A refusal of the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub class: RefusalClass,
    /// The webhook's words, the first line.
    pub message: String,
    /// The text that KEDA compiles.
    pub compiled: String,
    /// The mistake in that text, and the part of it that the user wrote.
    pub(super) mistake: Option<(ExprError, std::ops::Range<usize>)>,
}

impl Refusal {
    /// The step at which it is refused.
    pub fn stage(&self) -> Stage {
        match self.class {
            RefusalClass::Formula(_) => Stage::Compile,
            RefusalClass::DummyRun => Stage::DummyRun,
            RefusalClass::FormulaEmpty | RefusalClass::TargetEmpty | RefusalClass::TargetInvalid => {
                Stage::TargetOrEmpty
            }
        }
    }

    /// The refusal as a problem with `formula`, which is the user's, over the triggers called `names`: the caret is in the
    /// formula, or, for a mistake that the wrapping makes of it, in the text that KEDA compiles. Without a mistake in
    /// the formula the key is that of the setting below `scaling_modifiers`.
    pub fn problem(&self, formula: &str, names: &[&str]) -> Problem {
        let Some((error, written)) = &self.mistake else {
            let (key, message, help) = match self.class {
                RefusalClass::FormulaEmpty => {
                    ("formula", "there is no `formula`", "give one over the triggers' names")
                }
                RefusalClass::TargetEmpty => {
                    ("target", "the formula has no `target`", "give what one replica shall have of its value")
                }
                _ => ("target", "`target` is no number above 0", "give one, as a string"),
            };
            return Problem::key(key, message).help(help);
        };
        let (from, to) = error.bytes(&self.compiled);
        let mut message = match (self.class, error.class) {
            (_, Class::Unsupported) => error.message.clone(),
            (RefusalClass::DummyRun, _) => {
                format!("the formula fails where every trigger is -1, as KEDA tries it: {}", error.message)
            }
            _ => format!("KEDA refuses the formula: {}", error.message),
        };
        let is_in_formula = written.contains(&from);
        if !is_in_formula {
            message = format!("{message}, in the text that KEDA makes of it");
        }
        let problem = if is_in_formula {
            let span = (from - written.start, to.min(written.end) - written.start);
            Problem::text(formula, span, message)
        } else {
            Problem::text(self.compiled.clone(), (from, to), message)
        };
        match self.help(error, names) {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    fn help(&self, error: &ExprError, names: &[&str]) -> Option<String> {
        match error.class {
            Class::UnknownName => {
                let name = error.message.strip_prefix("unknown name ")?;
                match (nearest(name, names.iter().copied()), names) {
                    (Some(near), _) => Some(format!("did you mean `{near}`?")),
                    (None, []) => {
                        Some("give the triggers a `name`, by which a formula can call them".to_owned())
                    }
                    (None, _) => Some(format!("the triggers are called {}", names.join(", "))),
                }
            }
            Class::Syntax if error.message.contains("cannot be mixed") => {
                Some("put `a ?? b` in parentheses".to_owned())
            }
            _ => None,
        }
    }

    fn of_settings(class: RefusalClass, compiled: &str, message: impl Into<String>) -> Self {
        Refusal { class, message: message.into(), compiled: compiled.to_owned(), mistake: None }
    }

    fn of_formula(cast: &CastFormula, error: ExprError, dummy_run: bool) -> Self {
        let class = if dummy_run && error.class != Class::Unsupported {
            RefusalClass::DummyRun
        } else {
            RefusalClass::Formula(error.class)
        };
        Refusal {
            class,
            message: error.text(&cast.text),
            compiled: cast.text.clone(),
            mistake: Some((error, cast.formula.clone())),
        }
    }
}

/// Compiles `formula` over the triggers called `names`, tries it with every trigger at -1, and reads `target`.
///
/// # Errors
/// The first step that fails.
pub(super) fn validate_and_compile(
    formula: &str,
    target: &str,
    names: &[&str],
    version: KedaVersion,
) -> Result<(CastFormula, Program, f64), Refusal> {
    if formula.is_empty() {
        let message = "error ScalingModifiers.Formula is mandatory";
        return Err(Refusal::of_settings(RefusalClass::FormulaEmpty, "", message));
    }
    let cast = cast_to_float_if_necessary(formula, version);
    if target.is_empty() {
        let message = "formula is given but target is empty";
        return Err(Refusal::of_settings(RefusalClass::TargetEmpty, &cast.text, message));
    }
    let program = Program::compile(&cast.text, &|name| names.contains(&name), !version.formulas_know_nil())
        .map_err(|error| Refusal::of_formula(&cast, error, false))?;
    program.run(&Variables::dummies(names)).map_err(|error| Refusal::of_formula(&cast, error, true))?;
    let why = match go::parse_float(target) {
        // NaN passes: it is not below anything.
        Ok(target) if target <= 0.0 => "%!w(<nil>)".to_owned(),
        Ok(target) => return Ok((cast, program, target)),
        Err(why) => format!("strconv.ParseFloat: parsing \"{target}\": {why}"),
    };
    let message =
        format!("error converting target for scalingModifiers (string->float) to valid target: {why}");
    Err(Refusal::of_settings(RefusalClass::TargetInvalid, &cast.text, message))
}
