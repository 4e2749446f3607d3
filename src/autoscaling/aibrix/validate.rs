//! What AIBrix refuses, what would have no effect there, and what is not simulated.
//!
//! Sources (v0.7.0): `pkg/webhook/podautoscaler_webhook.go`, `validateSpec` of `podautoscaler_controller.go`,
//! `UpdateByPaTypes` of `context/context.go`.

use super::metric;
use super::pod_autoscaler::{MetricSource, MetricSourceType, PodAutoscalerSpec, ScalingStrategy};
use crate::nearest::suggestion;
use crate::problem::Problem;
use std::collections::BTreeSet;

/// Everything that is wrong with the PodAutoscaler; keys are relative to its table. Empty means that AIBrix would act on it
/// and that it can be simulated.
pub fn problems(spec: &PodAutoscalerSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.scaling_strategy == ScalingStrategy::Hpa {
        let message =
            "of the strategy `HPA` AIBrix makes a HorizontalPodAutoscaler and decides nothing itself";
        let help = "write that one as `[hpa]`: a metric of type Pods, and as behavior at most 100 % more and 50 % less a \
                    minute, after 0 s and 300 s";
        problems.push(Problem::key("scaling_strategy", message).help(help));
    }
    problems.extend(bound_problems(spec));
    if spec.metrics_sources.is_empty() {
        let problem = Problem::key("metrics_sources", "there is no metric to scale on");
        problems.push(problem.help("add one with `target_metric` and `target_value`"));
    }
    let mut names = BTreeSet::new();
    for (i, source) in spec.metrics_sources.iter().enumerate() {
        let mut found = source_problems(source);
        if !names.insert(source.target_metric.as_str()) {
            let message = format!("`{}` is there twice", source.target_metric);
            let help = "AIBrix keeps one window and one target for a name, the last";
            found.push(Problem::key("target_metric", message).help(help));
        }
        problems.extend(found.into_iter().map(|problem| problem.under(&format!("metrics_sources.{i}"))));
    }
    let annotations = spec.annotations.scaling_context().err().unwrap_or_default();
    problems.extend(annotations.into_iter().map(|problem| problem.under("annotations")));
    problems
}

/// What a careful colleague would say about a PodAutoscaler that runs.
pub fn warnings(spec: &PodAutoscalerSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    if spec.metrics_sources.len() > 1 {
        warnings.push(
            "AIBrix v0.7.0 scales on several metrics, but its admission webhook takes one alone: switch that off, or it \
             will refuse this PodAutoscaler"
                .to_owned(),
        );
    }
    for source in spec.metrics_sources.iter().filter(|source| metric::is_fraction(&source.target_metric)) {
        if target_value(source).is_ok_and(|target| target > 1.0) {
            warnings.push(format!(
                "{} is a fraction of 1, so it never reaches its target of {}: this policy only scales down",
                source.target_metric, source.target_value
            ));
        }
    }
    if spec.annotations.scale_to_zero.is_some() {
        warnings.push("scale_to_zero has no effect in AIBrix v0.7.0: min_replicas alone decides".to_owned());
    }
    if spec.annotations.panic_threshold.is_some() && spec.scaling_strategy == ScalingStrategy::Apa {
        warnings.push("panic_threshold has no effect on the strategy APA".to_owned());
    }
    warnings
}

/// `targetValue` as the controller reads it: a decimal number above 0. Its webhook also takes a quantity such as `500m`, of
/// which the controller then makes no target at all.
pub(super) fn target_value(source: &MetricSource) -> Result<f64, Problem> {
    let text = &source.target_value;
    text.parse().ok().filter(|target: &f64| target.is_finite() && *target > 0.0).ok_or_else(|| {
        Problem::key("target_value", format!("`{text}` is no number above 0"))
            .help("write a plain decimal number, such as \"0.5\"")
    })
}

fn bound_problems(spec: &PodAutoscalerSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let min = spec.min_replicas.unwrap_or(1);
    if min < 0 {
        let problem = Problem::key("min_replicas", format!("`min_replicas` {min} is below 0"));
        problems.push(problem.help("give 0 or more"));
    }
    if spec.max_replicas < 1 {
        let message = format!("`max_replicas` {} is below 1", spec.max_replicas);
        problems.push(Problem::key("max_replicas", message).help("give 1 or more"));
    } else if min > spec.max_replicas {
        let message = format!("`min_replicas` {min} is above `max_replicas` {}", spec.max_replicas);
        problems.push(Problem::key("min_replicas", message).help("swap them"));
    }
    problems
}

