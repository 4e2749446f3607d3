//! What the static check knows of a value: its Go type, or nothing (`checker/nature/nature.go`).

use super::builtin::Builtin;
use std::fmt;
use std::sync::Arc;

/// The Go types that arise where the variables are floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `interface {}`.
    Any,
    Bool,
    Int,
    Int64,
    Uint8,
    Float64,
    String,
    /// `[]uint8`, the value of a bytes literal.
    Bytes,
    /// `[]interface {}`.
    Array,
    /// `[]string`.
    Strings,
    /// `[]int`: of ranges when they run, in no static type but a parameter's.
    Ints,
    /// `[]float64`: in no static type but a parameter's.
    Floats,
    /// `map[string]interface {}`.
    Object,
    /// `map[interface {}]interface {}`.
    AnyMap,
    /// `map[interface {}][]interface {}`.
    Groups,
    Time,
    Duration,
    Month,
    Weekday,
    Func(&'static Signature),
}

/// The type of a function. Methods take their receiver as the first parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) parameters: &'static [Type],
    /// The last parameter stands for any number of arguments.
    pub(super) variadic: bool,
    pub(super) results: &'static [Type],
    /// Returns an error after the results.
    pub(super) fallible: bool,
}

/// The classes of types that the checker tells apart (`reflect.Kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeKind {
    /// Of nothing, and of nil.
    Invalid,
    Interface,
    Bool,
    Int,
    Int64,
    Uint8,
    Float64,
    String,
    Slice,
    Map,
    Struct,
    Func,
}

impl Type {
    pub(super) fn kind(self) -> TypeKind {
        match self {
            Type::Any => TypeKind::Interface,
            Type::Bool => TypeKind::Bool,
            Type::Int | Type::Month | Type::Weekday => TypeKind::Int,
            Type::Int64 | Type::Duration => TypeKind::Int64,
            Type::Uint8 => TypeKind::Uint8,
            Type::Float64 => TypeKind::Float64,
            Type::String => TypeKind::String,
            Type::Bytes | Type::Array | Type::Strings | Type::Ints | Type::Floats => TypeKind::Slice,
            Type::Object | Type::AnyMap | Type::Groups => TypeKind::Map,
            Type::Time => TypeKind::Struct,
            Type::Func(_) => TypeKind::Func,
        }
    }

    /// Not a type with a name of its own in a package.
    pub(super) fn is_unnamed(self) -> bool {
        !matches!(self, Type::Time | Type::Duration | Type::Month | Type::Weekday)
    }

    /// The type of an item; of what has none, anything.
    pub(super) fn element(self) -> Type {
        match self {
            Type::Bytes => Type::Uint8,
            Type::Strings => Type::String,
            Type::Groups => Type::Array,
            _ => Type::Any,
        }
    }

    fn key(self) -> Type {
        if self == Type::Object { Type::String } else { Type::Any }
    }

    /// Whether a function that computes with numbers takes it (`reflect.Kind` of a number).
    pub(super) fn has_number_kind(self) -> bool {
        use TypeKind::{Float64, Int, Int64, Uint8};
        matches!(self.kind(), Int | Int64 | Uint8 | Float64)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Any => "interface {}",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Int64 => "int64",
            Type::Uint8 => "uint8",
            Type::Float64 => "float64",
            Type::String => "string",
            Type::Bytes => "[]uint8",
            Type::Array => "[]interface {}",
            Type::Strings => "[]string",
            Type::Ints => "[]int",
            Type::Floats => "[]float64",
            Type::Object => "map[string]interface {}",
            Type::AnyMap => "map[interface {}]interface {}",
            Type::Groups => "map[interface {}][]interface {}",
            Type::Time => "time.Time",
            Type::Duration => "time.Duration",
            Type::Month => "time.Month",
            Type::Weekday => "time.Weekday",
            Type::Func(signature) => return signature.fmt(f),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        for (i, parameter) in self.parameters.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let dots = if self.variadic && i + 1 == self.parameters.len() { "..." } else { "" };
            write!(f, "{comma}{dots}{parameter}")?;
        }
        f.write_str(")")?;
        match (self.results, self.fallible) {
            ([result], false) => write!(f, " {result}"),
            ([result], true) => write!(f, " ({result}, error)"),
            _ => Ok(()),
        }
    }
}

