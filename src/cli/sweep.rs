//! `dryscale sweep`: every point of an experiment's grid over the same requests, ranked.

use super::assertions::Assertions;
use super::export::is_fixed;
use super::options::{Format, SweepOptions, WorldOptions};
use super::progress::Bar;
use super::simulate::inputs;
use super::worlds::{DraftWorlds, bug_report, command, scoring, sweep_failure};
use super::{ExitStatus, Failure, interrupt, output};
use crate::analysis::{self, Axis, Journal, Plan, PointResult, Ranking, Swept};
use crate::problem::Problem;
use crate::report;
use crate::scenario::{Draft, GateOf, InputError};
use std::path::Path;
use std::sync::Arc;

/// What the folder of a sweep holds.
pub(super) const RESULTS: &str = "results.csv";
/// What the sweep was run with, for `export --best`.
pub(super) const SWEEP: &str = "sweep.json";

/// Runs the command.
pub(super) fn run(options: &SweepOptions) -> Result<ExitStatus, Failure> {
    let inputs = inputs(&world(options), options.policy.as_deref())?;
    let draft = Draft::load(&inputs)?.sharing(&Arc::default());
    let grids = grids(&draft)?;
    let worlds = DraftWorlds::new(draft).with_engine(options.world.engine.into());
    let base = worlds.scenario(&first_point(&grids))?;
    Assertions::of(base.gate.assertions.clone()).check(scoring(&base)?)?;
    base.check_traces()?;
    if options.policy.is_some() && grids.iter().flatten().any(|axis| axis.key == "policy") {
        output::talk("note: [sweep] names policies itself; --policy is for the grids that name none");
    }
    let seeds = analysis::seeds(base.seed, base.repetitions);
    let plan = Plan::new(&worlds, &grids, seeds).map_err(sweep_failure)?;
    let results = options.out.join(RESULTS);
    prepare_folder(&options.out, &results)?;
    let mut journal =
        Journal::open(&Journal::beside(&results), &plan, options.resume).map_err(Failure::Problem)?;
    let swept = match run_points(&plan, &worlds, &mut journal, options) {
        Ok(swept) if !swept.results.is_empty() => swept,
        other => {
            leave_nothing(journal, &options.out);
            other?;
            output::talk("interrupted: no point was finished, nothing was written");
            return Ok(ExitStatus::Failed);
        }
    };
    let ranking = swept.ranking();
    // A struct of texts and numbers has a JSON.
    let kept = serde_json::to_string_pretty(&inputs.absolute()).unwrap_or_default();
    report::replace(&options.out.join(SWEEP), kept.as_bytes()).map_err(Failure::Problem)?;
    report::replace(&results, report::results::write(&plan, &swept).as_bytes()).map_err(Failure::Problem)?;
    match options.format {
        Format::Json => output::data(&report::sweep_json(&plan, &swept, &ranking))?,
        Format::Text => output::data(&text(&plan, &swept, &ranking, base.currency(), &results))?,
    }
    let mut failed = false;
    for result in &swept.results {
        if let Err(bug) = &result.outcome {
            failed = true;
            output::talk(&bug_report(bug, &command(options.policy.as_deref(), &world(options))));
        }
    }
    if swept.stopped {
        let (done, all) = (swept.results.len(), plan.points.len());
        output::talk(&format!("interrupted: {done} of {all} points are finished; go on with --resume"));
        return Ok(ExitStatus::Failed);
    }
    journal.remove().map_err(Failure::Problem)?;
    let judged = judge(&base.gate.assertions, base.gate.of, &plan, &swept, &ranking)?;
    Ok(if failed { ExitStatus::Failed } else { judged })
}

fn world(options: &SweepOptions) -> WorldOptions {
    WorldOptions { experiment: Some(options.experiment.clone()), world: options.world.clone() }
}

