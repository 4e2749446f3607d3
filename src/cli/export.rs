//! `dryscale export`: the ScaledObject of a policy, ready to apply, with a comment that says what was found.

use super::options::ExportOptions;
use super::sweep::{SWEEP, first_point, grids};
use super::worlds::{DraftWorlds, sweep_failure};
use super::{ExitStatus, Failure, output};
use crate::analysis::{self, Plan, Ranking};
use crate::problem::Problem;
use crate::report::results::{self, Row};
use crate::scenario::{Draft, InputError, Inputs, SIZE_MAX_BYTES, Scenario, SourceText};
use std::path::Path;
use std::sync::Arc;

/// Runs the command.
pub(super) fn run(options: &ExportOptions) -> Result<ExitStatus, Failure> {
    let yaml = match (&options.policy, &options.best) {
        (Some(policy), _) => export_policy(options, policy)?,
        (None, Some(results)) => export_best(options, results)?,
        (None, None) => return Err(Failure::Usage("give --policy or --best".to_owned())),
    };
    match &options.output {
        Some(path) => crate::report::replace(path, yaml.as_bytes()).map_err(Failure::Problem)?,
        None => output::data(&yaml)?,
    }
    Ok(ExitStatus::Done)
}

fn export_policy(options: &ExportOptions, policy: &str) -> Result<String, Failure> {
    let stdin = (policy == "-").then(|| output::stdin_bytes(SIZE_MAX_BYTES + 1)).transpose()?;
    let scenario = Draft::load(&Inputs {
        policy: Some(policy.to_owned()),
        experiment: options.experiment.clone(),
        settings: options.overrides.clone(),
        stdin,
        ..Inputs::default()
    })?
    .scenario(&[])?;
    // A broken query would be refused by a run; it is refused here too.
    scenario.setup(scenario.seed)?;
    let mut comments = vec![made_by(), format!("{}: {}", scenario.policy.name, scenario.policy.summary)];
    comments.push("Nothing was simulated for this export.".to_owned());
    comments.extend(rules_to_apply(&scenario));
    Ok(scenario.policy.to_yaml(&comments)?)
}

fn export_best(options: &ExportOptions, results: &Path) -> Result<String, Failure> {
    let source = SourceText::read(results)?;
    let in_results = |problem: Problem| InputError::in_file(source.name(), problem);
    let rows = results::read(source.text()).map_err(in_results)?;
    // A fixed fleet may rank first, but there is no ScaledObject of it.
    let rows: Vec<Row> = rows.into_iter().filter(|row| !is_fixed(&row.policy)).collect();
    let ranking = Ranking::of(&rows.iter().map(Row::standing).collect::<Vec<_>>());
    let Some(best) = ranking.best().map(|best| &rows[best]) else {
        return Err(in_results(nothing_to_recommend(&rows, &ranking)).into());
    };
    let runner_up = ranking.runner_up().map(|second| &rows[second]);
    let scenario = simulated(results, best, &options.overrides)?;
    let mut comments = findings(&scenario, best, runner_up, rows.len());
    comments.extend(rules_to_apply(&scenario));
    Ok(scenario.policy.to_yaml(&comments)?)
}

/// What to say, on the screen and in the comment, of recording rules: without them the queries of a policy that reads them
/// find nothing.
fn rules_to_apply(scenario: &Scenario) -> Vec<String> {
    let mut lines = Vec::new();
    if !scenario.policy.rule_groups.is_empty() {
        let line = "The PrometheusRule below belongs to this policy: give it the labels that the Prometheus' ruleSelector wants.";
        lines.push(line.to_owned());
    }
    if !scenario.monitoring.rule_group.is_empty() {
        let groups: Vec<&str> =
            scenario.monitoring.rule_group.iter().map(|group| group.name.as_str()).collect();
        lines.push(format!(
            "The experiment's recording rules are not part of this export: {}.",
            groups.join(", ")
        ));
    }
    lines.iter().for_each(|line| output::talk(&format!("warning: {line}")));
    lines
}

