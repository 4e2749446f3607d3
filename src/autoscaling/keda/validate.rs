//! What KEDA's CRD and admission webhook refuse, and what is not simulated yet.
//!
//! Sources: the markers of `apis/keda/v1alpha1/scaledobject_types.go`, `scaledobject_webhook.go` and
//! `scaletriggers_types.go` (v2.20.2, where [`KedaVersion`] says nothing else). Rules about other objects in the namespace
//! (a second ScaledObject or HPA on one workload) do not arise here.

use super::annotations::Annotations;
use super::composite_scaler::CompositeScaler;
use super::fallback::has_valid_fallback;
use super::hpa::hpa_name;
use super::pruning::prune;
use super::scaled_object::{Fallback, FallbackBehavior, MetricType, ScaledObjectSpec, Trigger};
use super::scaler::Scaler;
use super::version::KedaVersion;
use crate::autoscaling::hpa::KubernetesVersion;
use crate::problem::Problem;
use crate::units::UnixMillis;
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
    // What is dropped before anyone looks cannot be wrong.
    let spec = &prune(spec, Annotations::default(), version).spec;
    let mut problems = name_problems(name, spec, version);
    problems.extend(seconds_problems(spec));
    problems.extend(replica_problems(spec));
    problems.extend(fallback_problems(spec, version));
    if let Some(modifiers) = spec.scaling_modifiers() {
        let refused = CompositeScaler::new(modifiers, &spec.triggers, version).err();
        problems.extend(refused.map(|problem| problem.under("advanced.scaling_modifiers")));
    }
    if let Some(behavior) = spec.hpa_config().and_then(|config| config.behavior.as_ref()) {
        let under = |problem: Problem| problem.under("advanced.horizontal_pod_autoscaler_config.behavior");
        problems.extend(behavior.problems(kubernetes).into_iter().map(under));
    }
    problems.extend(trigger_problems(&spec.triggers, version));
    problems
}

/// What is accepted and has no effect, or not the one that it seems to have, for a run that begins at `start`: what the
/// release does not know, what KEDA's webhook warns of (`verifyScaledObjects`, v2.20), and what it should.
pub fn warnings(
    spec: &ScaledObjectSpec,
    annotations: Annotations,
    version: KedaVersion,
    start: UnixMillis,
) -> Vec<String> {
    let pruned = prune(spec, annotations, version);
    let mut warnings = pruned.warnings;
    warnings.extend(setting_warnings(spec));
    warnings.extend(fallback_warning(&pruned.spec, version));
    warnings.extend(cron_warnings(&pruned.spec, version, start));
    warnings
}

fn setting_warnings(spec: &ScaledObjectSpec) -> Vec<String> {
    let idle_is_zero = spec.idle_replica_count == Some(0);
    let never_idle = spec.min_replica_count.is_some_and(|min| min > 0) && !idle_is_zero;
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

/// A fallback that never comes: up to v2.16 nothing else says so.
fn fallback_warning(spec: &ScaledObjectSpec, version: KedaVersion) -> Option<String> {
    let fallback = spec.fallback.as_ref()?;
    let compared = spec.triggers.iter().any(|trigger| trigger.metric_type == Some(MetricType::Value));
    if compared && !version.falls_back_for_values() {
        return Some(format!(
            "fallback has no effect on triggers of metric type Value: KEDA {version} falls back for AverageValue alone; the \
             others came with 2.18"
        ));
    }
    (!has_valid_fallback(fallback, spec.scaling_modifiers())).then(|| {
        "fallback has no effect: the target of scalingModifiers is no whole number above 0".to_owned()
    })
}

fn cron_warnings(spec: &ScaledObjectSpec, version: KedaVersion, start: UnixMillis) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, trigger) in spec.triggers.iter().enumerate() {
        let Ok(scaler) = Scaler::parse(trigger, version) else { continue };
        let Scaler::Cron(cron) = &scaler else { continue };
        let name = scaler.metric_name(index, version);
        for key in cron.never_comes(start) {
            let never = format!(
                "trigger {name}: its {key} does not come within five years, which KEDA takes for the past"
            );
            warnings.push(never);
        }
    }
    warnings
}

