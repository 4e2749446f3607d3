//! A scenario: everything that a world is built from, checked.

use super::data_file::DataFiles;
use super::document::Node;
use super::experiment::{Cost, Experiment, Gate, Measure, Serving, Target};
use super::faults::resolve_selectors;
use super::input_error::InputError;
use super::model::Model;
use super::policy::{Document, Policy};
use super::rules::resolve_expressions;
use super::source_text::{Origin, SourceText};
use super::spelling::Spelling;
use super::typed::typed;
use crate::autoscaling::hpa::ControllerManagerFlags;
use crate::autoscaling::keda::KedaVersion;
use crate::monitoring::MonitoringSpec;
use crate::problem::{Place, Problem};
use crate::random::Streams;
use crate::serving::engine::{EngineConfig, Release};
use crate::serving::performance::{Catalogue, ModelSpec, Startup};
use crate::units::{Blocks, Replicas, SimDuration, UnixMillis};
use crate::workload::{RequestsKey, SharedRequests, Workload, WorkloadSpec};
use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The hash of all data files in [`Scenario::inputs`].
const TRACE: &str = "trace";

/// A policy over a world, checked as far as that can be without running it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name of the experiment.
    pub name: String,
    /// Its one-line summary; empty where there is none.
    pub summary: String,
    /// What decides about the number of replicas.
    pub policy: Policy,
    /// Namespace, Deployment and served model: the manifest's own where the policy is one.
    pub target: Target,
    /// Requests.
    pub workload: WorkloadSpec,
    /// The plant, as it was written.
    pub serving: Serving,
    /// What one replica can do.
    pub model: ModelSpec,
    /// vLLM's configuration, its defaults filled in.
    pub engine: EngineConfig,
    /// KV-cache blocks of a replica, vLLM's null block among them.
    pub kv_blocks: Blocks,
    /// How a pod starts.
    pub startup: Startup,
    /// The sensor.
    pub monitoring: MonitoringSpec,
    /// The release of vLLM.
    pub release: Release,
    /// Pods at the start, all of them Ready.
    pub initial_replicas: Replicas,
    /// KEDA's release.
    pub keda: KedaVersion,
    /// The HPA controller's release and flags.
    pub hpa: ControllerManagerFlags,
    /// Prices.
    pub cost: Cost,
    /// What is measured.
    pub measure: Measure,
    /// What must hold in CI.
    pub gate: Gate,
    /// How long requests are sent.
    pub duration: SimDuration,
    /// Seed of every random stream.
    pub seed: u64,
    /// Runs over as many seeds, at least 1.
    pub repetitions: u32,
    /// Whether the run goes on after its duration until every request has its fate.
    pub drain: bool,
    /// Wall-clock time of the start.
    pub start: UnixMillis,
    /// SHA-256 of each input by its role: `policy`, `experiment`, `settings`, `model`, `trace`.
    pub inputs: IndexMap<String, String>,
    /// Names of the data files that the workload reads.
    data: Vec<String>,
    /// The texts of experiment and model.
    pub(super) sources: Sources,
    /// What all of this was read from.
    document: Arc<Node>,
    files: Arc<DataFiles>,
    /// Where runs share what they send.
    shared: Option<Arc<SharedRequests>>,
}

/// Texts that a scenario was read from, beside the policy's.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) experiment: Arc<SourceText>,
    pub(super) model: Arc<SourceText>,
    /// What the command line set, a line each; may be empty.
    pub(super) settings: Arc<SourceText>,
}

/// What [`Scenario::new`] puts together.
pub(super) struct Parts<'a> {
    pub(super) root: Node,
    pub(super) experiment: Experiment,
    pub(super) document: Document,
    pub(super) name: &'a str,
    pub(super) seed: u64,
    pub(super) hashes: IndexMap<String, String>,
    pub(super) source: &'a Arc<SourceText>,
    pub(super) settings: &'a Arc<SourceText>,
    pub(super) model: Model,
    pub(super) catalogue: &'a Catalogue,
    pub(super) files: &'a Arc<DataFiles>,
    pub(super) shared: &'a Option<Arc<SharedRequests>>,
}

