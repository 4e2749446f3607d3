//! The functions of the language (`builtin/builtin.go`, expr v1.17.8): [`BUILTINS`] is all of them.

mod aggregate;
mod collections;
mod json;
mod maps;
mod numbers;
mod sorting;
mod texts;
mod validate;

use super::error::Failure;
use super::nature::{Signature, Type};
use super::signatures as types;
use super::value::Value;
use super::vm::Meter;
use validate::Validated;

pub(super) use collections::{fetch, is_descending, len_of, raw_len, slice};
pub(super) use maps::{index_of, insert};
pub(super) use sorting::sort;

/// A function.
#[derive(Debug)]
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) check: Check,
    pub(super) body: Body,
}

/// How the arguments of a call are checked before it runs.
pub(super) enum Check {
    /// One of these must fit; the function has the first as its type.
    Signatures(&'static [Signature]),
    /// The arguments' types, anything where one is unknown, none of nil.
    Validate(fn(&[Option<Type>]) -> Validated),
    /// `get`, which the checker knows.
    Get,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

/// What a call does.
#[derive(Debug)]
pub(super) enum Body {
    /// Works through an array with a predicate.
    Loop(Loop),
    /// Computes with its arguments.
    Function(fn(&[Value], &mut Meter) -> Result<Value, Failure>),
}

/// The functions that take a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    All,
    None,
    Any,
    One,
    Filter,
    Map,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    Count,
    Sum,
    GroupBy,
    SortBy,
    Reduce,
}

/// An argument of a function that takes a predicate.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) predicate: bool,
    pub(super) optional: bool,
}

const ITEMS: Argument = Argument { predicate: false, optional: false };
const PREDICATE: Argument = Argument { predicate: true, optional: false };
const PERHAPS_PREDICATE: Argument = Argument { predicate: true, optional: true };
const PERHAPS: Argument = Argument { predicate: false, optional: true };

impl Builtin {
    /// The arguments in the text of a call, of a function that takes a predicate.
    pub(super) fn predicate_arguments(&self) -> Option<&'static [Argument]> {
        match self.body {
            Body::Loop(Loop::Count | Loop::Sum) => Some(&[ITEMS, PERHAPS_PREDICATE]),
            Body::Loop(Loop::SortBy | Loop::Reduce) => Some(&[ITEMS, PREDICATE, PERHAPS]),
            Body::Loop(_) => Some(&[ITEMS, PREDICATE]),
            Body::Function(_) => None,
        }
    }

    /// The type of the function's name where it is no call.
    pub(super) fn signature(&self) -> &'static Signature {
        match self.check {
            Check::Signatures(signatures) => &signatures[0],
            Check::Validate(_) | Check::Get => &types::UNTYPED,
        }
    }
}