fn source_problems(source: &MetricSource) -> Vec<Problem> {
    match source.source_type() {
        MetricSourceType::Pod => {}
        MetricSourceType::Resource => {
            return vec![refused("cpu and memory of the containers are not simulated")];
        }
        MetricSourceType::Custom => {
            return vec![refused("Kubernetes' custom metrics API is not simulated for AIBrix")];
        }
        MetricSourceType::External | MetricSourceType::Domain => {
            return vec![refused("services such as AIBrix's GPU optimizer are not simulated")];
        }
    }
    let mut problems = Vec::new();
    if metric::engine_metric(&source.target_metric).is_none() {
        let message = format!(
            "`{}` is no gauge or counter that AIBrix reads of a vLLM: its value would be 0 at all times",
            source.target_metric
        );
        let names: Vec<&str> = metric::names().collect();
        let mut problem = Problem::key("target_metric", message);
        problem.help = suggestion(&source.target_metric, &names);
        problems.push(problem);
    }
    problems.extend(target_value(source).err());
    for (key, text) in [("port", &source.port), ("path", &source.path)] {
        if text.as_deref() == Some("") {
            let problem = Problem::key(key, format!("`{key}` is empty"));
            problems.push(problem.help("AIBrix needs it: port \"8000\", path \"/metrics\""));
        }
    }
    if source.endpoint.is_some() {
        let problem = Problem::key("endpoint", "pods have no `endpoint`");
        problems.push(problem.help("leave it out: it belongs to `metric_source_type` external"));
    }
    problems
}

fn refused(why: &str) -> Problem {
    Problem::key("metric_source_type", why).help("use `pod` with a metric of vLLM")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "target_metric = 'kv_cache_usage_perc'\ntarget_value = '0.5'\n";

    fn spec(head: &str, sources: &[&str]) -> PodAutoscalerSpec {
        let head = if head.contains("scaling_strategy") {
            head.to_owned()
        } else {
            format!("scaling_strategy = 'APA'\n{head}")
        };
        let head = if head.contains("max_replicas") { head } else { format!("max_replicas = 8\n{head}") };
        let sources: Vec<String> =
            sources.iter().map(|source| format!("{{ {} }}", source.trim().replace('\n', ", "))).collect();
        let text = format!("metrics_sources = [{}]\n{head}\n", sources.join(", "));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn found(head: &str, sources: &[&str]) -> Vec<String> {
        problems(&spec(head, sources)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn aibrix_own_sample_is_fine() {
        let sample = format!(
            "metric_source_type = 'pod'\nprotocol_type = 'http'\nport = '8000'\npath = 'metrics'\n{SOURCE}"
        );
        assert_eq!(found("min_replicas = 1", &[&sample]), [""; 0]);
        assert!(warnings(&spec("", &[&sample])).is_empty());
    }

    #[test]
    fn each_rule_names_its_key() {
        for (head, sources, key) in [
            ("scaling_strategy = 'HPA'", vec![SOURCE], "scaling_strategy"),
            ("min_replicas = -1", vec![SOURCE], "min_replicas"),
            ("min_replicas = 9", vec![SOURCE], "min_replicas"),
            ("max_replicas = 0", vec![SOURCE], "max_replicas"),
            ("", vec![], "metrics_sources"),
            ("", vec![SOURCE, SOURCE], "metrics_sources.1.target_metric"),
            ("annotations.max_scale_up_rate = 'fast'", vec![SOURCE], "annotations.max_scale_up_rate"),
        ] {
            let found = found(head, &sources);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{key}:")), "{head}: {found:?}");
        }
    }

    #[test]
    fn sources_are_checked_one_by_one() {
        for (change, key) in [
            (("'0.5'", "'500m'"), "target_value"),
            (("'0.5'", "'0'"), "target_value"),
            (("'0.5'", "'inf'"), "target_value"),
            (("kv_cache", "kv_cash"), "target_metric"),
            (("kv_cache_usage_perc", "time_to_first_token_seconds"), "target_metric"),
            (("target_value", "port = ''\ntarget_value"), "port"),
            (("target_value", "endpoint = 'x'\ntarget_value"), "endpoint"),
            (("target_value", "metric_source_type = 'resource'\ntarget_value"), "metric_source_type"),
            (("target_value", "metric_source_type = 'custom'\ntarget_value"), "metric_source_type"),
            (("target_value", "metric_source_type = 'external'\ntarget_value"), "metric_source_type"),
            (("target_value", "metric_source_type = 'domain'\ntarget_value"), "metric_source_type"),
        ] {
            let found = found("", &[&SOURCE.replace(change.0, change.1)]);
            let key = format!("metrics_sources.0.{key}:");
            assert!(found.len() == 1 && found[0].starts_with(&key), "{change:?}: {found:?}");
        }
        let near = found("", &["target_metric = 'kv_cash_usage_perc'\ntarget_value = '1'"]);
        assert!(near[0].contains("did you mean `kv_cache_usage_perc`?"), "{near:?}");
    }

    #[test]
    fn what_has_no_effect_is_warned_of() {
        let sample_of_hpa = SOURCE.replace("0.5", "50");
        assert!(warnings(&spec("", &[&sample_of_hpa]))[0].contains("fraction of 1"));
        let two = [SOURCE, "target_metric = 'num_requests_waiting'\ntarget_value = '100'"];
        assert!(warnings(&spec("", &two))[0].contains("webhook"));
        let annotations = "annotations = { scale_to_zero = 'true', panic_threshold = '3' }";
        assert_eq!(warnings(&spec(annotations, &[SOURCE])).len(), 2);
        let kpa = format!("scaling_strategy = 'KPA'\n{annotations}");
        assert_eq!(warnings(&spec(&kpa, &[SOURCE])).len(), 1);
    }
}
