//! The composite metric: what a formula makes of the triggers' values (`calculateScalingModifiersFormula`).

use super::expr::{Class, ExprError, Program, Value};
use super::variables::{Input, Variables};
use super::webhook::{Refusal, validate_and_compile};
use crate::autoscaling::go;
use crate::autoscaling::keda::KedaVersion;
use crate::autoscaling::quantity::{Quantity, approximate_float};
use crate::units::MilliValue;
use serde::Serialize;

/// A formula that KEDA's webhook let pass.
#[derive(Clone, Debug)]
pub struct Formula {
    compiled: String,
    program: Program,
    target: f64,
    version: KedaVersion,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Calculation {
    /// What the formula gave; `None` where it failed.
    pub raw: Option<RawValue>,
    /// The composite metric, or why there is none: then KEDA hands on an empty list.
    pub composite: Result<CompositeValue, CalculationError>,
}

/// A value of the expression language.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RawValue {
    /// The Go type: `float64`, `int`, `<nil>`, ...
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// As Go prints it.
    pub text: String,
    /// The number, of a float.
    #[serde(skip)]
    pub float: Option<f64>,
}

/// The value of the composite metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompositeValue {
    /// As the formula gave it.
    pub value: f64,
    /// In thousandths, cut: what the HPA reads.
    pub milli: MilliValue,
    /// The formula gave nil, and `fallback.replicas` times the target stands in for it.
    pub from_fallback_target: bool,
}

/// Why an evaluation fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalculationError {
    /// The kind of the failure.
    pub class: RuntimeClass,
    /// The operator's words, the first line.
    pub message: String,
}

/// The kinds of failures of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeClass {
    /// The formula fails.
    Formula(Class),
    /// It gives something that is no float.
    NonFloatResult,
    /// It gives nil and there is no fallback.
    NoFallback,
}

impl CompositeValue {
    /// Whether it is above `scalingModifiers.activationTarget`, so that the ScaledObject is active.
    pub fn is_active(&self, activation_target: f64) -> bool {
        approximate_float(self.milli) > activation_target
    }

    /// What is handed to the HPA.
    pub fn quantity(&self) -> Quantity {
        Quantity::from_set_milli(self.milli)
    }
}

impl Formula {
    /// Compiles a formula as KEDA's webhook and operator do: cast, compile, try with every trigger at -1, read the
    /// target. `names` are those of the triggers that are not `cpu` or `memory`, without empty ones.
    ///
    /// # Errors
    /// The webhook's refusal.
    pub fn compile(
        formula: &str,
        target: &str,
        names: &[&str],
        version: KedaVersion,
    ) -> Result<Self, Refusal> {
        let (cast, program, target) = validate_and_compile(formula, target, names, version)?;
        Ok(Formula { compiled: cast.text, program, target, version })
    }

    /// The text that KEDA compiles: the formula in `float(...)`, most often.
    pub fn compiled(&self) -> &str {
        &self.compiled
    }

    /// `scalingModifiers.target`.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// Evaluates it over the triggers that have a value; one that is absent reads as nil (before v2.20 as 0).
    /// `fallback_replicas` is
    /// `spec.fallback.replicas`.
    pub fn calculate(&self, inputs: &[(&str, Input)], fallback_replicas: Option<i32>) -> Calculation {
        let variables = Variables::of_triggers(inputs, !self.version.formulas_know_nil());
        match self.program.run(&variables) {
            Ok(value) => Calculation {
                composite: self.composite(&value, fallback_replicas),
                raw: Some(RawValue::of(&value)),
            },
            Err(error) => Calculation { raw: None, composite: Err(self.failure(error)) },
        }
    }

    fn failure(&self, error: ExprError) -> CalculationError {
        let message = format!("error trying to run custom formula: {}", error.text(&self.compiled));
        CalculationError { class: RuntimeClass::Formula(error.class), message }
    }

    fn composite(
        &self,
        value: &Value,
        fallback_replicas: Option<i32>,
    ) -> Result<CompositeValue, CalculationError> {
        let (out, from_fallback_target) = match (value, fallback_replicas) {
            (Value::Float(value), _) => (*value, false),
            (Value::Nil, Some(replicas)) => (f64::from(replicas) * self.target, true),
            (Value::Nil, None) => {
                let message = "scalingModifiers formula evaluated to nil but no fallback is configured";
                return Err(CalculationError {
                    class: RuntimeClass::NoFallback,
                    message: message.to_owned(),
                });
            }
            (other, _) => {
                let raw = RawValue::of(other);
                let message = format!("formula returned non-float result {} ({})", raw.type_name, raw.text);
                return Err(CalculationError { class: RuntimeClass::NonFloatResult, message });
            }
        };
        Ok(CompositeValue { value: out, milli: MilliValue(go::int64(out * 1000.0)), from_fallback_target })
    }
}

impl RawValue {
    fn of(value: &Value) -> Self {
        let float = match value {
            Value::Float(value) => Some(*value),
            _ => None,
        };
        RawValue { type_name: value.type_name(), text: value.to_string(), float }
    }
}
