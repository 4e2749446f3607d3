//! The durations of a run of decode steps in closed form.
//!
//! With B requests whose contexts sum to S at its first step, step i of a run takes `max(A(B) + D (S + i B), F(B))`: the
//! floor for a while, then an arithmetic progression. All is integer picoseconds, so that a run taken at once ends at the
//! instant at which its steps end one by one.

use crate::progression::Progression;
use crate::serving::engine::DecodeForm;
use crate::units::SimDuration;

/// Durations of consecutive steps: [`DecodeRun::floor`] for the first few, and then `first + i * growth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecodeRun {
    /// What the first step would take without the floor, in ps.
    first: u64,
    /// What each step takes longer than the one before, in ps.
    growth: u64,
    /// The least duration, in ps.
    floor: u64,
}

impl DecodeRun {
    /// A run of `requests` requests whose contexts sum to `context` at the first step. `None` where some step of the first
    /// `steps_max` would be too long for the closed form: then a step has to be asked for by itself.
    pub(super) fn new(form: DecodeForm, requests: u32, context: u64, steps_max: u64) -> Option<DecodeRun> {
        let growth = form.context_slope.as_ps().checked_mul(requests.into())?;
        let first = form.context_slope.as_ps().checked_mul(context)?.checked_add(form.base.as_ps())?;
        let last = growth.checked_mul(steps_max)?.checked_add(first)?;
        let floor = form.floor.as_ps();
        (last.max(floor) <= form.longest.as_ps()).then_some(DecodeRun { first, growth, floor })
    }

    /// How long step `i` takes.
    pub(super) fn duration(&self, i: u64) -> SimDuration {
        SimDuration::from_ps((self.first + i * self.growth).max(self.floor))
    }

    /// How many steps from the first on take the floor although they would take less.
    fn floored(&self) -> u64 {
        if self.first >= self.floor {
            0
        } else if self.growth == 0 {
            u64::MAX
        } else {
            (self.floor - self.first).div_ceil(self.growth)
        }
    }

    /// The first `steps` steps as at most two progressions.
    pub(super) fn progressions(&self, steps: u64) -> [Progression; 2] {
        let floored = self.floored().min(steps);
        let of = |first: u64, growth: u64, steps: u64| Progression {
            first: SimDuration::from_ps(first),
            growth: SimDuration::from_ps(growth),
            steps,
        };
        let rest = steps - floored;
        // Nobody looks at the first duration of a progression of no step.
        let first = if rest > 0 { self.first + floored * self.growth } else { 0 };
        [of(self.floor, 0, floored), of(first, self.growth, rest)]
    }

    /// How long the first `steps` steps take together, in ps.
    pub(super) fn total_ps(&self, steps: u64) -> u128 {
        self.progressions(steps).iter().map(Progression::total_ps).sum()
    }

    /// The most steps, from the first on and no more than `steps_max`, that take no longer than `time` together.
    pub(super) fn steps_within(&self, time: SimDuration, steps_max: u64) -> u64 {
        let mut left = u128::from(time.as_ps());
        let mut steps = 0;
        for progression in self.progressions(steps_max) {
            let within = progression.steps_within(left);
            steps += within;
            if within < progression.steps {
                break;
            }
            left -= progression.total_ps();
        }
        steps
    }

    /// The run without its first `steps` steps.
    pub(super) fn after(&self, steps: u64) -> DecodeRun {
        DecodeRun { first: self.first + steps * self.growth, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;
    use proptest::prelude::*;

    fn form(base: u64, slope: u64, floor: u64) -> DecodeForm {
        DecodeForm {
            base: SimDuration::from_ps(base),
            context_slope: SimDuration::from_ps(slope),
            floor: SimDuration::from_ps(floor),
            longest: SimDuration::from_ps(SimTime::HORIZON.as_ps()),
        }
    }

    proptest! {
        /// Sums, counts and pieces say what the steps say one by one, below the floor, across it and above.
        #[test]
        fn closed_forms_are_the_steps_one_by_one(
            base in 1u64..1000, slope in 0u64..4, floor in 1u64..3000, b in 1u32..50, context in 0u64..500, k in 0u64..300,
            time in 0u64..200_000,
        ) {
            let run = DecodeRun::new(form(base, slope, floor), b, context, k).expect("short steps");
            let step = |i: u64| (base + slope * (context + i * u64::from(b))).max(floor);
            prop_assert!((0..k).all(|i| run.duration(i).as_ps() == step(i)));
            prop_assert_eq!(run.total_ps(k), (0..k).map(|i| u128::from(step(i))).sum::<u128>());
            let mut left = time;
            let within = (0..k).take_while(|&i| left.checked_sub(step(i)).map(|rest| left = rest).is_some()).count();
            prop_assert_eq!(run.steps_within(SimDuration::from_ps(time), k), within as u64);
            let pieces = run.progressions(k);
            let all: Vec<u64> = pieces.iter().flat_map(|p| (0..p.steps).map(|i| p.duration(i).as_ps())).collect();
            prop_assert_eq!(all, (0..k).map(step).collect::<Vec<_>>());
            prop_assert!((0..k).all(|i| run.after(i).duration(0) == run.duration(i)));
        }
    }

    #[test]
    fn steps_beyond_the_longest_have_no_closed_form() {
        let horizon = SimTime::HORIZON.as_ps();
        assert!(DecodeRun::new(form(1, 1, horizon), 1, 0, 5).is_some());
        assert!(DecodeRun::new(form(1, 1, 0), 1, horizon - 6, 5).is_some());
        assert!(DecodeRun::new(form(1, 1, 0), 1, horizon - 5, 5).is_none());
        assert!(DecodeRun::new(form(1, u64::MAX, 0), 2, 0, 5).is_none());
        assert!(DecodeRun::new(form(1, 2, 0), 1, u64::MAX, 5).is_none());
    }
}
