//! A length of time as a user writes it.

use crate::units::SimDuration;
use serde::de::{Error, Visitor};
use std::fmt;

/// A length of time as a user writes it: text with a unit (`"90s"`, `"1h 30m"`, `"250ms"`), or a bare number of seconds.
///
/// Text is read exactly, to the nanosecond; a bare number is rounded to the picosecond. Negative numbers, NaN and anything
/// beyond [`SimTime::HORIZON`](crate::units::SimTime::HORIZON) are refused when the value is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub SimDuration);

impl Seconds {
    /// The length of time itself.
    pub const fn duration(self) -> SimDuration {
        self.0
    }

    /// Reads `"90s"`, `"1h 30m"`, `"250ms"`. The error is a clause with the remedy in it.
    pub fn parse(text: &str) -> Result<Seconds, String> {
        let duration = humantime::parse_duration(text).map_err(|why| {
            format!("{text:?} is not a duration: {why}; write it as \"90s\", \"5m\" or \"1h 30m\"")
        })?;
        let ps = duration.as_nanos().checked_mul(1_000).and_then(|ps| u64::try_from(ps).ok());
        ps.map(SimDuration::from_ps)
            .filter(|d| d.as_ps() <= crate::units::SimTime::HORIZON.as_ps())
            .map(Seconds)
            .ok_or_else(|| format!("{text:?} is longer than 106 days, the longest time that a run can hold"))
    }

    /// A bare number of seconds. The error is a clause with the remedy in it.
    pub fn number(seconds: f64) -> Result<Seconds, String> {
        SimDuration::from_secs_f64(seconds)
            .map(Seconds)
            .ok_or_else(|| format!("{seconds} is not a number of seconds from 0 to 106 days"))
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> f64 {
        seconds.0.as_secs_f64()
    }
}

impl<'de> serde::Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        deserializer.deserialize_any(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"90s\", or a number of seconds")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Seconds, E> {
        Seconds::parse(text).map_err(E::custom)
    }
    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Seconds, E> {
        Seconds::number(seconds).map_err(E::custom)
    }
    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Seconds, E> {
        Seconds::number(seconds as f64).map_err(E::custom)
    }
    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
        Seconds::number(seconds as f64).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Seconds, String> {
        #[derive(serde::Deserialize)]
        struct File {
            d: Seconds,
        }
        toml::from_str::<File>(&format!("d = {text}")).map(|file| file.d).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn text_and_numbers_are_read() {
        for (text, ms) in
            [("\"131s\"", 131_000), ("\"1h 30m\"", 5_400_000), ("2", 2_000), ("0.25", 250), ("\"0s\"", 0)]
        {
            assert_eq!(read(text).map(Seconds::duration), Ok(SimDuration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_remedy() {
        for text in [
            "-1",
            "nan",
            "inf",
            "\"-5s\"",
            "\"5\"",
            "\"\"",
            "\"5 parsecs\"",
            "1e12",
            "\"500y\"",
            "true",
            "[1]",
        ] {
            let error = read(text).expect_err(text);
            assert!(
                error.contains("second") || error.contains("90s") || error.contains("106 days"),
                "{text}: {error}"
            );
        }
    }
}
