//! From what the command line names to scenarios: files are read once, settings are applied to what they say, and each
//! combination becomes a checked [`Scenario`].

use super::data_file::DataFiles;
use super::document::{Entry, Node, Table, Value};
use super::experiment::Experiment;
use super::find::{Places, Unfound};
use super::input_error::InputError;
use super::model::Model;
use super::policy::Document;
use super::set::Setting;
use super::shipped::{Kind, architectures, gpus};
use super::source_text::{Origin, SourceText};
use super::spelling::Spelling;
use super::sweep::Sweep;
use super::toml_text;
use super::typed::typed;
use super::world::{Parts, Scenario};
use crate::problem::Problem;
use crate::serving::performance::Catalogue;
use crate::workload::SharedRequests;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The experiment that is meant when none is named.
const DEFAULT_EXPERIMENT: &str = "default";

/// What the command line names. Every field may be left out.
///
/// A sweep keeps it beside its results, so that an export finds the policy that was simulated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// `--policy`: a file, a shipped name, `-` or `static:N`; it wins over the experiment's own.
    pub policy: Option<String>,
    /// `--experiment`: a file or a shipped name.
    pub experiment: Option<String>,
    /// `--model`: a file or a shipped name.
    pub model: Option<String>,
    /// `--trace`: a file that replaces the workload.
    pub trace: Option<PathBuf>,
    /// `--duration`.
    pub duration: Option<Duration>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--repetitions`.
    pub repetitions: Option<u32>,
    /// `--drain`.
    pub drain: bool,
    /// Each `--set KEY=VALUE`, in their order.
    pub settings: Vec<String>,
    /// What came on stdin, where `-` is named. Not kept: whoever reads this later has another stdin.
    #[serde(skip)]
    pub stdin: Option<Vec<u8>>,
}

/// An experiment and what was set beside it, before a policy and the values of a sweep make scenarios of it.
#[derive(Clone, Debug)]
pub struct Draft {
    experiment: Node,
    /// What the experiment was read from.
    source: Arc<SourceText>,
    name: String,
    sweep: Option<Sweep>,
    policy: Option<Arc<SourceText>>,
    settings: Vec<Setting>,
    /// All of them, as their copy beside the results has them.
    settings_text: Arc<SourceText>,
    seed: Option<u64>,
    /// Hashes of what is the same for all scenarios.
    hashes: IndexMap<String, String>,
    /// Where names on the command line are looked for.
    typed_names: Places,
    /// Where names in the experiment are looked for.
    written_names: Places,
    catalogue: Arc<Catalogue>,
    files: Arc<DataFiles>,
    shared: Option<Arc<SharedRequests>>,
}

impl Inputs {
    /// The same, with every name of a file as its absolute path: to be read from another folder later.
    #[must_use]
    pub fn absolute(&self) -> Inputs {
        let path = |name: &String| {
            let path = Path::new(name);
            match std::path::absolute(path) {
                Ok(absolute) if path.is_file() => absolute.display().to_string(),
                _ => name.clone(),
            }
        };
        Inputs {
            policy: self.policy.as_ref().map(path),
            experiment: self.experiment.as_ref().map(path),
            model: self.model.as_ref().map(path),
            trace: self
                .trace
                .as_ref()
                .map(|trace| std::path::absolute(trace).unwrap_or_else(|_| trace.clone())),
            ..self.clone()
        }
    }
}

impl Draft {
    /// Reads the experiment and the settings.
    ///
    /// # Errors
    /// Whatever cannot be as the user gave it, as far as it does not depend on the policy.
    pub fn load(inputs: &Inputs) -> Result<Draft, InputError> {
        let stdin = inputs.stdin.clone().map(|bytes| SourceText::from_bytes("<stdin>", bytes)).transpose()?;
        let typed_names = Places { stdin, ..Places::default() };
        let reference = inputs.experiment.as_deref().unwrap_or(DEFAULT_EXPERIMENT);
        let argument = SourceText::new("--experiment", reference);
        let source = typed_names
            .text(Kind::Experiment, reference)
            .map_err(|unfound| unfound.at(|problem| InputError::at(&Origin::whole(&argument), problem)))?;
        let folder = typed_names.path(reference).and_then(|path| path.parent().map(Path::to_owned));
        let experiment = toml_text::parse(&source)?;
        if let Some(entry) = experiment.as_table().and_then(|table| table.get("model")) {
            let problem =
                Problem::whole("unknown key `model`").help("a model is named by `model` in `[serving]`");
            return Err(InputError::at(&entry.key, problem));
        }
        let sweep = experiment.get("sweep").map(Sweep::read).transpose()?;
        let mut hashes = IndexMap::from([("experiment".to_owned(), source.sha256())]);
        let settings = settings(inputs)?;
        let settings_text = SourceText::new("settings", text_of(&settings));
        if !settings.is_empty() {
            hashes.insert("settings".to_owned(), settings_text.sha256());
        }
        Ok(Draft {
            name: source.stem().to_owned(),
            source,
            sweep,
            policy: inputs.policy.as_deref().map(|policy| SourceText::new("--policy", policy)),
            settings,
            settings_text,
            seed: inputs.seed,
            hashes,
            catalogue: Arc::new(catalogue()?),
            files: Arc::new(DataFiles::new(folder.clone())),
            written_names: Places { folder, ..typed_names.clone() },
            typed_names,
            experiment,
            shared: None,
        })
    }

    /// Lets the runs of all scenarios share what they send with all others that share in `requests`.
    #[must_use]
    pub fn sharing(self, requests: &Arc<SharedRequests>) -> Draft {
        Draft { shared: Some(Arc::clone(requests)), ..self }
    }

    /// The text of the experiment.
    pub fn source(&self) -> &Arc<SourceText> {
        &self.source
    }

    /// `[sweep]`, if the experiment has one.
    pub fn sweep(&self) -> Option<&Sweep> {
        self.sweep.as_ref()
    }

    /// The scenario of the policy that the command line or the experiment names, with `settings` on top of all others.
    ///
    /// # Errors
    /// Whatever cannot be as the user gave it: nothing that can be known before a run is left to it.
    pub fn scenario(&self, settings: &[Setting]) -> Result<Scenario, InputError> {
        self.build(self.policy.as_ref(), settings)
    }

    /// The scenario of the policy called `policy`, as `compare` needs it for each of its arguments.
    ///
    /// # Errors
    /// As [`Draft::scenario`].
    pub fn scenario_of(&self, policy: &str, settings: &[Setting]) -> Result<Scenario, InputError> {
        self.build(Some(&SourceText::new("--policy", policy)), settings)
    }

    fn build(&self, policy: Option<&Arc<SourceText>>, settings: &[Setting]) -> Result<Scenario, InputError> {
        let settings: Vec<&Setting> = self.settings.iter().chain(settings).collect();
        let mut root = self.experiment.clone();
        let mut document = self.policy(policy, &settings)?;
        put(&mut root, "policy", document.node.clone());
        let of_model = |setting: &&&Setting| setting.root() == "model";
        for setting in settings.iter().filter(|setting| !names_policy(setting) && !of_model(setting)) {
            document.refuse_retargeting(setting)?;
            setting.apply(&mut root)?;
        }
        // Which model it is may itself have been set.
        let model = Model::find(&root, &self.written_names, &self.catalogue)?;
        if let Model::Text(text) = &model {
            put(&mut root, "model", toml_text::parse(text)?);
        }
        for setting in settings.iter().filter(of_model) {
            model.refuse_setting(setting)?;
            setting.apply(&mut root)?;
        }
        if let Some(node) = root.get("policy") {
            document.node = node.clone();
        }
        give_classes_targets(&mut root);
        let experiment: Experiment = typed(&root, Spelling::Snake)?;
        experiment.check().map_err(|problem| root.locate(problem))?;
        let mut hashes = IndexMap::from([("policy".to_owned(), document.source.sha256())]);
        hashes.extend(self.hashes.clone());
        hashes.insert("model".to_owned(), model.text().sha256());
        let seed = self.seed.unwrap_or(experiment.seed);
        let (name, catalogue, files) = (self.name.as_str(), &self.catalogue, &self.files);
        Scenario::new(Parts {
            root,
            experiment,
            document,
            name,
            seed,
            hashes,
            source: &self.source,
            settings: &self.settings_text,
            model,
            catalogue,
            files,
            shared: &self.shared,
        })
    }

    /// The policy as it is written: the last setting of `policy`, else the command line's, else the experiment's.
    fn policy(&self, named: Option<&Arc<SourceText>>, settings: &[&Setting]) -> Result<Document, InputError> {
        let load = |reference: &str, places: &Places, origin: &Origin| {
            Document::load(reference, places)
                .map_err(|unfound: Box<Unfound>| unfound.at(|problem| InputError::at(origin, problem)))
        };
        if let Some(setting) = settings.iter().rev().find(|setting| names_policy(setting)) {
            return match setting.node.as_str() {
                Some(reference) => load(reference, &self.written_names, &setting.node.origin),
                None => Err(not_a_name(&setting.node)),
            };
        }
        if let Some(argument) = named {
            return load(argument.text(), &self.typed_names, &Origin::whole(argument));
        }
        match self.experiment.get("policy") {
            Some(node) => match &node.value {
                Value::String(reference) => load(reference, &self.written_names, &node.origin),
                Value::Table(_) => Ok(Document::inline(node)),
                _ => Err(not_a_name(node)),
            },
            None => {
                let problem = Problem::whole("the experiment names no policy");
                let help = "give one with `--policy`, or write `policy = \"queue-threshold-2\"`";
                Err(self.experiment.locate(problem.help(help)))
            }
        }
    }
}

