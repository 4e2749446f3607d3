//! KEDA's formulas: `formula/formula.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::keda::formula::{
    Calculation, Class, Formula, Input, Refusal, RefusalClass, RuntimeClass, Stage,
};
use dryscale::autoscaling::keda::{COMPOSITE_METRIC, KedaVersion};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Debug;

#[derive(Deserialize)]
struct Record {
    formula_id: u64,
    case: u64,
    formula: String,
    triggers: Vec<String>,
    target: String,
    activation_target: String,
    fallback_replicas: Option<i32>,
    compiled_formula: Option<String>,
    inputs: HashMap<String, Option<f64>>,
    failed_as: Option<String>,
    compile_ok: bool,
    #[serde(flatten)]
    webhook: Webhook,
    #[serde(flatten)]
    run: Run,
}

/// What the webhook said of a formula that it refused.
#[derive(Deserialize, Debug, Default, PartialEq)]
struct Webhook {
    webhook_stage: Option<String>,
    webhook_error_class: Option<String>,
    webhook_error: Option<String>,
}

/// What the operator made of one that it took.
#[derive(Deserialize, Debug, Default, PartialEq)]
struct Run {
    raw_type: Option<String>,
    result: Option<String>,
    raw_value: Option<String>,
    runtime_error_class: Option<String>,
    runtime_error: Option<String>,
    items: Option<usize>,
    metric_name: Option<String>,
    milli: Option<i64>,
    quantity: Option<String>,
    active: Option<bool>,
    from_fallback_target: Option<bool>,
}

#[test]
fn formula() {
    let Some(lines) = lines("formula/formula.jsonl") else { return absent("formula") };
    let mut tally = Tally::new("formula");
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let names: Vec<&str> = record.triggers.iter().map(String::as_str).collect();
    let (compile_ok, compiled, webhook, run) =
        match Formula::compile(&record.formula, &record.target, &names, KedaVersion::V2_20) {
            Err(refusal) => (false, refusal.compiled.clone(), refused(&refusal), Run::default()),
            Ok(formula) => {
                let calculation = formula.calculate(&inputs(record), record.fallback_replicas);
                (true, formula.compiled().to_owned(), Webhook::default(), calculated(record, &calculation))
            }
        };
    same(record, "compile_ok", &compile_ok, &record.compile_ok)?;
    same(record, "the webhook", &webhook, &record.webhook)?;
    if let Some(recorded) = &record.compiled_formula {
        same(record, "compiled_formula", &compiled, recorded)?;
    }
    same(record, "the operator", &run, &record.run)
}

fn same<T: PartialEq + Debug>(record: &Record, what: &str, ours: &T, recorded: &T) -> Result<(), String> {
    if ours == recorded {
        return Ok(());
    }
    let Record { formula_id, case, formula, inputs, .. } = record;
    Err(format!(
        "formula {formula_id} case {case}: {what} of {formula:?} over {inputs:?}\n  ours     {ours:?}\n  recorded {recorded:?}"
    ))
}

fn refused(refusal: &Refusal) -> Webhook {
    let stage = match refusal.stage() {
        Stage::Compile => "compile",
        Stage::DummyRun => "dummy_run",
        Stage::TargetOrEmpty => "target_or_empty",
    };
    let class = match refusal.class {
        RefusalClass::FormulaEmpty => "formula_empty",
        RefusalClass::TargetEmpty => "target_empty",
        RefusalClass::TargetInvalid => "target_invalid",
        RefusalClass::DummyRun => "dummy_run",
        RefusalClass::Formula(class) => class_name(class),
    };
    Webhook {
        webhook_stage: Some(stage.to_owned()),
        webhook_error_class: Some(class.to_owned()),
        webhook_error: refusal.message.lines().next().map(str::to_owned),
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Syntax => "syntax",
        Class::UnknownName => "unknown_name",
        Class::TypeMismatch => "type_mismatch",
        Class::BadArgument => "bad_argument",
        Class::Arity => "arity",
        Class::NotCallable => "not_callable",
        Class::Redeclare => "redeclare",
        Class::ConstFold => "const_fold",
        Class::NilOperand => "nil_operand",
        Class::IntDivZero => "int_div_zero",
        Class::MemoryBudget => "memory_budget",
        Class::Unsupported => "not simulated",
    }
}

/// The triggers that gave a value, and those that are nil. An absent one is not in the list.
fn inputs(record: &Record) -> Vec<(&str, Input)> {
    let input = |name| match record.inputs.get(name).copied().flatten() {
        Some(value) => Some((name, Input::Value(value))),
        None if record.failed_as.as_deref() == Some("absent") => None,
        None => Some((name, Input::Nil)),
    };
    record.triggers.iter().map(String::as_str).filter_map(input).collect()
}

fn calculated(record: &Record, calculation: &Calculation) -> Run {
    let raw = calculation.raw.as_ref();
    let float = raw.and_then(|raw| raw.float);
    let mut run = Run {
        raw_type: Some(raw.map_or("error", |raw| raw.type_name).to_owned()),
        raw_value: raw
            .filter(|raw| raw.float.is_none() && raw.type_name != "<nil>")
            .map(|raw| raw.text.clone()),
        // The recorded text is the shortest one that reads back as the same float.
        result: float.map(|float| {
            let same = |text: &&String| text.parse().is_ok_and(|read: f64| read.to_bits() == float.to_bits());
            record.run.result.as_ref().filter(same).cloned().unwrap_or_else(|| format!("{float:?}"))
        }),
        items: Some(usize::from(calculation.composite.is_ok())),
        active: Some(false),
        ..Run::default()
    };
    if float.is_some_and(f64::is_nan) {
        run.result = Some("NaN".to_owned());
    }
    match &calculation.composite {
        Ok(composite) => {
            let activation: f64 = record.activation_target.parse().unwrap_or(0.0);
            // An absent metric is an error of its trigger, and that forces the activity.
            let absent = record.failed_as.as_deref() == Some("absent");
            run.metric_name = Some(COMPOSITE_METRIC.to_owned());
            run.milli = Some(composite.milli.get());
            run.quantity = Some(composite.quantity().to_string());
            run.active = Some(!absent && composite.is_active(activation));
            run.from_fallback_target = composite.from_fallback_target.then_some(true);
        }
        Err(error) => {
            let class = match error.class {
                RuntimeClass::Formula(class) => class_name(class),
                RuntimeClass::NonFloatResult => "non_float_result",
                RuntimeClass::NoFallback => "nil_operand",
            };
            run.runtime_error_class = Some(class.to_owned());
            run.runtime_error = error.message.lines().next().map(str::to_owned);
        }
    }
    run
}
