//! From a pods metric's values to a size (`pkg/controller/podautoscaler/replica_calculator.go`: `GetMetricReplicas`,
//! `calcPlainMetricReplicas`, `groupPods`; the same in v1.28 and since, but for the tolerance test).
//!
//! Readiness does not count: for any metric but cpu a pod is unready only in phase Pending. A pod that is Running and has no
//! value, as one that loads its model, is missing.

use super::metrics::Proposal;
use super::spec::{PodsMetric, Scale};
use crate::autoscaling::go;
use crate::units::{MilliValue, Replicas};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the controller has of a pods metric: its values, and the pods of the target's selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodMetrics {
    /// Name of the pod and its value in thousandths; the last of a pod's counts.
    pub values: Vec<(String, MilliValue)>,
    /// All pods that the selector finds, terminating ones included.
    pub pods: Vec<ListedPod>,
}

/// A pod as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPod {
    /// `metadata.name`.
    pub name: String,
    /// As far as it counts.
    pub state: PodState,
}

/// What decides how a pod counts: its deletion, then its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// `deletionTimestamp` is set: ignored, its value too.
    Terminating,
    /// Phase Failed: ignored, its value too.
    Failed,
    /// Phase Pending: unready.
    Pending,
    /// Any other phase: with a value, or missing.
    Running,
}

/// How the pods of a pods metric counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodsUsage {
    /// Pods with a value.
    pub measured: usize,
    /// Pending pods: assumed at 0 on the way up, left out on the way down.
    pub unready: usize,
    /// Running pods without a value: assumed at 0 on the way up and at the target on the way down.
    pub missing: usize,
    /// Terminating and failed pods: left out.
    pub ignored: usize,
    /// Mean and count with what was assumed; `None` where nothing was to assume.
    pub adjusted: Option<AdjustedUsage>,
    /// Why the present size is proposed although the first ratio is outside of the tolerance.
    pub held: Option<Held>,
}

/// A pods metric once more, with the values that missing and unready pods are assumed to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustedUsage {
    /// Mean over `pods`.
    pub usage_milli: MilliValue,
    /// How many pods it is the mean of.
    pub pods: usize,
}

/// Why a proposal is the present size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// With what was assumed, the ratio is within the tolerance.
    AdjustedWithinTolerance,
    /// With what was assumed, the ratio is on the other side of 1.
    DirectionReversed,
    /// The ratio times the pods that were counted is a size on the other side of the present one.
    SizeAgainstDirection,
}

/// Values by pod, in thousandths.
type Values<'a> = BTreeMap<&'a str, i64>;

/// The size for the values of the pods, or why there is none; what led there goes into `proposal`.
pub(super) fn propose(
    metric: &PodsMetric,
    fetched: &PodMetrics,
    scale: Scale,
    proposal: &mut Proposal,
) -> Result<Replicas, String> {
    let mut values: Values<'_> =
        fetched.values.iter().map(|(pod, value)| (pod.as_str(), value.get())).collect();
    if values.is_empty() {
        return Err("no metrics returned from custom metrics API".to_owned());
    }
    if fetched.pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = Groups::of(&fetched.pods, &values);
    for pod in groups.ignored.iter().chain(&groups.unready) {
        values.remove(pod);
    }
    if values.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let (usage, ratio) = usage_ratio(&values, metric.average_value);
    proposal.usage_milli = Some(usage);
    proposal.ratio = Some(ratio);
    let counted = proposal.pods.insert(groups.counted());
    let assumes_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !assumes_unready && groups.missing.is_empty() {
        proposal.within_tolerance = proposal.tolerance.holds(ratio);
        return Ok(if proposal.within_tolerance { scale.spec } else { times(ratio, counted.measured) });
    }
    let assumed_missing = if ratio < 1.0 {
        Some(metric.average_value.get())
    } else {
        // Exactly at the target nothing is assumed of them.
        (ratio > 1.0).then_some(0)
    };
    if let Some(value) = assumed_missing {
        values.extend(groups.missing.iter().map(|&pod| (pod, value)));
    }
    if assumes_unready {
        values.extend(groups.unready.iter().map(|&pod| (pod, 0)));
    }
    let (usage, adjusted) = usage_ratio(&values, metric.average_value);
    counted.adjusted = Some(AdjustedUsage { usage_milli: usage, pods: values.len() });
    proposal.within_tolerance = proposal.tolerance.holds(adjusted);
    let replicas = times(adjusted, values.len());
    counted.held = if proposal.within_tolerance {
        Some(Held::AdjustedWithinTolerance)
    } else if (ratio < 1.0 && adjusted > 1.0) || (ratio > 1.0 && adjusted < 1.0) {
        Some(Held::DirectionReversed)
    } else if (adjusted < 1.0 && replicas > scale.spec) || (adjusted > 1.0 && replicas < scale.spec) {
        Some(Held::SizeAgainstDirection)
    } else {
        None
    };
    Ok(if counted.held.is_some() { scale.spec } else { replicas })
}