/// The function of this name.
pub(super) fn by_name(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

const fn of_items(name: &'static str, signatures: &'static [Signature], body: Loop) -> Builtin {
    Builtin { name, check: Check::Signatures(signatures), body: Body::Loop(body) }
}

const fn typed(
    name: &'static str,
    signatures: &'static [Signature],
    body: fn(&[Value], &mut Meter) -> Result<Value, Failure>,
) -> Builtin {
    Builtin { name, check: Check::Signatures(signatures), body: Body::Function(body) }
}

const fn validated(
    name: &'static str,
    validate: fn(&[Option<Type>]) -> Validated,
    body: fn(&[Value], &mut Meter) -> Result<Value, Failure>,
) -> Builtin {
    Builtin { name, check: Check::Validate(validate), body: Body::Function(body) }
}

/// Every function.
pub(super) static BUILTINS: [Builtin; 71] = [
    of_items("all", &types::TEST, Loop::All),
    of_items("none", &types::TEST, Loop::None),
    of_items("any", &types::TEST, Loop::Any),
    of_items("one", &types::TEST, Loop::One),
    of_items("filter", &types::FILTER, Loop::Filter),
    of_items("map", &types::MAP, Loop::Map),
    of_items("find", &types::FIND, Loop::Find),
    of_items("findIndex", &types::COUNT, Loop::FindIndex),
    of_items("findLast", &types::FIND, Loop::FindLast),
    of_items("findLastIndex", &types::COUNT, Loop::FindLastIndex),
    of_items("count", &types::COUNT, Loop::Count),
    of_items("sum", &types::COUNT, Loop::Sum),
    of_items("groupBy", &types::GROUP_BY, Loop::GroupBy),
    of_items("sortBy", &types::SORT_BY, Loop::SortBy),
    of_items("reduce", &types::REDUCE, Loop::Reduce),
    validated("len", validate::len, collections::len),
    typed("type", &types::ANY_TO_TEXT, numbers::type_of),
    validated("abs", validate::abs, numbers::abs),
    validated("ceil", |types| validate::round("ceil", types), |v, _| numbers::rounded("ceil", v, f64::ceil)),
    validated(
        "floor",
        |types| validate::round("floor", types),
        |v, _| numbers::rounded("floor", v, f64::floor),
    ),
    validated(
        "round",
        |types| validate::round("round", types),
        |v, _| numbers::rounded("round", v, f64::round),
    ),
    validated("int", |types| validate::number("int", Type::Int, types), numbers::int),
    validated("float", |types| validate::number("float", Type::Float64, types), numbers::float),
    typed("string", &types::ANY_TO_TEXT, texts::string),
    typed("trim", &types::TRIM, texts::trim),
    typed("trimPrefix", &types::TRIM_AFFIX, texts::trim_prefix),
    typed("trimSuffix", &types::TRIM_AFFIX, texts::trim_suffix),
    typed("upper", &types::TEXT_TO_TEXT, texts::upper),
    typed("lower", &types::TEXT_TO_TEXT, texts::lower),
    typed("split", &types::SPLIT, |v, meter| texts::split(v, false, meter)),
    typed("splitAfter", &types::SPLIT, |v, meter| texts::split(v, true, meter)),
    typed("replace", &types::REPLACE, texts::replace),
    typed("repeat", &types::REPEAT, texts::repeat),
    typed("join", &types::JOIN, texts::join),
    typed("indexOf", &types::INDEX_OF, |v, _| texts::index_of(v, |text, part| text.find(part))),
    typed("lastIndexOf", &types::INDEX_OF, |v, _| texts::index_of(v, |text, part| text.rfind(part))),
    typed("hasPrefix", &types::HAS_AFFIX, |v, _| texts::test(v, |text, part| text.starts_with(part))),
    typed("hasSuffix", &types::HAS_AFFIX, |v, _| texts::test(v, |text, part| text.ends_with(part))),
    validated("max", |types| validate::aggregate("max", types), aggregate::max),
    validated("min", |types| validate::aggregate("min", types), aggregate::min),
    validated("mean", |types| validate::aggregate("mean", types), aggregate::mean),
    validated("median", |types| validate::aggregate("median", types), aggregate::median),
    typed("toJSON", &types::ANY_TO_TEXT, json::to_json),
    typed("fromJSON", &types::TEXT_TO_ANY, json::from_json),
    typed("toBase64", &types::TEXT_TO_TEXT, texts::to_base64),
    typed("fromBase64", &types::TEXT_TO_TEXT, texts::from_base64),
    validated("now", validate::now, numbers::not_simulated),
    typed("duration", &types::DURATION, numbers::duration),
    validated("date", validate::date, numbers::date),
    validated("timezone", validate::timezone, numbers::not_simulated),
    validated("first", |types| validate::end("first", types), |v, meter| collections::end(v, 0, meter)),
    validated("last", |types| validate::end("last", types), |v, meter| collections::end(v, -1, meter)),
    Builtin { name: "get", check: Check::Get, body: Body::Function(collections::get) },
    validated("take", validate::take, collections::take),
    validated("keys", |types| validate::of_map("get keys from", types), maps::keys),
    validated("values", |types| validate::of_map("get values from", types), maps::values),
    validated("toPairs", validate::to_pairs, maps::to_pairs),
    validated("fromPairs", validate::from_pairs, maps::from_pairs),
    validated("reverse", |types| validate::of_array("reverse", types), collections::reverse),
    validated("uniq", |types| validate::of_array("uniq", types), collections::uniq),
    validated("concat", validate::concat, collections::concat),
    validated("flatten", |types| validate::of_array("flatten", types), collections::flatten),
    typed("sort", &types::SORT, collections::sort),
    typed("bitand", &types::BITS, |v, _| numbers::bits("bitand", v, |x, y| Ok(x & y))),
    typed("bitor", &types::BITS, |v, _| numbers::bits("bitor", v, |x, y| Ok(x | y))),
    typed("bitxor", &types::BITS, |v, _| numbers::bits("bitxor", v, |x, y| Ok(x ^ y))),
    typed("bitnand", &types::BITS, |v, _| numbers::bits("bitnand", v, |x, y| Ok(x & !y))),
    typed("bitshl", &types::BITS, |v, _| numbers::bits("bitshl", v, numbers::shift_left)),
    typed("bitshr", &types::BITS, |v, _| numbers::bits("bitshr", v, numbers::shift_right)),
    typed("bitushr", &types::BITS, |v, _| numbers::bits("bitushr", v, numbers::shift_right_unsigned)),
    typed("bitnot", &types::BIT_NOT, numbers::bit_not),
];
