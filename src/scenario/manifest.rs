//! A ScaledObject in YAML, as it would be applied, read as a policy document: our spelling, Kubernetes' places.

use super::document::{Entry, Node, Table, Value};
use super::input_error::InputError;
use super::prometheus_rule::rule_groups;
use super::source_text::{Origin, SourceText};
use super::spelling::{camel_case, snake_case};
use super::yaml_text;
use crate::manifests::{
    ANNOTATION_NAME, ANNOTATION_SUMMARY, API_VERSION, KIND, check_label, check_subdomain,
};
use crate::nearest::suggestion;
use crate::problem::Problem;
use std::sync::Arc;

/// A ScaledObject as it was read.
#[derive(Debug)]
pub(super) struct ReadManifest {
    /// The policy document: `name`, `summary`, `annotations` and `scaled_object`.
    pub(super) document: Node,
    /// `metadata.name`.
    pub(super) name: String,
    /// `metadata.namespace`.
    pub(super) namespace: Option<String>,
    /// `spec.scaleTargetRef.name`.
    pub(super) deployment: String,
}

/// Finds the one ScaledObject of a text and reads it strictly: what Kubernetes would drop or refuse is refused.
///
/// # Errors
/// None or several ScaledObjects, keys that it does not have, values that are no texts where Kubernetes wants texts, a
/// target that is no Deployment.
pub(super) fn read(source: &Arc<SourceText>) -> Result<ReadManifest, InputError> {
    let documents = yaml_text::parse(source)?;
    let objects = objects(&documents);
    let object = the_scaled_object(source, &objects)?;
    let fields = known(object, &["apiVersion", "kind", "metadata", "spec", "status"], "")?;
    match text(fields, "apiVersion", object)? {
        (API_VERSION, _) => {}
        (other, origin) => {
            let problem = Problem::whole(format!("apiVersion `{other}` is not one of KEDA's"));
            return Err(InputError::at(origin, problem.help(format!("use `{API_VERSION}`"))));
        }
    }
    let metadata = child(fields, "metadata", object)?;
    let name = valid(text(table(metadata, "metadata")?, "name", metadata)?, check_subdomain)?;
    let namespace = match metadata.get("namespace") {
        Some(node) if node.value != Value::Null => {
            Some(valid(text(table(metadata, "metadata")?, "namespace", node)?, check_label)?)
        }
        _ => None,
    };
    let annotations = annotations(metadata)?;
    let spec = child(fields, "spec", object)?;
    let deployment = scale_target(spec)?;
    let scaled_object = in_our_spelling(spec)?;

    let mut document = Table::new();
    let mut put = |key: &str, entry: Entry| document.insert(key.to_owned(), entry);
    let (ours, others): (Table, Table) = annotations
        .into_iter()
        .partition(|(key, _)| [ANNOTATION_NAME, ANNOTATION_SUMMARY].contains(&key.as_str()));
    let unnamed = || at(&metadata.origin, Value::String(name.clone()));
    put("name", ours.get(ANNOTATION_NAME).cloned().unwrap_or_else(unnamed));
    if let Some(summary) = ours.get(ANNOTATION_SUMMARY) {
        put("summary", summary.clone());
    }
    if !others.is_empty() {
        put("annotations", at(&metadata.origin, Value::Table(others)));
    }
    if let Some(groups) = rule_groups(&objects)? {
        put("rule_group", groups);
    }
    put("scaled_object", Entry { key: spec.origin.clone(), node: scaled_object });
    let document = Node::new(Value::Table(document), object.origin.clone());
    Ok(ReadManifest { document, name, namespace, deployment })
}

/// A value that stands for something written at `origin`.
fn at(origin: &Origin, value: Value) -> Entry {
    Entry { key: origin.clone(), node: Node::new(value, origin.clone()) }
}

/// The objects of all documents, those in a `List` too.
fn objects(documents: &[Node]) -> Vec<&Node> {
    let mut objects = Vec::new();
    for document in documents {
        match (document.get("kind").and_then(Node::as_str), document.get("items").map(|items| &items.value)) {
            (Some("List"), Some(Value::Array(items))) => objects.extend(items),
            _ => objects.push(document),
        }
    }
    objects
}

/// The object of kind ScaledObject; exactly one is expected.
fn the_scaled_object<'a>(source: &Arc<SourceText>, objects: &[&'a Node]) -> Result<&'a Node, InputError> {
    let kind = |object: &Node| object.get("kind").and_then(Node::as_str).map(str::to_owned);
    let mut found = objects.iter().filter(|object| kind(object).as_deref() == Some(KIND));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(*one),
        (Some(_), Some(second)) => {
            let origin = second.get("kind").map_or(&second.origin, |kind| &kind.origin);
            let problem = Problem::whole("this is a second ScaledObject: a policy is one");
            Err(InputError::at(origin, problem.help("split the file, and compare its policies")))
        }
        (None, _) => {
            let kinds: Vec<String> = objects.iter().filter_map(|object| kind(object)).collect();
            let message = match (&kinds[..], objects) {
                ([], []) => "the file is empty".to_owned(),
                ([], _) => "this is not a Kubernetes object: `kind` is missing".to_owned(),
                _ => format!("there is no ScaledObject here, only {}", kinds.join(", ")),
            };
            let help = format!("a policy in YAML has `apiVersion: {API_VERSION}` and `kind: {KIND}`");
            let origin = match objects.first() {
                Some(first) => first.get("kind").map_or(&first.origin, |kind| &kind.origin).clone(),
                None => Origin { source: Arc::clone(source), span: 0..0 },
            };
            Err(InputError::at(&origin, Problem::whole(message).help(help)))
        }
    }
}

