//! Functions of maps. Go gives the entries in any order; here it is the one in which they were added.

use super::super::compare::{hashable, same_key};
use super::super::error::Failure;
use super::super::format::shown;
use super::super::value::{Array, Items, Keys, Map, Value};
use super::super::vm::Meter;
use super::collections::as_array;
use super::numbers::argument;

fn map_of<'a>(values: &'a [Value], what: &str, end: &str) -> Result<&'a Map, Failure> {
    match argument(values, 0)? {
        Value::Map(map) => Ok(map),
        other => Err(Failure::bad(format!("cannot {what} {}{end}", other.kind_name()))),
    }
}

pub(super) fn keys(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let map = map_of(values, "get keys from", "")?;
    Ok(Value::Array(Array::new(map.entries.iter().map(|(key, _)| key.clone()).collect())?))
}

pub(super) fn values(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let map = map_of(values, "get values from", "")?;
    Ok(Value::Array(Array::new(map.entries.iter().map(|(_, value)| value.clone()).collect())?))
}

pub(super) fn to_pairs(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let map = map_of(values, "transform", " to pairs")?;
    let pair = |(key, value): &(Value, Value)| {
        Array::of(Items::Pair, vec![key.clone(), value.clone()]).map(Value::Array)
    };
    let pairs = map.entries.iter().map(pair).collect::<Result<_, _>>()?;
    Ok(Value::Array(Array::of(Items::Pairs, pairs)?))
}

/// `fromPairs`: the last of equal keys counts.
pub(super) fn from_pairs(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let value = argument(values, 0)?;
    let pairs = as_array(value)?
        .ok_or_else(|| Failure::bad(format!("cannot transform {} from pairs", shown(value))))?;
    let mut entries: Vec<(Value, Value)> = Vec::new();
    for pair in pairs.iter() {
        let invalid = |what: &str| Failure::bad(format!("invalid pair{what} {}", shown(&pair)));
        let items = as_array(&pair)?.ok_or_else(|| invalid(""))?;
        let (Some(key), Some(value), 2) = (items.get(0), items.get(1), items.len()) else {
            return Err(invalid(" length"));
        };
        insert(&mut entries, key, value, meter)?;
    }
    Ok(Value::Map(Map::new(Keys::Any, entries)?))
}

/// Sets the value at `key`.
///
/// # Errors
/// A key that cannot be one.
pub(in super::super) fn insert(
    entries: &mut Vec<(Value, Value)>,
    key: Value,
    value: Value,
    meter: &mut Meter,
) -> Result<(), Failure> {
    match index_of(entries, &key, meter)? {
        Some(index) => entries[index].1 = value,
        None => entries.push((key, value)),
    }
    Ok(())
}

/// Where the entry with this key is.
///
/// # Errors
/// A key that cannot be one.
pub(in super::super) fn index_of<T>(
    entries: &[(Value, T)],
    key: &Value,
    meter: &mut Meter,
) -> Result<Option<usize>, Failure> {
    hashable(key)?;
    for (index, (own, _)) in entries.iter().enumerate() {
        if same_key(own, key, meter)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
