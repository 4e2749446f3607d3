//! From one external metric to one proposed size (`pkg/controller/podautoscaler/replica_calculator.go`).

use super::spec::{ExternalMetric, HpaSpec, MetricTarget, Scale};
use super::tolerance::Tolerance;
use crate::autoscaling::go;
use crate::units::{MilliValue, Replicas};
use serde::Serialize;

/// What the external metrics API answered for one metric: its values in thousandths, or why there are none.
pub type Fetched = Result<Vec<MilliValue>, String>;

/// What one metric proposes, with everything that led there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The metric and its target.
    #[serde(flatten)]
    pub metric: ExternalMetric,
    /// Sum of the returned values; `None` after an error.
    pub usage_milli: Option<MilliValue>,
    /// Usage over target; for `AverageValue` the target of all `status.replicas` together. `null` in JSON where it is
    /// infinite or no number.
    pub ratio: Option<f64>,
    /// What the ratio was held against.
    pub tolerance: Tolerance,
    /// Whether the ratio was close enough to 1 to propose the present size.
    pub within_tolerance: bool,
    /// The proposed size; `None` after an error.
    pub replicas: Option<Replicas>,
    /// Why there is no proposal.
    pub error: Option<String>,
}

/// The proposal of `metric` for a target at `scale`, given what the metrics API answered.
///
/// `AverageValue` never looks at readiness and proposes `status.replicas` where nothing should change, which lags
/// `spec.replicas` after a scale event. `Value` multiplies the ready pods, so pods that start lower the proposal.
pub fn propose(spec: &HpaSpec, metric: &ExternalMetric, fetched: &Fetched, scale: Scale) -> Proposal {
    let tolerance = Tolerance::of(spec);
    let mut proposal = Proposal {
        metric: metric.clone(),
        usage_milli: None,
        ratio: None,
        tolerance,
        within_tolerance: false,
        replicas: None,
        error: None,
    };
    let values = match fetched {
        Ok(values) if values.is_empty() => {
            proposal.error = Some("no metrics returned from external metrics API".to_owned());
            return proposal;
        }
        Ok(values) => values,
        Err(why) => {
            proposal.error = Some(format!("unable to fetch metrics from external metrics API: {why}"));
            return proposal;
        }
    };
    // Go's sum of int64 wraps.
    let usage = values.iter().fold(0_i64, |sum, value| sum.wrapping_add(value.get()));
    let (ratio, hold) = match metric.target {
        MetricTarget::AverageValue(target) => {
            let capacity = target.get() as f64 * f64::from(scale.status.get());
            (usage as f64 / capacity, Some(scale.status))
        }
        // At no replicas (only with minReplicas 0) there is no size to hold.
        MetricTarget::Value(target) => {
            (usage as f64 / target.get() as f64, (scale.spec.get() != 0).then_some(scale.spec))
        }
    };
    proposal.usage_milli = Some(MilliValue(usage));
    proposal.ratio = Some(ratio);
    proposal.within_tolerance = hold.is_some() && tolerance.holds(ratio);
    let wanted = match metric.target {
        _ if proposal.within_tolerance => Ok(hold.unwrap_or(scale.spec)),
        MetricTarget::AverageValue(target) => Ok(ceiling(spec, usage as f64 / target.get() as f64)),
        MetricTarget::Value(_) if scale.spec.get() == 0 => Ok(ceiling(spec, ratio)),
        MetricTarget::Value(_) if scale.status.get() == 0 => Err(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count"
                .to_owned(),
        ),
        MetricTarget::Value(_) => Ok(ceiling(spec, ratio * f64::from(scale.ready.get()))),
    };
    match wanted {
        Ok(replicas) => proposal.replicas = Some(replicas),
        Err(why) => proposal.error = Some(why),
    }
    proposal
}

/// The float quotient rounded up; past `int32` it is clamped from Kubernetes 1.33, and left to the machine before.
fn ceiling(spec: &HpaSpec, replicas: f64) -> Replicas {
    let replicas = libm::ceil(replicas);
    if spec.flags.kubernetes.tests_tolerance_by_direction() && replicas > f64::from(i32::MAX) {
        return Replicas(i32::MAX);
    }
    Replicas(go::int32(replicas))
}

#[cfg(test)]
mod tests {
    use super::super::flags::ControllerManagerFlags;
    use super::*;

    fn replicas(
        target: MetricTarget,
        usage: i64,
        (spec, status, ready): (i32, i32, i32),
    ) -> Result<i32, String> {
        let hpa = HpaSpec {
            min_replicas: Replicas(1),
            max_replicas: Replicas(10),
            metrics: Vec::new(),
            behavior: None,
            flags: ControllerManagerFlags::default(),
        };
        let metric = ExternalMetric { name: "s0-prometheus".to_owned(), target };
        let scale = Scale { spec: Replicas(spec), status: Replicas(status), ready: Replicas(ready) };
        let proposal = propose(&hpa, &metric, &Ok(vec![MilliValue(usage)]), scale);
        proposal.error.map_or_else(|| Ok(proposal.replicas.expect("a proposal").get()), Err)
    }

    #[test]
    fn average_value_ignores_readiness_and_holds_the_status() {
        let target = MetricTarget::AverageValue(MilliValue(2000));
        assert_eq!(replicas(target, 20_000, (3, 3, 0)), Ok(10));
        // Inside the tolerance around 4 pods: status 4 is held although 2 are asked for.
        assert_eq!(replicas(target, 8_000, (2, 4, 4)), Ok(4));
        assert_eq!(replicas(target, 0, (3, 0, 0)), Ok(0));
        assert_eq!(replicas(target, i64::MAX, (3, 3, 3)), Ok(i32::MAX));
    }

    #[test]
    fn value_multiplies_ready_pods() {
        let target = MetricTarget::Value(MilliValue(1000));
        assert_eq!(replicas(target, 2_000, (10, 10, 4)), Ok(8));
        assert_eq!(replicas(target, 1_050, (10, 10, 4)), Ok(10));
        assert_eq!(replicas(target, 2_500, (0, 0, 0)), Ok(3));
        assert!(replicas(target, 2_000, (10, 0, 0)).is_err());
    }
}
