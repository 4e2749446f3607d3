//! Policies, experiments and settings as users write them: what they become, and what is said where they are wrong.

use dryscale::problem::Problem;
use dryscale::scenario::{
    Draft, InputError, Inputs, Kind, Policy, Rule, Scenario, Setting, SourceText, Target,
};
use dryscale::units::{Replicas, SimDuration};
use std::path::Path;

fn inputs(policy: &str) -> Inputs {
    Inputs { policy: Some(policy.to_owned()), ..Inputs::default() }
}

fn scenario(policy: &str, settings: &[&str]) -> Result<Scenario, InputError> {
    let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    Draft::load(&Inputs { settings, ..inputs(policy) })?.scenario(&[])
}

fn policy(name: &str, text: &str) -> Result<Policy, InputError> {
    Policy::read(&SourceText::new(name, text), &Target::default())
}

/// The tutorial's ScaledObject, as it prints it.
const SEED: &str = r#"apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: llama-32-3b-predictor
  namespace: keda
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: llama-32-3b-predictor
  minReplicaCount: 1
  maxReplicaCount: 5
  pollingInterval: 5
  triggers:
    - type: prometheus
      authenticationRef:
        name: keda-trigger-auth-prometheus
      metadata:
        serverAddress: https://thanos-querier.openshift-monitoring.svc.cluster.local:9092
        query: 'sum(vllm:num_requests_waiting{namespace="keda", pod=~"llama-32-3b-predictor.*"})'
        threshold: '2'
        authModes: "bearer"
        namespace: keda
"#;

#[test]
fn the_seeds_manifest_is_the_shipped_policy_in_the_seeds_namespace() {
    let manifest = policy("seed.yaml", SEED).expect("it is valid");
    let target = Target { namespace: "keda".to_owned(), ..Target::default() };
    let shipped = Kind::Policy.shipped("queue-threshold-2").expect("it ships");
    let shipped = Policy::read(&shipped, &target).expect("it is valid");
    assert_eq!(manifest.scaled_object(), shipped.scaled_object());
    assert_eq!(manifest.name, "llama-32-3b-predictor");
}

