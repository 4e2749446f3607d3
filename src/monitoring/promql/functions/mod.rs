//! PromQL's functions: one Rust function each, and the table of them, which is the list of what is supported.

pub(super) mod calendar;
pub(super) mod histogram;
pub(super) mod label;
pub(super) mod math;
pub(super) mod over_time;
pub(super) mod rate;
pub(super) mod regression;

use super::semantics::{Release, Semantics};
use super::value::{ExecutionError, Point};

/// A function of one sample's value and of scalar arguments; `None` leaves the sample out.
pub(super) type SampleFunction = fn(f64, &[f64]) -> Option<f64>;

/// A function of the samples of one series in a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeFunction {
    /// From the window and the scalar arguments; `None` leaves the series out.
    pub(super) evaluate: fn(&Window<'_>, &[f64]) -> Option<f64>,
    /// Refuses arguments as Prometheus does, when there is a series to use them on.
    pub(super) check: fn(&[f64]) -> Result<(), ExecutionError>,
    /// The series keeps its metric's name.
    pub(super) keeps_name: bool,
}

/// The samples of one series in a range, and the range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    /// At least one, in order of time.
    pub(super) points: &'a [Point],
    /// Where the range begins, milliseconds since 1970.
    pub(super) start: i64,
    /// Where it ends.
    pub(super) end: i64,
    /// The instant of the evaluation: `end` plus the offset.
    pub(super) now: i64,
    pub(super) rules: &'a Semantics,
}

/// A row of the table of functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The first release that has it under this name.
    pub(super) since: Release,
    pub(super) body: Body,
}

/// How a function is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Sample by sample.
    Sample(SampleFunction),
    /// Sample by sample, on seconds since 1970; now, where it is called without an argument.
    Calendar(SampleFunction),
    /// Series by series.
    Range(RangeFunction),
    /// By a form of its own.
    Form(Form),
}

/// Functions that work on whole vectors, on labels, or on nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Absent,
    AbsentOverTime,
    HistogramQuantile,
    LabelJoin,
    LabelReplace,
    Pi,
    Scalar,
    Sort,
    SortDesc,
    Time,
    Timestamp,
    Vector,
}

/// Every function that is supported, by name. What is not here is refused by name before anything runs.
pub(super) const FUNCTIONS: &[Function] = &[
    sample("abs", math::abs),
    form("absent", Form::Absent),
    form("absent_over_time", Form::AbsentOverTime),
    range("avg_over_time", over_time::avg),
    sample("ceil", math::ceil),
    range("changes", over_time::changes),
    sample("clamp", math::clamp),
    sample("clamp_max", math::clamp_max),
    sample("clamp_min", math::clamp_min),
    range("count_over_time", over_time::count),
    range("delta", rate::delta),
    range("deriv", regression::deriv),
    Function {
        name: "double_exponential_smoothing",
        since: Release::V2_42,
        body: Body::Range(RangeFunction {
            evaluate: regression::double_exponential_smoothing,
            check: regression::check_factors,
            keeps_name: false,
        }),
    },
    sample("floor", math::floor),
    form("histogram_quantile", Form::HistogramQuantile),
    Function { name: "hour", since: Release::V2_42, body: Body::Calendar(calendar::hour) },
    range("idelta", rate::idelta),
    range("increase", rate::increase),
    range("irate", rate::irate),
    form("label_join", Form::LabelJoin),
    form("label_replace", Form::LabelReplace),
    Function {
        name: "last_over_time",
        since: Release::V2_42,
        body: Body::Range(RangeFunction { evaluate: over_time::last, check: accept, keeps_name: true }),
    },
    sample("ln", math::ln),
    Function { name: "mad_over_time", since: Release::V2_53, ..range("mad_over_time", over_time::mad) },
    range("max_over_time", over_time::max),
    range("min_over_time", over_time::min),
    form("pi", Form::Pi),
    range("predict_linear", regression::predict_linear),
    range("present_over_time", over_time::present),
    range("quantile_over_time", over_time::quantile),
    range("rate", rate::rate),
    range("resets", over_time::resets),
    sample("round", math::round),
    form("scalar", Form::Scalar),
    sample("sgn", math::sgn),
    form("sort", Form::Sort),
    form("sort_desc", Form::SortDesc),
    sample("sqrt", math::sqrt),
    range("sum_over_time", over_time::sum),
    form("time", Form::Time),
    form("timestamp", Form::Timestamp),
    form("vector", Form::Vector),
];

const fn sample(name: &'static str, evaluate: SampleFunction) -> Function {
    Function { name, since: Release::V2_42, body: Body::Sample(evaluate) }
}

const fn range(name: &'static str, evaluate: fn(&Window<'_>, &[f64]) -> Option<f64>) -> Function {
    let body = Body::Range(RangeFunction { evaluate, check: accept, keeps_name: false });
    Function { name, since: Release::V2_42, body }
}

const fn form(name: &'static str, form: Form) -> Function {
    Function { name, since: Release::V2_42, body: Body::Form(form) }
}

fn accept(_: &[f64]) -> Result<(), ExecutionError> {
    Ok(())
}

/// The function called `name`.
pub(super) fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The supported function whose name is most like `name`, if any is like it.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    crate::nearest::nearest(name, FUNCTIONS.iter().map(|function| function.name))
}

/// The names of all supported functions, for messages.
pub(super) fn supported() -> String {
    FUNCTIONS.iter().map(|function| function.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_name_is_prometheus_own() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for function in FUNCTIONS {
            let call = format!("{}(1, 2, 3, 4, 5, 6, 7, 8, 9)", function.name);
            let message = promql_parser::parser::parse(&call).expect_err("too many arguments");
            assert!(!message.contains("unknown function"), "{message}");
        }
    }
}
