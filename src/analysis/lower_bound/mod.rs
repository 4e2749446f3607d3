//! How far a policy is from the best that any could do: GPU-hours that no policy can go below, and a timetable that meets the
//! SLO for not much more.
//!
//! ```text
//!   Demand ─┬─► bound ────────────────────────────────► lower bound      (holds for every policy)
//!           └─► candidates ─► runs, cheapest that meets ─► best found    (a policy that knows the future)
//! ```
//!
//! The optimum lies between the two.

mod bound;
mod candidates;

use super::repetition::{Answer, Interval};
use super::score::Score;
use super::worlds::{Bug, RunError, Stop, Worlds, caught};
use crate::scenario::Demand;
use crate::simulation::Schedule;
use crate::simulation::record::Recorder;
use crate::simulation::summary::Summary;
use crate::units::Replicas;
use rayon::prelude::*;
use std::ops::ControlFlow;

/// What is left out of the world to make a bound of it, in a sentence for users.
pub const RELAXATION: &str = "work is a fluid: batches are the cheapest that the targets allow, nothing waits, routing is \
                              perfect, KV cache is no limit, replicas start in the quickest time drawn, and the dearest \
                              requests are those that miss";

/// Worlds of one scenario under a timetable in place of its policy.
pub trait Bounded: Worlds {
    /// What the requests of `seed` need at least.
    ///
    /// # Errors
    /// What is wrong with the workload.
    fn demand(&self, seed: u64) -> Result<Demand, Self::Error>;

    /// As [`Worlds::run`], with `schedule` for the policy. Its first step is the size at the start.
    ///
    /// # Errors
    /// See there.
    fn run_schedule(
        &self,
        schedule: &Schedule,
        seed: u64,
        stop: &Stop,
        recorder: &mut dyn Recorder,
    ) -> Result<ControlFlow<()>, Self::Error>;
}

/// Between what the optimum lies.
#[derive(Clone, Debug)]
pub struct Optimum {
    /// GPU-hours that no policy which meets the SLO can go below, one a seed.
    pub lower_bounds: Vec<f64>,
    /// The cheapest timetable found that meets the SLO.
    pub best: Result<Found, Infeasible>,
}

impl Optimum {
    /// The lower bound over the seeds, in GPU-hours.
    pub fn lower_bound(&self) -> Interval {
        Interval::of(&self.lower_bounds)
    }
}

/// A timetable that meets the SLO.
#[derive(Clone, Debug)]
pub struct Found {
    /// When how many.
    pub schedule: Schedule,
    /// What it does, over all seeds.
    pub answer: Answer,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Infeasible {
    /// Requests of a class cannot meet its targets on any fleet, and they are more than may miss.
    #[error("too many requests of class {class} cannot meet its targets even on a replica of their own")]
    Hopeless {
        /// The class.
        class: String,
    },
    /// Proven by the bound.
    #[error("more work is due at once than the {replicas} replicas that the nodes hold can do")]
    BeyondTheNodes {
        /// That many.
        replicas: Replicas,
    },
    /// Shown by a run.
    #[error("{replicas} replicas all along, the most that the nodes hold, miss the SLO")]
    LargestFleetMisses {
        /// That many.
        replicas: Replicas,
    },
}

/// GPU-hours that no policy can go below which meets the SLO on the requests and starts of `demand`, having begun with
/// `initial` replicas.
pub fn least_gpu_hours(demand: &Demand, initial: Replicas) -> f64 {
    bound::gpu_hours(demand, initial)
}

/// Bounds the optimum for each of `seeds`, and looks for a timetable that is near it: on the first seed, then held against
/// all. `initial` is the size with which policies start. `None`: somebody asked to stop.
///
/// # Errors
/// As a run's.
pub fn optimum<W: Bounded>(
    worlds: &W,
    seeds: &[u64],
    initial: Replicas,
    stop: &Stop,
) -> Result<Option<Optimum>, RunError<W::Error>> {
    let demands = seeds.iter().map(|&seed| worlds.demand(seed)).collect::<Result<Vec<Demand>, _>>();
    let demands = demands.map_err(RunError::Input)?;
    let lower_bounds = demands.par_iter().map(|demand| least_gpu_hours(demand, initial)).collect();
    let Some(first) = demands.first() else { return Ok(None) };
    let best = match impossible(first) {
        Some(reason) => Err(reason),
        None => match (Search { worlds, demand: first, seeds, stop }).run()? {
            Some(best) => best,
            None => return Ok(None),
        },
    };
    Ok(Some(Optimum { lower_bounds, best }))
}

fn impossible(demand: &Demand) -> Option<Infeasible> {
    if let Some(class) = demand.hopeless.clone() {
        return Some(Infeasible::Hopeless { class });
    }
    let replicas = demand.replicas_max;
    bound::exceeds_the_nodes(demand).then_some(Infeasible::BeyondTheNodes { replicas })
}

/// The search for a timetable.
struct Search<'a, W> {
    worlds: &'a W,
    demand: &'a Demand,
    seeds: &'a [u64],
    stop: &'a Stop,
}

