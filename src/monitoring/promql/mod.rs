//! PromQL: compile a query once, evaluate it at any instant over what can be seen then.
//!
//! ```text
//!   text ─ parse ─► syntax tree ─ lower ─► plan ─ fuse ─► plan ─ eval(database, at, seen) ─► value
//!            │                      │
//!            └── errors with carets ┴── what the release does not have is refused; what is read is reported
//! ```
//!
//! The semantics are Prometheus' (promql/engine.go, functions.go, quantile.go) for float samples: functions of native
//! histograms, which vLLM does not expose, find none. [`Release`] chooses whose semantics, [`Features`] what of the
//! experimental parts; the tables in `functions` and `semantics` say what differs.

mod aggregation;
mod binary;
mod choice;
mod duration;
mod eval;
mod explain;
mod features;
mod fold;
mod functions;
mod fused;
mod heap;
mod lower;
mod matcher;
mod natural_order;
mod parse;
mod place;
mod plan;
mod range_query;
mod reads;
mod renamed;
mod selector;
mod semantics;
mod sum;
mod value;
mod xxhash;

pub use features::Features;
pub use matcher::{MatchOp, Matcher};
pub use range_query::RangeSeries;
pub use reads::Read;
pub use semantics::{Release, Semantics};
pub use value::{ExecutionError, Value};

use super::labels::Labels;
use super::series::Database;
use crate::problem::{Place, Problem};
use crate::units::{SimDuration, SimTime, UnixMillis};
use eval::Evaluation;
use place::Source;
use plan::{Plan, Vector};
use selector::Span;
use value::{LabelTable, LabelsId, Marks, Point, Sample};

/// A query forgets the label sets it has met when there are more than this, so that a long run with many pods that come and
/// go does not fill memory.
const TABLE_MAX: usize = 1 << 18;

/// What a query's meaning depends on beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOptions {
    /// Whose semantics.
    pub release: Release,
    /// The step of a subquery that names none: Prometheus' `global.evaluation_interval`, one minute by default. At least a
    /// millisecond.
    pub evaluation_interval: SimDuration,
    /// What is experimental and turned on all the same.
    pub features: Features,
}

impl Default for QueryOptions {
    fn default() -> Self {
        QueryOptions {
            release: Release::default(),
            evaluation_interval: SimDuration::from_secs(60),
            features: Features::default(),
        }
    }
}

/// A compiled query.
///
/// It remembers which series of a database it selects: use one with one [`Database`], and clone it before its first
/// evaluation for another.
///
/// ```
/// use dryscale::monitoring::labels::Labels;
/// use dryscale::monitoring::promql::{Query, QueryOptions, Value};
/// use dryscale::monitoring::series::{Database, Retention};
/// use dryscale::units::{SimTime, UnixMillis};
///
/// let mut db = Database::new(Retention::All);
/// for (pod, waiting) in [("a", 2.0), ("b", 5.0)] {
///     let group = db.open(Labels::new([("pod", pod)]), [Labels::metric("vllm:num_requests_waiting")].into());
///     db.append(group, UnixMillis(1000), SimTime::ZERO, &[waiting]);
/// }
/// let mut query = Query::compile("sum(vllm:num_requests_waiting)", QueryOptions::default())?;
/// let value = query.evaluate(&db, UnixMillis(2000), SimTime::ZERO).expect("no two elements are alike");
/// assert_eq!(value, Value::Vector(vec![(Labels::default(), 7.0)]));
/// # Ok::<(), dryscale::problem::Problem>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    options: QueryOptions,
    rules: Semantics,
    reads: Vec<Read>,
    plan: Plan,
    /// The plan before it has met any label set.
    fresh: Plan,
    table: LabelTable,
    marks: Marks,
    /// Room for the samples of one series.
    points: Vec<Point>,
    /// How often it was evaluated.
    asked: u64,
}

impl Query {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is no PromQL, has the wrong types, or is not supported: at its place in the text, with what would be right.
    pub fn compile(text: &str, options: QueryOptions) -> Result<Query, Problem> {
        Query::with_plan(text, options, fused::fuse)
    }

    /// Compiles `text` for the interpreter alone, to hold fused operators against it: the answers are the same.
    ///
    /// # Errors
    /// As [`Query::compile`].
    #[doc(hidden)]
    pub fn compile_interpreted(text: &str, options: QueryOptions) -> Result<Query, Problem> {
        Query::with_plan(text, options, |_| {})
    }

