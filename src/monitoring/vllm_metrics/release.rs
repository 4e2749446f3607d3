//! Which release of vLLM gives the metrics their names.

use crate::problem::Problem;
use std::fmt;

/// A release of vLLM 0.x by its minor and patch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricsRelease {
    minor: u32,
    patch: u32,
}

impl MetricsRelease {
    /// 0.8.5, the oldest whose metrics are known: the first with all of V1's.
    pub const OLDEST: MetricsRelease = MetricsRelease::v(8, 5);
    /// 0.32, the newest whose metrics are known.
    pub const NEWEST: MetricsRelease = MetricsRelease::v(32, 0);

    /// `0.minor.patch`.
    pub(super) const fn v(minor: u32, patch: u32) -> Self {
        MetricsRelease { minor, patch }
    }

    /// The release that the setting `metrics_version` names, such as `0.11.2` or `v0.20`.
    ///
    /// # Errors
    /// A problem with the key `metrics_version` for what is no release, and for releases whose metrics are not known.
    pub fn parse(text: &str) -> Result<MetricsRelease, Problem> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.').map(str::parse::<u32>);
        let release = match (numbers.next(), numbers.next(), numbers.next().unwrap_or(Ok(0)), numbers.next())
        {
            (Some(Ok(0)), Some(Ok(minor)), Ok(patch), None) => MetricsRelease::v(minor, patch),
            _ => {
                let problem = Problem::key("metrics_version", format!("`{text}` is not a release of vLLM"));
                return Err(problem.help("such as \"0.11.2\""));
            }
        };
        if release < MetricsRelease::OLDEST || release.minor > MetricsRelease::NEWEST.minor {
            let problem =
                Problem::key("metrics_version", format!("the metrics of vLLM {text} are not known"));
            return Err(problem.help(format!(
                "those of {} to {} are",
                MetricsRelease::OLDEST,
                MetricsRelease::NEWEST
            )));
        }
        Ok(release)
    }
}

impl Default for MetricsRelease {
    fn default() -> Self {
        MetricsRelease::NEWEST
    }
}

impl fmt::Display for MetricsRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{}", self.minor)?;
        if self.patch > 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_ordered_and_bounded() {
        let parse = |text| MetricsRelease::parse(text).expect("a release");
        assert!(
            parse("0.8.5") < parse("v0.11")
                && parse("0.11") < parse("0.11.2")
                && parse("0.11.2") < parse("0.32")
        );
        assert_eq!(
            (parse("0.11.0").to_string(), parse("0.11.2").to_string()),
            ("0.11".into(), "0.11.2".into())
        );
        for wrong in ["0.8.4", "0.33", "1.0", "latest", "", "0.9.1.2", "0.x"] {
            assert!(MetricsRelease::parse(wrong).is_err(), "{wrong}");
        }
    }
}
