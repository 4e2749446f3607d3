//! What a user sets for one Knative revision: its annotations, its concurrency limit, and the cluster's config map.

use super::config::ConfigAutoscaler;
use super::go_duration::GoDuration;
use serde::{Deserialize, Serialize};

/// The annotations `autoscaling.knative.dev/...` of a revision's template in snake_case, with what belongs to them. `None`
/// is what the user left out: the config map decides then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnativeSpec {
    /// `metric`: what pods are counted by; `concurrency` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// `target`: what one pod is good for, in requests in flight or requests per second. The autoscaler aims at
    /// `target_utilization_percentage` of it. At least 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// `target-utilization-percentage`: the share of the target that is aimed at, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_utilization_percentage: Option<f64>,
    /// `min-scale`: fewest pods; 0 allows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_scale: Option<i32>,
    /// `max-scale`: most pods; 0 is without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_scale: Option<i32>,
    /// `initial-scale`: pods of a new revision, until it has had as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_scale: Option<i32>,
    /// `activation-scale`: fewest pods while there are any, but for bounds; 2 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_scale: Option<i32>,
    /// `window`: length of the stable window. Whole seconds from 6 s to an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<GoDuration>,
    /// `panic-window-percentage`: length of the panic window in percent of the stable one, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic_window_percentage: Option<f64>,
    /// `panic-threshold-percentage`: panic begins when the panic window asks for so many percent of the ready pods, 110 to
    /// 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic_threshold_percentage: Option<f64>,
    /// `target-burst-capacity`: see [`ConfigAutoscaler::target_burst_capacity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_burst_capacity: Option<f64>,
    /// `scale-down-delay`: how long fewer pods must be enough before there are fewer. Whole seconds, at most an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay: Option<GoDuration>,
    /// `scale-to-zero-pod-retention-period`: how long the last pod stays at least once there is no traffic; at most an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_to_zero_pod_retention_period: Option<GoDuration>,
    /// `metric-aggregation-algorithm`: how a window is averaged; `linear` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_aggregation_algorithm: Option<MetricAggregationAlgorithm>,
    /// `serving.knative.dev/progress-deadline`: a service that is not active so long and 30 s after it was asked for is
    /// scaled back to zero; Knative's 600 s when left out. Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<GoDuration>,
    /// `spec.template.spec.containerConcurrency`: the hard limit of requests in flight in a pod, 0 to 1000; 0, none, when
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_concurrency: Option<i64>,
    /// The cluster's `config-autoscaler`.
    #[serde(skip_serializing_if = "is_default")]
    pub config: ConfigAutoscaler,
}

fn is_default(config: &ConfigAutoscaler) -> bool {
    *config == ConfigAutoscaler::default()
}

/// What pods are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Requests in flight.
    #[default]
    Concurrency,
    /// Requests per second.
    Rps,
}

/// How the samples of a window become one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricAggregationAlgorithm {
    /// The plain average.
    #[default]
    Linear,
    /// Newer samples weigh more.
    #[serde(alias = "weightedExponential")]
    WeightedExponential,
}

impl KnativeSpec {
    /// The annotation `metric` or its default.
    pub fn metric(&self) -> Metric {
        self.metric.unwrap_or_default()
    }
    /// Length of the stable window (`StableWindow`).
    pub fn stable_window(&self) -> GoDuration {
        self.window.unwrap_or(self.config.stable_window)
    }
    /// `target-burst-capacity` of the annotation or the config map.
    pub fn target_burst_capacity(&self) -> f64 {
        self.target_burst_capacity.unwrap_or(self.config.target_burst_capacity)
    }
    /// `scale-down-delay` of the annotation or the config map.
    pub fn scale_down_delay(&self) -> GoDuration {
        self.scale_down_delay.unwrap_or(self.config.scale_down_delay)
    }
    /// `containerConcurrency`; 0 is no limit.
    pub fn container_concurrency(&self) -> i64 {
        self.container_concurrency.unwrap_or(0)
    }
    /// Pods of a new revision (`GetInitialScale`): the annotation, unless it asks for a zero that the cluster forbids.
    pub fn initial_scale(&self) -> i32 {
        let allowed = |&scale: &i32| scale != 0 || self.config.allow_zero_initial_scale;
        self.initial_scale.filter(allowed).unwrap_or(self.config.initial_scale)
    }
    /// The bound downwards of a reachable revision.
    pub fn min_scale(&self) -> i32 {
        self.min_scale.unwrap_or(self.config.min_scale)
    }
    /// The bound upwards; 0 is none.
    pub fn max_scale(&self) -> i32 {
        self.max_scale.unwrap_or(self.config.max_scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_travels_there_and_back() {
        let text = "metric = 'rps'\ntarget = 10\ntarget_utilization_percentage = 80\nmin_scale = 1\nmax_scale = 9\n\
                    initial_scale = 2\nactivation_scale = 3\nwindow = '90s'\npanic_window_percentage = 20\n\
                    panic_threshold_percentage = 300\ntarget_burst_capacity = -1\nscale_down_delay = '15m'\n\
                    scale_to_zero_pod_retention_period = 42\nmetric_aggregation_algorithm = 'weighted-exponential'\n\
                    progress_deadline = '20m'\ncontainer_concurrency = 4\n\
                    config = { stable_window = '30s', enable_scale_to_zero = false }";
        let spec: KnativeSpec = toml::from_str(text).expect("every key is known");
        let written = toml::to_string(&spec).expect("it serializes");
        assert_eq!(toml::from_str::<KnativeSpec>(&written), Ok(spec.clone()), "{written}");
        let json = serde_json::to_value(&spec).expect("it serializes");
        assert!(json.as_object().is_some_and(|keys| keys.values().all(|value| !value.is_null())), "{json}");
        assert_eq!(json["window"], "90s");
        assert_eq!(toml::to_string(&KnativeSpec::default()).as_deref(), Ok(""));
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        for text in [
            "max_replicas = 3",
            "config.stable_windw = '60s'",
            "metric = 'cpu'",
            "metric_aggregation_algorithm = 'max'",
            "window = '-60s'",
        ] {
            assert!(toml::from_str::<KnativeSpec>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn annotations_go_before_the_config_map() {
        let read = |text| toml::from_str::<KnativeSpec>(text).expect(text);
        let spec = read("config = { min_scale = 2, max_scale = 8, initial_scale = 3 }");
        assert_eq!((spec.min_scale(), spec.max_scale(), spec.initial_scale()), (2, 8, 3));
        let spec = KnativeSpec { min_scale: Some(0), max_scale: Some(0), initial_scale: Some(0), ..spec };
        // The zero that the cluster forbids does not count.
        assert_eq!((spec.min_scale(), spec.max_scale(), spec.initial_scale()), (0, 0, 3));
        let spec = read("initial_scale = 0\nconfig.allow_zero_initial_scale = true");
        assert_eq!(spec.initial_scale(), 0);
    }
}
