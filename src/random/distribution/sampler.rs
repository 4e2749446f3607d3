//! A distribution ready to be drawn from.

use super::family::Family;
use crate::random::Stream;
use crate::units::{SimDuration, SimTime};

/// What happens to a draw below `min` or above `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It becomes `min` or `max`, as in the load generators of the field. The mean shifts.
    #[default]
    Clamp,
    /// It is drawn again.
    Resample,
}

/// Draws again at most this often. A bound that keeps less than [`Sampler::KEPT_MIN`] of the draws is refused, so that the
/// chance of this many failures is below 10^-40.
const DRAWS_MAX: u32 = 10_000;

/// A distribution with everything that does not depend on the draw computed beforehand.
///
/// The same stream gives the same bits on every machine: logarithms, powers and their kin come from the `libm` crate.
#[derive(Clone, Debug)]
pub struct Sampler {
    family: Family,
    min: f64,
    max: f64,
    /// For [`Bound::Resample`]: P(X < min) and P(min <= X <= max) of the family.
    kept: Option<(f64, f64)>,
}

impl Sampler {
    /// A `resample` bound must keep at least this share of the draws.
    pub const KEPT_MIN: f64 = 0.01;

    /// `min <= max`, both finite. The error is the share of the draws that a `resample` bound would keep, when that is too
    /// small.
    pub(super) fn new(family: Family, min: f64, max: f64, bound: Bound) -> Result<Sampler, f64> {
        let kept = match bound {
            Bound::Clamp => None,
            Bound::Resample => {
                let below = family.cumulative(min, false);
                let share = family.cumulative(max, true) - below;
                // Written so that a share that is no number is refused too.
                if share >= Self::KEPT_MIN { Some((below, share)) } else { return Err(share.max(0.0)) }
            }
        };
        Ok(Sampler { family, min, max, kept })
    }

    /// One draw, within the bounds, always finite. How many numbers it takes from the stream depends on the family; give
    /// each entity a stream of its own where that must not matter.
    pub fn sample(&self, stream: &mut Stream) -> f64 {
        let mut x = self.family.draw(stream);
        if self.kept.is_some() {
            for _ in 1..DRAWS_MAX {
                if x >= self.min && x <= self.max {
                    break;
                }
                x = self.family.draw(stream);
            }
        }
        x.clamp(self.min, self.max)
    }

    /// One draw of a distribution of seconds: a duration from zero to [`SimTime::HORIZON`], to the picosecond. What lies
    /// outside becomes the nearer end, so give a normal distribution a `min` of its own.
    pub fn sample_duration(&self, stream: &mut Stream) -> SimDuration {
        let seconds = self.sample(stream).max(0.0);
        SimDuration::from_secs_f64(seconds).unwrap_or(SimDuration::from_ps(SimTime::HORIZON.as_ps()))
    }

    /// The smallest x with P(X <= x) >= u, bounds included; `u` in (0, 1).
    pub fn quantile(&self, u: f64) -> f64 {
        let u = match self.kept {
            None => u,
            Some((below, share)) => below + u * share,
        };
        // The ends of the interval have no quantile; sums of rounded shares can reach them.
        let u = u.clamp(f64::MIN_POSITIVE, 1.0 - 0.5 * f64::EPSILON);
        self.family.quantile(u).clamp(self.min, self.max)
    }

    /// P(X <= x), or P(X < x) where `inclusive` is false, bounds included.
    pub fn cumulative(&self, x: f64, inclusive: bool) -> f64 {
        let beyond = |end: f64| if inclusive { x >= end } else { x > end };
        if beyond(self.max) {
            return 1.0;
        }
        if !beyond(self.min) {
            return 0.0;
        }
        let all = self.family.cumulative(x, inclusive);
        match self.kept {
            None => all,
            Some((below, share)) => ((all - below) / share).clamp(0.0, 1.0),
        }
    }
}
