//! From the rule groups that a policy and an experiment bring to compiled rules; and which series they will give.

use super::experiment::Target;
use super::input_error::InputError;
use super::sensor::Targets;
use super::world::Scenario;
use crate::monitoring::promql::Query;
use crate::monitoring::rules::{Group, Rule, RuleGroupSpec, RuleSpec};
use crate::problem::Problem;

/// Who brings a rule group, which in a cluster is its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Policy,
    Experiment,
}

impl File {
    fn name(self) -> &'static str {
        match self {
            File::Policy => "policy",
            File::Experiment => "experiment",
        }
    }
}

impl Scenario {
    /// All rule groups, those of the policy first, with their queries compiled.
    ///
    /// # Errors
    /// A query that is no PromQL, or that gives neither a vector nor a scalar.
    pub(super) fn rules(&self) -> Result<Vec<Group>, InputError> {
        let policy = self.policy.rule_groups.iter().enumerate().map(|group| (File::Policy, group));
        let experiment = self.monitoring.rule_group.iter().enumerate().map(|group| (File::Experiment, group));
        policy.chain(experiment).map(|(file, (index, group))| self.group(file, index, group)).collect()
    }

    /// Holds the selectors of all rules against the series that this world will have.
    ///
    /// # Errors
    /// A selector that nothing can ever match.
    pub(super) fn check_rules(
        &self,
        groups: &[Group],
        targets: &Targets,
        warnings: &mut Vec<String>,
    ) -> Result<(), InputError> {
        for (index, group) in groups.iter().enumerate() {
            for (number, rule) in group.rules.iter().enumerate() {
                let findings = targets.check(&rule.query);
                let findings = findings.map_err(|problem| self.locate_rule(index, number, problem))?;
                let told = |warning| format!("recording rule {}: {warning}", rule.record);
                warnings.extend(findings.into_iter().map(told));
            }
        }
        Ok(())
    }

    /// The error for `problem` with the query of rule `rule` of all groups, counted as [`Scenario::rules`] gives them.
    fn locate_rule(&self, group: usize, rule: usize, problem: Problem) -> InputError {
        let of_policy = self.policy.rule_groups.len();
        let (file, group) = match group.checked_sub(of_policy) {
            None => (File::Policy, group),
            Some(group) => (File::Experiment, group),
        };
        self.locate_expr(file, group, rule, problem)
    }

    fn locate_expr(&self, file: File, group: usize, rule: usize, problem: Problem) -> InputError {
        let key = format!("rule_group.{group}.rules.{rule}.expr");
        match file {
            File::Policy => self.policy.locate_text(&key, problem),
            File::Experiment => self.locate_text(&format!("monitoring.{key}"), problem),
        }
    }

    fn rule(&self, spec: &RuleGroupSpec, rule: &RuleSpec) -> Result<Rule, Problem> {
        let query = Query::compile(&rule.expr, self.monitoring.query_options())?;
        if !["vector", "scalar"].contains(&query.result_type()) {
            let whole = (0, rule.expr.len());
            let problem = Problem::text(&rule.expr, whole, "a recording rule gives a vector or a scalar");
            return Err(problem.help("put a range into a function such as avg_over_time()"));
        }
        let labels = spec.labels.iter().chain(&rule.labels);
        let labels = labels.map(|(label, value)| (label.clone(), value.clone())).collect();
        Ok(Rule { record: rule.record.clone(), labels, query })
    }

    fn group(&self, file: File, index: usize, spec: &RuleGroupSpec) -> Result<Group, InputError> {
        let compile = |(number, rule)| {
            self.rule(spec, rule).map_err(|problem| self.locate_expr(file, index, number, problem))
        };
        Ok(Group {
            name: format!("{}/{}", file.name(), spec.name),
            interval: spec.interval.unwrap_or(self.monitoring.evaluation_interval).duration(),
            query_offset: spec.query_offset.duration(),
            limit: spec.limit,
            rules: spec.rules.iter().enumerate().map(compile).collect::<Result<_, _>>()?,
        })
    }
}

/// Replaces the variables in the queries of rule groups; `at` is where a key of their list stands.
///
/// # Errors
/// A variable that there is not.
pub(super) fn resolve_expressions(
    groups: &mut [RuleGroupSpec],
    target: &Target,
    at: impl Fn(&str, Problem) -> InputError,
) -> Result<(), InputError> {
    for (index, group) in groups.iter_mut().enumerate() {
        for (number, rule) in group.rules.iter_mut().enumerate() {
            let resolved = target.resolve(&rule.expr);
            let key = format!("{index}.rules.{number}.expr");
            rule.expr = resolved.map_err(|problem| at(&key, problem))?.text;
        }
    }
    Ok(())
}
