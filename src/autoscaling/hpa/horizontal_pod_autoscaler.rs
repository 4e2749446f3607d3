//! A HorizontalPodAutoscaler as a user writes it, with Kubernetes' own field names in snake_case.
//!
//! Source: `autoscaling/v2` (`staging/src/k8s.io/api/autoscaling/v2/types.go`). An entry of `metrics` has the fields of its
//! kind (`external: {metric, target}`) beside its `type`, and the query that prometheus-adapter's rule makes of it, which an
//! HPA does not name. `None` is what the user left out.

use super::behavior::Behavior;
use super::flags::ControllerManagerFlags;
use super::spec::{CompleteBehavior, ExternalMetric, HpaSpec, Metric, MetricTarget, PodsMetric};
use super::version::KubernetesVersion;
use crate::autoscaling::quantity;
use crate::problem::Problem;
use crate::units::{MilliValue, Replicas};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The parts of `HorizontalPodAutoscaler.spec` that decide about scaling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizontalPodAutoscalerSpec {
    /// `minReplicas`: 1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// `maxReplicas`.
    pub max_replicas: i32,
    /// `metrics`: each proposes a size, the largest wins.
    pub metrics: Vec<MetricSpec>,
    /// `behavior`: left out, the HPA takes another code path than with its defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// One entry of `metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSpec {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// `metric`, of both kinds that are simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricIdentifier>,
    /// `target`, of both kinds that are simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// The PromQL that prometheus-adapter asks for this metric. Of type `Pods` its elements bear a label `pod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Fields of the kinds that are not simulated: read so that refusing them can say why.
    #[serde(default, skip_serializing)]
    resource: Option<IgnoredAny>,
    #[serde(default, skip_serializing)]
    container_resource: Option<IgnoredAny>,
    #[serde(default, skip_serializing)]
    object: Option<IgnoredAny>,
}

/// `type` of a metric (`MetricSourceType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricKind {
    /// A value from anywhere.
    External,
    /// A value a pod.
    Pods,
    /// cpu or memory of the pods.
    Resource,
    /// cpu or memory of one container of each pod.
    ContainerResource,
    /// A value of one Kubernetes object.
    Object,
}

/// `metric` (`MetricIdentifier`), without a selector: the query selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricIdentifier {
    /// `name`.
    pub name: String,
}

/// `target` (`MetricTarget`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// `averageValue`: a quantity such as `5` or `500m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_value: Option<String>,
    /// `value`: likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// `type` of a target (`MetricTargetType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetKind {
    /// Percent of what the containers request; of cpu and memory alone.
    Utilization,
    /// The value is compared as it is.
    Value,
    /// The value is shared between the replicas, or is one a pod.
    AverageValue,
}

impl HorizontalPodAutoscalerSpec {
    /// Everything that the API server of `kubernetes` would refuse (`pkg/apis/autoscaling/validation/validation.go`, v1.28),
    /// what would have no effect, and what is not simulated; keys are relative to the spec. Whether a query is PromQL is
    /// not looked at.
    pub fn problems(&self, kubernetes: KubernetesVersion) -> Vec<Problem> {
        let mut problems = bound_problems(self.min_replicas, self.max_replicas);
        if self.metrics.is_empty() {
            let message =
                "without metrics Kubernetes scales on 80 % of the requested cpu, which is not simulated";
            problems.push(Problem::key("metrics", message).help("add one of type External or Pods"));
        }
        for (i, metric) in self.metrics.iter().enumerate() {
            let found = metric.read().err().unwrap_or_default();
            problems.extend(found.into_iter().map(|problem| problem.under(&format!("metrics.{i}"))));
        }
        if let Some(behavior) = &self.behavior {
            let found = behavior.problems(kubernetes);
            problems.extend(found.into_iter().map(|problem| problem.under("behavior")));
        }
        problems
    }

    /// The HPA as its controller reads it.
    ///
    /// # Errors
    /// What [`HorizontalPodAutoscalerSpec::problems`] finds.
    pub fn resolve(&self, flags: &ControllerManagerFlags) -> Result<HpaSpec, Vec<Problem>> {
        let problems = self.problems(flags.kubernetes);
        if !problems.is_empty() {
            return Err(problems);
        }
        let complete = |behavior| CompleteBehavior::of(behavior, flags).map_err(|problem| vec![problem]);
        Ok(HpaSpec {
            min_replicas: Replicas(self.min_replicas.unwrap_or(1)),
            max_replicas: Replicas(self.max_replicas),
            metrics: self.metrics.iter().map(MetricSpec::read).collect::<Result<_, _>>()?,
            behavior: self.behavior.as_ref().map(complete).transpose()?,
            flags: flags.clone(),
        })
    }
}

