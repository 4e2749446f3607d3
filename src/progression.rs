//! Durations that grow evenly, counted and added up in closed form.
//!
//! A run of decode steps is one; histograms count it by solving for their bounds.

use crate::units::SimDuration;

/// `steps` durations: `first`, `first + growth`, `first + 2 growth`, ...
///
/// The last of them must not be longer than a [`SimDuration`] can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progression {
    /// The first duration.
    pub first: SimDuration,
    /// What each is longer than the one before.
    pub growth: SimDuration,
    /// How many there are.
    pub steps: u64,
}

impl Progression {
    /// Duration `i`, from 0 on.
    pub fn duration(&self, i: u64) -> SimDuration {
        SimDuration::from_ps(self.first.as_ps() + i * self.growth.as_ps())
    }

    /// The last and longest; `None` if there is none.
    pub fn last(&self) -> Option<SimDuration> {
        Some(self.duration(self.steps.checked_sub(1)?))
    }

    /// All of them together, in picoseconds.
    pub fn total_ps(&self) -> u128 {
        self.total_of(self.steps)
    }

    fn total_of(&self, steps: u64) -> u128 {
        let n = u128::from(steps);
        n * u128::from(self.first.as_ps()) + u128::from(self.growth.as_ps()) * (n * n.saturating_sub(1) / 2)
    }

    /// The most durations, from the first on, that take no more than `time_ps` picoseconds together: the root of
    /// `growth n^2 / 2 + (first - growth / 2) n = time`, estimated with floats and corrected in integers.
    pub fn steps_within(&self, time_ps: u128) -> u64 {
        if self.total_ps() <= time_ps {
            return self.steps;
        }
        let (first, growth) = (self.first.as_ps() as f64, self.growth.as_ps() as f64);
        let (half, time) = (first - growth / 2.0, time_ps as f64);
        // This form of the root loses no digits where growth is small. A cast of a float saturates.
        let root = 2.0 * time / (half + (half * half + 2.0 * growth * time).sqrt());
        let mut n = (root as u64).min(self.steps);
        while n > 0 && self.total_of(n) > time_ps {
            n -= 1;
        }
        while n < self.steps && self.total_of(n + 1) <= time_ps {
            n += 1;
        }
        n
    }

    /// How many of them are at most `bound`.
    pub fn steps_up_to(&self, bound: SimDuration) -> u64 {
        if bound < self.first {
            0
        } else if self.growth.is_zero() {
            self.steps
        } else {
            ((bound - self.first).as_ps() / self.growth.as_ps() + 1).min(self.steps)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progression(first: u64, growth: u64, steps: u64) -> Progression {
        Progression { first: SimDuration::from_ps(first), growth: SimDuration::from_ps(growth), steps }
    }

    proptest! {
        #[test]
        fn sums_and_counts_are_those_of_the_durations_one_by_one(
            first in 0u64..1000, growth in 0u64..100, steps in 0u64..200, bound in 0u64..20_000, time in 0u64..2_000_000,
        ) {
            let progression = progression(first, growth, steps);
            let all: Vec<u64> = (0..steps).map(|i| first + i * growth).collect();
            prop_assert!((0..steps).all(|i| progression.duration(i).as_ps() == all[i as usize]));
            prop_assert_eq!(progression.last().map(SimDuration::as_ps), all.last().copied());
            prop_assert_eq!(progression.total_ps(), u128::from(all.iter().sum::<u64>()));
            let up_to = all.iter().filter(|&&duration| duration <= bound).count() as u64;
            prop_assert_eq!(progression.steps_up_to(SimDuration::from_ps(bound)), up_to);
            let mut sum = 0;
            let within = all.iter().take_while(|&&duration| { sum += duration; sum <= time }).count() as u64;
            prop_assert_eq!(progression.steps_within(time.into()), within);
        }

        /// With the sizes of real runs the root is not exact, and the correction is.
        #[test]
        fn the_last_step_by_a_time_is_exact_for_long_runs(
            first in 1u64..20_000_000_000_000, growth in 0u64..1_000_000_000, steps in 1u64..1_000_000, share in 0.0..1.2f64,
        ) {
            let progression = progression(first, growth, steps);
            let time = (progression.total_ps() as f64 * share) as u128;
            let n = progression.steps_within(time);
            prop_assert!(progression.total_of(n) <= time);
            prop_assert!(n == steps || progression.total_of(n + 1) > time);
        }
    }
}
