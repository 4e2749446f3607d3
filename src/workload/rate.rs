//! Rate profiles: how many requests a second an open source is expected to send, as a function of time.
//!
//! A profile is `base(t) * points(t) * spikes(t) * scale`. Arrivals follow it by **time change**: with
//! L(t) = integral of the rate from 0 to t, the i-th arrival comes at L^-1(g_1 + ... + g_i), g being gaps of mean 1. So the
//! expected number of arrivals in any interval is exactly the integral of the rate over it, under ramps too, and a stretch of
//! rate zero has no arrivals: a gap that is open when it begins goes on after it.
//!
//! The profile is cut where it bends. Within a piece the rate is a polynomial of degree 2 at most, times
//! 1 + a cos(w x + p) under a sinus base; L has a closed form there, and its inverse is a division, the root of a quadratic
//! equation, or Newton's method inside a bracket. Sums over gaps and pieces are kept in 64.64 fixed point, so rounding
//! does not accumulate over arrivals: each is off by what one `f64` evaluation within its piece is off, some 2^-52 of the
//! time since the piece began (1 ps after an hour, 20 ps after a day), plus half a picosecond for rounding to the
//! integer clock.

mod expected;
mod factor;
mod piece;
mod profile;

pub(super) use expected::Expected;
pub use profile::RateSpec;

use crate::problem::Problem;
use crate::units::SimTime;
use piece::Piece;

/// More requests than this in one run are a mistake, and would not end.
const REQUESTS_MAX: f64 = 1e9;

/// A profile cut into pieces, from the start of the run to its end.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    stretches: Vec<Stretch>,
}

/// A piece with L at its ends.
#[derive(Clone, Debug)]
struct Stretch {
    piece: Piece,
    from: Expected,
    to: Expected,
}

impl Rate {
    /// `pieces` follow each other without gaps, the first starts at 0.
    fn new(pieces: Vec<Piece>) -> Result<Rate, Problem> {
        let total: f64 = pieces.iter().map(Piece::total).sum();
        // Factors multiply, so the total may be infinite.
        if total > REQUESTS_MAX {
            return Err(Problem::key("", format!("the rate asks for {total:.3e} requests in this run"))
                .help(format!(
                    "at most {REQUESTS_MAX:.0e} can be simulated; check the unit: rates are requests a second"
                )));
        }
        let mut to = Expected::ZERO;
        let stretches = pieces.into_iter().map(|piece| {
            let from = to;
            to = from + Expected::from_f64(piece.total());
            Stretch { piece, from, to }
        });
        Ok(Rate { stretches: stretches.collect() })
    }

    /// L at the end of the run: the expected number of arrivals.
    pub(super) fn total(&self) -> Expected {
        self.stretches.last().map_or(Expected::ZERO, |stretch| stretch.to)
    }

    /// L(t): the expected number of arrivals up to `t`.
    pub(super) fn expected_until(&self, t: SimTime) -> Expected {
        let i = self.stretches.partition_point(|stretch| stretch.piece.end < t);
        match self.stretches.get(i) {
            Some(Stretch { piece, from, to }) => {
                (*from + Expected::from_f64(piece.integral(t.since(piece.start).as_secs_f64()))).min(*to)
            }
            None => self.total(),
        }
    }

    /// L^-1: the first instant at which `expected` arrivals are reached, or `None` if the run ends before.
    pub(super) fn when(&self, expected: Expected) -> Option<SimTime> {
        // A stretch of rate zero has no arrivals, not even one of a gap of nothing at the very start.
        let wanted = expected.max(Expected::SMALLEST);
        let i = self.stretches.partition_point(|stretch| stretch.to < wanted);
        let Stretch { piece, from, .. } = self.stretches.get(i)?;
        Some(piece.when((wanted - *from).to_f64()))
    }
}
