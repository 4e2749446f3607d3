//! Which KEDA is simulated, and where releases differ.
//!
//! Each difference is a question of its own, with the file that answers it; files were read in the last patch release of
//! each line: v2.15.1, v2.16.1, v2.17.3, v2.18.3, v2.19.0 and v2.20.2.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A KEDA release line. Each decides like its last patch release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum KedaVersion {
    /// v2.15: health is counted without a fallback, too.
    #[serde(rename = "2.15")]
    V2_15,
    /// v2.16: as 2.15 but for that.
    #[serde(rename = "2.16")]
    V2_16,
    /// v2.17: fallback behaviors; the fallback waits for its threshold everywhere.
    #[serde(rename = "2.17")]
    V2_17,
    /// v2.18: fallback for `Value` targets, pauses of one direction, `force-activation`; cron reports 0 outside.
    #[serde(rename = "2.18")]
    V2_18,
    /// v2.19: polls count failures and fall back, too.
    #[serde(rename = "2.19")]
    V2_19,
    /// v2.20: quantities are rounded, NaN counts as no value, pauses are kept.
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

impl fmt::Display for KedaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_15 => "2.15",
            Self::V2_16 => "2.16",
            Self::V2_17 => "2.17",
            Self::V2_18 => "2.18",
            Self::V2_19 => "2.19",
            Self::V2_20 => "2.20",
        })
    }
}

impl KedaVersion {
    /// All of them, oldest first.
    pub const ALL: [KedaVersion; 6] =
        [Self::V2_15, Self::V2_16, Self::V2_17, Self::V2_18, Self::V2_19, Self::V2_20];

