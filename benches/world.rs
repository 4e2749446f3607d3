//! How fast a whole run is: `cargo bench --bench world`. Items are requests; everything that a command does for one is
//! in it but reading a trace and writing files.

use divan::Bencher;
use divan::counter::ItemsCount;
use dryscale::analysis::{Score, Scoring};
use dryscale::scenario::{Draft, Inputs, Scenario};
use dryscale::simulation::World;
use dryscale::simulation::summary::Summary;
use std::ops::ControlFlow;

fn main() {
    divan::main();
}

/// 80 requests a second with prompts of 512 and answers of 256 tokens on average, for 10 minutes on four replicas.
const WORLD: &str = r#"
duration = "10m"

[[workload.class]]
input = { dist = "lognormal", mean = 512, cv = 1.0, min = 4, max = 8192 }
output = { dist = "lognormal", mean = 256, cv = 1.0, min = 2, max = 4096 }

[[workload.source]]
rate = 80

[serving]
model = "llama-3.2-3b-a100-80gb-tp1"
"#;

/// Four replicas, whatever the loop says: scrapes, a quantile and a queue at every poll and sync, and no consequence.
const LOOP: &str = r#"
[policy.scaled_object]
min_replica_count = 4
max_replica_count = 4
polling_interval = 15

[[policy.scaled_object.triggers]]
type = "prometheus"
metric_type = "Value"
[policy.scaled_object.triggers.metadata]
serverAddress = "http://prometheus"
query = 'histogram_quantile(0.95, sum(rate(vllm:time_to_first_token_seconds_bucket[2m])) by (le))'
threshold = "2"

[[policy.scaled_object.triggers]]
type = "prometheus"
[policy.scaled_object.triggers.metadata]
serverAddress = "http://prometheus"
query = 'sum(vllm:num_requests_waiting{namespace="$namespace", pod=~"$deployment.*"})'
threshold = "4"
"#;

fn scenario(experiment: &str, policy: Option<&str>) -> Scenario {
    let inputs = Inputs {
        experiment: Some("-".to_owned()),
        policy: policy.map(str::to_owned),
        stdin: Some(experiment.as_bytes().to_vec()),
        ..Inputs::default()
    };
    let scenario = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]));
    scenario.unwrap_or_else(|error| panic!("{error}"))
}

fn run(scenario: &Scenario) -> Summary {
    let mut score = Score::new(Scoring {
        policy: String::new(),
        summary: String::new(),
        classes: vec![Default::default()],
        warmup: Default::default(),
        duration: scenario.duration,
        price_per_gpu_hour: 1.0,
        bill: Default::default(),
        provenance: Default::default(),
    });
    let setup = scenario.setup(1).unwrap_or_else(|error| panic!("{error}"));
    let ran = World::new(setup, &mut score).and_then(|world| world.run(&mut |_| ControlFlow::Continue(())));
    assert!(ran.is_ok());
    score.finish()
}

fn bench(bencher: Bencher<'_, '_>, scenario: Scenario) {
    let arrived = run(&scenario).requests.arrived;
    bencher.counter(ItemsCount::new(arrived)).bench_local(|| run(&scenario));
}

/// Nothing but requests: what one costs on its way through clients, router, engine and score.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn fixed_fleet(bencher: Bencher<'_, '_>) {
    bench(bencher, scenario(WORLD, Some("static:4")));
}

/// The same with Prometheus, KEDA and the HPA at work.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn closed_loop(bencher: Bencher<'_, '_>) {
    bench(bencher, scenario(&format!("{WORLD}{LOOP}"), None));
}

/// Twenty requests a second for each of so many replicas, the loop on, to the one with the fewest requests: what a request
/// costs in a large fleet.
#[divan::bench(args = [1, 10, 100, 1000], sample_count = 3, sample_size = 1)]
fn replicas(bencher: Bencher<'_, '_>, replicas: u32) {
    let world = WORLD.replace("10m", "2m").replace("rate = 80", &format!("rate = {}", 20 * replicas));
    let policy = LOOP.replace("= 4\n", &format!("= {replicas}\n"));
    bench(bencher, scenario(&format!("{world}router = {{ policy = \"least_requests\" }}\n{policy}"), None));
}

/// The requests alone, made one at a time.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn requests(bencher: Bencher<'_, '_>) {
    let scenario = scenario(WORLD, Some("static:4"));
    let count = || {
        let mut requests = scenario.requests(1).unwrap_or_else(|error| panic!("{error}"));
        let next = || requests.next_request().unwrap_or_else(|problem| panic!("{problem}"));
        std::iter::from_fn(next).count()
    };
    bencher.counter(ItemsCount::new(count())).bench_local(count);
}
