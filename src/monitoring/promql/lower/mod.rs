//! From the parser's tree to a [`Plan`]: types checked, functions found, what is not supported refused by name.

mod call;

use super::aggregation::{Aggregate, Aggregator};
use super::binary::{Cardinality, Matched, Operator, SetOperation, SetOperator};
use super::choice::Choice;
use super::fold::Fold;
use super::matcher::Matcher;
use super::place::Source;
use super::plan::{LabelRule, Plan, Range, Scalar, Vector};
use super::reads::{Read, Scope};
use super::renamed::Renamed;
use super::selector::{At, Selector, Shift};
use super::{Features, QueryOptions, Semantics};
use crate::problem::Problem;
use promql_parser::label as parsed;
use promql_parser::parser::token::{self, TokenId};
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinModifier, BinaryExpr, Expr, LabelModifier, MatrixSelector, Offset,
    SubqueryExpr, VectorMatchCardinality, VectorSelector,
};
use rustc_hash::FxHashMap;

/// The longest range, offset or step: a hundred years.
const DURATION_MAX_MS: i64 = 100 * 365 * 86_400_000;

/// The most evaluations that nested subqueries may ask for together: Prometheus' own limit on the points of a range.
const STEPS_MAX: i64 = 11_000;

/// A tree on its way to a plan.
pub(super) struct Lowering<'s> {
    source: &'s Source<'s>,
    options: QueryOptions,
    rules: Semantics,
    /// What the subqueries around the current node add.
    scope: Scope,
    /// What the selectors so far read.
    pub(super) reads: Vec<Read>,
}

impl<'s> Lowering<'s> {
    pub(super) fn new(source: &'s Source<'s>, options: QueryOptions) -> Self {
        let rules = options.release.semantics();
        Lowering { source, options, rules, scope: Scope::default(), reads: Vec::new() }
    }

    /// The plan of `expr`.
    pub(super) fn plan(&mut self, expr: &Expr) -> Result<Plan, Problem> {
        Ok(match expr {
            Expr::Paren(paren) => self.plan(&paren.expr)?,
            Expr::NumberLiteral(number) => Plan::Scalar(Scalar::Number(number.val)),
            Expr::StringLiteral(text) => Plan::Text(text.val.clone()),
            Expr::VectorSelector(selector) => Plan::Vector(Vector::Select(self.selector(selector, 0)?)),
            Expr::MatrixSelector(matrix) => Plan::Range(self.matrix(matrix)?),
            Expr::Subquery(subquery) => Plan::Range(self.subquery(subquery)?),
            Expr::Unary(unary) => match self.plan(&unary.expr)? {
                Plan::Scalar(of) => Plan::Scalar(Scalar::Negated(Box::new(of))),
                Plan::Vector(of) => {
                    Plan::Vector(Vector::Negated { of: Box::new(of), renamed: Renamed::default() })
                }
                other => return Err(self.wrong_type("-", "a number or an instant vector", &other)),
            },
            Expr::Binary(binary) => self.binary(binary)?,
            Expr::Aggregate(aggregate) => Plan::Vector(self.aggregate(aggregate)?),
            Expr::Call(call) => self.call(call)?,
            Expr::Extension(_) => {
                return Err(self.unsupported("extension", "extensions of PromQL are not supported"));
            }
        })
    }

    fn vector(&mut self, expr: &Expr, for_word: &str) -> Result<Vector, Problem> {
        match self.plan(expr)? {
            Plan::Vector(vector) => Ok(vector),
            other => Err(self.wrong_type(for_word, "an instant vector", &other)),
        }
    }

    fn scalar(&mut self, expr: &Expr, for_word: &str) -> Result<Scalar, Problem> {
        match self.plan(expr)? {
            Plan::Scalar(scalar) => Ok(scalar),
            other => Err(self.wrong_type(for_word, "a number", &other)),
        }
    }

    fn range(&mut self, expr: &Expr, for_word: &str) -> Result<Range, Problem> {
        match self.plan(expr)? {
            Plan::Range(range) => Ok(range),
            other => Err(self.wrong_type(for_word, "a range vector", &other)),
        }
    }

    fn text(&mut self, expr: &Expr, for_word: &str) -> Result<String, Problem> {
        match self.plan(expr)? {
            Plan::Text(text) => Ok(text),
            other => Err(self.wrong_type(for_word, "a text", &other)),
        }
    }

