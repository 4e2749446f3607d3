//! The replicas, as the two queries show them (`internal/collector/replica_metrics.go`, v0.5.1).

use crate::autoscaling::go;
use crate::autoscaling::instant_query::Answer;
use std::collections::{BTreeMap, BTreeSet};

/// Peaks of one replica over the last minute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReplicaMetrics {
    pub(super) pod: String,
    /// A fraction.
    pub(super) kv_cache_usage: f64,
    /// Waiting requests.
    pub(super) queue_length: i64,
}

/// The pods that either query has a value of, as far as they exist; a value that the other lacks is 0, and so is one that is
/// no finite number. In the order of their names, where the WVA walks through a Go map.
pub(super) fn collect(
    kv_cache_usage: &Answer,
    queue_length: &Answer,
    existing: &[String],
) -> Result<Vec<ReplicaMetrics>, String> {
    let usage = by_pod(kv_cache_usage).map_err(|why| format!("KV cache query failed: {why}"))?;
    let queue = by_pod(queue_length).map_err(|why| format!("queue length query failed: {why}"))?;
    let existing: BTreeSet<&str> = existing.iter().map(String::as_str).collect();
    let pods: BTreeSet<&str> = usage.keys().chain(queue.keys()).copied().collect();
    let of = |values: &BTreeMap<&str, f64>, pod: &str| values.get(pod).copied().unwrap_or(0.0);
    let replica = |&pod: &&str| ReplicaMetrics {
        pod: pod.to_owned(),
        kv_cache_usage: of(&usage, pod),
        queue_length: go::int64(of(&queue, pod)),
    };
    Ok(pods.intersection(&existing).map(replica).collect())
}

/// Values by pod. Elements without the label count for nothing.
fn by_pod(answer: &Answer) -> Result<BTreeMap<&str, f64>, &str> {
    let elements = match answer {
        Answer::Vector(elements) => elements.as_slice(),
        Answer::Scalar(_) | Answer::Other => &[],
        Answer::Error(why) => return Err(why),
    };
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    let named = elements.iter().filter(|element| !element.pod.is_empty());
    Ok(named.map(|element| (element.pod.as_str(), finite(element.value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_exist_and_that_either_query_knows_are_replicas() {
        let usage = Answer::vector(&[("b", 0.5), ("a", f64::NAN), ("gone", 0.9), ("", 0.9)]);
        let queue = Answer::vector(&[("c", 2.9), ("a", 1.0)]);
        let existing = ["a", "b", "c", "loading"].map(str::to_owned);
        let replica = |pod: &str, kv_cache_usage, queue_length| ReplicaMetrics {
            pod: pod.to_owned(),
            kv_cache_usage,
            queue_length,
        };
        assert_eq!(
            collect(&usage, &queue, &existing),
            Ok(vec![replica("a", 0.0, 1), replica("b", 0.5, 0), replica("c", 0.0, 2)])
        );
    }

    #[test]
    fn a_query_that_fails_fails_the_whole() {
        let none = Answer::vector(&[]);
        let failed = Answer::Error("503".to_owned());
        assert_eq!(collect(&none, &none, &[]), Ok(vec![]));
        assert_eq!(collect(&failed, &none, &[]), Err("KV cache query failed: 503".to_owned()));
        assert_eq!(collect(&none, &failed, &[]), Err("queue length query failed: 503".to_owned()));
    }
}