    fn with_plan(text: &str, options: QueryOptions, finish: fn(&mut Plan)) -> Result<Query, Problem> {
        let source = Source::new(text);
        let tree = parse::parse(&source, &options)?;
        let mut lowering = lower::Lowering::new(&source, options);
        let mut plan = lowering.plan(&tree)?;
        finish(&mut plan);
        Ok(Query {
            text: text.to_owned(),
            options,
            rules: options.release.semantics(),
            reads: lowering.reads,
            fresh: plan.clone(),
            plan,
            table: LabelTable::new(),
            marks: Marks::default(),
            points: Vec::new(),
            asked: 0,
        })
    }

    /// The text that was compiled.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the query reads, one entry a selector, in the order of the text.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// What the query reads, if it is a selector and nothing else.
    pub fn selector(&self) -> Option<&Read> {
        match (&self.plan, &self.reads[..]) {
            (Plan::Vector(plan::Vector::Select(_)), [read]) => Some(read),
            _ => None,
        }
    }

    /// How long before the instant of an evaluation the oldest sample may be that it uses; zero for a query that reads
    /// nothing, [`SimDuration::MAX`] where `@` fixes an instant.
    pub fn look_behind(&self) -> SimDuration {
        self.reads.iter().map(|read| read.look_behind).max().unwrap_or_default()
    }

    /// `resultType` of every answer, in the words of Prometheus' HTTP API. KEDA's scaler can read vectors alone.
    pub fn result_type(&self) -> &'static str {
        match self.plan {
            Plan::Scalar(_) => "scalar",
            Plan::Vector(_) => "vector",
            Plan::Range(_) => "matrix",
            Plan::Text(_) => "string",
        }
    }

    /// Where in the text the matcher is, for a problem with it.
    pub fn place_of(&self, matcher: &Matcher) -> Place {
        let span = Source::new(&self.text).span_of_matcher(&matcher.name, &matcher.value);
        Place::Text { text: self.text.clone(), span }
    }

    /// The answer at `at`, from the samples that can be seen at `seen`.
    ///
    /// # Errors
    /// As Prometheus' `errorType: "execution"`: elements that nothing tells apart, many-to-many matches and the like.
    pub fn evaluate(
        &mut self,
        db: &Database,
        at: UnixMillis,
        seen: SimTime,
    ) -> Result<Value, ExecutionError> {
        self.begin();
        let (now, span) = (at.0, Span { start: at.0, end: at.0 });
        let (mut evaluation, plan) = self.evaluation(db, span, seen);
        let value = match plan {
            Plan::Text(text) => Value::String(text.clone()),
            Plan::Scalar(scalar) => Value::Scalar(evaluation.scalar(scalar, now)?),
            Plan::Vector(Vector::Single(single)) => {
                let value = single.value(&mut evaluation, now)?;
                Value::Vector(value.map(|value| (Labels::default(), value)).into_iter().collect())
            }
            Plan::Vector(vector) => {
                let samples = evaluation.vector(vector, now)?;
                Value::Vector(samples.into_iter().map(|sample| labelled(&self.table, sample)).collect())
            }
            Plan::Range(range) => {
                let series = eval::matrix(&mut evaluation, range)?;
                Value::Matrix(
                    series.into_iter().map(|(id, points)| sampled(&self.table, id, points)).collect(),
                )
            }
        };
        Ok(value)
    }

    /// Counts an evaluation, and forgets the label sets that were met, where they have become many.
    fn begin(&mut self) {
        self.asked += 1;
        if self.table.len() > TABLE_MAX {
            self.plan = self.fresh.clone();
            self.table = LabelTable::new();
        }
    }

    /// What evaluates the plan at instants of `span`.
    fn evaluation<'q>(
        &'q mut self,
        db: &'q Database,
        span: Span,
        seen: SimTime,
    ) -> (Evaluation<'q>, &'q mut Plan) {
        let evaluation = Evaluation {
            db,
            seen,
            rules: &self.rules,
            span,
            query: self.asked,
            has_several_instants: span.start < span.end,
            evaluation_interval: (self.options.evaluation_interval.as_millis() as i64).max(1),
            table: &mut self.table,
            marks: &mut self.marks,
            points: &mut self.points,
        };
        (evaluation, &mut self.plan)
    }
}

fn labelled(table: &LabelTable, sample: Sample) -> (Labels, f64) {
    (table.get(sample.labels).clone(), sample.value)
}

fn sampled(table: &LabelTable, id: LabelsId, points: Vec<Point>) -> (Labels, Vec<(UnixMillis, f64)>) {
    let points = points.into_iter().map(|point| (UnixMillis(point.t), point.value)).collect();
    (table.get(id).clone(), points)
}
