//! Fused operators against the interpreter, over series that do all that series do: the same bits, labels, order and
//! errors.

use super::super::{ExecutionError, Query, QueryOptions, Release, Value};
use crate::monitoring::labels::{BUCKET_LABEL, Labels, METRIC_NAME};
use crate::monitoring::series::{ABSENT, Database, GroupId, Retention, STALE};
use crate::units::{SimDuration, SimTime, UnixMillis};
use proptest::prelude::*;
use std::sync::Arc;

const COLUMNS: usize = 6;
const INTERVAL: i64 = 15_000;
/// Far enough from 1970 for every range.
const EPOCH: i64 = 3_600_000;

/// Two gauges and a counter, and buckets of a histogram whose bounds are written in two ways.
fn columns() -> Arc<[Labels]> {
    let plain = ["x", "y", "c_total"].map(Labels::metric);
    let buckets = ["1", "1.0", "+Inf"].map(|le| Labels::new([(METRIC_NAME, "b_bucket"), (BUCKET_LABEL, le)]));
    plain.into_iter().chain(buckets).collect()
}

/// What happens between two questions.
#[derive(Clone, Debug)]
enum Event {
    /// A target appears.
    Open,
    /// A target vanishes: its markers, seen late.
    End(usize),
    /// One row for each target: the values, the milliseconds beside the interval, and when it is seen.
    Scrape { values: Vec<[f64; COLUMNS]>, jitter: i64, late: u64 },
    /// Nothing is scraped for a while.
    Gap(i64),
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0..50_u32).prop_map(f64::from),
        2 => any::<f64>(),
        1 => -5.0..5.0,
        1 => prop::sample::select(vec![f64::NAN, STALE, ABSENT, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let row = prop::array::uniform6(value());
    let scrape = (prop::collection::vec(row, 4), 0..INTERVAL / 3, 0..40_000_u64);
    prop_oneof![
        2 => Just(Event::Open),
        1 => (0..4_usize).prop_map(Event::End),
        8 => scrape.prop_map(|(values, jitter, late)| Event::Scrape { values, jitter, late }),
        1 => (1..400_000_i64).prop_map(Event::Gap),
    ]
}

fn pick(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(of)
}

fn selector() -> impl Strategy<Value = String> {
    let named = pick(&[
        "x",
        "c_total",
        "b_bucket",
        "{__name__=~\"x|y\"}",
        "{__name__=~\".+\"}",
        "x{pod!=\"p0\"}",
        "nothing",
    ]);
    named.prop_map(str::to_owned)
}

/// A number for each series of a selector.
fn source() -> impl Strategy<Value = String> {
    let shift = || pick(&["", "", "", " offset 20s", " @ 3700", " @ start() offset -10s"]);
    let instant = (selector(), shift()).prop_map(|(selector, shift)| format!("{selector}{shift}"));
    let function = pick(&[
        "rate",
        "increase",
        "delta",
        "avg_over_time",
        "count_over_time",
        "last_over_time",
        "max_over_time",
        "min_over_time",
        "sum_over_time",
        "irate",
        "stddev_over_time",
    ]);
    let range = (function, selector(), pick(&["15s", "31s", "1m", "2m", "6m"]), shift());
    let range = range
        .prop_map(|(function, selector, range, shift)| format!("{function}({selector}[{range}]{shift})"));
    prop_oneof![1 => instant, 3 => range]
}

fn aggregate(grouping: &'static [&'static str]) -> impl Strategy<Value = String> {
    let fold = pick(&["sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile"]);
    (fold, pick(grouping), source()).prop_map(|(fold, grouping, source)| match fold {
        "quantile" => format!("quantile {grouping}(0.5, {source})"),
        _ => format!("{fold} {grouping}({source})"),
    })
}

/// What has at most one element, and what is made of such.
fn single() -> impl Strategy<Value = String> {
    let quantile = (pick(&["0.5", "0.95", "0", "time() % 2"]), pick(&["1m", "2m"]))
        .prop_map(|(q, range)| format!("histogram_quantile({q}, sum by (le) (rate(b_bucket[{range}])))"));
    let leaf = prop_oneof![
        6 => aggregate(&["", "by () "]),
        2 => quantile,
        1 => Just("histogram_fraction(0, 1, sum by (le) (increase(b_bucket[1m])))".to_owned()),
        1 => Just("vector(2)".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let operator =
            pick(&["+", "-", "*", "/", "^", "%", ">", "<= bool", "and", "or", "unless", "!= on()"]);
        let with = || pick(&["2", "time()", "0"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), pick(&["+", "/", ">", "== bool"]), with())
                .prop_map(|(a, op, b)| format!("({a}) {op} {b}")),
            (with(), pick(&["-", "<"]), inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} ({b})")),
            (pick(&["ceil", "abs", "-", "sqrt"]), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            inner.clone().prop_map(|a| format!("clamp({a}, scalar({a}) - 1, 5)")),
            inner.prop_map(|a| format!("max_over_time(({a})[1m:20s])")),
        ]
    })
}

fn query() -> impl Strategy<Value = String> {
    let grouped =
        || aggregate(&["by (pod) ", "by (le) ", "by (pod, le) ", "without (pod) ", "by (__name__) "]);
    prop_oneof![
        4 => single(),
        2 => source(),
        2 => grouped(),
        1 => (grouped(), grouped()).prop_map(|(a, b)| format!("{a} / {b}")),
        1 => (source(), single()).prop_map(|(a, b)| format!("{a} / on() group_left () {b}")),
        1 => grouped().prop_map(|a| format!("histogram_quantile(0.9, {a})")),
        1 => source().prop_map(|a| format!("label_replace({a}, \"pod\", \"same\", \"pod\", \".*\")")),
        1 => source().prop_map(|a| format!("sort_desc(topk(2, {a}))")),
    ]
}

