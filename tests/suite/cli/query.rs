//! `dryscale query`: what a recorded run's Prometheus would have answered.

use super::{BUSY, EAGER, Shell};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// The wall clock at the start of a run, in seconds since 1970.
const START_S: i64 = 1_767_600_000;

/// Between two scrapes of [`BUSY`], in seconds.
const INTERVAL_S: f64 = 5.0;

/// A folder with a recorded run of the busy world, in `run`.
fn recorded() -> Shell {
    let shell = Shell::new();
    shell.write("busy.toml", BUSY).write("eager.toml", EAGER);
    shell.run(&["simulate", "--experiment", "busy.toml", "--policy", "eager.toml", "--out", "run"]).expect(0);
    shell
}

impl Shell {
    /// The `data` of an answer that comes without a word.
    fn data(&self, query: &str, more: &[&str]) -> Value {
        let ended =
            self.run(&[&["query", query, "--run", "run", "--format", "json"], more].concat()).expect(0);
        assert_eq!(ended.stderr, "", "{}", ended.told());
        ended.json()
    }

    /// The only element of a vector.
    fn number(&self, query: &str, more: &[&str]) -> f64 {
        let data = self.data(query, more);
        assert_eq!(data["result"].as_array().map(Vec::len), Some(1), "{query}: {data}");
        data["result"][0]["value"][1].as_str().expect("a text").parse().expect("a number")
    }
}

#[test]
fn an_instant_is_answered_as_promtool_and_as_the_api_do() {
    let shell = recorded();
    let query = "count by (job) (up)";
    let text = shell.run(&["query", query, "--run", "run", "--at", "1m"]).expect(0);
    let at = START_S + 60;
    assert!(
        text.stdout.contains(&format!("{{job=\"kube-state-metrics\"}} => 1 @[{at}]\n")),
        "{}",
        text.told()
    );
    let data = shell.data(query, &["--at", "1m"]);
    assert_eq!(data["resultType"], "vector");
    let monitor = json!({ "metric": { "job": "kube-state-metrics" }, "value": [at, "1"] });
    assert!(data["result"].as_array().expect("an array").contains(&monitor), "{data}");
    // The same instant by the wall clock, and the end of the run.
    for same in ["60s", "2026-01-05T08:01:00Z", &at.to_string()] {
        assert_eq!(shell.data(query, &["--at", same]), data, "{same}");
    }
    assert_eq!(shell.data("time()", &[])["result"], json!([START_S + 90, (START_S + 90).to_string()]));
    assert_eq!(shell.data("'text'", &[])["result"][1], "text");
    let samples = shell.data("up{job='kube-state-metrics'}[30s]", &["--at", "1m"]);
    assert_eq!(samples["resultType"], "matrix");
    assert_eq!(samples["result"][0]["values"].as_array().map(Vec::len), Some(6), "{samples}");
    let scalar = shell.run(&["query", "1 + 1", "--run", "run", "--at", "0s"]).expect(0);
    assert_eq!(scalar.stdout, format!("scalar: 2 @[{START_S}]\n"));
}

/// Every value that KEDA read in the run, asked for again at the instant of its poll or sync.
#[test]
fn what_keda_read_is_answered_again() {
    let shell = recorded();
    let query = "sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)";
    let decisions = shell.read("run/decisions.jsonl");
    let mut values = BTreeSet::new();
    for decision in decisions.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        let readings = if decision["loop"] == "keda_poll" { "triggers" } else { "external_metrics" };
        let Some(value) = decision["detail"][readings][0]["value"].as_f64() else { continue };
        let at = format!("{}s", decision["t_s"]);
        let answer = shell.data(query, &["--at", &at]);
        let again = answer["result"].as_array().expect("an array").first().map(|sample| &sample["value"][1]);
        // KEDA takes nothing for 0.
        let again = again.map_or(0.0, |text| text.as_str().expect("a text").parse().expect("a number"));
        assert_eq!(again, value, "at {at}: {answer}");
        values.insert(value.to_bits());
    }
    assert!(values.len() >= 4, "the load changed: {} values", values.len());
}

