//! `scalingModifiers` over a service: three triggers, one formula, one metric of the HPA.

use super::{experiment, keda, run, syncs, trigger};
use crate::worlds::Told;
use dryscale::simulation::record::{Controller, DecisionRecord};
use serde_json::Value;

const DEMAND: &str = "let demand = max(queue / 1, running / 2); demand + (batch ?? queue)";

/// A policy of three named triggers; `batch` is the third one's query.
fn policy(batch: &str, formula: &str) -> String {
    let more = format!(
        "fallback = {{ failure_threshold = 0, replicas = 2, behavior = 'scalingModifiers' }}\n\
         advanced.scaling_modifiers = {{ formula = '{formula}', target = '4', activation_target = '1' }}\n"
    );
    let named = |name: &str, query: &str| trigger(query, 1, &format!("name = '{name}'"));
    let triggers = named("queue", "vector(7)") + &named("running", "vector(9)") + &named("batch", batch);
    let first = trigger("", 1, "");
    keda(1, 9, "", 1, &more).replace(&first, &triggers)
}

fn of(told: &Told, controller: Controller) -> Vec<&DecisionRecord> {
    told.decisions.iter().filter(|decision| decision.controller == controller).collect()
}

#[test]
fn the_formula_decides_about_the_size() {
    // A text is an answer that KEDA cannot read: from the first failure on the formula sees nil.
    for (batch, seen, value) in [("vector(10)", Some(10.0), 17), ("\"no number\"", None, 14)] {
        let told = run(1, &experiment(&policy(batch, DEMAND), ""), &[(0, 1), (40_000, 1)]);
        let first = of(&told, Controller::HpaSync)[0];
        let composite = &first.detail["composite"];
        assert_eq!(composite["inputs"], serde_json::json!({ "queue": 7.0, "running": 9.0, "batch": seen }));
        assert_eq!(composite["raw"], serde_json::json!({ "type": "float64", "text": value.to_string() }));
        assert_eq!((&composite["source"], &composite["error"]), (&Value::from("formula"), &Value::Null));
        let metric = &first.detail["metrics"][0];
        assert_eq!(metric["name"], "composite-metric");
        assert_eq!(metric["usage_milli"], value * 1000);
        // ceil(17 / 4) and ceil(14 / 4), of which one sync makes at most 4 of 1.
        assert_eq!(first.replicas_after.get(), 4, "{batch}");
        let poll = of(&told, Controller::KedaPoll)[0];
        assert_eq!(poll.detail["is_active"], true);
        assert!(poll.detail["composite"]["formula"].as_str().is_some_and(|formula| formula.contains(DEMAND)));
        let status = &poll.detail["scaled_object"];
        assert_eq!(status["composite_scaler_name"], "composite-metric");
        assert_eq!(status["external_metric_names"].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn a_formula_that_fails_leaves_the_size_and_is_told_of() {
    let told =
        run(1, &experiment(&policy("vector(0)", "int(queue) % int(batch)"), ""), &[(0, 1), (40_000, 1)]);
    let first = of(&told, Controller::HpaSync)[0];
    assert_eq!((&first.detail["path"], first.replicas_after.get()), (&Value::from("metrics_failed"), 1));
    assert_eq!(first.detail["metrics"][0]["error"], "no metrics returned from external metrics API");
    let warning = "which leaves the HPA without a metric: error trying to run custom formula: runtime error: integer \
                   divide by zero (1:18)";
    assert!(told.totals.warnings.iter().any(|told| told.ends_with(warning)), "{:?}", told.totals.warnings);
}

#[test]
fn the_triggers_of_a_formula_are_queried_at_the_same_time() {
    let told = run(1, &experiment(&policy("vector(0)", DEMAND), ""), &[(0, 1), (100_000, 1)]);
    // A sync waits for one query, not for three.
    let expected: Vec<_> = syncs(1, 1).take(of(&told, Controller::HpaSync).len()).collect();
    let found: Vec<_> = of(&told, Controller::HpaSync).iter().map(|decision| decision.at).collect();
    assert_eq!(found, expected);
}
