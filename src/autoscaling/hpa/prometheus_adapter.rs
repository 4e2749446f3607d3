//! What prometheus-adapter makes of Prometheus' answer (kubernetes-sigs/prometheus-adapter v0.12, `pkg/custom-provider`,
//! `pkg/external-provider`).
//!
//! Each request of the HPA is one instant query at that moment, to the millisecond; nothing is cached. (Only the list of
//! metrics is, for `--metrics-relist-interval`: a metric without any series within `--metrics-max-age` is not found. That is
//! not modelled: such a query is empty here, and an error for the HPA either way.)

use super::metrics::Fetched;
use super::pods::{ListedPod, PodMetrics};
use crate::autoscaling::go;
use crate::autoscaling::instant_query::Answer;
use crate::units::MilliValue;

/// The answer as the external metrics API gives it: every element, its value cut to thousandths. NaN and what does not fit
/// become the smallest integer (on amd64).
pub fn external(answer: &Answer) -> Fetched {
    Fetched::External(match answer {
        Answer::Vector(elements) => Ok(elements.iter().map(|element| milli(element.value)).collect()),
        Answer::Scalar(value) => Ok(vec![milli(*value)]),
        Answer::Other => Err("encountered an unexpected query result type".to_owned()),
        Answer::Error(why) => Err(why.clone()),
    })
}

/// The answer as the custom metrics API gives it: the elements of `pods`, which are those that the target's selector finds
/// now. Of several elements of one pod the last counts, and NaN is 0.
pub fn pods(answer: &Answer, pods: Vec<ListedPod>) -> Fetched {
    Fetched::Pods(match answer {
        Answer::Vector(elements) => {
            let of = |pod: &ListedPod| {
                let element = elements.iter().rev().find(|element| element.pod == pod.name)?;
                let value = if element.value.is_nan() { 0.0 } else { element.value };
                Some((pod.name.clone(), milli(value)))
            };
            let values = pods.iter().filter_map(of).collect();
            Ok(PodMetrics { values, pods })
        }
        Answer::Scalar(_) | Answer::Other => {
            Err("unexpected results from prometheus: expected a vector".to_owned())
        }
        Answer::Error(why) => Err(why.clone()),
    })
}

fn milli(value: f64) -> MilliValue {
    MilliValue(go::int64(value * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::super::pods::PodState;
    use super::*;

    #[test]
    fn external_values_are_cut_to_thousandths() {
        let fetched = external(&Answer::vector(&[("", 1.9999), ("", f64::NAN)]));
        assert_eq!(fetched, Fetched::External(Ok(vec![MilliValue(1999), MilliValue(i64::MIN)])));
        assert_eq!(external(&Answer::Scalar(0.5)), Fetched::External(Ok(vec![MilliValue(500)])));
        assert!(matches!(external(&Answer::Other), Fetched::External(Err(_))));
        assert_eq!(external(&Answer::vector(&[])), Fetched::External(Ok(vec![])));
    }

    #[test]
    fn only_pods_that_exist_have_values() {
        let listed: Vec<ListedPod> =
            [("a", PodState::Running), ("b", PodState::Running), ("c", PodState::Pending)]
                .map(|(name, state)| ListedPod { name: name.to_owned(), state })
                .to_vec();
        let answer = Answer::vector(&[("a", 1.0), ("gone", 9.0), ("a", 2.0), ("b", f64::NAN)]);
        let Fetched::Pods(Ok(metrics)) = pods(&answer, listed.clone()) else { panic!("values") };
        assert_eq!(metrics.values, [("a".to_owned(), MilliValue(2000)), ("b".to_owned(), MilliValue(0))]);
        assert_eq!(metrics.pods, listed);
        assert!(matches!(pods(&Answer::Scalar(1.0), listed), Fetched::Pods(Err(_))));
    }
}
