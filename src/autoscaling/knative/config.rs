//! The config map `config-autoscaler` of the namespace `knative-serving`.

use super::go_duration::GoDuration;
use serde::{Deserialize, Serialize};

/// The only class that is simulated.
pub(super) const KPA_CLASS: &str = "kpa.autoscaling.knative.dev";

/// Cluster-wide settings, by the keys of the config map in snake_case; defaults are Knative's
/// (`pkg/autoscaler/config/config.go`, v1.23.0). A revision's annotations override most of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigAutoscaler {
    /// Which autoscaler acts on revisions that name none; only the KPA, `kpa.autoscaling.knative.dev`, is simulated.
    pub pod_autoscaler_class: String,
    /// Share of a pod's concurrency that is aimed at, in percent, up to 100; a value up to 1 is read as a fraction. 70.
    pub container_concurrency_target_percentage: f64,
    /// Requests in flight per pod where neither annotation nor `container_concurrency` say; 100.
    pub container_concurrency_target_default: f64,
    /// Requests per second per pod where the annotation does not say; 200. At least 0.01.
    pub requests_per_second_target_default: f64,
    /// Requests that the pods shall be able to take at once on top of those in flight; 211. -1 is without end: the activator
    /// stays in the path of requests; 0 takes it out whenever there is a pod.
    pub target_burst_capacity: f64,
    /// Length of the stable window; 60 s. Whole seconds from 6 s to an hour.
    pub stable_window: GoDuration,
    /// Length of the panic window in percent of the stable one; 10. From 1 to 100.
    pub panic_window_percentage: f64,
    /// Panic begins when the panic window asks for so many percent of the ready pods; 200.
    pub panic_threshold_percentage: f64,
    /// The largest factor of growth in one decision; 1000. Above 1.
    pub max_scale_up_rate: f64,
    /// The largest factor of shrinking in one decision; 2. Above 1.
    pub max_scale_down_rate: f64,
    /// Whether the last pod may go; true.
    pub enable_scale_to_zero: bool,
    /// How long the activator is in the path of requests before the last pod goes; 30 s. Above 0.
    pub scale_to_zero_grace_period: GoDuration,
    /// How long the last pod stays at least once there is no traffic; 0 s.
    pub scale_to_zero_pod_retention_period: GoDuration,
    /// Pods of a new revision; 1.
    pub initial_scale: i32,
    /// Whether a new revision may have none; false.
    pub allow_zero_initial_scale: bool,
    /// Fewest pods; 0.
    pub min_scale: i32,
    /// Most pods; 0 is without end.
    pub max_scale: i32,
    /// The most that `max_scale` may be; 0 is without end.
    pub max_scale_limit: i32,
    /// How long fewer pods must be enough before there are fewer; 0 s. Whole seconds.
    pub scale_down_delay: GoDuration,
    /// Requests in flight that one activator is good for; 100. At least 1.
    pub activator_capacity: f64,
}

impl Default for ConfigAutoscaler {
    fn default() -> Self {
        ConfigAutoscaler {
            pod_autoscaler_class: KPA_CLASS.to_owned(),
            container_concurrency_target_percentage: 70.0,
            container_concurrency_target_default: 100.0,
            requests_per_second_target_default: 200.0,
            target_burst_capacity: 211.0,
            stable_window: GoDuration::from_secs(60),
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            enable_scale_to_zero: true,
            scale_to_zero_grace_period: GoDuration::from_secs(30),
            scale_to_zero_pod_retention_period: GoDuration::from_secs(0),
            initial_scale: 1,
            allow_zero_initial_scale: false,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
            scale_down_delay: GoDuration::from_secs(0),
            activator_capacity: 100.0,
        }
    }
}

impl ConfigAutoscaler {
    /// `container-concurrency-target-percentage` as a fraction; for historical reasons it may be written as one.
    pub fn container_concurrency_target_fraction(&self) -> f64 {
        let written = self.container_concurrency_target_percentage;
        if written > 1.0 { written / 100.0 } else { written }
    }
}
