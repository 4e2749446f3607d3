//! Which Kubernetes is simulated, as far as its HPA controller differs.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A Kubernetes minor release, written `1.35`.
///
/// The controller was read at 1.28 and by its tolerance check at 1.33; what 1.36 and 1.37 add (pod selection
/// strategies, scaling to zero by the HPA itself) is opt-in and not simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion {
    minor: u8,
}

impl KubernetesVersion {
    const OLDEST: u8 = 28;
    const NEWEST: u8 = 37;

    /// Reads `1.28` to `1.37`, with an optional `v` and patch number.
    ///
    /// # Errors
    /// A [`Problem`] without a place where the text is none of these.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut parts = text.trim_start_matches('v').split('.');
        let minor = match (parts.next(), parts.next().map(str::parse::<u8>)) {
            (Some("1"), Some(Ok(minor))) => minor,
            _ => {
                return Err(
                    Problem::whole(format!("`{text}` is no Kubernetes release")).help("write it as 1.35")
                );
            }
        };
        if (Self::OLDEST..=Self::NEWEST).contains(&minor) {
            Ok(KubernetesVersion { minor })
        } else {
            Err(Problem::whole(format!("Kubernetes {text} is not simulated")).help("use 1.28 to 1.37"))
        }
    }

    /// Whether tolerance is tested against a lower and an upper bound of the ratio, and proposals past `int32` are
    /// clamped (`replica_calculator.go` from 1.33); before, `|1 - ratio|` is compared.
    pub fn tests_tolerance_by_direction(self) -> bool {
        self.minor >= 33
    }

    /// Whether a sync that failed shows in `status.currentMetrics` which metrics failed (`horizontal.go`:
    /// `setCurrentReplicasAndMetricsInStatus` from 1.29); before, those of the last sync that did not fail stay.
    pub fn shows_failed_metrics(self) -> bool {
        self.minor >= 29
    }

    /// Whether `behavior.*.tolerance` is served: feature gate `HPAConfigurableTolerance`, alpha in 1.33 and on by
    /// default from 1.35. With the gate off the API server drops the field.
    pub fn has_configurable_tolerance(self) -> bool {
        self.minor >= 35
    }
}

impl Default for KubernetesVersion {
    /// 1.35.
    fn default() -> Self {
        KubernetesVersion { minor: 35 }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl TryFrom<String> for KubernetesVersion {
    type Error = Problem;
    fn try_from(text: String) -> Result<Self, Problem> {
        Self::parse(&text)
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> String {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_with_or_without_patch() {
        assert_eq!(KubernetesVersion::parse("v1.33.2").map(|v| v.to_string()), Ok("1.33".to_owned()));
        for bad in ["1.27", "1.38", "2.30", "1", "latest"] {
            assert!(KubernetesVersion::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tolerance_changes_at_1_33_and_its_field_at_1_35() {
        let at = |text| KubernetesVersion::parse(text).expect("a release");
        assert!(!at("1.32").tests_tolerance_by_direction() && at("1.33").tests_tolerance_by_direction());
        assert!(!at("1.34").has_configurable_tolerance() && at("1.35").has_configurable_tolerance());
    }
}
