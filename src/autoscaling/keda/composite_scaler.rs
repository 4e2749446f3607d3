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

#[cfg(test)]
mod tests {
    use super::super::external_metric::Told;
    use super::super::fixture::*;
    use super::super::{Annotations, KedaOperator, PollDecision, QueryOutcome, Rule};
    use super::*;
    use crate::autoscaling::hpa::Metric;

    fn named(name: &str, more: &str) -> String {
        format!("name = '{name}'\n{more}\n{SEED}")
    }

    /// An operator of the triggers `queue` and `running`.
    fn operator(modifiers: &str, settings: &str, version: KedaVersion) -> KedaOperator {
        let settings = format!("{settings}\nadvanced.scaling_modifiers = {{ {modifiers} }}");
        let triggers = [named("queue", ""), named("running", "")];
        build(&settings, &triggers.each_ref().map(String::as_str), Annotations::default(), version)
    }

    const DEMAND: &str = "formula = 'max(queue, running / 4)', target = '2.5'";

    fn poll_both(keda: &mut KedaOperator, queue: QueryOutcome, running: QueryOutcome) -> PollDecision {
        let hpa = keda.hpa_status();
        keda.poll(ms(0), ms(0), size(3), &[Some(queue), Some(running)], &hpa)
    }

    /// What a sync of the HPA is told.
    fn answer(
        keda: &mut KedaOperator,
        queue: &QueryOutcome,
        running: &QueryOutcome,
    ) -> (Told, CompositeReading) {
        let readings = [queue, running].into_iter().enumerate();
        let read = |(i, outcome): (usize, &QueryOutcome)| {
            keda.external_metric(i, ms(15_000), size(3), Some(outcome))
        };
        let readings: Vec<_> = readings.map(read).collect();
        let (mut told, composite) = keda.answer(&readings);
        assert_eq!(told.len(), 1, "the HPA has one metric");
        (told.remove(0), composite.expect("there are modifiers"))
    }

    #[test]
    fn the_hpa_has_one_metric_and_the_formula_fills_it() {
        let mut keda = operator(DEMAND, "", KedaVersion::V2_20);
        let metrics = &keda.hpa().expect("an HPA").metrics;
        let target = MetricTarget::AverageValue(MilliValue(2500));
        assert_eq!(
            *metrics,
            [Metric::External(ExternalMetric { name: "composite-metric".to_owned(), target })]
        );
        assert_eq!(keda.status().composite_scaler_name.as_deref(), Some("composite-metric"));
        assert_eq!(keda.status().external_metric_names, ["s0-prometheus", "s1-prometheus"]);
        let (told, composite) = answer(&mut keda, &value(3.0), &value(20.0));
        assert_eq!((told, composite.source), (Ok(vec![MilliValue(5000)]), CompositeSource::Formula));
        assert_eq!(composite.formula, "float(max(queue, running / 4))");
        assert_eq!(composite.inputs["running"], Some(20.0));
        let by_value = format!("{DEMAND}, metric_type = 'Value'");
        let keda = operator(&by_value, "", KedaVersion::V2_20);
        assert_eq!(keda.hpa().expect("an HPA").metrics[0].target(), MetricTarget::Value(MilliValue(2500)));
    }

    #[test]
    fn the_composite_value_alone_decides_about_activity() {
        let modifiers = format!("{DEMAND}, activation_target = '5'");
        for version in KedaVersion::ALL {
            let mut keda = operator(&modifiers, "", version);
            let quiet = poll_both(&mut keda, value(5.0), value(20.0));
            assert!(quiet.triggers.iter().all(|trigger| trigger.is_active));
            assert_eq!((quiet.is_active, quiet.scale.rule), (false, Rule::CoolingDown), "{version}");
            let busy = poll_both(&mut keda, value(5.001), value(0.0));
            assert_eq!((busy.is_active, busy.scale.rule), (true, Rule::StaysActive), "{version}");
            let failing = poll_both(&mut keda, value(9.0), refused());
            assert!(!failing.is_active && failing.is_error, "{version}");
            assert_eq!(reasons(&failing), ["KEDAMetricSourceFailed"], "{version}");
            // Before v2.20 an absent trigger reads as 0, not as nil.
            let composite = failing.composite.expect("there are modifiers");
            assert_eq!(composite.value_milli.is_some(), version < KedaVersion::V2_20, "{version}");
        }
    }

