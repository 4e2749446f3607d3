//! What Knative refuses: its webhook for annotations (`pkg/apis/autoscaling/annotation_validation.go`,
//! `pkg/apis/serving/metadata_validation.go`, `pkg/apis/serving/v1/revision_validation.go`) and its check of the config map
//! (`pkg/autoscaler/config/config.go`), v1.23.0.

use super::config::{ConfigAutoscaler, KPA_CLASS};
use super::decider::TARGET_MIN;
use super::go_duration::GoDuration;
use super::spec::KnativeSpec;
use crate::problem::Problem;
use std::ops::RangeInclusive;

/// `WindowMin`: the decider looks every 2 s, and the panic window is a fraction of the stable one.
const WINDOW_MIN: GoDuration = GoDuration::from_secs(6);
/// `WindowMax`.
const WINDOW_MAX: GoDuration = GoDuration::from_secs(3600);
/// `PanicWindowPercentageMin`, `PanicWindowPercentageMax`.
const PANIC_WINDOW_PERCENTAGE: RangeInclusive<f64> = 1.0..=100.0;
/// `PanicThresholdPercentageMin`, `PanicThresholdPercentageMax`: lower, and panic would never end.
const PANIC_THRESHOLD_PERCENTAGE: RangeInclusive<f64> = 110.0..=1000.0;
/// `ContainerConcurrencyMaxLimit` of `pkg/apis/config/defaults.go`.
const CONTAINER_CONCURRENCY_MAX: i64 = 1000;

impl KnativeSpec {
    /// Everything that is wrong with this spec; keys are relative to its table. Empty means that Knative would accept it.
    pub fn problems(&self) -> Vec<Problem> {
        let config = self.config.problems().into_iter().map(|problem| problem.under("config"));
        let mut check = Check { problems: config.collect() };
        self.check_scales(&mut check);
        self.check_numbers(&mut check);
        self.check_durations(&mut check);
        check.problems
    }

    /// `validateMinMaxScale`, `validateInitialScale`. Annotations are compared with each other, not with the config map's.
    fn check_scales(&self, check: &mut Check) {
        let (min, max) = (self.min_scale.unwrap_or(0), self.max_scale.unwrap_or(0));
        check.not_negative("min_scale", self.min_scale);
        check.not_negative("max_scale", self.max_scale);
        if max > 0 && max < min {
            let message = format!("`max_scale` {max} is below `min_scale` {min}");
            check.refuse("max_scale", message, "raise it, or leave it out for no bound");
        }
        let limit = self.config.max_scale_limit;
        if self.max_scale.is_some() && limit > 0 && !(1..=limit).contains(&max) {
            let message = format!("`max_scale` {max} is not between 1 and the cluster's limit of {limit}");
            check.refuse("max_scale", message, "0 is no bound, which `config.max_scale_limit` forbids");
        }
        if let Some(activation) = self.activation_scale {
            let message = if activation < 2 {
                Some(format!("`activation_scale` {activation} is below 2"))
            } else if activation < min {
                Some(format!("`activation_scale` {activation} is below `min_scale` {min}"))
            } else if max > 0 && activation > max {
                Some(format!("`activation_scale` {activation} is above `max_scale` {max}"))
            } else {
                None
            };
            if let Some(message) = message {
                check.refuse("activation_scale", message, "from `min_scale` to `max_scale`, at least 2");
            }
        }
        if let Some(initial) = self.initial_scale {
            check.initial_scale(initial, self.config.allow_zero_initial_scale);
        }
    }

    /// `validateFloats`, `ValidateContainerConcurrency`.
    fn check_numbers(&self, check: &mut Check) {
        if let Some(target) = self.target.filter(|&target| !at_least(target, TARGET_MIN)) {
            check.refuse("target", format!("`target` {target} is below {TARGET_MIN}"), "such as 10");
        }
        check.between("target_utilization_percentage", self.target_utilization_percentage, 1.0..=100.0);
        check.between("panic_window_percentage", self.panic_window_percentage, PANIC_WINDOW_PERCENTAGE);
        let threshold = self.panic_threshold_percentage;
        check.between("panic_threshold_percentage", threshold, PANIC_THRESHOLD_PERCENTAGE);
        if let Some(burst) = self.target_burst_capacity {
            check.target_burst_capacity(burst);
        }
        if let Some(limit) =
            self.container_concurrency.filter(|limit| !(0..=CONTAINER_CONCURRENCY_MAX).contains(limit))
        {
            let message =
                format!("`container_concurrency` {limit} is not between 0 and {CONTAINER_CONCURRENCY_MAX}");
            check.refuse("container_concurrency", message, "0 is no limit");
        }
    }