/// The model file, to which settings were applied, with every name resolved.
fn model(root: &Node, model: &Model, catalogue: &Catalogue) -> Result<ModelSpec, InputError> {
    let file = match (model, root.get("model")) {
        (Model::Combined { file, .. }, _) => (**file).clone(),
        (Model::Text(_), Some(node)) => typed(node, Spelling::Snake)?,
        (Model::Text(text), None) => {
            return Err(InputError::at(&Origin::whole(text), Problem::whole("the model is empty")));
        }
    };
    file.resolve(catalogue).map_err(|problem| root.locate(problem.under("model")))
}

/// vLLM's configuration on the model's GPU, and how many KV blocks its memory holds.
fn engine(serving: &Serving, model: &ModelSpec) -> Result<(EngineConfig, Blocks), Problem> {
    let config = serving.engine.resolve(&model.gpu_class(), &model.limits())?;
    let blocks = model.kv_blocks(&config)?;
    Ok((config, blocks))
}

impl Scenario {
    pub(super) fn new(parts: Parts<'_>) -> Result<Scenario, InputError> {
        let Parts {
            root,
            experiment,
            document,
            name,
            seed,
            hashes,
            source,
            settings,
            model: model_source,
            catalogue,
            files,
            shared,
        } = parts;
        let at = |problem: Problem| root.locate(problem);
        let target = document.target(&experiment.target);
        let policy = document.resolve(&target)?;
        policy.check(experiment.keda.version, experiment.hpa.kubernetes)?;
        experiment
            .monitoring
            .check_rules(&policy.rule_groups)
            .map_err(|problem| policy.locate(problem.under("rule_group")))?;
        let mut monitoring = experiment.monitoring.clone();
        resolve_expressions(&mut monitoring.rule_group, &target, |key, problem| {
            root.locate_at(&format!("monitoring.rule_group.{key}"), problem)
        })?;
        resolve_selectors(&mut monitoring, &target, |key, problem| {
            root.locate_at(&format!("monitoring.fault.{key}"), problem)
        })?;
        let initial_replicas = experiment.initial_replicas(&policy.rule).map_err(at)?;
        let release = experiment.serving.release().map_err(|problem| at(problem.under("serving")))?;
        let start = experiment.start().map_err(at)?;
        let text = Arc::clone(model_source.text());
        let model = model(&root, &model_source, catalogue)?;
        let nodes = &experiment.serving.nodes;
        nodes.check(model.gpus(), initial_replicas).map_err(|problem| at(problem.under("serving.nodes")))?;
        let (engine, kv_blocks) =
            engine(&experiment.serving, &model).map_err(|problem| at(problem.under("serving.engine")))?;
        let startup = model.startup(&experiment.serving.startup);
        let startup = startup.map_err(|problem| at(problem.under("serving.startup")))?;
        let gate = experiment.gate.read().map_err(|(key, problem)| root.locate_at(&key, problem))?;
        let mut scenario = Scenario {
            name: experiment.name.unwrap_or_else(|| name.to_owned()),
            summary: experiment.summary,
            policy,
            target,
            workload: experiment.workload,
            serving: experiment.serving,
            model,
            engine,
            kv_blocks,
            startup,
            monitoring,
            release,
            initial_replicas,
            keda: experiment.keda.version,
            hpa: experiment.hpa,
            cost: experiment.cost,
            measure: experiment.measure,
            gate,
            duration: experiment.duration.duration(),
            seed,
            repetitions: experiment.repetitions,
            drain: experiment.drain,
            start,
            inputs: hashes,
            data: Vec::new(),
            sources: Sources { experiment: Arc::clone(source), model: text, settings: Arc::clone(settings) },
            document: Arc::new(root),
            files: Arc::clone(files),
            shared: shared.clone(),
        };
        scenario.hash_data_files()?;
        Ok(scenario)
    }

