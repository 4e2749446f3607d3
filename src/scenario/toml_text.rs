//! TOML text to a [`Node`], with the place of each key and value.

use super::document::{Entry, Node, Table, Value};
use super::input_error::InputError;
use super::source_text::{Origin, SourceText};
use crate::problem::Problem;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Parses a TOML document.
///
/// # Errors
/// The first thing that is not TOML, a key that is given twice, a number that does not fit, tables nested too deeply.
pub(super) fn parse(source: &Arc<SourceText>) -> Result<Node, InputError> {
    let reader = Reader { source, base: 0 };
    let document = DeTable::parse(source.text()).map_err(|error| reader.refuse(&error))?;
    Ok(Node::new(Value::Table(reader.table(document.into_inner())?), Origin::whole(source)))
}

/// Parses the one TOML value, such as `3`, `"x"` or `[1, 2]`, that stands at `origin`.
pub(super) fn parse_value(origin: &Origin) -> Result<Node, InputError> {
    let reader = Reader { source: &origin.source, base: origin.span.start };
    reader.value(DeValue::parse(origin.text()).map_err(|error| reader.refuse(&error))?)
}

/// Parses a key as TOML writes it, bare or quoted segments separated by dots: the segments.
pub(super) fn parse_key(key: &str) -> Option<Vec<String>> {
    let text = format!("{key} = 0");
    let document = DeTable::parse(&text).ok()?;
    let mut segments = Vec::new();
    let mut table = document.into_inner();
    loop {
        let mut keys = table.into_iter();
        let (segment, value) = keys.next()?;
        if keys.next().is_some() {
            // A line break in `key` began another key.
            return None;
        }
        segments.push(segment.into_inner().into_owned());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            DeValue::Integer(_) => return Some(segments),
            _ => return None,
        }
    }
}

/// Turns what `toml` parsed into nodes of `source`; the parsed text began at byte `base`.
struct Reader<'a> {
    source: &'a Arc<SourceText>,
    base: usize,
}

impl Reader<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        Origin { source: Arc::clone(self.source), span: self.base + span.start..self.base + span.end }
    }

    fn refuse(&self, error: &toml::de::Error) -> InputError {
        let end = self.source.text().len().saturating_sub(self.base);
        let origin = self.origin(error.span().unwrap_or(end..end));
        InputError::at(&origin, Problem::whole(format!("this is not TOML: {}", error.message().trim_end())))
    }

    fn table(&self, parsed: DeTable<'_>) -> Result<Table, InputError> {
        let mut entries = Vec::new();
        for (key, value) in parsed {
            let origin = self.origin(key.span());
            entries.push((key.into_inner().into_owned(), Entry { key: origin, node: self.value(value)? }));
        }
        // `toml` sorts keys by name; the user's order is the one in which they stand.
        entries.sort_by_key(|(_, entry)| entry.key.span.start);
        Ok(entries.into_iter().collect())
    }

    fn value(&self, parsed: Spanned<DeValue<'_>>) -> Result<Node, InputError> {
        let origin = self.origin(parsed.span());
        let too_large = |origin: &Origin| {
            Err(InputError::at(origin, Problem::whole(format!("the number {} is too large", origin.text()))))
        };
        let value = match parsed.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => return too_large(&origin),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                // `inf` and `nan` are TOML; digits that overflow to infinity are not what the user meant.
                Ok(parsed)
                    if parsed.is_finite() || !number.as_str().contains(|c: char| c.is_ascii_digit()) =>
                {
                    Value::Float(parsed)
                }
                _ => return too_large(&origin),
            },
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.value(item)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(parsed) => Value::Table(self.table(parsed)?),
        };
        Ok(Node::new(value, origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(&SourceText::new("t.toml", text)).unwrap_err().to_string()
    }

    #[test]
    fn keys_keep_their_order_and_values_their_places() {
        let source =
            SourceText::new("t.toml", "zebra = 1\r\napple = 'two'\r\n[m.n]\r\nk = 2026-01-05T08:00:00Z\r\n");
        let document = parse(&source).unwrap();
        assert_eq!(document.as_table().unwrap().keys().collect::<Vec<_>>(), ["zebra", "apple", "m"]);
        assert_eq!(document.find("apple").node.origin.text(), "'two'");
        assert_eq!(document.find("m.n.k").node.as_str(), Some("2026-01-05T08:00:00Z"));
    }

    #[test]
    fn what_is_not_toml_is_shown_where_it_stands() {
        insta::assert_snapshot!(refusal("a = 1\na = 2\n"), @r"
        error: this is not TOML: duplicate key
         --> t.toml:2:1
          |
        2 | a = 2
          | ^
        ");
        for (text, expected) in [
            ("a = 99999999999999999999", "t.toml:1:5"),
            ("a = 1e999", "t.toml:1:5"),
            ("a = [1, 2", "t.toml:1:"),
            ("just words", "t.toml:1:"),
            ("a = \"\u{1}\"", "t.toml:1:"),
        ] {
            assert!(refusal(text).contains(expected), "{}", refusal(text));
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(refusal(&deep).contains("t.toml:1:"), "{}", refusal(&deep));
        let deep = format!("{}a = 1", "a.".repeat(100_000));
        assert!(refusal(&deep).contains("t.toml:1:"), "{}", refusal(&deep));
    }

    #[test]
    fn keys_are_split_as_toml_splits_them() {
        assert_eq!(parse_key("a.0.\"b.c\".d-e").unwrap(), ["a", "0", "b.c", "d-e"]);
        for bad in ["", "a..b", "a b", "a = 1\nb", "{}", "a.[0]"] {
            assert_eq!(parse_key(bad), None, "{bad}");
        }
    }
}
