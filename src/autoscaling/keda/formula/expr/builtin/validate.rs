//! Which types of arguments a function takes (the `Validate` functions of `builtin/builtin.go`).
//!
//! A type is anything where it is unknown, and none of nil.

use super::super::error::Class;
use super::super::nature::{Type, TypeKind};

/// The type of the result, or what is wrong with the arguments.
pub(in super::super) type Validated = Result<Type, (Class, String)>;

fn arity(expected: &str, got: usize) -> (Class, String) {
    (Class::Arity, format!("invalid number of arguments (expected {expected}, got {got})"))
}

fn bad(message: String) -> (Class, String) {
    (Class::BadArgument, message)
}

/// A type as Go prints it, nil's too.
fn shown(ty: Option<Type>) -> String {
    ty.map_or_else(|| "%!s(<nil>)".to_owned(), |ty| ty.to_string())
}

fn kind(ty: Option<Type>) -> TypeKind {
    ty.map_or(TypeKind::Invalid, Type::kind)
}

/// The only argument.
fn only(types: &[Option<Type>]) -> Result<Option<Type>, (Class, String)> {
    match types {
        [ty] => Ok(*ty),
        _ => Err(arity("1", types.len())),
    }
}

/// A number or something unknown.
fn may_be_number(ty: Option<Type>) -> Option<Type> {
    ty.filter(|ty| ty.has_number_kind() || *ty == Type::Any)
}

/// An array or something unknown.
fn may_be_array(ty: Option<Type>) -> Option<Type> {
    ty.filter(|_| matches!(kind(ty), TypeKind::Slice | TypeKind::Interface))
}

/// A map or something unknown.
fn may_be_map(ty: Option<Type>) -> Option<Type> {
    ty.filter(|_| matches!(kind(ty), TypeKind::Map | TypeKind::Interface))
}

fn invalid(name: &str, ty: Option<Type>) -> (Class, String) {
    bad(format!("invalid argument for {name} (type {})", shown(ty)))
}

pub(super) fn len(types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    match kind(ty) {
        TypeKind::Map | TypeKind::Slice | TypeKind::String | TypeKind::Interface => Ok(Type::Int),
        _ => Err(invalid("len", ty)),
    }
}

pub(super) fn abs(types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_number(ty).ok_or_else(|| invalid("abs", ty))
}

pub(super) fn round(name: &str, types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_number(ty).map(|_| Type::Float64).ok_or_else(|| invalid(name, ty))
}

/// `int` and `float`: texts too.
pub(super) fn number(name: &str, result: Type, types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    let fits = may_be_number(ty).is_some() || ty == Some(Type::String);
    if fits { Ok(result) } else { Err(invalid(name, ty)) }
}

/// `max` and its like: numbers, or an array, which ends the check.
pub(super) fn aggregate(name: &str, types: &[Option<Type>]) -> Validated {
    for &ty in types {
        match kind(ty) {
            TypeKind::Interface | TypeKind::Slice => return Ok(Type::Any),
            _ if may_be_number(ty).is_some() => {}
            _ => return Err(invalid(name, ty)),
        }
    }
    let first = types.first().copied().flatten();
    first.ok_or_else(|| (Class::Arity, format!("not enough arguments to call {name}")))
}

/// `now`: an expression that calls it is refused once all of it was checked.
pub(super) fn now(types: &[Option<Type>]) -> Validated {
    if types.is_empty() { Ok(Type::Time) } else { Err(arity("0", types.len())) }
}

/// `timezone`, whose value depends on the operator's files.
pub(super) fn timezone(_: &[Option<Type>]) -> Validated {
    Err((Class::Unsupported, "`timezone` is not simulated".to_owned()))
}

/// `date` with one argument; layouts and zones are not simulated.
pub(super) fn date(types: &[Option<Type>]) -> Validated {
    match types.len() {
        0 => Err(arity("at least 1", 0)),
        1 => Ok(Type::Time),
        2 | 3 => Err((Class::Unsupported, "`date` with a layout is not simulated".to_owned())),
        got => Err(arity("at most 3", got)),
    }
}

/// `first` and `last`.
pub(super) fn end(name: &str, types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_array(ty)
        .map(Type::element)
        .ok_or_else(|| bad(format!("cannot get {name} element from {}", shown(ty))))
}

pub(super) fn take(types: &[Option<Type>]) -> Validated {
    let &[from, count] = types else { return Err(arity("2", types.len())) };
    let array = may_be_array(from).ok_or_else(|| bad(format!("cannot take from {}", shown(from))))?;
    match kind(count) {
        TypeKind::Interface | TypeKind::Int | TypeKind::Int64 => Ok(array),
        _ => Err(bad(format!("cannot take {} elements", shown(count)))),
    }
}

/// `keys` and `values`.
pub(super) fn of_map(what: &str, types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_map(ty).map(|_| Type::Array).ok_or_else(|| bad(format!("cannot {what} {}", shown(ty))))
}

pub(super) fn to_pairs(types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_map(ty).map(|_| Type::Array).ok_or_else(|| bad(format!("cannot transform {} to pairs", shown(ty))))
}

pub(super) fn from_pairs(types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_array(ty)
        .map(|_| Type::AnyMap)
        .ok_or_else(|| bad(format!("cannot transform {} from pairs", shown(ty))))
}

/// `reverse`, `uniq` and `flatten`.
pub(super) fn of_array(name: &str, types: &[Option<Type>]) -> Validated {
    let ty = only(types)?;
    may_be_array(ty).map(|_| Type::Array).ok_or_else(|| bad(format!("cannot {name} {}", shown(ty))))
}

pub(super) fn concat(types: &[Option<Type>]) -> Validated {
    if types.is_empty() {
        return Err(arity("at least 1", 0));
    }
    match types.iter().find(|&&ty| may_be_array(ty).is_none()) {
        Some(&ty) => Err(bad(format!("cannot concat {}", shown(ty)))),
        None => Ok(Type::Array),
    }
}
