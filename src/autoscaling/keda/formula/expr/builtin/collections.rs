//! Functions of arrays, and access to what lies in an array, a text or a map (`builtin/builtin.go`,
//! `vm/runtime/runtime.go`).

use super::super::arithmetic::to_int;
use super::super::compare::{equal, less, map_index};
use super::super::error::Failure;
use super::super::format::shown;
use super::super::methods;
use super::super::value::{Array, BoundMethod, Items, Keys, Map, Value};
use super::super::vm::Meter;
use super::numbers::argument;
use std::sync::Arc;

/// A value of the kind of an array; bytes are one.
pub(in super::super) fn as_array(value: &Value) -> Result<Option<Array>, Failure> {
    match value {
        Value::Array(array) => Ok(Some(array.clone())),
        Value::Bytes(bytes) => Array::new(bytes.iter().map(|&byte| Value::Uint8(byte)).collect()).map(Some),
        _ => Ok(None),
    }
}

/// The argument as an array, or what the function says where it is none.
fn array_of(values: &[Value], what: &str) -> Result<Array, Failure> {
    let value = argument(values, 0)?;
    as_array(value)?.ok_or_else(|| Failure::bad(format!("cannot {what} {}", value.kind_name())))
}

/// `len`: of texts in characters.
pub(super) fn len(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let value = argument(values, 0)?;
    let len = match value {
        Value::Array(array) => array.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Map(map) => map.entries.len(),
        Value::Text(text) => text.chars().count(),
        _ => {
            let own = value.type_name();
            return Err(Failure::bad(format!("invalid argument for len (type {own})")));
        }
    };
    Ok(Value::Int(len as i64))
}

/// `first` and `last`: nil where there is nothing, whatever the reason.
pub(super) fn end(values: &[Value], index: i64, meter: &mut Meter) -> Result<Value, Failure> {
    Ok(fetch(argument(values, 0)?, &Value::Int(index), meter).unwrap_or(Value::Nil))
}

/// `from[index]` and `from.name` (`runtime.Fetch`): from the end where the index is negative.
pub(in super::super) fn fetch(from: &Value, index: &Value, meter: &mut Meter) -> Result<Value, Failure> {
    let cannot = || Failure::bad(format!("cannot fetch {} from {}", shown(index), from.type_name()));
    if let Some(method) = method_of(from, index)? {
        return Ok(method);
    }
    match from {
        Value::Array(_) | Value::Bytes(_) | Value::Text(_) => {
            let (at, len) = position(from, index)?;
            item(from, at)
                .ok_or_else(|| Failure::bad(format!("index out of range: {at} (array length is {len})")))
        }
        Value::Map(map) => match map_index(map, index, meter)? {
            Some(value) => Ok(value),
            None => missing(map),
        },
        Value::Time(_) => index.to_text().and_then(|_| Err(cannot())),
        _ => Err(cannot()),
    }
}

/// `get(from, index)`: nil where there is nothing.
pub(super) fn get(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let (from, index) = (argument(values, 0)?, argument(values, 1)?);
    if let Some(method) = method_of(from, index)? {
        return Ok(method);
    }
    Ok(match from {
        Value::Array(_) | Value::Bytes(_) | Value::Text(_) => {
            let (at, _) = position(from, index)?;
            item(from, at).unwrap_or(Value::Nil)
        }
        Value::Map(map) => map_index(map, index, meter)?.unwrap_or(Value::Nil),
        Value::Time(_) => index.to_text().map(|_| Value::Nil)?,
        _ => Value::Nil,
    })
}

fn method_of(from: &Value, name: &Value) -> Result<Option<Value>, Failure> {
    let Value::Text(name) = name else { return Ok(None) };
    let bind = |method| Value::Method(Arc::new(BoundMethod { receiver: from.clone(), method }));
    Ok(methods::of_value(from, name)?.map(bind))
}

/// The index from the start, and the length.
fn position(from: &Value, index: &Value) -> Result<(i64, i64), Failure> {
    let len = raw_len(from).unwrap_or(0) as i64;
    let index = to_int(index)?;
    Ok((if index < 0 { len.wrapping_add(index) } else { index }, len))
}

