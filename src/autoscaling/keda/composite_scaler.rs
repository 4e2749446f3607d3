//! `advanced.scalingModifiers`: one composite metric in place of the triggers' own (`pkg/scaling/modifiers/formula.go`,
//! `controllers/keda/hpa.go`, v2.15 to v2.20).

use super::fallback::COMPOSITE_METRIC;
use super::formula::{Formula, Input, RawValue};
use super::reading::TriggerReading;
use super::scaled_object::{MetricType, ScalingModifiers, Trigger};
use super::version::KedaVersion;
use crate::autoscaling::go;
use crate::autoscaling::hpa::{ExternalMetric, MetricTarget};
use crate::autoscaling::quantity::{Quantity, approximate_float};
use crate::problem::Problem;
use crate::units::MilliValue;
use indexmap::IndexMap;
use serde::Serialize;

/// The modifiers, checked and compiled.
#[derive(Clone, Debug)]
pub(super) struct CompositeScaler {
    formula: Formula,
    target: MetricTarget,
    activation_target: f64,
    /// Of each trigger; empty where it has none.
    names: Vec<String>,
}

/// The composite metric as one loop evaluated it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompositeReading {
    /// The text that KEDA compiled.
    pub formula: String,
    /// What the formula saw of each trigger by its name: a value, or `None` for nil. A trigger that failed is absent.
    pub inputs: IndexMap<String, Option<f64>>,
    /// What the formula gave; `None` where it failed or was not asked.
    pub raw: Option<RawValue>,
    /// Where the value comes from.
    pub source: CompositeSource,
    /// What is reported, in thousandths.
    pub value_milli: Option<MilliValue>,
    /// Whether the value is above the activation target. Only polls act on it.
    pub is_active: bool,
    /// Why there is no value. After a failed formula the HPA gets an empty list, after a failed trigger an error.
    pub error: Option<String>,
}

/// Where the value of the composite metric comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompositeSource {
    /// The formula.
    Formula,
    /// The formula gave nil: `fallback.replicas` times the target.
    NilResult,
    /// A trigger falls back, and its fallback takes the formula's place.
    Fallback,
    /// There is no value.
    Nothing,
}

impl CompositeScaler {
    /// Checks and compiles the modifiers of an object with these triggers.
    ///
    /// # Errors
    /// What KEDA refuses, and what it takes but cannot run with; keys are relative to `scaling_modifiers`, a mistake in
    /// the formula has its place in that text.
    pub(super) fn new(
        modifiers: &ScalingModifiers,
        triggers: &[Trigger],
        version: KedaVersion,
    ) -> Result<Self, Problem> {
        let formula = modifiers.formula.as_deref().unwrap_or_default();
        let target = modifiers.target.as_deref().unwrap_or_default();
        let named = triggers.iter().filter(|trigger| !matches!(trigger.kind.as_str(), "cpu" | "memory"));
        let names: Vec<&str> =
            named.filter_map(|trigger| trigger.name.as_deref()).filter(|name| !name.is_empty()).collect();
        let compiled = Formula::compile(formula, target, &names, version)
            .map_err(|refusal| refusal.problem(formula, &names))?;
        let milli = MilliValue(go::int64(compiled.target() * 1000.0));
        if milli <= MilliValue(0) {
            let message = format!("`target` {target} makes no target of an HPA");
            return Err(Problem::key("target", message).help("give a number from 0.001 to 9e15"));
        }
        let target = match modifiers.metric_type.unwrap_or_default() {
            MetricType::AverageValue => MetricTarget::AverageValue(milli),
            MetricType::Value => MetricTarget::Value(milli),
            MetricType::Utilization => {
                let message = "a composite metric has no `metric_type` `Utilization`";
                return Err(Problem::key("metric_type", message).help("use `AverageValue` or `Value`"));
            }
        };
        Ok(CompositeScaler {
            formula: compiled,
            target,
            activation_target: activation_target(modifiers)?,
            names: triggers.iter().map(|trigger| trigger.name.clone().unwrap_or_default()).collect(),
        })
    }

    /// The one metric of the HPA.
    pub(super) fn metric(&self) -> ExternalMetric {
        ExternalMetric { name: COMPOSITE_METRIC.to_owned(), target: self.target }
    }

    /// The text of its target, as it stands in the HPA.
    pub(super) fn target_text(&self) -> String {
        let (MetricTarget::AverageValue(milli) | MetricTarget::Value(milli)) = self.target;
        Quantity::from_milli(milli).to_string()
    }

    /// What the triggers' readings come to (`HandleScalingModifiers`). `sees_nil` tells of each trigger whether the
    /// formula sees nil in place of its value.
    pub(super) fn read(
        &self,
        readings: &[TriggerReading],
        sees_nil: &[bool],
        fallback_replicas: Option<i32>,
    ) -> CompositeReading {
        let inputs: Vec<(&str, Input)> = self.inputs(readings, sees_nil);
        let shown = inputs.iter().map(|&(name, input)| (name.to_owned(), input.value()));
        let mut reading = CompositeReading {
            formula: self.formula.compiled().to_owned(),
            inputs: shown.collect(),
            raw: None,
            source: CompositeSource::Nothing,
            value_milli: None,
            is_active: false,
            error: None,
        };
        // All fallbacks are worth the same: the composite target times the size.
        if let Some(fallback) = readings.iter().find(|reading| reading.fallback_active) {
            reading.source = CompositeSource::Fallback;
            reading.value_milli = fallback.value_milli;
        } else {
            let calculation = self.formula.calculate(&inputs, fallback_replicas);
            reading.raw = calculation.raw;
            match calculation.composite {
                Ok(composite) => {
                    let nil = composite.from_fallback_target;
                    reading.source = if nil { CompositeSource::NilResult } else { CompositeSource::Formula };
                    reading.value_milli = Some(composite.milli);
                }
                Err(error) => reading.error = Some(error.message),
            }
        }
        reading.is_active =
            reading.value_milli.is_some_and(|milli| approximate_float(milli) > self.activation_target);
        reading
    }

    fn inputs(&self, readings: &[TriggerReading], sees_nil: &[bool]) -> Vec<(&str, Input)> {
        let triggers = self.names.iter().zip(readings).zip(sees_nil);
        triggers
            .filter_map(|((name, reading), &nil)| {
                let value = approximate_float(reading.value_milli?);
                Some((name.as_str(), if nil { Input::Nil } else { Input::Value(value) }))
            })
            .collect()
    }
}

impl CompositeReading {
    /// What KEDA's metrics server answers the HPA: one value, none after a failed formula, or an error after a failed
    /// trigger, where no other falls back.
    ///
    /// # Errors
    /// The text that the API server passes on.
    pub fn reported(&self, readings: &[TriggerReading]) -> Result<Vec<MilliValue>, String> {
        let failed = readings.iter().any(|reading| reading.error.is_some());
        if failed && self.source != CompositeSource::Fallback {
            return Err(format!(
                "rpc error: code = Unknown desc = error when getting metric values metric:{COMPOSITE_METRIC} encountered \
                 error"
            ));
        }
        Ok(self.value_milli.into_iter().collect())
    }
}

/// `activationTarget`: KEDA takes any text, and fails at each poll where it is no number.
fn activation_target(modifiers: &ScalingModifiers) -> Result<f64, Problem> {
    match modifiers.activation_target.as_deref().filter(|text| !text.is_empty()) {
        None => Ok(0.0),
        Some(text) => go::parse_float(text).map_err(|_| {
            let message = format!("`activation_target` {text:?} is no number: KEDA's polls would fail");
            Problem::key("activation_target", message).help("give a number, as a string")
        }),
    }
}
