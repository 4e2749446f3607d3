//! `PodAutoscaler.spec` (autoscaling.aibrix.ai/v1alpha1, AIBrix v0.7.0), with AIBrix's own field names in snake_case.
//!
//! Source: `api/autoscaling/v1alpha1/podautoscaler_types.go`. `None` is what the user left out.

use super::annotations::Annotations;
use serde::{Deserialize, Serialize};

/// The parts of a PodAutoscaler that decide about scaling: its spec, and the annotations that tune it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodAutoscalerSpec {
    /// `scalingStrategy`.
    pub scaling_strategy: ScalingStrategy,
    /// `minReplicas`: 1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// `maxReplicas`.
    pub max_replicas: i32,
    /// `metricsSources`: each proposes a size, the largest wins.
    pub metrics_sources: Vec<MetricSource>,
    /// `metadata.annotations`, as far as they are `autoscaling.aibrix.ai/...`.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// `scalingStrategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ScalingStrategy {
    /// AIBrix makes a HorizontalPodAutoscaler and leaves the rest to Kubernetes.
    Hpa,
    /// After Knative's autoscaler, with a stable and a panic window.
    Kpa,
    /// AIBrix's own: the size times the ratio of value and target.
    Apa,
}

/// One entry of `metricsSources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSource {
    /// `metricSourceType`: AIBrix needs it; `pod` when left out here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_source_type: Option<MetricSourceType>,
    /// `protocolType` of the pods' endpoint. It and `port` and `path` are needed by AIBrix and of no effect on a run:
    /// vLLM's metrics are where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_type: Option<ProtocolType>,
    /// `endpoint` of an external service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// `targetMetric`: AIBrix's name of a metric of the engine, such as `kv_cache_usage_perc`.
    pub target_metric: String,
    /// `targetValue`: a decimal number above 0, as text.
    pub target_value: String,
}

/// `metricSourceType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricSourceType {
    /// The `/metrics` page of each pod.
    #[default]
    Pod,
    /// Kubernetes' resource metrics: cpu, memory.
    Resource,
    /// Kubernetes' custom metrics API.
    Custom,
    /// A service such as the GPU optimizer.
    External,
    /// The old name of `external`.
    Domain,
}

/// `protocolType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolType {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

impl MetricSource {
    /// `metricSourceType`, [`MetricSourceType::Pod`] when left out.
    pub fn source_type(&self) -> MetricSourceType {
        self.metric_source_type.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
        scaling_strategy = 'APA'
        min_replicas = 1
        max_replicas = 8
        [[metrics_sources]]
        metric_source_type = 'pod'
        protocol_type = 'http'
        port = '8000'
        path = '/metrics'
        target_metric = 'kv_cache_usage_perc'
        target_value = '0.5'
        [annotations]
        scale_down_tolerance = '0.2'
        ";

    #[test]
    fn what_was_read_is_written_again() {
        let spec: PodAutoscalerSpec = toml::from_str(POLICY).expect("a PodAutoscaler");
        assert_eq!(spec.scaling_strategy, ScalingStrategy::Apa);
        let written = toml::to_string(&spec).expect("serializes");
        assert_eq!(toml::from_str::<PodAutoscalerSpec>(&written).ok(), Some(spec.clone()));
        assert!(!written.contains("endpoint") && !written.contains("panic_threshold"), "{written}");
        let bare = PodAutoscalerSpec { annotations: Annotations::default(), ..spec };
        assert!(!toml::to_string(&bare).expect("serializes").contains("annotations"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        for line in
            ["max_replica_count = 3", "annotations.window = '30s'", "metrics_sources = [{ metric = 'x' }]"]
        {
            let text = format!("scaling_strategy = 'KPA'\nmax_replicas = 8\n{line}\n");
            assert!(toml::from_str::<PodAutoscalerSpec>(&text).is_err(), "{line}");
        }
    }
}