/// What a search is given up with: a run's failure, or `None` where somebody asked to stop.
type GivenUp<W> = Option<RunError<<W as Worlds>::Error>>;

impl<W: Bounded> Search<'_, W> {
    fn run(&self) -> Result<Option<Result<Found, Infeasible>>, RunError<W::Error>> {
        match self.cheapest() {
            Ok(found) => Ok(Some(found)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    fn cheapest(&self) -> Result<Result<Found, Infeasible>, GivenUp<W>> {
        let replicas = self.demand.replicas_max;
        let largest = || Err(Infeasible::LargestFleetMisses { replicas });
        let fixed = |replicas: usize| candidates::fixed(self.demand, Replicas(replicas as i32 + 1)).ok();
        let Some(smallest) = self.smallest(replicas.get().max(0) as usize, fixed)? else {
            return Ok(largest());
        };
        // For each way to cut the run, the least headroom that meets.
        let following = candidates::PARTS.par_iter().map(|&parts| {
            let with = |i: usize| candidates::following(self.demand, parts, candidates::HEADROOM[i]).ok();
            self.smallest(candidates::HEADROOM.len(), with)
        });
        let mut found: Vec<Schedule> =
            following.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().chain([smallest]).collect();
        found.sort_by(|a, b| {
            candidates::gpu_hours(a, self.demand).total_cmp(&candidates::gpu_hours(b, self.demand))
        });
        // What meets on the first seed may miss on another.
        for schedule in found {
            let answer = self.answer(&schedule)?;
            if answer.truth("slo.met") == Some(true) {
                return Ok(Ok(Found { schedule, answer }));
            }
        }
        Ok(largest())
    }

    /// The first of `n` timetables, each larger than the one before, that meets the SLO on the first seed.
    fn smallest(
        &self,
        n: usize,
        nth: impl Fn(usize) -> Option<Schedule>,
    ) -> Result<Option<Schedule>, GivenUp<W>> {
        let (mut low, mut high) = (0, n);
        let mut best = None;
        while low < high {
            let middle = (low + high) / 2;
            let meets = match nth(middle) {
                Some(schedule) if self.summary(&schedule, self.seeds[0])?.slo.met == Some(true) => {
                    Some(schedule)
                }
                _ => None,
            };
            match meets {
                Some(schedule) => (best, high) = (Some(schedule), middle),
                None => low = middle + 1,
            }
        }
        Ok(best)
    }

    fn answer(&self, schedule: &Schedule) -> Result<Answer, GivenUp<W>> {
        let summaries = self.seeds.par_iter().map(|&seed| self.summary(schedule, seed));
        let summaries = summaries.collect::<Vec<_>>().into_iter().collect::<Result<Vec<Summary>, _>>()?;
        Answer::of(&summaries).ok_or(None)
    }

    fn summary(&self, schedule: &Schedule, seed: u64) -> Result<Summary, GivenUp<W>> {
        if self.stop.asked() {
            return Err(None);
        }
        let run = || {
            let mut scoring = self.worlds.scoring(&[])?;
            scoring.provenance.seed = seed;
            let mut score = Score::new(scoring);
            let ran = self.worlds.run_schedule(schedule, seed, self.stop, &mut score)?;
            Ok(ran.is_continue().then(|| score.finish()))
        };
        caught(run, |message| Bug { settings: Vec::new(), seed, message }).map_err(Some)?.ok_or(None)
    }
}