    /// Reads `2.15` to `2.20`, with an optional `v` and patch number.
    ///
    /// # Errors
    /// A [`Problem`] without a place where the release is none of these.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut parts = text.trim_start_matches('v').splitn(3, '.');
        let line = [parts.next(), parts.next()].map(Option::unwrap_or_default).join(".");
        let found = Self::ALL.into_iter().find(|version| version.to_string() == line);
        found.ok_or_else(|| Problem::whole(format!("KEDA {text} is not simulated")).help("use 2.15 to 2.20"))
    }

    /// Whether floats become quantities by rounding, with negative values, NaN and infinities as 0
    /// (`pkg/scalers/scaler.go`: `quantityFromFloat64` since v2.20.0); before, thousandths are cut.
    pub fn rounds_quantities(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether the prometheus scaler treats NaN as it treats an infinity (`pkg/scalers/prometheus_scaler.go`, since
    /// v2.20.0).
    pub fn nan_is_no_value(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether metadata that are booleans may be written in all of Go's ways (`pkg/scalers/scalersconfig/typed_config.go`,
    /// since v2.17.0); before, only as JSON does.
    pub fn reads_booleans_as_go(self) -> bool {
        self >= Self::V2_17
    }

    /// What the prometheus trigger's `timeout` is (`pkg/scalers/prometheus_scaler.go`).
    pub(super) fn timeout(self) -> Timeout {
        match self {
            Self::V2_15 | Self::V2_16 => Timeout::Unknown,
            Self::V2_17 => Timeout::Milliseconds,
            Self::V2_18 | Self::V2_19 | Self::V2_20 => Timeout::Duration,
        }
    }

    /// Whether a formula sees nil for a trigger that gave no value, and keeps a nil result where it contains `??`
    /// (`pkg/scaling/modifiers/formula.go` and `castToFloatIfNecessary`, since v2.20.0). Before, such a trigger reads as 0,
    /// and the value is made a float whatever number it is.
    pub fn formulas_know_nil(self) -> bool {
        self >= Self::V2_20
    }

    /// What a cron trigger reports outside its interval (`pkg/scalers/cron_scaler.go`: 0 since v2.18.0, 1 before).
    pub fn cron_value_outside(self) -> f64 {
        if self >= Self::V2_18 { 0.0 } else { 1.0 }
    }

    /// Whether commas are replaced in the name of a cron trigger's metric (`pkg/scalers/cron_scaler.go`, since v2.20.0).
    pub fn cron_name_replaces_commas(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether a cron trigger compares instants (`pkg/scalers/cron_scaler.go`, since v2.16.0) or Unix seconds: they
    /// differ where neither schedule ever comes, which is active since then. Before, `desiredReplicas` might be 0.
    pub fn cron_compares_instants(self) -> bool {
        self >= Self::V2_16
    }

    /// Whether polls count failures and apply the fallback, which then counts as active
    /// (`pkg/scaling/scale_handler.go`: `getScalerState` since v2.19.0); before, only queries of the HPA do.
    pub fn polls_apply_fallback(self) -> bool {
        self >= Self::V2_19
    }

    /// Whether a poll without an active trigger but with a failed one scales to `fallback.replicas` at once, whatever the
    /// threshold (`pkg/scaling/executor/scale_scaledobjects.go`: `doFallbackScaling` up to v2.16).
    pub fn polls_scale_to_fallback(self) -> bool {
        self <= Self::V2_16
    }

    /// Whether `fallback.behavior` exists (CRD of v2.17.0 and later).
    pub fn has_fallback_behaviors(self) -> bool {
        self >= Self::V2_17
    }

    /// Whether `fallback.behavior: scalingModifiers` exists (CRD of v2.20.0 and later).
    pub fn has_scaling_modifiers_fallback(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether metrics of type `Value` can fall back, and targets keep their fraction in it (`pkg/fallback/fallback.go`,
    /// since v2.18.0). Before, the target is cut to a whole number: one below 1 falls back to 0.
    pub fn falls_back_for_values(self) -> bool {
        self >= Self::V2_18
    }

    /// Whether the webhook acts on what it finds wrong with a fallback (`apis/keda/v1alpha1/scaledobject_webhook.go`:
    /// `verifyFallback` since v2.17.0).
    pub fn refuses_useless_fallback(self) -> bool {
        self >= Self::V2_17
    }

    /// Whether condition `Fallback` tells of the evaluation that was just made (`pkg/fallback/fallback.go`, since v2.20.0)
    /// or of the health before it.
    pub fn fallback_condition_is_current(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether health is counted without a fallback, too (`pkg/fallback/fallback.go`, v2.15).
    pub fn counts_health_without_fallback(self) -> bool {
        self <= Self::V2_15
    }

    /// Whether condition `Fallback` is false from the beginning where there is no valid fallback
    /// (`controllers/keda/scaledobject_controller.go`, since v2.16.0).
    pub fn tells_of_no_fallback(self) -> bool {
        self >= Self::V2_16
    }

    /// Whether `paused-scale-in`, `paused-scale-out` and `force-activation` exist
    /// (`apis/keda/v1alpha1/scaledobject_types.go`, since v2.18.0), and condition `Paused` begins as false, not as unknown
    /// (`condition_types.go`).
    pub fn pauses_directions(self) -> bool {
        self >= Self::V2_18
    }

    /// Whether the HPA and the poll loop come back where `paused-replicas` finds another size
    /// (`controllers/keda/scaledobject_controller.go`, v2.18 and v2.19): the HPA with this size, or 1 for 0, as its minimum
    /// and maximum, and each poll sets the size.
    pub fn paused_replicas_brings_hpa_back(self) -> bool {
        matches!(self, Self::V2_18 | Self::V2_19)
    }

    /// Whether the executor only gives its results to the status, of which every poll writes each condition
    /// (`pkg/scaling/scale_handler.go`: `handleResult` since v2.20.0), and sets no size while paused. Before, it sets
    /// conditions where they change.
    pub fn polls_write_all_conditions(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether there is a condition `HPAActive` (`pkg/scaling/executor/scale_scaledobjects.go`: `checkHPAHealth`, v2.20.2).
    pub fn has_hpa_active_condition(self) -> bool {
        self >= Self::V2_20
    }

    /// Whether the status tells each trigger's activity, events name triggers by their metrics, and falling back is an
    /// event (`pkg/scaling/scale_handler.go`, since v2.19.0).
    pub fn tells_trigger_activity(self) -> bool {
        self >= Self::V2_19
    }

    /// Whether the CRD keeps `behavior.*.tolerance` (`config/crd/bases/keda.sh_scaledobjects.yaml`, since v2.18.0).
    pub fn keeps_tolerance(self) -> bool {
        self >= Self::V2_18
    }

    /// Whether names of HPAs that do not fit a label are refused (`apis/keda/v1alpha1/scaledobject_webhook.go`:
    /// `verifyName` since v2.20.0); before, the label was cut.
    pub fn checks_hpa_name(self) -> bool {
        self >= Self::V2_20
    }
}

/// What the prometheus trigger's `timeout` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// No setting: ignored.
    Unknown,
    /// A whole number of milliseconds.
    Milliseconds,
    /// A duration of Go's, or milliseconds.
    Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_with_or_without_patch() {
        assert_eq!(KedaVersion::parse("v2.20.2"), Ok(KedaVersion::V2_20));
        for version in KedaVersion::ALL {
            assert_eq!(KedaVersion::parse(&version.to_string()), Ok(version));
        }
        for text in ["2.14", "2.21", "3.20", "2", "", "2.20x"] {
            assert!(KedaVersion::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lines_are_in_order() {
        assert!(KedaVersion::ALL.is_sorted() && KedaVersion::default() == KedaVersion::V2_20);
    }
}
