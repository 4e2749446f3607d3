//! The HPA's arithmetic: `cargo bench --bench hpa`. Items are syncs of a target whose metrics swing, so that the window of
//! recommendations and the policies' events are as full as they get.

use divan::Bencher;
use divan::counter::ItemsCount;
use dryscale::autoscaling::hpa::{
    ControllerManagerFlags, Fetched, HorizontalPodAutoscalerSpec, HpaSpec, HpaState, ListedPod, Plan,
    PodMetrics, PodState, Scale, decide, plan,
};
use dryscale::units::{MilliValue, Replicas, SimDuration, SimTime};

fn main() {
    divan::main();
}

/// A day of syncs every 15 s.
const SYNCS: u64 = 5760;

const EXTERNAL: &str = r#"
type = "External"
metric = { name = "waiting" }
target = { type = "AverageValue", average_value = "2" }
query = "sum(vllm:num_requests_waiting)"
"#;

const PODS: &str = r#"
type = "Pods"
metric = { name = "running" }
target = { type = "AverageValue", average_value = "60" }
query = "vllm:num_requests_running"
"#;

const BEHAVIOR: &str = r#"
[behavior.scale_up]
stabilization_window_seconds = 60
policies = [{ type = "Pods", value = 4, period_seconds = 60 }, { type = "Percent", value = 50, period_seconds = 120 }]
[behavior.scale_down]
stabilization_window_seconds = 300
policies = [{ type = "Percent", value = 10, period_seconds = 60 }]
"#;

fn spec(metrics: &[&str]) -> HpaSpec {
    let metrics: String = metrics.iter().map(|metric| format!("[[metrics]]{metric}")).collect();
    let text = format!("min_replicas = 1\nmax_replicas = 100\n{metrics}{BEHAVIOR}");
    let spec: HorizontalPodAutoscalerSpec = toml::from_str(&text).expect("the spec reads");
    spec.resolve(&ControllerManagerFlags::default()).expect("the spec is good")
}

/// What is fetched at sync `i`: load comes and goes, twice an hour.
fn swing(i: u64) -> i64 {
    let phase = (i % 120) as i64;
    phase.min(120 - phase) * 6
}

fn day(spec: &HpaSpec, fetch: impl Fn(u64, Replicas) -> Vec<Fetched>) -> Replicas {
    let mut state = HpaState::default();
    let mut replicas = Replicas(1);
    for i in 0..SYNCS {
        let now = SimTime::ZERO + SimDuration::from_secs(15 * i);
        let scale = Scale { spec: replicas, status: replicas, ready: replicas };
        replicas = match plan(spec, scale, &mut state, now) {
            Plan::Decided(decision) => decision.desired_replicas,
            Plan::Fetch => decide(spec, scale, &mut state, now, &fetch(i, replicas)).desired_replicas,
        };
    }
    replicas
}

/// One, two and eight external metrics with behavior on both sides.
#[divan::bench(args = [1, 2, 8])]
fn external_metrics(bencher: Bencher<'_, '_>, metrics: usize) {
    let spec = spec(&vec![EXTERNAL; metrics]);
    bencher.counter(ItemsCount::new(SYNCS)).bench_local(|| {
        day(&spec, |i, _| vec![Fetched::External(Ok(vec![MilliValue(1000 * swing(i))])); metrics])
    });
}

/// A pods metric: each pod is looked at.
#[divan::bench]
fn pods_metric(bencher: Bencher<'_, '_>) {
    let spec = spec(&[PODS]);
    let name = |pod: i32| format!("llama-{pod}");
    bencher.counter(ItemsCount::new(SYNCS)).bench_local(|| {
        day(&spec, |i, replicas| {
            let value = MilliValue(1000 * 60 * swing(i) / i64::from(3 * replicas.get()));
            let running = |pod| ListedPod { name: name(pod), state: PodState::Running };
            vec![Fetched::Pods(Ok(PodMetrics {
                values: (0..replicas.get()).map(|pod| (name(pod), value)).collect(),
                pods: (0..replicas.get()).map(running).collect(),
            }))]
        })
    });
}
