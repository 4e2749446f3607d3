//! YAML text to [`Node`]s, with the place of each key and value, and limits on what a text may make of itself.
//!
//! Words are read as `kubectl` reads them (YAML 1.1, go-yaml): an unquoted `yes` or `on` is a boolean.

use super::document::{Entry, Node, Table, Value};
use super::input_error::InputError;
use super::source_text::{Origin, SourceText};
use crate::problem::Problem;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Spanned, UserMessageFormatter};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The most values that one text may hold after its aliases are replaced by what they stand for; a long manifest has
/// a few hundred.
const VALUES_MAX: usize = 20_000;
/// The deepest nesting; a ScaledObject has eight levels.
const DEPTH_MAX: usize = 24;

/// Parses the documents of a YAML text; empty documents are left out.
///
/// # Errors
/// The first thing that is not YAML, a key that is given twice, a key that is not a word, a number that does not fit,
/// and a text that grows beyond the limits above (aliases of aliases of aliases, endless nesting).
pub(super) fn parse(source: &Arc<SourceText>) -> Result<Vec<Node>, InputError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: VALUES_MAX, max_depth: DEPTH_MAX, max_documents: 1_000 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    let documents: Vec<Raw> = serde_saphyr::from_multiple_with_options(source.text(), options)
        .map_err(|error| refuse(source, &error))?;
    documents.into_iter().map(|raw| node(source, raw)).collect()
}

fn refuse(source: &Arc<SourceText>, error: &serde_saphyr::Error) -> InputError {
    let message = error.render_with_formatter(&UserMessageFormatter);
    // The place is shown by the caret; the parser appends it to its sentence as well.
    let message = message.split(" at line ").next().unwrap_or_default();
    let mut problem = Problem::whole(format!("this is not YAML that can be read: {message}"));
    if message.contains("too large or too complex") {
        problem =
            Problem::whole(format!("the text holds more than {VALUES_MAX} values or {DEPTH_MAX} levels"))
                .help("aliases (`*name`) count as often as they are used");
    } else if message.contains("tabs disallowed") {
        problem = problem.help("indent with spaces");
    }
    let span = error.location().map_or(0..0, |location| bytes(source, &location));
    InputError::at(&Origin { source: Arc::clone(source), span }, problem)
}

/// The bytes of `location`, which the parser may know by line and column (in characters, from 1) only.
fn bytes(source: &SourceText, location: &Location) -> Range<usize> {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let span = location.span();
    if let (Some(start), Some(len)) = (span.byte_offset(), span.byte_len()) {
        let start = number(start);
        return start..start.saturating_add(number(len));
    }
    let line_start = match number(location.line()) {
        0 | 1 => 0,
        line => source.text().match_indices('\n').nth(line - 2).map_or(source.text().len(), |(at, _)| at + 1),
    };
    let line = &source.text()[line_start..];
    let column = number(location.column()).saturating_sub(1);
    let start = line_start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    start..start
}

fn node(source: &Arc<SourceText>, raw: Raw) -> Result<Node, InputError> {
    let origin = Origin { source: Arc::clone(source), span: trimmed(source, bytes(source, &raw.location)) };
    let value = match raw.value {
        RawValue::Null => Value::Null,
        RawValue::Bool(value) => Value::Bool(value),
        RawValue::Integer(number) => Value::Integer(number),
        RawValue::Float(number) => {
            if number.is_infinite() && origin.text().contains(|c: char| c.is_ascii_digit()) {
                return Err(InputError::at(&origin, Problem::whole("the number is too large")));
            }
            Value::Float(number)
        }
        RawValue::String(text) => Value::String(text),
        RawValue::Sequence(items) => {
            Value::Array(items.into_iter().map(|item| node(source, item)).collect::<Result<_, _>>()?)
        }
        RawValue::Mapping(entries) => {
            let mut table = Table::new();
            for (key, value) in entries {
                let key = node(source, key)?;
                let origin = key.origin;
                refuse_tabs(source, &origin)?;
                let name = match key.value {
                    Value::String(name) => name,
                    Value::Null | Value::Array(_) | Value::Table(_) => {
                        return Err(InputError::at(&origin, Problem::whole("a key must be a word")));
                    }
                    // JSON, which Kubernetes makes of YAML, has no other keys than texts.
                    Value::Bool(_) | Value::Integer(_) | Value::Float(_) => origin.text().to_owned(),
                };
                table.insert(name, Entry { key: origin, node: node(source, value)? });
            }
            Value::Table(table)
        }
    };
    Ok(Node::new(value, origin))
}

/// A block's span ends where the next token begins: without the blank that follows it.
fn trimmed(source: &SourceText, span: Range<usize>) -> Range<usize> {
    let text = source.slice(span.clone());
    span.start..span.start + text.trim_end().len()
}

