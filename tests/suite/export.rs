//! Policies as ScaledObjects: what is exported can be applied, and reads back as what it was.

use dryscale::autoscaling::hpa::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};
use dryscale::autoscaling::keda::{
    Advanced, AuthenticationRef, Fallback, FallbackBehavior, HorizontalPodAutoscalerConfig, MetricType,
    ScaledObjectSpec, ScalingModifiers, Trigger,
};
use dryscale::scenario::{Kind, Policy, SourceText, Target};
use kcr_keda_sh::v1alpha1::scaledobjects::ScaledObject;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

/// Reads a policy document.
fn policy(name: &str, text: &str) -> Policy {
    Policy::read(&SourceText::new(name, text), &Target::default())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What the API server would make of a manifest, as far as the published schema says; `None` where that is absent.
static SCHEMA: LazyLock<Option<jsonschema::Validator>> = LazyLock::new(|| {
    let path = "../shared/crds/scaledobject_v1alpha1.schema.json";
    let Ok(text) = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)) else {
        assert!(
            std::env::var_os("DRYSCALE_REQUIRE_DATA").is_none_or(|value| value != "1"),
            "{path} is absent"
        );
        // Past the harness, which would keep it to itself.
        writeln!(std::io::stdout().lock(), "skipped: {path}").expect("stdout takes a line");
        return None;
    };
    let schema = serde_json::from_str(&text).expect("the schema is JSON");
    Some(jsonschema::validator_for(&schema).expect("the schema compiles"))
});

/// Applies `yaml` as far as that goes without a cluster, and reads it back as a policy.
fn applied(yaml: &str) -> Policy {
    // A PrometheusRule may follow.
    let scaled_object = yaml.split("\n---\n").next().unwrap_or_default();
    let object: ScaledObject =
        serde_saphyr::from_str(scaled_object).unwrap_or_else(|error| panic!("KEDA's type: {error}\n{yaml}"));
    assert_eq!(object.metadata.namespace.as_deref(), Some(Target::default().namespace.as_str()));
    let json: serde_json::Value = serde_saphyr::from_str(scaled_object).expect("the manifest is YAML");
    if let Some(schema) = SCHEMA.as_ref() {
        let faults: Vec<String> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{}\n{yaml}", faults.join("\n"));
    }
    policy("exported.yaml", yaml)
}

