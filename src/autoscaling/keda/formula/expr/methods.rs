//! The methods of durations, times, months and weekdays that a formula may call.

use super::arithmetic::to_int;
use super::error::Failure;
use super::nature::{Signature, Type};
use super::signatures::*;
use super::time::{MONTHS, WEEKDAYS, duration_text, round_duration, truncate_duration};
use super::value::Value;

/// A method.
#[derive(Debug)]
pub(super) struct Method {
    receiver: Type,
    pub(super) name: &'static str,
    /// With the receiver as the first parameter.
    pub(super) signature: &'static Signature,
    /// The type of the method when it is bound to its receiver.
    pub(super) bound_type: &'static str,
    /// Receiver and arguments, whose types were checked.
    run: fn(&[Value]) -> Result<Value, Failure>,
}

const fn method(
    receiver: Type,
    name: &'static str,
    signature: &'static Signature,
    bound_type: &'static str,
    run: fn(&[Value]) -> Result<Value, Failure>,
) -> Method {
    Method { receiver, name, signature, bound_type, run }
}

const HOUR: f64 = 3_600_000_000_000.0;

static METHODS: [Method; 33] = [
    method(Type::Duration, "Hours", &DURATION_TO_FLOAT, "func() float64", |v| units(v, HOUR)),
    method(Type::Duration, "Minutes", &DURATION_TO_FLOAT, "func() float64", |v| units(v, HOUR / 60.0)),
    method(Type::Duration, "Seconds", &DURATION_TO_FLOAT, "func() float64", |v| units(v, 1e9)),
    method(Type::Duration, "Milliseconds", &DURATION_TO_INT64, "func() int64", |v| {
        Ok(Value::Int64(ns(&v[0])? / 1_000_000))
    }),
    method(Type::Duration, "Microseconds", &DURATION_TO_INT64, "func() int64", |v| {
        Ok(Value::Int64(ns(&v[0])? / 1_000))
    }),
    method(Type::Duration, "Nanoseconds", &DURATION_TO_INT64, "func() int64", |v| {
        Ok(Value::Int64(ns(&v[0])?))
    }),
    method(Type::Duration, "Abs", &DURATION_TO_DURATION, "func() time.Duration", |v| {
        Ok(Value::Duration(ns(&v[0])?.saturating_abs()))
    }),
    method(Type::Duration, "Round", &TWO_DURATIONS, "func(time.Duration) time.Duration", |v| {
        Ok(Value::Duration(round_duration(ns(&v[0])?, ns(&v[1])?)))
    }),
    method(Type::Duration, "Truncate", &TWO_DURATIONS, "func(time.Duration) time.Duration", |v| {
        Ok(Value::Duration(truncate_duration(ns(&v[0])?, ns(&v[1])?)))
    }),
    method(Type::Duration, "String", &DURATION_TO_TEXT, "func() string", |v| {
        Value::text(duration_text(ns(&v[0])?))
    }),
    method(Type::Time, "Year", &TIME_TO_INT, "func() int", |v| Ok(Value::Int(time(&v[0])?.date().0))),
    method(Type::Time, "Month", &TIME_TO_MONTH, "func() time.Month", |v| {
        Ok(Value::Month(time(&v[0])?.date().1))
    }),
    method(Type::Time, "Day", &TIME_TO_INT, "func() int", |v| {
        Ok(Value::Int(i64::from(time(&v[0])?.date().2)))
    }),
    method(Type::Time, "Hour", &TIME_TO_INT, "func() int", |v| Ok(Value::Int(time(&v[0])?.clock().0))),
    method(Type::Time, "Minute", &TIME_TO_INT, "func() int", |v| Ok(Value::Int(time(&v[0])?.clock().1))),
    method(Type::Time, "Second", &TIME_TO_INT, "func() int", |v| Ok(Value::Int(time(&v[0])?.clock().2))),
    method(Type::Time, "Nanosecond", &TIME_TO_INT, "func() int", |v| Ok(Value::Int(time(&v[0])?.clock().3))),
    method(Type::Time, "Weekday", &TIME_TO_WEEKDAY, "func() time.Weekday", |v| {
        Ok(Value::Weekday(time(&v[0])?.weekday()))
    }),
    method(Type::Time, "YearDay", &TIME_TO_INT, "func() int", |v| Ok(Value::Int(time(&v[0])?.year_day()))),
    method(Type::Time, "Unix", &TIME_TO_INT64, "func() int64", |v| unix(v, 1_000_000_000)),
    method(Type::Time, "UnixMilli", &TIME_TO_INT64, "func() int64", |v| unix(v, 1_000_000)),
    method(Type::Time, "UnixMicro", &TIME_TO_INT64, "func() int64", |v| unix(v, 1_000)),
    method(Type::Time, "UnixNano", &TIME_TO_INT64, "func() int64", |v| unix(v, 1)),
    method(Type::Time, "Add", &TIME_ADD, "func(time.Duration) time.Time", |v| {
        Ok(Value::Time(time(&v[0])?.plus(ns(&v[1])?)))
    }),
    method(Type::Time, "Sub", &TIME_SUB, "func(time.Time) time.Duration", |v| {
        Ok(Value::Duration(time(&v[0])?.minus(time(&v[1])?)))
    }),
    method(Type::Time, "Compare", &TIME_COMPARE, "func(time.Time) int", |v| {
        Ok(Value::Int(time(&v[0])?.cmp(&time(&v[1])?) as i64))
    }),
    method(Type::Time, "Before", &TIME_TEST, "func(time.Time) bool", |v| {
        Ok(Value::Bool(time(&v[0])? < time(&v[1])?))
    }),
    method(Type::Time, "After", &TIME_TEST, "func(time.Time) bool", |v| {
        Ok(Value::Bool(time(&v[0])? > time(&v[1])?))
    }),
    method(Type::Time, "Equal", &TIME_TEST, "func(time.Time) bool", |v| {
        Ok(Value::Bool(time(&v[0])? == time(&v[1])?))
    }),
    method(Type::Time, "IsZero", &TIME_TO_BOOL, "func() bool", |v| Ok(Value::Bool(time(&v[0])?.is_zero()))),
    method(Type::Time, "UTC", &TIME_TO_TIME, "func() time.Time", |v| Ok(Value::Time(time(&v[0])?.utc()))),
    method(Type::Month, "String", &MONTH_TO_TEXT, "func() string", |v| name(&v[0])),
    method(Type::Weekday, "String", &WEEKDAY_TO_TEXT, "func() string", |v| name(&v[0])),
];

