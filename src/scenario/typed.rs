//! A [`Node`] to the type that a wing declares, with serde; what does not fit is told by its key.
//!
//! serde's own errors are texts; this deserializer keeps the key, the accepted names and what was expected apart, so
//! that the caret stands under the key or value itself and the help names what would be right.

use super::document::{Node, Value};
use super::input_error::InputError;
use super::source_text::Origin;
use super::spelling::Spelling;
use crate::nearest::suggestion;
use crate::problem::Problem;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, Unexpected, Visitor};
use std::fmt::{self, Display};

/// Turns what `node` holds into a `T`.
///
/// # Errors
/// The first unknown key (with the nearest accepted one), missing key, or value of another type or out of range.
pub(super) fn typed<T: DeserializeOwned>(node: &Node, spelling: Spelling) -> Result<T, InputError> {
    T::deserialize(Typed(node)).map_err(|refused| refused.explain(node, spelling))
}

/// What does not fit, and the key of the value or table where.
#[derive(Debug)]
struct Refused {
    /// Innermost segment first.
    path: Vec<String>,
    what: What,
}

/// What is expected where the type is a choice of names.
const NAMES: &str = "one of several names";

#[derive(Debug)]
enum What {
    UnknownKey {
        key: String,
        accepted: &'static [&'static str],
    },
    UnknownWord {
        word: String,
        accepted: &'static [&'static str],
    },
    Missing {
        key: String,
    },
    /// serde's text; `found` is how it describes the value, and quotes around that would help.
    Other {
        message: String,
        found: Option<String>,
        quotes: bool,
    },
}

impl Refused {
    fn under(mut self, segment: &str) -> Self {
        self.path.push(segment.to_owned());
        self
    }

    fn explain(self, document: &Node, spelling: Spelling) -> InputError {
        let path: Vec<String> = self.path.into_iter().rev().collect();
        let found = document.follow(&path);
        let shown = spelling.path(path.iter().map(String::as_str));
        let here = if path.is_empty() { String::new() } else { format!(" in `{shown}`") };
        match self.what {
            What::UnknownKey { key, accepted } => {
                // The key as it was written, which for a manifest is not as the types spell it.
                let entry = found.node.as_table().and_then(|table| table.get(&key));
                let origin = entry.map_or_else(|| found.caret(), |entry| &entry.key);
                let accepted: Vec<String> = spelling.accepted(accepted);
                let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
                let written = spelling.key(&key);
                let mut problem = Problem::whole(format!("unknown key `{written}`{here}"));
                problem.help = suggestion(&written, &accepted);
                InputError::at(origin, problem)
            }
            What::UnknownWord { word, accepted } => {
                let origin = holder(found.node, &format!("string {word:?}")).unwrap_or_else(|| found.caret());
                let mut problem = Problem::whole(format!("`{word}` is not one of the accepted values{here}"));
                problem.help = suggestion(&word, accepted);
                InputError::at(origin, problem)
            }
            What::Missing { key } => {
                let problem = Problem::whole(format!("`{}` is missing{here}", spelling.key(&key)));
                InputError::at(found.caret(), problem)
            }
            What::Other { message, found: found_text, quotes } => {
                let inner = found_text.as_deref().and_then(|text| holder(found.node, text));
                let origin = inner.unwrap_or_else(|| found.caret());
                // A wing's own sentence has the key before it, as its other problems do.
                let sentence = found_text.is_none() && !shown.is_empty();
                let mut problem = Problem::whole(if sentence {
                    format!("{shown}: {message}")
                } else {
                    format!("{message}{here}")
                });
                if quotes && !origin.text().contains('\n') {
                    problem.help = Some(format!("quote it: \"{}\"", origin.text()));
                }
                InputError::at(origin, problem)
            }
        }
    }
}