#[test]
fn every_shipped_policy_can_be_applied_and_reads_back() {
    for name in Kind::Policy.names() {
        let source = Kind::Policy.shipped(name).expect("it ships");
        let original = Policy::read(&source, &Target::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(original.name, name, "the name in the file is the name of the file");
        assert!(!original.summary.is_empty(), "{name} says what it does");
        assert!(source.text().starts_with('#'), "{name} says where it comes from");
        if original.scaled_object().is_none() {
            continue;
        }
        let yaml = original.to_yaml(&[]).unwrap_or_else(|error| panic!("{error}"));
        assert!(!yaml.contains('$'), "{name} has variables left:\n{yaml}");
        let again = applied(&yaml);
        assert_eq!(again.scaled_object(), original.scaled_object(), "{name}");
        assert_eq!(again.rule_groups, original.rule_groups, "{name}");
        assert_eq!((again.name, again.summary), (original.name, original.summary));
    }
}

#[test]
fn the_seeds_policy_is_exported_as_the_tutorial_has_it() {
    let source = Kind::Policy.shipped("queue-threshold-2").expect("it ships");
    let target = Target {
        namespace: "keda".to_owned(),
        deployment: "llama-32-3b-predictor".to_owned(),
        model: "meta-llama/Llama-3.2-3B".to_owned(),
    };
    let yaml = Policy::read(&source, &target).expect("it is valid").to_yaml(&["Not simulated.".to_owned()]);
    insta::assert_snapshot!(yaml.expect("it is exported"), @r#"
    # Not simulated.
    apiVersion: keda.sh/v1alpha1
    kind: ScaledObject
    metadata:
      name: llama-32-3b-predictor
      namespace: keda
      annotations:
        dryscale.dev/name: 'queue-threshold-2'
        dryscale.dev/summary: 'Two waiting requests per replica: blind to the load that a fleet keeps up with.'
    spec:
      scaleTargetRef:
        apiVersion: apps/v1
        kind: Deployment
        name: llama-32-3b-predictor
      pollingInterval: 5
      minReplicaCount: 1
      maxReplicaCount: 5
      triggers:
      - type: prometheus
        metadata:
          serverAddress: 'https://thanos-querier.openshift-monitoring.svc.cluster.local:9092'
          query: 'sum(vllm:num_requests_waiting{namespace="keda", pod=~"llama-32-3b-predictor.*"})'
          threshold: '2'
          authModes: 'bearer'
          namespace: 'keda'
        authenticationRef:
          name: keda-trigger-auth-prometheus
    "#);
}

#[test]
fn a_comment_cannot_become_yaml() {
    let source = Kind::Policy.shipped("concurrency").expect("it ships");
    let policy = Policy::read(&source, &Target::default()).expect("it is valid");
    for comment in [
        "a\nkind: Pod",
        "a\r\nkind: Pod",
        "a\u{2028}kind: Pod",
        "a\u{85}kind: Pod",
        "\n---\n",
        "\u{0}\u{7}\u{feff}",
    ] {
        let yaml = policy.to_yaml(&[comment.to_owned()]).expect("it is exported");
        assert_eq!(applied(&yaml).scaled_object(), policy.scaled_object(), "{comment:?}");
        for line in yaml.lines().take_while(|line| !line.starts_with("apiVersion")) {
            assert!(line.starts_with('#'), "{comment:?} became {line:?}");
        }
    }
}

#[test]
fn a_fixed_number_of_replicas_has_no_scaled_object() {
    let error = policy("p.toml", "replicas = 3").to_yaml(&[]).expect_err("nothing to export").to_string();
    assert!(error.contains("p.toml:1:1") && error.contains("spec.replicas"), "{error}");
}

#[test]
fn annotations_travel_and_must_be_kubernetes_own() {
    let text = |key: &str| format!("annotations = {{ '{key}' = 'true' }}\n[scaled_object]\ntriggers = []\n");
    let original = policy("p.toml", &text("autoscaling.keda.sh/paused"));
    let yaml = original.to_yaml(&[]).unwrap_or_else(|error| panic!("{error}"));
    let again = policy("exported.yaml", &yaml);
    assert_eq!(again.annotations, original.annotations);
    assert_eq!(again.annotations["autoscaling.keda.sh/paused"], "true");
    let error = policy("p.toml", &text("a b")).to_yaml(&[]).expect_err("no key").to_string();
    assert!(
        error.contains("\"a b\" is not the key of an annotation") && error.contains("p.toml:1:"),
        "{error}"
    );
}

/// Texts that some reader of YAML takes for something else, or for the end of something.
fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        " ",
        "yes",
        "No",
        "on",
        "y",
        "n",
        "~",
        "null",
        "NULL",
        "true",
        "1",
        "-1",
        "1.5",
        ".5",
        "1e3",
        "0x1F",
        "0o17",
        "0755",
        "1_000",
        "1:30",
        "190:20:30",
        ".inf",
        ".NaN",
        "2026-01-05",
        "2026-01-05T08:00:00Z",
        "- a",
        "? a",
        "a: b",
        "a:",
        ":a",
        "#a",
        "a #b",
        "a# b",
        "'",
        "''",
        "\"",
        "\\",
        "\\n",
        "\n",
        "a\nb",
        "a\n",
        "a\n\n",
        "\na",
        " a\n b",
        "a \nb",
        "a\r\nb",
        "\r",
        "\t",
        "a\tb",
        "\ta",
        "&a",
        "*a",
        "!a",
        "!!str a",
        "%a",
        "@a",
        "`a",
        "{a}",
        "[a]",
        "a, b",
        "|",
        ">",
        "<<",
        "---",
        "...",
        "--- a",
        "\u{85}",
        "\u{2028}",
        "a\u{2029}b",
        "\u{feff}",
        "\u{7}",
        "\u{0}",
        "\u{7f}",
        "\u{fffe}",
        "é",
        "日本",
        "😀",
        "a'b\"c",
        "{{ .Values.x }}",
        "sum(a{b=~\"c.*\"}) / 2",
        "x$",
        "$ $1$",
    ]);
    let long = "[ -~]{0,200}";
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => long, 1 => any::<String>()]
        // `$word` is a variable, which a TOML policy would resolve.
        .prop_map(|text| {
            if text.contains(['$']) && text != "x$" && text != "$ $1$" { text.replace('$', "") } else { text }
        })
}

