//! A policy: what decides about the number of replicas.
//!
//! It is written in TOML, with KEDA's and the HPA's own names in snake_case, or as the ScaledObject in YAML that would be
//! applied; both become the same document, so that a key such as `policy.scaled_object.max_replica_count` means the same.

use super::document::{Entry, Node, Table, Value};
use super::experiment::Target;
use super::find::{Places, Unfound};
use super::input_error::InputError;
use super::manifest::{self, ReadManifest};
use super::rule::{self, Rule};
use super::rules::resolve_expressions;
use super::set::Setting;
use super::shipped::Kind;
use super::source_text::{Origin, SourceText};
use super::spelling::{Spelling, snake_case};
use super::sweep::Axis;
use super::toml_text;
use super::typed::typed;
use crate::autoscaling::aibrix::PodAutoscalerSpec;
use crate::autoscaling::hpa::{HorizontalPodAutoscalerSpec, KubernetesVersion};
use crate::autoscaling::keda::{Annotations, KedaVersion, ScaledObjectSpec, validate};
use crate::autoscaling::knative::KnativeSpec;
use crate::autoscaling::wva::WvaSpec;
use crate::manifests::{
    ANNOTATION_NAME, ANNOTATION_SUMMARY, Manifest, ScaleTargetRef, rules_to_yaml, to_yaml,
};
use crate::monitoring::rules::RuleGroupSpec;
use crate::nearest::suggestion;
use crate::problem::{Place, Problem};
use crate::simulation::Schedule;
use crate::units::Replicas;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;

/// The most replicas that anybody may ask for: far above any GPU fleet, low enough that a typing mistake ends in a
/// message and not in a full memory.
pub(super) const REPLICAS_MAX: i32 = 10_000;

/// A policy, checked, with its variables replaced.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// One line about it; empty where there is none.
    pub summary: String,
    /// `metadata.annotations`, without those that carry name and summary: KEDA's own can pause it.
    pub annotations: IndexMap<String, String>,
    /// What it does.
    pub rule: Rule,
    /// The Workload Variant Autoscaler that it follows.
    pub wva: Option<WvaSpec>,
    /// Recording rules that its queries read.
    pub rule_groups: Vec<RuleGroupSpec>,
    /// What `tune` may change.
    pub tune: Vec<Axis>,
    /// The manifest that it was read from, or would be exported as.
    object: Object,
    document: Document,
}

/// The Kubernetes object around a policy's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    name: String,
    target: Target,
}

/// A policy as it was written, to which settings are still applied.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) node: Node,
    pub(super) source: Arc<SourceText>,
    spelling: Spelling,
    manifest: Option<ManifestNames>,
}

/// What a manifest fixes that a TOML policy leaves to the experiment.
#[derive(Clone, Debug)]
struct ManifestNames {
    name: String,
    namespace: Option<String>,
    deployment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    summary: Option<String>,
    #[serde(default)]
    annotations: IndexMap<String, String>,
    replicas: Option<i32>,
    schedule: Option<Schedule>,
    scaled_object: Option<ScaledObjectSpec>,
    hpa: Option<HorizontalPodAutoscalerSpec>,
    knative: Option<KnativeSpec>,
    aibrix: Option<PodAutoscalerSpec>,
    wva: Option<WvaSpec>,
    #[serde(default)]
    rule_group: Vec<RuleGroupSpec>,
    #[serde(default, rename = "tune")]
    _tune: Option<IgnoredAny>,
}

impl Document {
    /// Loads what `reference` names: a file, a shipped name, `-` or `static:N`.
    pub(super) fn load(reference: &str, places: &Places) -> Result<Document, Box<Unfound>> {
        if let Some(replicas) = reference.strip_prefix("static:") {
            return Document::fixed(reference, replicas).map_err(|error| Box::new(Unfound::Error(error)));
        }
        let source = places.text(Kind::Policy, reference)?;
        Document::read(&source).map_err(|error| Box::new(Unfound::Error(error)))
    }

    /// Reads a policy from a text, TOML or YAML.
    pub(super) fn read(source: &Arc<SourceText>) -> Result<Document, InputError> {
        if source.is_yaml() {
            let ReadManifest { document, name, namespace, deployment } = manifest::read(source)?;
            let names = ManifestNames { name, namespace, deployment };
            let source = Arc::clone(source);
            return Ok(Document { node: document, source, spelling: Spelling::Camel, manifest: Some(names) });
        }
        let node = toml_text::parse(source)?;
        Ok(Document { node, source: Arc::clone(source), spelling: Spelling::Snake, manifest: None })
    }

