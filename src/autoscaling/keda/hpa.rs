//! The HPA that KEDA makes of a ScaledObject (`controllers/keda/hpa.go`, v2.20.2).

use super::annotations::Annotations;
use super::scaled_object::ScaledObjectSpec;
use crate::autoscaling::hpa::{
    Behavior, CompleteBehavior, ControllerManagerFlags, ExternalMetric, HpaSpec, Metric, ScalingRules,
    SelectPolicy,
};
use crate::problem::Problem;

/// The name of the HPA of the ScaledObject called `name`.
pub fn hpa_name(name: &str, spec: &ScaledObjectSpec) -> String {
    let given = spec.hpa_config().and_then(|config| config.name.as_ref()).filter(|name| !name.is_empty());
    given.cloned().unwrap_or_else(|| format!("keda-hpa-{name}"))
}

/// `spec.behavior` of the HPA before the API server completes it: the ScaledObject's own, verbatim, so that nothing
/// stays nothing. `paused-scale-in` and `paused-scale-out` disable their direction, which creates a behavior where there
/// was none, and with it another code path of the HPA.
pub fn hpa_behavior(spec: &ScaledObjectSpec, annotations: &Annotations) -> Option<Behavior> {
    let mut behavior = spec.hpa_config().and_then(|config| config.behavior.clone());
    let disable = |rules: &mut Option<ScalingRules>| {
        rules.get_or_insert_default().select_policy = Some(SelectPolicy::Disabled);
    };
    if annotations.paused_scale_in {
        disable(&mut behavior.get_or_insert_default().scale_down);
    }
    if annotations.paused_scale_out {
        disable(&mut behavior.get_or_insert_default().scale_up);
    }
    behavior
}

/// The HPA as its controller reads it: one external metric for each trigger in their order, or the composite one alone;
/// `minReplicas` never below 1. KEDA sorts its metrics by their type, which is `External` for all of them.
///
/// # Errors
/// A behavior that the API server refuses.
pub fn generate_hpa(
    spec: &ScaledObjectSpec,
    annotations: &Annotations,
    metrics: Vec<ExternalMetric>,
    flags: &ControllerManagerFlags,
) -> Result<HpaSpec, Problem> {
    let complete = |behavior: Behavior| CompleteBehavior::of(&behavior, flags);
    let under = |problem: Problem| problem.under("advanced.horizontal_pod_autoscaler_config.behavior");
    Ok(HpaSpec {
        min_replicas: spec.hpa_min_replicas(),
        max_replicas: spec.hpa_max_replicas(),
        metrics: metrics.into_iter().map(Metric::External).collect(),
        behavior: hpa_behavior(spec, annotations).map(complete).transpose().map_err(under)?,
        flags: flags.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::hpa::MetricTarget;
    use crate::autoscaling::keda::{KedaVersion, MetricType, Scaler, Trigger};
    use crate::units::{MilliValue, Replicas};

    fn generate(toml: &str, annotations: Annotations) -> HpaSpec {
        let spec: ScaledObjectSpec = toml::from_str(toml).expect("valid TOML");
        let version = KedaVersion::default();
        let parse = |trigger: &Trigger| Scaler::parse(trigger, version).expect("valid");
        let metric = |(i, scaler): (usize, Scaler)| scaler.metric(i, version);
        let metrics = spec.triggers.iter().map(parse).enumerate().map(metric).collect();
        generate_hpa(&spec, &annotations, metrics, &ControllerManagerFlags::default()).expect("valid")
    }

    const TRIGGERS: &str = "
        [[triggers]]
        type = 'prometheus'
        metadata = { query = 'up', threshold = '2' }
        [[triggers]]
        type = 'prometheus'
        metric_type = 'Value'
        metadata = { query = 'down', threshold = '0.8' }
        [[triggers]]
        type = 'cron'
        metadata = { timezone = 'Asia/Tokyo', start = '0 8 * * *', end = '0 18 * * *', desiredReplicas = '3' }";

    #[test]
    fn bounds_metrics_and_no_behavior() {
        let hpa = generate(TRIGGERS, Annotations::default());
        assert_eq!((hpa.min_replicas, hpa.max_replicas, hpa.behavior), (Replicas(1), Replicas(100), None));
        let metric = |name: &str, target| Metric::External(ExternalMetric { name: name.to_owned(), target });
        let shared = |milli| MetricTarget::AverageValue(MilliValue(milli));
        assert_eq!(
            hpa.metrics,
            [
                metric("s0-prometheus", shared(2000)),
                metric("s1-prometheus", MetricTarget::Value(MilliValue(800))),
                metric("s2-cron-Asia-Tokyo-08xxx-018xxx", shared(1000)),
            ]
        );
        assert_eq!(MetricType::default(), MetricType::AverageValue);
    }

    #[test]
    fn pausing_a_direction_creates_a_behavior_and_keeps_the_rest() {
        let paused = Annotations { paused_scale_in: true, ..Annotations::default() };
        let behavior = generate(TRIGGERS, paused).behavior.expect("a behavior");
        assert_eq!(behavior.scale_down.select_policy, SelectPolicy::Disabled);
        assert_eq!(
            (behavior.scale_up.select_policy, behavior.scale_up.policies.len()),
            (SelectPolicy::Max, 2)
        );
        let given = "[advanced.horizontal_pod_autoscaler_config.behavior.scale_down]\nstabilization_window_seconds = 7\n";
        let behavior = generate(&format!("{given}{TRIGGERS}"), paused).behavior.expect("a behavior");
        assert_eq!(behavior.scale_down.stabilization_window.as_millis(), 7000);
        assert_eq!(behavior.scale_down.select_policy, SelectPolicy::Disabled);
    }

    #[test]
    fn names_follow_the_scaled_object() {
        let mut spec = ScaledObjectSpec::default();
        assert_eq!(hpa_name("llama", &spec), "keda-hpa-llama");
        spec.advanced.get_or_insert_default().horizontal_pod_autoscaler_config.get_or_insert_default().name =
            Some("mine".to_owned());
        assert_eq!(hpa_name("llama", &spec), "mine");
    }
}