fn rules() -> impl Strategy<Value = ScalingRules> {
    let select = prop::sample::select(vec![SelectPolicy::Max, SelectPolicy::Min, SelectPolicy::Disabled]);
    let kind = prop::sample::select(vec![PolicyKind::Pods, PolicyKind::Percent]);
    let policy = (kind, 1..100, 1..1800).prop_map(|(kind, value, period_seconds)| ScalingPolicy {
        kind,
        value,
        period_seconds,
    });
    let tolerance = prop::sample::select(vec!["50m", "0", "0.05", "5e-2"]).prop_map(str::to_owned);
    (option::of(0..3600), option::of(select), option::of(vec(policy, 1..3)), option::of(tolerance)).prop_map(
        |(stabilization_window_seconds, select_policy, policies, tolerance)| ScalingRules {
            stabilization_window_seconds,
            select_policy,
            policies,
            tolerance,
        },
    )
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let metric_type = prop::sample::select(vec![MetricType::AverageValue, MetricType::Value]);
    let auth = (
        hostile(),
        option::of(prop::sample::select(vec!["TriggerAuthentication", "ClusterTriggerAuthentication"])),
    )
        .prop_map(|(name, kind)| AuthenticationRef { name, kind: kind.map(str::to_owned) });
    let metadata = vec((hostile(), hostile()), 0..4);
    let shape = (
        option::of(hostile()),
        option::of(metric_type),
        option::of(any::<bool>()),
        metadata,
        option::of(auth),
    );
    shape.prop_map(|(name, metric_type, use_cached_metrics, others, authentication_ref)| Trigger {
        kind: "prometheus".to_owned(),
        name,
        metric_type,
        use_cached_metrics,
        metadata: others.into_iter().chain([("threshold".to_owned(), "2".to_owned())]).collect(),
        authentication_ref,
    })
}

fn advanced() -> impl Strategy<Value = Advanced> {
    let behavior = (option::of(rules()), option::of(rules()))
        .prop_map(|(scale_up, scale_down)| Behavior { scale_up, scale_down });
    let config = (option::of(hostile()), option::of(behavior))
        .prop_map(|(name, behavior)| HorizontalPodAutoscalerConfig { name, behavior });
    let modifiers =
        (hostile(), hostile(), option::of(hostile())).prop_map(|(formula, target, activation_target)| {
            ScalingModifiers {
                formula: Some(formula),
                target: Some(target),
                activation_target,
                metric_type: None,
            }
        });
    (option::of(any::<bool>()), option::of(config), option::of(modifiers)).prop_map(
        |(restore_to_original_replica_count, horizontal_pod_autoscaler_config, scaling_modifiers)| Advanced {
            restore_to_original_replica_count,
            horizontal_pod_autoscaler_config,
            scaling_modifiers,
        },
    )
}

fn spec() -> impl Strategy<Value = ScaledObjectSpec> {
    let behavior = prop::sample::select(vec![
        FallbackBehavior::Static,
        FallbackBehavior::CurrentReplicas,
        FallbackBehavior::CurrentReplicasIfHigher,
        FallbackBehavior::CurrentReplicasIfLower,
        FallbackBehavior::ScalingModifiers,
    ]);
    let fallback = (0..9, 0..9, option::of(behavior)).prop_map(|(failure_threshold, replicas, behavior)| {
        Fallback { failure_threshold, replicas, behavior }
    });
    let seconds = (option::of(1..600), option::of(0..600), option::of(0..600));
    let sizes = (option::of(0..9), option::of(9..99));
    (seconds, sizes, option::of(fallback), option::of(advanced()), vec(trigger(), 1..3)).prop_map(
        |(
            (polling_interval, cooldown_period, initial_cooldown_period),
            (min, max),
            fallback,
            advanced,
            triggers,
        )| {
            ScaledObjectSpec {
                polling_interval,
                initial_cooldown_period,
                cooldown_period,
                idle_replica_count: None,
                min_replica_count: min,
                max_replica_count: max,
                fallback,
                advanced,
                triggers,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// `import(export(resolve(x))).scaled_object == resolve(x).scaled_object`.
    #[test]
    fn what_is_exported_reads_back_as_what_it_was(name in hostile(), summary in hostile(), spec in spec()) {
        let document = serde_json::json!({ "name": name, "summary": summary, "scaled_object": spec });
        let toml = toml::to_string(&document).expect("TOML holds it");
        let original = policy("original.toml", &toml);
        prop_assert_eq!(original.scaled_object(), Some(&spec));
        let yaml = original.to_yaml(&[]).unwrap_or_else(|error| panic!("{error}"));
        let again = applied(&yaml);
        prop_assert_eq!(again.scaled_object(), Some(&spec), "{}", yaml);
        let keys = |spec: &ScaledObjectSpec| -> Vec<Vec<String>> {
            spec.triggers.iter().map(|trigger| trigger.metadata.keys().cloned().collect()).collect()
        };
        prop_assert_eq!(again.scaled_object().map(keys), original.scaled_object().map(keys), "order of keys");
        prop_assert_eq!(&again.name, &name);
        prop_assert_eq!(&again.summary, &summary);
        // What was exported once is exported the same again.
        prop_assert_eq!(again.to_yaml(&[]).unwrap_or_else(|error| panic!("{error}")), yaml);
    }
}
