//! One setting changed by its key: `--set KEY=VALUE`, and each value of a `[sweep]`.
//!
//! The change is made in the document, before it becomes types. So a new value is checked exactly as a written one, and
//! an unknown key is refused with the nearest accepted one.

use super::document::{Entry, Node, Table, Value};
use super::input_error::InputError;
use super::source_text::{Origin, SourceText};
use super::toml_text;
use crate::problem::Problem;
use std::sync::Arc;

/// A key and its new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The key's segments: `policy`, `scaled_object`, `triggers`, `0`, ...
    pub(super) path: Vec<String>,
    /// Where the key was written.
    pub(super) key: Origin,
    /// The value.
    pub(super) node: Node,
}

impl Setting {
    /// Reads `KEY=VALUE`. The value is a TOML literal (`3`, `0.5`, `true`, `"x"`, `[1, 2]`, `{ low = 1 }`), else the text
    /// itself; where a text is expected, a number stays as it was typed.
    ///
    /// # Errors
    /// No `=`, or a key that TOML would not read.
    pub fn parse(argument: &str) -> Result<Setting, InputError> {
        let source = SourceText::new("--set", argument);
        let Some((equals, path)) = split(argument) else {
            let problem = Problem::whole("this is not KEY=VALUE")
                .help("such as `--set policy.scaled_object.max_replica_count=8`");
            return Err(InputError::at(&Origin::whole(&source), problem));
        };
        let key = trimmed(&source, 0, equals);
        let value = trimmed(&source, equals + 1, argument.len());
        let node = match toml_text::parse_value(&value) {
            Ok(mut node) => {
                if !matches!(node.value, Value::String(_) | Value::Array(_) | Value::Table(_)) {
                    node.typed = Some(value.text().to_owned());
                }
                node
            }
            Err(_) => Node::new(Value::String(value.text().to_owned()), value),
        };
        Ok(Setting { path, key, node })
    }

    /// The setting of `key`, segments separated by dots, to `value`: a point of a `[sweep]`. Where a text is expected, a
    /// number is written as TOML writes it.
    ///
    /// # Errors
    /// A key that TOML would not read.
    pub fn of(key: &str, value: &toml::Value) -> Result<Setting, InputError> {
        let text = format!("{key} = {value}");
        let source = SourceText::new("[sweep]", text.as_str());
        let key_origin = Origin { source: Arc::clone(&source), span: 0..key.len() };
        let Some(path) = toml_text::parse_key(key) else {
            let problem = Problem::whole(format!("`{key}` is not a key"));
            return Err(InputError::at(&key_origin, problem.help("segments are separated by dots")));
        };
        let origin = Origin { source, span: key.len() + 3..text.len() };
        let mut node = toml_text::parse_value(&origin)?;
        if !matches!(node.value, Value::String(_) | Value::Array(_) | Value::Table(_)) {
            node.typed = Some(origin.text().to_owned());
        }
        Ok(Setting { path, key: key_origin, node })
    }

    /// The first segment of the key: `policy`, `workload`, ...
    pub(super) fn root(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// Puts the value into `document`. Tables that are not there yet are made; whether the key is an accepted one shows
    /// when the document becomes types.
    ///
    /// # Errors
    /// A key that leads through something that is no table, or past the end of a list.
    pub(super) fn apply(&self, document: &mut Node) -> Result<(), InputError> {
        let mut node = document;
        for (depth, segment) in self.path.iter().enumerate() {
            let so_far = self.path[..depth].join(".");
            node = match &mut node.value {
                // The key too is now this one: a caret belongs where the user has to change something.
                Value::Table(table) if depth + 1 == self.path.len() => {
                    table.insert(segment.clone(), Entry { key: self.key.clone(), node: self.node.clone() });
                    return Ok(());
                }
                Value::Table(table) => {
                    let fresh = || Entry { key: self.key.clone(), node: self.table() };
                    &mut table.entry(segment.clone()).or_insert_with(fresh).node
                }
                Value::Array(items) => {
                    let count = items.len();
                    match segment.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                        Some(item) => item,
                        None => return Err(self.refuse(past_the_end(&so_far, segment, count))),
                    }
                }
                other => {
                    let found = Node::new(other.clone(), self.key.clone()).describe();
                    let message = format!("`{so_far}` is {found}, so it has no `{segment}`");
                    return Err(self.refuse(Problem::whole(message)));
                }
            };
        }
        *node = self.node.clone();
        Ok(())
    }

    /// A table that stands where the key does, for those on the way that are not there yet.
    fn table(&self) -> Node {
        Node::new(Value::Table(Table::new()), self.key.clone())
    }

