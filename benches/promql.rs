//! The queries that autoscalers ask, over 8 and 100 pods scraped every 15 s: fused, by the interpreter alone, and as loops
//! written by hand for the one query, over the same rows.

use divan::{Bencher, black_box};
use dryscale::monitoring::labels::{Labels, METRIC_NAME};
use dryscale::monitoring::promql::{Query, QueryOptions, Value};
use dryscale::monitoring::series::{Database, Retention, Rows, is_stale};
use dryscale::units::{SimDuration, SimTime, UnixMillis};
use std::fmt;
use std::sync::Arc;

const EPOCH: i64 = 1_700_000_000_000;
const INTERVAL: i64 = 15_000;
/// What a run keeps for ranges and lookbacks of five minutes.
const SCRAPES: i64 = 22;
const LOOKBACK: i64 = 300_000;
const BOUNDS: [&str; 23] = [
    "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5",
    "5.0", "7.5", "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0", "+Inf",
];

/// The columns of each pod: a gauge, two counters, a histogram.
const WAITING: usize = 0;
const TOKENS: usize = 1;
const REQUESTS: usize = 2;
const BUCKETS: usize = 3;

fn main() {
    divan::main();
}

/// The last scrapes of each pod, as a run keeps them.
fn database(pods: usize) -> Database {
    let mut db = Database::new(Retention::All);
    let plain = ["waiting", "tokens_total", "requests_total"].map(Labels::metric);
    let buckets = BOUNDS.map(|le| Labels::new([(METRIC_NAME, "ttft_bucket"), ("le", le)]));
    let columns: Arc<[Labels]> = plain.into_iter().chain(buckets).collect();
    for pod in 0..pods {
        let target = Labels::new([("pod", format!("llama-{pod}")), ("namespace", "llm".to_owned())]);
        let id = db.open(target, columns.clone());
        for scrape in 0..SCRAPES {
            let (k, n) = ((scrape + pod as i64) as f64, BOUNDS.len());
            let mut row = vec![k % 7.0, k * 300.0, k * 2.0];
            row.extend((0..n).map(|bucket| k * bucket as f64));
            let t = scrape * INTERVAL + pod as i64 * 97;
            let visible = SimTime::ZERO + SimDuration::from_millis(t as u64 + 20);
            db.append(id, UnixMillis(EPOCH + t), visible, &row);
        }
    }
    db
}

/// One number from the rows of all pods at an instant.
type ByHand = fn(&Database, i64, SimTime) -> f64;

/// A query, the loop that answers it, and over how many pods.
#[derive(Clone, Copy)]
struct Case {
    query: &'static str,
    by_hand: ByHand,
    pods: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:3} pods: {}", self.pods, self.query)
    }
}

const HOT: [(&str, ByHand); 7] = [
    ("sum(waiting)", sum_of_gauge),
    ("sum(rate(tokens_total[2m]))", |db, now, seen| sum_of_rates(db, TOKENS, now, seen)),
    ("sum(rate(tokens_total[2m])) / sum(rate(requests_total[2m]))", |db, now, seen| {
        sum_of_rates(db, TOKENS, now, seen) / sum_of_rates(db, REQUESTS, now, seen)
    }),
    ("histogram_quantile(0.95, sum by (le) (rate(ttft_bucket[2m])))", quantile),
    ("max(max_over_time(waiting[5m]))", |db, now, seen| {
        over_time(db, now, seen, f64::max).fold(f64::NEG_INFINITY, f64::max)
    }),
    ("sum(min_over_time(waiting[5m]))", |db, now, seen| Sum::of(over_time(db, now, seen, f64::min))),
    ("avg(avg_over_time(waiting[5m]))", avg_of_avg),
];

fn cases() -> impl Iterator<Item = Case> {
    [8, 100].into_iter().flat_map(|pods| HOT.map(|(query, by_hand)| Case { query, by_hand, pods }))
}

/// The instants that are asked for: every 5 s since the last scrape, when all rows are there and seen.
fn instants() -> impl FnMut() -> (i64, SimTime) {
    let mut asked = 0;
    move || {
        asked = (asked + 1) % 3;
        let now = SCRAPES * INTERVAL + asked * 5000;
        (EPOCH + now, SimTime::ZERO + SimDuration::from_millis(now as u64))
    }
}

fn bench(bencher: Bencher<'_, '_>, case: Case, mut query: Query) {
    let db = database(case.pods);
    let mut next = instants();
    let (now, seen) = next();
    let answer = query.evaluate(&db, UnixMillis(now), seen).expect("no two elements are alike");
    let by_hand = (case.by_hand)(&db, now, seen);
    let Value::Vector(elements) = answer else { panic!("a vector") };
    assert!((elements[0].1 - by_hand).abs() <= 1e-9 * by_hand.abs(), "{} for {by_hand}", elements[0].1);
    bencher.bench_local(move || {
        let (now, seen) = next();
        black_box(query.evaluate(&db, UnixMillis(now), seen))
    });
}

#[divan::bench(args = cases())]
fn fused(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, Query::compile(case.query, QueryOptions::default()).expect("it compiles"));
}

#[divan::bench(args = cases())]
fn interpreted(bencher: Bencher<'_, '_>, case: Case) {
    let query = Query::compile_interpreted(case.query, QueryOptions::default());
    bench(bencher, case, query.expect("it compiles"));
}

