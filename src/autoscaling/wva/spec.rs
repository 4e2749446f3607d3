//! What a user configures: the saturation thresholds of the WVA's ConfigMap, and the HPA that follows it.

use super::analysis::SaturationScalingConfig;
use crate::autoscaling::hpa::{
    Behavior, CompleteBehavior, ControllerManagerFlags, ExternalMetric, HpaSpec, KubernetesVersion, Metric,
    MetricTarget, bound_problems,
};
use crate::problem::Problem;
use crate::units::{MilliValue, Replicas};
use serde::{Deserialize, Serialize};

/// The gauge that the WVA exports and the HPA reads (`internal/constants/metrics.go`, v0.5.1).
pub const DESIRED_REPLICAS: &str = "wva_desired_replicas";

/// An entry of the ConfigMap `wva-saturation-scaling-config` (`internal/interfaces/saturation_scaling.go`, v0.5.1) with its
/// names in snake_case, and bounds and behavior of the HPA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WvaSpec {
    /// `kvCacheThreshold`: a replica is saturated from this KV cache usage on, a fraction; 0.8 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_threshold: Option<f64>,
    /// `queueLengthThreshold`: and from this many waiting requests on; 5 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_length_threshold: Option<f64>,
    /// `kvSpareTrigger`: one more replica where the mean distance to the threshold is less; 0.1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_spare_trigger: Option<f64>,
    /// `queueSpareTrigger`: likewise of waiting requests; 3 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_spare_trigger: Option<f64>,
    /// `enableLimiter`: only `false` is simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_limiter: Option<bool>,
    /// `analyzerName`: only the empty name, the first analyzer's, is simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzer_name: Option<String>,
    /// `minReplicas` of the HPA: 1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// `maxReplicas` of the HPA; it and the other two belong to the HPA that follows, and are left out where KEDA does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// `behavior` of the HPA: left out, it takes another code path than with its defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

impl WvaSpec {
    /// The thresholds. What is left out is as in the ConfigMap that ships; a ConfigMap that leaves it out means 0.
    pub fn config(&self) -> SaturationScalingConfig {
        SaturationScalingConfig {
            kv_cache_threshold: self.kv_cache_threshold.unwrap_or(0.8),
            queue_length_threshold: self.queue_length_threshold.unwrap_or(5.0),
            kv_spare_trigger: self.kv_spare_trigger.unwrap_or(0.1),
            queue_spare_trigger: self.queue_spare_trigger.unwrap_or(3.0),
        }
    }

    /// Everything that the WVA or the API server of `kubernetes` would refuse, and what is not simulated; keys are relative
    /// to the table. (The WVA logs a bad entry of its ConfigMap and does without: nothing scales then.)
    pub fn problems(&self, kubernetes: KubernetesVersion) -> Vec<Problem> {
        let mut problems = self.threshold_problems();
        match self.max_replicas {
            Some(max) => problems.extend(bound_problems(self.min_replicas, max)),
            None => problems.push(
                Problem::key("max_replicas", "the HPA that follows has no maximum")
                    .help("give one, or a `[scaled_object]` that reads wva_desired_replicas"),
            ),
        }
        if let Some(behavior) = &self.behavior {
            let found = behavior.problems(kubernetes);
            problems.extend(found.into_iter().map(|problem| problem.under("behavior")));
        }
        problems
    }

    /// The same where KEDA follows: its ScaledObject has bounds and behavior.
    pub fn problems_under_keda(&self) -> Vec<Problem> {
        let own = [
            ("min_replicas", self.min_replicas.is_some()),
            ("max_replicas", self.max_replicas.is_some()),
            ("behavior", self.behavior.is_some()),
        ];
        let message = |key: &str| format!("`{key}` is of no effect where `[scaled_object]` follows");
        let given = own.into_iter().filter(|(_, given)| *given);
        let mut problems: Vec<Problem> =
            given.map(|(key, _)| Problem::key(key, message(key)).help("set it there")).collect();
        problems.extend(self.threshold_problems());
        problems
    }

    fn threshold_problems(&self) -> Vec<Problem> {
        let mut problems = self.config().problems();
        if self.enable_limiter == Some(true) {
            let message = "the limiter by free GPUs is not simulated: pods that find none are Pending";
            problems.push(Problem::key("enable_limiter", message).help("leave it out"));
        }
        if let Some(name) = self.analyzer_name.as_deref().filter(|name| !name.is_empty()) {
            let message = format!("the analyzer `{name}` is not simulated");
            problems.push(Problem::key("analyzer_name", message).help("leave it out: the first one is"));
        }
        problems
    }

    /// `maxReplicas` of the HPA; as many as can be where it is left out.
    pub fn max_replicas(&self) -> Replicas {
        Replicas(self.max_replicas.unwrap_or(i32::MAX))
    }

    /// What a careful colleague would say about one that runs.
    pub fn warnings(&self) -> Vec<String> {
        let minimum = self.min_replicas.filter(|&min| min > 1);
        let stuck = |min: i32| {
            format!(
                "the WVA does not know the HPA's min_replicas {min}: once it has asked for fewer it waits for that size, and \
                 never asks for more again"
            )
        };
        minimum.map(stuck).into_iter().collect()
    }

