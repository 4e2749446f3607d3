//! Recording rules as users write them, in a policy, an experiment or a PrometheusRule, and what is said where they are wrong.

use dryscale::scenario::{Draft, InputError, Inputs, Policy, Scenario, SourceText, Target};
use std::fs;

/// A policy whose one trigger reads a rule that this text is the rest of.
fn with_rule(rule: &str) -> String {
    format!(
        r#"
[scaled_object]
min_replica_count = 0
max_replica_count = 3
[[scaled_object.triggers]]
type = "prometheus"
metadata = {{ query = "max(queue:waiting)", threshold = "2" }}

[[rule_group]]
name = "queue"
interval = "15s"
[[rule_group.rules]]
{rule}
"#
    )
}

/// The scenario of these files, as far as it goes without running; `experiment` comes before the default one's keys.
fn setup(policy: &str, monitoring: &str) -> Result<(Scenario, Vec<String>), InputError> {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("it is written");
        Some(path.display().to_string())
    };
    let experiment = format!(
        "[serving]\nmodel = 'llama-3.2-3b-a100-80gb-tp1'\n[[workload.class]]\ninput = {{ dist = 'constant', value = 9 }}\n\
         output = {{ dist = 'constant', value = 9 }}\n[[workload.source]]\nrate = 1\n{monitoring}"
    );
    let inputs = Inputs {
        policy: write("policy.toml", policy),
        experiment: write("experiment.toml", &experiment),
        ..Inputs::default()
    };
    let scenario = Draft::load(&inputs)?.scenario(&[])?;
    let warnings = scenario.setup(1)?.warnings;
    Ok((scenario, warnings))
}

const WAITING: &str = r#"record = "queue:waiting"
expr = 'sum(vllm:num_requests_waiting{namespace="$namespace"})'"#;

#[test]
fn a_policy_brings_its_rules_and_a_query_may_read_them() {
    let (scenario, warnings) = setup(&with_rule(WAITING), "").unwrap_or_else(|error| panic!("{error}"));
    let rule = &scenario.policy.rule_groups[0].rules[0];
    assert_eq!(rule.expr, r#"sum(vllm:num_requests_waiting{namespace="llm"})"#);
    // A rule over pods alone wakes no service that sleeps, and neither does a rule over that rule.
    assert!(
        warnings.iter().any(|warning| warning.contains("at zero replicas nothing scales up again")),
        "{warnings:?}"
    );
    let over = WAITING.replace("queue:waiting", "queue:raw");
    let circle = format!(
        "{over}\n[[rule_group.rules]]\nrecord = \"queue:waiting\"\nexpr = \"queue:raw + queue:waiting or queue:raw\""
    );
    let warned = |rule: &str| setup(&with_rule(rule), "").unwrap_or_else(|error| panic!("{error}")).1.len();
    assert_eq!(
        (
            warned(&circle),
            warned(
                r#"record = "queue:waiting"
expr = "sum(llm_d_epp_request_running)""#
            )
        ),
        (1, 0)
    );
}

#[test]
fn rules_that_cannot_be_are_refused_where_they_stand() {
    for (rule, says, caret) in [
        (r#"record = "queue:waiting""#, "`expr` is missing", "[[rule_group.rules]]"),
        ("record = \"sum(x)\"\nexpr = \"x\"", "no name of a metric", "record = \"sum(x)\""),
        ("record = \"queue:waiting\"\nexpr = \"sum(\"", "", "sum("),
        ("record = \"queue:waiting\"\nexpr = \"nope(up)\"", "nope", "nope(up)"),
        ("record = \"queue:waiting\"\nexpr = \"up[5m]\"", "gives a vector or a scalar", "up[5m]"),
        (
            "record = \"queue:waiting\"\nexpr = 'sum(up{namespace=\"$nmspace\"})'",
            "not a variable",
            "$nmspace",
        ),
        (
            "record = \"queue:waiting\"\nexpr = 'sum(vllm:num_requests_waiting{model=\"$model\"})'",
            "there is no label `model`",
            "model=\"$model\"",
        ),
        (
            "record = \"queue:waiting\"\nexpr = \"up\"\nalert = \"Down\"",
            "unknown key `alert`",
            "alert = \"Down\"",
        ),
    ] {
        let error = setup(&with_rule(rule), "").expect_err(rule).to_string();
        assert!(error.contains(says) && error.contains("policy.toml"), "{rule}:\n{error}");
        let lines: Vec<&str> = error.lines().collect();
        let under = lines.iter().position(|line| line.contains('^')).expect("a caret");
        let (start, end) =
            (lines[under].find('^').expect("a caret"), lines[under].rfind('^').expect("a caret"));
        let marked = lines[under - 1].get(start..=end).unwrap_or_default();
        assert!(caret.contains(marked) || marked.contains(caret), "{rule}: `{marked}`\n{error}");
    }
    let group = "[[monitoring.rule_group]]\nname = 'g'\nrules = [{ record = 'a', expr = 'sum(up{job=\"$deploymnt\"})' }]";
    let error = setup(&with_rule(WAITING), group).expect_err("no variable").to_string();
    assert!(error.contains("experiment.toml") && error.contains("not a variable"), "{error}");
    let group = "[monitoring]\nevaluation_duration = '20s'";
    let error = setup(&with_rule(WAITING), group).expect_err("too slow").to_string();
    assert!(error.contains("take longer than the interval") && error.contains("policy.toml"), "{error}");
}

#[test]
fn a_prometheus_rule_beside_a_scaled_object_comes_with_it_and_goes_with_its_export() {
    let source = SourceText::new("policy.toml", with_rule(WAITING));
    let original = Policy::read(&source, &Target::default()).unwrap_or_else(|error| panic!("{error}"));
    let yaml = original.to_yaml(&[]).unwrap_or_else(|error| panic!("{error}"));
    assert!(yaml.contains("\n---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"), "{yaml}");
    let read = |yaml: &str| Policy::read(&SourceText::new("policy.yaml", yaml), &Target::default());
    let again = read(&yaml).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.rule_groups, original.rule_groups);
    assert_eq!(again.to_yaml(&[]).unwrap_or_else(|error| panic!("{error}")), yaml);
    // As people write it: with alerts, a bare number, keys of Thanos, and nulls.
    let written = yaml.replace(
        "    rules:\n",
        "    partial_response_strategy: warn\n    limit: null\n    rules:\n    - alert: Down\n      expr: up == 0\n      for: 5m\n\
        \x20   - record: slo\n      expr: 0.95\n",
    );
    let read_back = read(&written).unwrap_or_else(|error| panic!("{error}"));
    let [slo, waiting] = &read_back.rule_groups[0].rules[..] else { panic!("{written}") };
    assert_eq!((slo.record.as_str(), slo.expr.as_str()), ("slo", "0.95"));
    assert_eq!(*waiting, original.rule_groups[0].rules[0]);
    let wrong = yaml.replace("record:", "recrod:");
    let error = read(&wrong).expect_err("no such key").to_string();
    assert!(error.contains("did you mean `record`") && error.contains("policy.yaml"), "{error}");
}