    fn wrong_type(&self, word: &str, want: &str, got: &Plan) -> Problem {
        let got = match got {
            Plan::Scalar(_) => "a number",
            Plan::Vector(_) => "an instant vector",
            Plan::Range(_) => "a range vector",
            Plan::Text(_) => "a text",
        };
        self.source.problem_at_word(word, format!("`{word}` takes {want}, not {got}"))
    }

    fn unsupported(&self, word: &str, message: impl Into<String>) -> Problem {
        self.source.problem_at_word(word, message)
    }

    // Selectors.

    /// `range` in milliseconds is what a range adds to how far the selector looks back.
    fn selector(&mut self, read: &VectorSelector, range: i64) -> Result<Selector, Problem> {
        if !read.matchers.or_matchers.is_empty() {
            return Err(self
                .unsupported("or", "`or` between matchers is not PromQL")
                .help("use `=~\"a|b\"`"));
        }
        let mut matchers: Vec<Matcher> = read.name.iter().map(|name| Matcher::metric(name)).collect();
        for matcher in &read.matchers.matchers {
            matchers.push(self.matcher(matcher)?);
        }
        let shift = self.shift(read.at.as_ref(), read.offset.as_ref())?;
        self.reads
            .push(Read { matchers: matchers.clone(), look_behind: self.scope.look_behind(shift, range) });
        Ok(Selector::new(matchers, shift))
    }

    fn matcher(&self, read: &parsed::Matcher) -> Result<Matcher, Problem> {
        Matcher::new(read, &self.rules).map_err(|error| {
            let span = self.source.span_of_matcher(&read.name, &read.value);
            self.source.problem(span, format!("the regular expression cannot be used: {error}"))
        })
    }

    fn matrix(&mut self, read: &MatrixSelector) -> Result<Range, Problem> {
        let range = self.milliseconds(read.range.as_millis())?;
        Ok(Range::Select { selector: self.selector(&read.vs, range)?, range })
    }

    fn subquery(&mut self, read: &SubqueryExpr) -> Result<Range, Problem> {
        let range = self.milliseconds(read.range.as_millis())?;
        let step = read.step.map(|step| self.milliseconds(step.as_millis())).transpose()?;
        let shift = self.shift(read.at.as_ref(), read.offset.as_ref())?;
        let each = step.unwrap_or(self.options.evaluation_interval.as_millis() as i64).max(1);
        let inner = self.scope.inside(shift, range, each);
        if inner.steps > STEPS_MAX {
            let message = format!("the subquery asks for {} evaluations at a time", inner.steps);
            let span = self.source.span_of_sign(":");
            return Err(self
                .source
                .problem(span, message)
                .help(format!("the most is {STEPS_MAX}: a longer step")));
        }
        let outer = std::mem::replace(&mut self.scope, inner);
        let of = self.vector(&read.expr, ":");
        self.scope = outer;
        Ok(Range::Subquery { of: Box::new(of?), shift, range, step })
    }

    fn shift(&self, at: Option<&AtModifier>, offset: Option<&Offset>) -> Result<Shift, Problem> {
        let at = match at {
            None => At::Now,
            Some(AtModifier::Start) => At::Start,
            Some(AtModifier::End) => At::End,
            Some(fixed) => At::Fixed(self.instant(fixed)?),
        };
        let offset = match offset {
            None => 0,
            Some(Offset::Pos(back)) => self.milliseconds(back.as_millis())?,
            Some(Offset::Neg(forward)) => -self.milliseconds(forward.as_millis())?,
        };
        Ok(Shift { at, offset })
    }

    fn milliseconds(&self, duration: u128) -> Result<i64, Problem> {
        let whole = (0, self.source.text.len());
        match i64::try_from(duration) {
            Ok(0) => Err(self.source.problem(whole, "a duration is shorter than a millisecond")),
            Ok(ms) if ms <= DURATION_MAX_MS => Ok(ms),
            _ => Err(self.source.problem(whole, "a duration is longer than a hundred years")),
        }
    }

