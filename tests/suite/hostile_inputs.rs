//! What users get wrong, and what somebody might try: every file is answered with a place and a remedy, never a panic.

use dryscale::scenario::{Draft, InputError, Inputs, Kind, SIZE_MAX_BYTES, Scenario};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::Path;

/// Loads the scenario of files in a folder of their own: `(name, bytes)`; a `policy.*`, `experiment.toml` and
/// `model.toml` among them are used, anything else is there to be named.
fn load(files: &[(&str, &[u8])], settings: &[&str]) -> Result<Scenario, InputError> {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).to_str().expect("a UTF-8 path").to_owned();
    let mut inputs = Inputs { policy: Some("static:1".to_owned()), ..Inputs::default() };
    for (name, bytes) in files {
        std::fs::write(place(name), bytes).expect("it is written");
        match Path::new(name).file_stem().and_then(|stem| stem.to_str()) {
            Some("policy") => inputs.policy = Some(place(name)),
            Some("experiment") => inputs.experiment = Some(place(name)),
            Some("model") => inputs.model = Some(place(name)),
            _ => {}
        }
    }
    inputs.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    Draft::load(&inputs)?.scenario(&[])
}

/// The refusal of one file; it must name the file, and the given line and column where there are any.
fn refusal(name: &str, bytes: &[u8], message: &str, position: Option<(usize, usize)>) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    let error = load(&[(name, bytes)], &[]).expect_err(&shown);
    let text = error.to_string();
    assert!(text.contains(message), "{shown}\n---\n{text}");
    assert!(error.file().ends_with(name), "{shown}\n---\n{text}");
    if position.is_some() {
        assert_eq!(error.position().map(|at| (at.line, at.column)), position, "{shown}\n---\n{text}");
    }
    assert!(text.len() < 4_000, "{} bytes of error", text.len());
}

const POLICY: &str = "[scaled_object]\nmin_replica_count = 1\nmax_replica_count = 5\n[[scaled_object.triggers]]\n\
    type = 'prometheus'\nmetadata = { serverAddress = 'http://p', query = 'sum(up)', threshold = '2' }\n";

const MANIFEST: &str = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: a\nspec:\n\
    \x20 scaleTargetRef:\n    name: d\n  minReplicaCount: 1\n  maxReplicaCount: 5\n  triggers:\n  - type: prometheus\n\
    \x20   metadata:\n      serverAddress: http://p\n      query: sum(up)\n      threshold: '2'\n";

/// `text` with its one occurrence of `from` replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?}");
    text.replace(from, to)
}

