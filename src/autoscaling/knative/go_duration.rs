//! A length of time in an annotation or a config map.

use crate::autoscaling::go;
use crate::units::SimDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A length of time as Knative reads it with Go's `time.ParseDuration`, in nanoseconds: `"1m30s"`. Our files also take
/// `"1h 30m"` and a bare number of seconds; what is finer than a nanosecond is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub SimDuration);

const PS_PER_NS: u64 = 1_000;
const PS_PER_SEC: u64 = 1_000_000_000_000;

impl GoDuration {
    /// `s` seconds.
    pub const fn from_secs(s: u64) -> Self {
        GoDuration(SimDuration::from_secs(s))
    }

    /// The length of time itself.
    pub const fn duration(self) -> SimDuration {
        self.0
    }

    /// Whether it has no fraction of a second.
    pub const fn is_whole_seconds(self) -> bool {
        self.0.as_ps().is_multiple_of(PS_PER_SEC)
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ps = self.0.as_ps();
        if self.is_whole_seconds() {
            write!(f, "{}s", ps / PS_PER_SEC)
        } else {
            write!(f, "{}ns", ps / PS_PER_NS)
        }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = go::duration_text::deserialize(deserializer)?;
        Ok(GoDuration(SimDuration::from_nanos(read.as_ps() / PS_PER_NS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        window: GoDuration,
    }

    #[test]
    fn durations_travel_there_and_back() {
        for (text, written) in [
            ("'1m30s'", "90s"),
            ("'1h 30m'", "5400s"),
            ("60", "60s"),
            ("'1.5s'", "1500000000ns"),
            ("0.1234567894", "123456789ns"),
        ] {
            let file: File = toml::from_str(&format!("window = {text}")).expect(text);
            assert_eq!(file.window.to_string(), written);
            let again = toml::to_string(&file).expect("it serializes");
            assert_eq!(toml::from_str::<File>(&again), Ok(file), "{text}");
        }
        assert!(toml::from_str::<File>("window = '-5s'").is_err());
    }
}
