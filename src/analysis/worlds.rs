//! What the wing asks of the rest: worlds by their settings.

use super::grid::Setting;
use super::score::{Score, Scoring};
use crate::simulation::record::{Fan, Recorder};
use crate::simulation::summary::Summary;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// Builds and runs worlds that differ from one another only in some settings and in the seed.
///
/// A run must be a function of both: no clock, no state of its own. Runs of one `Worlds` happen on many threads.
pub trait Worlds: Sync {
    /// What is wrong with something that the user gave.
    type Error: std::error::Error + Send;

    /// Checks the world with these settings as far as that is possible without running it, and says how it is scored.
    ///
    /// The hashes in its provenance identify everything that the results depend on beside `settings`, the seed and the
    /// version: also what the command line set.
    ///
    /// # Errors
    /// Whatever cannot be as the user gave it.
    fn scoring(&self, settings: &[Setting]) -> Result<Scoring, Self::Error>;

    /// Runs the world to its end, which hands all records to `recorder`. It breaks where `stop` asks for it on the way: what
    /// `recorder` heard is then no run.
    ///
    /// # Errors
    /// What only shows on the way, such as a malformed line in a trace.
    fn run(
        &self,
        settings: &[Setting],
        seed: u64,
        stop: &Stop,
        recorder: &mut dyn Recorder,
    ) -> Result<ControlFlow<()>, Self::Error>;
}

/// Why a run gave no summary.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError<E: std::error::Error> {
    /// Something that the user gave.
    #[error(transparent)]
    Input(E),
    /// A mistake of ours.
    #[error(transparent)]
    Bug(Bug),
}

/// A run that ended in a panic: always a mistake of ours, and one that can be replayed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the run with seed {seed} failed, which is a bug in dryscale: {message}")]
pub struct Bug {
    /// What set the world apart.
    pub settings: Vec<Setting>,
    /// Its seed.
    pub seed: u64,
    /// What the panic said.
    pub message: String,
}

impl Bug {
    /// The command line that runs the same world again. `command` is what runs the world without the settings, such as
    /// `dryscale simulate --experiment thresholds`.
    pub fn replay(&self, command: &str) -> String {
        let settings = self.settings.iter().map(|setting| {
            let text = format!("{}={}", setting.key, setting.text());
            format!(" --set '{}'", text.replace('\'', r"'\''"))
        });
        format!("{command} --seed {}{}", self.seed, settings.collect::<String>())
    }
}

/// Runs one world and scores it; `listener` hears all records too. A panic is caught, so that it takes no other run
/// with it; what `listener` then holds is of no use. `None`: `stop` asked to give the run up.
pub(super) fn score<W: Worlds + ?Sized>(
    worlds: &W,
    settings: &[Setting],
    seed: u64,
    stop: &Stop,
    listener: Option<&mut (dyn Recorder + Send)>,
) -> Result<Option<Summary>, RunError<W::Error>> {
    let run = || {
        let mut scoring = worlds.scoring(settings)?;
        scoring.provenance.seed = seed;
        let mut score = Score::new(scoring);
        let ran = match listener {
            Some(listener) => worlds.run(settings, seed, stop, &mut Fan(vec![&mut score, listener]))?,
            None => worlds.run(settings, seed, stop, &mut score)?,
        };
        Ok(ran.is_continue().then(|| score.finish()))
    };
    caught(run, |message| Bug { settings: settings.to_vec(), seed, message })
}

/// What `run` gives; a panic in it is the bug that `bug` makes of its message.
pub(super) fn caught<T, E: std::error::Error>(
    run: impl FnOnce() -> Result<T, E>,
    bug: impl FnOnce(String) -> Bug,
) -> Result<T, RunError<E>> {
    catch_unwind(AssertUnwindSafe(run)).map(|outcome| outcome.map_err(RunError::Input)).unwrap_or_else(
        |panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Err(RunError::Bug(bug(message.unwrap_or_else(|| "a panic without a message".to_owned()))))
        },
    )
}

/// Asks that no more runs begin, as Ctrl-C does, and that those that have begun are given up.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Nobody has asked.
    pub const fn new() -> Self {
        Stop(AtomicBool::new(false))
    }
    /// Asks; may be called from any thread and any number of times.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether somebody has asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
