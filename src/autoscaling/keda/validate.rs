//! What KEDA's CRD and admission webhook refuse, and what is not simulated yet.
//!
//! Sources: the markers of `apis/keda/v1alpha1/scaledobject_types.go`, `scaledobject_webhook.go` and
//! `scaletriggers_types.go` (v2.20.2). Rules about other objects in the namespace (a second ScaledObject or HPA on one
//! workload) do not arise here.

use super::hpa::hpa_name;
use super::prometheus_scaler::PrometheusTrigger;
use super::scaled_object::{FallbackBehavior, ScaledObjectSpec, Trigger};
use super::version::KedaVersion;
use crate::autoscaling::hpa::KubernetesVersion;
use crate::problem::Problem;
use std::collections::BTreeSet;

/// The longest value of a Kubernetes label: both names become one.
const LABEL_LENGTH_MAX: usize = 63;

/// Everything that is wrong with the ScaledObject called `name`; keys are relative to its spec, `name` apart. Empty
/// means that KEDA would accept it, that the API server would accept its HPA, and that it can be simulated.
pub fn problems(
    name: &str,
    spec: &ScaledObjectSpec,
    version: KedaVersion,
    kubernetes: KubernetesVersion,
) -> Vec<Problem> {
    let mut problems = name_problems(name, spec);
    problems.extend(seconds_problems(spec));
    problems.extend(replica_problems(spec));
    problems.extend(fallback_problems(spec));
    if spec.scaling_modifiers().is_some() {
        let message = "`scalingModifiers` are not supported yet";
        problems.push(
            Problem::key("advanced.scaling_modifiers", message).help("scale on the triggers one by one"),
        );
    }
    if let Some(behavior) = spec.hpa_config().and_then(|config| config.behavior.as_ref()) {
        let under = |problem: Problem| problem.under("advanced.horizontal_pod_autoscaler_config.behavior");
        problems.extend(behavior.problems(kubernetes).into_iter().map(under));
    }
    problems.extend(trigger_problems(&spec.triggers, version));
    problems
}

/// What KEDA's webhook warns of: settings that have no effect (`verifyScaledObjects`).
pub fn warnings(spec: &ScaledObjectSpec) -> Vec<String> {
    let never_idle = spec.min_replica_count.is_some_and(|min| min > 0) && spec.idle_replica_count.is_none();
    let cached = spec.triggers.iter().any(|trigger| trigger.use_cached_metrics == Some(true));
    let mut warnings = Vec::new();
    if spec.polling_interval.is_some() && never_idle && !cached {
        warnings.push(
            "pollingInterval has no effect: with minReplicaCount above 0 the HPA alone sets the size, and it queries \
             the triggers at each of its own syncs"
                .to_owned(),
        );
    }
    if spec.cooldown_period.is_some() && never_idle {
        warnings.push(
            "cooldownPeriod has no effect: it only delays scaling to zero or to idleReplicaCount".to_owned(),
        );
    }
    warnings
}

fn name_problems(name: &str, spec: &ScaledObjectSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if name.len() > LABEL_LENGTH_MAX {
        let message = format!("the name `{name}` has {} characters", name.len());
        problems.push(Problem::key("name", message).help("KEDA takes at most 63"));
    }
    let hpa = hpa_name(name, spec);
    if hpa.len() > LABEL_LENGTH_MAX {
        let message = format!("the HPA's name `{hpa}` has {} characters", hpa.len());
        let help = "KEDA takes at most 63; shorten the name or set this one";
        problems.push(Problem::key("advanced.horizontal_pod_autoscaler_config.name", message).help(help));
    }
    problems
}

fn seconds_problems(spec: &ScaledObjectSpec) -> Vec<Problem> {
    let settings = [
        ("polling_interval", spec.polling_interval, 1),
        ("cooldown_period", spec.cooldown_period, 0),
        ("initial_cooldown_period", spec.initial_cooldown_period, 0),
    ];
    let too_small =
        |&(_, seconds, least): &(_, Option<i32>, i32)| seconds.is_some_and(|seconds| seconds < least);
    let problem = |(key, seconds, least): (&str, Option<i32>, i32)| {
        let message = format!("`{key}` {} is below {least}", seconds.unwrap_or_default());
        Problem::key(key, message).help(format!("give whole seconds, {least} or more"))
    };
    settings.into_iter().filter(too_small).map(problem).collect()
}

