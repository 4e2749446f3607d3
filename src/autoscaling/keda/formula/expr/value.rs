//! Values while an expression runs, each with the Go type that the real language gives it.

use super::error::Failure;
use super::limits::{TEXT_BYTES_MAX, VALUE_DEPTH_MAX};
use super::methods::Method;
use super::time::Time;
use std::sync::Arc;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `nil`.
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`, of 64 bits.
    Int(i64),
    /// `int64`, of the methods of times.
    Int64(i64),
    /// `uint8`, an item of bytes or of a text.
    Uint8(u8),
    /// `float64`.
    Float(f64),
    /// `string`.
    Text(Arc<str>),
    /// `[]uint8`.
    Bytes(Arc<[u8]>),
    /// An array.
    Array(Array),
    /// A map.
    Map(Map),
    /// `time.Duration`, nanoseconds.
    Duration(i64),
    /// `time.Time`.
    Time(Time),
    /// `time.Month`, 1 to 12.
    Month(u8),
    /// `time.Weekday`, 0 (Sunday) to 6.
    Weekday(u8),
    /// A method with its receiver.
    Method(Arc<BoundMethod>),
}

/// A method that was taken from a value.
#[derive(Debug)]
pub(crate) struct BoundMethod {
    pub(super) receiver: Value,
    pub(super) method: &'static Method,
}

/// The type of the items of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Items {
    /// `[]interface {}`.
    Any,
    /// `[]int`, a range.
    Ints,
    /// `[]string`.
    Texts,
    /// `[][2]interface {}`.
    Pairs,
    /// `[2]interface {}`, an item of the former.
    Pair,
}

/// An array.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(super) items: Items,
    storage: Storage,
    /// A nil slice: it has no items, and `??` takes it for nil.
    pub(super) is_nil: bool,
    depth: usize,
}

#[derive(Clone, Debug)]
enum Storage {
    Values(Arc<[Value]>),
    /// So many integers from this one on.
    Range {
        first: i64,
        len: usize,
    },
}

impl Array {
    /// An array of values of any type.
    pub(super) fn new(values: Vec<Value>) -> Result<Self, Failure> {
        Self::of(Items::Any, values)
    }

    /// An array of such items.
    pub(super) fn of(items: Items, values: Vec<Value>) -> Result<Self, Failure> {
        let depth = nested(values.iter())?;
        Ok(Array { items, storage: Storage::Values(values.into()), is_nil: false, depth })
    }

    /// The array of a Go variable that was never set.
    pub(super) fn nil(items: Items) -> Self {
        Array { items, storage: Storage::Values(Arc::default()), is_nil: true, depth: 1 }
    }

    /// The integers from `first` on.
    pub(super) fn range(first: i64, len: usize) -> Self {
        Array { items: Items::Ints, storage: Storage::Range { first, len }, is_nil: false, depth: 1 }
    }

    pub(super) fn len(&self) -> usize {
        match &self.storage {
            Storage::Values(values) => values.len(),
            Storage::Range { len, .. } => *len,
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value> {
        match &self.storage {
            Storage::Values(values) => values.get(index).cloned(),
            Storage::Range { first, len } => {
                (index < *len).then(|| Value::Int(first.wrapping_add(index as i64)))
            }
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Value> + ExactSizeIterator + '_ {
        // Every index below the length has an item.
        (0..self.len()).map(|index| self.get(index).unwrap_or(Value::Nil))
    }

    /// The items from one index to before another, which are within it.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        let storage = match &self.storage {
            Storage::Values(values) => Storage::Values(values[from..to].into()),
            Storage::Range { first, .. } => {
                Storage::Range { first: first.wrapping_add(from as i64), len: to - from }
            }
        };
        Array { storage, ..self.clone() }
    }
}

/// The type of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// `map[string]interface {}`.
    Object,
    /// `map[interface {}]interface {}`.
    Any,
    /// `map[interface {}][]interface {}`.
    Groups,
    /// `map[string]float64`, the variables while KEDA's webhook runs the formula.
    Floats,
}

/// A map. Go gives its entries in any order; here it is the order in which they were added.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(super) keys: Keys,
    pub(super) entries: Arc<[(Value, Value)]>,
    depth: usize,
}

impl Map {
    pub(super) fn new(keys: Keys, entries: Vec<(Value, Value)>) -> Result<Self, Failure> {
        let depth = nested(entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Map { keys, entries: entries.into(), depth })
    }
}

/// One more than the depth of the deepest.
fn nested<'a>(values: impl Iterator<Item = &'a Value>) -> Result<usize, Failure> {
    let depth = |value: &Value| match value {
        Value::Array(array) => array.depth,
        Value::Map(map) => map.depth,
        _ => 0,
    };
    let depth = values.map(depth).max().unwrap_or(0) + 1;
    if depth > VALUE_DEPTH_MAX {
        return Err(Failure::unsupported(format!(
            "more than {VALUE_DEPTH_MAX} arrays and maps lie within each other"
        )));
    }
    Ok(depth)
}

impl std::fmt::Display for Value {
    /// As Go's `fmt` prints it with `%v`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::format::shown(self))
    }
}

impl Value {
    /// The variables of an expression as a map; they all are floats where `typed`.
    pub(crate) fn variables<'a>(entries: impl Iterator<Item = (&'a str, Value)>, typed: bool) -> Self {
        let keys = if typed { Keys::Floats } else { Keys::Object };
        let entries = entries.map(|(name, value)| (Value::Text(name.into()), value)).collect();
        Value::Map(Map { keys, entries, depth: 1 })
    }

    /// A text, unless it is too long.
    pub(super) fn text(text: impl Into<Arc<str>>) -> Result<Self, Failure> {
        let text = text.into();
        if text.len() > TEXT_BYTES_MAX {
            return Err(Failure::unsupported(format!("a text has more than {TEXT_BYTES_MAX} bytes")));
        }
        Ok(Value::Text(text))
    }

    /// `runtime.IsNil`: nil, or a nil slice.
    pub(super) fn is_nil(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::Array(array) => array.is_nil,
            _ => false,
        }
    }

    /// The name of the Go type (`%T`).
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Uint8(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::Array(array) => match array.items {
                Items::Any => "[]interface {}",
                Items::Ints => "[]int",
                Items::Texts => "[]string",
                Items::Pairs => "[][2]interface {}",
                Items::Pair => "[2]interface {}",
            },
            Value::Map(map) => match map.keys {
                Keys::Object => "map[string]interface {}",
                Keys::Any => "map[interface {}]interface {}",
                Keys::Groups => "map[interface {}][]interface {}",
                Keys::Floats => "map[string]float64",
            },
            Value::Duration(_) => "time.Duration",
            Value::Time(_) => "time.Time",
            Value::Month(_) => "time.Month",
            Value::Weekday(_) => "time.Weekday",
            Value::Method(bound) => bound.method.bound_type,
        }
    }

    /// The name of the class of the Go type (`reflect.Kind`), as the messages of `reflect` give it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Value::Nil => "invalid",
            Value::Bytes(_) => "slice",
            Value::Array(Array { items: Items::Pair, .. }) => "array",
            Value::Array(_) => "slice",
            Value::Map(_) => "map",
            Value::Duration(_) => "int64",
            Value::Time(_) => "struct",
            Value::Month(_) | Value::Weekday(_) => "int",
            Value::Method(_) => "func",
            _ => self.type_name(),
        }
    }

    /// An integer of one of the types that have no name of their own.
    pub(super) fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Int(value) | Value::Int64(value) => Some(*value),
            Value::Uint8(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// A number as a float.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            _ => self.as_integer().map(|value| value as f64),
        }
    }

    /// The assertion `value.(bool)`.
    pub(super) fn to_bool(&self) -> Result<bool, Failure> {
        match self {
            Value::Bool(value) => Ok(*value),
            _ => Err(self.conversion("bool")),
        }
    }

    /// The assertion `value.(string)`.
    pub(super) fn to_text(&self) -> Result<&Arc<str>, Failure> {
        match self {
            Value::Text(text) => Ok(text),
            _ => Err(self.conversion("string")),
        }
    }

    /// Go's panic for an assertion that does not hold.
    pub(super) fn conversion(&self, wanted: &str) -> Failure {
        let own = if matches!(self, Value::Nil) { "nil" } else { self.type_name() };
        Failure::bad(format!("interface conversion: interface {{}} is {own}, not {wanted}"))
    }
}
