//! The worlds of a command: a draft, the settings of a point, and a seed become a run.

use super::Failure;
use super::options::{Engine, WorldOptions};
use crate::analysis::{self, Bounded, Bug, ClassTargets, RunError, Scoring, Stop, SweepError, Worlds};
use crate::scenario::{self, Demand, Draft, InputError, Scenario};
use crate::simulation::record::Recorder;
use crate::simulation::summary::Provenance;
use crate::simulation::{Autoscaling, EngineKind, Schedule, Setup, World};
use crate::units::SimTime;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hears the simulated time of a run now and then.
type Listener = dyn Fn(SimTime) + Sync + Send;

/// So many scenarios are kept: a few points at a time are run, and all of a large sweep would fill the memory.
const SCENARIOS_MAX: usize = 256;

/// Runs the worlds of one draft.
pub(super) struct DraftWorlds {
    draft: Draft,
    /// What answers call the policy, where its own name will not do.
    name: Option<String>,
    engine: EngineKind,
    listener: Option<Box<Listener>>,
    scenarios: Mutex<BTreeMap<String, Arc<Scenario>>>,
}

impl DraftWorlds {
    pub(super) fn new(draft: Draft) -> Self {
        DraftWorlds {
            draft,
            name: None,
            engine: EngineKind::default(),
            listener: None,
            scenarios: Mutex::default(),
        }
    }