/// `groupPods`, by name.
struct Groups<'a> {
    measured: usize,
    unready: Vec<&'a str>,
    missing: Vec<&'a str>,
    ignored: Vec<&'a str>,
}

impl<'a> Groups<'a> {
    fn of(pods: &'a [ListedPod], values: &Values<'_>) -> Self {
        let mut groups =
            Groups { measured: 0, unready: Vec::new(), missing: Vec::new(), ignored: Vec::new() };
        for pod in pods {
            let name = pod.name.as_str();
            match pod.state {
                PodState::Terminating | PodState::Failed => groups.ignored.push(name),
                PodState::Pending => groups.unready.push(name),
                PodState::Running if values.contains_key(name) => groups.measured += 1,
                PodState::Running => groups.missing.push(name),
            }
        }
        groups
    }

    fn counted(&self) -> PodsUsage {
        PodsUsage {
            measured: self.measured,
            unready: self.unready.len(),
            missing: self.missing.len(),
            ignored: self.ignored.len(),
            adjusted: None,
            held: None,
        }
    }
}

/// `GetMetricUsageRatio`: the mean, cut to whole thousandths by an integer division, and what it is of the target.
fn usage_ratio(values: &Values<'_>, target: MilliValue) -> (MilliValue, f64) {
    let total = values.values().fold(0_i64, |total, value| total.wrapping_add(*value));
    let usage = total / values.len() as i64;
    (MilliValue(usage), usage as f64 / target.get() as f64)
}

/// Rounded up; unlike for an external metric, what does not fit is left to the machine in every release.
fn times(ratio: f64, pods: usize) -> Replicas {
    Replicas(go::int32(libm::ceil(ratio * pods as f64)))
}

#[cfg(test)]
mod tests {
    use super::super::flags::ControllerManagerFlags;
    use super::super::metrics::{Fetched, propose};
    use super::super::spec::{HpaSpec, Metric};
    use super::PodState::{Failed, Pending, Running, Terminating};
    use super::*;

    /// The proposal at `replicas` in the spec for a target of 10.
    fn proposal_of(replicas: i32, fetched: PodMetrics) -> Proposal {
        let hpa = HpaSpec {
            min_replicas: Replicas(1),
            max_replicas: Replicas(100),
            metrics: Vec::new(),
            behavior: None,
            flags: ControllerManagerFlags::default(),
        };
        let metric =
            Metric::Pods(PodsMetric { name: "waiting".to_owned(), average_value: MilliValue(10_000) });
        let scale = Scale {
            spec: Replicas(replicas),
            status: Replicas(fetched.pods.len() as i32),
            ready: Replicas::ZERO,
        };
        propose(&hpa, &metric, &Fetched::Pods(Ok(fetched)), scale)
    }

    /// The same for pods with their values.
    fn proposal(replicas: i32, pods: &[(PodState, Option<f64>)]) -> Proposal {
        let mut fetched = PodMetrics::default();
        for (i, &(state, value)) in pods.iter().enumerate() {
            let name = format!("llama-{i}");
            let milli = value.map(|value| (name.clone(), MilliValue((value * 1000.0) as i64)));
            fetched.values.extend(milli);
            fetched.pods.push(ListedPod { name, state });
        }
        proposal_of(replicas, fetched)
    }

    fn replicas(present: i32, pods: &[(PodState, Option<f64>)]) -> i32 {
        let proposal = proposal(present, pods);
        proposal.replicas.unwrap_or_else(|| panic!("{:?}", proposal.error)).get()
    }

    fn held(present: i32, pods: &[(PodState, Option<f64>)]) -> Option<Held> {
        let proposal = proposal(present, pods);
        assert_eq!(proposal.replicas, Some(Replicas(present)));
        proposal.pods.expect("pods counted").held
    }

    const FULL: (PodState, Option<f64>) = (Running, Some(20.0));
    const IDLE: (PodState, Option<f64>) = (Running, Some(2.0));
    const LOADING: (PodState, Option<f64>) = (Running, None);

