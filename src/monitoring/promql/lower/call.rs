//! Calls of functions, each by its row in the table.

use super::super::Release;
use super::super::functions::histogram::{self, OfHistograms, Question};
use super::super::functions::label::{LabelJoin, LabelReplace, Relabelled};
use super::super::functions::sort::{Key, Sort};
use super::super::functions::{self, Body, Form, SampleFunction};
use super::super::matcher::{MatchOp, Matcher};
use super::super::plan::{EachRange, Plan, Range, Scalar, Vector};
use super::super::renamed::Renamed;
use super::Lowering;
use crate::monitoring::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::problem::Problem;
use promql_parser::parser::{Call, Expr};
use regex::Regex;

impl Lowering<'_> {
    pub(super) fn call(&mut self, read: &Call) -> Result<Plan, Problem> {
        let name = read.func.name;
        let release = self.options.release;
        let Some(function) = functions::named(name).filter(|function| function.is_in(release)) else {
            if name == "info" && release >= Release::V3_5 {
                let message = "`info` is not supported: it joins `target_info`, which nothing here exposes";
                return Err(self.unsupported(name, message));
            }
            return Err(self.unsupported(name, format!("Prometheus {release} has no function `{name}`")));
        };
        self.check_experimental(name, function.is_experimental_in(release))?;
        let arguments: Vec<&Expr> = read.args.args.iter().map(|argument| &**argument).collect();
        match function.body {
            Body::Sample(function) => {
                let [of, rest @ ..] = &arguments[..] else { return Err(self.too_few(name)) };
                let of = Box::new(self.vector(of, name)?);
                let arguments = self.scalars(rest, name)?;
                Ok(Plan::Vector(Vector::EachSample { function, of, arguments }))
            }
            Body::Calendar(function) => {
                let of = match &arguments[..] {
                    [of] => self.vector(of, name)?,
                    _ => Vector::Of(Scalar::Time),
                };
                Ok(Plan::Vector(Vector::EachSample { function, of: Box::new(of), arguments: Vec::new() }))
            }
            Body::Range(function) => {
                let mut range = None;
                let mut scalars = Vec::new();
                for argument in arguments {
                    match self.plan(argument)? {
                        Plan::Range(found) => range = Some(found),
                        Plan::Scalar(found) => scalars.push(found),
                        other => return Err(self.wrong_type(name, "a range vector", &other)),
                    }
                }
                let of = range.ok_or_else(|| self.too_few(name))?;
                let (arguments, renamed) = (scalars, Renamed::default());
                Ok(Plan::Vector(Vector::EachRange(Box::new(EachRange { function, of, arguments, renamed }))))
            }
            Body::Form(form) => self.form(form, name, &arguments),
        }
    }

    pub(super) fn too_few(&self, name: &str) -> Problem {
        self.unsupported(name, format!("`{name}` has too few arguments"))
    }

    fn scalars(&mut self, arguments: &[&Expr], name: &str) -> Result<Vec<Scalar>, Problem> {
        arguments.iter().map(|argument| self.scalar(argument, name)).collect()
    }

    fn form(&mut self, form: Form, name: &str, arguments: &[&Expr]) -> Result<Plan, Problem> {
        Ok(Plan::Vector(match (form, arguments) {
            (Form::Time, []) => return Ok(Plan::Scalar(Scalar::Time)),
            (Form::Pi, []) => return Ok(Plan::Scalar(Scalar::Number(std::f64::consts::PI))),
            (Form::Scalar, [of]) => return Ok(Plan::Scalar(Scalar::Of(Box::new(self.vector(of, name)?)))),
            (Form::Vector, [of]) => Vector::Of(self.scalar(of, name)?),
            (Form::Absent, [of]) => {
                let vector = self.vector(of, name)?;
                let labels = match &vector {
                    Vector::Select(selector) => labels_of_absence(&selector.matchers),
                    _ => Labels::default(),
                };
                Vector::Absent { of: Box::new(vector), labels }
            }
            (Form::AbsentOverTime, [of]) => {
                let of = self.range(of, name)?;
                let labels = match &of {
                    Range::Select { selector, .. } => labels_of_absence(&selector.matchers),
                    Range::Subquery { .. } => Labels::default(),
                };
                Vector::AbsentOverTime { of: Box::new(of), labels }
            }
            (Form::Timestamp, [of]) => match self.vector(of, name)? {
                Vector::Select(selector) => Vector::Timestamp(selector),
                other => Vector::TimestampOf(Box::new(other)),
            },
            (Form::Sort | Form::SortDesc, [of]) => {
                let of = self.vector(of, name)?;
                Vector::Sorted(Box::new(Sort { of, by: Key::Value, descending: form == Form::SortDesc }))
            }
            (Form::SortByLabel | Form::SortByLabelDesc, [of, labels @ ..]) => {
                let of = self.vector(of, name)?;
                let labels: Result<Vec<_>, _> = labels.iter().map(|label| self.text(label, name)).collect();
                let by = Key::Labels(labels?);
                Vector::Sorted(Box::new(Sort { of, by, descending: form == Form::SortByLabelDesc }))
            }
            (Form::HistogramQuantile, [quantile, of]) => {
                let (quantile, of) = (self.scalar(quantile, name)?, self.vector(of, name)?);
                Vector::OfHistograms(Box::new(OfHistograms::new(Question::Quantile(quantile), of)))
            }
            (Form::HistogramFraction, [lower, upper, of]) => {
                let (lower, upper) = (self.scalar(lower, name)?, self.scalar(upper, name)?);
                let of = self.vector(of, name)?;
                if self.rules.fraction_of_classic_histograms {
                    Vector::OfHistograms(Box::new(OfHistograms::new(Question::Fraction(lower, upper), of)))
                } else {
                    let (function, arguments) = (histogram::native as SampleFunction, vec![lower, upper]);
                    Vector::EachSample { function, of: Box::new(of), arguments }
                }
            }
            (Form::LabelReplace, [of, destination, replacement, source, regex]) => {
                let of = self.vector(of, name)?;
                let destination = self.label_name(destination, name)?;
                let (replacement, source) = (self.text(replacement, name)?, self.text(source, name)?);
                let pattern = self.text(regex, name)?;
                let flags = if self.rules.dot_matches_newline { "s" } else { "" };
                let regex = Regex::new(&format!("^(?{flags}:{pattern})$")).map_err(|error| {
                    self.unsupported(name, format!("the regular expression cannot be used: {error}"))
                })?;
                let relabelled = Relabelled::new(of, destination);
                Vector::LabelReplace(Box::new(LabelReplace { relabelled, replacement, source, regex }))
            }
            (Form::LabelJoin, [of, destination, separator, sources @ ..]) => {
                let of = self.vector(of, name)?;
                let destination = self.label_name(destination, name)?;
                let separator = self.text(separator, name)?;
                let sources = sources
                    .iter()
                    .map(|source| self.label_name(source, name))
                    .collect::<Result<Vec<_>, _>>()?;
                let relabelled = Relabelled::new(of, destination);
                Vector::LabelJoin(Box::new(LabelJoin { relabelled, separator, sources }))
            }
            _ => return Err(self.too_few(name)),
        }))
    }

    pub(super) fn label_name(&mut self, expr: &Expr, function: &str) -> Result<String, Problem> {
        let name = self.text(expr, function)?;
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_legacy = begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_legacy || self.rules.utf8_names && !name.is_empty() {
            Ok(name)
        } else {
            Err(self.unsupported(function, format!("`{name}` is not a label's name")))
        }
    }
}

/// The labels that `absent` gives: those that equality fixes, unless a further matcher constrains them (promql/functions.go,
/// `createLabelsForAbsentFunction`).
fn labels_of_absence(matchers: &[Matcher]) -> Labels {
    let mut labels = LabelsBuilder::default();
    for (at, matcher) in matchers.iter().enumerate().filter(|(_, matcher)| matcher.name != METRIC_NAME) {
        let is_equality = |other: &Matcher| other.op == MatchOp::Equal;
        let again = matchers[..at].iter().any(|other| other.name == matcher.name && is_equality(other));
        let fixed = is_equality(matcher) && !again;
        labels.set(&matcher.name, if fixed { matcher.value.as_str() } else { "" });
    }
    labels.finish()
}
