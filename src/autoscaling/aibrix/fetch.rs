//! How AIBrix reads a metric: from each pod's `/metrics` page, one after the other, without Prometheus.
//!
//! Sources (v0.7.0): `metrics/collector.go` (`collectFromPods`), `metrics/fetcher.go` (`fetchFromPod`),
//! `pkg/metrics/engine_fetcher.go` (`FetchTypedMetric`), and the timeout in `podautoscaler_controller.go` (`Reconcile`).
//!
//! A pod that does not answer is **no error: its value is 0**, after three retries. So replicas that load their model pull
//! the mean down, and two of them use up the time that a reconcile has.

use crate::units::SimDuration;

/// Waits before the three retries: 1, 2 and 4 s. A connection that is refused is refused at once.
const RETRIES: SimDuration = SimDuration::from_secs(7);
/// `DefaultReconcileTimeoutDuration`: what is asked of the network later fails.
const RECONCILE_TIMEOUT: SimDuration = SimDuration::from_secs(10);

/// What one pod of the target's selector, terminating or not, answers about one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PodAnswer {
    /// It has no address yet: left out.
    NoAddress,
    /// The connection is refused, or its page lacks the metric's family: 0.
    Failed,
    /// The first sample of the family.
    Value(f64),
}

/// The values of one metric, one a pod that has an address, or why there are none. No pods at all is no error.
pub type Samples = Result<Vec<f64>, String>;

/// What a reconcile collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// By metric, in the order of the spec.
    pub samples: Vec<Samples>,
    /// How long that took.
    pub took: SimDuration,
    /// Whether the reconcile's time was used up: it can no longer write a size.
    pub timed_out: bool,
}

/// Collects all metrics: `answers` has an entry for each metric in the order of the spec, with one for each pod.
///
/// AIBrix lists pods in no particular order (an informer's cache is a hash map); give them in one that is fixed. Pages
/// that answer take no time here.
pub fn collect(answers: &[Vec<PodAnswer>]) -> Collected {
    let mut took = SimDuration::ZERO;
    let mut samples = Vec::with_capacity(answers.len());
    for pods in answers {
        let mut values = Vec::with_capacity(pods.len());
        for answer in pods {
            match answer {
                PodAnswer::NoAddress => {}
                PodAnswer::Value(value) if took < RECONCILE_TIMEOUT => values.push(*value),
                PodAnswer::Value(_) | PodAnswer::Failed => {
                    took = (took + RETRIES).min(RECONCILE_TIMEOUT);
                    values.push(0.0);
                }
            }
        }
        samples.push(if values.is_empty() && !pods.is_empty() {
            Err(format!("failed to collect metrics from all {} pods", pods.len()))
        } else {
            Ok(values)
        });
    }
    Collected { samples, took, timed_out: took == RECONCILE_TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::PodAnswer::{Failed, NoAddress, Value};
    use super::*;

    #[test]
    fn a_pod_that_refuses_counts_as_zero_and_one_without_an_address_does_not() {
        let collected = collect(&[vec![Value(0.9), NoAddress, Failed]]);
        assert_eq!(collected.samples, [Ok(vec![0.9, 0.0])]);
        assert_eq!((collected.took, collected.timed_out), (SimDuration::from_secs(7), false));
    }

    #[test]
    fn after_two_that_refuse_every_other_counts_as_zero_too() {
        let collected = collect(&[vec![Failed, Value(0.9), Failed, Value(0.8)], vec![Value(3.0)]]);
        assert_eq!(collected.samples, [Ok(vec![0.0, 0.9, 0.0, 0.0]), Ok(vec![0.0])]);
        assert_eq!((collected.took, collected.timed_out), (SimDuration::from_secs(10), true));
    }

    #[test]
    fn only_pods_without_an_address_are_an_error() {
        assert!(collect(&[vec![NoAddress, NoAddress]]).samples[0].is_err());
        assert_eq!(collect(&[vec![]]).samples, [Ok(vec![])]);
    }
}