    /// `validateWindow`, `validateScaleDownDelay`, `validateLastPodRetention`, `validateProgressDeadlineAnnotation`.
    fn check_durations(&self, check: &mut Check) {
        if let Some(window) = self.window {
            check.window("window", window);
        }
        if let Some(delay) = self.scale_down_delay {
            check.whole_seconds("scale_down_delay", delay);
            check.at_most("scale_down_delay", delay, WINDOW_MAX);
        }
        if let Some(retention) = self.scale_to_zero_pod_retention_period {
            check.at_most("scale_to_zero_pod_retention_period", retention, WINDOW_MAX);
        }
        if let Some(deadline) = self.progress_deadline {
            check.whole_seconds("progress_deadline", deadline);
        }
    }
}

impl ConfigAutoscaler {
    /// `validate` of the config map.
    fn problems(&self) -> Vec<Problem> {
        let mut check = Check { problems: Vec::new() };
        if self.pod_autoscaler_class != KPA_CLASS {
            let message = format!("`{}` is not simulated here", self.pod_autoscaler_class);
            check.refuse("pod_autoscaler_class", message, &format!("only `{KPA_CLASS}` is"));
        }
        self.check_targets(&mut check);
        self.check_rates(&mut check);
        self.check_times(&mut check);
        self.check_scales(&mut check);
        check.problems
    }

    fn check_targets(&self, check: &mut Check) {
        let percentage = self.container_concurrency_target_percentage;
        let fraction = self.container_concurrency_target_fraction();
        let default = self.container_concurrency_target_default;
        if !(fraction > 0.0 && fraction <= 1.0) {
            let key = "container_concurrency_target_percentage";
            check.refuse(key, format!("`{key}` {percentage} is not above 0 and up to 100"), "such as 70");
        } else if !at_least(fraction * default, TARGET_MIN) {
            let key = "container_concurrency_target_default";
            let message = format!("`{key}` {default} times {fraction} is a target below {TARGET_MIN}");
            check.refuse(key, message, "such as 100");
        }
        let rate = self.requests_per_second_target_default;
        if !at_least(rate, TARGET_MIN) {
            let key = "requests_per_second_target_default";
            check.refuse(key, format!("`{key}` {rate} is below {TARGET_MIN}"), "such as 200");
        }
        check.target_burst_capacity(self.target_burst_capacity);
        let capacity = self.activator_capacity;
        if !at_least(capacity, 1.0) {
            check.refuse(
                "activator_capacity",
                format!("`activator_capacity` {capacity} is below 1"),
                "such as 100",
            );
        }
    }

    fn check_rates(&self, check: &mut Check) {
        for (key, rate) in
            [("max_scale_up_rate", self.max_scale_up_rate), ("max_scale_down_rate", self.max_scale_down_rate)]
        {
            if !(rate.is_finite() && rate > 1.0) {
                check.refuse(key, format!("`{key}` {rate} is not above 1"), "it is a factor, such as 2");
            }
        }
        check.between("panic_window_percentage", Some(self.panic_window_percentage), PANIC_WINDOW_PERCENTAGE);
        // Only the annotation has a range.
        if !self.panic_threshold_percentage.is_finite() {
            let message =
                format!("`panic_threshold_percentage` {} is no number", self.panic_threshold_percentage);
            check.refuse("panic_threshold_percentage", message, "such as 200");
        }
    }

    fn check_times(&self, check: &mut Check) {
        check.window("stable_window", self.stable_window);
        check.whole_seconds("scale_down_delay", self.scale_down_delay);
        if self.scale_to_zero_grace_period.duration().is_zero() {
            let message = "`scale_to_zero_grace_period` is not above 0".to_owned();
            check.refuse("scale_to_zero_grace_period", message, "such as \"30s\"");
        }
    }