/// go-yaml, which reads for `kubectl`, takes no tab before a key; our parser would.
fn refuse_tabs(source: &Arc<SourceText>, key: &Origin) -> Result<(), InputError> {
    let start = source.line_span(key.span.start).start;
    let before = source.slice(start..key.span.start);
    match before.find('\t') {
        Some(at) if before.trim().is_empty() => {
            let origin = Origin { source: Arc::clone(source), span: start + at..start + at + 1 };
            let problem =
                Problem::whole("this is not YAML that can be read: a tab stands in the indentation");
            Err(InputError::at(&origin, problem.help("indent with spaces")))
        }
        _ => Ok(()),
    }
}

/// A value as the parser gives it.
struct Raw {
    value: RawValue,
    location: Location,
}

enum RawValue {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    Sequence(Vec<Raw>),
    Mapping(Vec<(Raw, Raw)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<RawValue>::deserialize(deserializer)?;
        Ok(Raw { value: spanned.value, location: spanned.referenced })
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }
    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }
    fn visit_i64<E>(self, number: i64) -> Result<RawValue, E> {
        Ok(RawValue::Integer(number))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawValue, E> {
        i64::try_from(number).map(RawValue::Integer).map_err(|_| E::custom("the number is too large"))
    }
    fn visit_f64<E>(self, number: f64) -> Result<RawValue, E> {
        Ok(RawValue::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<RawValue, E> {
        Ok(RawValue::String(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(RawValue::Sequence(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(RawValue::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn documents(text: &str) -> Result<Vec<Node>, InputError> {
        parse(&SourceText::new("t.yaml", text))
    }
    fn refusal(text: &str) -> String {
        documents(text).expect_err(text).to_string()
    }

    #[test]
    fn values_keep_their_places_and_words_are_read_as_kubectl_reads_them() {
        let text = "a: 'x'\r\n---\r\nb: [1, yes, 1.5, null]\r\nq: |\r\n  sum(x)\r\n'on': &k {c: d}\r\ne: *k\r\n---\r\n";
        let documents = documents(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].find("a").node.origin.text(), "'x'");
        let b = documents[1].get("b").unwrap();
        let Value::Array(items) = &b.value else { panic!() };
        let values: Vec<&Value> = items.iter().map(|item| &item.value).collect();
        assert_eq!(values, [&Value::Integer(1), &Value::Bool(true), &Value::Float(1.5), &Value::Null]);
        assert_eq!(documents[1].find("q").node.as_str(), Some("sum(x)\n"));
        assert_eq!(documents[1].find("e.c").node.as_str(), Some("d"));
        assert_eq!(documents[1].find("e.c").node.origin.position().line, 7);
        assert!(documents[1].get("on").is_some());
    }

    #[test]
    fn no_document_is_no_error() {
        for text in ["", "\n", "# only words\n", "---\n---\n"] {
            assert_eq!(documents(text).unwrap(), [], "{text:?}");
        }
    }

    #[test]
    fn what_is_not_yaml_is_shown_where_it_stands() {
        insta::assert_snapshot!(refusal("a: 1\nb:\n\t- c\n"), @r"
        error: this is not YAML that can be read: tabs disallowed within this context (block indentation)
         --> t.yaml:3:2
          |
        3 |     - c
          |     ^
          |
          = help: indent with spaces
        ");
        for (text, message, place) in [
            ("a: 1\na: 2\n", "duplicate mapping key `a`", "2:1"),
            ("a: b: c", "mapping values", "1:5"),
            ("\ta: 1", "a tab stands in the indentation", "1:1"),
            ("a: *nope", "unknown value", "1:4"),
            ("a: &a [*a]", "ecursive", "1:8"),
            ("a: @b", "unexpected character", "1:4"),
            ("a: 99999999999999999999999", "", "1:4"),
            ("? [1, 2]\n: 3", "a key must be a word", "1:3"),
            ("a: 1e999", "the number is too large", "1:4"),
            ("é: \"\\q\"", "escape", "1:4"),
        ] {
            match documents(text) {
                // A whole number beyond 64 bits is a float to every reader: who takes it refuses it.
                Ok(read) => assert!(matches!(read[0].get("a").unwrap().value, Value::Float(_)), "{text}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        error.contains(message) && error.contains(&format!("t.yaml:{place}")),
                        "{text}:\n{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let nine = vec![format!("*a{}", level - 1); 9].join(",");
            writeln!(laughs, "a{level}: &a{level} [{nine}]").unwrap();
        }
        let deep = format!("a: {}", "[".repeat(200_000));
        let blocks = (0..5_000).fold(String::new(), |text, level| text + &" ".repeat(level) + "a:\n");
        let wide = "- x\n".repeat(100_000);
        for bomb in [laughs, deep, blocks, wide] {
            let started = std::time::Instant::now();
            let error = refusal(&bomb);
            assert!(started.elapsed().as_secs() < 20, "took {:?}: {}", started.elapsed(), &bomb[..40]);
            assert!(error.len() < 2_000, "{error}");
        }
    }
}