/// What is known of a value. The default is nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Nature {
    /// Its type. `None` of nil and of what is unknown.
    pub(super) ty: Option<Type>,
    /// It is nil.
    pub(super) nil: bool,
    /// The nature of the items of an array, where it is known more closely than by the type.
    element: Option<Arc<Nature>>,
    /// The function of the language that it is.
    pub(super) builtin: Option<&'static Builtin>,
}

impl From<Type> for Nature {
    fn from(ty: Type) -> Self {
        Nature { ty: Some(ty), ..Nature::default() }
    }
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ty {
            Some(ty) => ty.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

impl Nature {
    pub(super) fn nil() -> Self {
        Nature { nil: true, ..Nature::default() }
    }

    /// A function of the language by its name, which is no value.
    pub(super) fn function(builtin: &'static Builtin) -> Self {
        Nature { builtin: Some(builtin), ..Type::Func(builtin.signature()).into() }
    }

    /// An array of such items.
    pub(super) fn array_of(element: Nature) -> Self {
        Nature { element: Some(Arc::new(element)), ..Type::Array.into() }
    }

    pub(super) fn kind(&self) -> TypeKind {
        self.ty.map_or(TypeKind::Invalid, Type::kind)
    }

    /// The type that the rest of the compiler sees: anything where none is known (`Node.Type`).
    pub(super) fn type_or_any(&self) -> Type {
        self.ty.unwrap_or(Type::Any)
    }

    pub(super) fn is(&self, ty: Type) -> bool {
        self.ty == Some(ty)
    }

    pub(super) fn is_unknown(&self) -> bool {
        match self.ty {
            None => !self.nil,
            Some(ty) => ty == Type::Any,
        }
    }

    /// Of an integer type that has no name of its own: a month is none.
    pub(super) fn is_integer(&self) -> bool {
        matches!(self.ty, Some(Type::Int | Type::Int64 | Type::Uint8))
    }

    pub(super) fn is_float(&self) -> bool {
        self.is(Type::Float64)
    }

    pub(super) fn is_number(&self) -> bool {
        self.is_integer() || self.is_float()
    }

    pub(super) fn is_array(&self) -> bool {
        self.kind() == TypeKind::Slice
    }

    pub(super) fn is_map(&self) -> bool {
        self.kind() == TypeKind::Map
    }

    /// The nature of an item of an array or map.
    pub(super) fn element(&self) -> Nature {
        match (&self.element, self.ty) {
            (Some(element), _) if self.is_array() => (**element).clone(),
            (_, Some(ty)) if self.is_array() || self.is_map() => ty.element().into(),
            _ => Nature::default(),
        }
    }

    /// The nature of a key of a map.
    pub(super) fn key(&self) -> Nature {
        match self.ty {
            Some(ty) if self.is_map() => ty.key().into(),
            _ => Nature::default(),
        }
    }

    pub(super) fn is_assignable_to(&self, to: &Nature) -> bool {
        use TypeKind::{Func, Interface, Map, Slice};
        if self.nil && matches!(to.kind(), Interface | Func | Map | Slice) {
            return true;
        }
        match (self.ty, to.ty) {
            (Some(own), Some(other)) => own == other || other == Type::Any,
            _ => false,
        }
    }

    pub(super) fn is_comparable_to(&self, to: &Nature) -> bool {
        self.is_unknown()
            || to.is_unknown()
            || self.nil
            || to.nil
            || (self.is_number() && to.is_number())
            || (self.is_array() && to.is_array())
            || self.is_assignable_to(to)
    }

    /// What an operator on two numbers gives.
    pub(super) fn promoted(&self, other: &Nature) -> Nature {
        if self.is_float() || other.is_float() { Type::Float64.into() } else { Type::Int.into() }
    }
}
