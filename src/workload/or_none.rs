//! A duration that may be switched off.

use crate::random::distribution::Seconds;
use crate::units::SimDuration;

/// A duration as a user writes it, or `"none"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct OrNone(Option<SimDuration>);

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "expected a duration such as \"600s\", a number of seconds, or \"none\"")]
enum Written {
    Text(String),
    Number(Seconds),
}

impl OrNone {
    /// `None` for `"none"`, or where nothing was written.
    pub(super) fn duration(self) -> Option<SimDuration> {
        self.0
    }
}

impl TryFrom<Written> for OrNone {
    type Error = String;

    fn try_from(written: Written) -> Result<OrNone, String> {
        Ok(OrNone(match written {
            Written::Text(text) if text == "none" => None,
            Written::Text(text) => Some(Seconds::parse(&text)?.duration()),
            Written::Number(seconds) => Some(seconds.duration()),
        }))
    }
}