    /// Lets answers call the policy `name`.
    pub(super) fn called(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Lets `engine` advance the replicas.
    pub(super) fn with_engine(self, engine: EngineKind) -> Self {
        DraftWorlds { engine, ..self }
    }

    /// Lets `listener` hear how far a run is.
    pub(super) fn with_listener(mut self, listener: impl Fn(SimTime) + Sync + Send + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// The scenario of a point; built once for the seeds of a point that run together.
    pub(super) fn scenario(&self, settings: &[analysis::Setting]) -> Result<Arc<Scenario>, InputError> {
        let key =
            settings.iter().map(|setting| format!("{}={}\n", setting.key, setting.value)).collect::<String>();
        if let Some(known) = lock(&self.scenarios).get(&key) {
            return Ok(Arc::clone(known));
        }
        let settings = settings.iter().map(|setting| scenario::Setting::of(&setting.key, &setting.value));
        let scenario = Arc::new(self.draft.scenario(&settings.collect::<Result<Vec<_>, _>>()?)?);
        let mut scenarios = lock(&self.scenarios);
        if scenarios.len() >= SCENARIOS_MAX {
            scenarios.clear();
        }
        scenarios.insert(key, Arc::clone(&scenario));
        Ok(scenario)
    }

    fn simulate(
        &self,
        scenario: &Scenario,
        mut setup: Setup,
        stop: &Stop,
        recorder: &mut dyn Recorder,
    ) -> Result<ControlFlow<()>, InputError> {
        setup.serving.engine.kind = self.engine;
        let mut progress = |now: SimTime| {
            if let Some(listener) = &self.listener {
                listener(now);
            }
            if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        World::new(setup, recorder)
            .and_then(|world| world.run(&mut progress))
            .map_err(|problem| scenario.locate_workload(problem))
    }
}

/// What the user is told of a run that gave no summary. `command` runs the world again, up to settings.
pub(super) fn run_failure(error: RunError<InputError>, command: &str) -> Failure {
    match error {
        RunError::Input(error) => error.into(),
        RunError::Bug(bug) => Failure::Bug(bug_report(&bug, command)),
    }
}

/// What the user is told of a sweep that could not be planned or finished.
pub(super) fn sweep_failure(error: SweepError<InputError>) -> Failure {
    match error {
        SweepError::Problem(problem) => Failure::Problem(problem),
        SweepError::Point { settings, error } => {
            let settings = settings.iter().map(|setting| format!("{}={}", setting.key, setting.text()));
            error.note(format!("at the point {}", settings.collect::<Vec<_>>().join(", "))).into()
        }
    }
}

/// The command that runs a world again, up to seed and the settings of a point.
pub(super) fn command(policy: Option<&str>, options: &WorldOptions) -> String {
    let world = &options.world;
    let mut words = vec!["dryscale simulate".to_owned()];
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    words.extend(policy.map(|policy| format!("--policy {policy}")));
    words.extend(options.experiment.iter().map(|name| format!("--experiment {name}")));
    words.extend(world.model.iter().map(|name| format!("--model {name}")));
    words.extend(world.trace.iter().map(|path| format!("--trace {}", path.display())));
    words.extend(
        world.duration.iter().map(|time| format!("--duration '{}'", humantime::format_duration(*time))),
    );
    words.extend(world.drain.then(|| "--drain".to_owned()));
    words.extend(world.overrides.iter().map(|setting| format!("--set {}", quoted(setting))));
    words.extend((world.engine == Engine::Stepwise).then(|| "--engine stepwise".to_owned()));
    words.join(" ")
}

/// A panic, and how to see it again.
pub(super) fn bug_report(bug: &Bug, command: &str) -> String {
    format!("{bug}\n  replay: {}", bug.replay(command))
}

impl Worlds for DraftWorlds {
    type Error = InputError;

    fn scoring(&self, settings: &[analysis::Setting]) -> Result<Scoring, InputError> {
        let mut scoring = scoring(&*self.scenario(settings)?)?;
        if let Some(name) = &self.name {
            scoring.policy.clone_from(name);
        }
        Ok(scoring)
    }

    fn run(
        &self,
        settings: &[analysis::Setting],
        seed: u64,
        stop: &Stop,
        recorder: &mut dyn Recorder,
    ) -> Result<ControlFlow<()>, InputError> {
        let scenario = self.scenario(settings)?;
        self.simulate(&scenario, scenario.setup(seed)?, stop, recorder)
    }
}

impl Bounded for DraftWorlds {
    fn demand(&self, seed: u64) -> Result<Demand, InputError> {
        self.scenario(&[])?.demand(seed)
    }

    fn run_schedule(
        &self,
        schedule: &Schedule,
        seed: u64,
        stop: &Stop,
        recorder: &mut dyn Recorder,
    ) -> Result<ControlFlow<()>, InputError> {
        let scenario = self.scenario(&[])?;
        let mut setup = scenario.setup(seed)?;
        if let Some(first) = schedule.steps().first() {
            setup.serving.initial_replicas = first.replicas;
        }
        setup.autoscaling = Autoscaling::Schedule(schedule.clone());
        self.simulate(&scenario, setup, stop, recorder)
    }
}

/// How the runs of a scenario are judged.
pub(super) fn scoring(scenario: &Scenario) -> Result<Scoring, InputError> {
    let classes = scenario.classes()?;
    Ok(Scoring {
        policy: scenario.policy.name.clone(),
        summary: scenario.policy.summary.clone(),
        classes: classes
            .iter()
            .map(|class| ClassTargets {
                name: class.name.clone(),
                ttft: class.slo.ttft,
                tpot: class.slo.tpot,
                e2e: class.slo.e2e,
                attainment: class.slo.attainment,
            })
            .collect(),
        warmup: scenario.measure.warmup.duration(),
        duration: scenario.duration,
        price_per_gpu_hour: scenario.price_per_gpu_hour(),
        bill: match scenario.cost.bill {
            scenario::Bill::Gpu => analysis::Bill::Gpu,
            scenario::Bill::Node => analysis::Bill::Node,
        },
        provenance: Provenance {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: scenario.seed,
            inputs: scenario.inputs.clone(),
        },
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::options::{Cli, Command};
    use super::*;
    use clap::Parser;

    #[test]
    fn a_run_that_failed_can_be_run_again_as_it_was() {
        let line = "dryscale simulate --policy p.toml --experiment e --model m --trace t.csv --duration '1h 30m' --drain \
                    --set 'serving.gateway.held_max=2' --engine stepwise";
        let words = line.replace('\'', "").replace("1h 30m", "1h30m");
        let Command::Simulate(options) =
            Cli::try_parse_from(words.split_whitespace()).expect("it parses").command
        else {
            panic!("another command")
        };
        assert_eq!(command(options.policy.as_deref(), &options.world), line);
    }
}
