//! Arithmetic of the HPA that issues and guides state, and the experiments of `experiments/cases/`.
//!
//! Worked examples of llm-d's WVA are unit tests of `src/autoscaling/wva/analysis.rs`.

use dryscale::autoscaling::hpa::{
    ControllerManagerFlags, ExternalMetric, Fetched, HpaSpec, HpaState, HpaStatus, KubernetesVersion, Metric,
    MetricNames, MetricTarget, Scale, decide,
};
use dryscale::scenario::{Draft, Inputs};
use dryscale::units::{MilliValue, Replicas, SimTime};
use std::path::{Path, PathBuf};

/// An HPA with one external metric, from 1 to `max` replicas, without `behavior`.
fn hpa(target: MetricTarget, max: i32, kubernetes: &str, tolerance: f64) -> HpaSpec {
    let kubernetes = KubernetesVersion::parse(kubernetes).expect("a release");
    HpaSpec {
        min_replicas: Replicas(1),
        max_replicas: Replicas(max),
        metrics: vec![Metric::External(ExternalMetric { name: "s0-prometheus".to_owned(), target })],
        behavior: None,
        flags: ControllerManagerFlags { kubernetes, tolerance, ..ControllerManagerFlags::default() },
    }
}

fn scale(replicas: i32) -> Scale {
    Scale { spec: Replicas(replicas), status: Replicas(replicas), ready: Replicas(replicas) }
}

fn milli(value: f64) -> MilliValue {
    MilliValue((value * 1000.0).round() as i64)
}

/// What one sync at `replicas` proposes for `value`, before stabilization and bounds.
fn proposal(spec: &HpaSpec, replicas: i32, value: f64) -> i32 {
    let fetched = [Fetched::External(Ok(vec![milli(value)]))];
    let decision = decide(spec, scale(replicas), &mut HpaState::default(), SimTime::ZERO, &fetched);
    decision.proposal.expect("a proposal").get()
}

fn average(target: f64) -> MetricTarget {
    MetricTarget::AverageValue(milli(target))
}

#[test]
fn sums_over_a_threshold_ask_for_what_the_guides_say() {
    // Source, value, threshold, replicas, proposal.
    let cases = [
        ("5 requests wait", 5.0, 2.0, 1, 3),
        ("10 requests wait", 10.0, 2.0, 5, 5),
        ("KServe: sum of running", 6.0, 2.0, 1, 3),
        ("KServe with OpenTelemetry", 12.0, 4.0, 1, 3),
        ("llm-d: a backlog of 26.9 s", 26.9, 1.5, 1, 18),
        ("a latency of 12 s as AverageValue", 12.0, 5.0, 4, 3),
    ];
    for (source, value, threshold, replicas, expected) in cases {
        assert_eq!(
            proposal(&hpa(average(threshold), 100, "1.35", 0.1), replicas, value),
            expected,
            "{source}"
        );
    }
}

/// kubernetes#116984 expects one more at 37 over 9 pods and at 41 over 10, of 4 each. The tolerance swallows both.
#[test]
fn one_more_is_inside_of_the_tolerance() {
    for (total, replicas, without, with) in [(37.0, 9, 10, 9), (41.0, 10, 11, 10), (45.0, 10, 12, 12)] {
        assert_eq!(proposal(&hpa(average(4.0), 100, "1.35", 0.0), replicas, total), without, "{total}");
        assert_eq!(proposal(&hpa(average(4.0), 100, "1.35", 0.1), replicas, total), with, "{total}");
    }
}

/// 11 requests at 5 replicas of 2: a ratio of 1.1, which the two forms of the check see on different sides.
#[test]
fn the_edge_of_the_tolerance_depends_on_the_release() {
    assert_eq!(proposal(&hpa(average(2.0), 100, "1.33", 0.1), 5, 11.0), 5);
    assert_eq!(proposal(&hpa(average(2.0), 100, "1.32", 0.1), 5, 11.0), 6);
}

/// kedacore/keda#5781: a value of 4 on 3 replicas, of 21 each.
#[test]
fn the_status_shows_the_share_of_a_replica() {
    let spec = hpa(average(21.0), 100, "1.35", 0.1);
    let fetched = [Fetched::External(Ok(vec![milli(4.0)]))];
    let decision = decide(&spec, scale(3), &mut HpaState::default(), SimTime::ZERO, &fetched);
    let mut status = HpaStatus::new(MetricNames::plain("default", &spec));
    status.observe(&spec, &decision, SimTime::ZERO);
    assert_eq!(status.current_metrics[0].targets, "1334m/21 (avg)");
}

