//! `+`, `-`, `*`, `/`, `%` and `^` (`vm/runtime/helpers[generated].go`): integers wrap, a float makes a float.

use super::error::{Class, Failure};
use super::go_math::pow;
use super::value::Value;
use crate::autoscaling::go;

/// `runtime.Add`.
pub(super) fn add(a: &Value, b: &Value) -> Result<Value, Failure> {
    if let Some(sum) = numbers(a, b, i64::wrapping_add, |x, y| x + y) {
        return Ok(sum);
    }
    match (a, b) {
        (Value::Text(x), Value::Text(y)) => Value::text(format!("{x}{y}")),
        (Value::Time(time), Value::Duration(ns)) | (Value::Duration(ns), Value::Time(time)) => {
            Ok(Value::Time(time.plus(*ns)))
        }
        (Value::Duration(x), Value::Duration(y)) => Ok(Value::Duration(x.wrapping_add(*y))),
        _ => Err(undefined(a, "+", b)),
    }
}

/// `runtime.Subtract`.
pub(super) fn subtract(a: &Value, b: &Value) -> Result<Value, Failure> {
    if let Some(difference) = numbers(a, b, i64::wrapping_sub, |x, y| x - y) {
        return Ok(difference);
    }
    match (a, b) {
        (Value::Time(x), Value::Time(y)) => Ok(Value::Duration(x.minus(*y))),
        (Value::Time(time), Value::Duration(ns)) => Ok(Value::Time(time.plus(ns.wrapping_neg()))),
        (Value::Duration(x), Value::Duration(y)) => Ok(Value::Duration(x.wrapping_sub(*y))),
        _ => Err(undefined(a, "-", b)),
    }
}

/// `runtime.Multiply`: a duration times an integer is a duration, times a float it is a float.
pub(super) fn multiply(a: &Value, b: &Value) -> Result<Value, Failure> {
    if let Some(product) = numbers(a, b, i64::wrapping_mul, |x, y| x * y) {
        return Ok(product);
    }
    match (a, b) {
        (Value::Duration(x), Value::Duration(y)) => Ok(Value::Duration(x.wrapping_mul(*y))),
        (Value::Duration(ns), Value::Float(x)) | (Value::Float(x), Value::Duration(ns)) => {
            Ok(Value::Float(*ns as f64 * x))
        }
        (Value::Duration(ns), other) | (other, Value::Duration(ns)) => match other.as_integer() {
            Some(factor) => Ok(Value::Duration(ns.wrapping_mul(factor))),
            None => Err(undefined(a, "*", b)),
        },
        _ => Err(undefined(a, "*", b)),
    }
}

/// `runtime.Divide`: always of floats, so that nothing divided by zero is an error.
pub(super) fn divide(a: &Value, b: &Value) -> Result<Value, Failure> {
    match (a.as_number(), b.as_number()) {
        (Some(x), Some(y)) => Ok(Value::Float(x / y)),
        _ => Err(undefined(a, "/", b)),
    }
}

/// `runtime.Modulo`: of integers only, with the sign of the dividend.
pub(super) fn modulo(a: &Value, b: &Value) -> Result<Value, Failure> {
    match (a.as_integer(), b.as_integer()) {
        (Some(_), Some(0)) => Err(Failure::new(Class::IntDivZero, "runtime error: integer divide by zero")),
        (Some(x), Some(y)) => Ok(Value::Int(x.wrapping_rem(y))),
        _ => Err(undefined(a, "%", b)),
    }
}

/// `runtime.Exponent`.
pub(super) fn exponent(a: &Value, b: &Value) -> Result<Value, Failure> {
    Ok(Value::Float(pow(to_float(a)?, to_float(b)?)))
}

/// `runtime.Negate`.
pub(super) fn negate(value: &Value) -> Result<Value, Failure> {
    match value {
        Value::Float(x) => Ok(Value::Float(-x)),
        Value::Int(x) => Ok(Value::Int(x.wrapping_neg())),
        Value::Int64(x) => Ok(Value::Int64(x.wrapping_neg())),
        Value::Uint8(x) => Ok(Value::Uint8(x.wrapping_neg())),
        _ => Err(Failure::bad(format!("invalid operation: - {}", value.type_name()))),
    }
}

/// `runtime.ToInt`: floats are cut.
pub(super) fn to_int(value: &Value) -> Result<i64, Failure> {
    match value {
        Value::Float(x) => Ok(go::int64(*x)),
        _ => value
            .as_integer()
            .ok_or_else(|| Failure::bad(format!("invalid operation: int({})", value.type_name()))),
    }
}

/// `runtime.ToFloat64`.
pub(super) fn to_float(value: &Value) -> Result<f64, Failure> {
    value.as_number().ok_or_else(|| Failure::bad(format!("invalid operation: float({})", value.type_name())))
}

fn numbers(
    a: &Value,
    b: &Value,
    integers: impl Fn(i64, i64) -> i64,
    floats: impl Fn(f64, f64) -> f64,
) -> Option<Value> {
    if let (Some(x), Some(y)) = (a.as_integer(), b.as_integer()) {
        return Some(Value::Int(integers(x, y)));
    }
    Some(Value::Float(floats(a.as_number()?, b.as_number()?)))
}

fn undefined(a: &Value, sign: &str, b: &Value) -> Failure {
    Failure::bad(format!("invalid operation: {} {sign} {}", a.type_name(), b.type_name()))
}
