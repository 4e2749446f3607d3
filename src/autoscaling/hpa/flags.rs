//! Flags of kube-controller-manager that concern the HPA.

use super::version::KubernetesVersion;
use crate::autoscaling::go;
use crate::problem::Problem;
use crate::units::{SimDuration, SimTime};
use serde::{Deserialize, Serialize};

/// The cluster-wide settings of the HPA controller, by the names of their flags without the prefix
/// `--horizontal-pod-autoscaler-`. Durations are Go's: `15s`, `5m0s`.
///
/// Defaults are Kubernetes' (`pkg/controller/podautoscaler/config/v1alpha1/defaults.go`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControllerManagerFlags {
    /// The release whose controller decides; 1.35 when left out.
    pub kubernetes: KubernetesVersion,
    /// `sync-period`: from the end of one reconcile to the next; 15 s when left out. At least 100 ms.
    #[serde(with = "go::duration_text")]
    pub sync_period: SimDuration,
    /// `tolerance`: how far a ratio may be from 1 without a change; 0.1 when left out. Not negative.
    pub tolerance: f64,
    /// `downscale-stabilization`: the window of an HPA that names none; 5 min when left out.
    #[serde(with = "go::duration_text")]
    pub downscale_stabilization: SimDuration,
}

impl Default for ControllerManagerFlags {
    fn default() -> Self {
        ControllerManagerFlags {
            kubernetes: KubernetesVersion::default(),
            sync_period: SimDuration::from_secs(15),
            tolerance: 0.1,
            downscale_stabilization: SimDuration::from_secs(300),
        }
    }
}

/// A run with a shorter one would not end.
const SYNC_PERIOD_MIN: SimDuration = SimDuration::from_millis(100);

impl ControllerManagerFlags {
    /// What is wrong with these flags; keys are relative to their table.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.sync_period < SYNC_PERIOD_MIN {
            problems.push(Problem::key("sync_period", "the HPA cannot sync that often").help("use 15s"));
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            let message = format!("tolerance {} is not a ratio of 0 or more", self.tolerance);
            problems.push(Problem::key("tolerance", message).help("use 0.1"));
        }
        problems
    }

    /// When the HPA that appeared, or whose reconcile ended, at `since` is due: one sync period later. There is no
    /// jitter, and errors wait no longer (`rate_limiters.go`: a fixed interval, the first sync included).
    pub fn next_sync(&self, since: SimTime) -> SimTime {
        since + self.sync_period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_with_go_durations_and_unknown_ones_refused() {
        let flags: ControllerManagerFlags =
            toml::from_str("kubernetes = '1.30'\ndownscale_stabilization = '1m30s'").expect("valid flags");
        assert_eq!(flags.downscale_stabilization, SimDuration::from_secs(90));
        assert_eq!(flags.next_sync(SimTime::ZERO), SimTime::ZERO + SimDuration::from_secs(15));
        assert!(flags.problems().is_empty());
        assert!(toml::from_str::<ControllerManagerFlags>("sync = '1s'").is_err());
        assert!(toml::from_str::<ControllerManagerFlags>("sync_period = '15'").is_err());
    }

    #[test]
    fn nonsense_is_a_problem_with_its_key() {
        let flags = ControllerManagerFlags {
            sync_period: SimDuration::ZERO,
            tolerance: f64::NAN,
            ..ControllerManagerFlags::default()
        };
        let keys: Vec<String> = flags.problems().iter().map(ToString::to_string).collect();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].starts_with("sync_period:") && keys[1].starts_with("tolerance:"));
    }
}
