//! A number that changes at instants, with its exact integral over time and its range.

use crate::units::SimTime;

/// A level such as `spec.replicas`: the integral is in level-picoseconds, exact.
#[derive(Clone, Debug)]
pub(super) struct Level {
    value: i64,
    since: SimTime,
    integral_ps: u128,
    lowest: i64,
    highest: i64,
    /// Time spent at `highest`.
    at_highest_ps: u128,
}

impl Level {
    /// At `value` from the start of the run.
    pub(super) fn new(value: i64) -> Self {
        Level {
            value,
            since: SimTime::ZERO,
            integral_ps: 0,
            lowest: i64::MAX,
            highest: i64::MIN,
            at_highest_ps: 0,
        }
    }

    /// The level now.
    pub(super) fn get(&self) -> i64 {
        self.value
    }

    /// Sets the level from `now` on; `now` never goes back.
    pub(super) fn set(&mut self, now: SimTime, value: i64) {
        self.settle(now);
        self.value = value;
    }

    /// Changes the level by `delta` from `now` on.
    pub(super) fn add(&mut self, now: SimTime, delta: i64) {
        self.set(now, self.value + delta);
    }

    /// Accounts for the time up to `now`. A level that was held for no time at all does not count in the range.
    pub(super) fn settle(&mut self, now: SimTime) {
        let held = u128::from(now.since(self.since).as_ps());
        self.since = now;
        if held == 0 {
            return;
        }
        // Levels are counts and never negative; the cast is exact.
        self.integral_ps += held * self.value.unsigned_abs() as u128;
        self.lowest = self.lowest.min(self.value);
        match self.value.cmp(&self.highest) {
            std::cmp::Ordering::Greater => {
                self.highest = self.value;
                self.at_highest_ps = held;
            }
            std::cmp::Ordering::Equal => self.at_highest_ps += held,
            std::cmp::Ordering::Less => {}
        }
    }

    /// Integral up to the last `settle`, in level-picoseconds.
    pub(super) fn integral_ps(&self) -> u128 {
        self.integral_ps
    }

    /// Lowest and highest level that was held; the level now where none was yet.
    pub(super) fn range(&self) -> (i64, i64) {
        if self.lowest > self.highest { (self.value, self.value) } else { (self.lowest, self.highest) }
    }

    /// Picoseconds at the highest level.
    pub(super) fn at_highest_ps(&self) -> u128 {
        self.at_highest_ps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;

    #[test]
    fn integral_range_and_time_at_the_top() {
        let at = SimTime::from_ps;
        let mut level = Level::new(9);
        assert_eq!(level.range(), (9, 9));
        level.set(at(0), 1);
        level.set(at(10), 5);
        level.set(at(10), 3); // 5 was held for no time
        level.add(at(14), 1);
        level.set(at(20), 2);
        level.settle(at(21));
        assert_eq!(level.integral_ps(), 10 + 4 * 3 + 6 * 4 + 2);
        assert_eq!(level.range(), (1, 4));
        assert_eq!(level.at_highest_ps(), 6);
        assert_eq!(level.get(), 2);
    }
}
