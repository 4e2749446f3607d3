//! Functions of one number, of bits, and those that make a number of something else (`builtin/lib.go`).

use super::super::arithmetic::to_int;
use super::super::error::Failure;
use super::super::time::{Time, parse_duration};
use super::super::value::Value;
use super::super::vm::Meter;
use crate::autoscaling::go;

/// The argument at this index. A call that the static check did not see may lack it.
pub(super) fn argument(values: &[Value], index: usize) -> Result<&Value, Failure> {
    values.get(index).ok_or_else(|| Failure::bad("stack underflow"))
}

/// `type`.
pub(super) fn type_of(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let value = argument(values, 0)?;
    Value::text(match value {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Int64(_) => "int",
        Value::Uint8(_) => "uint",
        Value::Float(_) => "float",
        Value::Text(_) => "string",
        Value::Bytes(_) | Value::Array(_) => "array",
        Value::Map(_) => "map",
        Value::Method(_) => "func",
        Value::Duration(_) | Value::Time(_) | Value::Month(_) | Value::Weekday(_) => value.type_name(),
    })
}

pub(super) fn abs(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Ok(match argument(values, 0)? {
        Value::Float(x) => Value::Float(if *x < 0.0 { -x } else { *x }),
        Value::Int(x) => Value::Int(x.wrapping_abs()),
        Value::Int64(x) => Value::Int64(x.wrapping_abs()),
        Value::Uint8(x) => Value::Uint8(*x),
        other => return Err(invalid("abs", other)),
    })
}

/// `ceil`, `floor` and `round`; halves go away from zero.
pub(super) fn rounded(name: &str, values: &[Value], round: fn(f64) -> f64) -> Result<Value, Failure> {
    let value = argument(values, 0)?;
    value.as_number().map(|x| Value::Float(round(x))).ok_or_else(|| invalid(name, value))
}

fn invalid(name: &str, value: &Value) -> Failure {
    Failure::bad(format!("invalid argument for {name} (type {})", value.type_name()))
}

/// `int`: floats are cut, texts are decimal integers.
pub(super) fn int(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Ok(Value::Int(match argument(values, 0)? {
        Value::Text(text) => {
            text.parse().map_err(|_| Failure::bad(format!("invalid operation: int({text})")))?
        }
        Value::Duration(ns) => *ns,
        Value::Month(number) | Value::Weekday(number) => i64::from(*number),
        Value::Nil => return Err(Failure::bad("reflect: call of reflect.Value.Type on zero Value")),
        other => to_int(other)?,
    }))
}

/// `float`: texts are floats as `strconv.ParseFloat` reads them.
pub(super) fn float(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    let value = argument(values, 0)?;
    let bad = |shown: &str| Failure::bad(format!("invalid operation: float({shown})"));
    match value {
        Value::Text(text) => go::parse_float(text).map(Value::Float).map_err(|_| bad(text)),
        _ => value.as_number().map(Value::Float).ok_or_else(|| bad(value.type_name())),
    }
}

/// Functions that the static check refuses.
pub(super) fn not_simulated(_: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Err(Failure::unsupported("a function of the operator's clock or files is not simulated"))
}

pub(super) fn duration(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Ok(Value::Duration(parse_duration(argument(values, 0)?.to_text()?)?))
}

pub(super) fn date(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Ok(Value::Time(Time::parse(argument(values, 0)?.to_text()?)?))
}

/// `bitand` and its like.
pub(super) fn bits(
    name: &str,
    values: &[Value],
    operation: fn(i64, i64) -> Result<i64, Failure>,
) -> Result<Value, Failure> {
    let (x, y) = (argument(values, 0)?, argument(values, 1)?);
    Ok(Value::Int(operation(integer(name, x)?, integer(name, y)?)?))
}

pub(super) fn bit_not(values: &[Value], _: &mut Meter) -> Result<Value, Failure> {
    Ok(Value::Int(!integer("bitnot", argument(values, 0)?)?))
}

fn integer(name: &str, value: &Value) -> Result<i64, Failure> {
    value.as_integer().ok_or_else(|| {
        let own = value.type_name();
        Failure::bad(format!("cannot use {own} as argument (type int) to call {name}"))
    })
}

/// Go's shifts: bits fall off at any count, a negative one is an error.
pub(super) fn shift_left(x: i64, count: i64) -> Result<i64, Failure> {
    Ok(u32::try_from(shift_count(count)?).ok().and_then(|count| x.checked_shl(count)).unwrap_or(0))
}

pub(super) fn shift_right(x: i64, count: i64) -> Result<i64, Failure> {
    Ok(x >> shift_count(count)?.min(63))
}

pub(super) fn shift_right_unsigned(x: i64, count: i64) -> Result<i64, Failure> {
    let count = u32::try_from(shift_count(count)?).ok();
    Ok(count.and_then(|count| (x as u64).checked_shr(count)).unwrap_or(0) as i64)
}

fn shift_count(count: i64) -> Result<i64, Failure> {
    if count < 0 {
        return Err(Failure::bad(format!("invalid operation: negative shift count {count} (type int)")));
    }
    Ok(count)
}