/// The value below `node` that serde describes as `found`, if there is exactly one.
///
/// serde reads a table whose kind a tag names (`dist = "gamma"`) into a buffer first and then no longer knows the key of
/// a value that does not fit.
fn holder<'a>(node: &'a Node, found: &str) -> Option<&'a Origin> {
    fn search<'a>(node: &'a Node, found: &str, holders: &mut Vec<&'a Origin>) {
        match &node.value {
            Value::Table(table) => table.values().for_each(|entry| search(&entry.node, found, holders)),
            Value::Array(items) => items.iter().for_each(|item| search(item, found, holders)),
            scalar => {
                if unexpected(scalar).to_string() == found {
                    holders.push(&node.origin);
                }
            }
        }
    }
    let mut holders = Vec::new();
    search(node, found, &mut holders);
    match holders[..] {
        [one] => Some(one),
        _ => None,
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Integer(value) => Unexpected::Signed(*value),
        Value::Float(value) => Unexpected::Float(*value),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Table(_) => Unexpected::Map,
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Refused {
            path: Vec::new(),
            what: What::Other { message: message.to_string(), found: None, quotes: false },
        }
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let message = format!("{} stands where {} is expected", article(&found), plain(&expected));
        let scalar = matches!(
            found,
            Unexpected::Bool(_) | Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_)
        );
        let quotes = scalar && ["a string", NAMES].contains(&expected.as_str());
        Refused { path: Vec::new(), what: What::Other { message, found: Some(found.to_string()), quotes } }
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let message = match (&found, range(&expected)) {
            (Unexpected::Signed(_) | Unexpected::Unsigned(_), Some(range)) => {
                format!("{} is out of range: {range} is expected", article(&found))
            }
            _ => format!("{} is not accepted: {} is expected", article(&found), plain(&expected)),
        };
        Refused {
            path: Vec::new(),
            what: What::Other { message, found: Some(found.to_string()), quotes: false },
        }
    }
    fn unknown_variant(variant: &str, accepted: &'static [&'static str]) -> Self {
        Refused { path: Vec::new(), what: What::UnknownWord { word: variant.to_owned(), accepted } }
    }
    fn unknown_field(field: &str, accepted: &'static [&'static str]) -> Self {
        Refused { path: Vec::new(), what: What::UnknownKey { key: field.to_owned(), accepted } }
    }
    fn missing_field(field: &'static str) -> Self {
        Refused { path: Vec::new(), what: What::Missing { key: field.to_owned() } }
    }
}

/// What was found, with its article: `the string "x"`, `the number 3`, `a table`.
fn article(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        // With its point or exponent: `1.0` is not the whole number that it looks like without.
        Unexpected::Float(number) => format!("the number {number:?}"),
        Unexpected::Bool(value) => format!("the boolean {value}"),
        Unexpected::Str(text) => format!("the string {text:?}"),
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// The integers that serde's name of a type stands for.
fn range(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "u8" => "a whole number of 0 to 255",
        "u16" => "a whole number of 0 to 65535",
        "u32" => "a whole number of 0 to 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" => "a whole number of 32 bits",
        "i64" | "isize" => "a whole number",
        _ => return None,
    })
}

/// What serde expected, in words that do not name Rust's types.
fn plain(expected: &str) -> String {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" | "u8" | "u16" | "u32" | "u64" | "usize" => {
            "a whole number".to_owned()
        }
        "f32" | "f64" => "a number".to_owned(),
        "a string" => "a string".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged enum ") => {
            "a table".to_owned()
        }
        _ if expected.starts_with("enum ") => NAMES.to_owned(),
        _ if expected.starts_with("a tuple of size ") => expected.replace("a tuple of size", "a list of"),
        _ => expected.to_owned(),
    }
}

/// A node as serde reads it.
#[derive(Clone, Copy)]
struct Typed<'a>(&'a Node);