    #[test]
    fn a_failed_trigger_is_an_error_until_the_fallback_takes_the_formulas_place() {
        let fallback = "fallback = { failure_threshold = 1, replicas = 4 }";
        let whole = DEMAND.replace("2.5", "3");
        let mut keda = operator(&whole, fallback, KedaVersion::V2_20);
        let (told, _) = answer(&mut keda, &value(9.0), &refused());
        let message = "rpc error: code = Unknown desc = error when getting metric values metric:composite-metric \
                       encountered error";
        assert_eq!(told, Err(message.to_owned()));
        let (told, composite) = answer(&mut keda, &value(9.0), &refused());
        assert_eq!((told, composite.source), (Ok(vec![MilliValue(12_000)]), CompositeSource::Fallback));
        let polled = poll_both(&mut keda, refused(), refused());
        assert!(polled.is_fallback && polled.is_error && !polled.is_active, "queue failed only once");
        let polled = poll_both(&mut keda, value(0.0), refused());
        assert_eq!((polled.is_active, polled.scale.rule), (true, Rule::StaysActive));
        // A target with a fraction makes the fallback invalid.
        let mut keda = operator(DEMAND, fallback, KedaVersion::V2_20);
        assert!((0..4).all(|_| answer(&mut keda, &value(9.0), &refused()).0.is_err()));
    }

    #[test]
    fn the_formula_sees_nil_where_the_fallback_says_so() {
        let fallback = "fallback = { failure_threshold = 0, replicas = 4, behavior = 'scalingModifiers' }";
        let modifiers = "formula = 'queue ?? running', target = '3'";
        let mut keda = operator(modifiers, fallback, KedaVersion::V2_20);
        let (told, composite) = answer(&mut keda, &refused(), &value(7.0));
        assert_eq!((told, composite.inputs["queue"]), (Ok(vec![MilliValue(7000)]), None));
        let (told, composite) = answer(&mut keda, &refused(), &refused());
        assert_eq!((told, composite.source), (Ok(vec![MilliValue(12_000)]), CompositeSource::NilResult));
        assert_eq!(composite.raw.map(|raw| raw.type_name), Some("<nil>"));
        let polled = poll_both(&mut keda, refused(), value(2.0));
        assert_eq!((polled.is_error, polled.is_active, polled.is_fallback), (false, true, false));
    }

    #[test]
    fn a_formula_that_fails_leaves_the_hpa_without_a_metric() {
        let modifiers = "formula = 'int(queue) % int(running)', target = '3'";
        let mut keda = operator(modifiers, "", KedaVersion::V2_20);
        let (told, composite) = answer(&mut keda, &value(7.0), &value(0.0));
        assert_eq!((told, composite.value_milli), (Ok(Vec::new()), None));
        let error = "error trying to run custom formula: runtime error: integer divide by zero (1:18)";
        assert_eq!(composite.error.as_deref(), Some(error));
        let polled = poll_both(&mut keda, value(7.0), value(0.0));
        assert_eq!((polled.is_error, polled.is_active), (false, false));
    }

    #[test]
    fn an_error_drops_cached_records_after_all_triggers_were_read() {
        let triggers = [named("queue", ""), named("running", "use_cached_metrics = true")];
        let settings = format!("advanced.scaling_modifiers = {{ {DEMAND} }}");
        let triggers = triggers.each_ref().map(String::as_str);
        let mut keda = build(&settings, &triggers, Annotations::default(), KedaVersion::V2_20);
        poll_both(&mut keda, value(1.0), value(8.0));
        let failed = keda.external_metric(0, ms(15_000), size(3), Some(&refused()));
        assert!(!keda.wants_query(1), "the record is still served");
        let cached = keda.external_metric(1, ms(15_000), size(3), None);
        let (told, _) = keda.answer(&[failed, cached]);
        assert!(told[0].is_err() && keda.wants_query(1));
    }

    #[test]
    fn problems_with_a_formula_have_their_place_in_it() {
        let refused = |modifiers: &str| {
            let modifiers = toml::from_str(modifiers).expect("valid TOML");
            let trigger = Trigger { name: Some("queue".to_owned()), ..Trigger::default() };
            CompositeScaler::new(&modifiers, &[trigger], KedaVersion::V2_20).expect_err("refused")
        };
        let marked = |modifiers: &str| match refused(modifiers).place {
            crate::problem::Place::Text { text, span } => text[span.0..span.1].to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(marked("formula = 'queue + quue'\ntarget = '1'"), "quue");
        assert_eq!(marked("formula = 'queue ?? 1 + 2'\ntarget = '1'"), "+");
        assert_eq!(marked("formula = 'int(queue) % 0'\ntarget = '1'"), "%");
        // A mistake of the wrapping is shown in the text that KEDA makes.
        assert_eq!(marked("formula = 'queue > 1'\ntarget = '1'"), "float");
        let misspelt = refused("formula = 'queue + quue'\ntarget = '1'");
        assert_eq!(misspelt.help.as_deref(), Some("did you mean `queue`?"));
        assert_eq!(misspelt.message, "KEDA refuses the formula: unknown name quue");
        for (modifiers, key) in [
            ("target = '1'", "formula"),
            ("formula = 'queue'", "target"),
            ("formula = 'queue'\ntarget = '0.0009'", "target"),
            ("formula = 'queue'\ntarget = 'inf'", "target"),
        ] {
            assert_eq!(refused(modifiers).place, crate::problem::Place::Key(key.to_owned()), "{modifiers}");
        }
    }
}