#[test]
fn the_files_that_are_spoilt_below_are_good() {
    load(&[("policy.toml", POLICY.as_bytes())], &[]).unwrap_or_else(|error| panic!("{error}"));
    load(&[("policy.yaml", MANIFEST.as_bytes())], &[]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn policies_in_toml() {
    let cases = [
        (
            with(POLICY, "min_replica_count", "min_replicas_count"),
            "did you mean `min_replica_count`?",
            Some((2, 1)),
        ),
        (
            with(POLICY, "min_replica_count", "minReplicaCount"),
            "did you mean `min_replica_count`?",
            Some((2, 1)),
        ),
        (with(POLICY, "= 1", "= 6"), "`min_replica_count` 6 is above `max_replica_count` 5", Some((2, 1))),
        (with(POLICY, "max_replica_count = 5", "max_replica_count = 0"), "is below 1", Some((3, 1))),
        (with(POLICY, "= 1", "= -1"), "is below 0", Some((2, 1))),
        (with(POLICY, "= 1", "= 99999999999"), "out of range", Some((2, 21))),
        (with(POLICY, "= 1", "= 1.5"), "stands where a whole number is expected", Some((2, 21))),
        (with(POLICY, "= 1", "= nan"), "stands where a whole number is expected", Some((2, 21))),
        (with(POLICY, "threshold = '2'", "threshold = 2"), "quote it: \"2\"", Some((6, 73))),
        (with(POLICY, "threshold = '2'", "threshold = 'two'"), "two", None),
        (with(POLICY, "threshold = '2'", "threshold = 'NaN'"), "NaN", None),
        (with(POLICY, ", threshold = '2'", ""), "threshold", None),
        (with(POLICY, "type = 'prometheus'", "type = 'kafka'"), "kafka", None),
        (with(POLICY, "type = 'prometheus'\n", ""), "`type` is missing in `scaled_object.triggers.0`", None),
        (with(POLICY, "sum(up)", "sum(up{n=\"$nmespace\"})"), "`$nmespace` is not a variable", Some((6, 61))),
        (with(POLICY, "= 1", "= 1\nmin_replica_count = 2"), "duplicate key", Some((3, 1))),
        ("replicas = 3\n[scaled_object]\ntriggers = []".to_owned(), "either `replicas` or", Some((1, 1))),
        ("replicas = -3".to_owned(), "is not a number of replicas", Some((1, 1))),
        ("[scaled_object]\ntriggers = []".to_owned(), "trigger", None),
        ("[scaled_object]".to_owned(), "`triggers` is missing in `scaled_object`", Some((1, 2))),
        (String::new(), "this policy has no `[scaled_object]`", None),
        ("# nothing".to_owned(), "this policy has no `[scaled_object]`", None),
        ("\u{0}".to_owned(), "this is not TOML", Some((1, 2))),
        ("name = 'a'\n\tb".to_owned(), "this is not TOML", None),
        (format!("{POLICY}[tune]\nx = 3 3"), "this is not TOML", Some((8, 5))),
        (format!("{POLICY}[tune]\nx = {{ low = 3, high = 3 }}"), "is not below", Some((8, 13))),
    ];
    for (text, message, position) in cases {
        refusal("policy.toml", text.as_bytes(), message, position);
    }
}

#[test]
fn policies_in_yaml() {
    let cases = [
        (
            with(MANIFEST, "minReplicaCount", "minReplicasCount"),
            "unknown key `minReplicasCount` in `spec`",
            Some((8, 3)),
        ),
        (
            with(MANIFEST, "minReplicaCount", "min_replica_count"),
            "its own spelling is `minReplicaCount`",
            Some((8, 3)),
        ),
        (
            with(MANIFEST, "minReplicaCount: 1", "minReplicaCount: 6"),
            "`minReplicaCount` 6 is above `maxReplicaCount` 5",
            Some((8, 3)),
        ),
        (with(MANIFEST, "maxReplicaCount: 5", "maxReplicaCount: 0"), "is below 1", Some((9, 3))),
        (
            with(MANIFEST, "maxReplicaCount: 5", "maxReplicaCount: \"5\""),
            "stands where a whole number is expected in `spec.maxReplicaCount`",
            Some((9, 20)),
        ),
        (with(MANIFEST, "'2'", "2"), "must be a text, and here is the number 2", Some((15, 18))),
        (with(MANIFEST, "'2'", "2"), "quote it: \"2\"", Some((15, 18))),
        (with(MANIFEST, "'2'", "'2'\n      ignoreNullValues: false"), "quote it: \"false\"", Some((16, 25))),
        (with(MANIFEST, "'2'", "'2'\n      unsafeSsl: yes"), "quote it: \"yes\"", Some((16, 18))),
        (with(MANIFEST, "'2'", "'2'\n      activationThreshold:"), "and here is null", None),
        (
            with(MANIFEST, "    name: d", "    name: d\n    kind: StatefulSet"),
            "kind `StatefulSet` is not simulated",
            Some((8, 11)),
        ),
        (with(MANIFEST, "    name: d", "    name: D"), "is not a name in Kubernetes", Some((7, 11))),
        (with(MANIFEST, "    name: d", "    kind: Deployment"), "`name` is missing", None),
        (
            with(MANIFEST, "  name: a", "  name: a\n  namespace: \"a\\nb\""),
            "is not a name in Kubernetes",
            Some((5, 14)),
        ),
        (
            with(MANIFEST, "kind: ScaledObject", "kind: ScaledJob"),
            "there is no ScaledObject here, only ScaledJob",
            Some((2, 7)),
        ),
        (with(MANIFEST, "keda.sh/v1alpha1", "keda.k8s.io/v1alpha1"), "is not one of KEDA's", Some((1, 13))),
        (with(MANIFEST, "spec:\n", "spce:\n"), "did you mean `spec`?", Some((5, 1))),
        (
            with(MANIFEST, "kind: ScaledObject\n", "kind: ScaledObject\nkind: ScaledObject\n"),
            "duplicate mapping key `kind`",
            Some((3, 1)),
        ),
        (with(MANIFEST, "  name: a", "\tname: a"), "tab", Some((4, 2))),
        (with(MANIFEST, "    metadata:\n", "    metadata: [\n"), "this is not YAML", None),
        (format!("{MANIFEST}---\n{MANIFEST}"), "this is a second ScaledObject", Some((18, 7))),
        (
            with(
                MANIFEST,
                "spec:\n",
                "  annotations:\n    autoscaling.keda.sh/paused-replicas: \"many\"\nspec:\n",
            ),
            "is no number of replicas",
            Some((6, 5)),
        ),
        (with(MANIFEST, "spec:\n", "  annotations:\n    a: 1\nspec:\n"), "must be a text", Some((6, 8))),
        (
            with(MANIFEST, "  triggers:\n", "  fallback: 3\n  triggers:\n"),
            "a table is expected in `spec.fallback`",
            Some((10, 13)),
        ),
        (
            with(MANIFEST, "- type: prometheus", "- type: prometheus\n    metricTyp: Value"),
            "did you mean `metricType`?",
            Some((12, 5)),
        ),
        (
            with(MANIFEST, "- type: prometheus", "- type: prometheus\n    metricType: value"),
            "did you mean `Value`?",
            Some((12, 17)),
        ),
        ("a: 1".to_owned(), "`kind` is missing", Some((1, 1))),
        ("[1, 2]".to_owned(), "`kind` is missing", Some((1, 1))),
        ("{{ .Values.scaledObject }}".to_owned(), "a key must be a word", Some((1, 2))),
        (String::new(), "the file is empty", None),
        ("---\n".to_owned(), "the file is empty", None),
        ("\"\\xff".to_owned(), "this is not YAML", None),
    ];
    for (text, message, position) in cases {
        refusal("policy.yaml", text.as_bytes(), message, position);
    }
}

#[test]
fn experiments() {
    let shipped = Kind::Experiment.shipped("default").expect("it ships");
    let good = shipped.text();
    load(&[("experiment.toml", good.as_bytes())], &[]).unwrap_or_else(|error| panic!("{error}"));
    let cases = [
        (with(good, "rate = 25 ", "rate = -25"), "25"),
        (with(good, "rate = 25 ", "rate = nan"), "rate"),
        (with(good, "rate = 25 ", "rate = inf"), "rate"),
        (with(good, "rate = 25 ", "rte = 25"), "did you mean `rate`?"),
        (with(good, "mean = 1155", "mean = -1155"), "mean"),
        (with(good, "mean = 1155", "mean = inf"), "mean"),
        (with(good, "mean = 1155", "mean = 'long'"), "the string \"long\" stands where a number is expected"),
        (with(good, "lognormal\", mean = 1155", "lognornal\", mean = 1155"), "did you mean `lognormal`?"),
        (with(good, "chat = 1.0", "chat = 0"), "share"),
        (with(good, "chat = 1.0", "chta = 1.0"), "chta"),
        (with(good, "gpus_per_node = 8", "gpus_per_node = 0"), "a node without GPUs can run no replica"),
        (with(good, "gpus_per_node = 8", "gpus_per_node = -1"), "out of range"),
        (with(good, "attainment = 0.95", "attainment = 95"), "is not a share of requests"),
        (with(good, "attainment = 0.95", "attainment = nan"), "is not a share of requests"),
        (with(good, "ttft = \"2s\"", "ttft = \"2 parsecs\""), "is not a duration"),
        (with(good, "ttft = \"2s\"", "ttft = -1"), "not a number of seconds"),
        (with(good, "ttft = \"2s\"", "ttft = 0"), "no request can take no time"),
        (with(good, "duration = \"2h\"", "duration = \"0s\""), "a run without time shows nothing"),
        (with(good, "duration = \"2h\"", "duration = \"200y\""), "longer than 106 days"),
        (with(good, "seed = 1", "seed = -1"), "out of range"),
        (with(good, "seed = 1", "repetitions = 0"), "0 repetitions cannot be run"),
        (with(good, "seed = 1", "start = \"yesterday\""), "is not a time that a run can begin at"),
        (with(good, "seed = 1", "start = 1969-12-31T00:00:00Z"), "is not a time that a run can begin at"),
        (with(good, "seed = 1", "[measure]\nwarmup = \"2h\""), "the warm-up is as long as the run"),
        (with(good, "seed = 1", "[measure]\ntimeline = 0"), "the timeline would have more than"),
        (with(good, "seed = 1", "[cost]\nprice_per_gpu_hour = -1"), "is not a price"),
        (with(good, "seed = 1", "[cost]\nprice_per_gpu_hour = nan"), "is not a price"),
        (with(good, "seed = 1", "[cost]\nbill = \"gpus\""), "did you mean `gpu`?"),
        (with(good, "seed = 1", "[hpa]\nkubernetes = \"1.7\""), "not simulated"),
        (with(good, "seed = 1", "[hpa]\nsync_period = \"0s\""), "sync_period"),
        (with(good, "seed = 1", "[hpa]\ntolerance = -0.1"), "tolerance"),
        (with(good, "seed = 1", "[keda]\nversion = 2.20"), "quote it: \"2.20\""),
        (with(good, "seed = 1", "[keda]\nversion = \"2.2\""), "use 2.15 to 2.20"),
        (with(good, "seed = 1", "[gate]\nassert = [\"ttft_s.p95 = 2\"]"), "`=` is not a comparison"),
        (with(good, "seed = 1", "[sweep]"), "this sweep names no key"),
        (with(good, "seed = 1", "[monitoring]\nscrape_interval = 0"), "cannot scrape that often"),
        (with(good, "seed = 1", "[monitoring]\nprometheus = \"1.8\""), "is not known"),
        (with(good, "seed = 1", "[model]\nname = \"x\""), "a model is named by `model` in `[serving]`"),
        (with(good, "seed = 1", "[wrkload]"), "unknown key `wrkload`"),
        (with(good, "vllm = \"0.32\"", "vllm = \"0.8\""), "is not implemented"),
        (with(good, "vllm = \"0.32\"", "initial_replicas = -1\nvllm = \"0.32\""), "static"),
        (with(good, "model = \"llama-3.2-3b-a100-80gb-tp1\"", ""), "the experiment names no model"),
        (with(good, "a100-80gb-tp1", "a100-80gb-tp9"), "no shipped model of that name"),
        (with(good, "namespace = \"llm\"", "namespace = \"LLM\""), "is not a name in Kubernetes"),
        (with(good, "meta-llama/Llama-3.2-3B", "a\\\"} or vector(9"), "is not a served model name"),
        (good[..good.len() / 2].to_owned(), ""),
        (String::new(), "the experiment names no model"),
    ];
    for (text, message) in cases {
        if message == "static" {
            // A fixed number of replicas is that from the start, whatever the experiment says.
            load(&[("experiment.toml", text.as_bytes())], &[]).unwrap_or_else(|error| panic!("{error}"));
            continue;
        }
        refusal("experiment.toml", text.as_bytes(), message, None);
    }
}

#[test]
fn models() {
    let shipped = Kind::Model.shipped("llama-3.2-3b-a100-80gb-tp1").expect("it ships");
    let good = shipped.text();
    load(&[("model.toml", good.as_bytes())], &[]).unwrap_or_else(|error| panic!("{error}"));
    let cases = [
        (with(good, "tensor_parallel = 1", "tensor_parallel = 0"), "tensor_parallel"),
        (with(good, "tensor_parallel = 1", "tensor_paralel = 1"), "did you mean `tensor_parallel`?"),
        (with(good, "gpu = \"a100-80gb\"", "gpu = \"a100-8gb\""), "a100-80gb"),
        (with(good, "alpha = 1.0", "alpha = nan"), "alpha"),
        (with(good, "per_gpu_hour = 3.43", "per_gpu_hour = -3.43"), "per_gpu_hour"),
        ("name = 'x'".to_owned(), "is missing"),
        (String::new(), "is missing"),
    ];
    for (text, message) in cases {
        refusal("model.toml", text.as_bytes(), message, None);
    }
}

#[test]
fn bytes_that_are_no_text() {
    for name in ["policy.toml", "policy.yaml", "experiment.toml", "model.toml"] {
        refusal(name, b"name = '\xff\xfe'", "is not UTF-8", None);
        refusal(name, b"\xff\xfen\0", "UTF-16", None);
        let huge = vec![b'#'; SIZE_MAX_BYTES as usize + 1];
        refusal(name, &huge, "larger than 16 MiB", None);
        let long_line = format!("name = '{}' x", "é".repeat(300_000));
        refusal(name, long_line.as_bytes(), "", None);
    }
}

#[test]
fn line_endings_and_byte_order_marks_do_not_matter() {
    for (name, text) in [("policy.toml", POLICY), ("policy.yaml", MANIFEST)] {
        for text in [
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}"),
            format!("\u{feff}{}", text.replace('\n', "\r\n")),
        ] {
            let scenario = load(&[(name, text.as_bytes())], &[]).unwrap_or_else(|error| panic!("{error}"));
            let spec = scenario.policy.scaled_object().expect("a ScaledObject");
            assert_eq!(
                (spec.min_replica_count, spec.triggers[0].metadata["threshold"].as_str()),
                (Some(1), "2")
            );
        }
    }
    let windows = with(POLICY, "= 1", "= -1").replace('\n', "\r\n");
    refusal("policy.toml", windows.as_bytes(), "is below 0", Some((2, 1)));
}

#[test]
fn bombs() {
    let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        writeln!(laughs, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 9].join(","))
            .expect("text");
    }
    let started = std::time::Instant::now();
    refusal("policy.yaml", laughs.as_bytes(), "aliases", None);
    refusal("policy.yaml", format!("a: {}", "[".repeat(1_000_000)).as_bytes(), "", None);
    refusal("policy.yaml", format!("a: {}", "{a: ".repeat(1_000_000)).as_bytes(), "", None);
    refusal("policy.yaml", "- ".repeat(1_000_000).as_bytes(), "", None);
    refusal("policy.toml", format!("a = {}", "[".repeat(1_000_000)).as_bytes(), "this is not TOML", None);
    refusal("policy.toml", format!("a = {}", "{a=".repeat(100_000)).as_bytes(), "this is not TOML", None);
    refusal("policy.toml", format!("[{}a]", "a.".repeat(1_000_000)).as_bytes(), "", None);
    refusal("policy.toml", format!("a = [{}]", "1,".repeat(5_000_000)).as_bytes(), "200000 values", None);
    refusal("policy.yaml", format!("a: [{}]", "1,".repeat(5_000_000)).as_bytes(), "20000 values", None);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_policy_is_told_from_its_text_where_its_name_does_not_say() {
    for (name, text) in
        [("policy", POLICY), ("policy.txt", MANIFEST), ("policy.conf", POLICY), ("policy.json", MANIFEST)]
    {
        load(&[(name, text.as_bytes())], &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// A text with a few bytes changed, left out or put in.
fn spoilt(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..text.len(), any::<u8>(), 0..4u8);
    proptest::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at.min(bytes.len().saturating_sub(1));
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.insert(at, b"\n\t \"'{}[]:#&*-.0"[usize::from(byte) % 16]),
                _ => drop(bytes.splice(at..(at + usize::from(byte % 8)).min(bytes.len()), [])),
            }
            if bytes.is_empty() {
                bytes.push(b' ');
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spoilt_policy_makes_it_panic(toml in spoilt(POLICY), yaml in spoilt(MANIFEST)) {
        for (name, bytes) in [("policy.toml", toml), ("policy.yaml", yaml)] {
            if let Err(error) = load(&[(name, &bytes)], &[]) {
                prop_assert!(!error.message().is_empty() && error.to_string().starts_with("error: "));
            }
        }
    }
}
