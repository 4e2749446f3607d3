//! Several policies over the same requests: what each does, and how each pair differs, seed by seed.

use super::lower_bound::Optimum;
use super::repetition::{Answer, Interval};
use super::worlds::{self, RunError, Stop, Worlds};
use crate::simulation::record::Recorder;
use crate::simulation::summary::Summary;
use indexmap::IndexMap;
use rayon::prelude::*;

/// Policies side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What each policy does, in the order in which they were named.
    pub answers: Vec<Answer>,
    /// Every two of them, the earlier one first.
    pub pairs: Vec<Pair>,
    /// GPU-hours by policy and seed.
    gpu_hours: Vec<Vec<f64>>,
}

/// How two policies differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Index of the earlier policy.
    pub a: usize,
    /// Index of the later one.
    pub b: usize,
    /// b less a by dotted key of the summary: the mean of the differences of the seeds, not the difference of two means
    /// that each have an error of their own. Both saw the same requests, so most of the chance cancels.
    pub differences: IndexMap<String, Interval>,
}

/// How many GPU-hours more than the optimum a policy uses. The optimum is known between two numbers, and so is this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regret {
    /// More than the best timetable found; below zero for a policy that undercuts it by missing the SLO. `None` where none was
    /// found.
    pub at_least: Option<Interval>,
    /// More than no policy that meets the SLO can go below.
    pub at_most: Interval,
}

/// What [`compare`] fails with: which policy, and why.
pub type CompareError<E> = (usize, RunError<E>);

/// Runs each of `policies` once for each of `seeds`, on the threads of the current rayon pool. Of each policy's run of the
/// first seed, the listener in its place hears the records. `None`: somebody asked to stop.
///
/// # Errors
/// The failure of the first run that failed, in the order of policies and seeds.
pub fn compare<'a, W: Worlds>(
    policies: &[&W],
    seeds: &[u64],
    stop: &Stop,
    mut listeners: Vec<Option<&'a mut (dyn Recorder + Send + 'a)>>,
) -> Result<Option<Comparison>, CompareError<W::Error>> {
    listeners.resize_with(policies.len(), || None);
    let first_only = |listener| std::iter::once(listener).chain(std::iter::repeat_with(|| None));
    let runs = policies.iter().zip(listeners).enumerate().flat_map(|(policy, (&worlds, listener))| {
        seeds.iter().zip(first_only(listener)).map(move |(&seed, listener)| (policy, worlds, seed, listener))
    });
    let summaries = runs
        .collect::<Vec<_>>()
        .into_par_iter()
        .with_max_len(1)
        .map(|(policy, worlds, seed, listener)| {
            if stop.asked() {
                return Ok(None);
            }
            worlds::score(worlds, &[], seed, stop, listener).map_err(|error| (policy, error))
        })
        .collect::<Vec<Result<Option<Summary>, CompareError<W::Error>>>>();
    let summaries = summaries.into_iter().collect::<Result<Option<Vec<Summary>>, _>>()?;
    Ok(summaries.filter(|all| !all.is_empty()).map(|all| Comparison::of(&all, seeds.len())))
}

impl Comparison {
    /// Of the summaries of all policies, those of one policy together, one a seed in the same order.
    fn of(summaries: &[Summary], seeds: usize) -> Comparison {
        let policies: Vec<&[Summary]> = summaries.chunks(seeds).collect();
        let single: Vec<Vec<Answer>> = policies.iter().map(|runs| each(runs)).collect();
        let mut pairs = Vec::new();
        for b in 1..policies.len() {
            pairs.extend((0..b).map(|a| Pair { a, b, differences: differences(&single[a], &single[b]) }));
        }
        pairs.sort_by_key(|pair| (pair.a, pair.b));
        Comparison {
            answers: policies.iter().filter_map(|runs| Answer::of(runs)).collect(),
            pairs,
            gpu_hours: policies.iter().map(|runs| runs.iter().map(|run| run.gpu_hours).collect()).collect(),
        }
    }

    /// The pair of the first policy and this one.
    pub fn against_first(&self, policy: usize) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.a == 0 && pair.b == policy)
    }

    /// How far each policy is from the optimum.
    pub fn regrets(&self, optimum: &Optimum) -> Vec<Regret> {
        let best = optimum.best.as_ref().ok().and_then(|found| found.answer.number("gpu_hours"));
        let regret = |hours: &Vec<f64>| Regret {
            at_least: best
                .map(|best| Interval::of(&hours.iter().map(|hours| hours - best).collect::<Vec<_>>())),
            at_most: Interval::of(
                &hours
                    .iter()
                    .zip(&optimum.lower_bounds)
                    .map(|(hours, bound)| hours - bound)
                    .collect::<Vec<_>>(),
            ),
        };
        self.gpu_hours.iter().map(regret).collect()
    }
}

/// The answer of each run alone.
fn each(runs: &[Summary]) -> Vec<Answer> {
    runs.iter().filter_map(|run| Answer::of(std::slice::from_ref(run))).collect()
}

fn differences(a: &[Answer], b: &[Answer]) -> IndexMap<String, Interval> {
    let keys =
        a.iter().chain(b).flat_map(Answer::numbers).map(|(key, _)| (key, ())).collect::<IndexMap<_, _>>();
    let of = |key: &String| {
        let pairs = a.iter().zip(b).filter_map(|(a, b)| Some(b.number(key)? - a.number(key)?));
        Interval::of(&pairs.collect::<Vec<f64>>())
    };
    keys.into_keys()
        .map(|key| {
            let interval = of(&key);
            (key, interval)
        })
        .collect()
}
