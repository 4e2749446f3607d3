//! Expected numbers of arrivals, the clock on which gaps have mean 1.

use std::ops::{Add, Sub};

const ONE: f64 = 18_446_744_073_709_551_616.0; // 2^64

/// An expected number of arrivals, never negative, in 64.64 fixed point: sums of gaps are exact, whatever their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::workload) struct Expected(u128);

impl Expected {
    /// None.
    pub(in crate::workload) const ZERO: Expected = Expected(0);
    /// The least that is more than none.
    pub(in crate::workload) const SMALLEST: Expected = Expected(1);

    /// `x` rounded down to a multiple of 2^-64; zero for what is negative or no number.
    pub(in crate::workload) fn from_f64(x: f64) -> Expected {
        Expected((x * ONE) as u128)
    }

    /// The nearest `f64`.
    pub(in crate::workload) fn to_f64(self) -> f64 {
        self.0 as f64 / ONE
    }

    /// The whole arrivals in it.
    pub(in crate::workload) fn whole(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl Add for Expected {
    type Output = Expected;
    fn add(self, rhs: Expected) -> Expected {
        Expected(self.0.saturating_add(rhs.0))
    }
}

impl Sub for Expected {
    type Output = Expected;
    /// Zero where `rhs` is more.
    fn sub(self, rhs: Expected) -> Expected {
        Expected(self.0.saturating_sub(rhs.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_tenths_are_as_exact_as_one() {
        let tenth = Expected::from_f64(0.1);
        let sum = (0..1_000_000).fold(Expected::ZERO, |sum, _| sum + tenth);
        assert!((sum.to_f64() - 0.1 * 1e6).abs() < 1e-10);
        assert_eq!((Expected::from_f64(2.75).whole(), Expected::from_f64(2.75).to_f64()), (2, 2.75));
        assert_eq!(Expected::from_f64(f64::NAN), Expected::ZERO);
    }
}