impl<'de> de::Deserializer<'de> for Typed<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.0.typed {
            Some(typed) => visitor.visit_borrowed_str(typed),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let word = match (&self.0.value, &self.0.typed) {
            (Value::String(text), _) | (_, Some(text)) => Some(text.as_str()),
            _ => None,
        };
        if let Some(word) = word {
            let word: StrDeserializer<'_, Refused> = word.into_deserializer();
            return de::Deserializer::deserialize_enum(word, name, variants, visitor);
        }
        match &self.0.value {
            Value::Table(table) if table.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries {
                    entries: table.iter(),
                    value: None,
                }))
            }
            other => Err(de::Error::invalid_type(unexpected(other), &NAMES)),
        }
    }

    /// serde would also read a list as a struct, its fields by their order, which no file has.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        match &self.0.value {
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Typed(item)).map(Some).map_err(|refused| refused.under(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'de> {
    entries: indexmap::map::Iter<'de, String, super::document::Entry>,
    value: Option<(&'de str, &'de Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        let Some((key, entry)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, &entry.node));
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (key, node) =
            self.value.take().ok_or_else(|| de::Error::custom("a value was read before its key"))?;
        seed.deserialize(Typed(node)).map_err(|refused| refused.under(key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SourceText, toml_text};
    use super::*;
    use crate::autoscaling::keda::ScaledObjectSpec;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        count: u32,
        #[serde(default)]
        shape: Option<Shape>,
        #[serde(default)]
        words: Vec<Word>,
    }

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(tag = "dist", rename_all = "snake_case", deny_unknown_fields)]
    enum Shape {
        Constant { value: f64 },
    }

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Poisson,
        Gamma,
    }

    fn settings(text: &str) -> Result<Settings, InputError> {
        typed(&toml_text::parse(&SourceText::new("t.toml", text)).unwrap(), Spelling::Snake)
    }

    #[test]
    fn what_fits_is_read() {
        let read =
            settings("count = 3\nshape = { dist = 'constant', value = 1 }\nwords = ['poisson', 'gamma']")
                .unwrap();
        let shape = Some(Shape::Constant { value: 1.0 });
        assert_eq!(read, Settings { count: 3, shape, words: vec![Word::Poisson, Word::Gamma] });
    }

    #[test]
    fn each_refusal_points_at_its_key_or_value() {
        for (text, message, place) in [
            ("count = 3\ncuont = 4", "unknown key `cuont`", "2:1"),
            ("count = 'x'", "the string \"x\" stands where a whole number is expected in `count`", "1:9"),
            ("count = -1", "out of range: a whole number of 0 to 4294967295", "1:9"),
            ("count = 1.5", "the number 1.5 stands where a whole number is expected", "1:9"),
            ("words = []", "`count` is missing", "1:1"),
            (
                "count = 1\nwords = ['poisson', 'gama']",
                "`gama` is not one of the accepted values in `words.1`",
                "2:21",
            ),
            (
                "count = 1\n[shape]\ndist = 'constant'\nvalue = 'x'",
                "the string \"x\" stands where a number",
                "4:9",
            ),
            (
                "count = 1\n[shape]\ndist = 'constant'\nvalue = 1\nmax = 2",
                "unknown key `max` in `shape`",
                "5:1",
            ),
            ("count = 1\n[shape]\ndist = 'constnat'", "`constnat` is not one of", "3:8"),
            ("count = 1\nshape = 'constant'", "where a table is expected in `shape`", "2:9"),
        ] {
            let error = settings(text).unwrap_err().to_string();
            assert!(
                error.contains(message) && error.contains(&format!("t.toml:{place}")),
                "{text}:\n{error}"
            );
        }
    }

    #[test]
    fn a_number_typed_without_a_type_is_a_text_where_one_is_expected() {
        let text = "[[triggers]]\ntype = 'prometheus'\nmetadata = { threshold = 2.50 }";
        let mut document = toml_text::parse(&SourceText::new("t.toml", text)).unwrap();
        let refused = typed::<ScaledObjectSpec>(&document, Spelling::Snake).unwrap_err().to_string();
        assert!(refused.contains("the number 2.5 stands where a string is expected"), "{refused}");
        let Value::Table(root) = &mut document.value else { panic!() };
        let Value::Array(triggers) = &mut root["triggers"].node.value else { panic!() };
        let Value::Table(trigger) = &mut triggers[0].value else { panic!() };
        let Value::Table(metadata) = &mut trigger["metadata"].node.value else { panic!() };
        metadata["threshold"].node.typed = Some("2.50".to_owned());
        let read: ScaledObjectSpec = typed(&document, Spelling::Snake).unwrap();
        assert_eq!(read.triggers[0].metadata["threshold"], "2.50");
    }
}