    fn check_scales(&self, check: &mut Check) {
        let ConfigAutoscaler { min_scale: min, max_scale: max, max_scale_limit: limit, .. } = *self;
        check.initial_scale(self.initial_scale, self.allow_zero_initial_scale);
        check.not_negative("min_scale", Some(min));
        check.not_negative("max_scale", Some(max));
        check.not_negative("max_scale_limit", Some(limit));
        if limit > 0 && !(1..=limit).contains(&max) {
            let message = format!("`max_scale` {max} is not between 1 and `max_scale_limit` {limit}");
            check.refuse("max_scale", message, "a cluster with a limit needs a default maximum");
        }
        if max > 0 && min > max {
            let message = format!("`min_scale` {min} is above `max_scale` {max}");
            check.refuse("min_scale", message, "lower it, or leave `max_scale` out for no bound");
        }
    }
}

/// Problems as they are found.
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn refuse(&mut self, key: &str, message: String, help: &str) {
        self.problems.push(Problem::key(key, message).help(help));
    }

    fn not_negative(&mut self, key: &str, scale: Option<i32>) {
        if let Some(scale) = scale.filter(|&scale| scale < 0) {
            self.refuse(key, format!("`{key}` {scale} is negative"), "give 0 or more");
        }
    }

    fn initial_scale(&mut self, initial: i32, zero_allowed: bool) {
        let least = if zero_allowed { 0 } else { 1 };
        if initial < least {
            let message = format!("`initial_scale` {initial} is below {least}");
            self.refuse("initial_scale", message, "0 needs `config.allow_zero_initial_scale = true`");
        }
    }

    fn between(&mut self, key: &str, value: Option<f64>, range: RangeInclusive<f64>) {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let message = format!("`{key}` {value} is not between {} and {}", range.start(), range.end());
            self.refuse(key, message, "it is a number of percent");
        }
    }

    fn target_burst_capacity(&mut self, burst: f64) {
        if !(burst == -1.0 || at_least(burst, 0.0)) {
            let message = format!("`target_burst_capacity` {burst} is neither -1 nor 0 or more");
            self.refuse("target_burst_capacity", message, "-1 keeps the activator in the path of requests");
        }
    }

    /// Windows have seconds, and are neither shorter than they can be followed nor so long that nothing follows from them.
    fn window(&mut self, key: &str, window: GoDuration) {
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
            let message = format!("`{key}` {window} is not between {WINDOW_MIN} and {WINDOW_MAX}");
            self.refuse(key, message, "such as \"60s\"");
        }
        self.whole_seconds(key, window);
    }

    fn whole_seconds(&mut self, key: &str, duration: GoDuration) {
        if !duration.is_whole_seconds() {
            let message = format!("`{key}` {duration} is not a whole number of seconds");
            self.refuse(key, message, "Knative refuses fractions of a second here");
        }
    }

    fn at_most(&mut self, key: &str, duration: GoDuration, longest: GoDuration) {
        if duration > longest {
            let message = format!("`{key}` {duration} is longer than {longest}");
            self.refuse(key, message, "Knative takes at most an hour");
        }
    }
}

