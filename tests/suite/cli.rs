//! The command as a user types it, in a folder of its own: exit codes, the two channels, what is written and what is not.

mod comparisons;
mod files;
mod query;
mod refusals;
mod sweeps;

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder in which `dryscale` is run.
struct Shell {
    folder: TempDir,
}

/// How a command ended.
struct Ended {
    /// The command, for messages.
    typed: String,
    code: i32,
    stdout: String,
    stderr: String,
}

impl Shell {
    fn new() -> Self {
        Shell { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("it is written");
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What is in the folder, hidden names too, sorted.
    fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with_stdin(arguments, "")
    }

    /// Runs the command, which must not panic, whatever it is given.
    fn run_with_stdin(&self, arguments: &[&str], stdin: &str) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dryscale"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .write_stdin(stdin)
            .env_remove("RUST_BACKTRACE");
        let output = command.output().expect("it runs");
        let ended = Ended {
            typed: format!("dryscale {}", arguments.join(" ")),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        };
        for word in ["panicked", "bug in dryscale", "memory allocation"] {
            assert!(!ended.stderr.contains(word), "{}", ended.told());
        }
        ended
    }

    /// The summary of a `simulate` that succeeds.
    fn summary(&self, arguments: &[&str]) -> Value {
        let arguments = [&["simulate", "--format", "json"], arguments].concat();
        let ended = self.run(&arguments).expect(0);
        assert_eq!(ended.stderr, "", "{}", ended.told());
        ended.json()
    }
}

impl Ended {
    fn told(&self) -> String {
        format!("$ {}\n{}\n{}exit {}", self.typed, self.stdout, self.stderr, self.code)
    }

    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.told());
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.told()))
    }
}

/// Each request has one fate.
fn assert_conserved(requests: &Value) {
    let count = |key: &str| requests[key].as_u64().unwrap_or_else(|| panic!("{key} in {requests}"));
    let fates = ["finished", "aborted", "killed", "refused", "waiting", "running"];
    assert_eq!(fates.iter().map(|fate| count(fate)).sum::<u64>(), count("arrived"), "{requests}");
}

/// A small world in which much happens: overload, a client that gives up, scale-downs that kill, a queue.
const BUSY: &str = r#"
duration = "90s"
[[workload.class]]
name = "patient"
input = { dist = "lognormal", mean = 400, cv = 1, min = 1, max = 3000 }
output = { dist = "lognormal", mean = 100, cv = 1, min = 1, max = 600 }
[[workload.class]]
name = "hasty"
input = { dist = "constant", value = 900 }
output = { dist = "constant", value = 40 }
client = { timeout = "4s" }
[[workload.source]]
name = "users"
mix = { patient = 2, hasty = 1 }
rate = { points = { interp = "step", at = [["0s", 2], ["10s", 30], ["35s", 3], ["65s", 20]] } }
[serving]
model = "llama-3.2-3b-a100-80gb-tp1"
[serving.engine]
max_model_len = 4000
num_gpu_blocks_override = 400
max_num_seqs = 16
[serving.nodes]
gpus_per_node = 2
min_nodes = 1
max_nodes = 2
provisioning = { dist = "constant", value = "20s" }
[serving.startup]
image_pull = { dist = "constant", value = 1 }
boot = { dist = "constant", value = 1 }
weights = { dist = "constant", value = 2 }
compile = { dist = "constant", value = 0 }
profile = { dist = "constant", value = 0 }
graphs = { dist = "constant", value = 0 }
[serving.pod]
termination_grace_period = "2s"
[monitoring]
scrape_interval = "5s"
[slo]
ttft = "1s"
"#;

/// Follows the requests in flight, up and down at once.
const EAGER: &str = r#"
[scaled_object]
min_replica_count = 1
max_replica_count = 5
[scaled_object.advanced.horizontal_pod_autoscaler_config.behavior.scale_down]
stabilization_window_seconds = 0
[[scaled_object.triggers]]
type = "prometheus"
[scaled_object.triggers.metadata]
serverAddress = "http://prometheus:9090"
query = "sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)"
threshold = "6"
"#;

#[test]
fn the_first_command_works_in_an_empty_folder_and_writes_nothing() {
    let shell = Shell::new();
    let ended = shell.run(&["simulate", "--policy", "queue-threshold-2", "--duration", "2m"]).expect(0);
    assert!(ended.stdout.starts_with("queue-threshold-2 · Llama-3.2-3B on "), "{}", ended.told());
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.lines().count() <= 24, "{}", ended.told());
    assert!(shell.names(".").is_empty());
}

