//! Which KEDA is simulated, as far as releases differ.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};

/// A KEDA release line. Each decides like its last patch release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum KedaVersion {
    /// v2.19: quantities are truncated, NaN passes as a huge negative value.
    #[serde(rename = "2.19")]
    V2_19,
    /// v2.20: quantities are rounded, NaN counts as no value.
    #[default]
    #[serde(rename = "2.20")]
    V2_20,
}

impl TryFrom<String> for KedaVersion {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        KedaVersion::parse(&text)
    }
}

impl KedaVersion {
    /// Reads `2.19` or `2.20`, with an optional `v` and patch number.
    ///
    /// # Errors
    /// A [`Problem`] without a place where the release is none of these.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut parts = text.trim_start_matches('v').split('.');
        match (parts.next(), parts.next()) {
            (Some("2"), Some("19")) => Ok(Self::V2_19),
            (Some("2"), Some("20")) => Ok(Self::V2_20),
            _ => Err(Problem::whole(format!("KEDA {text} is not simulated")).help("use 2.19 or 2.20")),
        }
    }

    /// Whether floats become quantities by rounding, with negative values, NaN and infinities as 0
    /// (`pkg/scalers/scaler.go`, KEDA issues 7441 and 7880).
    pub fn rounds_quantities(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether the prometheus scaler treats NaN as it treats an infinity (KEDA issue 7475).
    pub fn nan_is_no_value(self) -> bool {
        self >= Self::V2_20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_with_or_without_patch() {
        assert_eq!(KedaVersion::parse("v2.20.2"), Ok(KedaVersion::V2_20));
        assert_eq!(KedaVersion::parse("2.19"), Ok(KedaVersion::V2_19));
        assert!(KedaVersion::parse("2.18").is_err());
        assert!(KedaVersion::parse("3.20").is_err());
    }
}
