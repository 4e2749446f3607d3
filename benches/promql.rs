//! The queries that autoscalers ask, over 8 and 100 pods scraped every 15 s, asked every 5 s.

use divan::{Bencher, black_box};
use dryscale::monitoring::labels::{Labels, METRIC_NAME};
use dryscale::monitoring::promql::{Query, QueryOptions};
use dryscale::monitoring::series::{Database, Retention};
use dryscale::units::{SimTime, UnixMillis};
use std::fmt;
use std::sync::Arc;

const EPOCH: i64 = 1_700_000_000_000;
const SCRAPES: i64 = 40;
const BOUNDS: [&str; 23] = [
    "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5",
    "5.0", "7.5", "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0", "+Inf",
];

fn main() {
    divan::main();
}

/// Ten minutes of a gauge, two counters and one histogram for each pod.
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
            db.append(id, UnixMillis(EPOCH + scrape * 15_000 + pod as i64 * 97), SimTime::ZERO, &row);
        }
    }
    db
}

/// A query over so many pods.
struct Case {
    query: &'static str,
    pods: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:3} pods: {}", self.pods, self.query)
    }
}

const fn case(query: &'static str, pods: usize) -> Case {
    Case { query, pods }
}

const GAUGE: &str = "sum(waiting)";
const RATE: &str = "sum(rate(tokens_total[2m]))";
const RATIO: &str = "sum(rate(tokens_total[2m])) / sum(rate(requests_total[2m]))";
const QUANTILE: &str = "histogram_quantile(0.95, sum by (le) (rate(ttft_bucket[2m])))";
const OVER_TIME: &str = "max(max_over_time(waiting[5m]))";

#[divan::bench(args = [
    case(GAUGE, 8), case(RATE, 8), case(RATIO, 8), case(QUANTILE, 8), case(OVER_TIME, 8),
    case(GAUGE, 100), case(RATE, 100), case(RATIO, 100), case(QUANTILE, 100), case(OVER_TIME, 100),
])]
fn ask(bencher: Bencher<'_, '_>, case: &Case) {
    let db = database(case.pods);
    let mut query = Query::compile(case.query, QueryOptions::default()).expect("it compiles");
    let mut now = 0;
    bencher.bench_local(move || {
        now = (now + 5000) % (SCRAPES * 15_000);
        black_box(query.evaluate(&db, UnixMillis(EPOCH + now), SimTime::NEVER))
    });
}

#[divan::bench]
fn compile() -> Query {
    let text =
        "histogram_quantile(0.95, sum by (le) (rate(ttft_bucket{namespace=\"llm\", pod=~\"llama.*\"}[2m])))";
    Query::compile(black_box(text), QueryOptions::default()).expect("it compiles")
}
