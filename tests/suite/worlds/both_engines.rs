//! Random small worlds under both engines: every file that a run writes is the same, byte by byte.

use super::small::{Small, crowded, shrinking, small};
use super::{Log, Stage, Told, ms, run};
use dryscale::analysis::{Answer, Bill, ClassTargets, Score, Scoring};
use dryscale::monitoring::wal;
use dryscale::report::{DecisionsJsonl, Names, PodsCsv, RequestsCsv, TimelineCsv, summary_json};
use dryscale::scenario::{self, Scenario};
use dryscale::serving::engine::{BatchShape, DecodeForm, EngineTiming, StepTimer};
use dryscale::simulation::record::{Fan, Fate, PodRecord, Recorder, RequestRecord};
use dryscale::simulation::summary::Provenance;
use dryscale::simulation::{EngineKind, Setup};
use dryscale::units::SimDuration;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestRng, TestRunner};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `--out` writes beside the inputs.
const FILES: [&str; 6] =
    ["requests.csv", "pods.csv", "decisions.jsonl", "timeline.csv", "summary.json", "series.jsonl"];

/// As many as take a few seconds.
const CASES: u32 = 40;

/// A plant whose durations are whole milliseconds, so that steps end when requests come, clients give up and targets are
/// scraped; or whose steps grow until they leave their floor.
#[derive(Clone, Copy, Debug)]
struct Grid {
    prefill_ms: u64,
    decode_ms: u64,
    /// What a token of the contexts adds to a step that only decodes: 0 but for some grids, which are then none.
    context_us: u64,
    /// The least that such a step takes.
    floor_ms: u64,
    input_ms: u64,
    output_ms: u64,
    idle_ms: u64,
}

prop_compose! {
    fn grid()(
        prefill_ms in prop_oneof![Just(10u64), Just(100), 1u64..150],
        decode_ms in prop_oneof![Just(10u64), Just(50), 1u64..60],
        context_us in prop_oneof![Just(0u64), 1u64..10],
        floor_ms in prop_oneof![Just(0u64), 1u64..80],
        input_ms in 0u64..5,
        output_ms in 0u64..5,
        idle_ms in 0u64..5,
    ) -> Grid {
        Grid { prefill_ms, decode_ms, context_us, floor_ms, input_ms, output_ms, idle_ms }
    }
}

/// A world, and the plant that takes the place of its model's.
fn world() -> impl Strategy<Value = (Small, Option<Grid>)> {
    (prop_oneof![6 => small(), 2 => crowded(), 1 => shrinking()], prop::option::weighted(0.3, grid()))
}

impl Grid {
    fn put(self, setup: &mut Setup) {
        let engine = &mut setup.serving.engine;
        engine.step_time = Arc::new(self);
        engine.timing = EngineTiming { output_delay: ms(self.output_ms), idle_penalty: ms(self.idle_ms) };
        setup.serving.request_path.input = ms(self.input_ms);
    }
}

impl StepTimer for Grid {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        if batch.prefill_requests > 0 {
            return ms(self.prefill_ms);
        }
        let DecodeForm { base, context_slope, floor, .. } = self.decode_form(batch.decode_requests);
        SimDuration::from_ps(base.as_ps() + context_slope.as_ps() * batch.decode_context).max(floor)
    }

    fn decode_form(&self, _: u32) -> DecodeForm {
        DecodeForm {
            base: ms(self.decode_ms),
            context_slope: SimDuration::from_nanos(1000 * self.context_us),
            floor: ms(self.floor_ms),
            longest: SimDuration::MAX,
        }
    }
}

/// Counts how often an engine asks how long steps take: once a step, or once a run of steps.
struct Counted {
    timer: Arc<dyn StepTimer + Send + Sync>,
    asked: Arc<AtomicU64>,
}

impl StepTimer for Counted {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.timer.step_time(batch)
    }

    fn decode_form(&self, requests: u32) -> DecodeForm {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.timer.decode_form(requests)
    }
}