fn replica_problems(spec: &ScaledObjectSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let counts = [
        ("min_replica_count", spec.min_replica_count, 0),
        ("max_replica_count", spec.max_replica_count, 1),
        ("idle_replica_count", spec.idle_replica_count, 0),
    ];
    for (key, count, least) in counts {
        if let Some(count) = count.filter(|&count| count < least) {
            let message = format!("`{key}` {count} is below {least}");
            problems.push(Problem::key(key, message).help(format!("give {least} or more")));
        }
    }
    if !problems.is_empty() {
        return problems;
    }
    let (min, max) = (spec.min_replicas(), spec.hpa_max_replicas());
    if min > max {
        let message = format!("`min_replica_count` {min} is above `max_replica_count` {max}");
        let help =
            if spec.max_replica_count.is_none() { "the maximum is 100 when left out" } else { "swap them" };
        problems.push(Problem::key("min_replica_count", message).help(help));
    }
    // A minimum of 0 that is written out counts as the HPA's 1 here; one that is left out counts as 0.
    let above_idle = spec.min_replica_count.map_or(0, |_| spec.hpa_min_replicas().get());
    if let Some(idle) = spec.idle_replica_count.filter(|&idle| idle >= above_idle) {
        let message = format!("`idle_replica_count` {idle} is not below `min_replica_count` {above_idle}");
        problems.push(
            Problem::key("idle_replica_count", message)
                .help("set a minimum above it; only idle 0 works well"),
        );
    }
    problems
}

fn fallback_problems(spec: &ScaledObjectSpec) -> Vec<Problem> {
    let Some(fallback) = &spec.fallback else { return Vec::new() };
    let mut problems = Vec::new();
    let counts = [
        ("fallback.failure_threshold", fallback.failure_threshold),
        ("fallback.replicas", fallback.replicas),
    ];
    for (key, count) in counts.into_iter().filter(|&(_, count)| count < 0) {
        problems.push(Problem::key(key, format!("{count} is below 0")).help("give 0 or more"));
    }
    let formula = spec.scaling_modifiers().and_then(|modifiers| modifiers.formula.as_ref());
    if fallback.behavior == Some(FallbackBehavior::ScalingModifiers) && formula.is_none_or(String::is_empty) {
        let message = "the fallback behavior `scalingModifiers` needs a formula";
        problems.push(
            Problem::key("fallback.behavior", message).help("use `static` or one of `currentReplicas...`"),
        );
    }
    problems
}