/// The GPUs and architectures that ship.
fn catalogue() -> Result<Catalogue, InputError> {
    let (gpus, architectures) = (toml_text::parse(&gpus())?, toml_text::parse(&architectures())?);
    let catalogue = Catalogue {
        gpus: typed(&gpus, Spelling::Snake)?,
        architectures: typed(&architectures, Spelling::Snake)?,
    };
    catalogue.check().map_err(|problem| gpus.locate(problem))?;
    Ok(catalogue)
}

/// The settings of the command line: flags that stand for one, then each `--set`.
fn settings(inputs: &Inputs) -> Result<Vec<Setting>, InputError> {
    let mut settings = Vec::new();
    let mut flag = |name: &str, key: &[&str], text: String, value: &dyn Fn(String, &Origin) -> Value| {
        let source = SourceText::new(name, text.clone());
        let origin = Origin::whole(&source);
        let node = Node::new(value(text, &origin), origin.clone());
        settings.push(Setting {
            path: key.iter().map(|&segment| segment.to_owned()).collect(),
            key: origin,
            node,
        });
    };
    let text = |text: String, _: &Origin| Value::String(text);
    if let Some(model) = &inputs.model {
        flag("--model", &["serving", "model"], model.clone(), &text);
    }
    if let Some(trace) = &inputs.trace {
        flag("--trace", &["workload"], trace.display().to_string(), &replay);
    }
    if let Some(duration) = inputs.duration {
        flag("--duration", &["duration"], in_one_unit(duration), &text);
    }
    if inputs.drain {
        flag("--drain", &["drain"], "true".to_owned(), &|_, _| Value::Bool(true));
    }
    if let Some(repetitions) = inputs.repetitions {
        let number = Value::Integer(i64::from(repetitions));
        flag("--repetitions", &["repetitions"], repetitions.to_string(), &|_, _| number.clone());
    }
    for argument in &inputs.settings {
        let setting = Setting::parse(argument)?;
        if setting.root() == "sweep" {
            let problem = Problem::whole("a setting cannot change `[sweep]`");
            let help = "change the experiment, or set the key that it varies";
            return Err(InputError::at(&setting.key, problem.help(help)));
        }
        settings.push(setting);
    }
    Ok(settings)
}