/// A pod that is gone is seen for another 2.1 intervals after its last scrape; history shows it gone after one.
#[test]
fn what_was_visible_differs_from_history_while_a_pod_vanishes() {
    let shell = recorded();
    let mut pods = csv::Reader::from_path(shell.path("run/pods.csv")).expect("it opens");
    let pods: Vec<csv::StringRecord> = pods.records().collect::<Result<_, _>>().expect("CSV");
    // Long enough that it was scraped, and gone early enough that its markers came.
    let gone = |pod: &&csv::StringRecord| {
        let [ready, exited] = [5, 7].map(|at| pod[at].parse::<f64>().unwrap_or(f64::NAN));
        exited - ready > 3.0 * INTERVAL_S && exited < 70.0
    };
    let pod = pods.iter().find(gone).expect("a pod ended in time");
    let query = format!("timestamp(up{{pod='{}'}})", &pod[1]);
    let steps = |more: &[&str]| -> Vec<(f64, f64)> {
        let data = shell.data(&query, &[&["--range", "..", "--step", "100ms"], more].concat());
        assert_eq!(data["resultType"], "matrix");
        let values = data["result"][0]["values"].as_array().expect("the pod was there").iter();
        let since = |text: f64| text - START_S as f64;
        values
            .map(|point| {
                let sampled = point[1].as_str().expect("a text").parse::<f64>().expect("a number");
                (since(point[0].as_f64().expect("a time")), since(sampled))
            })
            .collect()
    };
    let (seen, history) = (steps(&[]), steps(&["--replay"]));
    let &(_, last_sample) = history.last().expect("some");
    let ends = |steps: &[(f64, f64)], after: f64| {
        let &(end, sample) = steps.last().expect("some");
        assert_eq!(sample, last_sample);
        assert!((end - (last_sample + after)).abs() <= 0.1, "{end} is not {after} s after {last_sample}");
    };
    ends(&history, INTERVAL_S);
    ends(&seen, 2.1 * INTERVAL_S);
    // At the beginning it is the other way round: a scrape's samples are seen when it has finished.
    assert!(seen[0].0 >= history[0].0);
    // At one instant between the two: a live query counts it, history does not.
    let between = format!("{}s", last_sample + 1.5 * INTERVAL_S);
    let count = format!("count(up{{pod='{}'}}) or vector(0)", &pod[1]);
    assert_eq!(shell.number(&count, &["--at", &between]), 1.0);
    assert_eq!(shell.number(&count, &["--at", &between, "--replay"]), 0.0);
    // As KEDA asks, the value is that of the whole second; history is asked at the instant itself.
    assert_eq!(shell.number("vector(time())", &["--at", "10.9s"]), (START_S + 10) as f64);
    assert_eq!(shell.number("vector(time())", &["--at", "10.9s", "--replay"]), START_S as f64 + 10.9);
}

#[test]
fn a_range_has_a_value_at_every_step() {
    let shell = recorded();
    let data = shell.data("up{job='kube-state-metrics'}", &["--range", "20s..1m", "--step", "10s"]);
    let times: Vec<&Value> =
        data["result"][0]["values"].as_array().expect("values").iter().map(|point| &point[0]).collect();
    assert_eq!(times, [20, 30, 40, 50, 60].map(|s| json!(START_S + s)).iter().collect::<Vec<_>>());
    // 250 steps or of a second, as promtool.
    let data = shell.data("vector(1)", &["--range", "20s.."]);
    assert_eq!(data["result"][0]["values"].as_array().map(Vec::len), Some(71));
    let text = shell.run(&["query", "vector(2)", "--run", "run", "--range", "1s..2s"]).expect(0);
    assert_eq!(text.stdout, format!("{{}} =>\n2 @[{}]\n2 @[{}]\n", START_S + 1, START_S + 2));
}