/// The name of the Deployment in `spec.scaleTargetRef`.
fn scale_target(spec: &Node) -> Result<String, InputError> {
    let target = child(table(spec, "spec")?, "scaleTargetRef", spec)?;
    let fields =
        known(target, &["apiVersion", "kind", "name", "envSourceContainerName"], "spec.scaleTargetRef")?;
    for (key, only) in [("kind", "Deployment"), ("apiVersion", "apps/v1")] {
        if let Some(entry) = fields.get(key)
            && entry.node.as_str() != Some(only)
        {
            let given = entry.node.as_str().map_or_else(|| entry.node.describe(), |text| format!("`{text}`"));
            let problem = Problem::whole(format!("a scale target with {key} {given} is not simulated"));
            return Err(InputError::at(&entry.node.origin, problem.help(format!("only {key} `{only}` is"))));
        }
    }
    valid(text(fields, "name", target)?, check_subdomain)
}

fn annotations(metadata: &Node) -> Result<Table, InputError> {
    let Some(annotations) = metadata.get("annotations").filter(|node| node.value != Value::Null) else {
        return Ok(Table::new());
    };
    let annotations = table(annotations, "metadata.annotations")?;
    for (key, entry) in annotations {
        only_text(&format!("metadata.annotations.{key}"), &entry.node)?;
    }
    Ok(annotations.clone())
}

/// `spec` without `scaleTargetRef`, its keys in snake_case. Nulls are left out, as the API server does.
fn in_our_spelling(spec: &Node) -> Result<Node, InputError> {
    let mut ours = renamed(spec, "spec")?;
    if let Value::Table(fields) = &mut ours.value {
        fields.shift_remove("scale_target_ref");
    }
    Ok(ours)
}

fn renamed(node: &Node, path: &str) -> Result<Node, InputError> {
    let value = match &node.value {
        Value::Table(table) => {
            let mut ours = Table::new();
            for (key, entry) in table.iter().filter(|(_, entry)| entry.node.value != Value::Null) {
                let snake = snake_case(key);
                if camel_case(&snake) != *key {
                    let problem = Problem::whole(format!("unknown key `{key}` in `{path}`"));
                    let help = format!("Kubernetes would drop it; its own spelling is `{}`", camel_case(key));
                    return Err(InputError::at(&entry.key, problem.help(help)));
                }
                let below = format!("{path}.{key}");
                let mut node = match key.as_str() {
                    "metadata" => texts(&entry.node, &below)?,
                    _ => renamed(&entry.node, &below)?,
                };
                if key == "tolerance" && !matches!(node.value, Value::String(_)) {
                    // A quantity may be a bare number in YAML.
                    node.typed = Some(node.origin.text().to_owned());
                }
                ours.insert(snake, Entry { key: entry.key.clone(), node });
            }
            Value::Table(ours)
        }
        Value::Array(items) => {
            let items =
                items.iter().enumerate().map(|(index, item)| renamed(item, &format!("{path}.{index}")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        scalar => scalar.clone(),
    };
    Ok(Node::new(value, node.origin.clone()))
}

/// The metadata of a trigger: keys as they are, and texts only.
fn texts(node: &Node, path: &str) -> Result<Node, InputError> {
    if let Value::Table(table) = &node.value {
        for (key, entry) in table {
            only_text(&format!("{path}.{key}"), &entry.node)?;
        }
    }
    Ok(node.clone())
}

/// Kubernetes refuses a map of texts that holds anything else, in `metadata` and in annotations.
fn only_text(path: &str, node: &Node) -> Result<(), InputError> {
    if matches!(node.value, Value::String(_)) {
        return Ok(());
    }
    let problem = Problem::whole(format!("`{path}` must be a text, and here is {}", node.describe()));
    let problem = match node.value {
        Value::Array(_) | Value::Table(_) => problem,
        _ => problem.help(format!("quote it: \"{}\"", node.origin.text())),
    };
    Err(InputError::at(&node.origin, problem))
}

fn table<'a>(node: &'a Node, path: &str) -> Result<&'a Table, InputError> {
    node.as_table().ok_or_else(|| {
        let message = format!("{} stands where the fields of `{path}` are expected", node.describe());
        InputError::at(&node.origin, Problem::whole(message))
    })
}

/// The fields of `node`, which may have no others than `accepted`.
fn known<'a>(node: &'a Node, accepted: &[&str], path: &str) -> Result<&'a Table, InputError> {
    let fields = table(node, if path.is_empty() { "a Kubernetes object" } else { path })?;
    match fields.iter().find(|(key, _)| !accepted.contains(&key.as_str())) {
        None => Ok(fields),
        Some((key, entry)) => {
            let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
            let mut problem = Problem::whole(format!("unknown key `{key}`{place}: Kubernetes would drop it"));
            problem.help = suggestion(key, accepted);
            Err(InputError::at(&entry.key, problem))
        }
    }
}

fn child<'a>(fields: &'a Table, key: &str, parent: &Node) -> Result<&'a Node, InputError> {
    fields.get(key).map(|entry| &entry.node).ok_or_else(|| missing(key, parent))
}

fn text<'a>(fields: &'a Table, key: &str, parent: &Node) -> Result<(&'a str, &'a Origin), InputError> {
    let node = child(fields, key, parent)?;
    only_text(key, node)?;
    Ok((node.as_str().unwrap_or_default(), &node.origin))
}

fn missing(key: &str, parent: &Node) -> InputError {
    InputError::at(&parent.origin, Problem::whole(format!("`{key}` is missing")))
}

fn valid(
    (name, origin): (&str, &Origin),
    check: fn(&str, &str) -> Result<(), Problem>,
) -> Result<String, InputError> {
    check("", name).map_err(|problem| InputError::at(origin, problem))?;
    Ok(name.to_owned())
}
