//! Every shipped policy, run: what its comment claims, it does.
//!
//! The world is small and slow, so that a run is quick: 8 seats a replica, 64 KV blocks a request, steps of half a second
//! with a prompt and of a quarter without; a replica answers some 1.3 requests a second. Pods start in 40 s. Half a request a
//! second comes for 3 minutes, then 4 a second, which three or four replicas would take, up to the 14th minute.

use super::{Stage, Steps, Told, at, secs};
use dryscale::scenario::{Draft, Inputs, Kind, Policy, Target};
use dryscale::simulation::record::Controller;
use dryscale::units::Replicas;
use std::fs;
use std::sync::Arc;

const STEP_UP: &str = "[['0s', 0.5], ['3m', 0.5], ['3m', 4], ['14m', 4]]";

fn experiment(load: &str, duration: &str) -> String {
    format!(
        r#"
duration = "{duration}"
[[workload.class]]
finish = "length"
input = {{ dist = "constant", value = 1000 }}
output = {{ dist = "constant", value = 20 }}
[[workload.source]]
rate = {{ points = {{ at = {load} }} }}
arrival = {{ process = "constant" }}
[serving]
model = "llama-3.2-3b-a100-80gb-tp1"
[serving.engine]
max_num_seqs = 8
max_model_len = 2048
num_gpu_blocks_override = 540
[serving.nodes]
gpus_per_node = 10
[serving.startup]
schedule = 0
image_pull = 0
boot = 40
weights = 0
compile = 0
profile = 0
graphs = 0
"#
    )
}

/// Runs a shipped policy, with this setting unless it is empty, under this load.
fn run(policy: &str, setting: &str, load: &str, duration: &str) -> (Stage, Told) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("experiment.toml");
    fs::write(&path, experiment(load, duration)).expect("the experiment is written");
    let inputs = Inputs {
        policy: Some(policy.to_owned()),
        experiment: Some(path.display().to_string()),
        settings: (!setting.is_empty()).then(|| setting.to_owned()).into_iter().collect(),
        ..Inputs::default()
    };
    let scenario = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]));
    let scenario = scenario.unwrap_or_else(|error| panic!("{policy}: {error}"));
    let stage = Stage { _folder: folder, scenario };
    let told = stage.run_with(1, |setup| {
        setup.serving.engine.step_time = Arc::new(Steps { prefill_ms: 500, decode_ms: 250 });
    });
    (stage, told)
}

/// What a policy does when the load steps up.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// It grows beyond two replicas, and no query fails for good or is empty throughout.
    Grows,
    /// It grows to its maximum, and is not smaller before the load ends.
    GrowsToTheMaximum,
    /// It grows to so many replicas and no further, although requests wait.
    GrowsTo(i32),
    /// It grows one replica at a time.
    GrowsByOne,
    /// It grows, and is smaller again while the load is what it was.
    FallsBack,
    /// It grows to two replicas; from then on its query fails and it stays there, without load too.
    StuckAtTwo,
    /// It stays at one replica, although requests wait.
    StaysAtOne,
    /// It is worth nothing at any time, whatever else grows.
    FirstTriggerIsEmpty,
    /// So many replicas are there before the load is.
    IsThereBefore(i32),
}
use Claim::*;

