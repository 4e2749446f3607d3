//! Rules of the Go language and library that decide outcomes of the real controllers.
//!
//! The recorded controllers ran on amd64. Go leaves a conversion of a float that does not fit to the machine; amd64's
//! `CVTTSD2S[LQ]` gives the smallest integer, for NaN too. Rust's `as` would saturate instead.

use crate::units::{SimDuration, SimTime};

mod parse_float;

pub(crate) use parse_float::parse_float;

/// `int64(x)` of Go on amd64: truncated toward zero, `i64::MIN` where the result does not fit or `x` is NaN.
pub(crate) fn int64(x: f64) -> i64 {
    // Exact in an `f64`, as i64::MAX is not.
    const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
    if (-TWO_POW_63..TWO_POW_63).contains(&x) { x as i64 } else { i64::MIN }
}

/// `int32(x)` of Go on amd64: truncated toward zero, `i32::MIN` where the result does not fit or `x` is NaN.
pub(crate) fn int32(x: f64) -> i32 {
    if x > -2_147_483_649.0 && x < 2_147_483_648.0 { x as i32 } else { i32::MIN }
}

/// `strconv.ParseBool`: the twelve spellings that Go accepts, `None` for any other text.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `time.ParseDuration`: decimal numbers, each with a unit (`h m s ms us µs ns`), as in `1m30s`; `0` needs none.
/// `None` where the text is no such duration, is negative, or reaches past [`SimTime::HORIZON`].
pub(crate) fn parse_duration(text: &str) -> Option<SimDuration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(SimDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_ns = u128::from(duration_unit_ns(unit)?);
        total_ns = total_ns.checked_add(nanoseconds(number, unit_ns)?)?;
        rest = tail;
    }
    let ps = u64::try_from(total_ns.checked_mul(1_000)?).ok()?;
    (ps <= SimTime::HORIZON.as_ps()).then(|| SimDuration::from_ps(ps))
}

/// How many nanoseconds a unit of `time.ParseDuration` has.
pub(crate) fn duration_unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal `number` of units of `unit_ns` nanoseconds, cut to whole nanoseconds.
fn nanoseconds(number: &str, unit_ns: u128) -> Option<u128> {
    const LONGEST: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > LONGEST {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    Some(digits * unit_ns / 10_u128.pow(fraction.len() as u32))
}

/// `serde(with)` for durations that a user writes as Go does.
pub(crate) mod duration_text {
    use crate::random::distribution::Seconds;
    use crate::units::SimDuration;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    pub(crate) fn serialize<S: Serializer>(duration: &SimDuration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ns", duration.as_ps() / 1_000))
    }

    /// Go's text, as the flag takes it, or any other duration of ours.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SimDuration, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }

    struct DurationVisitor;

    impl Visitor<'_> for DurationVisitor {
        type Value = SimDuration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"15s\" or \"1m30s\", or a number of seconds")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<SimDuration, E> {
            let go = super::parse_duration(text);
            go.map_or_else(|| Seconds::parse(text).map(Seconds::duration).map_err(E::custom), Ok)
        }
        fn visit_f64<E: Error>(self, seconds: f64) -> Result<SimDuration, E> {
            Seconds::number(seconds).map(Seconds::duration).map_err(E::custom)
        }
        fn visit_i64<E: Error>(self, seconds: i64) -> Result<SimDuration, E> {
            self.visit_f64(seconds as f64)
        }
        fn visit_u64<E: Error>(self, seconds: u64) -> Result<SimDuration, E> {
            self.visit_f64(seconds as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, ms) in [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("0", 0),
            ("1h2m3.5s", 3_723_500),
        ] {
            assert_eq!(parse_duration(text), Some(SimDuration::from_millis(ms)), "{text}");
        }
        for text in ["", "15", "s", "1d", "-1s", "1.2.3s", ".s", "1s ", "999999999h", "99999999999999999999s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_the_smallest_integer() {
        assert_eq!((int64(-1.9), int32(-1.9)), (-1, -1));
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e19, -1e19] {
            assert_eq!((int64(x), int32(x)), (i64::MIN, i32::MIN), "{x}");
        }
        assert_eq!((int32(2_147_483_647.9), int32(2_147_483_648.0)), (i32::MAX, i32::MIN));
        assert_eq!(int64(-9_223_372_036_854_775_808.0), i64::MIN);
    }

    #[test]
    fn booleans_have_twelve_spellings() {
        assert_eq!(parse_bool("T"), Some(true));
        assert_eq!(parse_bool("False"), Some(false));
        assert_eq!(parse_bool("yes"), None);
        assert_eq!(parse_bool(" true"), None);
    }
}
