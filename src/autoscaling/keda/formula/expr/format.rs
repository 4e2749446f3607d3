//! Values as Go's `fmt` prints them with `%v`.

use super::go_text::float;
use super::limits::TEXT_BYTES_MAX;
use super::time::{MONTHS, WEEKDAYS, duration_text};
use super::value::{Map, Value};
use std::fmt::Write;

/// The text of a value.
pub(super) fn shown(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

fn write_value(value: &Value, text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        // The text as a whole is refused.
        return;
    }
    match value {
        Value::Nil => text.push_str("<nil>"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Float(value) => text.push_str(&float(*value)),
        Value::Text(value) => text.push_str(value),
        Value::Bytes(bytes) => write_list(bytes.iter().map(|&byte| Value::Uint8(byte)), text),
        Value::Array(array) => write_list(array.iter(), text),
        Value::Map(map) => write_map(map, text),
        Value::Duration(ns) => text.push_str(&duration_text(*ns)),
        Value::Month(number) => {
            text.push_str(MONTHS.get(usize::from(*number).wrapping_sub(1)).copied().unwrap_or_default());
        }
        Value::Weekday(number) => {
            text.push_str(WEEKDAYS.get(usize::from(*number)).copied().unwrap_or_default());
        }
        // The names of zones are not simulated.
        Value::Time(time) => {
            let ((year, month, day), (hour, minute, second, _)) = (time.utc().date(), time.utc().clock());
            write_to(
                text,
                format_args!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC"),
            );
        }
        // An address in the real one.
        Value::Method(bound) => text.push_str(bound.method.name),
        Value::Int(_) | Value::Int64(_) | Value::Uint8(_) => {
            write_to(text, format_args!("{}", value.as_integer().unwrap_or_default()));
        }
    }
}

/// Writing to a text cannot fail.
fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn write_list(items: impl Iterator<Item = Value>, text: &mut String) {
    text.push('[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            text.push(' ');
        }
        write_value(&item, text);
    }
    text.push(']');
}

/// Sorted by key, as `fmt` does for keys of one type.
fn write_map(map: &Map, text: &mut String) {
    let mut entries: Vec<&(Value, Value)> = map.entries.iter().collect();
    entries.sort_by(|(a, _), (b, _)| {
        super::compare::compare(a, b, "<").ok().flatten().unwrap_or(std::cmp::Ordering::Equal)
    });
    text.push_str("map[");
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        write_value(key, text);
        text.push(':');
        write_value(value, text);
    }
    text.push(']');
}