fn name_problems(name: &str, spec: &ScaledObjectSpec, version: KedaVersion) -> Vec<Problem> {
    let mut problems = Vec::new();
    if name.len() > LABEL_LENGTH_MAX {
        let message = format!("the name `{name}` has {} characters", name.len());
        problems.push(Problem::key("name", message).help("KEDA takes at most 63"));
    }
    let hpa = hpa_name(name, spec);
    if hpa.len() > LABEL_LENGTH_MAX && version.checks_hpa_name() {
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

fn fallback_problems(spec: &ScaledObjectSpec, version: KedaVersion) -> Vec<Problem> {
    let Some(fallback) = &spec.fallback else { return Vec::new() };
    let mut problems = Vec::new();
    let counts = [
        ("fallback.failure_threshold", fallback.failure_threshold),
        ("fallback.replicas", fallback.replicas),
    ];
    for (key, count) in counts.into_iter().filter(|&(_, count)| count < 0) {
        problems.push(Problem::key(key, format!("{count} is below 0")).help("give 0 or more"));
    }
    problems.extend(behavior_problem(spec, fallback, version));
    let compared = |trigger: &Trigger| trigger.metric_type == Some(MetricType::Value);
    let never = match spec.scaling_modifiers() {
        Some(modifiers) => modifiers.metric_type == Some(MetricType::Value),
        None => spec.triggers.iter().all(compared),
    };
    if never && version.refuses_useless_fallback() && !version.falls_back_for_values() {
        let message = format!("KEDA {version} falls back for metric type `AverageValue` alone");
        problems.push(Problem::key("fallback", message).help("it falls back for both from 2.18 on"));
    }
    problems
}

fn behavior_problem(spec: &ScaledObjectSpec, fallback: &Fallback, version: KedaVersion) -> Option<Problem> {
    const KEY: &str = "fallback.behavior";
    const HELP: &str = "use `static` or one of `currentReplicas...`";
    if fallback.behavior != Some(FallbackBehavior::ScalingModifiers) {
        return None;
    }
    if !version.has_scaling_modifiers_fallback() {
        let message = format!("KEDA {version} has no fallback behavior `scalingModifiers`");
        return Some(Problem::key(KEY, message).help(HELP));
    }
    let formula = spec.scaling_modifiers().and_then(|modifiers| modifiers.formula.as_ref());
    let message = "the fallback behavior `scalingModifiers` needs a formula";
    formula.is_none_or(String::is_empty).then(|| Problem::key(KEY, message).help(HELP))
}

fn trigger_problems(triggers: &[Trigger], version: KedaVersion) -> Vec<Problem> {
    let mut problems = Vec::new();
    if triggers.is_empty() {
        problems.push(Problem::key("triggers", "there is no trigger").help("add one of type `prometheus`"));
    }
    let mut names = BTreeSet::new();
    for (i, trigger) in triggers.iter().enumerate() {
        let mut found = Scaler::parse(trigger, version).err().unwrap_or_default();
        if trigger.use_cached_metrics == Some(true) && trigger.kind == "cron" {
            let message = "a cron trigger takes no `use_cached_metrics`";
            found.push(Problem::key("use_cached_metrics", message).help("leave it out"));
        }
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

    const CRON: &str = "[[triggers]]\ntype = 'cron'\nmetadata = { timezone = 'UTC', start = '0 8 * * *', \
                        end = '0 18 * * *', desiredReplicas = '3' }\n";

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
            ("advanced.scaling_modifiers.formula = 'a'", "advanced.scaling_modifiers.target"),
            ("advanced.scaling_modifiers.target = '2'", "advanced.scaling_modifiers.formula"),
            (
                "advanced.scaling_modifiers = { formula = '1', target = '2', metric_type = 'Utilization' }",
                "advanced.scaling_modifiers.metric_type",
            ),
            (
                "advanced.scaling_modifiers = { formula = '1', target = '2', activation_target = 'x' }",
                "advanced.scaling_modifiers.activation_target",
            ),
            (
                "advanced.scaling_modifiers = { formula = '1', target = 'NaN' }",
                "advanced.scaling_modifiers.target",
            ),
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
        for kind in ["cpu", "memory", "kafka", ""] {
            let other = format!("{TRIGGER}[[triggers]]\ntype = '{kind}'\nmetadata = {{}}\n");
            let found = found(&other);
            assert!(found.len() == 1 && found[0].starts_with("triggers.1.type:"), "{kind}: {found:?}");
        }
        assert_eq!(found(&format!("{TRIGGER}{CRON}")), [""; 0]);
        let cached =
            found(&format!("{TRIGGER}{}", CRON.replace("type =", "use_cached_metrics = true\ntype =")));
        assert!(cached.len() == 1 && cached[0].starts_with("triggers.1.use_cached_metrics:"), "{cached:?}");
        let twice = TRIGGER.replace("type =", "name = 'queue'\ntype =").repeat(2);
        assert!(found(&twice)[0].starts_with("triggers.1.name: two triggers are called `queue`"));
        assert!(found(&TRIGGER.replace("threshold", "thresh"))[0].starts_with("triggers.0.metadata.thresh"));
    }

    #[test]
    fn names_fit_a_label() {
        let spec = spec(TRIGGER);
        let count = |length, version| {
            problems(&"x".repeat(length), &spec, version, KubernetesVersion::default()).len()
        };
        // `keda-hpa-` takes nine of the 63.
        let new = KedaVersion::V2_20;
        assert_eq!((count(54, new), count(55, new), count(64, new)), (0, 1, 2));
        assert_eq!((count(55, KedaVersion::V2_19), count(64, KedaVersion::V2_19)), (0, 1));
    }

    fn warned(toml: &str, version: KedaVersion) -> Vec<String> {
        warnings(&spec(toml), Annotations::default(), version, UnixMillis(0))
    }

    #[test]
    fn settings_without_effect_are_warned_of() {
        let warned = |toml: &str| {
            let toml = format!("polling_interval = 5\ncooldown_period = 60\n{toml}\n{TRIGGER}");
            warned(&toml, KedaVersion::V2_20).len()
        };
        assert_eq!(warned("min_replica_count = 1"), 2);
        assert_eq!(warned("min_replica_count = 1\nidle_replica_count = 0"), 0);
        assert_eq!(warned("min_replica_count = 3\nidle_replica_count = 1"), 2);
        assert_eq!(warned(""), 0);
    }

    #[test]
    fn fallbacks_that_never_come_are_refused_from_2_17_and_warned_of_before() {
        let compared = TRIGGER.replace("type =", "metric_type = 'Value'\ntype =");
        let only = format!("fallback = {{ failure_threshold = 3, replicas = 2 }}\n{compared}");
        let mixed = format!("{only}{TRIGGER}");
        for (version, refused, warnings) in [
            (KedaVersion::V2_15, 0, 1),
            (KedaVersion::V2_16, 0, 1),
            (KedaVersion::V2_17, 1, 1),
            (KedaVersion::V2_18, 0, 0),
            (KedaVersion::V2_20, 0, 0),
        ] {
            let found =
                |toml: &str| problems("llama", &spec(toml), version, KubernetesVersion::default()).len();
            assert_eq!((found(&only), found(&mixed)), (refused, 0), "{version}");
            assert_eq!(warned(&mixed, version).len(), warnings, "{version}");
        }
    }

    #[test]
    fn a_behavior_is_dropped_refused_or_taken_by_release() {
        let toml = |behavior: &str| {
            format!(
                "fallback = {{ failure_threshold = 3, replicas = 2, behavior = '{behavior}' }}\n{TRIGGER}"
            )
        };
        for version in KedaVersion::ALL {
            let found = |behavior: &str| {
                problems("llama", &spec(&toml(behavior)), version, KubernetesVersion::default()).len()
            };
            assert_eq!(found("currentReplicas"), 0, "{version}");
            assert_eq!(found("scalingModifiers"), usize::from(version >= KedaVersion::V2_17), "{version}");
        }
    }

    #[test]
    fn schedules_that_never_come_are_warned_of() {
        let never = CRON.replace("0 18 * * *", "0 0 31 2 *");
        let warnings = warned(&never, KedaVersion::V2_20);
        assert!(warnings.len() == 1 && warnings[0].contains("its end does not come"), "{warnings:?}");
        assert_eq!(warned(CRON, KedaVersion::V2_20), [""; 0]);
    }
}