/// An answer that compares bit by bit.
fn exact(answer: Result<Value, ExecutionError>) -> Result<Vec<(Labels, u64)>, String> {
    // Which NaN it is says nothing.
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    Ok(match answer.map_err(|error| error.0)? {
        Value::Scalar(value) => vec![(Labels::default(), bits(value))],
        Value::Vector(elements) => {
            elements.into_iter().map(|(labels, value)| (labels, bits(value))).collect()
        }
        other => panic!("a {}", other.result_type()),
    })
}

/// One Prometheus while things happen.
struct World {
    db: Database,
    live: Vec<GroupId>,
    opened: usize,
    now: i64,
}

impl World {
    fn new() -> Self {
        World {
            db: Database::new(Retention::Window(SimDuration::from_secs(420))),
            live: Vec::new(),
            opened: 0,
            now: EPOCH,
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Open if self.live.len() < 4 => {
                // Names come again, as a StatefulSet's pods do.
                let target = Labels::new([("pod", format!("p{}", self.opened % 6))]);
                self.live.push(self.db.open(target, columns()));
                self.opened += 1;
            }
            Event::Open => {}
            Event::End(which) => {
                if self.live.is_empty() {
                    return;
                }
                let id = self.live.remove(which % self.live.len());
                self.db.append(
                    id,
                    UnixMillis(self.now + INTERVAL),
                    seen_at(self.now + 31_500),
                    &[STALE; COLUMNS],
                );
                self.db.end(id);
            }
            Event::Scrape { values, jitter, late } => {
                self.now += INTERVAL;
                for (id, row) in self.live.iter().zip(values) {
                    let t = self.now - jitter;
                    self.db.append(*id, UnixMillis(t), seen_at(t + *late as i64), row);
                }
            }
            Event::Gap(length) => self.now += length,
        }
    }
}

fn seen_at(t: i64) -> SimTime {
    SimTime::ZERO + SimDuration::from_millis(t as u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn fused_and_interpreted_answers_are_the_same(
        texts in prop::collection::vec(query(), 1..4),
        events in prop::collection::vec(event(), 1..60),
        release in prop::sample::select(Release::ALL.to_vec()),
    ) {
        let options = QueryOptions { release, ..QueryOptions::default() };
        let mut world = World::new();
        let mut pairs = Vec::new();
        for text in &texts {
            let interpreted = Query::compile_interpreted(text, options);
            match Query::compile(text, options) {
                Ok(fused) => pairs.push((fused, interpreted.expect("it compiles fused"))),
                Err(_) => prop_assert!(interpreted.is_err()),
            }
        }
        for event in &events {
            world.happens(event);
            for (fused, interpreted) in &mut pairs {
                for (at, seen) in [(world.now, seen_at(world.now)), (world.now - 7_000, SimTime::NEVER)] {
                    let got = exact(fused.evaluate(&world.db, UnixMillis(at), seen));
                    let want = exact(interpreted.evaluate(&world.db, UnixMillis(at), seen));
                    prop_assert_eq!(got, want, "{} at {}", fused.text(), at);
                }
            }
        }
    }
}

/// The operators are there at all: the property would hold without them.
#[test]
fn hot_patterns_are_fused() {
    use super::super::plan::{Plan, Vector};
    for text in [
        "sum(x)",
        "avg(x{pod=\"p1\"})",
        "sum(rate(c_total[2m]))",
        "sum(rate(c_total[2m])) / sum(rate(c_total[2m] offset 1m))",
        "histogram_quantile(0.95, sum by (le) (rate(b_bucket[2m]))) or vector(0)",
        "max(max_over_time(x[1m])) * 100",
        "ceil(sum(x) / count(x > bool 0 or y) or vector(1))",
        "clamp_max(sum(increase(c_total[2m])), scalar(max(x)))",
    ] {
        let Ok(Query { plan, .. }) = Query::compile(text, QueryOptions::default()) else { panic!("{text}") };
        let fused = matches!(&plan, Plan::Vector(Vector::Single(_)));
        assert_eq!(fused, !text.contains("bool"), "{text}: {plan:?}");
    }
    for text in ["rate(x[2m])", "max_over_time(x[1m])", "avg_over_time(x[1m])"] {
        let Ok(Query { plan, .. }) = Query::compile(text, QueryOptions::default()) else { panic!("{text}") };
        assert!(matches!(plan, Plan::Vector(Vector::Fused(_))), "{text}");
    }
}

/// What a hot pattern needs room for, it has after its first evaluation; the answer that it hands out is all that is
/// allocated.
#[test]
fn buffers_do_not_grow() {
    use super::super::plan::{Plan, Vector};
    let mut world = World::new();
    (0..3).for_each(|_| world.happens(&Event::Open));
    let scrape = Event::Scrape { values: vec![[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; 4], jitter: 0, late: 20 };
    for text in [
        "sum(x) or vector(0)",
        "sum(rate(c_total[2m])) / sum(rate(c_total[2m] offset 1m))",
        "histogram_quantile(0.95, sum by (le) (rate(b_bucket[2m])))",
        "max(max_over_time(x[1m])) * 100",
    ] {
        let mut query = Query::compile(text, QueryOptions::default()).expect(text);
        let mut rooms = (0..40).map(|_| {
            world.happens(&scrape);
            query.evaluate(&world.db, UnixMillis(world.now), SimTime::NEVER).expect(text);
            let Plan::Vector(Vector::Single(single)) = &query.plan else { panic!("{text} is fused") };
            (single.room(), query.table.len(), query.points.capacity())
        });
        let first = rooms.next();
        assert!(rooms.all(|room| Some(room) == first), "{text}");
    }
}
