//! `max`, `min`, `mean` and `median` of numbers and of arrays of numbers, to any depth (`builtin/lib.go`).

use super::super::compare::{less, more};
use super::super::error::Failure;
use super::super::value::{Array, Items, Value};
use super::super::vm::Meter;
use super::collections::as_array;

pub(super) fn max(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    extreme("max", values, less, meter)
}

pub(super) fn min(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    extreme("min", values, more, meter)
}

type Gives = fn(&Value, &Value) -> Result<bool, Failure>;

/// `minMax`: a value is replaced where `gives_way` to the next. NaN gives way to nothing, and nothing to it. Without any
/// number the result is nil.
fn extreme(name: &str, values: &[Value], gives_way: Gives, meter: &mut Meter) -> Result<Value, Failure> {
    let mut best = Value::Nil;
    let take = |best: &mut Value, next: Value| -> Result<(), Failure> {
        if matches!(best, Value::Nil) || gives_way(best, &next)? {
            *best = next;
        }
        Ok(())
    };
    for value in values {
        meter.step(1)?;
        match value {
            Value::Array(array) if matches!(array.items, Items::Any | Items::Ints) => {
                for item in array.iter() {
                    meter.step(1)?;
                    if item.as_number().is_some() {
                        take(&mut best, item)?;
                    } else if as_array(&item)?.is_some() {
                        match extreme(name, &[item], gives_way, meter)? {
                            Value::Nil => {}
                            nested => take(&mut best, nested)?,
                        }
                    } else {
                        return Err(invalid(name, &item));
                    }
                }
            }
            _ if has_number_kind(value) => take(&mut best, value.clone())?,
            _ => match as_array(value)? {
                Some(array) => {
                    for item in array.iter() {
                        let item = extreme(name, &[item], gives_way, meter)?;
                        if item.as_number().is_none() {
                            return Err(invalid(name, &item));
                        }
                        take(&mut best, item)?;
                    }
                }
                // One argument of any other type is its own extreme.
                None if values.len() == 1 => return Ok(value.clone()),
                None => return Err(invalid(name, value)),
            },
        }
    }
    Ok(best)
}

/// Of a number's kind, also where the type has a name of its own.
fn has_number_kind(value: &Value) -> bool {
    value.as_number().is_some() || matches!(value, Value::Duration(_) | Value::Month(_) | Value::Weekday(_))
}

pub(super) fn mean(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let (mut count, mut sum) = (0, 0.0);
    for value in values {
        match as_array(value)? {
            Some(array) => add_items(&array, &mut count, &mut sum, meter)?,
            None => add_number(value, &mut count, &mut sum)?,
        }
    }
    Ok(Value::Float(if count == 0 { 0.0 } else { sum / count as f64 }))
}

/// Adds numbers to what there is one by one, and of each array within the array the sum.
fn add_items(array: &Array, count: &mut usize, sum: &mut f64, meter: &mut Meter) -> Result<(), Failure> {
    for item in array.iter() {
        meter.step(1)?;
        match as_array(&item)? {
            Some(nested) => {
                let mut nested_sum = 0.0;
                add_items(&nested, count, &mut nested_sum, meter)?;
                *sum += nested_sum;
            }
            None => add_number(&item, count, sum)?,
        }
    }
    Ok(())
}

fn add_number(value: &Value, count: &mut usize, sum: &mut f64) -> Result<(), Failure> {
    *sum += number(value).ok_or_else(|| invalid("mean", value))?;
    *count += 1;
    Ok(())
}

pub(super) fn median(values: &[Value], meter: &mut Meter) -> Result<Value, Failure> {
    let mut numbers = Vec::new();
    collect(values.iter().cloned(), &mut numbers, meter)?;
    // `sort.Float64s` puts NaN first.
    numbers.sort_by(|x: &f64, y| match (x.is_nan(), y.is_nan()) {
        (false, false) => x.partial_cmp(y).unwrap_or(std::cmp::Ordering::Equal),
        (x_is_nan, y_is_nan) => y_is_nan.cmp(&x_is_nan),
    });
    let middle = numbers.len() / 2;
    Ok(Value::Float(match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => numbers[middle],
        _ => (numbers[middle - 1] + numbers[middle]) / 2.0,
    }))
}

fn collect(
    values: impl Iterator<Item = Value>,
    numbers: &mut Vec<f64>,
    meter: &mut Meter,
) -> Result<(), Failure> {
    for value in values {
        meter.step(1)?;
        if let Some(number) = number(&value) {
            numbers.push(number);
        } else if let Some(array) = as_array(&value)? {
            collect(array.iter(), numbers, meter)?;
        } else {
            return Err(invalid("median", &value));
        }
    }
    Ok(())
}

/// A number of any type, as a float.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Duration(ns) => Some(*ns as f64),
        Value::Month(number) | Value::Weekday(number) => Some(f64::from(*number)),
        _ => value.as_number(),
    }
}

fn invalid(name: &str, value: &Value) -> Failure {
    Failure::bad(format!("invalid argument for {name} (type {})", value.type_name()))
}