/// A mean has nothing to divide: over a target of its own size it never asks for more than a few replicas.
#[test]
fn means_cannot_scale() {
    for replicas in 1..=20 {
        for percent in 0..=100 {
            let mean = f64::from(percent) / 100.0;
            assert!(proposal(&hpa(average(0.8), 100, "1.35", 0.1), replicas, mean) <= 2, "{mean}");
            // A fraction of 1 against 80: the target of somebody who thinks of per cent.
            assert!(proposal(&hpa(average(80.0), 100, "1.35", 0.1), replicas, mean) <= 1, "{mean}");
        }
    }
    let value = MetricTarget::Value(milli(5.0));
    assert_eq!(proposal(&hpa(value, 100, "1.35", 0.1), 4, 12.0), 10, "a latency as Value");
}

/// llm-d's token-aware guide: prompts of 8192 tokens at so many a second, and 2696 tokens a second of prefill a replica.
#[test]
fn prefill_rates_ask_for_what_llm_d_expects() {
    for (rps, expected) in [(0.15, 1), (0.3, 1), (0.5, 2), (1.4, 4)] {
        let busy_replicas = rps * 8192.0 / 2696.0;
        let spec = hpa(average(1.0), 4, "1.35", 0.1);
        let mut replicas = 1;
        let mut state = HpaState::default();
        for sync in 0..4 {
            let fetched = [Fetched::External(Ok(vec![milli(busy_replicas)]))];
            let now = SimTime::from_ps(sync * 15_000_000_000_000);
            replicas = decide(&spec, scale(replicas), &mut state, now, &fetched).desired_replicas.get();
        }
        assert_eq!(replicas, expected, "{rps} requests a second");
    }
}

/// Five replicas without a request: nothing for 300 s, then all the way down in one step.
#[test]
fn an_idle_service_goes_down_in_one_step_after_the_window() {
    let spec = hpa(average(2.0), 5, "1.35", 0.1);
    let mut state = HpaState::default();
    let mut replicas = 5;
    let mut changes = Vec::new();
    for seconds in (0..=600).step_by(15) {
        let waiting = if seconds == 0 { 10.0 } else { 0.0 };
        let fetched = [Fetched::External(Ok(vec![milli(waiting)]))];
        let now = SimTime::from_ps(seconds * 1_000_000_000_000);
        let decided = decide(&spec, scale(replicas), &mut state, now, &fetched).desired_replicas.get();
        if decided != replicas {
            changes.push((seconds, decided));
        }
        replicas = decided;
    }
    assert_eq!(changes, [(315, 1)], "the recommendation of 0 s counts up to 300 s");
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/cases")
}

/// Files with the extension `toml` in `folder`, by name.
fn tomls(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("entry").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    files.sort();
    files
}

/// Those without a policy of their own load with each that is there; the trace of one may be absent.
#[test]
fn the_experiments_of_published_cases_are_worlds() {
    let policies = tomls(&cases().join("policies"));
    let experiments = tomls(&cases());
    assert!(policies.len() >= 4 && experiments.len() >= 6, "the folder is as it was written");
    let trace = cases().join("../../../shared/cases/aibrix_8min_lengths.csv");
    for experiment in experiments {
        if experiment.ends_with("aibrix.toml") && !trace.is_file() {
            super::oracle::say(&format!("skipped: {}", trace.display()));
            continue;
        }
        let text = std::fs::read_to_string(&experiment).expect("it reads");
        let own = text.lines().any(|line| line.starts_with("policy = ") || line == "[policy]");
        let named = || policies.iter().map(|policy| Some(policy.display().to_string())).collect();
        let meant: Vec<Option<String>> = if own { vec![None] } else { named() };
        for policy in meant {
            let inputs = Inputs {
                policy: policy.clone(),
                experiment: Some(experiment.display().to_string()),
                ..Inputs::default()
            };
            let setup = Draft::load(&inputs)
                .and_then(|draft| draft.scenario(&[]))
                .and_then(|scenario| scenario.setup(scenario.seed).map(drop));
            setup.unwrap_or_else(|error| panic!("{} under {policy:?}\n{error}", experiment.display()));
        }
    }
}