#[test]
fn every_shipped_policy_makes_a_scenario() {
    for name in Kind::Policy.names() {
        let scenario = scenario(name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.policy.name, name);
        assert_eq!(
            (scenario.initial_replicas, scenario.duration),
            (Replicas(1), SimDuration::from_secs(7200))
        );
        for axis in &scenario.policy.tune {
            for value in axis.values() {
                let setting = Setting::of(&axis.key, &value).unwrap_or_else(|error| panic!("{error}"));
                let draft = Draft::load(&inputs(name)).expect("it loads");
                draft.scenario(&[setting]).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

#[test]
fn every_point_of_the_shipped_sweep_makes_a_scenario() {
    let draft = Draft::load(&Inputs { experiment: Some("thresholds".to_owned()), ..Inputs::default() });
    let draft = draft.unwrap_or_else(|error| panic!("{error}"));
    let mut names = Vec::new();
    for grid in &draft.sweep().expect("it has a sweep").grids {
        let mut points: Vec<Vec<Setting>> = vec![Vec::new()];
        for axis in grid {
            let values = axis.values();
            points = points
                .iter()
                .flat_map(|point| {
                    values.iter().map(|value| {
                        let setting = Setting::of(&axis.key, value).unwrap_or_else(|error| panic!("{error}"));
                        point.iter().cloned().chain([setting]).collect()
                    })
                })
                .collect();
        }
        for point in points {
            let scenario = draft.scenario(&point).unwrap_or_else(|error| panic!("{error}"));
            let threshold =
                scenario.policy.scaled_object().map(|spec| spec.triggers[0].metadata["threshold"].clone());
            names.push(format!("{} {}", scenario.policy.name, threshold.unwrap_or_default()));
        }
    }
    assert_eq!(names.len(), 6 + 6 + 4);
    assert_eq!(names[0], "queue-threshold-2 1");
    assert_eq!(names[6], "concurrency 16");
    assert_eq!(names[15], "static-5 ");
}

#[test]
fn a_fixed_number_of_replicas_is_a_policy() {
    let scenario = scenario("static:3", &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenario.policy.rule, Rule::Static(Replicas(3)));
    assert_eq!((scenario.policy.name.as_str(), scenario.initial_replicas), ("static-3", Replicas(3)));
    assert_eq!(
        super::policies::scenario("static:3", &["policy.replicas=4"]).expect("valid").initial_replicas,
        Replicas(4)
    );
    for wrong in ["static:", "static:x", "static:-1", "static:1.5", "static:99999999999", "static:20000"] {
        let error = super::policies::scenario(wrong, &[]).expect_err(wrong).to_string();
        assert!(
            error.contains("not a number of replicas") && error.contains("--policy:1:8"),
            "{wrong}:\n{error}"
        );
    }
}

#[test]
fn settings_reach_every_part_of_a_scenario() {
    let settings = [
        "policy.scaled_object.triggers.0.metadata.threshold=8.50",
        "policy.scaled_object.max_replica_count=7",
        "duration=10m",
        "seed=7",
        "repetitions=3",
        "target.namespace=prod",
        "workload.source.0.rate=5",
        "serving.initial_replicas=2",
        "serving.nodes.gpus_per_node=4",
        "slo.ttft=500ms",
        "cost.price_per_gpu_hour=1.5",
        "measure.warmup=1m",
        "hpa.sync_period=30s",
        "keda.version=2.19",
        "start=2026-06-01T00:00:00Z",
    ];
    let scenario = scenario("queue-threshold-2", &settings).unwrap_or_else(|error| panic!("{error}"));
    let spec = scenario.policy.scaled_object().expect("a ScaledObject");
    assert_eq!(spec.triggers[0].metadata["threshold"], "8.50", "metadata stays as it was typed");
    assert!(spec.triggers[0].metadata["query"].contains("namespace=\"prod\""));
    assert_eq!((spec.max_replica_count, scenario.initial_replicas), (Some(7), Replicas(2)));
    assert_eq!((scenario.seed, scenario.repetitions), (7, 3));
    assert_eq!(scenario.duration, SimDuration::from_secs(600));
    assert_eq!(scenario.hpa.sync_period, SimDuration::from_secs(30));
    let requests = scenario.requests(7).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(requests.classes()[0].slo.ttft, Some(SimDuration::from_millis(500)), "[slo] is every class's");
}

#[test]
fn the_command_lines_flags_are_settings_too() {
    let inputs = Inputs {
        duration: Some(std::time::Duration::from_secs(90)),
        seed: Some(u64::MAX),
        repetitions: Some(4),
        ..inputs("static:1")
    };
    let scenario =
        Draft::load(&inputs).and_then(|draft| draft.scenario(&[])).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((scenario.seed, scenario.repetitions), (u64::MAX, 4));
    assert_eq!(scenario.duration, SimDuration::from_secs(90));
    let inputs = Inputs { duration: Some(std::time::Duration::ZERO), ..inputs };
    let error = Draft::load(&inputs).and_then(|draft| draft.scenario(&[])).expect_err("no time").to_string();
    assert!(error.contains("--duration:1:1"), "{error}");
}

#[test]
fn a_manifest_is_addressed_by_the_same_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("seed.yaml");
    std::fs::write(&file, SEED).expect("it is written");
    let path = file.to_str().expect("a UTF-8 path");
    let settings =
        ["policy.scaled_object.triggers.0.metadata.threshold=8", "policy.scaled_object.cooldown_period=60"];
    let scenario = scenario(path, &settings).unwrap_or_else(|error| panic!("{error}"));
    let spec = scenario.policy.scaled_object().expect("a ScaledObject");
    assert_eq!((spec.triggers[0].metadata["threshold"].as_str(), spec.cooldown_period), ("8", Some(60)));
    assert_eq!(scenario.target.namespace, "keda", "the manifest names the world");
    let error =
        super::policies::scenario(path, &["target.namespace=prod"]).expect_err("it would lie").to_string();
    assert!(error.contains("the manifest names its own namespace, `keda`"), "{error}");
    super::policies::scenario(path, &["target.namespace=keda"]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn unknown_settings_are_refused_with_the_nearest_key() {
    for (setting, help) in [
        ("policy.scaled_object.max_replicas_count=3", "did you mean `max_replica_count`?"),
        ("policy.scaled_object.maxReplicaCount=3", "did you mean `max_replica_count`?"),
        ("polcy.scaled_object.max_replica_count=3", "did you mean `policy`?"),
        ("serving.engine.max_num_seq=3", "max_num_seqs"),
        ("serving.nodes.gpu_per_node=3", "did you mean `gpus_per_node`?"),
        ("workload.sources.0.rate=3", "did you mean `source`?"),
        ("slo.tttf=1s", "did you mean `ttft`?"),
        ("policy.scaled_object.triggers.1.metadata.threshold=3", "the list has one item, 0"),
    ] {
        let error = scenario("queue-threshold-2", &[setting]).expect_err(setting).to_string();
        assert!(error.contains(help) && error.contains("--set:1:1"), "{setting}:\n{error}");
    }
}

#[test]
fn a_file_wins_over_a_shipped_policy_of_that_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let experiment = folder.path().join("e.toml");
    let shipped = Kind::Experiment.shipped("default").expect("it ships");
    std::fs::write(&experiment, format!("policy = 'concurrency.toml'\n{}", shipped.text()))
        .expect("it is written");
    let load = || {
        let experiment = Some(experiment.to_str().expect("a UTF-8 path").to_owned());
        let draft = Draft::load(&Inputs { experiment, ..Inputs::default() })?;
        draft.scenario(&[])
    };
    assert_eq!(load().unwrap_or_else(|error| panic!("{error}")).policy.name, "concurrency");
    std::fs::write(folder.path().join("concurrency.toml"), "name = 'mine'\nreplicas = 2\n")
        .expect("it is written");
    assert_eq!(load().unwrap_or_else(|error| panic!("{error}")).policy.name, "mine");
}

#[test]
fn unknown_names_offer_the_nearest() {
    for (name, help) in [
        ("queue-treshold-2", "queue-threshold-2"),
        ("./concurency.toml", "concurrency"),
        ("zzz", "docs/policy.md"),
    ] {
        let error = scenario(name, &[]).expect_err(name).to_string();
        assert!(error.contains(help) && error.contains("--policy:1:1"), "{name}:\n{error}");
    }
    let error = scenario("-", &[]).expect_err("nothing there").to_string();
    assert!(error.contains("nothing on stdin"), "{error}");
    let error = scenario(".", &[]).expect_err("a directory").to_string();
    assert!(error.contains("a directory, not a file"), "{error}");
    let stdin = Some(SEED.as_bytes().to_vec());
    let draft = Draft::load(&Inputs { stdin, ..inputs("-") }).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        draft.scenario(&[]).unwrap_or_else(|error| panic!("{error}")).policy.name,
        "llama-32-3b-predictor"
    );
}

#[test]
fn a_query_at_fault_is_shown_where_the_user_wrote_it() {
    let policy = |text: &str, name: &str| policy(name, text).unwrap_or_else(|error| panic!("{error}"));
    let fault = |policy: &Policy, part: &str| {
        let query = policy.scaled_object().expect("a ScaledObject").triggers[0].metadata["query"].clone();
        let start = query.find(part).expect("the query has it");
        let problem = Problem::text(query, (start, start + part.len()), "no series can match");
        policy.locate_metadata(0, "query", problem).to_string()
    };
    let toml = Kind::Policy.shipped("queue-threshold-2").expect("it ships");
    let toml = Policy::read(&toml, &Target::default()).expect("it is valid");
    insta::assert_snapshot!(fault(&toml, "llama-32-3b-predictor.*"), @r#"
    error: no series can match
      --> policies/queue-threshold-2.toml:19:70
       |
    19 | query = 'sum(vllm:num_requests_waiting{namespace="$namespace", pod=~"$deployment.*"})'
       |                                                                      ^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(fault(&policy(SEED, "seed.yaml"), "namespace=\"keda\""), @r#"
    error: no series can match
      --> seed.yaml:20:47
       |
    20 |         query: 'sum(vllm:num_requests_waiting{namespace="keda", pod=~"llama-32-3b-predictor.*"})'
       |                                               ^^^^^^^^^^^^^^^^
    "#);
    let block = SEED.replace(
        "query: 'sum(vllm:num_requests_waiting{namespace=\"keda\", pod=~\"llama-32-3b-predictor.*\"})'",
        "query: |\n          sum(a{b=\"c\"})\n          / sum(d)",
    );
    insta::assert_snapshot!(fault(&policy(&block, "block.yaml"), "sum(d)"), @r#"
    error: no series can match
      --> block.yaml:22:13
       |
    22 |           / sum(d)
       |             ^^^^^^
    "#);
}

#[test]
fn a_trace_replaces_the_workload() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.csv");
    std::fs::write(&trace, "timestamp,prompt_tokens,output_tokens\n0,10,5\n1.5,20,7\n")
        .expect("it is written");
    let inputs = Inputs { trace: Some(trace.clone()), ..inputs("static:1") };
    let scenario =
        Draft::load(&inputs).and_then(|draft| draft.scenario(&[])).unwrap_or_else(|error| panic!("{error}"));
    let mut requests = scenario.requests(1).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(requests.classes()[0].slo.ttft, Some(SimDuration::from_secs(2)), "[slo] holds for traces too");
    let mut count = 0;
    while let Some(request) = requests.next_request().expect("the trace is valid") {
        assert!(request.prompt_tokens.get() >= 10);
        count += 1;
    }
    assert_eq!(count, 2);
    assert_eq!(
        scenario.inputs.keys().collect::<Vec<_>>(),
        ["policy", "experiment", "settings", "model", "trace"]
    );
    // The path is not an input: the same bytes elsewhere are the same inputs.
    let copy = folder.path().join("copy.csv");
    std::fs::copy(&trace, &copy).expect("it is copied");
    let again = Draft::load(&Inputs { trace: Some(copy), ..inputs }).and_then(|draft| draft.scenario(&[]));
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}")).inputs, scenario.inputs);
}

#[test]
fn a_line_of_a_trace_at_fault_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.csv");
    std::fs::write(&trace, "timestamp,prompt_tokens,output_tokens\n0,-10,5\n").expect("it is written");
    let inputs = Inputs { trace: Some(trace.clone()), ..inputs("static:1") };
    let error = Draft::load(&inputs).and_then(|draft| draft.scenario(&[])).expect_err("negative").to_string();
    assert!(
        error.contains("trace.csv:2:") && error.contains("0,-10,5") && error.contains("error: "),
        "{error}"
    );
    let missing = Inputs { trace: Some(Path::new("nowhere.csv").to_owned()), ..inputs };
    let error = Draft::load(&missing).and_then(|draft| draft.scenario(&[])).expect_err("missing").to_string();
    assert!(error.contains("nowhere.csv") && error.contains("--trace:1:1"), "{error}");
}

#[test]
fn settings_change_the_hash_of_the_settings_alone() {
    let plain = scenario("static:1", &[]).expect("valid").inputs;
    let set = scenario("static:1", &["seed=2"]).expect("valid").inputs;
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["policy", "experiment", "model"]);
    assert_eq!((&plain["policy"], &plain["experiment"]), (&set["policy"], &set["experiment"]));
    assert_ne!(set["settings"], scenario("static:1", &["seed=3"]).expect("valid").inputs["settings"]);
    assert!(set.values().all(|hash| hash.len() == 64), "{set:?}");
}
