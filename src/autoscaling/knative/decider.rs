//! From settings to what the decider goes by (`pkg/reconciler/autoscaling/kpa/resources/decider.go`,
//! `pkg/reconciler/autoscaling/resources/target.go`, `metric.go`).

use super::collection::MetricSpec;
use super::spec::{KnativeSpec, Metric};
use crate::units::{Replicas, SimDuration};

/// `TargetMin`: small limits times small shares would else end at zero.
pub(super) const TARGET_MIN: f64 = 0.01;

/// `defaultTargetUtilization`: the share of requests per second that is aimed at. No key of the config map sets it.
const TARGET_UTILIZATION: f64 = 0.7;

/// `DeciderSpec`: what one revision is scaled by.
#[derive(Clone, Debug, PartialEq)]
pub struct DeciderSpec {
    /// The largest factor of growth in one decision; above 1.
    pub max_scale_up_rate: f64,
    /// The largest factor of shrinking in one decision; above 1.
    pub max_scale_down_rate: f64,
    /// What a pod should have of the scaling metric; above 0.
    pub target_value: f64,
    /// What a pod can have of it.
    pub total_value: f64,
    /// Requests that the pods shall be able to take at once; -1 is without end.
    pub target_burst_capacity: f64,
    /// Requests in flight that one activator is good for.
    pub activator_capacity: f64,
    /// The factor of the ready pods at which panic begins.
    pub panic_threshold: f64,
    /// Length of the stable window.
    pub stable_window: SimDuration,
    /// How long fewer pods must be enough before there are fewer.
    pub scale_down_delay: SimDuration,
    /// Pods of a new revision.
    pub initial_scale: Replicas,
    /// Whether a route refers to the revision.
    pub reachable: bool,
    /// Fewest pods while there are any; up to 1 for none such.
    pub activation_scale: Replicas,
}

impl DeciderSpec {
    /// Combines annotations and config map; `reachable` says whether a route refers to the revision.
    pub fn of(spec: &KnativeSpec, reachable: bool) -> Self {
        let config = &spec.config;
        let (target_value, total_value) = resolve_metric_target(spec);
        let panic_threshold = spec.panic_threshold_percentage.unwrap_or(config.panic_threshold_percentage);
        DeciderSpec {
            max_scale_up_rate: config.max_scale_up_rate,
            max_scale_down_rate: config.max_scale_down_rate,
            target_value,
            total_value,
            target_burst_capacity: spec.target_burst_capacity(),
            activator_capacity: config.activator_capacity,
            panic_threshold: panic_threshold / 100.0,
            stable_window: spec.stable_window().duration(),
            scale_down_delay: spec.scale_down_delay().duration(),
            initial_scale: Replicas(spec.initial_scale()),
            reachable,
            activation_scale: Replicas(spec.activation_scale.unwrap_or(0)),
        }
    }
}

/// What a pod should have of the metric and what it can have (`ResolveMetricTarget`).
fn resolve_metric_target(spec: &KnativeSpec) -> (f64, f64) {
    let limit = spec.container_concurrency() as f64;
    let (default_total, default_share) = match spec.metric() {
        Metric::Rps => (spec.config.requests_per_second_target_default, TARGET_UTILIZATION),
        Metric::Concurrency => {
            let total = if limit == 0.0 { spec.config.container_concurrency_target_default } else { limit };
            (total, spec.config.container_concurrency_target_fraction())
        }
    };
    let total = match spec.target {
        None => default_total,
        // No more in flight than a pod can have.
        Some(target) if spec.metric() == Metric::Concurrency && limit != 0.0 => target.min(limit),
        Some(target) => target,
    };
    let share = spec.target_utilization_percentage.map_or(default_share, |percentage| percentage / 100.0);
    ((total * share).max(TARGET_MIN), total)
}

/// Length of the panic window (`MakeMetric`): whole seconds, half a second up, at least one.
fn panic_window(spec: &KnativeSpec) -> SimDuration {
    let percentage = spec.panic_window_percentage.unwrap_or(spec.config.panic_window_percentage);
    let stable_ns = spec.stable_window().duration().as_ps() / 1_000;
    let ns = (stable_ns as f64 * percentage / 100.0) as u64;
    let seconds = ns.saturating_add(500_000_000) / 1_000_000_000;
    SimDuration::from_secs(seconds.max(1))
}

impl MetricSpec {
    /// What is to be collected. With the activator always in the path of requests, it alone reports
    /// (`resolveScrapeTarget`).
    pub(super) fn of(spec: &KnativeSpec) -> Self {
        MetricSpec {
            metric: spec.metric(),
            algorithm: spec.metric_aggregation_algorithm.unwrap_or_default(),
            stable_window: spec.stable_window().duration(),
            panic_window: panic_window(spec),
            scraped: spec.target_burst_capacity() != -1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> KnativeSpec {
        toml::from_str(text).expect(text)
    }

    #[test]
    fn targets_are_shares_of_totals() {
        for (text, target, total) in [
            ("", 70.0, 100.0),
            ("container_concurrency = 4", 2.8, 4.0),
            ("target = 10", 7.0, 10.0),
            ("target = 10\ncontainer_concurrency = 4", 2.8, 4.0),
            ("target = 3\ncontainer_concurrency = 4", 0.7 * 3.0, 3.0),
            ("target = 10\ntarget_utilization_percentage = 100", 10.0, 10.0),
            ("target = 0.01\ntarget_utilization_percentage = 1", 0.01, 0.01),
            ("metric = 'rps'", 140.0, 200.0),
            ("metric = 'rps'\ncontainer_concurrency = 4", 140.0, 200.0),
            ("metric = 'rps'\ntarget = 10\ncontainer_concurrency = 4", 7.0, 10.0),
            ("metric = 'rps'\nconfig.container_concurrency_target_percentage = 50", 140.0, 200.0),
            ("config.container_concurrency_target_percentage = 50", 50.0, 100.0),
            ("config.container_concurrency_target_percentage = 0.5", 50.0, 100.0),
            ("config.container_concurrency_target_default = 8", 0.7 * 8.0, 8.0),
        ] {
            assert_eq!(resolve_metric_target(&spec(text)), (target, total), "{text}");
        }
    }

    #[test]
    fn the_panic_window_is_whole_seconds() {
        for (text, seconds) in [
            ("", 6),
            ("window = '6s'", 1),
            ("window = '6s'\npanic_window_percentage = 1", 1),
            ("window = '25s'", 3),
            ("window = '24s'", 2),
            ("config.panic_window_percentage = 100", 60),
        ] {
            assert_eq!(panic_window(&spec(text)), SimDuration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn annotations_go_before_the_config_map() {
        let decider = DeciderSpec::of(
            &spec(
                "window = '30s'\ntarget_burst_capacity = -1\npanic_threshold_percentage = 150\nscale_down_delay = '4s'\n\
                 activation_scale = 3\n[config]\nstable_window = '90s'\nscale_down_delay = '9s'\nmax_scale_down_rate = 3",
            ),
            true,
        );
        assert_eq!(decider.stable_window, SimDuration::from_secs(30));
        assert_eq!(decider.scale_down_delay, SimDuration::from_secs(4));
        assert_eq!((decider.target_burst_capacity, decider.panic_threshold), (-1.0, 1.5));
        assert_eq!((decider.max_scale_up_rate, decider.max_scale_down_rate), (1000.0, 3.0));
        assert_eq!((decider.activation_scale, decider.initial_scale), (Replicas(3), Replicas(1)));
        assert!(!MetricSpec::of(&spec("target_burst_capacity = -1")).scraped);
    }
}
