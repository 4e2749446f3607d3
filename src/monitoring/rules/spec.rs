//! A rule group as a user writes it: Prometheus' rule file, key by key.

use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::SimDuration;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One entry of `groups`: rules that are evaluated together, one after the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleGroupSpec {
    /// Unique in its file.
    pub name: String,
    /// From one evaluation to the next; `evaluation_interval` when left out.
    #[serde(default)]
    pub interval: Option<Seconds>,
    /// Evaluates so long in the past; none when left out.
    #[serde(default)]
    pub query_offset: Seconds,
    /// A rule that gives more series than this fails; 0, which is no limit, when left out.
    #[serde(default)]
    pub limit: usize,
    /// Labels of every rule's series, below the rule's own.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// In the order in which they are evaluated.
    pub rules: Vec<RuleSpec>,
}

/// One recording rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// The name of the series.
    pub record: String,
    /// What they are, in PromQL.
    pub expr: String,
    /// Labels that are set on them; one with an empty value is removed.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
}

/// Prometheus keeps milliseconds, and nobody evaluates more often than ten times a second.
const INTERVAL_MIN: SimDuration = SimDuration::from_millis(100);

/// Refuses what Prometheus refuses when it loads a rule file, and a group that would miss evaluations: one rule takes
/// `evaluation_duration`, and `evaluation_interval` is from one evaluation to the next where a group does not say. Keys are
/// relative to the list.
///
/// # Errors
/// Two groups of one name, an interval that is too short, or a name of a series or label that is none.
pub fn check(
    groups: &[RuleGroupSpec],
    evaluation_interval: SimDuration,
    evaluation_duration: SimDuration,
) -> Result<(), Problem> {
    for (index, group) in groups.iter().enumerate() {
        let under = |problem: Problem| problem.under(&index.to_string());
        if groups[..index].iter().any(|other| other.name == group.name) {
            let problem = Problem::key("name", format!("there are two groups called `{}`", group.name));
            return Err(under(problem.help("give each a name of its own")));
        }
        group.check(evaluation_interval, evaluation_duration).map_err(under)?;
    }
    Ok(())
}

impl RuleGroupSpec {
    fn check(
        &self,
        evaluation_interval: SimDuration,
        evaluation_duration: SimDuration,
    ) -> Result<(), Problem> {
        if self.name.is_empty() {
            return Err(Problem::key("name", "a rule group needs a name").help("such as \"saturation\""));
        }
        let interval = self.interval.map_or(evaluation_interval, Seconds::duration);
        if interval < INTERVAL_MIN {
            let problem = Problem::key("interval", "rules cannot be evaluated that often");
            return Err(problem.help("at least \"100ms\"; 15 or 30 seconds are usual"));
        }
        let takes = evaluation_duration.checked_mul(self.rules.len() as u64).unwrap_or(SimDuration::MAX);
        if takes > interval {
            let message = format!(
                "{} rules take longer than the interval, so evaluations would be missed",
                self.rules.len()
            );
            return Err(Problem::key("interval", message).help("lengthen it, or split the group"));
        }
        check_labels(&self.labels)?;
        for (index, rule) in self.rules.iter().enumerate() {
            rule.check().map_err(|problem| problem.under(&format!("rules.{index}")))?;
        }
        Ok(())
    }
}

impl RuleSpec {
    fn check(&self) -> Result<(), Problem> {
        if !is_name(&self.record, true) {
            let problem = Problem::key("record", format!("`{}` is no name of a metric", self.record));
            return Err(problem.help("letters, digits, `_` and `:`, no digit first: `job:waiting:sum`"));
        }
        check_labels(&self.labels)
    }
}

fn check_labels(labels: &IndexMap<String, String>) -> Result<(), Problem> {
    match labels
        .keys()
        .find(|label| !is_name(label, false) || *label == crate::monitoring::labels::METRIC_NAME)
    {
        None => Ok(()),
        Some(label) => {
            let problem = Problem::key("labels", format!("`{label}` is no name of a label"));
            Err(problem.help("letters, digits and `_`, no digit first"))
        }
    }
}

/// A name in the classic alphabet, which PromQL can write without quotes.
fn is_name(name: &str, with_colons: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (with_colons && c == ':');
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), Problem> {
        #[derive(Deserialize)]
        struct File {
            groups: Vec<RuleGroupSpec>,
        }
        let file: File = toml::from_str(text).expect(text);
        check(&file.groups, SimDuration::from_secs(30), SimDuration::from_millis(5))
    }

    #[test]
    fn a_group_is_written_as_in_a_rule_file() {
        let text = r#"
            [[groups]]
            name = "epp"
            interval = "15s"
            labels = { team = "ml" }
            [[groups.rules]]
            record = "epp:saturation:raw"
            expr = "max(x) or vector(0)"
            [[groups.rules]]
            record = "epp:saturation:smoothed"
            expr = "avg_over_time(epp:saturation:raw[45s])"
            labels = { slo = "chat" }
        "#;
        assert_eq!(checked(text), Ok(()));
    }

    #[test]
    fn what_prometheus_refuses_is_refused_at_its_key() {
        let rule = "rules = [{ record = 'a', expr = 'b' }]";
        for (text, key) in [
            (format!("[[groups]]\nname = ''\n{rule}"), "0.name"),
            (format!("[[groups]]\nname = 'g'\n{rule}\n[[groups]]\nname = 'g'\n{rule}"), "1.name"),
            (format!("[[groups]]\nname = 'g'\ninterval = 0\n{rule}"), "0.interval"),
            (format!("[[groups]]\nname = 'g'\nlabels = {{ '9' = 'x' }}\n{rule}"), "0.labels"),
            (
                "[[groups]]\nname = 'g'\nrules = [{ record = 'sum(a)', expr = 'b' }]".to_owned(),
                "0.rules.0.record",
            ),
            (
                "[[groups]]\nname = 'g'\nrules = [{ record = '9a', expr = 'b' }]".to_owned(),
                "0.rules.0.record",
            ),
            (
                "[[groups]]\nname = 'g'\nrules = [{ record = 'a', expr = 'b', labels = { __name__ = 'c' } }]"
                    .to_owned(),
                "0.rules.0.labels",
            ),
            (
                format!(
                    "[[groups]]\nname = 'g'\ninterval = '100ms'\nrules = [{}]",
                    "{ record = 'a', expr = 'b' },".repeat(21)
                ),
                "0.interval",
            ),
        ] {
            let problem = checked(&text).expect_err(&text);
            assert!(problem.to_string().starts_with(&format!("{key}: ")), "{text}: {problem}");
        }
    }
}