    /// The requests of the run with seed `seed`.
    ///
    /// # Errors
    /// What is wrong with the workload or with the beginning of a file that it names.
    pub fn requests(&self, seed: u64) -> Result<Workload, InputError> {
        let Some(shared) = &self.shared else { return self.own_requests(seed) };
        let (spec, files) = (self.workload.clone(), self.inputs.get(TRACE).cloned());
        let key = RequestsKey { spec, duration: self.duration, seed, files };
        shared.workload(&key, || self.own_requests(seed))
    }

    /// The requests of the run with seed `seed`, which no other run shares.
    pub(super) fn own_requests(&self, seed: u64) -> Result<Workload, InputError> {
        let mut open = |name: &str| self.files.open(name);
        Workload::new(&self.workload, &Streams::new(seed), self.duration, &mut open)
            .map_err(|problem| self.locate_workload(problem))
    }

    /// Reads the traces, as far as a run does: before a sweep, whose every point would stumble over the same line.
    ///
    /// # Errors
    /// The first line that cannot be as it is.
    pub fn check_traces(&self) -> Result<(), InputError> {
        if self.own_requests(self.seed)?.sources().iter().all(|source| source.trace.is_none()) {
            return Ok(());
        }
        let mut workload = self.requests(self.seed)?;
        while workload.next_request().map_err(|problem| self.locate_workload(problem))?.is_some() {}
        Ok(())
    }

    /// The error for `problem`, whose key is absolute: `serving.nodes.gpus_per_node`.
    pub fn locate(&self, problem: Problem) -> InputError {
        match &problem.place {
            Place::Key(key) if key.starts_with("policy.") => {
                let key = key["policy.".len()..].to_owned();
                self.policy.locate(Problem { place: Place::Key(key), ..problem })
            }
            _ => self.document.locate(problem),
        }
    }

    /// The error for `problem` with the text of this absolute key, in which variables may have been replaced.
    pub(super) fn locate_text(&self, key: &str, problem: Problem) -> InputError {
        let written = self.document.find(key).node.as_str();
        self.document.locate_at(key, self.target.in_written_text(written, problem))
    }

    /// The error for a problem that reading requests found: with a key of `[workload]`, or with a data file.
    pub fn locate_workload(&self, mut problem: Problem) -> InputError {
        if !matches!(problem.place, Place::Line { .. } | Place::Whole) {
            return self.document.locate(problem.under("workload"));
        }
        // The wing puts the file's name before its message.
        let named = self.data.iter().find_map(|name| {
            let message = problem.message.strip_prefix(name.as_str())?.strip_prefix(": ")?;
            Some((name.as_str(), message.to_owned()))
        });
        match (named, &problem.place) {
            (Some((name, message)), _) => {
                problem.message = message;
                InputError::in_file(name, problem)
            }
            (None, Place::Line { .. }) => InputError::in_file("workload", problem),
            (None, _) => self.document.locate(problem.under("workload")),
        }
    }

    /// Checks the workload, and adds one hash of all files that it names.
    fn hash_data_files(&mut self) -> Result<(), InputError> {
        let mut names: Vec<String> = Vec::new();
        let mut open = |name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
            self.files.open(name)
        };
        let checked = Workload::new(&self.workload, &Streams::new(self.seed), self.duration, &mut open);
        self.data = names;
        checked.map_err(|problem| self.locate_workload(problem))?;
        let hashes = self.data.iter().map(|name| self.files.sha256(name)).collect::<Result<Vec<_>, _>>();
        let hashes = hashes.map_err(|problem| self.document.locate(problem.under("workload")))?;
        let hash = match &hashes[..] {
            [] => return Ok(()),
            [one] => one.clone(),
            several => Sha256::digest(several.join("\n"))
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        };
        self.inputs.insert(TRACE.to_owned(), hash);
        Ok(())
    }
}