#[test]
fn a_policy_is_found_by_every_spelling_of_its_name_and_a_file_wins() {
    let shell = Shell::new();
    for name in ["concurrency", "concurrency.toml", "policies/concurrency", "policies/concurrency.toml"] {
        let summary = shell.summary(&["--policy", name, "--duration", "10s"]);
        assert_eq!(summary["policy"], "concurrency", "{name}");
    }
    shell.write("concurrency", "name = 'mine'\nreplicas = 2\n");
    let summary = shell.summary(&["--policy", "concurrency", "--duration", "10s"]);
    assert_eq!(summary["policy"], "mine");
    let ended = shell.run_with_stdin(
        &["simulate", "--policy", "-", "--duration", "10s", "--format", "json"],
        "name = 'piped'\nreplicas = 1\n",
    );
    assert_eq!(ended.expect(0).json()["policy"], "piped");
}

#[test]
fn a_fixed_fleet_of_any_size_runs() {
    let shell = Shell::new();
    for (policy, refused) in [("static:0", true), ("static:1", false), ("static:40", false)] {
        let summary = shell.summary(&["--policy", policy, "--duration", "20s"]);
        assert_conserved(&summary["requests"]);
        let requests = &summary["requests"];
        assert_eq!(requests["refused"] == requests["arrived"], refused, "{policy}: {requests}");
        assert_eq!(summary["scaling"]["ups"], 0);
    }
    let ended = shell.run(&["simulate", "--policy", "static:0", "--duration", "20s"]).expect(0);
    assert!(!ended.stdout.contains("0 requests waited"), "{}", ended.told());
}

#[test]
fn assertions_and_gates_decide_between_0_and_1_and_null_fails() {
    let shell = Shell::new();
    let run = |more: &[&str]| {
        shell.run(
            &[&["simulate", "--policy", "static:1", "--duration", "20s", "--format", "json"], more].concat(),
        )
    };
    let held = run(&["--assert", "replicas.max<=1", "--assert", "requests.killed == 0"]).expect(0);
    assert_eq!(held.stderr, "");
    let failed = run(&["--assert", "cost < 0", "--assert", "scaling.step_at_s > 0"]).expect(1);
    assert_eq!(failed.json(), held.json(), "a failed assertion changes no data");
    assert!(failed.stderr.contains("assertion failed: cost < 0"), "{}", failed.told());
    assert!(failed.stderr.contains("scaling.step_at_s > 0, but it is null"), "{}", failed.told());
    run(&["--set", "gate.assert=['cost<0']"]).expect(1);
    run(&["--set", "gate.assert=['cost<100']"]).expect(0);
}

#[test]
fn the_world_is_the_same_whatever_does_not_change_it() {
    let shell = Shell::new();
    shell.write("busy.toml", BUSY).write("eager.toml", EAGER);
    let arguments = ["--experiment", "busy.toml", "--policy", "eager.toml", "--repetitions", "3"];
    let one = shell.summary(&[&arguments[..], &["--threads", "1"]].concat());
    let four = shell.summary(&[&arguments[..], &["--threads", "4", "--out", "run"]].concat());
    assert_eq!(one, four);
    assert_eq!(one["repetitions"]["n"], 3);
    // The same policy, as a manifest.
    let exported = shell.run(&["export", "--policy", "eager.toml", "--output", "eager.yaml"]).expect(0);
    assert_eq!(exported.stdout, "");
    let manifest =
        shell.summary(&["--experiment", "busy.toml", "--policy", "eager.yaml", "--repetitions", "3"]);
    assert_eq!(manifest["requests"], one["requests"]);
    assert_eq!(manifest["scaling"], one["scaling"]);
}