    /// An inline `[policy]` of an experiment.
    pub(super) fn inline(node: &Node) -> Document {
        let source = Arc::clone(&node.origin.source);
        Document { node: node.clone(), source, spelling: Spelling::Snake, manifest: None }
    }

    fn fixed(reference: &str, replicas: &str) -> Result<Document, InputError> {
        let source = SourceText::new("--policy", reference);
        let origin =
            Origin { source: Arc::clone(&source), span: reference.len() - replicas.len()..reference.len() };
        let Ok(count) = replicas.parse::<i32>() else {
            let problem = Problem::whole(format!("`{replicas}` is not a number of replicas"));
            return Err(InputError::at(&origin, problem.help("such as `static:3`")));
        };
        let mut table = Table::new();
        let name = Value::String(format!("static-{count}"));
        for (key, value) in [("name", name), ("replicas", Value::Integer(i64::from(count)))] {
            let node = Node::new(value, origin.clone());
            table.insert(key.to_owned(), Entry { key: origin.clone(), node });
        }
        let node = Node::new(Value::Table(table), origin);
        Ok(Document { node, source, spelling: Spelling::Snake, manifest: None })
    }

    /// Namespace and Deployment of the world: a manifest names its own, everything else is `target`'s.
    pub(super) fn target(&self, target: &Target) -> Target {
        match &self.manifest {
            None => target.clone(),
            Some(names) => Target {
                namespace: names.namespace.clone().unwrap_or_else(|| target.namespace.clone()),
                deployment: names.deployment.clone(),
                model: target.model.clone(),
            },
        }
    }

    /// A manifest names its own namespace and Deployment: `--set target.…` cannot move it elsewhere.
    pub(super) fn refuse_retargeting(&self, setting: &Setting) -> Result<(), InputError> {
        let Some(names) = &self.manifest else { return Ok(()) };
        let own = match setting.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["target", "namespace"] => names.namespace.as_deref(),
            ["target", "deployment"] => Some(names.deployment.as_str()),
            _ => None,
        };
        match own {
            Some(own) if setting.node.as_str() != Some(own) => {
                let message = format!("the manifest names its own {}, `{own}`", setting.path[1]);
                let help = "change it there, or write the policy in TOML with $namespace and $deployment";
                Err(InputError::at(&setting.key, Problem::whole(message).help(help)))
            }
            _ => Ok(()),
        }
    }

    /// Checks the document and replaces its variables by what `target` says.
    pub(super) fn resolve(self, target: &Target) -> Result<Policy, InputError> {
        for key in rule::KEYS {
            self.node.get(key).map_or(Ok(()), refuse_camel_case)?;
        }
        let file: File = typed(&self.node, self.spelling)?;
        let at_key = |key: &str, problem: Problem| {
            self.node.locate(Problem { place: Place::Key(key.into()), ..problem })
        };
        self.refuse_two_rules()?;
        let rule = if let Some(replicas) = file.replicas {
            if !(0..=REPLICAS_MAX).contains(&replicas) {
                let problem = Problem::whole(format!("{replicas} is not a number of replicas"));
                return Err(at_key("replicas", problem.help(format!("from 0 to {REPLICAS_MAX}"))));
            }
            Rule::Static(Replicas(replicas))
        } else if let Some(schedule) = file.schedule {
            schedule
                .check(Replicas(REPLICAS_MAX))
                .map_err(|problem| self.node.locate(problem.under("schedule")))?;
            Rule::Schedule(schedule)
        } else if let Some(spec) = file.scaled_object {
            Rule::ScaledObject(Box::new(self.resolve_spec(spec, target)?))
        } else if let Some(spec) = file.hpa {
            Rule::Hpa(Box::new(self.resolve_hpa(spec, target)?))
        } else if let Some(spec) = file.knative {
            Rule::Knative(Box::new(spec))
        } else if let Some(spec) = file.aibrix {
            Rule::Aibrix(Box::new(spec))
        } else if let Some(spec) = &file.wva {
            Rule::Wva(Box::new(spec.clone()))
        } else {
            let problem = Problem::whole("this policy has no `[scaled_object]`");
            return Err(at_key("", problem.help("or `replicas = 3` for a fixed number of replicas")));
        };
        let mut rule_groups = file.rule_group;
        if self.manifest.is_none() {
            resolve_expressions(&mut rule_groups, target, |key, problem| {
                self.node.locate_at(&format!("rule_group.{key}"), problem)
            })?;
        }
        let tune = match self.node.get("tune") {
            Some(tune) => Axis::read_all(tune)?,
            None => Vec::new(),
        };
        let target = self.target(target);
        let object = match &self.manifest {
            Some(names) => Object { name: names.name.clone(), target },
            None => Object { name: target.deployment.clone(), target },
        };
        Ok(Policy {
            name: file.name.unwrap_or_else(|| self.source.stem().to_owned()),
            summary: file.summary.unwrap_or_default(),
            annotations: file.annotations,
            rule,
            wva: file.wva,
            rule_groups,
            tune,
            object,
            document: self,
        })
    }

    /// One key says what the policy does.
    fn refuse_two_rules(&self) -> Result<(), InputError> {
        let mut given = rule::KEYS.into_iter().filter(|rule| self.node.get(rule).is_some());
        let (Some(first), Some(second)) = (given.next(), given.next()) else { return Ok(()) };
        // KEDA may follow the WVA.
        if (first, second) == ("scaled_object", "wva") {
            return Ok(());
        }
        let problem = Problem::key(first, format!("a policy has either `{first}` or `{second}`, not both"));
        Err(self.node.locate(problem.help("remove one of them")))
    }

    fn resolve_hpa(
        &self,
        mut spec: HorizontalPodAutoscalerSpec,
        target: &Target,
    ) -> Result<HorizontalPodAutoscalerSpec, InputError> {
        for (index, metric) in spec.metrics.iter_mut().enumerate() {
            let Some(text) = &mut metric.query else { continue };
            let resolved = target.resolve(text);
            let at = |problem| self.node.locate_at(&format!("hpa.metrics.{index}.query"), problem);
            *text = resolved.map_err(at)?.text;
        }
        Ok(spec)
    }

    fn resolve_spec(
        &self,
        mut spec: ScaledObjectSpec,
        target: &Target,
    ) -> Result<ScaledObjectSpec, InputError> {
        if self.manifest.is_none() {
            for (index, trigger) in spec.triggers.iter_mut().enumerate() {
                for (key, text) in &mut trigger.metadata {
                    let resolved = target.resolve(text).map_err(|problem| {
                        self.node
                            .locate_at(&format!("scaled_object.triggers.{index}.metadata.{key}"), problem)
                    })?;
                    *text = resolved.text;
                }
            }
        }
        Ok(spec)
    }
}

