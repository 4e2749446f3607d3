//! `spec.behavior` of an HPA (autoscaling/v2), as users write it and as the API server completes it.

use super::version::KubernetesVersion;
use crate::autoscaling::quantity;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};

/// `behavior`: `None` fields are what the user left out. An HPA without any behavior takes another code path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behavior {
    /// Rules upwards.
    #[serde(alias = "scaleUp", skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Rules downwards.
    #[serde(alias = "scaleDown", skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// `HPAScalingRules`: one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingRules {
    /// Seconds, 0..=3600.
    #[serde(alias = "stabilizationWindowSeconds", skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i32>,
    /// Which policy wins; `Max` when left out.
    #[serde(alias = "selectPolicy", skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// Rate limits; a list that is given replaces the defaults whole and may not be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// A `resource.Quantity` text such as `"50m"` (0.05); overrides the cluster's tolerance in this direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<String>,
}

/// `ScalingPolicySelect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectPolicy {
    /// The policy that allows the largest change.
    #[default]
    Max,
    /// The policy that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// `HPAScalingPolicy`: at most so much change in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingPolicy {
    /// Unit of `value`.
    #[serde(rename = "type")]
    pub kind: PolicyKind,
    /// Pods or percent, above 0.
    pub value: i32,
    /// Seconds, 1..=1800.
    #[serde(alias = "periodSeconds")]
    pub period_seconds: i32,
}

/// `HPAScalingPolicyType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// An absolute number of pods.
    Pods,
    /// Percent of the size at the start of the period.
    Percent,
}

impl Behavior {
    /// What the API server of `kubernetes` would refuse (`pkg/apis/autoscaling/validation/validation.go`, v1.28); keys
    /// are relative to the behavior. KEDA's webhook does not check this: there, creating the HPA fails.
    pub fn problems(&self, kubernetes: KubernetesVersion) -> Vec<Problem> {
        let directions = [("scale_up", &self.scale_up), ("scale_down", &self.scale_down)];
        let mut problems = Vec::new();
        for (key, rules) in directions {
            let found = rules.as_ref().map(|rules| rules.problems(kubernetes)).unwrap_or_default();
            problems.extend(found.into_iter().map(|problem| problem.under(key)));
        }
        problems
    }
}

impl ScalingRules {
    /// `MaxStabilizationWindowSeconds`: one hour.
    const LONGEST_WINDOW: i32 = 3600;

    fn problems(&self, kubernetes: KubernetesVersion) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(seconds) =
            self.stabilization_window_seconds.filter(|s| !(0..=Self::LONGEST_WINDOW).contains(s))
        {
            let message = format!("a window of {seconds} s is not between 0 and {} s", Self::LONGEST_WINDOW);
            problems.push(Problem::key("stabilization_window_seconds", message));
        }
        if let Some(text) = &self.tolerance {
            problems.extend(tolerance_problem(text, kubernetes));
        }
        let policies = self.policies.as_deref();
        if policies.is_some_and(<[_]>::is_empty) {
            problems.push(
                Problem::key("policies", "an empty list of policies is refused by Kubernetes")
                    .help("leave `policies` out for the defaults, or use `select_policy = \"Disabled\"`"),
            );
        }
        for (i, policy) in policies.unwrap_or_default().iter().enumerate() {
            problems
                .extend(policy.problems().into_iter().map(|problem| problem.under(&format!("policies.{i}"))));
        }
        problems
    }
}

impl ScalingPolicy {
    /// `MaxPeriodSeconds`: half an hour.
    const LONGEST_PERIOD: i32 = 1800;

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.value <= 0 {
            problems.push(Problem::key("value", format!("a change of {} is not above 0", self.value)));
        }
        if !(1..=Self::LONGEST_PERIOD).contains(&self.period_seconds) {
            let message = format!(
                "a period of {} s is not between 1 and {} s",
                self.period_seconds,
                Self::LONGEST_PERIOD
            );
            problems.push(Problem::key("period_seconds", message));
        }
        problems
    }
}

fn tolerance_problem(text: &str, kubernetes: KubernetesVersion) -> Option<Problem> {
    if !kubernetes.has_configurable_tolerance() {
        let message = format!("Kubernetes {kubernetes} drops `tolerance`");
        return Some(
            Problem::key("tolerance", message).help("it is on by default from 1.35; leave it out before"),
        );
    }
    match quantity::parse_float(text) {
        Err(error) => {
            Some(Problem::key("tolerance", format!("`{text}` {error}")).help("write 5 % as \"50m\""))
        }
        Ok(value) if value < 0.0 => Some(Problem::key("tolerance", format!("`{text}` is negative"))),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str, kubernetes: &str) -> Vec<String> {
        let behavior: Behavior = toml::from_str(toml).expect("valid TOML");
        let kubernetes = KubernetesVersion::parse(kubernetes).expect("a release");
        behavior.problems(kubernetes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_api_server_refuses_is_a_problem_with_its_key() {
        let policy = |value, period| {
            format!("scale_up.policies = [{{ type = 'Pods', value = {value}, period_seconds = {period} }}]")
        };
        for (toml, key) in [
            (
                "scale_up.stabilization_window_seconds = 3601".to_owned(),
                "scale_up.stabilization_window_seconds",
            ),
            (
                "scale_down.stabilization_window_seconds = -1".to_owned(),
                "scale_down.stabilization_window_seconds",
            ),
            ("scale_down.policies = []".to_owned(), "scale_down.policies"),
            (policy(0, 15), "scale_up.policies.0.value"),
            (policy(1, 1801), "scale_up.policies.0.period_seconds"),
            (policy(1, 0), "scale_up.policies.0.period_seconds"),
            ("scale_up.tolerance = '-1m'".to_owned(), "scale_up.tolerance"),
            ("scale_up.tolerance = 'much'".to_owned(), "scale_up.tolerance"),
        ] {
            let found = problems(&toml, "1.35");
            assert!(found.len() == 1 && found[0].starts_with(&format!("{key}:")), "{toml}: {found:?}");
        }
        assert_eq!(problems("scale_up.tolerance = '50m'", "1.35"), Vec::<String>::new());
        assert_eq!(problems("scale_up.tolerance = '50m'", "1.34").len(), 1);
        assert_eq!(problems(&policy(1, 1800), "1.28"), Vec::<String>::new());
    }
}
