//! `dryscale compare`: several policies over the same requests, and what no policy could do without.

use super::assertions::Assertions;
use super::options::{CompareOptions, Format};
use super::simulate::{folder, in_pool, inputs};
use super::worlds::{DraftWorlds, command, run_failure, scoring};
use super::{ExitStatus, Failure, interrupt, output};
use crate::analysis::{self, Comparison, Optimum, RunError, Stop, Worlds};
use crate::report::{self, Folder};
use crate::scenario::{Draft, InputError, Inputs, Scenario};
use crate::simulation::record::Recorder;
use std::path::PathBuf;
use std::sync::Arc;

/// Seeds of a comparison that names no number: enough for an interval, few enough to wait for.
const SEEDS: u32 = 5;

/// What the folder of a comparison holds beside the policies' own folders.
const COMPARISON: &str = "comparison.json";

/// Runs the command.
pub(super) fn run(options: &CompareOptions) -> Result<ExitStatus, Failure> {
    let assertions = Assertions::parse(&options.assertions)?;
    if options.policies.iter().filter(|policy| *policy == "-").count() > 1 {
        return Err(Failure::Usage("stdin (`-`) can hold one policy".to_owned()));
    }
    let policies = policies(options)?;
    let base = &policies[0].scenario;
    let assertions = assertions.and(&base.gate.assertions);
    assertions.check(scoring(base)?)?;
    let repetitions = if base.repetitions > 1 || options.world.world.repetitions.is_some() {
        base.repetitions
    } else {
        SEEDS
    };
    let seeds = analysis::seeds(base.seed, repetitions);
    let mut folders = Folders::begin(options, &policies)?;
    let stop = interrupt::on_ctrl_c();
    let Some((comparison, optimum)) = simulate(options, &policies, &seeds, folders.as_mut(), &stop)? else {
        output::talk("interrupted: nothing was written");
        return Ok(ExitStatus::Failed);
    };
    let json = report::comparison_json(&comparison, optimum.as_ref());
    if let Some(folders) = folders {
        folders.finish(&comparison, &json)?;
    }
    match options.format {
        Format::Json => output::data(&json)?,
        Format::Text => output::data(&report::comparison_text(
            &comparison,
            optimum.as_ref(),
            base.currency(),
            seeds.len(),
        ))?,
    }
    let mut status = ExitStatus::Done;
    for answer in &comparison.answers {
        if assertions.judge(answer, Some(answer.text("policy")))? == ExitStatus::Failed {
            status = ExitStatus::Failed;
        }
    }
    Ok(status)
}

/// One policy of the comparison.
struct Policy {
    /// As it was named.
    reference: String,
    /// As the answer calls it.
    name: String,
    worlds: DraftWorlds,
    scenario: Arc<Scenario>,
}

fn policies(options: &CompareOptions) -> Result<Vec<Policy>, Failure> {
    let stdin = options.policies.iter().any(|policy| policy == "-").then_some("-");
    let shared = inputs(&options.world, stdin)?;
    let requests = Arc::default();
    let mut policies: Vec<Policy> = Vec::new();
    for reference in &options.policies {
        let inputs = Inputs { policy: Some(reference.clone()), ..shared.clone() };
        let draft = Draft::load(&inputs)?.sharing(&requests);
        let mut worlds = DraftWorlds::new(draft).with_engine(options.world.world.engine.into());
        let scenario = worlds.scenario(&[])?;
        let name = &scenario.policy.name;
        // Two files may give one name: what was typed tells them apart.
        if policies.iter().any(|policy| policy.name == *name) {
            worlds = worlds.called(reference);
        }
        let name = scoring_name(&worlds)?;
        policies.push(Policy { reference: reference.clone(), name, worlds, scenario });
    }
    Ok(policies)
}

fn scoring_name(worlds: &DraftWorlds) -> Result<String, Failure> {
    Ok(worlds.scoring(&[])?.policy)
}

type Simulated = (Comparison, Option<Optimum>);

fn simulate(
    options: &CompareOptions,
    policies: &[Policy],
    seeds: &[u64],
    folders: Option<&mut Folders>,
    stop: &Stop,
) -> Result<Option<Simulated>, Failure> {
    let failure = |policy: usize, error: RunError<InputError>| {
        run_failure(error, &command(Some(&policies[policy].reference), &options.world))
    };
    let threads = options.world.world.threads;
    let worlds: Vec<&DraftWorlds> = policies.iter().map(|policy| &policy.worlds).collect();
    let listeners = folders.map(Folders::listeners).unwrap_or_default();
    let compared = in_pool(threads, || analysis::compare(&worlds, seeds, stop, listeners))?;
    let Some(comparison) = compared.map_err(|(policy, error)| failure(policy, error))? else {
        return Ok(None);
    };
    if options.no_optimum {
        return Ok(Some((comparison, None)));
    }
    let initial = policies.iter().map(|policy| policy.scenario.initial_replicas).max().unwrap_or_default();
    let optimum = in_pool(threads, || analysis::optimum(worlds[0], seeds, initial, stop))?;
    let optimum = optimum.map_err(|error| failure(0, error))?;
    Ok(optimum.map(|optimum| (comparison, Some(optimum))))
}

/// The folders of all policies.
struct Folders {
    below: PathBuf,
    policies: Vec<Folder>,
}

impl Folders {
    fn begin(options: &CompareOptions, policies: &[Policy]) -> Result<Option<Folders>, Failure> {
        let Some(below) = options.out.clone() else { return Ok(None) };
        let mut names: Vec<String> = Vec::new();
        let mut begun = Vec::new();
        for policy in policies {
            let name = file_name(&policy.name, &names);
            begun.push(folder(&below.join(&name), &policy.scenario, !options.no_requests)?);
            names.push(name);
        }
        Ok(Some(Folders { below, policies: begun }))
    }

    fn listeners(&mut self) -> Vec<Option<&mut (dyn Recorder + Send)>> {
        self.policies.iter_mut().map(|folder| Some(folder as &mut (dyn Recorder + Send))).collect()
    }

    fn finish(self, comparison: &Comparison, json: &str) -> Result<(), Failure> {
        for (folder, answer) in self.policies.into_iter().zip(&comparison.answers) {
            folder.finish(answer).map_err(Failure::Problem)?;
        }
        report::replace(&self.below.join(COMPARISON), json.as_bytes()).map_err(Failure::Problem)
    }
}

/// A policy's name as that of a folder which no other has.
fn file_name(policy: &str, taken: &[String]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = policy.chars().map(plain).collect();
    let name = name.trim_matches(['.', '-']);
    let name = if name.is_empty() { "policy" } else { name };
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_plain_names_of_their_own() {
        assert_eq!(file_name("queue-2", &[]), "queue-2");
        assert_eq!(file_name("../../etc/passwd", &[]), "etc-passwd");
        assert_eq!(file_name("..", &[]), "policy");
        assert_eq!(file_name("a b", &["a-b".to_owned(), "a-b-2".to_owned()]), "a-b-3");
    }
}