impl Policy {
    /// Reads a policy from a text for the world of `target`.
    ///
    /// # Errors
    /// Whatever cannot be as the user gave it.
    pub fn read(source: &Arc<SourceText>, target: &Target) -> Result<Policy, InputError> {
        Document::read(source)?.resolve(target)
    }

    /// Checks what KEDA's and the API server's admission check, and that all of it can be simulated.
    ///
    /// # Errors
    /// The first problem.
    pub fn check(&self, keda: KedaVersion, kubernetes: KubernetesVersion) -> Result<(), InputError> {
        let annotations = Annotations::of(&self.annotations).map_err(|problem| self.locate(problem))?;
        self.refuse_large_fleets(annotations.paused_replicas)?;
        if let Some(problem) = self.rule.problems(kubernetes).into_iter().next() {
            return Err(self.locate(problem));
        }
        let Rule::ScaledObject(spec) = &self.rule else { return Ok(()) };
        let followed = self.wva.iter().flat_map(WvaSpec::problems_under_keda);
        if let Some(problem) = followed.map(|problem| problem.under("wva")).next() {
            return Err(self.locate(problem));
        }
        match validate::problems(self.object_name(), spec, keda, kubernetes).into_iter().next() {
            None => Ok(()),
            Some(problem) if problem.place == Place::Key("name".to_owned()) => Err(self.locate(problem)),
            Some(problem) => Err(self.locate(problem.under("scaled_object"))),
        }
    }

    /// Refuses sizes that no fleet has: the real systems would take them, and a run would fill its memory with pods.
    fn refuse_large_fleets(&self, paused: Option<Replicas>) -> Result<(), InputError> {
        let mut sizes = self.rule.sizes().into_iter().chain([("annotations", paused.map(Replicas::get))]);
        match sizes.find(|(_, size)| size.is_some_and(|size| size > REPLICAS_MAX)) {
            Some((key, Some(size))) => {
                let problem = Problem::key(key, format!("{size} replicas are more than can be simulated"));
                Err(self.locate(problem.help(format!("at most {REPLICAS_MAX}"))))
            }
            _ => Ok(()),
        }
    }

    /// The ScaledObject's rules, if it is no fixed number of replicas.
    pub fn scaled_object(&self) -> Option<&ScaledObjectSpec> {
        match &self.rule {
            Rule::ScaledObject(spec) => Some(spec),
            _ => None,
        }
    }

