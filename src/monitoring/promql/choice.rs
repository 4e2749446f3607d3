//! `topk`, `bottomk`, `limitk` and `limit_ratio`: aggregations that choose some elements of each group and leave them as
//! they are (promql/engine.go, `aggregationK`).

use super::eval::Evaluation;
use super::heap::Heap;
use super::value::{ExecutionError, Sample};
use super::xxhash::xxh64;
use crate::monitoring::labels::Labels;

/// Which elements of a group are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The `k` greatest.
    Topk,
    /// The `k` least.
    Bottomk,
    /// The first `k`.
    Limitk,
    /// A share, by the hash of their labels: the same elements at every instant.
    LimitRatio,
}

/// How much of a group is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    Count(usize),
    /// From -1 to 1: what a negative ratio chooses is what one plus it leaves.
    Ratio(f64),
}

impl Choice {
    /// The limit that `parameter` sets for a vector of `len` elements; `None` where nothing is asked for or nothing is there.
    pub(super) fn limit(self, parameter: f64, len: usize) -> Result<Option<Limit>, ExecutionError> {
        if len == 0 {
            return Ok(None);
        }
        if self == Choice::LimitRatio {
            if parameter.is_nan() {
                return Err(ExecutionError("Ratio value NaN is NaN".to_owned()));
            }
            return Ok((parameter != 0.0).then(|| Limit::Ratio(parameter.clamp(-1.0, 1.0))));
        }
        // The bounds of Go's conversion to int64.
        if parameter.is_nan() || parameter.abs() >= 9_223_372_036_854_774_784.0 {
            return Err(ExecutionError(format!("Scalar value {parameter} overflows int64")));
        }
        Ok((parameter >= 1.0).then(|| Limit::Count((parameter as usize).min(len))))
    }

    /// The chosen ones of a group.
    pub(super) fn of(
        self,
        mut samples: Vec<Sample>,
        limit: Limit,
        evaluation: &Evaluation<'_>,
    ) -> Vec<Sample> {
        match (self, limit) {
            (_, Limit::Ratio(ratio)) => {
                samples.retain(|sample| is_sampled(evaluation.table.get(sample.labels), ratio));
                samples
            }
            (Choice::Topk | Choice::Bottomk, Limit::Count(count)) => {
                let greatest = self == Choice::Topk;
                let mut heap = Heap::new(count, greatest, evaluation.rules.nan_replaces_nan);
                samples.into_iter().for_each(|sample| heap.offer(sample));
                heap.into_sorted()
            }
            (_, Limit::Count(count)) => {
                samples.truncate(count);
                samples
            }
        }
    }
}

/// Whether the labels' place between 0 and 1 is among those that `ratio` chooses (`HashRatioSampler`).
fn is_sampled(labels: &Labels, ratio: f64) -> bool {
    let place = xxh64(&encoded(labels)) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

/// The labels as Prometheus keeps them: every name and value after its length (model/labels/labels_stringlabels.go).
fn encoded(labels: &Labels) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length @ 0..=254) => bytes.push(length),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_is_truncated_and_bounded() {
        assert_eq!(Choice::Topk.limit(2.9, 5), Ok(Some(Limit::Count(2))));
        assert_eq!(Choice::Limitk.limit(9.0, 5), Ok(Some(Limit::Count(5))));
        assert_eq!(Choice::Bottomk.limit(0.9, 5), Ok(None));
        assert!(Choice::Topk.limit(f64::NAN, 5).is_err() && Choice::Topk.limit(1e19, 5).is_err());
        assert_eq!(Choice::Topk.limit(f64::NAN, 0), Ok(None), "nothing is there to choose from");
    }

    #[test]
    fn a_ratio_and_its_complement_share_the_elements() {
        assert_eq!(Choice::LimitRatio.limit(-3.0, 2), Ok(Some(Limit::Ratio(-1.0))));
        assert_eq!(Choice::LimitRatio.limit(0.0, 2), Ok(None));
        assert!(Choice::LimitRatio.limit(f64::NAN, 2).is_err());
        let pods: Vec<Labels> = (0..1000).map(|pod| Labels::new([("pod", pod.to_string())])).collect();
        let chosen = pods.iter().filter(|labels| is_sampled(labels, 0.3)).count();
        assert!((250..350).contains(&chosen), "{chosen}");
        assert!(pods.iter().all(|labels| is_sampled(labels, 0.3) != is_sampled(labels, -0.7)));
        assert!(pods.iter().all(|labels| is_sampled(labels, 1.0) && is_sampled(labels, -1.0)));
    }

    #[test]
    fn long_texts_have_their_length_in_three_bytes() {
        let long = "v".repeat(300);
        let bytes = encoded(&Labels::new([("a", long.as_str())]));
        assert_eq!(bytes[..6], [1, b'a', 255, 44, 1, 0]);
        assert_eq!(bytes.len(), 306);
    }
}