/// A shipped policy, a setting or none, what it does, and the words of the warning that is due, or none.
type Row = (&'static str, &'static str, Claim, &'static str);

const ROWS: &[Row] = &[
    ("aibrix-apa", "", GrowsToTheMaximum, ""),
    ("aibrix-kpa", "", FallsBack, ""),
    ("batch-occupancy", "", FirstTriggerIsEmpty, "nothing here exposes `vllm:num_requests_max`"),
    ("concurrency", "", Grows, ""),
    ("e2e-p95-and-queue", "", Grows, ""),
    ("gateway-queue-and-running", "", Grows, ""),
    ("gpu-utilization", "", GrowsToTheMaximum, ""),
    ("keepalive-scale-to-zero", "", GrowsTo(2), "returned multiple elements"),
    ("knative-kpa", "", Grows, ""),
    ("kserve-running-raw", "", StuckAtTwo, "returned multiple elements"),
    ("kthena-decode", "", Grows, ""),
    ("kthena-prefill", "", Grows, ""),
    ("kv-cache-avg", "", GrowsTo(2), "0.32 calls it `vllm:kv_cache_usage_perc`"),
    ("kv-cache-avg-80", "", StaysAtOne, ""),
    ("kv-cache-sum", "", Grows, ""),
    ("pending-discount", "", Grows, ""),
    ("plain-hpa-pods", "", Grows, ""),
    ("pool-saturation", "", Grows, ""),
    ("queue-avg", "", Grows, ""),
    ("queue-raw", "", StuckAtTwo, "returned multiple elements"),
    ("queue-threshold-2", "", Grows, ""),
    ("queue-with-behavior", "", Grows, ""),
    // A replica answers 1.3 requests a second, however many come.
    ("request-rate", "", StaysAtOne, ""),
    ("request-rate", "policy.scaled_object.triggers.0.metadata.threshold=1", Grows, ""),
    ("running-per-replica", "", GrowsToTheMaximum, ""),
    ("scheduled-bounds", "", IsThereBefore(3), ""),
    ("slo-saturation", "", Grows, ""),
    ("token-backlog", "", Grows, ""),
    // Likewise of 26 tokens a second.
    ("token-throughput", "", StaysAtOne, ""),
    ("token-throughput", "policy.scaled_object.triggers.0.metadata.threshold=20", Grows, ""),
    ("tpot-p95", "", StaysAtOne, "the query was empty at all"),
    ("tpot-p95", "monitoring.metrics_version='0.11'", Grows, ""),
    ("ttft-mean", "", Grows, ""),
    ("ttft-p95", "", Grows, ""),
    ("ttft-p99-average", "", Grows, ""),
    ("weighted-queue", "", Grows, ""),
    ("wva", "", GrowsByOne, ""),
    ("wva-keda", "", GrowsByOne, ""),
];

/// The end of the load, in seconds.
const LOAD_ENDS_S: u64 = 14 * 60;

fn holds(row: &Row, stage: &Stage, told: &Told) {
    let (policy, setting, claim, warning) = row;
    let sizes: Vec<(u64, i32)> =
        told.scales.iter().map(|scale| (scale.at.as_millis() / 1000, scale.to.get())).collect();
    let what = format!("{policy} {setting}: {sizes:?}, {:?}", told.totals.warnings);
    let (_, Replicas(peak)) = told.totals.replicas_range;
    let maximum = stage.scenario.policy.rule.range().1.get();
    let waits = told.totals.longest_queue;
    let under_load = || sizes.iter().filter(|(at, _)| *at < LOAD_ENDS_S);
    let falls = || under_load().zip(under_load().skip(1)).any(|(before, after)| after.1 < before.1);
    match claim {
        Grows => assert!(peak > 2, "{what}"),
        GrowsToTheMaximum => assert!(peak == maximum && !falls(), "{what}"),
        GrowsTo(size) => assert!(peak == *size && waits > 500, "{what}"),
        GrowsByOne => assert!(
            peak > 1 && told.scales.iter().all(|scale| scale.to.get() <= scale.from.get() + 1),
            "{what}"
        ),
        FallsBack => assert!(peak > 1 && falls(), "{what}"),
        StuckAtTwo => assert!(sizes.len() == 1 && peak == 2 && waits > 500, "{what}"),
        StaysAtOne => assert!(sizes.is_empty() && waits > 500, "{what}"),
        FirstTriggerIsEmpty => {
            let readings = told.readings(Controller::HpaSync, 0);
            assert!(readings.iter().all(|(_, value)| *value == 0.0) && waits > 0, "{what}");
        }
        IsThereBefore(size) => {
            let early = told.scales.iter().find(|scale| scale.to.get() >= *size).map(|scale| scale.at);
            assert!(early.is_some_and(|early| early < at(secs(60))), "{what}");
        }
    }
    // Queries without effect, of which a run always warns, and the first samples that are not there yet aside.
    let faults = ["nothing here exposes", "calls it", "was empty at all", "multiple elements"];
    let mut warned =
        told.totals.warnings.iter().filter(|text| faults.iter().any(|fault| text.contains(fault)));
    assert_eq!(warned.any(|text| text.contains(warning)), !warning.is_empty(), "{what}");
}

#[test]
fn every_shipped_policy_does_what_it_says() {
    for row in ROWS {
        let (policy, setting, ..) = row;
        let (stage, told) = run(policy, setting, STEP_UP, "20m");
        holds(row, &stage, &told);
    }
    for name in Kind::Policy.names() {
        assert!(ROWS.iter().any(|row| row.0 == name), "no row for {name}");
    }
}

/// No load for 8 minutes, then as much as four replicas would take, then none for 14.
#[test]
fn the_keepalive_wakes_its_service_and_stays_at_two_for_good() {
    let load = "[['0s', 0], ['8m', 0], ['8m', 4], ['11m', 4], ['11m', 0]]";
    let (_, told) = run("keepalive-scale-to-zero", "", load, "25m");
    let sizes: Vec<i32> = told.scales.iter().map(|scale| scale.to.get()).collect();
    assert_eq!(sizes, [0, 1, 2], "{:?}", told.scales);
    assert_eq!(told.request(0).reason, "no_ready_pod", "a Service without endpoints refuses");
    // With one replica at most its query works, and it sleeps again.
    let (_, told) = run("keepalive-scale-to-zero", "policy.scaled_object.max_replica_count=1", load, "25m");
    let sizes: Vec<i32> = told.scales.iter().map(|scale| scale.to.get()).collect();
    assert_eq!(sizes, [0, 1, 0], "{:?}", told.scales);
}

/// What stands behind `# ` in the first line.
fn first_line(text: &str) -> &str {
    text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default()
}

#[test]
fn all_27_policies_of_the_field_ship_each_with_its_verdict() {
    let mut ids = Vec::new();
    for name in Kind::Policy.names() {
        let source = Kind::Policy.shipped(name).expect("it ships");
        let text = source.text();
        let head = first_line(text);
        match head.strip_prefix('P').and_then(|rest| rest.get(..2)).and_then(|id| id.parse::<u32>().ok()) {
            Some(id) => ids.push(id),
            None => assert!(head.starts_with("Source: "), "{name}: {head}"),
        }
        let verdicts = ["# Right:", "# Wrong:", "# Wrong besides:", "# Mind:"];
        let judged = text.lines().any(|line| verdicts.iter().any(|verdict| line.starts_with(verdict)));
        assert!(judged, "{name} says what is right or wrong with it");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=27).collect::<Vec<u32>>());
}

#[test]
fn the_summaries_of_broken_policies_say_it_first() {
    // What a policy that counts answers cannot see is a matter of its threshold.
    let tuned: Vec<&str> = ROWS.iter().filter(|row| row.1.contains("policy.")).map(|row| row.0).collect();
    for (policy, _, claim, _) in ROWS.iter().filter(|row| row.1.is_empty()) {
        let source = Kind::Policy.shipped(policy).expect("it ships");
        let read = Policy::read(&source, &Target::default()).unwrap_or_else(|error| panic!("{error}"));
        let broken = matches!(claim, StuckAtTwo | FirstTriggerIsEmpty | FallsBack | GrowsTo(_) | StaysAtOne);
        let expected = broken && !tuned.contains(policy);
        assert_eq!(read.summary.starts_with("BROKEN: "), expected, "{policy}: {}", read.summary);
    }
}
