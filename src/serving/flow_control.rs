//! Flow control in front of a pool: requests wait at the gateway, not in the engines, while the pool is saturated.
//!
//! The rules are those of llm-d's endpoint picker 0.11 (llm-d-router `pkg/epp/flowcontrol/controller/internal/processor.go`)
//! with its utilization detector (`pkg/epp/framework/plugins/flowcontrol/saturationdetector/utilization`), one flow and one
//! priority:
//!
//! - The saturation is the mean over the pool's pods of their scarcer resource. From 1 on nothing is dispatched, an empty
//!   pool is at 1.
//! - It is read from the pods' metrics, which are refreshed at an interval. In between what is dispatched does not count, so
//!   below 1 everything that waits goes at once.

use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::SimDuration;
use serde::Deserialize;

/// `[serving.gateway.flow_control]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowControlSpec {
    /// `queueDepthThreshold`: waiting requests of one pod at which it is saturated; above 0, 5 when left out.
    pub queue_depth_threshold: u32,
    /// `kvCacheUtilThreshold`: share of a pod's KV cache at which it is saturated; above 0, at most 1, 0.8 when left out.
    pub kv_cache_util_threshold: f64,
    /// `--refresh-metrics-interval`: how often the pods' metrics are read; 50 ms when left out.
    pub refresh_interval: Seconds,
}

impl Default for FlowControlSpec {
    fn default() -> Self {
        FlowControlSpec {
            queue_depth_threshold: 5,
            kv_cache_util_threshold: 0.8,
            refresh_interval: Seconds(SimDuration::from_millis(50)),
        }
    }
}

/// What llm-d allows at least (`pkg/epp/server/options.go`, `MinRefreshMetricsInterval`).
const REFRESH_INTERVAL_MIN: SimDuration = SimDuration::from_millis(50);

impl FlowControlSpec {
    /// Refuses what llm-d refuses, with keys relative to `serving.gateway.flow_control`.
    ///
    /// # Errors
    /// A threshold of nothing, a share above 1, an interval that is too short.
    pub fn check(&self) -> Result<(), Problem> {
        if self.queue_depth_threshold == 0 {
            let problem =
                Problem::key("queue_depth_threshold", "a pool would be saturated without a request");
            return Err(problem.help("1 or more; llm-d's default is 5"));
        }
        if !(self.kv_cache_util_threshold > 0.0 && self.kv_cache_util_threshold <= 1.0) {
            let message = format!("{} is not a share of the KV cache", self.kv_cache_util_threshold);
            return Err(Problem::key("kv_cache_util_threshold", message).help("above 0, at most 1"));
        }
        if self.refresh_interval.duration() < REFRESH_INTERVAL_MIN {
            let problem =
                Problem::key("refresh_interval", "llm-d reads metrics no more often than every 50 ms");
            return Err(problem.help("\"50ms\" or more"));
        }
        Ok(())
    }

    /// The saturation of a pool with these pods (`Detector.Saturation`).
    pub fn saturation(&self, pods: impl IntoIterator<Item = PodLoad>) -> f64 {
        let (mut pool, mut sum) = (0u32, 0.0);
        for pod in pods {
            let queue = f64::from(pod.waiting) / f64::from(self.queue_depth_threshold);
            sum += queue.max(pod.kv_cache_usage / self.kv_cache_util_threshold);
            pool += 1;
        }
        if pool == 0 { 1.0 } else { sum / f64::from(pool) }
    }
}

/// What flow control reads of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodLoad {
    /// `vllm:num_requests_waiting`.
    pub waiting: u32,
    /// `vllm:kv_cache_usage_perc`, 0..=1.
    pub kv_cache_usage: f64,
}

/// Flow control in motion.
#[derive(Clone, Copy, Debug)]
pub struct FlowControl {
    spec: FlowControlSpec,
    /// As the metrics were refreshed last.
    saturation: f64,
}

impl FlowControl {
    /// Nothing is known of the pool, which is so taken for saturated.
    pub fn new(spec: FlowControlSpec) -> Self {
        FlowControl { spec, saturation: 1.0 }
    }

    /// The metrics of the pool's pods are read.
    pub fn refresh(&mut self, pods: impl IntoIterator<Item = PodLoad>) {
        self.saturation = self.spec.saturation(pods);
    }

    /// Whether requests are dispatched.
    pub fn dispatches(&self) -> bool {
        self.saturation < 1.0
    }

    /// From one refresh to the next.
    pub fn refresh_interval(&self) -> SimDuration {
        self.spec.refresh_interval.duration()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(waiting: u32, kv_cache_usage: f64) -> PodLoad {
        PodLoad { waiting, kv_cache_usage }
    }

    #[test]
    fn saturation_is_the_mean_of_each_pods_scarcer_resource() {
        let saturation = |pods: &[PodLoad]| FlowControlSpec::default().saturation(pods.iter().copied());
        assert_eq!(saturation(&[]), 1.0);
        assert_eq!(saturation(&[pod(10, 0.8)]), 2.0);
        assert_eq!(saturation(&[pod(0, 0.4), pod(5, 0.4)]), 0.75);
    }

    #[test]
    fn requests_go_while_the_pool_was_below_saturation_when_it_was_last_read() {
        let mut control = FlowControl::new(FlowControlSpec::default());
        assert!(!control.dispatches());
        control.refresh([pod(4, 0.0)]);
        assert!(control.dispatches());
        control.refresh([pod(4, 0.8)]);
        assert!(!control.dispatches());
        control.refresh([]);
        assert!(!control.dispatches());
    }

    #[test]
    fn what_llm_d_refuses_is_refused() {
        FlowControlSpec::default().check().expect("the defaults");
        for (text, key) in [
            ("queue_depth_threshold = 0", "queue_depth_threshold"),
            ("kv_cache_util_threshold = 0.0", "kv_cache_util_threshold"),
            ("kv_cache_util_threshold = 1.1", "kv_cache_util_threshold"),
            ("refresh_interval = '10ms'", "refresh_interval"),
        ] {
            let spec: FlowControlSpec = toml::from_str(text).expect(text);
            assert!(spec.check().expect_err(text).to_string().starts_with(key), "{text}");
        }
    }
}
