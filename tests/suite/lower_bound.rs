//! The least that any policy could use: at most what every policy uses that meets the SLO.

use dryscale::analysis::{Bill, ClassTargets, Score, Scoring, least_gpu_hours};
use dryscale::scenario::{Draft, Inputs, Scenario};
use dryscale::simulation::summary::{Provenance, Summary};
use dryscale::simulation::{Autoscaling, Schedule, ScheduleStep, World};
use dryscale::units::{Replicas, SimDuration, SimTime};
use proptest::prelude::*;
use std::fs;
use std::ops::ControlFlow;

/// A world that is small enough to be run many times.
#[derive(Clone, Debug)]
struct Small {
    seed: u64,
    rate: f64,
    prompt: u32,
    output: u32,
    cv: f64,
    seqs: u32,
    start_s: u32,
    ttft_ms: u32,
    tpot_ms: Option<u32>,
    e2e_s: Option<u32>,
    attainment: f64,
    drain: bool,
    bill: &'static str,
}

const MINUTES: u64 = 5;
const REPLICAS_MAX: i32 = 3;

impl Small {
    fn scenario(&self) -> Scenario {
        let Small { seed, rate, prompt, output, cv, seqs, start_s, ttft_ms, attainment, drain, bill, .. } =
            self;
        let mut targets = format!("ttft = '{ttft_ms}ms'\nattainment = {attainment}\n");
        targets.extend(self.tpot_ms.map(|ms| format!("tpot = '{ms}ms'\n")));
        targets.extend(self.e2e_s.map(|s| format!("e2e = '{s}s'\n")));
        let experiment = format!(
            "seed = {seed}
            duration = '{MINUTES}m'
            drain = {drain}
            policy = 'static:1'
            [[workload.class]]
            name = 'chat'
            input = {{ dist = 'lognormal', mean = {prompt}, cv = {cv}, min = 1, max = 4000 }}
            output = {{ dist = 'lognormal', mean = {output}, cv = {cv}, min = 1, max = 1000 }}
            [[workload.source]]
            mix = {{ chat = 1.0 }}
            rate = {rate}
            [serving]
            model = 'llama-3.2-3b-a100-80gb-tp1'
            engine = {{ max_num_seqs = {seqs} }}
            nodes = {{ gpus_per_node = {REPLICAS_MAX} }}
            startup = {{ schedule = 0, image_pull = 0, boot = {start_s}, weights = 0, compile = 0, profile = 0, graphs = 0 }}
            [slo]
            {targets}
            [measure]
            warmup = '20s'
            [cost]
            bill = '{bill}'
            "
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("small.toml");
        fs::write(&path, &experiment).expect("it is written");
        let inputs = Inputs { experiment: Some(path.display().to_string()), ..Inputs::default() };
        let scenario = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]));
        scenario.unwrap_or_else(|error| panic!("{error}\n{experiment}"))
    }
}

/// What a timetable does.
fn run(scenario: &Scenario, sizes: &[i32]) -> Summary {
    let part = SimDuration::from_secs(MINUTES * 60 / sizes.len() as u64);
    let step = |(i, &size): (usize, &i32)| {
        let at = SimTime::ZERO + part.checked_mul(i as u64).expect("minutes");
        ScheduleStep::new(at, Replicas(size))
    };
    let steps = sizes.iter().enumerate().map(step).collect();
    let schedule = Schedule::new(steps, Replicas(REPLICAS_MAX)).expect("a timetable");
    let mut setup = scenario.setup(scenario.seed).unwrap_or_else(|error| panic!("{error}"));
    setup.serving.initial_replicas = Replicas(sizes[0]);
    setup.autoscaling = Autoscaling::Schedule(schedule);
    let mut score = Score::new(scoring(scenario));
    let ran = World::new(setup, &mut score).and_then(|world| world.run(&mut |_| ControlFlow::Continue(())));
    assert!(ran.expect("the run goes through").is_continue());
    score.finish()
}

