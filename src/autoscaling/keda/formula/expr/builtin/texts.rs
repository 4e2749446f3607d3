//! Functions of texts (Go's package `strings`).

use super::super::arithmetic::to_int;
use super::super::error::{Class, Failure};
use super::super::format::shown;
use super::super::limits::{MEMORY_BUDGET, TEXT_BYTES_MAX};
use super::super::value::{Array, Items, Value};
use super::super::vm::Meter;
use super::numbers::argument;

fn text(values: &[Value], index: usize) -> Result<&str, Failure> {
    argument(values, index)?.to_text().map(AsRef::as_ref)
}

/// `string`: any value as `fmt` prints it.
pub(super) fn string(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Value::text(shown(argument(values, 0)?))
}

/// `trim(text)` takes off white space, `trim(text, characters)` any of those.
pub(super) fn trim(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let trimmed = text(values, 0)?;
    Value::text(match values.len() {
        1 => trimmed.trim(),
        _ => {
            let cut = text(values, 1)?;
            trimmed.trim_matches(|c| cut.contains(c))
        }
    })
}

/// What is cut off: a space where nothing is given.
fn affix(values: &[Value]) -> Result<&str, Failure> {
    if values.len() == 2 { text(values, 1) } else { Ok(" ") }
}

pub(super) fn trim_prefix(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let (prefix, whole) = (affix(values)?, text(values, 0)?);
    Value::text(whole.strip_prefix(prefix).unwrap_or(whole))
}

pub(super) fn trim_suffix(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let (suffix, whole) = (affix(values)?, text(values, 0)?);
    Value::text(whole.strip_suffix(suffix).unwrap_or(whole))
}

/// `upper`: each character by itself, those without a single capital letter stay.
pub(super) fn upper(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let upper = |c: char| single(c.to_uppercase()).unwrap_or(c);
    Value::text(text(values, 0)?.chars().map(upper).collect::<String>())
}

/// `lower`, likewise.
pub(super) fn lower(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let lower = |c: char| single(c.to_lowercase()).unwrap_or(c);
    Value::text(text(values, 0)?.chars().map(lower).collect::<String>())
}

fn single(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

/// `split` and `splitAfter`, which keeps the separators. A limit of 0 gives a nil slice, a negative one is none.
pub(super) fn split(values: &[Value], keep: bool, meter: &mut Meter) -> Result<Value, Failure> {
    let (whole, separator) = (text(values, 0)?, text(values, 1)?);
    let limit = match values.get(2) {
        None => usize::MAX,
        Some(limit) => match to_int(limit)? {
            0 => return Ok(Value::Array(Array::nil(Items::Texts))),
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        },
    };
    let mut parts: Vec<Value> = Vec::new();
    let mut rest = whole;
    while parts.len() + 1 < limit && !rest.is_empty() {
        meter.step(1)?;
        // Nothing between characters separates them all.
        let end = if separator.is_empty() {
            rest.chars().next().map(char::len_utf8).filter(|&end| end < rest.len())
        } else {
            rest.find(separator)
        };
        let Some(end) = end else { break };
        let kept = if keep { end + separator.len() } else { end };
        parts.push(Value::Text(rest[..kept].into()));
        rest = &rest[end + separator.len()..];
    }
    if !(separator.is_empty() && rest.is_empty()) {
        parts.push(Value::Text(rest.into()));
    }
    Ok(Value::Array(Array::of(Items::Texts, parts)?))
}

/// `replace(text, old, new)` everywhere, or so many times.
pub(super) fn replace(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let (whole, old, new) = (text(values, 0)?, text(values, 1)?, text(values, 2)?);
    let times = match values.get(3) {
        None => usize::MAX,
        Some(times) => usize::try_from(to_int(times)?).unwrap_or(usize::MAX),
    };
    let found = whole.matches(old).take(times).count();
    if whole.len().saturating_add(found.saturating_mul(new.len())) > TEXT_BYTES_MAX {
        return Err(Failure::unsupported(format!("a text has more than {TEXT_BYTES_MAX} bytes")));
    }
    Value::text(whole.replacen(old, new, times))
}

/// `repeat`: its bytes count as memory.
pub(super) fn repeat(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let (whole, times) = (text(values, 0)?, to_int(argument(values, 1)?)?);
    if times < 0 {
        return Err(Failure::bad(format!(
            "invalid argument for repeat (expected positive integer, got {times})"
        )));
    }
    let bytes = (whole.len() as u64).checked_mul(times as u64);
    match bytes.filter(|&bytes| times as u64 <= MEMORY_BUDGET && bytes <= MEMORY_BUDGET) {
        Some(bytes) => meter.grow(bytes as usize)?,
        None => return Err(Failure::new(Class::MemoryBudget, "memory budget exceeded")),
    }
    Value::text(whole.repeat(times as usize))
}

pub(super) fn join(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let glue = if values.len() == 2 { text(values, 1)? } else { "" };
    let list = argument(values, 0)?;
    match list {
        Value::Array(array) if matches!(array.items, Items::Any | Items::Texts) => {
            let mut joined = String::new();
            for (i, item) in array.iter().enumerate() {
                meter.step(1)?;
                if i > 0 {
                    joined.push_str(glue);
                }
                joined.push_str(item.to_text()?);
                if joined.len() > TEXT_BYTES_MAX {
                    break;
                }
            }
            Value::text(joined)
        }
        _ => Err(Failure::bad(format!("invalid argument for join (type {})", list.type_name()))),
    }
}

/// `indexOf` and `lastIndexOf`, in bytes; -1 where it is not found.
pub(super) fn index_of(values: &[Value], find: fn(&str, &str) -> Option<usize>) -> Result<Value, Failure> {
    Ok(Value::Int(find(text(values, 0)?, text(values, 1)?).map_or(-1, |index| index as i64)))
}

/// `hasPrefix` and `hasSuffix`.
pub(super) fn test(values: &[Value], test: fn(&str, &str) -> bool) -> Result<Value, Failure> {
    Ok(Value::Bool(test(text(values, 0)?, text(values, 1)?)))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `base64.StdEncoding`.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut encoded = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let sextet = BASE64[(bits >> shift & 63) as usize];
            encoded.push(if index <= group.len() { char::from(sextet) } else { '=' });
        }
    }
    encoded
}

pub(super) fn to_base64(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Value::text(base64(text(values, 0)?.as_bytes()))
}

/// `fromBase64`: newlines are skipped, padding is required.
pub(super) fn from_base64(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let encoded: Vec<u8> = text(values, 0)?.bytes().filter(|c| !matches!(c, b'\r' | b'\n')).collect();
    let illegal = || Failure::bad("illegal base64 data");
    let data = encoded.len() - encoded.iter().rev().take(2).take_while(|&&c| c == b'=').count();
    if !encoded.len().is_multiple_of(4) {
        return Err(illegal());
    }
    let mut bytes = Vec::new();
    for group in encoded[..data].chunks(4) {
        let mut bits = 0_u32;
        for c in group {
            let sextet = BASE64.iter().position(|known| known == c).ok_or_else(illegal)?;
            bits = bits << 6 | sextet as u32;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    let decoded = String::from_utf8(bytes)
        .map_err(|_| Failure::unsupported("a text that is not UTF-8 is not simulated"))?;
    Value::text(decoded)
}
