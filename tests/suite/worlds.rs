//! Whole worlds, end to end: what can be worked out by hand, and what holds in every world.

mod both_engines;
mod facts;
mod invariants;
mod random;
mod shipped_policies;
mod small;

use dryscale::monitoring::{Keep, wal};
use dryscale::random::Streams;
use dryscale::scenario::{Draft, Inputs, Scenario};
use dryscale::serving::engine::{BatchShape, DecodeForm, EngineTiming, StepTimer};
use dryscale::simulation::record::{
    Controller, DecisionRecord, Fan, PodRecord, Recorder, RequestRecord, RunTotals, ScaleRecord, TickRecord,
};
use dryscale::simulation::{Setup, World};
use dryscale::units::{SimDuration, SimTime};
use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;
use tempfile::TempDir;

/// Everything that a run tells.
#[derive(Clone, Debug, Default)]
struct Told {
    requests: Vec<RequestRecord>,
    decisions: Vec<DecisionRecord>,
    scales: Vec<ScaleRecord>,
    ticks: Vec<TickRecord>,
    pods: Vec<PodRecord>,
    totals: RunTotals,
}

impl Recorder for Told {
    fn request(&mut self, record: &RequestRecord) {
        self.requests.push(record.clone());
    }
    fn decision(&mut self, record: &DecisionRecord) {
        self.decisions.push(record.clone());
    }
    fn scale(&mut self, record: &ScaleRecord) {
        self.scales.push(record.clone());
    }
    fn tick(&mut self, record: &TickRecord) {
        self.ticks.push(record.clone());
    }
    fn pod(&mut self, record: &PodRecord) {
        self.pods.push(record.clone());
    }
    fn end(&mut self, totals: &RunTotals) {
        self.totals = totals.clone();
    }
    fn wants_decisions(&self) -> bool {
        true
    }
}

impl Told {
    /// The request with this ordinal.
    fn request(&self, ordinal: u64) -> &RequestRecord {
        self.requests.iter().find(|request| request.ordinal == ordinal).expect("it came due")
    }

    /// The pod with this ordinal.
    fn pod(&self, ordinal: u32) -> &PodRecord {
        self.pods.iter().find(|pod| pod.ordinal == ordinal).expect("it was created")
    }

    /// When a loop evaluated the trigger with this index, and the value that it saw; without those that were empty.
    fn readings(&self, controller: Controller, trigger: usize) -> Vec<(SimTime, f64)> {
        let list = match controller {
            Controller::KedaPoll => "triggers",
            Controller::HpaSync => "external_metrics",
            Controller::Schedule | Controller::Aibrix | Controller::Knative | Controller::Wva => {
                return Vec::new();
            }
        };
        let reading = |decision: &DecisionRecord| {
            Some((decision.at, decision.detail[list].get(trigger)?["value"].as_f64()?))
        };
        let decisions = self.decisions.iter().filter(|decision| decision.controller == controller);
        decisions.filter_map(reading).collect()
    }
}

/// An experiment in a folder of its own, which is there as long as this is.
struct Stage {
    _folder: TempDir,
    scenario: Scenario,
}

impl Stage {
    /// Reads the experiment; its workload may name `trace.csv`, which holds `trace`.
    fn new(experiment: &str, trace: &str) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("experiment.toml");
        fs::write(&path, experiment).expect("the experiment is written");
        fs::write(folder.path().join("trace.csv"), trace).expect("the trace is written");
        let inputs = Inputs { experiment: Some(path.display().to_string()), ..Inputs::default() };
        let scenario = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]));
        Stage { _folder: folder, scenario: scenario.unwrap_or_else(|error| panic!("{error}\n{experiment}")) }
    }

    fn setup(&self, seed: u64) -> Setup {
        self.scenario.setup(seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs it under `seed`, with another plant.
    fn run_with(&self, seed: u64, edit: impl FnOnce(&mut Setup)) -> Told {
        let (mut setup, mut told) = (self.setup(seed), Told::default());
        edit(&mut setup);
        run(setup, &mut told);
        told
    }

    /// Runs it under `seed` with all of its series recorded: what it told, and the series, read back.
    fn run_recorded(&self, seed: u64) -> (Told, wal::Recorded) {
        let header = self.scenario.series_header().expect("a release");
        let (mut told, mut log) = (Told::default(), Log(wal::Writer::new(Vec::new(), &header)));
        run(self.setup(seed), &mut Fan(vec![&mut told, &mut log]));
        let bytes = log.0.finish(told.totals.ended).expect("memory takes everything");
        let reader = wal::Reader::open(Box::new(Cursor::new(bytes))).expect("a log");
        assert_eq!(reader.header(), &header);
        (told, reader.read(Keep::All).expect("a whole log"))
    }
}

/// Runs a world to its end.
fn run(setup: Setup, recorder: &mut dyn Recorder) {
    let run = |world: World<'_>| world.run(&mut |_| ControlFlow::Continue(()));
    assert!(World::new(setup, recorder).and_then(run).expect("the run goes through").is_continue());
}

/// Writes the log of all series.
struct Log(wal::Writer<Vec<u8>>);

impl Recorder for Log {
    fn series(&mut self, record: &wal::Record) {
        self.0.write(record);
    }
    fn wants_series(&self) -> bool {
        true
    }
}

/// Steps that take as long whatever is in them: by hand, one can only add.
#[derive(Clone, Copy, Debug)]
struct Steps {
    prefill_ms: u64,
    decode_ms: u64,
}

impl StepTimer for Steps {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        ms(if batch.prefill_requests > 0 { self.prefill_ms } else { self.decode_ms })
    }

    fn decode_form(&self, _: u32) -> DecodeForm {
        DecodeForm::constant(ms(self.decode_ms))
    }
}

/// The plant of the worlds that are worked out by hand: 100 ms for a step with a prompt in it, 10 ms for any other; 3 ms from
/// the client to the engine, 2 ms back, and 4 ms more for the first step after idle.
fn plain_engine(setup: &mut Setup) {
    let engine = &mut setup.serving.engine;
    engine.step_time = Arc::new(Steps { prefill_ms: 100, decode_ms: 10 });
    engine.timing = EngineTiming { output_delay: ms(2), idle_penalty: ms(4) };
    setup.serving.request_path.input = ms(3);
}

fn ms(ms: u64) -> SimDuration {
    SimDuration::from_millis(ms)
}

fn secs(s: u64) -> SimDuration {
    SimDuration::from_secs(s)
}

fn at(d: SimDuration) -> SimTime {
    SimTime::ZERO + d
}

/// When Prometheus scrapes the target with this ordinal first, if it has known it from the start: its offset within the
/// interval is a stream of its own.
fn scrape_offset(seed: u64, target: u64, interval: SimDuration) -> SimDuration {
    ms(Streams::new(seed).named("prometheus/scrape-offset").at(target).below(interval.as_millis()))
}

/// When the loop with this phase and period comes round first.
fn phase(seed: u64, name: &str, period: SimDuration) -> SimDuration {
    SimDuration::from_ps(Streams::new(seed).stream(name).below(period.as_ps()))
}