    /// `metadata.name` of the ScaledObject.
    pub fn object_name(&self) -> &str {
        &self.object.name
    }

    /// The text that it was read from.
    pub fn source(&self) -> &Arc<SourceText> {
        &self.document.source
    }

    /// The policy as a ScaledObject in YAML that can be applied as it is, under a comment of the given lines; its recording
    /// rules follow as a PrometheusRule.
    ///
    /// # Errors
    /// A policy that is no ScaledObject.
    pub fn to_yaml(&self, comments: &[String]) -> Result<String, InputError> {
        let refuse = |problem| self.document.node.locate(problem);
        let Rule::ScaledObject(spec) = &self.rule else {
            return Err(refuse(self.rule.not_exported()));
        };
        let mut annotations = IndexMap::from([(ANNOTATION_NAME.to_owned(), self.name.clone())]);
        if !self.summary.is_empty() {
            annotations.insert(ANNOTATION_SUMMARY.to_owned(), self.summary.clone());
        }
        annotations.extend(self.annotations.clone());
        let manifest = Manifest {
            name: self.object.name.clone(),
            namespace: Some(self.object.target.namespace.clone()),
            annotations,
            target: ScaleTargetRef { name: self.object.target.deployment.clone() },
            spec: (**spec).clone(),
        };
        let mut yaml = to_yaml(&manifest, comments).map_err(refuse)?;
        if !self.rule_groups.is_empty() {
            let (name, namespace) = (&manifest.name, manifest.namespace.as_deref());
            yaml.push_str("---\n");
            yaml.push_str(&rules_to_yaml(name, namespace, &self.rule_groups).map_err(refuse)?);
        }
        Ok(yaml)
    }

    /// The error for `problem` with the metadata `key` of trigger `trigger`, such as its query: the caret is under the
    /// part that `problem` names, in the file.
    pub fn locate_metadata(&self, trigger: usize, key: &str, problem: Problem) -> InputError {
        self.locate_text(&format!("scaled_object.triggers.{trigger}.metadata.{key}"), problem)
    }

    /// The same for a problem with the text at the policy's key `path`.
    pub fn locate_text(&self, path: &str, problem: Problem) -> InputError {
        self.document.node.locate_at(path, self.in_written_text(path, problem))
    }

    /// The error for `problem`, whose key is one of the policy's: `scaled_object.max_replica_count`.
    pub fn locate(&self, problem: Problem) -> InputError {
        let mut problem = self.in_our_words(problem);
        if matches!(problem.place, Place::Text { .. }) {
            // The one text of a ScaledObject, metadata apart, in which a problem has a place of its own.
            let path = "scaled_object.advanced.scaling_modifiers.formula";
            return self.document.node.locate_at(path, problem);
        }
        if let Place::Key(key) = &problem.place {
            let (key, shown) = (key.clone(), self.document.spelling.path(key.split('.')));
            problem = self.in_written_text(&key, problem);
            return self.document.node.locate_as(&key, &shown, problem);
        }
        self.document.node.locate(problem)
    }

    /// A problem with a text whose variables were replaced, as one with the text that the user wrote.
    fn in_written_text(&self, path: &str, problem: Problem) -> Problem {
        let written = self.document.node.find(path).node.as_str();
        let has_variables = self.document.manifest.is_none();
        self.object.target.in_written_text(written.filter(|_| has_variables), problem)
    }

    /// The names in back quotes of a wing's message, as the user's file spells them.
    fn in_our_words(&self, mut problem: Problem) -> Problem {
        problem.message = self.document.spelling.sentence(&problem.message);
        problem.help = problem.help.map(|help| self.document.spelling.sentence(&help));
        problem
    }
}

/// Keys in Kubernetes' spelling, which neither TOML nor `--set` has (those of a manifest are ours by now): with one way to
/// write a thing, a setting replaces what it means to replace.
fn refuse_camel_case(node: &Node) -> Result<(), InputError> {
    match &node.value {
        Value::Table(table) => {
            for (key, entry) in table {
                if key.contains(|c: char| c.is_ascii_uppercase()) {
                    let snake = snake_case(key);
                    let mut problem = Problem::whole(format!("unknown key `{key}`"));
                    problem.help = suggestion(key, &[&snake]);
                    return Err(InputError::at(&entry.key, problem));
                }
                if key != "metadata" {
                    refuse_camel_case(&entry.node)?;
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(refuse_camel_case),
        _ => Ok(()),
    }
}