/// A duration in the largest unit that gives a whole number, as people type it: `200d`, `90m`.
fn in_one_unit(duration: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let ns = duration.as_nanos();
    let whole = UNITS.iter().find(|(unit, _)| ns >= *unit && ns.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ns}ns"), |(unit, name)| format!("{}{name}", ns / unit))
}

/// A workload that replays the trace `path`.
fn replay(path: String, origin: &Origin) -> Value {
    // A name on the command line is looked for where the program runs, not beside the experiment.
    let path = std::path::absolute(&path).map_or(path, |path| path.display().to_string());
    let entry = |value: Value| Entry { key: origin.clone(), node: Node::new(value, origin.clone()) };
    let text = |text: &str| entry(Value::String(text.to_owned()));
    let source = Table::from_iter([
        ("name".to_owned(), text("trace")),
        ("kind".to_owned(), text("replay")),
        ("file".to_owned(), text(&path)),
    ]);
    let sources = Value::Array(vec![Node::new(Value::Table(source), origin.clone())]);
    Value::Table(Table::from_iter([("source".to_owned(), entry(sources))]))
}

/// `[slo]` becomes the targets of each class, as far as the class does not name its own; a workload of traces may have no
/// class at all.
fn give_classes_targets(root: &mut Node) {
    let Some(targets) = root.as_table().and_then(|table| table.get("slo")).cloned() else { return };
    let Value::Table(root) = &mut root.value else { return };
    let Some(Value::Table(workload)) = root.get_mut("workload").map(|entry| &mut entry.node.value) else {
        return;
    };
    let classes = workload.entry("class".to_owned()).or_insert_with(|| {
        let only = Node::new(Value::Table(Table::new()), targets.node.origin.clone());
        Entry {
            key: targets.key.clone(),
            node: Node::new(Value::Array(vec![only]), targets.node.origin.clone()),
        }
    });
    let Value::Array(classes) = &mut classes.node.value else { return };
    for class in classes {
        let Value::Table(class) = &mut class.value else { continue };
        let own = class.entry("slo".to_owned()).or_insert_with(|| targets.clone());
        if let (Value::Table(own), Value::Table(targets)) = (&mut own.node.value, &targets.node.value) {
            for (key, target) in targets {
                own.entry(key.clone()).or_insert_with(|| target.clone());
            }
        }
    }
}

fn put(root: &mut Node, key: &str, node: Node) {
    if let Value::Table(table) = &mut root.value {
        table.insert(key.to_owned(), Entry { key: node.origin.clone(), node });
    }
}

fn names_policy(setting: &Setting) -> bool {
    setting.path == ["policy"]
}

fn not_a_name(node: &Node) -> InputError {
    let problem = Problem::whole(format!("{} stands where a policy is named", node.describe()));
    InputError::at(&node.origin, problem.help("such as \"queue-threshold-2\", a file, or \"static:3\""))
}

/// All settings, a line each: keys and values as they were written.
fn text_of(settings: &[Setting]) -> String {
    let lines = settings.iter().map(|setting| {
        let mut value = setting.node.origin.text();
        if setting.path == ["workload"] {
            // The trace has a hash of its own, and its path is nobody's business.
            value = "";
        }
        format!("{}={value}\n", setting.path.join("."))
    });
    lines.collect()
}