/// A number, and no smaller one than `least`.
fn at_least(value: f64, least: f64) -> bool {
    value.is_finite() && value >= least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;

    fn problems(text: &str) -> Vec<Problem> {
        toml::from_str::<KnativeSpec>(text).expect(text).problems()
    }

    #[test]
    fn what_knative_takes_has_no_problem() {
        for text in [
            "",
            "min_scale = 3\nmax_scale = 3\nactivation_scale = 3",
            "min_scale = 3\nmax_scale = 0",
            "target = 0.01\ntarget_utilization_percentage = 100\npanic_window_percentage = 1",
            "panic_threshold_percentage = 1000\ntarget_burst_capacity = -1\ncontainer_concurrency = 1000",
            "window = '6s'\nscale_down_delay = '1h'\nscale_to_zero_pod_retention_period = '1.5s'",
            "initial_scale = 0\nconfig.allow_zero_initial_scale = true",
            // The bounds of annotations and config map are not compared.
            "min_scale = 5\nconfig.max_scale = 3",
            "max_scale = 5\nconfig = { max_scale = 5, max_scale_limit = 5 }",
            "config.container_concurrency_target_percentage = 0.7",
            "config.panic_threshold_percentage = 100",
            "config.scale_to_zero_pod_retention_period = '2h'",
        ] {
            assert_eq!(problems(text), [], "{text}");
        }
    }

    #[test]
    fn what_knative_refuses_is_a_problem_with_its_key_and_a_remedy() {
        for (text, key) in [
            ("min_scale = -1", "min_scale"),
            ("max_scale = -1", "max_scale"),
            ("min_scale = 4\nmax_scale = 3", "max_scale"),
            ("max_scale = 6\nconfig = { max_scale = 5, max_scale_limit = 5 }", "max_scale"),
            ("max_scale = 0\nconfig = { max_scale = 5, max_scale_limit = 5 }", "max_scale"),
            ("activation_scale = 1", "activation_scale"),
            ("activation_scale = 2\nmin_scale = 3", "activation_scale"),
            ("activation_scale = 4\nmax_scale = 3", "activation_scale"),
            ("initial_scale = 0", "initial_scale"),
            ("initial_scale = -1\nconfig.allow_zero_initial_scale = true", "initial_scale"),
            ("target = 0", "target"),
            ("target = nan", "target"),
            ("target_utilization_percentage = 0.7", "target_utilization_percentage"),
            ("target_utilization_percentage = 101", "target_utilization_percentage"),
            ("panic_window_percentage = nan", "panic_window_percentage"),
            ("panic_window_percentage = 0.9", "panic_window_percentage"),
            ("panic_threshold_percentage = 109", "panic_threshold_percentage"),
            ("target_burst_capacity = -2", "target_burst_capacity"),
            ("target_burst_capacity = inf", "target_burst_capacity"),
            ("container_concurrency = 1001", "container_concurrency"),
            ("window = '5s'", "window"),
            ("window = '3601s'", "window"),
            ("window = '6.5s'", "window"),
            ("scale_down_delay = '3601s'", "scale_down_delay"),
            ("scale_down_delay = 0.5", "scale_down_delay"),
            ("scale_to_zero_pod_retention_period = '3601s'", "scale_to_zero_pod_retention_period"),
            ("progress_deadline = '1.5s'", "progress_deadline"),
            ("config.pod_autoscaler_class = 'hpa.autoscaling.knative.dev'", "config.pod_autoscaler_class"),
            (
                "config.container_concurrency_target_percentage = 0",
                "config.container_concurrency_target_percentage",
            ),
            (
                "config.container_concurrency_target_percentage = 101",
                "config.container_concurrency_target_percentage",
            ),
            (
                "config.container_concurrency_target_default = 0.01",
                "config.container_concurrency_target_default",
            ),
            ("config.requests_per_second_target_default = 0", "config.requests_per_second_target_default"),
            ("config.target_burst_capacity = -0.5", "config.target_burst_capacity"),
            ("config.activator_capacity = 0", "config.activator_capacity"),
            ("config.max_scale_up_rate = 1", "config.max_scale_up_rate"),
            ("config.max_scale_down_rate = 1", "config.max_scale_down_rate"),
            ("config.panic_window_percentage = 101", "config.panic_window_percentage"),
            ("config.panic_threshold_percentage = inf", "config.panic_threshold_percentage"),
            ("config.stable_window = '5s'", "config.stable_window"),
            ("config.scale_down_delay = '1.5s'", "config.scale_down_delay"),
            ("config.scale_to_zero_grace_period = 0", "config.scale_to_zero_grace_period"),
            ("config.initial_scale = 0", "config.initial_scale"),
            ("config.min_scale = -1", "config.min_scale"),
            ("config.max_scale_limit = 5", "config.max_scale"),
            ("config = { max_scale = 6, max_scale_limit = 5 }", "config.max_scale"),
            ("config.max_scale_limit = -1", "config.max_scale_limit"),
            ("config = { min_scale = 4, max_scale = 3 }", "config.min_scale"),
        ] {
            let found = problems(text);
            let [Problem { place, help, .. }] = &found[..] else { panic!("{text}: {found:?}") };
            assert_eq!((place, help.is_some()), (&Place::Key(key.to_owned()), true), "{text}");
        }
    }
}