    fn refuse(&self, problem: Problem) -> InputError {
        InputError::at(&self.key, problem)
    }
}

fn past_the_end(list: &str, segment: &str, count: usize) -> Problem {
    let problem = Problem::whole(format!("`{list}` has no item `{segment}`"));
    match count {
        0 => problem.help("the list is empty"),
        1 => problem.help("the list has one item, 0"),
        _ => problem.help(format!("the list has the items 0 to {}", count - 1)),
    }
}

/// The first `=` before which a key stands, and that key: a quoted segment may hold `=` itself.
fn split(argument: &str) -> Option<(usize, Vec<String>)> {
    argument.match_indices('=').find_map(|(at, _)| Some((at, toml_text::parse_key(argument[..at].trim())?)))
}

/// The bytes `start..end` of `source` without the blanks around them.
fn trimmed(source: &Arc<SourceText>, start: usize, end: usize) -> Origin {
    let text = source.slice(start..end);
    let start = start + (text.len() - text.trim_start().len());
    Origin { source: Arc::clone(source), span: start..start + text.trim().len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str =
        "a = 1\n[policy]\nname = 'x'\n[[policy.triggers]]\nmetadata = { threshold = '2' }\n";

    fn changed(argument: &str) -> Result<Node, InputError> {
        let mut document = toml_text::parse(&SourceText::new("t.toml", DOCUMENT))?;
        Setting::parse(argument)?.apply(&mut document)?;
        Ok(document)
    }

    #[test]
    fn values_are_toml_literals_or_the_text_itself() {
        for (argument, value, typed) in [
            ("a=3", Value::Integer(3), Some("3")),
            ("a = 2.50 ", Value::Float(2.5), Some("2.50")),
            ("a=true", Value::Bool(true), Some("true")),
            ("a=\"3\"", Value::String("3".to_owned()), None),
            ("a=queue-threshold-2", Value::String("queue-threshold-2".to_owned()), None),
            ("a=sum(x{y=\"z\"})", Value::String("sum(x{y=\"z\"})".to_owned()), None),
            ("a=", Value::String(String::new()), None),
            ("a=99999999999999999999", Value::String("99999999999999999999".to_owned()), None),
        ] {
            let document = changed(argument).unwrap();
            let node = document.get("a").unwrap();
            assert_eq!((&node.value, node.typed.as_deref()), (&value, typed), "{argument}");
        }
    }

    #[test]
    fn keys_lead_through_lists_and_make_the_tables_they_need() {
        let document = changed("policy.triggers.0.metadata.threshold=8").unwrap();
        assert_eq!(document.find("policy.triggers.0.metadata.threshold").node.value, Value::Integer(8));
        let document = changed("serving.engine.max_num_seqs=8").unwrap();
        assert_eq!(document.find("serving.engine.max_num_seqs").node.value, Value::Integer(8));
        let document = changed("mix.\"a.b=c\"=0.5").unwrap();
        assert_eq!(document.find("mix.a.b=c").node.value, Value::Float(0.5));
    }

    #[test]
    fn a_point_of_a_sweep_sets_what_it_says() {
        for (value, expected) in [
            (toml::Value::Integer(2), "2"),
            (toml::Value::Float(2.5), "2.5"),
            (toml::Value::Boolean(true), "true"),
        ] {
            let setting = Setting::of("policy.triggers.0.metadata.threshold", &value).unwrap();
            assert_eq!(setting.node.typed.as_deref(), Some(expected));
            assert_eq!(setting.path.last().map(String::as_str), Some("threshold"));
        }
        let table: toml::Value = toml::from_str("a = [1, { b = 'x = \"y\"' }]").unwrap();
        let setting = Setting::of("workload", &table["a"]).unwrap();
        assert_eq!(setting.node.find("1.b").node.as_str(), Some("x = \"y\""));
        assert!(
            Setting::of("a b", &toml::Value::Integer(1)).unwrap_err().to_string().contains("[sweep]:1:1")
        );
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        for (argument, message, place) in [
            ("policy", "not KEY=VALUE", "--set:1:1"),
            ("=3", "not KEY=VALUE", "--set:1:1"),
            ("a b=3", "not KEY=VALUE", "--set:1:1"),
            ("a.b=3", "`a` is the number 1, so it has no `b`", "--set:1:1"),
            ("policy.triggers.1.type=x", "`policy.triggers` has no item `1`", "--set:1:1"),
            ("policy.triggers.first.type=x", "the list has one item, 0", "--set:1:1"),
        ] {
            let error = changed(argument).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains(place), "{argument}:\n{error}");
        }
    }
}