/// Bounds that the API server refuses; it takes a minimum of 0 only behind the feature gate `HPAScaleToZero`.
pub(in crate::autoscaling) fn bound_problems(min_replicas: Option<i32>, max_replicas: i32) -> Vec<Problem> {
    let mut problems = Vec::new();
    let min = min_replicas.unwrap_or(1);
    if min < 1 {
        let message = format!("`min_replicas` {min} is below 1");
        problems.push(Problem::key("min_replicas", message).help("an HPA does not scale to zero; KEDA does"));
    }
    if max_replicas < 1 {
        let message = format!("`max_replicas` {max_replicas} is below 1");
        problems.push(Problem::key("max_replicas", message).help("give 1 or more"));
    } else if min > max_replicas {
        let message = format!("`min_replicas` {min} is above `max_replicas` {max_replicas}");
        problems.push(Problem::key("min_replicas", message).help("swap them"));
    }
    problems
}

impl MetricSpec {
    /// The metric as the controller reads it, or what is wrong with it.
    fn read(&self) -> Result<Metric, Vec<Problem>> {
        if let Some(why) = self.kind.not_simulated() {
            return Err(vec![
                Problem::key("type", why).help("use a metric of vLLM, of type External or Pods"),
            ]);
        }
        let mut problems = self.foreign_fields();
        let name = self.metric.as_ref().map_or("", |metric| metric.name.as_str());
        if name.is_empty() {
            problems
                .push(Problem::key("metric", "the metric has no name").help("such as { name = \"queue\" }"));
        } else if name.contains(['/', '%']) || name == "." || name == ".." {
            // It becomes a segment of a path.
            let message = format!("`{name}` is no name of a metric");
            problems.push(Problem::key("metric.name", message).help("leave `/` and `%` out"));
        }
        if self.query.as_ref().is_none_or(|query| query.trim().is_empty()) {
            let message = "there is no query: an HPA names a metric, and prometheus-adapter's rule says what it asks for it";
            problems.push(Problem::key("query", message).help("write that PromQL here"));
        }
        match self.target() {
            Ok(target) if problems.is_empty() => Ok(self.metric_of(name, target)),
            Ok(_) => Err(problems),
            Err(problem) => {
                problems.push(problem.under("target"));
                Err(problems)
            }
        }
    }

    /// Fields of other kinds of metrics.
    fn foreign_fields(&self) -> Vec<Problem> {
        let fields = [
            ("resource", &self.resource),
            ("container_resource", &self.container_resource),
            ("object", &self.object),
        ];
        let foreign = |(key, _): (&str, _)| {
            let problem = Problem::key(key, format!("a metric of type `{:?}` has no `{key}`", self.kind));
            problem.help("leave it out")
        };
        fields.into_iter().filter(|(_, field)| field.is_some()).map(foreign).collect()
    }

    fn metric_of(&self, name: &str, target: MetricTarget) -> Metric {
        let name = name.to_owned();
        match (self.kind, target) {
            (MetricKind::Pods, MetricTarget::AverageValue(average_value)) => {
                Metric::Pods(PodsMetric { name, average_value })
            }
            _ => Metric::External(ExternalMetric { name, target }),
        }
    }

    /// The target; the API server also takes a `type` that names another number than the one that is given, and the
    /// controller ignores it then.
    fn target(&self) -> Result<MetricTarget, Problem> {
        let Some(target) = &self.target else {
            let problem = Problem::key("", "there is no target");
            return Err(problem.help("such as { type = \"AverageValue\", average_value = \"5\" }"));
        };
        match (target.kind, &target.average_value, &target.value) {
            (TargetKind::AverageValue, Some(text), None) => {
                Ok(MetricTarget::AverageValue(positive("average_value", text)?))
            }
            (TargetKind::Value, None, Some(text)) if self.kind == MetricKind::External => {
                Ok(MetricTarget::Value(positive("value", text)?))
            }
            (TargetKind::Value, _, _) if self.kind == MetricKind::Pods => {
                let problem = Problem::key("type", "a metric of type `Pods` has an average for a target");
                Err(problem.help("use `AverageValue` with `average_value`"))
            }
            (TargetKind::Utilization, _, _) => {
                let message = "`Utilization` is for cpu and memory, which are not simulated";
                Err(Problem::key("type", message).help("use `AverageValue` with `average_value`"))
            }
            (TargetKind::AverageValue, ..) => {
                let message = "a target of type `AverageValue` has `average_value`, and it alone";
                Err(Problem::key("", message).help("such as average_value = \"5\""))
            }
            (TargetKind::Value, ..) => {
                let message = "a target of type `Value` has `value`, and it alone";
                Err(Problem::key("", message).help("such as value = \"5\""))
            }
        }
    }
}

impl MetricKind {
    /// Why metrics of this kind are refused.
    fn not_simulated(self) -> Option<&'static str> {
        match self {
            MetricKind::External | MetricKind::Pods => None,
            MetricKind::Resource | MetricKind::ContainerResource => {
                Some("cpu and memory are not simulated: those of a vLLM on a GPU say nothing about its load")
            }
            MetricKind::Object => Some("metrics of single Kubernetes objects are not simulated"),
        }
    }
}