    #[test]
    fn with_a_value_of_every_pod_the_ratio_times_the_pods_is_the_size() {
        assert_eq!(replicas(3, &[FULL, FULL, FULL]), 6);
        assert_eq!(replicas(3, &[FULL, IDLE, IDLE]), 3, "8 of 10 is 2.4 pods");
        assert_eq!(
            replicas(7, &[(Running, Some(10.5)), (Running, Some(10.5))]),
            7,
            "the spec's size is held"
        );
        assert_eq!(replicas(4, &[(Running, Some(0.0)); 4]), 0);
    }

    #[test]
    fn upwards_pods_that_load_or_wait_count_as_idle() {
        // (20 + 20) / 4 = 10 is the target.
        assert_eq!(held(4, &[FULL, FULL, LOADING, LOADING]), Some(Held::AdjustedWithinTolerance));
        assert_eq!(
            held(4, &[FULL, FULL, (Pending, None), (Pending, None)]),
            Some(Held::AdjustedWithinTolerance)
        );
        assert_eq!(held(3, &[FULL, LOADING, (Pending, None)]), Some(Held::DirectionReversed));
        let proposal = proposal(3, &[(Running, Some(60.0)), LOADING, (Pending, None)]);
        assert_eq!((proposal.ratio, proposal.replicas), (Some(6.0), Some(Replicas(6))));
        let counted = proposal.pods.expect("pods counted");
        assert_eq!((counted.measured, counted.missing, counted.unready), (1, 1, 1));
        assert_eq!(counted.adjusted, Some(AdjustedUsage { usage_milli: MilliValue(20_000), pods: 3 }));
    }

    #[test]
    fn downwards_pods_that_load_count_as_at_the_target_and_pending_ones_do_not_count() {
        // (2 + 2 + 10 + 10) / 4 = 6: 0.6 times 4 pods.
        assert_eq!(replicas(4, &[IDLE, IDLE, LOADING, LOADING]), 3);
        assert_eq!(replicas(4, &[IDLE, IDLE, (Pending, None), (Pending, None)]), 1);
    }

    #[test]
    fn a_size_on_the_other_side_of_the_present_one_is_held() {
        // 1.5 times two pods is 3, and 4 are asked for already.
        assert_eq!(held(4, &[(Running, Some(30.0)), LOADING]), Some(Held::SizeAgainstDirection));
        assert_eq!(held(1, &[IDLE, IDLE, LOADING]), Some(Held::SizeAgainstDirection));
        // Not so where nothing was to assume.
        assert_eq!(replicas(4, &[(Running, Some(15.0)), (Running, Some(15.0))]), 3);
    }

    #[test]
    fn at_the_target_nothing_is_assumed() {
        let proposal = proposal(2, &[(Running, Some(10.0)), LOADING]);
        assert_eq!(proposal.replicas, Some(Replicas(2)));
        assert_eq!(proposal.pods.expect("pods counted").adjusted.map(|adjusted| adjusted.pods), Some(1));
    }

    #[test]
    fn terminating_and_failed_pods_do_not_count_with_their_values() {
        assert_eq!(replicas(2, &[FULL, (Terminating, Some(500.0)), (Failed, Some(500.0))]), 2);
        let error = |pods: &[(PodState, Option<f64>)]| proposal(2, pods).error.expect("an error");
        assert!(
            error(&[(Terminating, Some(5.0)), LOADING])
                .starts_with("did not receive metrics for targeted pods")
        );
        assert!(error(&[(Pending, Some(5.0))]).starts_with("did not receive metrics for targeted pods"));
        assert!(error(&[LOADING]).starts_with("no metrics returned from custom metrics API"));
    }

    #[test]
    fn the_mean_is_cut_to_thousandths() {
        let proposal = proposal(3, &[(Running, Some(1.0)), (Running, Some(1.0)), (Running, Some(0.0))]);
        assert_eq!((proposal.usage_milli, proposal.ratio), (Some(MilliValue(666)), Some(0.0666)));
    }

    #[test]
    fn a_value_of_a_pod_that_is_not_listed_counts_in_the_mean_alone() {
        let value = |pod: &str, milli| (pod.to_owned(), MilliValue(milli));
        let pods = vec![ListedPod { name: "here".to_owned(), state: Running }];
        let fetched = PodMetrics { values: vec![value("gone", 50_000), value("here", 10_000)], pods };
        assert_eq!(proposal_of(1, fetched).replicas, Some(Replicas(3)));
    }
}
