//! From one metric to one proposed size (`pkg/controller/podautoscaler/replica_calculator.go`): by kind of metric, in
//! `external` and `pods`.

use super::external;
use super::pods::{self, PodMetrics, PodsUsage};
use super::spec::{HpaSpec, Metric, Scale};
use super::tolerance::Tolerance;
use crate::units::{MilliValue, Replicas};
use serde::Serialize;

/// What was fetched for one metric, or why nothing was. It is of the kind of its metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched {
    /// Values of the external metrics API, in thousandths.
    External(Result<Vec<MilliValue>, String>),
    /// Values of the custom metrics API by pod, and the pods.
    Pods(Result<PodMetrics, String>),
}

/// What one metric proposes, with everything that led there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The metric and its target.
    #[serde(flatten)]
    pub metric: Metric,
    /// Sum of an external metric's values, or mean of the pods'; `None` after an error.
    pub usage_milli: Option<MilliValue>,
    /// Usage over target; for an external metric's `AverageValue` the target of all `status.replicas` together. `null` in
    /// JSON where it is infinite or no number.
    pub ratio: Option<f64>,
    /// What the ratio was held against.
    pub tolerance: Tolerance,
    /// Whether the ratio was close enough to 1 to propose the present size; for a pods metric, the adjusted one where there
    /// is one.
    pub within_tolerance: bool,
    /// How the pods of a pods metric counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsUsage>,
    /// The proposed size; `None` after an error.
    pub replicas: Option<Replicas>,
    /// Why there is no proposal.
    pub error: Option<String>,
}

/// The proposal of `metric` for a target at `scale`, given what was fetched.
pub fn propose(spec: &HpaSpec, metric: &Metric, fetched: &Fetched, scale: Scale) -> Proposal {
    let mut proposal = Proposal {
        metric: metric.clone(),
        usage_milli: None,
        ratio: None,
        tolerance: Tolerance::of(spec),
        within_tolerance: false,
        pods: None,
        replicas: None,
        error: None,
    };
    let wanted = match (metric, fetched) {
        (Metric::External(metric), Fetched::External(Ok(values))) => {
            external::propose(spec, metric, values, scale, &mut proposal)
        }
        (Metric::Pods(metric), Fetched::Pods(Ok(pods))) => pods::propose(metric, pods, scale, &mut proposal),
        (_, Fetched::External(Err(why))) => {
            Err(format!("unable to fetch metrics from external metrics API: {why}"))
        }
        (_, Fetched::Pods(Err(why))) => {
            Err(format!("unable to fetch metrics from custom metrics API: {why}"))
        }
        (metric, _) => Err(format!("the answer for {} is of another kind of metric", metric.name())),
    };
    match wanted {
        Ok(replicas) => proposal.replicas = Some(replicas),
        Err(why) => proposal.error = Some(why),
    }
    proposal
}
