//! How much room the replicas have left (`internal/saturation/analyzer.go`, v0.5.1: `AnalyzeModelSaturation`).

use super::replicas::ReplicaMetrics;
use crate::problem::Problem;
use serde::Serialize;

/// `MinNonSaturatedReplicasForScaleDown`.
const FEWEST_FOR_SCALE_DOWN: usize = 2;

/// The thresholds (`SaturationScalingConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SaturationScalingConfig {
    /// Saturated from this KV cache usage on, a fraction.
    pub kv_cache_threshold: f64,
    /// Saturated from this many waiting requests on.
    pub queue_length_threshold: f64,
    /// Up where the mean spare KV cache is less, a fraction.
    pub kv_spare_trigger: f64,
    /// Up where the mean spare queue is less, requests.
    pub queue_spare_trigger: f64,
}

impl SaturationScalingConfig {
    /// What `Validate` refuses.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let ranges = [
            ("kv_cache_threshold", self.kv_cache_threshold, 1.0, "a fraction of 0 to 1"),
            ("queue_length_threshold", self.queue_length_threshold, f64::MAX, "a number of 0 or more"),
            ("kv_spare_trigger", self.kv_spare_trigger, 1.0, "a fraction of 0 to 1"),
            ("queue_spare_trigger", self.queue_spare_trigger, f64::MAX, "a number of 0 or more"),
        ];
        let outside = ranges.into_iter().filter(|(_, value, most, _)| !(0.0..=*most).contains(value));
        let problem = |(key, value, _, range): (&str, f64, f64, &str)| {
            Problem::key(key, format!("`{key}` {value} is not {range}"))
        };
        let mut problems: Vec<Problem> = outside.map(problem).collect();
        if problems.is_empty() && self.kv_cache_threshold < self.kv_spare_trigger {
            let message = format!(
                "`kv_spare_trigger` {} is above `kv_cache_threshold` {}",
                self.kv_spare_trigger, self.kv_cache_threshold
            );
            problems
                .push(Problem::key("kv_spare_trigger", message).help("there is never that much to spare"));
        }
        problems
    }
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replica {
    /// Its pod.
    pub pod: String,
    /// Peak of the KV cache usage over the last minute, a fraction.
    pub kv_cache_usage: f64,
    /// Peak of the waiting requests over the last minute.
    pub queue_length: i64,
    /// Whether either is at its threshold or above.
    pub saturated: bool,
}

/// All replicas that have metrics, and what follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// By name.
    pub replicas: Vec<Replica>,
    /// How many are not saturated: the means are of these.
    pub non_saturated: usize,
    /// Mean distance of the KV cache usage to its threshold; 0 where all are saturated.
    pub avg_spare_kv_capacity: f64,
    /// Mean distance of the waiting requests to theirs.
    pub avg_spare_queue_length: f64,
    /// Whether either is below its trigger.
    pub should_scale_up: bool,
    /// Which.
    pub scale_up_reason: String,
    /// Whether both stay at their triggers or above with one replica less.
    pub scale_down_safe: bool,
    /// The spare KV cache with one replica less; `None` below two that are not saturated.
    pub remaining_spare_kv: Option<f64>,
    /// The spare queue with one replica less.
    pub remaining_spare_queue: Option<f64>,
}

impl Analysis {
    /// Analyzes the replicas, of which there is at least one.
    pub(super) fn of(metrics: &[ReplicaMetrics], config: &SaturationScalingConfig) -> Self {
        let saturated = |replica: &ReplicaMetrics| {
            replica.kv_cache_usage >= config.kv_cache_threshold
                || replica.queue_length as f64 >= config.queue_length_threshold
        };
        let (mut spare_kv, mut spare_queue, mut non_saturated) = (0.0, 0.0, 0);
        for replica in metrics.iter().filter(|replica| !saturated(replica)) {
            spare_kv += config.kv_cache_threshold - replica.kv_cache_usage;
            spare_queue += config.queue_length_threshold - replica.queue_length as f64;
            non_saturated += 1;
        }
        let (kv, queue) = (mean(spare_kv, non_saturated), mean(spare_queue, non_saturated));
        let scale_up_reason = scale_up_reason(kv, queue, config);
        let remaining = remaining_spare(kv, queue, non_saturated, config);
        let safe = |(kv, queue)| kv >= config.kv_spare_trigger && queue >= config.queue_spare_trigger;
        let replica = |metrics: &ReplicaMetrics| Replica {
            pod: metrics.pod.clone(),
            kv_cache_usage: metrics.kv_cache_usage,
            queue_length: metrics.queue_length,
            saturated: saturated(metrics),
        };
        Analysis {
            replicas: metrics.iter().map(replica).collect(),
            non_saturated,
            avg_spare_kv_capacity: kv,
            avg_spare_queue_length: queue,
            should_scale_up: scale_up_reason.is_some(),
            scale_up_reason: scale_up_reason.unwrap_or_default(),
            scale_down_safe: remaining.is_some_and(safe),
            remaining_spare_kv: remaining.map(|(kv, _)| kv),
            remaining_spare_queue: remaining.map(|(_, queue)| queue),
        }
    }
}

/// The mean as the WVA computes it: of the variant, and once more weighted over all variants. The last bits depend on that.
fn mean(sum: f64, count: usize) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let count = count as f64;
    (sum / count) * count / count
}

