//! `dryscale simulate`: one policy over one world, and what it does there.

use super::assertions::Assertions;
use super::options::{Format, SimulateOptions, WorldOptions};
use super::progress::Bar;
use super::worlds::{DraftWorlds, command, run_failure, scoring};
use super::{ExitStatus, Failure, interrupt, output};
use crate::analysis::{self, Answer, Bounds, ClassTargets, Timeline};
use crate::monitoring::wal;
use crate::report::{self, Folder, Screen};
use crate::scenario::{Draft, Inputs, Scenario, SourceText};
use crate::simulation::record::{
    DecisionRecord, PodRecord, Recorder, RequestRecord, RunTotals, ScaleRecord, TickRecord,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What stdin may hold: a policy is a page of text.
const STDIN_MAX_BYTES: u64 = crate::scenario::SIZE_MAX_BYTES + 1;

/// Runs the command.
pub(super) fn run(options: &SimulateOptions) -> Result<ExitStatus, Failure> {
    let assertions = Assertions::parse(&options.assertions)?;
    let draft = Draft::load(&inputs(&options.world, options.policy.as_deref())?)?;
    let worlds = DraftWorlds::new(draft).with_engine(options.world.world.engine.into());
    let scenario = worlds.scenario(&[])?;
    let (simulated, bar) = (AtomicU64::new(0), bar_of(&scenario));
    let worlds = worlds.with_listener(move |now| {
        bar.at(simulated.fetch_max(now.as_millis(), Ordering::Relaxed).max(now.as_millis()));
    });
    let assertions = assertions.and(&scenario.gate.assertions);
    assertions.check(scoring(&scenario)?)?;
    let seeds = analysis::seeds(scenario.seed, scenario.repetitions);
    let folder = options.out.as_deref().map(|wanted| folder(wanted, &scenario, !options.no_requests));
    let mut listener = Listener { timeline: Timeline::new(), folder: folder.transpose()? };
    let stop = interrupt::on_ctrl_c();
    let answer = in_pool(options.world.world.threads, || {
        analysis::repeat(&worlds, &[], &seeds, &stop, Some(&mut listener))
    })?;
    let Some(answer) =
        answer.map_err(|error| run_failure(error, &command(options.policy.as_deref(), &options.world)))?
    else {
        output::talk("interrupted: nothing was written");
        return Ok(ExitStatus::Failed);
    };
    if let Some(folder) = listener.folder.take() {
        folder.finish(&answer).map_err(Failure::Problem)?;
    }
    match options.format {
        Format::Json => output::data(&report::summary_json(&answer))?,
        Format::Text => {
            output::data(&screen(&scenario, &answer, &listener.timeline, options.policy.as_deref())?)?
        }
    }
    assertions.judge(&answer, None)
}

/// The names of the command line, for the scenario.
pub(super) fn inputs(world: &WorldOptions, policy: Option<&str>) -> Result<Inputs, Failure> {
    let wants_stdin = policy == Some("-") || world.experiment.as_deref() == Some("-");
    Ok(Inputs {
        policy: policy.map(str::to_owned),
        experiment: world.experiment.clone(),
        model: world.world.model.clone(),
        trace: world.world.trace.clone(),
        duration: world.world.duration,
        seed: world.world.seed,
        repetitions: world.world.repetitions,
        drain: world.world.drain,
        settings: world.world.overrides.clone(),
        stdin: wants_stdin.then(|| output::stdin_bytes(STDIN_MAX_BYTES)).transpose()?,
    })
}

/// Runs `work` on so many threads; all cores without a number.
pub(super) fn in_pool<T: Send>(threads: Option<u16>, work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads.unwrap_or(0))).build();
    let pool = pool.map_err(|error| Failure::io("threads", std::io::Error::other(error)))?;
    Ok(pool.install(work))
}

fn bar_of(scenario: &Scenario) -> Bar {
    Bar::new(scenario.duration.as_millis(), "simulating {wide_bar} {percent} %")
}

/// Begins the folder `wanted` of a run.
pub(super) fn folder(wanted: &Path, scenario: &Scenario, requests: bool) -> Result<Folder, Failure> {
    let classes = scenario.classes()?.into_iter().map(|class| class.name).collect();
    let names = report::Names { sources: scenario.sources()?, classes };
    let input = |(role, source): (&str, &Arc<SourceText>)| report::Input {
        role: role.to_owned(),
        extension: source.extension().to_owned(),
        bytes: source.text().as_bytes().to_vec(),
    };
    let inputs: Vec<report::Input> = scenario.texts().into_iter().map(input).collect();
    Folder::create(wanted, &inputs, names, requests, &scenario.series_header()?).map_err(Failure::Problem)
}

fn screen(
    scenario: &Scenario,
    answer: &Answer,
    timeline: &Timeline,
    policy: Option<&str>,
) -> Result<String, Failure> {
    let classes: Vec<ClassTargets> = scoring(scenario)?.classes;
    let (min, max) = scenario.policy.rule.range();
    let bounds = Bounds { min, max };
    let title =
        [scenario.policy.name.clone(), scenario.model_title(), format!("vLLM {}", scenario.release.name())];
    let next = [
        ("what instead", "dryscale sweep thresholds".to_owned()),
        ("take it home", format!("dryscale export --policy {}", policy.unwrap_or_default())),
    ];
    // Only a ScaledObject can be exported, and a policy from stdin or inside an experiment has no name to export it by.
    let exported = policy.is_some_and(|name| name != "-") && scenario.policy.scaled_object().is_some();
    let next = if exported { &next[..] } else { &next[..1] };
    let screen = Screen {
        title: &title,
        answer,
        bounds,
        timeline,
        classes: &classes,
        currency: scenario.currency(),
        next,
    };
    Ok(screen.text())
}

/// Hears the first run: for the picture, and for the folder where one is wanted.
struct Listener {
    timeline: Timeline,
    folder: Option<Folder>,
}

impl Listener {
    fn each(&mut self, tell: impl Fn(&mut dyn Recorder)) {
        tell(&mut self.timeline);
        if let Some(folder) = &mut self.folder {
            tell(folder);
        }
    }
}

impl Recorder for Listener {
    fn request(&mut self, record: &RequestRecord) {
        self.each(|listener| listener.request(record));
    }
    fn decision(&mut self, record: &DecisionRecord) {
        self.each(|listener| listener.decision(record));
    }
    fn scale(&mut self, record: &ScaleRecord) {
        self.each(|listener| listener.scale(record));
    }
    fn tick(&mut self, record: &TickRecord) {
        self.each(|listener| listener.tick(record));
    }
    fn pod(&mut self, record: &PodRecord) {
        self.each(|listener| listener.pod(record));
    }
    fn series(&mut self, record: &wal::Record) {
        self.each(|listener| listener.series(record));
    }
    fn end(&mut self, totals: &RunTotals) {
        self.each(|listener| listener.end(totals));
    }
    fn wants_decisions(&self) -> bool {
        self.folder.as_ref().is_some_and(Folder::wants_decisions)
    }
    fn wants_series(&self) -> bool {
        self.folder.as_ref().is_some_and(Folder::wants_series)
    }
}