    /// The HPA that follows the WVA: one external metric, one replica for each that is desired.
    ///
    /// # Errors
    /// A behavior that the API server refuses.
    pub fn hpa(&self, flags: &ControllerManagerFlags) -> Result<HpaSpec, Problem> {
        let complete = |behavior| CompleteBehavior::of(behavior, flags);
        let target = MetricTarget::AverageValue(MilliValue(1000));
        Ok(HpaSpec {
            min_replicas: Replicas(self.min_replicas.unwrap_or(1)),
            max_replicas: self.max_replicas(),
            metrics: vec![Metric::External(ExternalMetric { name: DESIRED_REPLICAS.to_owned(), target })],
            behavior: self
                .behavior
                .as_ref()
                .map(complete)
                .transpose()
                .map_err(|problem| problem.under("behavior"))?,
            flags: flags.clone(),
        })
    }
}

/// What the WVA asks Prometheus, to the millisecond: peaks of KV cache usage and of waiting requests over the last minute,
/// by pod (`internal/collector/registration/saturation.go`, v0.5.1).
pub fn queries(namespace: &str, model: &str) -> [String; 2] {
    let escaped = |text: &str| text.replace('\\', r"\\").replace('"', r#"\""#);
    let (namespace, model) = (escaped(namespace), escaped(model));
    ["vllm:kv_cache_usage_perc", "vllm:num_requests_waiting"].map(|metric| {
        format!(
            "max by (pod) (max_over_time({metric}{{namespace=\"{namespace}\",model_name=\"{model}\"}}[1m]))"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::hpa::{Fetched, Scale, propose};

    fn spec(toml: &str) -> WvaSpec {
        toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
    }

    #[test]
    fn what_was_read_is_written_again() {
        let written =
            "kv_cache_threshold = 0.9\nmax_replicas = 8\n\n[behavior.scale_up]\nselect_policy = \"Min\"\n";
        let spec = spec(written);
        assert_eq!(toml::to_string(&spec).ok().as_deref(), Some(written));
        assert_eq!(spec.config().queue_length_threshold, 5.0);
        assert!(toml::from_str::<WvaSpec>("max_replicas = 8\nscale_up_threshold = 0.85").is_err());
    }

    #[test]
    fn each_rule_names_its_key() {
        let found = |settings: &str| {
            let spec = spec(&format!("max_replicas = 8\n{settings}"));
            let found = spec.problems(KubernetesVersion::default());
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(""), [""; 0]);
        assert_eq!(found("analyzer_name = ''\nenable_limiter = false"), [""; 0]);
        for (settings, key) in [
            ("kv_cache_threshold = 80", "kv_cache_threshold"),
            ("kv_cache_threshold = nan", "kv_cache_threshold"),
            ("queue_length_threshold = -1", "queue_length_threshold"),
            ("kv_spare_trigger = -0.1", "kv_spare_trigger"),
            ("kv_spare_trigger = 0.9", "kv_spare_trigger"),
            ("queue_spare_trigger = inf", "queue_spare_trigger"),
            ("enable_limiter = true", "enable_limiter"),
            ("analyzer_name = 'saturation'", "analyzer_name"),
            ("min_replicas = 0", "min_replicas"),
            ("behavior.scale_up.policies = []", "behavior.scale_up.policies"),
        ] {
            let found = found(settings);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{key}:")), "{settings}: {found:?}");
        }
    }

    #[test]
    fn the_hpa_has_one_replica_for_each_that_is_desired() {
        let spec = spec("min_replicas = 2\nmax_replicas = 8");
        let hpa = spec.hpa(&ControllerManagerFlags::default()).expect("valid");
        assert_eq!((hpa.min_replicas, hpa.max_replicas), (Replicas(2), Replicas(8)));
        assert_eq!(hpa.metrics[0].target(), MetricTarget::AverageValue(MilliValue(1000)));
        assert_eq!(spec.warnings().len(), 1);
    }

    #[test]
    fn one_more_than_ten_is_within_the_hpas_tolerance() {
        let hpa = spec("max_replicas = 20").hpa(&ControllerManagerFlags::default()).expect("valid");
        let proposed = |desired: i32, present: i32| {
            let present = Replicas(present);
            let scale = Scale { spec: present, status: present, ready: present };
            let fetched = Fetched::External(Ok(vec![MilliValue(i64::from(desired) * 1000)]));
            propose(&hpa, &hpa.metrics[0], &fetched, scale).replicas
        };
        assert_eq!((proposed(9, 8), proposed(8, 9)), (Some(Replicas(9)), Some(Replicas(8))));
        assert_eq!((proposed(11, 10), proposed(9, 10)), (Some(Replicas(10)), Some(Replicas(10))));
    }

    #[test]
    fn names_are_quoted_in_the_queries() {
        assert_eq!(
            queries("prod", "a\"b")[0],
            "max by (pod) (max_over_time(vllm:kv_cache_usage_perc{namespace=\"prod\",model_name=\"a\\\"b\"}[1m]))"
        );
    }
}