/// `shouldScaleUp`: strictly below a trigger.
fn scale_up_reason(spare_kv: f64, spare_queue: f64, config: &SaturationScalingConfig) -> Option<String> {
    let (kv_trigger, queue_trigger) = (config.kv_spare_trigger, config.queue_spare_trigger);
    match (spare_kv < kv_trigger, spare_queue < queue_trigger) {
        (true, true) => Some(format!(
            "both KV spare ({spare_kv:.3} < {kv_trigger:.3}) and queue spare ({spare_queue:.1} < {queue_trigger:.1})"
        )),
        (true, false) => Some(format!("KV spare low ({spare_kv:.3} < {kv_trigger:.3})")),
        (false, true) => Some(format!("queue spare low ({spare_queue:.1} < {queue_trigger:.1})")),
        (false, false) => None,
    }
}

/// `isScaleDownSafe`: the load of those that are not saturated on one less of them.
fn remaining_spare(
    spare_kv: f64,
    spare_queue: f64,
    non_saturated: usize,
    config: &SaturationScalingConfig,
) -> Option<(f64, f64)> {
    if non_saturated < FEWEST_FOR_SCALE_DOWN {
        return None;
    }
    let factor = non_saturated as f64 / (non_saturated - 1) as f64;
    let remaining = |threshold: f64, spare: f64| threshold - (threshold - spare) * factor;
    Some((
        remaining(config.kv_cache_threshold, spare_kv),
        remaining(config.queue_length_threshold, spare_queue),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: SaturationScalingConfig = SaturationScalingConfig {
        kv_cache_threshold: 0.8,
        queue_length_threshold: 5.0,
        kv_spare_trigger: 0.1,
        queue_spare_trigger: 3.0,
    };

    fn analysis(replicas: &[(f64, i64)]) -> Analysis {
        let metrics = |(i, &(kv_cache_usage, queue_length)): (usize, &(f64, i64))| ReplicaMetrics {
            pod: format!("llama-{i}"),
            kv_cache_usage,
            queue_length,
        };
        Analysis::of(&replicas.iter().enumerate().map(metrics).collect::<Vec<_>>(), &CONFIG)
    }

    /// `docs/saturation-scaling-config.md`: 65 % and 72 % leave 0.115; at 65 % and 75 % it says 0.10 and "triggered", where
    /// the code compares 0.10000000000000003 < 0.1.
    #[test]
    fn the_examples_of_the_documentation() {
        let first = analysis(&[(0.65, 0), (0.72, 0)]);
        assert!((first.avg_spare_kv_capacity - 0.115).abs() < 1e-12 && !first.should_scale_up);
        let borderline = analysis(&[(0.65, 0), (0.75, 0)]);
        assert!((borderline.avg_spare_kv_capacity - 0.1).abs() < 1e-12 && !borderline.should_scale_up);
        let below = analysis(&[(0.66, 0), (0.75, 0)]);
        assert_eq!(below.scale_up_reason, "KV spare low (0.095 < 0.100)");
    }

    #[test]
    fn exactly_at_a_trigger_nothing_happens() {
        // Binary fractions: the distances are exact.
        let config = SaturationScalingConfig { kv_cache_threshold: 0.75, kv_spare_trigger: 0.25, ..CONFIG };
        let replica = ReplicaMetrics { pod: "llama-0".to_owned(), kv_cache_usage: 0.5, queue_length: 2 };
        let analysis = Analysis::of(&[replica], &config);
        assert_eq!((analysis.avg_spare_kv_capacity, analysis.avg_spare_queue_length), (0.25, 3.0));
        assert!(!analysis.should_scale_up);
    }

    #[test]
    fn saturated_replicas_do_not_count_in_the_means() {
        let one_full = analysis(&[(0.8, 0), (0.2, 5), (0.3, 1)]);
        assert_eq!(one_full.non_saturated, 1);
        assert_eq!((one_full.avg_spare_kv_capacity, one_full.avg_spare_queue_length), (0.5, 4.0));
        assert!(!one_full.should_scale_up, "two of three are saturated, and nothing happens");
        let all_full = analysis(&[(0.9, 9)]);
        assert!(all_full.should_scale_up && all_full.scale_up_reason.starts_with("both"));
        assert_eq!(analysis(&[(0.2, 3)]).scale_up_reason, "queue spare low (2.0 < 3.0)");
    }

    #[test]
    fn one_less_is_safe_where_both_spares_stay_at_their_triggers() {
        // 0.35 on three is 0.525 on two: 0.275 to spare.
        let light = analysis(&[(0.35, 0), (0.35, 0), (0.35, 0)]);
        assert!(light.scale_down_safe);
        assert!(light.remaining_spare_kv.is_some_and(|spare| (spare - 0.275).abs() < 1e-12));
        assert!(!analysis(&[(0.4, 0), (0.4, 0)]).scale_down_safe, "0.8 on one");
        assert!(!analysis(&[(0.1, 2), (0.1, 1)]).scale_down_safe, "3 waiting on one leave 2");
        assert!(analysis(&[(0.1, 1), (0.1, 1)]).scale_down_safe, "2 waiting on one leave 3");
        assert!(!analysis(&[(0.1, 0)]).scale_down_safe, "one alone");
        assert!(!analysis(&[(0.1, 0), (0.9, 0)]).scale_down_safe, "one that is not saturated");
    }
}