    /// Milliseconds since 1970 of `@ seconds`.
    fn instant(&self, at: &AtModifier) -> Result<i64, Problem> {
        let too_far = || self.source.problem(self.source.span_of_sign("@"), "the instant is too far away");
        // The parser keeps instants of the system's clock; its own `@ 0` is where they count from.
        let (AtModifier::At(time), Ok(AtModifier::At(zero))) = (at, AtModifier::try_from(0.0)) else {
            return Err(too_far());
        };
        let (sign, distance) = match time.duration_since(zero) {
            Ok(after) => (1, after),
            Err(before) => (-1, before.duration()),
        };
        match i64::try_from(distance.as_millis()) {
            Ok(ms) if ms <= 100 * DURATION_MAX_MS => Ok(sign * ms),
            _ => Err(too_far()),
        }
    }

    // Operators.

    fn binary(&mut self, read: &BinaryExpr) -> Result<Plan, Problem> {
        let modifier = read.modifier.clone().unwrap_or_default();
        if modifier.fill_values != Default::default() {
            let word =
                if modifier.fill_values.lhs == modifier.fill_values.rhs { "fill" } else { "fill_left" };
            return Err(self.unsupported(word, "`fill` modifiers are not supported; Prometheus 3.5 has none"));
        }
        let sign = read.op.to_string();
        let (left, right) = (self.plan(&read.lhs)?, self.plan(&read.rhs)?);
        let returns_bool = modifier.return_bool;
        match (left, right) {
            (Plan::Scalar(left), Plan::Scalar(right)) => {
                let operator = self.operator(read.op.id(), &sign)?;
                Ok(Plan::Scalar(Scalar::Binary { operator, left: Box::new(left), right: Box::new(right) }))
            }
            (Plan::Vector(vector), Plan::Scalar(scalar)) => {
                let (operator, vector) = (self.operator(read.op.id(), &sign)?, Box::new(vector));
                Ok(Plan::Vector(Vector::WithScalar {
                    operator,
                    vector,
                    scalar,
                    swapped: false,
                    returns_bool,
                }))
            }
            (Plan::Scalar(scalar), Plan::Vector(vector)) => {
                let (operator, vector) = (self.operator(read.op.id(), &sign)?, Box::new(vector));
                Ok(Plan::Vector(Vector::WithScalar { operator, vector, scalar, swapped: true, returns_bool }))
            }
            (Plan::Vector(left), Plan::Vector(right)) => Ok(Plan::Vector(match set_operator(read.op.id()) {
                Some(operator) => {
                    let signature = signature(&modifier);
                    Vector::Set(Box::new(SetOperation { operator, left, right, signature }))
                }
                None => {
                    let operator = self.operator(read.op.id(), &sign)?;
                    Vector::Matched(Box::new(matched(operator, left, right, &modifier)))
                }
            })),
            (Plan::Scalar(_) | Plan::Vector(_), other) | (other, _) => {
                Err(self.wrong_type(&sign, "numbers and instant vectors", &other))
            }
        }
    }

    fn operator(&self, id: TokenId, sign: &str) -> Result<Operator, Problem> {
        Ok(match id {
            token::T_ADD => Operator::Add,
            token::T_SUB => Operator::Sub,
            token::T_MUL => Operator::Mul,
            token::T_DIV => Operator::Div,
            token::T_MOD => Operator::Mod,
            token::T_POW => Operator::Pow,
            token::T_ATAN2 => Operator::Atan2,
            token::T_EQLC => Operator::Equal,
            token::T_NEQ => Operator::NotEqual,
            token::T_GTR => Operator::Greater,
            token::T_LSS => Operator::Less,
            token::T_GTE => Operator::GreaterOrEqual,
            token::T_LTE => Operator::LessOrEqual,
            _ => return Err(self.unsupported(sign, format!("the operator `{sign}` is not supported"))),
        })
    }

    // Aggregations.