fn scoring(scenario: &Scenario) -> Scoring {
    let classes = scenario.classes().unwrap_or_else(|error| panic!("{error}"));
    let targets = classes.iter().map(|class| ClassTargets {
        name: class.name.clone(),
        ttft: class.slo.ttft,
        tpot: class.slo.tpot,
        e2e: class.slo.e2e,
        attainment: class.slo.attainment,
    });
    Scoring {
        policy: String::new(),
        summary: String::new(),
        classes: targets.collect(),
        warmup: scenario.measure.warmup.duration(),
        duration: scenario.duration,
        price_per_gpu_hour: 1.0,
        bill: if scenario.bills_nodes() { Bill::Node } else { Bill::Gpu },
        provenance: Provenance::default(),
    }
}

fn small() -> impl Strategy<Value = Small> {
    let load = (any::<u64>(), 0.05..12.0f64, 1..2000u32, 1..300u32, 0.1..1.5f64, 1..40u32);
    let slo = (300..6000u32, prop::option::of(12..80u32), prop::option::of(2..60u32), 0.3..1.0f64);
    let rest = (0..90u32, any::<bool>(), prop::sample::select(vec!["gpu", "node"]));
    (load, slo, rest).prop_map(
        |(
            (seed, rate, prompt, output, cv, seqs),
            (ttft_ms, tpot_ms, e2e_s, attainment),
            (start_s, drain, bill),
        )| Small {
            seed: seed % (1 << 53),
            rate,
            prompt,
            output,
            cv,
            seqs,
            start_s,
            ttft_ms,
            tpot_ms,
            e2e_s,
            attainment,
            drain,
            bill,
        },
    )
}

/// Timetables of five minutes that shrink, grow, come and go.
fn timetables() -> impl Strategy<Value = Vec<Vec<i32>>> {
    prop::collection::vec(prop::collection::vec(0..=REPLICAS_MAX, 1..=MINUTES as usize), 6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_policy_that_meets_the_slo_uses_less(world in small(), timetables in timetables()) {
        let scenario = world.scenario();
        let demand = scenario.demand(scenario.seed).unwrap_or_else(|error| panic!("{error}"));
        let fixed = (1..=REPLICAS_MAX).map(|n| vec![n]);
        for sizes in fixed.chain(timetables) {
            let summary = run(&scenario, &sizes);
            if summary.slo.met != Some(true) {
                continue;
            }
            let bound = least_gpu_hours(&demand, Replicas(sizes[0]));
            prop_assert!(
                summary.gpu_hours >= bound,
                "{sizes:?} meets the SLO with {} GPU-hours, below the bound {bound}", summary.gpu_hours
            );
            prop_assert!(demand.hopeless.is_none(), "{sizes:?} meets an SLO that none can meet");
        }
    }
}

/// Every timetable of five steps and up to two replicas, and one world after another: the bound is below the best of them,
/// and not idle.
#[test]
fn the_best_of_all_timetables_is_above_the_bound() {
    let mut tightest: f64 = 0.0;
    for (seed, rate, seqs) in [(1, 0.4, 4), (2, 1.2, 4), (3, 2.5, 8), (4, 6.0, 24)] {
        let world = Small {
            seed,
            rate,
            prompt: 400,
            output: 120,
            cv: 0.5,
            seqs,
            start_s: 40,
            ttft_ms: 3000,
            tpot_ms: Some(60),
            e2e_s: Some(30),
            attainment: 0.9,
            drain: false,
            bill: "gpu",
        };
        let scenario = world.scenario();
        let demand = scenario.demand(scenario.seed).unwrap_or_else(|error| panic!("{error}"));
        let bound = least_gpu_hours(&demand, Replicas(2));
        let all = (0..3_i32.pow(5)).map(|i| (0..5).map(|step| i / 3_i32.pow(step) % 3).collect::<Vec<i32>>());
        let met = all.filter_map(|sizes| {
            let summary = run(&scenario, &sizes);
            (summary.slo.met == Some(true)).then_some((summary.gpu_hours, sizes))
        });
        let best = met.min_by(|a, b| a.0.total_cmp(&b.0));
        let (hours, sizes) = best.unwrap_or_else(|| panic!("some timetable meets the SLO at {rate}/s"));
        assert!(hours >= bound, "{sizes:?} uses {hours}, below the bound {bound}");
        tightest = tightest.max(bound / hours);
    }
    assert!(tightest > 0.5, "a bound that is always far below is of no use: {tightest}");
}