/// The length as `reflect` gives it, of a text in bytes; `None` of what has none.
pub(in super::super) fn raw_len(value: &Value) -> Option<usize> {
    match value {
        Value::Array(array) => Some(array.len()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::Text(text) => Some(text.len()),
        Value::Map(map) => Some(map.entries.len()),
        _ => None,
    }
}

fn item(from: &Value, index: i64) -> Option<Value> {
    let index = usize::try_from(index).ok()?;
    match from {
        Value::Array(array) => array.get(index),
        Value::Bytes(bytes) => bytes.get(index).copied().map(Value::Uint8),
        Value::Text(text) => text.as_bytes().get(index).copied().map(Value::Uint8),
        _ => None,
    }
}

/// The zero value of the map's type.
fn missing(map: &Map) -> Result<Value, Failure> {
    Ok(match map.keys {
        Keys::Object | Keys::Any => Value::Nil,
        Keys::Groups => Value::Array(Array::nil(Items::Any)),
        Keys::Floats => Value::Float(0.0),
    })
}

/// The length of what is cut from some index to its end (`runtime.Len`), of a text in bytes.
pub(in super::super) fn len_of(value: &Value) -> Result<Value, Failure> {
    let invalid = || Failure::bad(format!("invalid argument for len (type {})", value.type_name()));
    raw_len(value).map(|len| Value::Int(len as i64)).ok_or_else(invalid)
}

/// `value[from:to]` (`runtime.Slice`): both ends are moved into the array.
pub(in super::super) fn slice(value: &Value, from: &Value, to: &Value) -> Result<Value, Failure> {
    let cannot = || Failure::bad(format!("cannot slice {}", shown(from)));
    let sliced = raw_len(value).filter(|_| !matches!(value, Value::Map(_)));
    let len = sliced.ok_or_else(cannot)? as i64;
    let within = |index: i64| if index < 0 { len.wrapping_add(index).max(0) } else { index };
    let (from, to) = (within(to_int(from)?), within(to_int(to)?).min(len));
    let (from, to) = (from.min(to) as usize, to as usize);
    match value {
        Value::Array(array) => Ok(Value::Array(array.slice(from, to))),
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes[from..to].into())),
        Value::Text(text) => match text.get(from..to) {
            Some(part) => Ok(Value::Text(part.into())),
            None => Err(Failure::unsupported("a text is cut within a character")),
        },
        _ => Err(cannot()),
    }
}

/// `take`: the first so many items, fewer where there are fewer.
pub(super) fn take(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let array = array_of(values, "take from")?;
    let count = argument(values, 1)?;
    let count = match count {
        Value::Int(count) | Value::Int64(count) | Value::Duration(count) => *count,
        Value::Month(count) | Value::Weekday(count) => i64::from(*count),
        _ => return Err(Failure::bad(format!("cannot take {} elements", count.kind_name()))),
    };
    let Ok(count) = usize::try_from(count) else {
        return Err(Failure::bad("reflect.Value.Slice: slice index out of bounds"));
    };
    match argument(values, 0)? {
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes[..count.min(bytes.len())].into())),
        _ => Ok(Value::Array(array.slice(0, count.min(array.len())))),
    }
}

pub(super) fn reverse(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let array = array_of(values, "reverse")?;
    meter.grow(array.len())?;
    Ok(Value::Array(Array::new(array.iter().rev().collect())?))
}

/// `uniq`: the first of equal items.
pub(super) fn uniq(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let mut unique: Vec<Value> = Vec::new();
    'items: for item in array_of(values, "uniq")?.iter() {
        for seen in &unique {
            if equal(&item, seen, meter)? {
                continue 'items;
            }
        }
        unique.push(item);
    }
    Ok(Value::Array(Array::new(unique)?))
}

/// `concat`: without any item a nil slice.
pub(super) fn concat(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let mut items = Vec::new();
    for value in values {
        let array = array_of(std::slice::from_ref(value), "concat")?;
        meter.step(array.len())?;
        items.extend(array.iter());
    }
    meter.grow(items.len())?;
    Ok(Value::Array(if items.is_empty() { Array::nil(Items::Any) } else { Array::new(items)? }))
}

pub(super) fn flatten(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let mut items = Vec::new();
    flatten_into(&array_of(values, "flatten")?, &mut items, meter)?;
    meter.grow(items.len())?;
    Ok(Value::Array(Array::new(items)?))
}

fn flatten_into(array: &Array, items: &mut Vec<Value>, meter: &mut Meter) -> Result<(), Failure> {
    for item in array.iter() {
        meter.step(1)?;
        match as_array(&item)? {
            Some(nested) => flatten_into(&nested, items, meter)?,
            None => items.push(item),
        }
    }
    Ok(())
}

/// `sort(array, order)`. Arrays of other types, and what is none, come out as a nil slice.
pub(super) fn sort(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let mut items: Option<Vec<Value>> = match argument(values, 0)? {
        Value::Array(array) if !matches!(array.items, Items::Pairs | Items::Pair) => {
            Some(array.iter().collect())
        }
        _ => None,
    };
    let descending = match values.get(1) {
        None => false,
        Some(Value::Text(order)) => is_descending(order)
            .ok_or_else(|| Failure::bad(format!("invalid order {order}, expected asc or desc")))?,
        Some(other) => {
            let own = other.type_name();
            return Err(Failure::bad(format!("sort order argument must be a string (got {own})")));
        }
    };
    if let Some(items) = &mut items {
        super::sort(items, |x, y| {
            meter.step(1)?;
            if descending { less(y, x) } else { less(x, y) }
        })?;
        meter.grow(items.len())?;
    }
    Ok(Value::Array(match items {
        Some(items) => Array::new(items)?,
        None => Array::nil(Items::Any),
    }))
}

/// The order that a text names.
pub(in super::super) fn is_descending(order: &str) -> Option<bool> {
    match order {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    }
}
