//! PrometheusRules beside a ScaledObject: the recording rules that its queries read.

use super::document::{Entry, Node, Table, Value};
use super::input_error::InputError;
use crate::manifests::RULE_KIND;
use crate::problem::Problem;

/// The groups of all PrometheusRules among these objects, as the `rule_group` of a policy document; `None` without any.
/// Alerts, which change nothing that is scaled, are left out.
///
/// # Errors
/// An object whose `spec.groups` are no list of tables.
pub(super) fn rule_groups(objects: &[&Node]) -> Result<Option<Entry>, InputError> {
    let is_rule = |object: &&&Node| object.get("kind").and_then(Node::as_str) == Some(RULE_KIND);
    let mut groups = Vec::new();
    let mut origin = None;
    for object in objects.iter().filter(is_rule) {
        let found = object.get("spec").and_then(|spec| spec.as_table()?.get("groups"));
        let Some(Entry { key, node }) = found else { continue };
        let Value::Array(items) = &node.value else {
            let problem =
                Problem::whole(format!("{} stands where a list of groups is expected", node.describe()));
            return Err(InputError::at(&node.origin, problem));
        };
        groups.extend(items.iter().map(group));
        origin.get_or_insert_with(|| (key.clone(), node.origin.clone()));
    }
    let entry = |(key, origin)| Entry { key, node: Node::new(Value::Array(groups), origin) };
    Ok(origin.map(entry))
}

/// A group with what a policy's has: the key that Thanos alone reads, nulls and alerts are left out.
fn group(node: &Node) -> Node {
    let mut group = without_nulls(node);
    if let Value::Table(fields) = &mut group.value {
        fields.shift_remove("partial_response_strategy");
        if let Some(Entry { node: Node { value: Value::Array(rules), .. }, .. }) = fields.get_mut("rules") {
            rules.retain(|rule| rule.get("alert").is_none());
            rules.iter_mut().for_each(number_as_text);
        }
    }
    group
}

fn without_nulls(node: &Node) -> Node {
    let value = match &node.value {
        Value::Table(fields) => {
            let kept = fields.iter().filter(|(_, entry)| entry.node.value != Value::Null);
            let cleaned = kept.map(|(name, Entry { key, node })| {
                (name.clone(), Entry { key: key.clone(), node: without_nulls(node) })
            });
            Value::Table(cleaned.collect::<Table>())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    };
    Node::new(value, node.origin.clone())
}

/// `expr` may be a bare number in YAML.
fn number_as_text(rule: &mut Node) {
    if let Value::Table(fields) = &mut rule.value
        && let Some(Entry { node, .. }) = fields.get_mut("expr")
        && !matches!(node.value, Value::String(_))
    {
        node.typed = Some(node.origin.text().to_owned());
    }
}
