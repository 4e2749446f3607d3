//! The types of the language's functions (the `Types` of `builtin/builtin.go`), and of the methods of times.

use super::nature::{Signature, Type};
use Type::{Any, Array, Bool, Duration, Float64, Floats, Func, Groups, Int, Int64, Ints, Strings, Time};

const fn function(parameters: &'static [Type], results: &'static [Type]) -> Signature {
    Signature { parameters, variadic: false, results, fallible: false }
}

const fn fallible(parameters: &'static [Type], results: &'static [Type]) -> Signature {
    Signature { parameters, variadic: false, results, fallible: true }
}

static PREDICATE: Signature = function(&[Any], &[Bool]);
static MAPPER: Signature = function(&[Any], &[Any]);
static REDUCER: Signature = function(&[Any, Any], &[Any]);

/// The type of a function that has no other (`builtin.Function.Type`).
pub(super) static UNTYPED: Signature =
    Signature { parameters: &[Any], variadic: true, results: &[Any], fallible: true };

const ITEMS_TEST: &[Type] = &[Array, Func(&PREDICATE)];
pub(super) static TEST: [Signature; 1] = [function(ITEMS_TEST, &[Bool])];
pub(super) static FILTER: [Signature; 1] = [function(ITEMS_TEST, &[Array])];
pub(super) static FIND: [Signature; 1] = [function(ITEMS_TEST, &[Any])];
pub(super) static COUNT: [Signature; 1] = [function(ITEMS_TEST, &[Int])];
pub(super) static MAP: [Signature; 1] = [function(&[Array, Func(&MAPPER)], &[Array])];
pub(super) static GROUP_BY: [Signature; 1] = [function(&[Array, Func(&MAPPER)], &[Groups])];
pub(super) static SORT_BY: [Signature; 1] = [function(&[Array, Func(&PREDICATE), Type::String], &[Array])];
pub(super) static REDUCE: [Signature; 1] = [function(&[Array, Func(&REDUCER), Any], &[Any])];

const TEXT: &[Type] = &[Type::String];
const TWO_TEXTS: &[Type] = &[Type::String, Type::String];
pub(super) static ANY_TO_TEXT: [Signature; 1] = [function(&[Any], TEXT)];
pub(super) static TEXT_TO_TEXT: [Signature; 1] = [function(TEXT, TEXT)];
pub(super) static TEXT_TO_ANY: [Signature; 1] = [function(TEXT, &[Any])];
pub(super) static TRIM: [Signature; 2] = [function(TEXT, TEXT), function(TWO_TEXTS, TEXT)];
pub(super) static TRIM_AFFIX: [Signature; 2] = [function(TWO_TEXTS, TEXT), function(TEXT, TEXT)];
pub(super) static SPLIT: [Signature; 2] =
    [function(TWO_TEXTS, &[Strings]), function(&[Type::String, Type::String, Int], &[Strings])];
pub(super) static REPLACE: [Signature; 2] = [
    function(&[Type::String, Type::String, Type::String, Int], TEXT),
    function(&[Type::String, Type::String, Type::String], TEXT),
];
pub(super) static REPEAT: [Signature; 1] = [function(&[Type::String, Int], TEXT)];
pub(super) static JOIN: [Signature; 5] = [
    function(&[Strings, Type::String], TEXT),
    function(&[Array, Type::String], TEXT),
    function(&[Array], TEXT),
    function(&[Strings, Type::String], TEXT),
    function(&[Strings], TEXT),
];
pub(super) static INDEX_OF: [Signature; 1] = [function(TWO_TEXTS, &[Int])];
pub(super) static HAS_AFFIX: [Signature; 1] = [function(TWO_TEXTS, &[Bool])];
pub(super) static DURATION: [Signature; 1] = [fallible(TEXT, &[Duration])];
pub(super) static SORT: [Signature; 8] = [
    function(&[Array, Type::String], &[Array]),
    function(&[Ints, Type::String], &[Array]),
    function(&[Floats, Type::String], &[Array]),
    function(&[Strings, Type::String], &[Array]),
    function(&[Array], &[Array]),
    function(&[Floats], &[Array]),
    function(&[Strings], &[Array]),
    function(&[Ints], &[Array]),
];
pub(super) static BITS: [Signature; 1] = [function(&[Int, Int], &[Int])];
pub(super) static BIT_NOT: [Signature; 1] = [function(&[Int], &[Int])];

pub(super) static DURATION_TO_FLOAT: Signature = function(&[Duration], &[Float64]);
pub(super) static DURATION_TO_INT64: Signature = function(&[Duration], &[Int64]);
pub(super) static DURATION_TO_DURATION: Signature = function(&[Duration], &[Duration]);
pub(super) static TWO_DURATIONS: Signature = function(&[Duration, Duration], &[Duration]);
pub(super) static DURATION_TO_TEXT: Signature = function(&[Duration], TEXT);
pub(super) static TIME_TO_INT: Signature = function(&[Time], &[Int]);
pub(super) static TIME_TO_INT64: Signature = function(&[Time], &[Int64]);
pub(super) static TIME_TO_BOOL: Signature = function(&[Time], &[Bool]);
pub(super) static TIME_TO_TIME: Signature = function(&[Time], &[Time]);
pub(super) static TIME_TO_MONTH: Signature = function(&[Time], &[Type::Month]);
pub(super) static TIME_TO_WEEKDAY: Signature = function(&[Time], &[Type::Weekday]);
pub(super) static TIME_ADD: Signature = function(&[Time, Duration], &[Time]);
pub(super) static TIME_SUB: Signature = function(&[Time, Time], &[Duration]);
pub(super) static TIME_COMPARE: Signature = function(&[Time, Time], &[Int]);
pub(super) static TIME_TEST: Signature = function(&[Time, Time], &[Bool]);
pub(super) static MONTH_TO_TEXT: Signature = function(&[Type::Month], TEXT);
pub(super) static WEEKDAY_TO_TEXT: Signature = function(&[Type::Weekday], TEXT);
