//! Quantities with their units, so that no bare integer for time, tokens, blocks or replicas crosses a module.
//!
//! Time is an integer number of **picoseconds** since the start of the run. Picoseconds make a step's time linear
//! in the summed context with integer coefficients, so that adding *k* steps one by one and adding them by a closed
//! form give the same integer. `u64` picoseconds reach 213 days; [`SimTime::HORIZON`] is where runs are refused.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

const PS_PER_NS: u64 = 1_000;
const PS_PER_MS: u64 = 1_000_000_000;
const PS_PER_SEC: u64 = 1_000_000_000_000;

/// An instant: picoseconds since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

/// A length of time, never negative: picoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimDuration(u64);

impl SimTime {
    /// The start of the run.
    pub const ZERO: SimTime = SimTime(0);
    /// The last instant that a run may ask for: 106 days, half of what `u64` picoseconds hold, so that
    /// no sum of an instant and a duration of a run overflows.
    pub const HORIZON: SimTime = SimTime(u64::MAX / 2);
    /// Later than every instant of a run: "never".
    pub const NEVER: SimTime = SimTime(u64::MAX);

    /// The instant `ps` picoseconds after the start.
    pub const fn from_ps(ps: u64) -> Self {
        SimTime(ps)
    }
    /// Picoseconds since the start.
    pub const fn as_ps(self) -> u64 {
        self.0
    }
    /// Seconds since the start, for output only: never accumulate these.
    pub fn as_secs_f64(self) -> f64 {
        SimDuration(self.0).as_secs_f64()
    }
    /// Whole milliseconds since the start, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / PS_PER_MS
    }
    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: SimTime) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
    /// `self + duration`, or `None` past the end of `u64`.
    pub fn checked_add(self, duration: SimDuration) -> Option<SimTime> {
        self.0.checked_add(duration.0).map(SimTime)
    }
}

impl SimDuration {
    /// No time at all.
    pub const ZERO: SimDuration = SimDuration(0);
    /// The longest length of time.
    pub const MAX: SimDuration = SimDuration(u64::MAX);

    /// `ps` picoseconds.
    pub const fn from_ps(ps: u64) -> Self {
        SimDuration(ps)
    }
    /// `ns` nanoseconds.
    pub const fn from_nanos(ns: u64) -> Self {
        SimDuration(ns * PS_PER_NS)
    }
    /// `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        SimDuration(ms * PS_PER_MS)
    }
    /// `s` seconds.
    pub const fn from_secs(s: u64) -> Self {
        SimDuration(s * PS_PER_SEC)
    }
    /// `s` seconds rounded to the nearest picosecond; `None` if `s` is negative, NaN or past [`SimTime::HORIZON`].
    pub fn from_secs_f64(s: f64) -> Option<Self> {
        let ps = libm::round(s * PS_PER_SEC as f64);
        (ps >= 0.0 && ps <= SimTime::HORIZON.0 as f64).then_some(SimDuration(ps as u64))
    }
    /// Picoseconds.
    pub const fn as_ps(self) -> u64 {
        self.0
    }
    /// Seconds, for output only: never accumulate these.
    pub fn as_secs_f64(self) -> f64 {
        // Whole and fractional seconds apart: a `u64` of picoseconds has more digits than an `f64`.
        (self.0 / PS_PER_SEC) as f64 + (self.0 % PS_PER_SEC) as f64 / PS_PER_SEC as f64
    }
    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / PS_PER_MS
    }
    /// `self * factor`, or `None` past the end of `u64`.
    pub fn checked_mul(self, factor: u64) -> Option<SimDuration> {
        self.0.checked_mul(factor).map(SimDuration)
    }
    /// The remainder of `self` by `period`; `period` must not be zero.
    pub const fn rem(self, period: SimDuration) -> SimDuration {
        SimDuration(self.0 % period.0)
    }
    /// True for no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add<SimDuration> for SimTime {
    type Output = SimTime;
    fn add(self, rhs: SimDuration) -> SimTime {
        SimTime(self.0 + rhs.0)
    }
}
impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, rhs: SimDuration) {
        self.0 += rhs.0;
    }
}
impl Sub<SimDuration> for SimTime {
    type Output = SimTime;
    fn sub(self, rhs: SimDuration) -> SimTime {
        SimTime(self.0 - rhs.0)
    }
}
impl Add for SimDuration {
    type Output = SimDuration;
    fn add(self, rhs: SimDuration) -> SimDuration {
        SimDuration(self.0 + rhs.0)
    }
}
impl AddAssign for SimDuration {
    fn add_assign(&mut self, rhs: SimDuration) {
        self.0 += rhs.0;
    }
}
impl Sub for SimDuration {
    type Output = SimDuration;
    fn sub(self, rhs: SimDuration) -> SimDuration {
        SimDuration(self.0 - rhs.0)
    }
}
impl SubAssign for SimDuration {
    fn sub_assign(&mut self, rhs: SimDuration) {
        self.0 -= rhs.0;
    }
}
impl Sum for SimDuration {
    fn sum<I: Iterator<Item = SimDuration>>(iter: I) -> SimDuration {
        iter.fold(SimDuration::ZERO, |total, d| total + d)
    }
}
impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.as_secs_f64())
    }
}
impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.as_secs_f64())
    }
}