/// A policy that misses the SLO is not recommended by silence.
fn nothing_to_recommend(rows: &[Row], ranking: &Ranking) -> Problem {
    let nearest = ranking.order.first().map(|&first| &rows[first]).filter(|row| row.error.is_none());
    let Some(nearest) = nearest else {
        let problem = Problem::whole("no policy of this sweep has a result that can be exported");
        return problem.help("look at the column `error`; a fixed fleet (`static:N`) has no ScaledObject");
    };
    let settings = nearest.settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    let problem = Problem::whole("no policy of this sweep meets the SLO, so there is none to recommend");
    problem.help(format!("the nearest is {} ({})", nearest.policy, settings.join(", ")))
}

/// The scenario of a point, from what the sweep was run with. Files that have changed since give another point: such a
/// policy was not simulated, and is refused.
fn simulated(results: &Path, row: &Row, overrides: &[String]) -> Result<Arc<Scenario>, Failure> {
    let kept = SourceText::read(&results.with_file_name(SWEEP))?;
    let inputs: Inputs = serde_json::from_str(kept.text()).map_err(|error| {
        InputError::in_file(kept.name(), Problem::whole(format!("not what a sweep wrote: {error}")))
    })?;
    let draft = Draft::load(&inputs)?;
    let grids = grids(&draft)?;
    let worlds = DraftWorlds::new(draft);
    let base = worlds.scenario(&first_point(&grids))?;
    let seeds = analysis::seeds(base.seed, base.repetitions);
    let plan = Plan::new(&worlds, &grids, seeds).map_err(sweep_failure)?;
    let Some(point) = plan.points.iter().find(|point| point.id.to_string() == row.id) else {
        let problem = Problem::whole(
            "the sweep's files have changed since it was run, so this policy was not simulated",
        );
        let problem = problem.help("run the sweep again");
        return Err(InputError::in_file(&results.display().to_string(), problem).into());
    };
    if overrides.is_empty() {
        return Ok(worlds.scenario(&point.settings)?);
    }
    // What is overridden on top, such as the namespace, is the user's own.
    let settings = [inputs.settings.clone(), overrides.to_vec()].concat();
    let worlds = DraftWorlds::new(Draft::load(&Inputs { settings, ..inputs })?);
    Ok(worlds.scenario(&point.settings)?)
}

/// The comment above an exported manifest, line by line.
fn findings(scenario: &Scenario, best: &Row, runner_up: Option<&Row>, points: usize) -> Vec<String> {
    let mut lines = vec![
        made_by(),
        format!("{}: {}", scenario.policy.name, scenario.policy.summary),
        format!("Best of {points} policies of the sweep `{}`: {}", scenario.name, scenario.summary),
        format!("  {}", found(best, scenario.currency())),
    ];
    let changed = best.settings.iter().filter(|(key, value)| key != "policy" && !value.is_empty());
    lines.extend(changed.map(|(key, value)| format!("  with {key} = {value}")));
    if let Some(second) = runner_up {
        let settings =
            second.settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
        lines.push(format!("Runner-up: {} ({})", second.policy, settings.join(", ")));
        lines.push(format!("  {}", found(second, scenario.currency())));
    }
    lines.push(format!("Seed {}; SHA-256 of the inputs:", scenario.seed));
    lines.extend(scenario.inputs.iter().map(|(role, hash)| format!("  {role} {hash}")));
    lines
}

/// What the simulation found about a point, in a line.
fn found(row: &Row, currency: &str) -> String {
    let number = |key: &str| row.numbers.get(key).copied().flatten();
    let share =
        number("slo.attainment").map(|share| format!("{:.2} % of requests met the SLO", share * 100.0));
    let ttft = number("ttft_s.p95").map(|seconds| format!("p95 TTFT {seconds:.3} s"));
    let cost = number("cost").map(|cost| format!("{currency}{cost:.2}"));
    let hours = number("gpu_hours").map(|hours| format!("{hours:.2} GPU-hours"));
    let reversals = number("scaling.reversals").map(|count| format!("{count} reversals"));
    [share, ttft, hours, cost, reversals].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn made_by() -> String {
    format!("Written by dryscale {}.", env!("CARGO_PKG_VERSION"))
}

/// Whether a policy of this name is a fixed fleet: `static:3` is called `static-3`.
pub(super) fn is_fixed(policy: &str) -> bool {
    policy.strip_prefix("static-").is_some_and(|replicas| replicas.parse::<u32>().is_ok())
}
