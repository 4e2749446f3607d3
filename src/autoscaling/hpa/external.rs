//! From an external metric's value to a size (`pkg/controller/podautoscaler/replica_calculator.go`:
//! `GetExternalMetricReplicas`, `GetExternalPerPodMetricReplicas`).

use super::metrics::Proposal;
use super::spec::{ExternalMetric, HpaSpec, MetricTarget, Scale};
use crate::autoscaling::go;
use crate::units::{MilliValue, Replicas};

/// The size for the `values` that the external metrics API returned, or why there is none; what led there goes into
/// `proposal`.
///
/// `AverageValue` never looks at readiness and proposes `status.replicas` where nothing should change, which lags
/// `spec.replicas` after a scale event. `Value` multiplies the ready pods, so pods that start lower the proposal.
pub(super) fn propose(
    spec: &HpaSpec,
    metric: &ExternalMetric,
    values: &[MilliValue],
    scale: Scale,
    proposal: &mut Proposal,
) -> Result<Replicas, String> {
    if values.is_empty() {
        return Err("no metrics returned from external metrics API".to_owned());
    }
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
    proposal.within_tolerance = hold.is_some() && proposal.tolerance.holds(ratio);
    match metric.target {
        _ if proposal.within_tolerance => Ok(hold.unwrap_or(scale.spec)),
        MetricTarget::AverageValue(target) => Ok(ceiling(spec, usage as f64 / target.get() as f64)),
        MetricTarget::Value(_) if scale.spec.get() == 0 => Ok(ceiling(spec, ratio)),
        MetricTarget::Value(_) if scale.status.get() == 0 => Err(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count"
                .to_owned(),
        ),
        MetricTarget::Value(_) => Ok(ceiling(spec, ratio * f64::from(scale.ready.get()))),
    }
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
    use super::super::metrics::{Fetched, propose};
    use super::super::spec::Metric;
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
        let metric = Metric::External(ExternalMetric { name: "s0-prometheus".to_owned(), target });
        let scale = Scale { spec: Replicas(spec), status: Replicas(status), ready: Replicas(ready) };
        let proposal = propose(&hpa, &metric, &Fetched::External(Ok(vec![MilliValue(usage)])), scale);
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