/// Seconds as files hold them: a decimal number, exact to the picosecond, without zeros at its end.
///
/// ```
/// use dryscale::units::{DecimalSeconds, SimDuration};
/// let text = DecimalSeconds::from(SimDuration::from_millis(1500)).to_string();
/// assert_eq!(text, "1.5");
/// assert_eq!(DecimalSeconds::parse(&text).map(SimDuration::from), Some(SimDuration::from_millis(1500)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalSeconds(u64);

impl DecimalSeconds {
    /// Reads digits, and up to twelve more after a point. `None` for every other text, and for what `u64` picoseconds do
    /// not hold.
    pub fn parse(text: &str) -> Option<DecimalSeconds> {
        let (whole, fraction) =
            text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || fraction.is_some_and(|fraction| !digits(fraction) || fraction.len() > 12) {
            return None;
        }
        let ps: u64 = format!("{:0<12}", fraction.unwrap_or_default()).parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(PS_PER_SEC)?.checked_add(ps).map(DecimalSeconds)
    }
}

impl From<SimTime> for DecimalSeconds {
    fn from(at: SimTime) -> Self {
        DecimalSeconds(at.0)
    }
}
impl From<SimDuration> for DecimalSeconds {
    fn from(length: SimDuration) -> Self {
        DecimalSeconds(length.0)
    }
}
impl From<DecimalSeconds> for SimTime {
    fn from(seconds: DecimalSeconds) -> Self {
        SimTime(seconds.0)
    }
}
impl From<DecimalSeconds> for SimDuration {
    fn from(seconds: DecimalSeconds) -> Self {
        SimDuration(seconds.0)
    }
}
impl fmt::Display for DecimalSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / PS_PER_SEC, self.0 % PS_PER_SEC);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:012}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A wall-clock instant as Prometheus and Kubernetes see it: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The wall-clock instant of `at` in a run that began at `self`, rounded down to the millisecond.
    pub const fn at(self, at: SimTime) -> UnixMillis {
        UnixMillis(self.0 + at.as_millis() as i64)
    }
    /// Rounded down to the whole second, as KEDA asks Prometheus (`time=` is RFC 3339 without a fraction).
    pub const fn whole_second(self) -> UnixMillis {
        UnixMillis(self.0.div_euclid(1000) * 1000)
    }
}

macro_rules! count {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// None.
            pub const ZERO: $name = $name(0);
            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }
        impl Add for $name {
            type Output = $name;
            fn add(self, rhs: $name) -> $name {
                $name(self.0 + rhs.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, rhs: $name) {
                self.0 += rhs.0;
            }
        }
        impl Sub for $name {
            type Output = $name;
            fn sub(self, rhs: $name) -> $name {
                $name(self.0 - rhs.0)
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, rhs: $name) {
                self.0 -= rhs.0;
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

count!(
    /// A number of tokens of one request or one step; at most 2^31 - 1 where a user gives it.
    Tokens(u32)
);
count!(
    /// A number of KV-cache blocks.
    Blocks(u32)
);
count!(
    /// A number of replicas; Kubernetes' `int32`.
    Replicas(i32)
);
count!(
    /// A number of GPUs.
    Gpus(u32)
);
count!(
    /// A Kubernetes quantity in thousandths, as `resource.Quantity.MilliValue()` gives it.
    MilliValue(i64)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_to_the_nearest_picosecond_and_refuse_what_is_no_time() {
        assert_eq!(SimDuration::from_secs_f64(1.5), Some(SimDuration::from_millis(1500)));
        assert_eq!(SimDuration::from_secs_f64(1e-12), Some(SimDuration::from_ps(1)));
        for bad in [-1e-3, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(SimDuration::from_secs_f64(bad), None, "{bad}");
        }
    }

    #[test]
    fn output_seconds_keep_the_digits_of_long_runs() {
        let t = SimTime::from_ps(86_400 * PS_PER_SEC + 1_000_000);
        assert_eq!(t.as_secs_f64(), 86_400.000_001);
    }

    #[test]
    fn files_hold_every_picosecond_also_late_in_a_run() {
        for (ps, text) in [
            (0, "0"),
            (1_500_000_000_000, "1.5"),
            (86_400_000_000_000_001, "86400.000000000001"),
            (u64::MAX, "18446744.073709551615"),
        ] {
            let seconds = DecimalSeconds::from(SimTime::from_ps(ps));
            assert_eq!(seconds.to_string(), text);
            assert_eq!(DecimalSeconds::parse(text), Some(seconds));
        }
        for wrong in
            ["", ".5", "5.", "-1", "+1", "1e3", " 1", "1.0000000000001", "1.2.3", "99999999999", "１"]
        {
            assert_eq!(DecimalSeconds::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whole_seconds_round_down_also_before_1970() {
        assert_eq!(UnixMillis(1999).whole_second(), UnixMillis(1000));
        assert_eq!(UnixMillis(-1).whole_second(), UnixMillis(-1000));
    }
}