fn positive(key: &str, text: &str) -> Result<MilliValue, Problem> {
    let help = "write a quantity above 0, such as \"5\" or \"500m\"";
    let milli = quantity::parse_milli(text)
        .map_err(|error| Problem::key(key, format!("`{text}` {error}")).help(help))?;
    if milli.get() <= 0 {
        return Err(Problem::key(key, format!("`{text}` is not above 0")).help(help));
    }
    Ok(milli)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: &str = "
        [[metrics]]
        type = 'Pods'
        metric = { name = 'vllm_num_requests_waiting' }
        target = { type = 'AverageValue', average_value = '5' }
        query = 'sum by (pod) (vllm:num_requests_waiting)'
        ";
    const EXTERNAL: &str = "
        [[metrics]]
        type = 'External'
        metric = { name = 'kv_cache' }
        target = { type = 'Value', value = '700m' }
        query = 'max(vllm:kv_cache_usage_perc)'
        ";

    fn spec(toml: &str) -> HorizontalPodAutoscalerSpec {
        let head = if toml.contains("max_replicas") { "" } else { "max_replicas = 8\n" };
        toml::from_str(&format!("{head}{toml}")).unwrap_or_else(|error| panic!("{error}\n{toml}"))
    }

    fn found(toml: &str) -> Vec<String> {
        spec(toml).problems(KubernetesVersion::default()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn metrics_of_both_kinds_are_resolved() {
        let spec = spec(&format!("{PODS}{EXTERNAL}"));
        let hpa = spec.resolve(&ControllerManagerFlags::default()).expect("valid");
        assert_eq!((hpa.min_replicas, hpa.max_replicas, hpa.behavior), (Replicas(1), Replicas(8), None));
        let pods =
            PodsMetric { name: "vllm_num_requests_waiting".to_owned(), average_value: MilliValue(5000) };
        let external =
            ExternalMetric { name: "kv_cache".to_owned(), target: MetricTarget::Value(MilliValue(700)) };
        assert_eq!(hpa.metrics, [Metric::Pods(pods), Metric::External(external)]);
    }

    #[test]
    fn what_was_read_is_written_again() {
        let behavior = "[behavior.scale_down]\nstabilization_window_seconds = 60\n";
        let spec = spec(&format!("min_replicas = 2\nmax_replicas = 4\n{PODS}{EXTERNAL}{behavior}"));
        let written = toml::to_string(&spec).expect("serializes");
        assert_eq!(toml::from_str::<HorizontalPodAutoscalerSpec>(&written).ok(), Some(spec));
        assert!(!written.contains("resource"), "{written}");
    }

    #[test]
    fn each_rule_names_its_key() {
        for (from, to, key) in [
            ("'Pods'", "'Object'", "metrics.0.type"),
            ("vllm_num_requests_waiting", "", "metrics.0.metric"),
            ("vllm_num_requests_waiting", "a/b", "metrics.0.metric.name"),
            ("'sum by (pod) (vllm:num_requests_waiting)'", "' '", "metrics.0.query"),
            ("average_value = '5'", "average_value = '-1'", "metrics.0.target.average_value"),
            ("average_value = '5'", "average_value = '5 %'", "metrics.0.target.average_value"),
            ("average_value = '5'", "value = '5'", "metrics.0.target"),
            ("'AverageValue', average_value", "'Value', value", "metrics.0.target.type"),
            ("AverageValue", "Utilization", "metrics.0.target.type"),
            ("target =", "#", "metrics.0.target"),
            ("query =", "object = {}\nquery =", "metrics.0.object"),
        ] {
            let found = found(&PODS.replace(from, to));
            assert!(found.len() == 1 && found[0].starts_with(&format!("{key}:")), "{to}: {found:?}");
        }
        for (settings, key) in [
            ("min_replicas = 0", "min_replicas"),
            ("min_replicas = 9", "min_replicas"),
            ("max_replicas = 0", "max_replicas"),
            ("behavior.scale_up.policies = []", "behavior.scale_up.policies"),
        ] {
            let found = found(&format!("{settings}\n{PODS}"));
            assert!(found.len() == 1 && found[0].starts_with(&format!("{key}:")), "{settings}: {found:?}");
        }
        assert!(found("metrics = []")[0].starts_with("metrics:"));
        let both = EXTERNAL.replace("value = '700m'", "value = '700m', average_value = '1'");
        assert!(found(&both)[0].starts_with("metrics.0.target:"));
    }

    #[test]
    fn cpu_and_memory_are_refused_by_name_as_kubernetes_writes_them() {
        for (kind, field) in
            [("Resource", "resource"), ("ContainerResource", "container_resource"), ("Object", "object")]
        {
            let metric = format!("metrics = [{{ type = '{kind}', {field} = {{ name = 'cpu' }} }}]");
            let found = found(&metric);
            assert!(found.len() == 1 && found[0].starts_with("metrics.0.type:"), "{found:?}");
        }
        assert!(
            toml::from_str::<HorizontalPodAutoscalerSpec>("max_replicas = 1\nmetrics = []\nreplicas = 1")
                .is_err()
        );
    }
}
