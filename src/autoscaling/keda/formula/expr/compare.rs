//! `==`, `<` and their relatives (`vm/runtime/helpers[generated].go`).

use super::error::Failure;
use super::value::{Array, Items, Keys, Map, Value};
use super::vm::Meter;
use std::cmp::Ordering;

/// `runtime.Equal`: numbers by value whatever their types, arrays item by item, the rest with its type.
pub(super) fn equal(a: &Value, b: &Value, meter: &mut Meter) -> Result<bool, Failure> {
    meter.step(1)?;
    if let (Some(x), Some(y)) = (a.as_integer(), b.as_integer()) {
        return Ok(x == y);
    }
    if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
        return Ok(x == y);
    }
    match (a, b) {
        (Value::Array(x), Value::Array(y)) if are_compared_by_item(x, y) => equal_items(x, y, meter),
        // Bytes are a typed array as well: they equal an array of anything item by item.
        (Value::Bytes(x), Value::Array(y)) | (Value::Array(y), Value::Bytes(x)) if y.items == Items::Any => {
            let bytes = x.iter().map(|&byte| Value::Uint8(byte)).collect();
            equal_items(y, &Array::new(bytes)?, meter)
        }
        (Value::Time(x), Value::Time(y)) => Ok(x == y),
        _ => Ok((a.is_nil() && b.is_nil()) || deeply_equal(a, b, meter)?),
    }
}

/// Arrays of anything, and two of one type.
fn are_compared_by_item(x: &Array, y: &Array) -> bool {
    let plain = |array: &Array| matches!(array.items, Items::Any | Items::Ints | Items::Texts);
    plain(x) && plain(y) && (x.items == Items::Any || y.items == Items::Any || x.items == y.items)
}

fn equal_items(x: &Array, y: &Array, meter: &mut Meter) -> Result<bool, Failure> {
    if x.len() != y.len() {
        return Ok(false);
    }
    for (x, y) in x.iter().zip(y.iter()) {
        if !equal(&x, &y, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `reflect.DeepEqual`: types and values.
fn deeply_equal(a: &Value, b: &Value, meter: &mut Meter) -> Result<bool, Failure> {
    meter.step(1)?;
    if a.type_name() != b.type_name() {
        return Ok(false);
    }
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(x), Value::Bool(y)) => x == y,
        (Value::Int(x), Value::Int(y))
        | (Value::Int64(x), Value::Int64(y))
        | (Value::Duration(x), Value::Duration(y)) => x == y,
        (Value::Uint8(x), Value::Uint8(y))
        | (Value::Month(x), Value::Month(y))
        | (Value::Weekday(x), Value::Weekday(y)) => x == y,
        (Value::Float(x), Value::Float(y)) => x == y,
        (Value::Text(x), Value::Text(y)) => x == y,
        (Value::Bytes(x), Value::Bytes(y)) => x == y,
        (Value::Time(x), Value::Time(y)) => x == y,
        (Value::Array(x), Value::Array(y)) => {
            if x.is_nil != y.is_nil || x.len() != y.len() {
                return Ok(false);
            }
            for (x, y) in x.iter().zip(y.iter()) {
                if !deeply_equal(&x, &y, meter)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(x), Value::Map(y)) => return deeply_equal_maps(x, y, meter),
        // Functions equal nothing.
        _ => false,
    })
}

fn deeply_equal_maps(x: &Map, y: &Map, meter: &mut Meter) -> Result<bool, Failure> {
    if x.entries.len() != y.entries.len() {
        return Ok(false);
    }
    for (key, value) in x.entries.iter() {
        let same = match lookup(y, key, meter)? {
            Some(other) => deeply_equal(value, &other, meter)?,
            None => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The value at `key`, which has the type of the map's keys.
fn lookup(map: &Map, key: &Value, meter: &mut Meter) -> Result<Option<Value>, Failure> {
    for (own, value) in map.entries.iter() {
        if same_key(own, key, meter)? {
            return Ok(Some(value.clone()));
        }
    }
    Ok(None)
}

/// Whether two keys are one: of the same type, and equal; NaN equals no key.
pub(super) fn same_key(a: &Value, b: &Value, meter: &mut Meter) -> Result<bool, Failure> {
    deeply_equal(a, b, meter)
}

/// `reflect.Value.MapIndex`: nil stands for the empty text where keys are texts.
///
/// # Errors
/// A key of a type that the map cannot have.
pub(super) fn map_index(map: &Map, key: &Value, meter: &mut Meter) -> Result<Option<Value>, Failure> {
    match (map.keys, key) {
        (Keys::Object | Keys::Floats, Value::Nil) => lookup(map, &Value::Text("".into()), meter),
        (Keys::Object | Keys::Floats, Value::Text(_)) => lookup(map, key, meter),
        (Keys::Object | Keys::Floats, _) => Err(not_a_key(key, "string")),
        (Keys::Any | Keys::Groups, _) => {
            hashable(key)?;
            lookup(map, key, meter)
        }
    }
}

/// The panic of `reflect` for a key that the map's type does not take.
pub(super) fn not_a_key(key: &Value, wanted: &str) -> Failure {
    let own = key.type_name();
    Failure::bad(format!("reflect.Value.MapIndex: value of type {own} is not assignable to type {wanted}"))
}

/// Whether a value can be a key: slices, maps and functions cannot, nor a pair that holds one.
///
/// # Errors
/// Go's panic for one that cannot.
pub(super) fn hashable(key: &Value) -> Result<(), Failure> {
    match key {
        Value::Array(pair) if pair.items == Items::Pair => pair.iter().try_for_each(|item| hashable(&item)),
        Value::Array(_) | Value::Bytes(_) | Value::Map(_) | Value::Method(_) => {
            Err(Failure::bad(format!("hash of unhashable type: {}", key.type_name())))
        }
        _ => Ok(()),
    }
}

/// How two values compare; `None` where one is NaN.
///
/// # Errors
/// Values that have no order between them; `sign` is the operator's.
pub(super) fn compare(a: &Value, b: &Value, sign: &str) -> Result<Option<Ordering>, Failure> {
    if let (Some(x), Some(y)) = (a.as_integer(), b.as_integer()) {
        return Ok(Some(x.cmp(&y)));
    }
    if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
        return Ok(x.partial_cmp(&y));
    }
    match (a, b) {
        (Value::Text(x), Value::Text(y)) => Ok(Some(x.cmp(y))),
        (Value::Duration(x), Value::Duration(y)) => Ok(Some(x.cmp(y))),
        (Value::Time(x), Value::Time(y)) => Ok(Some(x.cmp(y))),
        _ => Err(Failure::bad(format!("invalid operation: {} {sign} {}", a.type_name(), b.type_name()))),
    }
}

/// `runtime.Less`.
pub(super) fn less(a: &Value, b: &Value) -> Result<bool, Failure> {
    Ok(compare(a, b, "<")? == Some(Ordering::Less))
}

/// `runtime.More`.
pub(super) fn more(a: &Value, b: &Value) -> Result<bool, Failure> {
    Ok(compare(a, b, ">")? == Some(Ordering::Greater))
}
