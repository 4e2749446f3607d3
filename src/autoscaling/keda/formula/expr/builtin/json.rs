//! `toJSON` and `fromJSON` (Go's `encoding/json`).

use super::super::error::Failure;
use super::super::limits::TEXT_BYTES_MAX;
use super::super::value::{Array, Keys, Map, Value};
use super::super::vm::Meter;
use super::numbers::argument;
use super::texts::base64;
use std::fmt::Write;

/// `fromJSON`: all numbers are floats.
pub(super) fn from_json(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let text = argument(values, 0)?.to_text()?;
    let parsed: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| Failure::bad(format!("the text of `fromJSON` is no JSON: {error}")))?;
    value_of(parsed)
}

fn value_of(json: serde_json::Value) -> Result<Value, Failure> {
    Ok(match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::text(text)?,
        serde_json::Value::Array(items) => {
            Value::Array(Array::new(items.into_iter().map(value_of).collect::<Result<_, _>>()?)?)
        }
        serde_json::Value::Object(entries) => {
            let entry = |(key, value)| Ok((Value::text(key)?, value_of(value)?));
            let entries = entries.into_iter().map(entry).collect::<Result<_, Failure>>()?;
            Value::Map(Map::new(Keys::Object, entries)?)
        }
    })
}

/// `toJSON`: indented by two spaces, keys in order.
pub(super) fn to_json(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let mut text = String::new();
    write_json(argument(values, 0)?, 0, &mut text)?;
    Value::text(text)
}

fn write_json(value: &Value, indent: usize, text: &mut String) -> Result<(), Failure> {
    if text.len() > TEXT_BYTES_MAX {
        // The text as a whole is refused.
        return Ok(());
    }
    match value {
        Value::Nil => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Float(value) => write_float(*value, text)?,
        Value::Text(value) => write_text(value, text),
        Value::Bytes(bytes) => write_text(&base64(bytes), text),
        Value::Array(array) if array.is_nil => text.push_str("null"),
        Value::Array(array) => {
            let item = |item: Value, text: &mut String| write_json(&item, indent + 1, text);
            write_list(['[', ']'], array.iter(), indent, text, item)?;
        }
        Value::Map(map) if matches!(map.keys, Keys::Object | Keys::Floats) => {
            let mut entries: Vec<&(Value, Value)> = map.entries.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.to_text().ok().cmp(&b.to_text().ok()));
            write_list(['{', '}'], entries.into_iter(), indent, text, |(key, value), text| {
                write_text(key.to_text()?, text);
                text.push_str(": ");
                write_json(value, indent + 1, text)
            })?;
        }
        // Go takes keys of any type since 1.27, and none but texts before.
        Value::Map(_) => {
            return Err(Failure::unsupported("JSON of a map with keys of any type is not simulated"));
        }
        Value::Method(_) => {
            return Err(Failure::bad(format!("json: unsupported type: {}", value.type_name())));
        }
        Value::Time(_) => return Err(Failure::unsupported("JSON of a time is not simulated")),
        Value::Duration(number) => write_integer(*number, text),
        Value::Month(number) | Value::Weekday(number) => write_integer(i64::from(*number), text),
        Value::Int(_) | Value::Int64(_) | Value::Uint8(_) => {
            write_integer(value.as_integer().unwrap_or_default(), text);
        }
    }
    Ok(())
}

fn write_list<T>(
    brackets: [char; 2],
    items: impl ExactSizeIterator<Item = T>,
    indent: usize,
    text: &mut String,
    write_item: impl Fn(T, &mut String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let empty = items.len() == 0;
    text.push(brackets[0]);
    for (i, item) in items.enumerate() {
        text.push_str(if i > 0 { ",\n" } else { "\n" });
        text.extend(std::iter::repeat_n("  ", indent + 1));
        write_item(item, text)?;
    }
    if !empty {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", indent));
    }
    text.push(brackets[1]);
    Ok(())
}

fn write_integer(number: i64, text: &mut String) {
    // Writing to a text cannot fail.
    let _ = write!(text, "{number}");
}

/// The shortest digits, with an exponent below 1e-6 and from 1e21 on.
fn write_float(value: f64, text: &mut String) -> Result<(), Failure> {
    if !value.is_finite() {
        let shown = super::super::go_text::float(value);
        return Err(Failure::bad(format!("json: unsupported value: {shown}")));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let scientific = format!("{value:e}");
        let plus = if size >= 1e21 { "e+" } else { "e" };
        text.push_str(&scientific.replace('e', plus));
    } else {
        let _ = write!(text, "{value}");
    }
    Ok(())
}

/// In quotes, with what HTML could read escaped.
fn write_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text.push('"');
}