/// The other methods of `time.Time` (Go 1.27).
const NOT_SIMULATED: [&str; 22] = [
    "AddDate",
    "AppendBinary",
    "AppendFormat",
    "AppendText",
    "Clock",
    "Date",
    "Format",
    "GoString",
    "GobEncode",
    "ISOWeek",
    "In",
    "IsDST",
    "Local",
    "Location",
    "MarshalBinary",
    "MarshalJSON",
    "MarshalText",
    "Round",
    "String",
    "Truncate",
    "Zone",
    "ZoneBounds",
];

/// The method that a type has under this name, if any.
///
/// # Errors
/// A method of the real language that is not simulated.
pub(super) fn by_name(receiver: Type, name: &str) -> Result<Option<&'static Method>, Failure> {
    if receiver == Type::Time && NOT_SIMULATED.contains(&name) {
        return Err(Failure::unsupported(format!("the method `{name}` of a time is not simulated")));
    }
    Ok(METHODS.iter().find(|method| method.receiver == receiver && method.name == name))
}

/// The method of a value while an expression runs.
///
/// # Errors
/// As [`by_name`].
pub(super) fn of_value(value: &Value, name: &str) -> Result<Option<&'static Method>, Failure> {
    match value {
        Value::Duration(_) => by_name(Type::Duration, name),
        Value::Time(_) => by_name(Type::Time, name),
        Value::Month(_) => by_name(Type::Month, name),
        Value::Weekday(_) => by_name(Type::Weekday, name),
        _ => Ok(None),
    }
}

impl Method {
    /// Calls it (`reflect.Value.Call`).
    ///
    /// # Errors
    /// Arguments of another number or type, which the static check could not see.
    pub(super) fn call(&self, receiver: &Value, arguments: &[Value]) -> Result<Value, Failure> {
        let parameters = &self.signature.parameters[1..];
        if arguments.len() != parameters.len() {
            let (expected, got) = (parameters.len(), arguments.len());
            return Err(Failure::bad(format!("invalid number of arguments: expected {expected}, got {got}")));
        }
        let mut values = vec![receiver.clone()];
        for (argument, parameter) in arguments.iter().zip(parameters) {
            values.push(match (argument, parameter) {
                // Nil stands for the zero value.
                (Value::Nil, Type::Duration) => Value::Duration(0),
                (Value::Duration(_), Type::Duration) | (Value::Time(_), Type::Time) => argument.clone(),
                _ => {
                    let own = argument.type_name();
                    return Err(Failure::bad(format!("reflect: Call using {own} as type {parameter}")));
                }
            });
        }
        (self.run)(&values)
    }
}

fn ns(value: &Value) -> Result<i64, Failure> {
    match value {
        Value::Duration(ns) => Ok(*ns),
        _ => to_int(value),
    }
}

fn time(value: &Value) -> Result<super::time::Time, Failure> {
    match value {
        Value::Time(time) => Ok(*time),
        _ => Err(value.conversion("time.Time")),
    }
}

/// Whole units and the fraction of one, added as the real one does.
fn units(values: &[Value], unit_ns: f64) -> Result<Value, Failure> {
    let ns = ns(&values[0])?;
    let unit = unit_ns as i64;
    Ok(Value::Float((ns / unit) as f64 + (ns % unit) as f64 / unit_ns))
}

fn unix(values: &[Value], unit_ns: i64) -> Result<Value, Failure> {
    Ok(Value::Int64(time(&values[0])?.unix(unit_ns)))
}

/// The name of a month or of a weekday.
fn name(value: &Value) -> Result<Value, Failure> {
    let name = match value {
        Value::Month(month) => MONTHS.get(usize::from(*month).wrapping_sub(1)),
        Value::Weekday(day) => WEEKDAYS.get(usize::from(*day)),
        _ => None,
    };
    name.map_or_else(|| Err(value.conversion("time.Month")), |name| Value::text(*name))
}
