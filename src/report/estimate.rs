//! Numbers of an answer as cells: of one run as they are, of several as a mean and what it may be off by.

use super::duration::Unit;
use super::number::{self, count, money, percent};
use crate::analysis::Answer;

/// What stands where there is no number.
pub(super) const NOTHING: &str = "-";

/// `136 s`, or `136 ± 12 s` in one unit.
pub(super) fn duration(answer: &Answer, key: &str) -> String {
    let Some(mean) = answer.number(key) else { return NOTHING.to_owned() };
    let unit = Unit::of(mean);
    with_error(answer, key, unit.number(mean), |half| unit.number(half), &format!(" {}", unit.name()))
}

/// `61.2 %`, or `61.2 ± 1.4 %`.
pub(super) fn share(answer: &Answer, key: &str) -> String {
    let Some(mean) = answer.number(key) else { return NOTHING.to_owned() };
    let text = percent(mean);
    with_error(
        answer,
        key,
        text.trim_end_matches(" %").to_owned(),
        |half| format!("{:.1}", half * 100.0),
        " %",
    )
}

/// `4.8`, or `4.8 ± 0.2`.
pub(super) fn tenths(answer: &Answer, key: &str) -> String {
    let Some(mean) = answer.number(key) else { return NOTHING.to_owned() };
    with_error(answer, key, number::tenths(mean), number::tenths, "")
}

/// `412`, or `412 ± 35`.
pub(super) fn whole(answer: &Answer, key: &str) -> String {
    let Some(mean) = answer.number(key) else { return NOTHING.to_owned() };
    with_error(answer, key, count(mean), count, "")
}

/// `$14.40`, or `$14.40 ± 0.32`.
pub(super) fn cost(answer: &Answer, key: &str, currency: &str) -> String {
    let Some(mean) = answer.number(key) else { return NOTHING.to_owned() };
    with_error(answer, key, money(currency, mean), |half| money("", half), "")
}

/// The mean with half the width of its interval, where there is one.
fn with_error(answer: &Answer, key: &str, mean: String, half: impl Fn(f64) -> String, unit: &str) -> String {
    match answer.interval(key).and_then(|interval| interval.half_width()) {
        Some(width) => format!("{mean} ± {}{unit}", half(width)),
        None => format!("{mean}{unit}"),
    }
}
