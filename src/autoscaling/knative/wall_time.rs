//! Instants as API objects hold them.

use crate::units::{SimDuration, SimTime, UnixMillis};

/// An instant of Unix time, exact to the picosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WallTime(i128);

const PS_PER_MS: i128 = 1_000_000_000;
const PS_PER_SEC: i128 = 1_000 * PS_PER_MS;

impl WallTime {
    /// Longer ago than any run or setting is long.
    pub(super) const LONG_AGO: WallTime = WallTime(i128::MIN / 2);

    /// The instant `now` of a run that began at `epoch`.
    pub(super) fn of(epoch: UnixMillis, now: SimTime) -> Self {
        WallTime(i128::from(epoch.0) * PS_PER_MS + i128::from(now.as_ps()))
    }

    /// As JSON carries a `metav1.Time`: without the fraction of the second.
    pub(super) fn whole_second(self) -> Self {
        WallTime(self.0 - self.0.rem_euclid(PS_PER_SEC))
    }

    /// Time since `earlier`; zero if that is later.
    pub(super) fn since(self, earlier: WallTime) -> SimDuration {
        let elapsed = (self.0 - earlier.0).max(0);
        u64::try_from(elapsed).map_or(SimDuration::MAX, SimDuration::from_ps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_those_of_the_wall() {
        let epoch = UnixMillis(10_400);
        let at = |ms| WallTime::of(epoch, SimTime::ZERO + SimDuration::from_millis(ms));
        assert_eq!(at(599).whole_second(), WallTime::of(UnixMillis(10_000), SimTime::ZERO));
        assert_eq!(at(600).whole_second(), at(600));
        assert_eq!(at(599).since(at(0).whole_second()), SimDuration::from_millis(999));
        assert_eq!(at(0).since(at(1)), SimDuration::ZERO);
        assert_eq!(at(0).since(WallTime::LONG_AGO), SimDuration::MAX);
    }
}