/// The grids of `[sweep]`, as `analysis` takes them.
pub(super) fn grids(draft: &Draft) -> Result<Vec<Vec<Axis>>, Failure> {
    let Some(sweep) = draft.sweep() else {
        let problem = Problem::whole("this experiment has no [sweep], so there is nothing to vary")
            .help("add `[sweep]` with a key and its values, or run `dryscale simulate`");
        return Err(InputError::in_file(draft.source().name(), problem).into());
    };
    let axes = |grid: &Vec<crate::scenario::Axis>| {
        grid.iter().map(|axis| Axis { key: axis.key.clone(), values: axis.values() }).collect()
    };
    Ok(sweep.grids.iter().map(axes).collect())
}

/// Gate, seeds and currency are read from the first point's world.
pub(super) fn first_point(grids: &[Vec<Axis>]) -> Vec<analysis::Setting> {
    let first =
        |axis: &Axis| Some(analysis::Setting { key: axis.key.clone(), value: axis.values.first()?.clone() });
    grids.first().into_iter().flatten().filter_map(first).collect()
}

/// Finds out before the work starts whether its results can be written.
fn prepare_folder(folder: &Path, results: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let problem = Problem::whole(format!("cannot write {}: {error}", folder.display()));
        Failure::Problem(problem.help("choose another --out"))
    })?;
    report::results::may_replace(results).map_err(Failure::Problem)
}

/// A journal without a point is of no use to anybody.
fn leave_nothing(journal: Journal, folder: &Path) {
    if journal.finished() == 0 && journal.remove().is_ok() {
        // Fails where the folder holds something else, which is then not ours.
        let _ = std::fs::remove_dir(folder);
    }
}

fn run_points(
    plan: &Plan,
    worlds: &DraftWorlds,
    journal: &mut Journal,
    options: &SweepOptions,
) -> Result<Swept, Failure> {
    let stop = interrupt::on_ctrl_c();
    let bar = Bar::new(plan.points.len() as u64, "{pos}/{len} points {wide_bar} {msg}");
    let threads = usize::from(options.world.threads.unwrap_or(0));
    let swept = analysis::sweep(plan, worlds, journal, threads, &stop, &|progress| bar.sweep(progress));
    bar.finish();
    swept.map_err(sweep_failure)
}

fn text(plan: &Plan, swept: &Swept, ranking: &Ranking, currency: &str, results: &Path) -> String {
    let table = report::table(plan, swept, ranking, currency);
    let results = results.display();
    let exportable = swept.results.iter().filter_map(|result| result.outcome.as_ref().ok());
    let mut exportable = exportable.filter(|answer| !is_fixed(answer.text("policy")));
    let export = match exportable.any(|answer| answer.truth("slo.met") != Some(false)) {
        true => format!("export    dryscale export --best {results}\n"),
        false => String::new(),
    };
    format!("{table}\nresults   {results}\n{export}")
}

fn judge(
    assertions: &[crate::scenario::Assertion],
    of: GateOf,
    plan: &Plan,
    swept: &Swept,
    ranking: &Ranking,
) -> Result<ExitStatus, Failure> {
    if assertions.is_empty() {
        return Ok(ExitStatus::Done);
    }
    let gate = Assertions::of(assertions.to_vec());
    let points: Vec<usize> = match of {
        GateOf::Best => ranking.best().into_iter().collect(),
        GateOf::Every => (0..swept.results.len()).collect(),
    };
    if points.is_empty() {
        output::talk("the gate fails: no point meets the SLO, so there is no best one to judge");
        return Ok(ExitStatus::Failed);
    }
    let mut status = ExitStatus::Done;
    for point in points {
        let PointResult { point, outcome } = &swept.results[point];
        let settings = plan.points[*point].settings.iter();
        let name = settings.map(|setting| format!("{}={}", setting.key, setting.text())).collect::<Vec<_>>();
        let judged = match outcome {
            Ok(answer) => gate.judge(answer, Some(&name.join(", ")))?,
            Err(_) => ExitStatus::Failed,
        };
        if judged == ExitStatus::Failed {
            status = judged;
        }
    }
    Ok(status)
}
