//! PromQL's functions: one Rust function each, and the table of them, which is the list of what is supported.

pub(super) mod calendar;
pub(super) mod histogram;
pub(super) mod label;
pub(super) mod math;
pub(super) mod over_time;
pub(super) mod rate;
pub(super) mod reducer;
pub(super) mod regression;
pub(super) mod sort;
pub(super) mod trigonometry;

use super::semantics::{Release, Semantics};
use super::value::{ExecutionError, Point};
use reducer::Reducer;

/// A function of one sample's value and of scalar arguments; `None` leaves the sample out.
pub(super) type SampleFunction = fn(f64, &[f64]) -> Option<f64>;

/// A function of the samples of one series in a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeFunction {
    pub(super) reads: Reads,
    /// Refuses arguments as Prometheus does, when there is a series to use them on.
    pub(super) check: fn(&[f64]) -> Result<(), ExecutionError>,
    /// The series keeps its metric's name.
    pub(super) keeps_name: bool,
}

/// How a function reads a range; `None` from it leaves the series out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reads {
    /// In order.
    InOrder(Reducer),
    /// From the whole window and the scalar arguments.
    Window(WindowFunction),
}

/// A function of a window and of scalar arguments.
pub(super) type WindowFunction = fn(&Window<'_>, &[f64]) -> Option<f64>;

impl RangeFunction {
    /// The function's value; `None` leaves the series out.
    pub(super) fn evaluate(&self, window: &Window<'_>, arguments: &[f64]) -> Option<f64> {
        match self.reads {
            Reads::InOrder(reducer) => {
                let bounds = (window.start, window.end);
                reducer.reduce(window.points.iter().copied(), bounds, window.rules, &mut None)
            }
            Reads::Window(function) => function(window, arguments),
        }
    }
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
    /// The first release that has it.
    since: Release,
    /// The first release that has it only where experimental functions are turned on.
    experimental_since: Option<Release>,
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
    HistogramFraction,
    HistogramQuantile,
    LabelJoin,
    LabelReplace,
    Pi,
    Scalar,
    Sort,
    SortByLabel,
    SortByLabelDesc,
    SortDesc,
    Time,
    Timestamp,
    Vector,
}

/// Every function of the releases (promql/parser/functions.go), `info` excepted, which is refused by name.
/// `holt_winters` is here under the name that 3.0 gave it.
pub(super) const FUNCTIONS: &[Function] = &[
    sample("abs", math::abs),
    form("absent", Form::Absent),
    form("absent_over_time", Form::AbsentOverTime),
    sample("acos", trigonometry::acos),
    sample("acosh", trigonometry::acosh),
    sample("asin", trigonometry::asin),
    sample("asinh", trigonometry::asinh),
    sample("atan", trigonometry::atan),
    sample("atanh", trigonometry::atanh),
    reduced("avg_over_time", Reducer::AvgOverTime),
    sample("ceil", math::ceil),
    range("changes", over_time::changes),
    sample("clamp", math::clamp),
    sample("clamp_max", math::clamp_max),
    sample("clamp_min", math::clamp_min),
    sample("cos", trigonometry::cos),
    sample("cosh", trigonometry::cosh),
    reduced("count_over_time", Reducer::CountOverTime),
    calendar("day_of_month", calendar::day_of_month),
    calendar("day_of_week", calendar::day_of_week),
    calendar("day_of_year", calendar::day_of_year),
    calendar("days_in_month", calendar::days_in_month),
    sample("deg", trigonometry::deg),
    reduced("delta", Reducer::Delta),
    range("deriv", regression::deriv),
    function(
        "double_exponential_smoothing",
        Body::Range(RangeFunction {
            reads: Reads::Window(regression::double_exponential_smoothing),
            check: regression::check_factors,
            keeps_name: false,
        }),
    )
    .experimental_since(Release::V3_5),
    sample("exp", math::exp),
    sample("floor", math::floor),
    sample("histogram_avg", histogram::native).since(Release::V2_53),
    sample("histogram_count", histogram::native),
    form("histogram_fraction", Form::HistogramFraction),
    form("histogram_quantile", Form::HistogramQuantile),
    sample("histogram_stddev", histogram::native).since(Release::V2_53),
    sample("histogram_stdvar", histogram::native).since(Release::V2_53),
    sample("histogram_sum", histogram::native),
    calendar("hour", calendar::hour),
    range("idelta", rate::idelta),
    reduced("increase", Reducer::Increase),
    range("irate", rate::irate),
    form("label_join", Form::LabelJoin),
    form("label_replace", Form::LabelReplace),
    function_of_range("last_over_time", Reads::InOrder(Reducer::LastOverTime), true),
    sample("ln", math::ln),
    sample("log10", math::log10),
    sample("log2", math::log2),
    range("mad_over_time", over_time::mad).since(Release::V2_53).experimental_since(Release::V2_53),
    reduced("max_over_time", Reducer::MaxOverTime),
    reduced("min_over_time", Reducer::MinOverTime),
    calendar("minute", calendar::minute),
    calendar("month", calendar::month),
    form("pi", Form::Pi),
    range("predict_linear", regression::predict_linear),
    range("present_over_time", over_time::present),
    range("quantile_over_time", over_time::quantile),
    sample("rad", trigonometry::rad),
    reduced("rate", Reducer::Rate),
    range("resets", over_time::resets),
    sample("round", math::round),
    form("scalar", Form::Scalar),
    sample("sgn", math::sgn),
    sample("sin", trigonometry::sin),
    sample("sinh", trigonometry::sinh),
    form("sort", Form::Sort),
    form("sort_by_label", Form::SortByLabel).since(Release::V2_53).experimental_since(Release::V2_53),
    form("sort_by_label_desc", Form::SortByLabelDesc)
        .since(Release::V2_53)
        .experimental_since(Release::V2_53),
    form("sort_desc", Form::SortDesc),
    sample("sqrt", math::sqrt),
    range("stddev_over_time", over_time::stddev),
    range("stdvar_over_time", over_time::stdvar),
    reduced("sum_over_time", Reducer::SumOverTime),
    sample("tan", trigonometry::tan),
    sample("tanh", trigonometry::tanh),
    form("time", Form::Time),
    form("timestamp", Form::Timestamp),
    range("ts_of_last_over_time", over_time::ts_of_last)
        .since(Release::V3_5)
        .experimental_since(Release::V3_5),
    range("ts_of_max_over_time", over_time::ts_of_max).since(Release::V3_5).experimental_since(Release::V3_5),
    range("ts_of_min_over_time", over_time::ts_of_min).since(Release::V3_5).experimental_since(Release::V3_5),
    form("vector", Form::Vector),
    calendar("year", calendar::year),
];

impl Function {
    const fn since(self, since: Release) -> Self {
        Function { since, ..self }
    }

    const fn experimental_since(self, release: Release) -> Self {
        Function { experimental_since: Some(release), ..self }
    }

    /// True where the release has the function at all.
    pub(super) fn is_in(&self, release: Release) -> bool {
        self.since <= release
    }

    /// True where the release has it only with [`Features::experimental_functions`](super::Features).
    pub(super) fn is_experimental_in(&self, release: Release) -> bool {
        self.experimental_since.is_some_and(|since| since <= release)
    }
}

const fn function(name: &'static str, body: Body) -> Function {
    Function { name, since: Release::V2_42, experimental_since: None, body }
}

const fn sample(name: &'static str, evaluate: SampleFunction) -> Function {
    function(name, Body::Sample(evaluate))
}

const fn calendar(name: &'static str, evaluate: SampleFunction) -> Function {
    function(name, Body::Calendar(evaluate))
}

const fn range(name: &'static str, function: WindowFunction) -> Function {
    let reads = Reads::Window(function);
    function_of_range(name, reads, false)
}

const fn reduced(name: &'static str, reducer: Reducer) -> Function {
    function_of_range(name, Reads::InOrder(reducer), false)
}

const fn function_of_range(name: &'static str, reads: Reads, keeps_name: bool) -> Function {
    function(name, Body::Range(RangeFunction { reads, check: accept, keeps_name }))
}

const fn form(name: &'static str, form: Form) -> Function {
    function(name, Body::Form(form))
}

fn accept(_: &[f64]) -> Result<(), ExecutionError> {
    Ok(())
}

/// The function called `name`.
pub(super) fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The function of the release whose name is most like `name`, if any is like it.
pub(super) fn nearest(name: &str, release: Release) -> Option<&'static str> {
    let known = FUNCTIONS.iter().filter(|function| function.is_in(release));
    crate::nearest::nearest(name, known.map(|function| function.name))
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