#[test]
fn every_edge_of_the_world_conserves_its_requests() {
    let shell = Shell::new();
    shell.write("busy.toml", BUSY).write("eager.toml", EAGER);
    let world = ["--experiment", "busy.toml", "--policy", "eager.toml"];
    let edges: &[&[&str]] = &[
        &[],
        &["--drain"],
        &["policy.scaled_object.min_replica_count=0"],
        &["policy.scaled_object.min_replica_count=0", "serving.gateway={when_none_ready='hold'}"],
        &[
            "policy.scaled_object.min_replica_count=0",
            "serving.gateway={when_none_ready='hold',held_max=3,hold_timeout='1s'}",
            "policy.scaled_object.triggers.0.metadata.query=vector(time()%60 < bool 30)",
        ],
        &["policy.scaled_object.min_replica_count=3", "policy.scaled_object.idle_replica_count=0"],
        &["serving.nodes={gpus_per_node=1,min_nodes=1}"],
        &[
            "serving.nodes={gpus_per_node=1,min_nodes=0,max_nodes=3,provisioning={dist='constant',value='1h'}}",
        ],
        &["serving.pod={termination_grace_period='0s'}"],
        &["serving.pod={termination_grace_period='20s',pre_stop='5s',shutdown_timeout='10s'}"],
        &[
            "serving.pod={termination_grace_period='20s',pre_stop='20s',shutdown_timeout='1h',endpoint_delay='5s'}",
        ],
        &["workload.class.0.client.timeout='50ms'"],
        &["workload.source.0.max_in_flight={n=4,policy='drop'}"],
        &["workload.source.0.max_in_flight={n=4,policy='queue'}"],
        &["serving.engine.scheduling_policy=priority", "workload.class.1.priority=-5"],
        &["serving.engine.async_scheduling=false"],
        &["serving.engine.enable_chunked_prefill=false", "serving.engine.max_num_batched_tokens=4096"],
        &["serving.engine.num_gpu_blocks_override=40", "serving.engine.max_model_len=600"],
        &["serving.engine.max_model_len=64"],
        &["serving.engine.enable_prefix_caching=false", "serving.engine.watermark=0.5"],
        &["serving.engine.max_num_queued_reqs=2", "serving.engine.max_num_queued_tokens=5000"],
        &["serving.router.policy=least_requests"],
        &["serving.router.policy=random", "monitoring.discovery=endpoints"],
        &["monitoring.metrics_version='0.8.5'", "cost.bill=node", "measure.warmup='30s'"],
        &["workload.source.0.arrival={process='gamma',cv=5}"],
    ];
    for edge in edges {
        let settings = edge.iter().flat_map(|word| match *word {
            "--drain" => vec!["--drain"],
            setting => vec!["--set", setting],
        });
        let arguments: Vec<&str> = world.iter().copied().chain(settings).collect();
        let summary = shell.summary(&arguments);
        assert_conserved(&summary["requests"]);
        if edge.contains(&"--drain") {
            assert_eq!(summary["requests"]["waiting"], 0);
            assert_eq!(summary["requests"]["running"], 0);
        }
    }
}

#[test]
fn a_metric_that_errs_or_is_not_there_runs_and_is_told() {
    let shell = Shell::new();
    shell.write("busy.toml", BUSY);
    let cases = [
        ("vllm:num_requests_running", 2, "returned multiple elements"),
        ("sum(vllm:gpu_cache_usage_perc)", 1, "0.32 calls it `vllm:kv_cache_usage_perc`"),
        ("sum(no_such_metric)", 1, "nothing here exposes `no_such_metric`"),
        ("scalar(sum(vllm:num_requests_running))", 1, "wrap it in vector()"),
        ("vllm:num_requests_running[1m]", 1, "the query gives a range"),
    ];
    for (query, replicas, warning) in cases {
        let text = EAGER
            .replace("sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)", query)
            .replace("min_replica_count = 1", &format!("min_replica_count = {replicas}"));
        shell.write("policy.toml", text);
        let summary = shell.summary(&["--experiment", "busy.toml", "--policy", "policy.toml"]);
        let warnings = summary["warnings"].to_string();
        assert!(warnings.contains(warning), "{query}: {warnings}");
        assert_eq!(summary["scaling"]["ups"], 0, "{query}");
        assert_conserved(&summary["requests"]);
    }
}

/// That the folder holds what it should, and that its tables agree with the summary.
fn assert_whole(shell: &Shell, folder: &str, summary: &Value) {
    let rows = |name: &str| -> Vec<csv::StringRecord> {
        let mut reader = csv::Reader::from_path(shell.path(folder).join(name)).expect("it opens");
        reader.records().collect::<Result<_, _>>().expect("CSV")
    };
    assert_eq!(
        &serde_json::from_str::<Value>(&shell.read(&format!("{folder}/summary.json"))).expect("JSON"),
        summary
    );
    let requests = rows("requests.csv");
    let arrived = summary["requests"]["arrived"].as_u64().expect("a count");
    assert_eq!(requests.len() as u64, arrived);
    for fate in ["finished", "aborted", "killed", "refused", "waiting", "running"] {
        let count = requests.iter().filter(|row| row.iter().any(|cell| cell == fate)).count();
        assert_eq!(summary["requests"][fate], count, "{fate}");
    }
    assert_eq!(
        rows("timeline.csv").len() as u64,
        summary["duration_s"].as_f64().expect("seconds") as u64 / 10
    );
    assert!(!rows("pods.csv").is_empty());
    for line in shell.read(&format!("{folder}/decisions.jsonl")).lines() {
        serde_json::from_str::<Value>(line).expect("a decision a line");
    }
}

/// Whether `path` is not there, and nothing half-written beside it.
fn nothing_at(shell: &Shell, path: &str) -> bool {
    let name = Path::new(path).file_name().expect("a name").to_string_lossy().into_owned();
    shell.names(".").iter().all(|other| !other.contains(&name))
}