#[divan::bench(args = cases())]
fn by_hand(bencher: Bencher<'_, '_>, case: Case) {
    let db = database(case.pods);
    let mut next = instants();
    bencher.bench_local(move || {
        let (now, seen) = next();
        black_box((case.by_hand)(&db, now, seen))
    });
}

#[divan::bench]
fn compile() -> Query {
    let text =
        "histogram_quantile(0.95, sum by (le) (rate(ttft_bucket{namespace=\"llm\", pod=~\"llama.*\"}[2m])))";
    Query::compile(black_box(text), QueryOptions::default()).expect("it compiles")
}

// The loops. They know the column, that every row has a sample, and whose semantics hold: 3.5 compensates its sums.

/// Neumaier's sum.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    compensation: f64,
}

impl Sum {
    fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.compensation +=
            if self.sum.abs() >= term.abs() { (self.sum - sum) + term } else { (term - sum) + self.sum };
        self.sum = sum;
    }

    fn total(self) -> f64 {
        self.sum + self.compensation
    }

    fn of(terms: impl Iterator<Item = f64>) -> f64 {
        let mut sum = Sum::default();
        terms.for_each(|term| sum.add(term));
        sum.total()
    }
}

fn sum_of_gauge(db: &Database, now: i64, seen: SimTime) -> f64 {
    let mut sum = Sum::default();
    for (_, group) in db.groups() {
        let rows = group.rows(seen);
        let Some(row) = rows.times.iter().rposition(|&t| t <= now) else { continue };
        let value = rows.value(row, WAITING);
        if rows.times[row] > now - LOOKBACK && !is_stale(value) {
            sum.add(value);
        }
    }
    sum.total()
}

/// The rows in the `range` milliseconds before `now`.
fn window(rows: &Rows<'_>, now: i64, range: i64) -> Option<(usize, usize)> {
    let until = rows.times.iter().rposition(|&t| t <= now)?;
    let from = rows.times[..until].iter().rposition(|&t| t <= now - range).map_or(0, |before| before + 1);
    (from < until).then_some((from, until))
}

fn rate(rows: &Rows<'_>, column: usize, (from, until): (usize, usize), now: i64, range: i64) -> f64 {
    let (first, last) = (rows.value(from, column), rows.value(until, column));
    let mut increase = last - first;
    let mut before = first;
    for row in from + 1..=until {
        let value = rows.value(row, column);
        if value < before {
            increase += before;
        }
        before = value;
    }
    let sampled = (rows.times[until] - rows.times[from]) as f64 / 1000.0;
    let distance = sampled / (until - from) as f64;
    let mut to_start = (rows.times[from] - (now - range)) as f64 / 1000.0;
    if to_start >= distance * 1.1 {
        to_start = distance / 2.0;
    }
    if increase > 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    let mut to_end = (now - rows.times[until]) as f64 / 1000.0;
    if to_end >= distance * 1.1 {
        to_end = distance / 2.0;
    }
    increase * ((sampled + to_start + to_end) / sampled / (range as f64 / 1000.0))
}

fn sum_of_rates(db: &Database, column: usize, now: i64, seen: SimTime) -> f64 {
    const RANGE: i64 = 120_000;
    let mut sum = Sum::default();
    for (_, group) in db.groups() {
        let rows = group.rows(seen);
        if let Some(window) = window(&rows, now, RANGE) {
            sum.add(rate(&rows, column, window, now, RANGE));
        }
    }
    sum.total()
}

fn quantile(db: &Database, now: i64, seen: SimTime) -> f64 {
    const RANGE: i64 = 120_000;
    let mut sums = [Sum::default(); BOUNDS.len()];
    for (_, group) in db.groups() {
        let rows = group.rows(seen);
        let Some(window) = window(&rows, now, RANGE) else { continue };
        for (bucket, sum) in sums.iter_mut().enumerate() {
            sum.add(rate(&rows, BUCKETS + bucket, window, now, RANGE));
        }
    }
    let (bounds, counts) = (BOUNDS_AS_NUMBERS, sums.map(Sum::total));
    let rank = 0.95 * counts[counts.len() - 1];
    let at = counts[..counts.len() - 1].partition_point(|&count| count < rank);
    if at == counts.len() - 1 {
        return bounds[at - 1];
    }
    let (start, below) = if at == 0 { (0.0, 0.0) } else { (bounds[at - 1], counts[at - 1]) };
    start + (bounds[at] - start) * ((rank - below) / (counts[at] - below))
}

const BOUNDS_AS_NUMBERS: [f64; 23] = [
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
    f64::INFINITY,
];

fn over_time(
    db: &Database,
    now: i64,
    seen: SimTime,
    better: fn(f64, f64) -> f64,
) -> impl Iterator<Item = f64> {
    db.groups().filter_map(move |(_, group)| {
        let rows = group.rows(seen);
        let (from, until) = window(&rows, now, LOOKBACK)?;
        (from..=until).map(|row| rows.value(row, WAITING)).reduce(better)
    })
}

fn avg_of_avg(db: &Database, now: i64, seen: SimTime) -> f64 {
    let (mut sum, mut count) = (Sum::default(), 0.0);
    for (_, group) in db.groups() {
        let rows = group.rows(seen);
        let Some((from, until)) = window(&rows, now, LOOKBACK) else { continue };
        let total = Sum::of((from..=until).map(|row| rows.value(row, WAITING)));
        sum.add(total / (until + 1 - from) as f64);
        count += 1.0;
    }
    sum.total() / count
}