/// What a run wrote, what it told, and how often its engines asked for times.
struct Written {
    files: Vec<(&'static str, Vec<u8>)>,
    told: Told,
    asked: u64,
}

/// Runs the world as `simulate --out` does, into memory.
fn write(stage: &Stage, seed: u64, kind: EngineKind, grid: Option<Grid>, series: bool) -> Written {
    let (scenario, mut setup) = (&stage.scenario, stage.setup(seed));
    setup.serving.engine.kind = kind;
    if let Some(grid) = grid {
        grid.put(&mut setup);
    }
    let asked = Arc::<AtomicU64>::default();
    let timer = Arc::clone(&setup.serving.engine.step_time);
    setup.serving.engine.step_time = Arc::new(Counted { timer, asked: Arc::clone(&asked) });

    let mut timeline = TimelineCsv::new(Vec::new());
    let mut decisions = DecisionsJsonl::new(Vec::new());
    let mut pods = PodsCsv::new(Vec::new());
    let mut requests = RequestsCsv::new(Vec::new(), names(scenario));
    let mut log = Log(wal::Writer::new(Vec::new(), &scenario.series_header().expect("a release")));
    let mut score = Score::new(scoring(scenario, seed));
    let mut told = Told::default();
    let mut listeners: Vec<&mut dyn Recorder> =
        vec![&mut timeline, &mut decisions, &mut pods, &mut requests, &mut score, &mut told];
    if series {
        listeners.push(&mut log);
    }
    run(setup, &mut Fan(listeners));

    let answer = Answer::of(&[score.finish()]).expect("a run");
    let memory = "memory takes everything";
    let mut contents = vec![
        requests.finish().expect(memory),
        pods.finish().expect(memory),
        decisions.finish().expect(memory),
        timeline.finish().expect(memory),
        summary_json(&answer).into_bytes(),
    ];
    if series {
        contents.push(log.0.finish(told.totals.ended).expect(memory));
    }
    Written { files: FILES.into_iter().zip(contents).collect(), told, asked: asked.load(Ordering::Relaxed) }
}

fn names(scenario: &Scenario) -> Names {
    let classes = scenario.classes().expect("they were read");
    Names {
        sources: scenario.sources().expect("they were read"),
        classes: classes.into_iter().map(|class| class.name).collect(),
    }
}

fn scoring(scenario: &Scenario, seed: u64) -> Scoring {
    let classes = scenario.classes().expect("they were read").into_iter();
    let targets = classes.map(|class| ClassTargets {
        name: class.name,
        ttft: class.slo.ttft,
        tpot: class.slo.tpot,
        e2e: class.slo.e2e,
        attainment: class.slo.attainment,
    });
    Scoring {
        policy: scenario.policy.name.clone(),
        summary: scenario.policy.summary.clone(),
        classes: targets.collect(),
        warmup: scenario.measure.warmup.duration(),
        duration: scenario.duration,
        price_per_gpu_hour: scenario.price_per_gpu_hour(),
        bill: match scenario.cost.bill {
            scenario::Bill::Gpu => Bill::Gpu,
            scenario::Bill::Node => Bill::Node,
        },
        provenance: Provenance { version: String::new(), seed, inputs: scenario.inputs.clone() },
    }
}

/// The files in the order in which a difference is found: the first one names the cause best.
fn same_files(stepwise: &Written, fast: &Written) -> Result<(), String> {
    for ((name, expected), (_, got)) in stepwise.files.iter().zip(&fast.files) {
        same(name, expected, got)?;
    }
    Ok(())
}

/// Names the file and the first line of it that differs.
fn same(file: &str, stepwise: &[u8], fast: &[u8]) -> Result<(), String> {
    if stepwise == fast {
        return Ok(());
    }
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes).split_inclusive('\n').map(str::to_owned).collect()
    };
    let (stepwise, fast) = (lines(stepwise), lines(fast));
    let line = stepwise.iter().zip(&fast).take_while(|(a, b)| a == b).count();
    let shown =
        |lines: &[String]| lines.get(line).map_or("the end of the file".to_owned(), |l| format!("{l:?}"));
    Err(format!("{file}, line {}\nstepwise: {}\n    fast: {}", line + 1, shown(&stepwise), shown(&fast)))
}