#[test]
fn a_selector_that_nothing_can_match_is_pointed_out() {
    let shell = recorded();
    for (query, says) in [
        ("sum(vllm:num_requests_wating)", "did you mean `vllm:num_requests_waiting`?"),
        ("vllm:gpu_cache_usage_perc", "0.32 calls it `vllm:kv_cache_usage_perc`"),
        ("sum(vllm:num_requests_waiting{namespace='prod'}) or vector(0)", "`namespace` is"),
        ("up{pod='vllm-0'}", "`pod` is here such as"),
    ] {
        let ended = shell.run(&["query", query, "--run", "run"]).expect(0);
        assert!(ended.stderr.starts_with("note: ") && ended.stderr.contains(says), "{}", ended.told());
        assert_eq!(ended.stdout.is_empty(), !query.contains("or vector"), "{}", ended.told());
    }
    let empty = shell.run(&["query", "up > 2", "--run", "run"]).expect(0);
    assert_eq!((empty.stdout.as_str(), empty.stderr.as_str()), ("", ""));
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_place() {
    let shell = recorded();
    let run = ["query", "up", "--run", "run"];
    for (arguments, code, says) in [
        (vec!["query", "sum(up", "--run", "run"], 3, "--> query:1:"),
        (vec!["query", "sum(up) by pod", "--run", "run"], 3, "^"),
        (vec!["query", "up / on() up", "--run", "run"], 3, "error: execution: "),
        (vec!["query", "up[1m]", "--run", "run", "--range", ".."], 3, "error: execution: "),
        (vec!["query", "up", "--run", "nowhere"], 3, "there is no such folder"),
        (vec!["query", "up", "--run", "run/inputs"], 3, "it holds no series.jsonl"),
        (vec!["query", "up", "--run", "busy.toml"], 3, "there is no such folder"),
        ([&run[..], &["--at", "91s"]].concat(), 3, "after the run ended"),
        ([&run[..], &["--at", "2026-01-05T07:59:59Z"]].concat(), 3, "before the run began"),
        ([&run[..], &["--range", "0s..91s"]].concat(), 3, "after the run ended"),
        ([&run[..], &["--range", "20s..10s"]].concat(), 3, "before start"),
        ([&run[..], &["--range", "..", "--step", "1ms"]].concat(), 3, "11,000 points"),
        ([&run[..], &["--at", "soon"]].concat(), 2, "12m30s"),
        ([&run[..], &["--range", "10s"]].concat(), 2, "A..B"),
        ([&run[..], &["--range", "..", "--step", "0.1"]].concat(), 2, "duration"),
        ([&run[..], &["--range", "..", "--at", "1s"]].concat(), 2, "cannot be used with"),
        ([&run[..], &["--step", "1s"]].concat(), 2, "--range"),
        (vec!["query", "up"], 2, "--run"),
    ] {
        let ended = shell.run(&arguments).expect(code);
        assert!(ended.stdout.is_empty() && ended.stderr.contains(says), "{}", ended.told());
    }
}

#[test]
fn a_log_that_was_cut_or_edited_is_refused_at_its_line() {
    let shell = recorded();
    let log = shell.read("run/series.jsonl");
    let lines: Vec<&str> = log.lines().collect();
    let edited = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at - 1] = line;
        lines.join("\n")
    };
    let samples = lines.iter().position(|line| line.starts_with("{\"samples\"")).expect("samples") + 1;
    let half = log.len() / 2;
    let cut = log[..half].lines().count();
    for (text, line, says) in [
        (String::new(), 1, "the file is empty"),
        (log[..half].to_owned(), cut, ""),
        (lines[..lines.len() - 1].join("\n"), lines.len() - 1, "cut short"),
        (
            edited(samples, "{\"samples\":{\"t_s\":1,\"visible_from_s\":1,\"values\":{\"0\":[]}}}"),
            samples,
            "0 values",
        ),
        (edited(samples, "timestamp,value"), samples, "expected value"),
        (edited(2, &lines[1].replacen("\"id\":0", "\"id\":4294967295", 1)), 2, "page 4294967295 comes"),
        (edited(1, "{}"), 1, ""),
    ] {
        shell.write("run/series.jsonl", text);
        let ended = shell.run(&["query", "up", "--run", "run"]).expect(3);
        let place = format!("run/series.jsonl:{line}");
        assert!(ended.stderr.contains(&place) && ended.stderr.contains(says), "{place}: {}", ended.told());
        assert!(ended.stderr.contains("help: ") && ended.stdout.is_empty(), "{}", ended.told());
    }
    fs::remove_file(shell.path("run/series.jsonl")).expect("removed");
    fs::create_dir(shell.path("run/series.jsonl")).expect("a folder");
    shell.run(&["query", "up", "--run", "run"]).expect(3);
}

/// Without `--out` only what the policy reads is scraped and kept; nobody can tell by the results.
#[test]
fn the_results_are_the_same_bytes_whether_all_is_recorded_or_not() {
    let shell = Shell::new();
    shell.write("busy.toml", BUSY).write("eager.toml", EAGER);
    let policies =
        ["eager.toml", "queue-threshold-2", "kv-cache-sum", "token-throughput", "ttft-p95", "static:2"];
    for policy in policies {
        let run = ["simulate", "--experiment", "busy.toml", "--policy", policy, "--format", "json"];
        let kept = shell.run(&run).expect(0);
        let recorded = shell.run(&[&run[..], &["--out", "run"]].concat()).expect(0);
        assert_eq!(kept.stdout, recorded.stdout, "{policy}");
        assert_eq!(shell.read("run/summary.json"), recorded.stdout, "{policy}");
        let at = ["--at", "6s"];
        let series = shell.number("count({__name__=~'.+'})", &at);
        assert!(series > 300.0, "{policy}");
        assert_eq!(
            series,
            shell.number("sum(scrape_samples_scraped + 3)", &at),
            "{policy}: with `up` and its like"
        );
    }
    // The series themselves are the same each time.
    let first = shell.read("run/series.jsonl");
    shell.run(&["simulate", "--experiment", "busy.toml", "--policy", "static:2", "--out", "run"]).expect(0);
    assert_eq!(shell.read("run/series.jsonl"), first);
}