fn trigger_problems(triggers: &[Trigger], version: KedaVersion) -> Vec<Problem> {
    let mut problems = Vec::new();
    if triggers.is_empty() {
        problems.push(Problem::key("triggers", "there is no trigger").help("add one of type `prometheus`"));
    }
    let mut names = BTreeSet::new();
    for (i, trigger) in triggers.iter().enumerate() {
        let mut found = match trigger.kind.as_str() {
            "prometheus" => PrometheusTrigger::parse(trigger, version).err().unwrap_or_default(),
            "" => vec![Problem::key("type", "the trigger has no type").help("use `prometheus`")],
            other => {
                let message = format!("trigger type `{other}` is not supported yet");
                vec![Problem::key("type", message).help("use `prometheus`")]
            }
        };
        let name = trigger.name.as_deref().filter(|name| !name.is_empty());
        if let Some(name) = name.filter(|name| !names.insert(*name)) {
            found.push(
                Problem::key("name", format!("two triggers are called `{name}`"))
                    .help("names must be unique"),
            );
        }
        problems.extend(found.into_iter().map(|problem| problem.under(&format!("triggers.{i}"))));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIGGER: &str = "[[triggers]]\ntype = 'prometheus'\nmetadata = { query = 'up', threshold = '2' }\n";

    fn spec(toml: &str) -> ScaledObjectSpec {
        toml::from_str(toml).expect("valid TOML")
    }

    fn found(toml: &str) -> Vec<String> {
        let found = problems("llama", &spec(toml), KedaVersion::default(), KubernetesVersion::default());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_seeds_scaled_object_is_fine() {
        assert_eq!(
            found(&format!("min_replica_count = 1\nmax_replica_count = 5\npolling_interval = 5\n{TRIGGER}")),
            [""; 0]
        );
    }

    #[test]
    fn each_rule_names_its_key() {
        for (setting, key) in [
            ("polling_interval = 0", "polling_interval"),
            ("cooldown_period = -1", "cooldown_period"),
            ("initial_cooldown_period = -1", "initial_cooldown_period"),
            ("min_replica_count = -1", "min_replica_count"),
            ("max_replica_count = 0", "max_replica_count"),
            ("min_replica_count = 5\nmax_replica_count = 3", "min_replica_count"),
            ("min_replica_count = 101", "min_replica_count"),
            ("idle_replica_count = -1", "idle_replica_count"),
            ("idle_replica_count = 0", "idle_replica_count"),
            ("idle_replica_count = 2\nmin_replica_count = 2", "idle_replica_count"),
            ("fallback = { failure_threshold = -1, replicas = 1 }", "fallback.failure_threshold"),
            ("fallback = { failure_threshold = 1, replicas = -1 }", "fallback.replicas"),
            (
                "fallback = { failure_threshold = 1, replicas = 1, behavior = 'scalingModifiers' }",
                "fallback.behavior",
            ),
            ("advanced.scaling_modifiers.formula = 'a'", "advanced.scaling_modifiers"),
            (
                "advanced.horizontal_pod_autoscaler_config.behavior.scale_up.policies = []",
                "advanced.horizontal_pod_autoscaler_config.behavior.scale_up.policies",
            ),
        ] {
            let found = found(&format!("{setting}\n{TRIGGER}"));
            assert!(found.len() == 1 && found[0].starts_with(&format!("{key}:")), "{setting}: {found:?}");
        }
        assert_eq!(found(&format!("idle_replica_count = 0\nmin_replica_count = 0\n{TRIGGER}")), [""; 0]);
    }

    #[test]
    fn triggers_are_checked_one_by_one() {
        assert!(found("triggers = []")[0].starts_with("triggers: there is no trigger"));
        for kind in ["cron", "cpu", "memory", "kafka", ""] {
            let other = format!("{TRIGGER}[[triggers]]\ntype = '{kind}'\nmetadata = {{}}\n");
            let found = found(&other);
            assert!(found.len() == 1 && found[0].starts_with("triggers.1.type:"), "{kind}: {found:?}");
        }
        let twice = TRIGGER.replace("type =", "name = 'queue'\ntype =").repeat(2);
        assert!(found(&twice)[0].starts_with("triggers.1.name: two triggers are called `queue`"));
        assert!(found(&TRIGGER.replace("threshold", "thresh"))[0].starts_with("triggers.0.metadata.thresh"));
    }

    #[test]
    fn names_fit_a_label() {
        let spec = spec(TRIGGER);
        let count = |length| {
            problems(&"x".repeat(length), &spec, KedaVersion::default(), KubernetesVersion::default()).len()
        };
        // `keda-hpa-` takes nine of the 63.
        assert_eq!((count(54), count(55), count(64)), (0, 1, 2));
    }

    #[test]
    fn settings_without_effect_are_warned_of() {
        let warned = |toml: &str| {
            warnings(&spec(&format!("polling_interval = 5\ncooldown_period = 60\n{toml}\n{TRIGGER}"))).len()
        };
        assert_eq!(warned("min_replica_count = 1"), 2);
        assert_eq!(warned("min_replica_count = 1\nidle_replica_count = 0"), 0);
        assert_eq!(warned(""), 0);
    }
}