/// Both engines write the same, and the fast one does too where nobody wants the series, so that it is looked at less.
fn both(stage: &Stage, seed: u64, grid: Option<Grid>) -> Result<(Written, Written), String> {
    let stepwise = write(stage, seed, EngineKind::Stepwise, grid, true);
    let fast = write(stage, seed, EngineKind::Fast, grid, true);
    same_files(&stepwise, &fast)?;
    let unseen = write(stage, seed, EngineKind::Fast, grid, false);
    same_files(&stepwise, &unseen).map_err(|difference| format!("{difference}\nwithout series"))?;
    Ok((stepwise, fast))
}

/// `PROPTEST_CASES`, where it is set.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_write_the_same_bytes((world, grid) in world()) {
        let stage = Stage::new(&world.experiment(), &world.trace());
        if let Err(difference) = both(&stage, world.seed, grid) {
            let (seed, experiment, trace) = (world.seed, world.experiment(), world.trace());
            return Err(TestCaseError::fail(format!("{difference}\nseed {seed}, {grid:?}\n{experiment}\n{trace}")));
        }
    }
}

/// How often what the engines could differ in happened in some worlds.
#[derive(Debug, Default)]
struct Reached {
    requests: usize,
    finished: usize,
    aborted: usize,
    /// Likewise, after a first token.
    aborted_in_answer: usize,
    killed: usize,
    refused_by_engine: usize,
    refused_at_cap: usize,
    held_by_gateway: usize,
    prefix_hits: u64,
    preemptions: u64,
    /// Requests that were aboard a pod when it was deleted, and those that it went on to answer.
    drained: (usize, usize),
    ticks: usize,
    /// Ticks at which a cache was full to 95 % or more.
    full_ticks: usize,
    warned_of_faults: usize,
    /// How often the engines asked how long steps take: stepwise, and fast.
    asked: (u64, u64),
}

impl Reached {
    fn add(&mut self, stepwise: &Written, fast: &Written) {
        let told = &stepwise.told;
        let count = |what: &dyn Fn(&RequestRecord) -> bool| told.requests.iter().filter(|r| what(r)).count();
        self.requests += told.requests.len();
        self.finished += count(&|r| r.fate == Fate::Finished);
        self.aborted += count(&|r| r.fate == Fate::Aborted);
        self.aborted_in_answer += count(&|r| r.fate == Fate::Aborted && r.first_token.is_some());
        self.killed += count(&|r| r.fate == Fate::Killed);
        self.refused_by_engine += count(&|r| r.reason.starts_with("max_num_queued"));
        self.refused_at_cap += count(&|r| r.reason == "cap");
        self.held_by_gateway += told.ticks.iter().filter(|tick| tick.held > 0).count();
        self.prefix_hits += told.totals.prefix_hits;
        self.preemptions += told.totals.preemptions;
        for pod in &told.pods {
            let aboard = || told.requests.iter().filter(|request| was_aboard(request, pod));
            self.drained.0 += aboard().count();
            self.drained.1 += aboard().filter(|request| request.fate == Fate::Finished).count();
        }
        self.ticks += told.ticks.len();
        self.full_ticks += told.ticks.iter().filter(|tick| tick.kv_usage_max >= 0.95).count();
        self.warned_of_faults +=
            told.totals.warnings.iter().filter(|warning| warning.contains("injected fault")).count();
        self.asked.0 += stepwise.asked;
        self.asked.1 += fast.asked;
    }
}

/// Whether the request was in the pod when that was deleted.
fn was_aboard(request: &RequestRecord, pod: &PodRecord) -> bool {
    let Some(deleted) = pod.deleted else { return false };
    request.pod == Some(pod.ordinal)
        && request.sent.is_some_and(|sent| sent < deleted)
        && request.ended.is_none_or(|ended| ended > deleted)
}

