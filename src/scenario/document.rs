//! A document as it was written: values in a tree, each with the place where it stands.
//!
//! TOML files, YAML manifests and `--set` arguments all become such trees; settings are changed here, by key, before the
//! tree is turned into the wings' own types. So every error, also one that a wing finds much later, has its caret.

use super::input_error::InputError;
use super::source_text::Origin;
use crate::problem::{Place, Problem};
use indexmap::IndexMap;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The value.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) origin: Origin,
    /// A number or a boolean as it was typed where no types were declared (`--set KEY=2.50`): where a text is expected,
    /// this is it.
    pub(super) typed: Option<String>,
}

/// What TOML and YAML have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// YAML's null; TOML has none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or an exponent, NaN and infinities included: who takes the value checks it.
    Float(f64),
    /// A text; dates and times of TOML too.
    String(String),
    /// A list.
    Array(Vec<Node>),
    /// Keys with values, in the order in which they were written.
    Table(Table),
}

/// Keys with values, in the order in which they were written.
pub(super) type Table = IndexMap<String, Entry>;

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Origin,
    /// The value.
    pub(super) node: Node,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// The value of the key or, if there is none, of its nearest ancestor.
    pub(super) node: &'a Node,
    /// Where that one's key stands; `None` for the document and for items of lists.
    pub(super) key: Option<&'a Origin>,
    /// Whether all of the key was found.
    pub(super) complete: bool,
}

impl Node {
    /// A value at `origin`.
    pub(super) fn new(value: Value, origin: Origin) -> Self {
        Node { value, origin, typed: None }
    }

    /// The table, if it is one.
    pub(super) fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of `key`, if this is a table with such a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.as_table()?.get(key).map(|entry| &entry.node)
    }

    /// Follows `key`, segments separated by dots, as far as it goes. A segment of a table may hold dots itself, as class
    /// names do; of a list it is an index from 0.
    pub(super) fn find(&self, key: &str) -> Found<'_> {
        let segments: Vec<&str> = key.split('.').collect();
        self.follow(&segments)
    }

    /// [`Node::find`] with the segments apart.
    pub(super) fn follow<S: AsRef<str>>(&self, path: &[S]) -> Found<'_> {
        let (mut node, mut key, mut rest) = (self, None, path);
        while let [first, ..] = rest {
            let step = match &node.value {
                Value::Table(table) => (1..=rest.len()).find_map(|taken| {
                    let joined = rest[..taken].iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".");
                    table.get(&joined).map(|entry| (&entry.node, Some(&entry.key), taken))
                }),
                Value::Array(items) => first
                    .as_ref()
                    .parse()
                    .ok()
                    .and_then(|index: usize| items.get(index))
                    .map(|node| (node, None, 1)),
                _ => None,
            };
            match step {
                Some((next, next_key, taken)) => (node, key, rest) = (next, next_key, &rest[taken..]),
                None => return Found { node, key, complete: false },
            }
        }
        Found { node, key, complete: true }
    }

    /// What to call the value in a message: `the string "x"`, `the number 3`, `a table`.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Integer(value) => format!("the number {value}"),
            // With its point or exponent: `1.0` is not the whole number that it looks like without.
            Value::Float(value) => format!("the number {value:?}"),
            Value::String(text) => format!("the string {text:?}"),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// The error for a problem that some wing found in what this document holds: its key becomes a place. A problem
    /// without a key is one of the document as a whole.
    pub(super) fn locate(&self, problem: Problem) -> InputError {
        let key = match &problem.place {
            Place::Key(key) => key.clone(),
            Place::Line { .. } | Place::Text { .. } | Place::Whole => String::new(),
        };
        self.locate_at(&key, problem)
    }

    /// The error for `problem` with the value of `key`: where `problem` is with a part of that text, the caret is there.
    pub(super) fn locate_at(&self, key: &str, problem: Problem) -> InputError {
        self.locate_as(key, key, problem)
    }

    /// [`Node::locate_at`] where the user calls the key `shown`. The message names it, if it does not do so already.
    pub(super) fn locate_as(&self, key: &str, shown: &str, mut problem: Problem) -> InputError {
        let found = self.find(key);
        if matches!(problem.place, Place::Text { .. }) {
            return InputError::at(&found.node.origin, problem);
        }
        let name = shown.rsplit('.').find(|segment| segment.parse::<usize>().is_err()).unwrap_or_default();
        if !problem.message.contains(&format!("`{name}`")) && !shown.is_empty() {
            problem.message = format!("{shown}: {}", problem.message);
        }
        InputError::at(&found.setting(), problem)
    }
}

impl<'a> Found<'a> {
    /// Where to put the caret for a value: on itself if it stands on one line, else on its key.
    pub(super) fn caret(&self) -> &'a Origin {
        match (&self.node.value, self.key) {
            (Value::Table(_) | Value::Array(_), Some(key)) => key,
            _ => &self.node.origin,
        }
    }

    /// Where to put the caret for a setting: on the key and its value if both stand on one line.
    fn setting(&self) -> Origin {
        let value = self.caret();
        match self.key {
            Some(key) if key.source == value.source && key.span.start < value.span.start => {
                let line = key.source.line_span(key.span.start);
                let end = if value.span.end <= line.end { value.span.end } else { key.span.end };
                Origin { source: key.source.clone(), span: key.span.start..end }
            }
            _ => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::toml_text;
    use super::*;

    fn document(text: &str) -> Node {
        toml_text::parse(&super::super::SourceText::new("t.toml", text)).unwrap()
    }

    #[test]
    fn keys_lead_through_tables_lists_and_names_with_dots() {
        let document = document("[mix]\n'a.b' = 1\n[[x]]\ny = 2\n[[x]]\ny = 3\n");
        assert_eq!(document.find("mix.a.b").node.value, Value::Integer(1));
        let found = document.find("x.1.y");
        assert!(found.complete);
        assert_eq!(found.node.value, Value::Integer(3));
        assert_eq!(found.key.unwrap().text(), "y");
        for absent in ["x.2.y", "x.one", "mix.c", "x.1.y.z"] {
            assert!(!document.find(absent).complete, "{absent}");
        }
    }

    #[test]
    fn a_problem_with_a_key_that_is_not_there_points_at_its_table() {
        let error = document("[a]\nb = 1\n").locate(Problem::key("a.c", "is missing"));
        insta::assert_snapshot!(error, @r"
        error: a.c: is missing
         --> t.toml:1:2
          |
        1 | [a]
          |  ^
        ");
    }
}