    fn aggregate(&mut self, read: &AggregateExpr) -> Result<Vector, Problem> {
        let name = read.op.to_string();
        let aggregator = match read.op.id() {
            token::T_SUM => Aggregator::Fold(Fold::Sum),
            token::T_AVG => Aggregator::Fold(Fold::Avg),
            token::T_MIN => Aggregator::Fold(Fold::Min),
            token::T_MAX => Aggregator::Fold(Fold::Max),
            token::T_COUNT => Aggregator::Fold(Fold::Count),
            token::T_GROUP => Aggregator::Fold(Fold::Group),
            token::T_STDDEV => Aggregator::Fold(Fold::Stddev),
            token::T_STDVAR => Aggregator::Fold(Fold::Stdvar),
            token::T_QUANTILE => Aggregator::Quantile(self.parameter(read, &name)?),
            token::T_COUNT_VALUES => Aggregator::CountValues(self.label_parameter(read, &name)?),
            token::T_TOPK => Aggregator::Choice(Choice::Topk, self.parameter(read, &name)?),
            token::T_BOTTOMK => Aggregator::Choice(Choice::Bottomk, self.parameter(read, &name)?),
            token::T_LIMITK | token::T_LIMIT_RATIO => {
                if !self.rules.limit_aggregations {
                    let release = self.options.release;
                    let message = format!("Prometheus {release} has no aggregation `{name}`");
                    return Err(self.unsupported(&name, message));
                }
                self.check_experimental(&name, true)?;
                let choice =
                    if read.op.id() == token::T_LIMITK { Choice::Limitk } else { Choice::LimitRatio };
                Aggregator::Choice(choice, self.parameter(read, &name)?)
            }
            _ => return Err(self.unsupported(&name, format!("there is no aggregation `{name}`"))),
        };
        // `count_values` gives every element its label first, so that the label tells groups apart.
        let own = match &aggregator {
            Aggregator::CountValues(label) => Some(label.clone()),
            _ => None,
        };
        let grouping = match &read.modifier {
            None => LabelRule::keep(own.into_iter().collect()),
            Some(LabelModifier::Include(labels)) => {
                LabelRule::keep(labels.labels.iter().cloned().chain(own).collect())
            }
            Some(LabelModifier::Exclude(labels)) => LabelRule::drop(labels.labels.clone()),
        };
        let of = self.vector(&read.expr, &name)?;
        Ok(Vector::Aggregate(Box::new(Aggregate { aggregator, of, grouping })))
    }

    /// Refuses what is experimental in this release, unless that is turned on.
    fn check_experimental(&self, name: &str, is_experimental: bool) -> Result<(), Problem> {
        if !is_experimental || self.options.features.experimental_functions {
            return Ok(());
        }
        let release = self.options.release;
        let message = format!("`{name}` is experimental in Prometheus {release}, and not enabled");
        let help = Features::how_to_enable(Features::EXPERIMENTAL_FUNCTIONS);
        Err(self.unsupported(name, message).help(help))
    }

    fn label_parameter(&mut self, read: &AggregateExpr, name: &str) -> Result<String, Problem> {
        match &read.param {
            Some(parameter) => self.label_name(parameter, name),
            None => Err(self.too_few(name)),
        }
    }

    fn parameter(&mut self, read: &AggregateExpr, name: &str) -> Result<Scalar, Problem> {
        match &read.param {
            Some(parameter) => self.scalar(parameter, name),
            None => Err(self.too_few(name)),
        }
    }
}

fn set_operator(id: TokenId) -> Option<SetOperator> {
    match id {
        token::T_LAND => Some(SetOperator::And),
        token::T_LOR => Some(SetOperator::Or),
        token::T_LUNLESS => Some(SetOperator::Unless),
        _ => None,
    }
}

/// What elements that belong together have in common: without `on`, all labels but the metric's name.
fn signature(modifier: &BinModifier) -> LabelRule {
    match &modifier.matching {
        Some(LabelModifier::Include(on)) => LabelRule::keep(on.labels.clone()),
        Some(LabelModifier::Exclude(ignoring)) => LabelRule::drop(ignoring.labels.clone()),
        None => LabelRule::drop(Vec::new()),
    }
}

fn matched(operator: Operator, left: Vector, right: Vector, modifier: &BinModifier) -> Matched {
    let (cardinality, include) = match &modifier.card {
        VectorMatchCardinality::ManyToOne(include) => (Cardinality::ManyToOne, include.labels.clone()),
        VectorMatchCardinality::OneToMany(include) => (Cardinality::OneToMany, include.labels.clone()),
        _ => (Cardinality::OneToOne, Vec::new()),
    };
    let result = match &modifier.matching {
        Some(LabelModifier::Include(on)) => LabelRule::keep(on.labels.clone()),
        Some(LabelModifier::Exclude(ignoring)) => LabelRule::drop_only(ignoring.labels.clone()),
        None => LabelRule::drop_only(Vec::new()),
    };
    Matched {
        operator,
        returns_bool: modifier.return_bool,
        left,
        right,
        cardinality,
        signature: signature(modifier),
        result,
        include,
        known: FxHashMap::default(),
    }
}
