//! Runs all points of a plan in parallel. The results are the same on any number of threads.

use super::grid::{Plan, Setting};
use super::journal::Journal;
use super::ranking::{Ranking, Standing};
use super::repetition::{Answer, repeat};
use super::worlds::{Bug, RunError, Stop, Worlds};
use crate::problem::Problem;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What became of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointResult {
    /// Its index in [`Plan::points`].
    pub point: usize,
    /// Its answer, or why there is none.
    pub outcome: Result<Answer, Bug>,
}

impl PointResult {
    /// What it is ranked by.
    pub fn standing(&self) -> Standing {
        match &self.outcome {
            Ok(answer) => Standing {
                met: answer.truth("slo.met"),
                attainment: answer.number("slo.attainment"),
                cost: answer.number("cost"),
            },
            Err(_) => Standing::default(),
        }
    }
}

/// What a sweep has done, in the order of the plan's points.
#[derive(Clone, Debug, PartialEq)]
pub struct Swept {
    /// One a point; points that were not run because somebody asked to stop are missing.
    pub results: Vec<PointResult>,
    /// Whether points are missing.
    pub stopped: bool,
}

impl Swept {
    /// The results, ranked; the ranking's indices are those of `results`.
    pub fn ranking(&self) -> Ranking {
        Ranking::of(&self.results.iter().map(PointResult::standing).collect::<Vec<_>>())
    }
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Points that have their result, those from the journal included.
    pub done: usize,
    /// Of these, the points from the journal.
    pub resumed: usize,
    /// Of these, the points whose run failed.
    pub failed: usize,
    /// All points.
    pub total: usize,
}

impl Progress {
    /// How much longer it takes, if the rest goes as fast as what was run in `elapsed`; `None` before the first point.
    pub fn eta(&self, elapsed: Duration) -> Option<Duration> {
        let run = u32::try_from(self.done - self.resumed).ok().filter(|&run| run > 0)?;
        let rest = u32::try_from(self.total - self.done).ok()?;
        (elapsed / run).checked_mul(rest)
    }
}

/// Why a sweep has no results.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SweepError<E: std::error::Error> {
    /// With the grids or with the journal.
    #[error(transparent)]
    Problem(Problem),
    /// With one of the worlds.
    #[error("{error}\nat the point {}", named(.settings))]
    Point {
        /// What sets the world apart.
        settings: Vec<Setting>,
        /// What is wrong with it.
        error: E,
    },
}

fn named(settings: &[Setting]) -> String {
    settings.iter().map(|s| format!("{} = {}", s.key, s.value)).collect::<Vec<_>>().join(", ")
}

/// Runs each point of `plan` that `journal` does not hold, on `threads` threads (0: one a core), each under all the
/// plan's seeds, and appends its answer to the journal at once. `progress` is called before the first and after each.
///
/// A point that panics becomes a result of its own and is not journalled, so that resuming tries it again.
///
/// # Errors
/// The journal cannot be written, which ends the sweep at once; or the error of the first point, in the plan's order,
/// that has one, after all the others have been run and journalled.
pub fn sweep<W: Worlds + ?Sized>(
    plan: &Plan,
    worlds: &W,
    journal: &mut Journal,
    threads: usize,
    stop: &Stop,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Swept, SweepError<W::Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| {
        let problem = Problem::whole(format!("cannot start {threads} threads: {error}"));
        SweepError::Problem(problem.help("give fewer --threads"))
    })?;
    let held: Vec<Option<Answer>> = plan.points.iter().map(|point| journal.take(&point.id)).collect();
    let resumed = held.iter().flatten().count();
    let book = Mutex::new(Book {
        journal,
        progress: Progress { done: resumed, resumed, failed: 0, total: plan.points.len() },
        broken: None,
    });
    progress(lock(&book).progress);

    // A sweep whose journal cannot be written must not go on, but a user who asks to stop must not look like that.
    let halt = Stop::new();
    let run = |(point, held): (usize, Option<Answer>)| {
        if let Some(answer) = held {
            return Some((point, Ok(answer)));
        }
        if stop.asked() || halt.asked() {
            return None;
        }
        let outcome = repeat(worlds, &plan.points[point].settings, &plan.seeds, stop, None).transpose()?;
        let mut book = lock(&book);
        if let Err(problem) = book.enter(plan, point, &outcome) {
            halt.ask();
            book.broken.get_or_insert(problem);
        }
        progress(book.progress);
        Some((point, outcome))
    };
    let outcomes: Vec<Option<(usize, Result<_, _>)>> =
        pool.install(|| held.into_par_iter().enumerate().with_max_len(1).map(run).collect());
    if let Some(problem) = book.into_inner().unwrap_or_else(PoisonError::into_inner).broken {
        return Err(SweepError::Problem(problem));
    }

    let results = outcomes.into_iter().flatten().map(|(point, outcome)| match outcome {
        Ok(answer) => Ok(PointResult { point, outcome: Ok(answer) }),
        Err(RunError::Bug(bug)) => Ok(PointResult { point, outcome: Err(bug) }),
        Err(RunError::Input(error)) => {
            Err(SweepError::Point { settings: plan.points[point].settings.clone(), error })
        }
    });
    let results = results.collect::<Result<Vec<PointResult>, SweepError<W::Error>>>()?;
    let stopped = results.len() < plan.points.len();
    Ok(Swept { results, stopped })
}

/// What the threads share: one of them at a time writes a line and tells the progress, so that both only ever grow.
struct Book<'a> {
    journal: &'a mut Journal,
    progress: Progress,
    broken: Option<Problem>,
}

impl Book<'_> {
    fn enter<E>(&mut self, plan: &Plan, point: usize, outcome: &Result<Answer, E>) -> Result<(), Problem> {
        self.progress.done += 1;
        match outcome {
            Ok(answer) => self.journal.append(&plan.points[point], answer),
            Err(_) => {
                self.progress.failed += 1;
                Ok(())
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A thread that panicked in `progress` leaves counters and a file that are still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
