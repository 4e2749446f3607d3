//! Piecewise linear factors over time: points and spikes.

use super::profile::{Interp, Points, Spike, factor_in_range};
use crate::problem::Problem;
use crate::units::{SimDuration, SimTime};

/// A factor over time: straight lines, each holding from its start to the start of the next.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    lines: Vec<(SimTime, Line)>,
}

/// `at + slope * x`, x in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) at: f64,
    /// Per second.
    pub(super) slope: f64,
}

const ONE: Line = Line { at: 1.0, slope: 0.0 };

impl Factor {
    /// The instants at which the factor bends or jumps.
    pub(super) fn cuts(&self) -> impl Iterator<Item = SimTime> {
        self.lines.iter().map(|(start, _)| *start)
    }

    /// The line that holds from `t` to the next cut, with x counted from `t`.
    pub(super) fn line(&self, t: SimTime) -> Line {
        match self.lines.partition_point(|(start, _)| *start <= t) {
            0 => ONE,
            after => {
                let (start, line) = self.lines[after - 1];
                Line { at: (line.at + line.slope * t.since(start).as_secs_f64()).max(0.0), slope: line.slope }
            }
        }
    }

    /// Factors at given times. The first holds before its time, the last after.
    pub(super) fn of_points(points: Option<&Points>, speed: f64) -> Result<Factor, Problem> {
        let Some(Points { interp, at }) = points else { return Ok(Factor { lines: vec![] }) };
        let Some((_, first)) = at.first() else {
            return Err(Problem::key("points.at", "there is no point")
                .help("write `at = [[\"0s\", 1.0], [\"10m\", 2.0]]`"));
        };
        for (i, (_, factor)) in at.iter().enumerate() {
            factor_in_range(&format!("points.at.{i}.1"), *factor)?;
        }
        for (i, pair) in at.windows(2).enumerate() {
            let jump = pair[1].0 == pair[0].0 && *interp == Interp::Linear;
            if pair[1].0 <= pair[0].0 && !jump {
                return Err(Problem::key(
                    format!("points.at.{}.0", i + 1),
                    "this point is not later than the one before it",
                )
                .help("points go forward in time"));
            }
        }
        let start = |i: usize| SimTime::ZERO + stretched(at[i].0.duration().as_ps().into(), speed);
        let mut lines = vec![(SimTime::ZERO, Line { at: *first, slope: 0.0 })];
        for (i, (_, factor)) in at.iter().enumerate() {
            let line = match at.get(i + 1) {
                Some((_, next)) if *interp == Interp::Linear => {
                    sloped(*factor, *next, start(i + 1).since(start(i)))
                }
                _ => Line { at: *factor, slope: 0.0 },
            };
            lines.push((start(i), line));
        }
        Ok(Factor { lines })
    }

    /// 1 outside the spikes; within one it rises to its factor, holds it, and falls back to 1.
    pub(super) fn of_spikes(spikes: &[Spike], speed: f64) -> Result<Factor, Problem> {
        let mut corners = Vec::with_capacity(spikes.len());
        for (i, spike) in spikes.iter().enumerate() {
            factor_in_range(&format!("spikes.{i}.factor"), spike.factor)?;
            let ends = [spike.at, spike.rise, spike.hold, spike.fall]
                .map(|part| u128::from(part.duration().as_ps()));
            let corner = |parts: usize| SimTime::ZERO + stretched(ends[..parts].iter().sum(), speed);
            corners.push((i, spike.factor, [corner(1), corner(2), corner(3), corner(4)]));
        }
        corners.sort_by_key(|(_, _, corners)| corners[0]);
        for pair in corners.windows(2) {
            if pair[1].2[0] < pair[0].2[3] {
                let (i, j) = (pair[1].0, pair[0].0);
                return Err(Problem::key(
                    format!("spikes.{i}.at"),
                    format!("spike {i} begins before spike {j} has ended"),
                )
                .help("let spikes follow each other; write what they add up to as `points`"));
            }
        }
        let mut lines = Vec::with_capacity(4 * corners.len());
        for (_, factor, [at, risen, held, fallen]) in corners {
            lines.push((at, sloped(1.0, factor, risen.since(at))));
            lines.push((risen, Line { at: factor, slope: 0.0 }));
            lines.push((held, sloped(factor, 1.0, fallen.since(held))));
            lines.push((fallen, ONE));
        }
        Ok(Factor { lines })
    }
}

/// From `from` to `to` within `length`; a jump where that is nothing.
fn sloped(from: f64, to: f64, length: SimDuration) -> Line {
    if length.is_zero() {
        return Line { at: to, slope: 0.0 };
    }
    Line { at: from, slope: (to - from) / length.as_secs_f64() }
}

/// A time of the profile, in picoseconds, on a profile that runs `speed` times as fast; the horizon at most.
pub(super) fn stretched(ps: u128, speed: f64) -> SimDuration {
    let horizon = SimTime::HORIZON.as_ps();
    if speed == 1.0 {
        return SimDuration::from_ps(u64::try_from(ps).map_or(horizon, |ps| ps.min(horizon)));
    }
    SimDuration::from_ps((libm::round(ps as f64 / speed) as u64).min(horizon))
}
