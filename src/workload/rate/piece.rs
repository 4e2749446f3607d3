//! One piece of a rate profile: its integral and the inverse of that.

use crate::units::{SimDuration, SimTime};

/// A base of the profile: `1 + amplitude * cos(omega x + phase)`, x in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wave {
    /// From 0 (flat) to 1 (the trough is zero).
    pub(super) amplitude: f64,
    /// Radians a second.
    pub(super) omega: f64,
    /// Radians at x = 0.
    pub(super) phase: f64,
}

/// A piece of a profile: a polynomial times a wave.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) start: SimTime,
    pub(super) end: SimTime,
    /// `rate[0] + rate[1] x + rate[2] x^2` requests a second, x in seconds from the start; nowhere negative in the piece.
    rate: [f64; 3],
    wave: Option<Wave>,
    total: f64,
}

impl Piece {
    /// From `start` to `end`, which is later.
    pub(super) fn new(start: SimTime, end: SimTime, rate: [f64; 3], wave: Option<Wave>) -> Piece {
        let mut piece = Piece { start, end, rate, wave, total: 0.0 };
        piece.total = piece.integral(piece.length());
        piece
    }

    /// The expected number of arrivals in the piece.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    fn length(&self) -> f64 {
        self.end.since(self.start).as_secs_f64()
    }

    /// Requests a second, `x` seconds after the start.
    fn rate_at(&self, x: f64) -> f64 {
        let [a, b, c] = self.rate;
        let wave = self.wave.map_or(1.0, |w| 1.0 + w.amplitude * libm::cos(w.omega * x + w.phase));
        (a + x * (b + x * c)) * wave
    }

    /// The expected number of arrivals within `x` seconds of the start.
    pub(super) fn integral(&self, x: f64) -> f64 {
        let [a, b, c] = self.rate;
        match self.wave {
            None => x * (a + x * (b / 2.0 + x * (c / 3.0))),
            // The closed form divides differences of sines by powers of omega: on a short arc all its digits cancel.
            // There the integrand is so smooth that eight points integrate it to the last digit.
            Some(wave) if wave.omega * self.length() < 0.5 => gauss_legendre(x, |x| self.rate_at(x)),
            Some(wave) => {
                let plain = x * (a + x * (b / 2.0 + x * (c / 3.0)));
                // Integration by parts: P sin / w + P' cos / w^2 - P'' sin / w^3.
                let w = wave.omega;
                let swing = |x: f64| {
                    let (sin, cos) = libm::sincos(w * x + wave.phase);
                    let (p, slope, bend) = (a + x * (b + x * c), b + 2.0 * c * x, 2.0 * c);
                    (p * sin + (slope * cos - bend * sin / w) / w) / w
                };
                plain + wave.amplitude * (swing(x) - swing(0.0))
            }
        }
    }

    /// The instant at which `expected` arrivals of the piece are reached: the end at the latest.
    pub(super) fn when(&self, expected: f64) -> SimTime {
        let seconds = self.seconds_until(expected).clamp(0.0, self.length());
        let after = SimDuration::from_secs_f64(seconds).unwrap_or(SimDuration::ZERO);
        (self.start + after).min(self.end)
    }

    fn seconds_until(&self, expected: f64) -> f64 {
        let [a, b, c] = self.rate;
        match self.wave {
            None if b == 0.0 && c == 0.0 => expected / a,
            // The root of b x^2 / 2 + a x - expected that does not cancel for small b.
            None if c == 0.0 => 2.0 * expected / (a + libm::sqrt((a * a + 2.0 * b * expected).max(0.0))),
            _ => self.search(expected),
        }
    }

    /// Newton's method on the integral, which never falls, inside a bracket that halves where Newton would leave it.
    fn search(&self, expected: f64) -> f64 {
        let length = self.length();
        let (mut low, mut high) = (0.0, length);
        let mut x = length * (expected / self.total).clamp(0.0, 1.0);
        // 52 halvings resolve the bracket to the last digit; Newton needs about five steps.
        for _ in 0..120 {
            let miss = self.integral(x) - expected;
            if miss < 0.0 {
                low = x;
            } else {
                high = x;
            }
            let newton = x - miss / self.rate_at(x);
            // Written so that a step that is no number is refused too.
            let next = if newton >= low && newton <= high { newton } else { 0.5 * (low + high) };
            if (next - x).abs() <= length * f64::EPSILON {
                return next;
            }
            x = next;
        }
        x
    }
}

/// The integral of `f` from 0 to `x` by eight points: exact for polynomials up to degree 15.
fn gauss_legendre(x: f64, f: impl Fn(f64) -> f64) -> f64 {
    const POINTS: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_3),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    let half = 0.5 * x;
    half * POINTS
        .iter()
        .map(|(node, weight)| weight * (f(half - half * node) + f(half + half * node)))
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(length: u64, rate: [f64; 3], wave: Option<Wave>) -> Piece {
        Piece::new(SimTime::ZERO, SimTime::ZERO + SimDuration::from_secs(length), rate, wave)
    }

    /// The integral by brute force: the midpoint rule with so many steps that it is good to 1e-7.
    fn by_steps(piece: &Piece, x: f64) -> f64 {
        let steps = 200_000;
        let width = x / f64::from(steps);
        (0..steps).map(|i| piece.rate_at((f64::from(i) + 0.5) * width) * width).sum()
    }

    #[test]
    fn integrals_agree_with_brute_force_and_inverses_with_integrals() {
        let wave =
            |period: f64| Some(Wave { amplitude: 0.8, omega: std::f64::consts::TAU / period, phase: 1.0 });
        for piece in [
            piece(100, [5.0, 0.0, 0.0], None),
            piece(100, [5.0, 0.3, 0.0], None),
            piece(100, [5.0, -0.05, 0.0], None),
            piece(100, [5.0, 0.3, 0.02], None),
            piece(100, [5.0, 0.3, 0.02], wave(30.0)),
            piece(100, [5.0, -0.05, 0.0], wave(1e4)),
            piece(100, [5.0, 0.3, 0.02], wave(86_400.0)),
            piece(100, [0.0, 0.3, 0.0], Some(Wave { amplitude: 1.0, omega: 0.1, phase: 0.0 })),
        ] {
            for x in [1.0, 40.0, 100.0] {
                let (closed, steps) = (piece.integral(x), by_steps(&piece, x));
                assert!((closed / steps - 1.0).abs() < 1e-7, "{piece:?} at {x}: {closed} against {steps}");
                // Compared by their integrals: where the rate falls to zero, the instant itself is ill-conditioned.
                let back = piece.integral(piece.seconds_until(closed));
                assert!(
                    (back - closed).abs() < 1e-13 * piece.total(),
                    "{piece:?} at {x}: {closed} came back as {back}"
                );
            }
        }
    }

    #[test]
    fn both_ways_of_integrating_a_wave_agree_where_they_meet() {
        let with =
            |omega: f64| piece(100, [5.0, 0.3, 0.02], Some(Wave { amplitude: 0.8, omega, phase: 1.0 }));
        // One is just below, the other just above the arc at which the method changes.
        let (below, above) = (with(0.005 - 1e-12).total(), with(0.005 + 1e-12).total());
        assert!((below / above - 1.0).abs() < 1e-10, "{below} against {above}");
    }
}