/// So many worlds of a strategy, always the same.
fn fixed<S: Strategy>(strategy: &S, worlds: usize) -> Vec<S::Value> {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    (0..worlds).map(|_| strategy.new_tree(&mut runner).expect("nothing is rejected").current()).collect()
}

fn reach(worlds: &[(Small, Option<Grid>)]) -> Reached {
    let mut reached = Reached::default();
    for (world, grid) in worlds {
        let stage = Stage::new(&world.experiment(), &world.trace());
        let (stepwise, fast) = both(&stage, world.seed, *grid).expect("both engines are one");
        reached.add(&stepwise, &fast);
    }
    reached
}

/// Whoever changes how worlds are drawn hears of it here if they no longer reach what the property is about.
#[test]
fn the_worlds_reach_what_the_engines_could_differ_in() {
    let grids = fixed(&prop::option::weighted(0.3, grid()), 20);
    let worlds: Vec<_> = fixed(&small(), 20).into_iter().zip(grids).collect();
    let reached = reach(&worlds);
    let Reached { finished, aborted, aborted_in_answer, killed, held_by_gateway, .. } = reached;
    assert!(finished > 1000 && aborted > 100 && aborted_in_answer > 100, "{reached:#?}");
    assert!(killed > 0 && held_by_gateway > 0 && reached.warned_of_faults > 0, "{reached:#?}");
    assert!(reached.refused_by_engine > 0 && reached.refused_at_cap > 0, "{reached:#?}");
    assert!(reached.prefix_hits > 0 && reached.preemptions > 100, "{reached:#?}");
    assert!(2 * reached.asked.1 < reached.asked.0, "{reached:#?}");
}

#[test]
fn shrinking_worlds_delete_pods_with_requests_aboard() {
    let reached = reach(&fixed(&(shrinking(), Just(None)), 6));
    let (aboard, answered) = reached.drained;
    assert!(aboard > answered && answered > 0, "{reached:#?}");
    assert!(2 * reached.asked.1 < reached.asked.0, "{reached:#?}");
}

#[test]
fn crowded_worlds_are_full_and_preempt_all_the_time() {
    let mut sum = Reached::default();
    for world in fixed(&(crowded(), Just(None)), 6) {
        let reached = reach(&[world]);
        // A policy may leave a world without pods.
        let served = reached.finished > 0;
        assert!(
            !served || (reached.full_ticks > 0 && 4 * reached.preemptions > reached.finished as u64),
            "{reached:#?}"
        );
        sum.ticks += reached.ticks;
        sum.full_ticks += reached.full_ticks;
        sum.prefix_hits += reached.prefix_hits;
    }
    assert!(2 * sum.full_ticks > sum.ticks && sum.prefix_hits > 0, "{sum:#?}");
}

/// The command itself: its folder holds no file, and its summary no key, that tells the engines apart.
#[test]
fn the_command_writes_the_same_folder() {
    for (world, _) in fixed(&world(), 6) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("experiment.toml"), world.experiment()).expect("written");
        fs::write(folder.path().join("trace.csv"), world.trace()).expect("written");
        let simulate = |engine: &str| {
            let out = folder.path().join(engine);
            let seed = world.seed.to_string();
            let command = Command::new(env!("CARGO_BIN_EXE_dryscale"))
                .current_dir(folder.path())
                .args(["simulate", "--experiment", "experiment.toml", "--seed", &seed, "--format", "json"])
                .args(["--engine", engine, "--out", engine])
                .output()
                .expect("it runs");
            assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
            let mut files = files(&out);
            files.insert("stdout".to_owned(), command.stdout);
            files
        };
        let (stepwise, fast) = (simulate("stepwise"), simulate("fast"));
        assert_eq!(stepwise.keys().collect::<Vec<_>>(), fast.keys().collect::<Vec<_>>());
        for name in FILES {
            assert!(stepwise.contains_key(name), "{name}");
        }
        for (name, bytes) in &stepwise {
            same(name, bytes, &fast[name]).unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
}

/// All that is below a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(
                self::files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
            );
        } else {
            files.insert(name, fs::read(&path).expect("readable"));
        }
    }
    files
}
