//! Knative's windows over sequences of samples: `knative/kpa_windows.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::knative::{TimeWindow, TimedFloat64Buckets, WeightedFloat64Buckets};
use dryscale::units::{Replicas, SimDuration, UnixMillis};
use serde::Deserialize;

const KIND: &str = "kpa_windows";

#[derive(Deserialize)]
struct Record {
    id: u64,
    kind: String,
    window_s: u64,
    granularity_s: u64,
    t0_unix_ms: i64,
    ops: Vec<Op>,
}

#[derive(Deserialize)]
struct Op {
    op: String,
    t_ms: i64,
    value: Option<f64>,
    /// The largest of the window after a record.
    max: Option<i32>,
    average: Option<f64>,
    empty: Option<bool>,
    window_s: Option<u64>,
}

/// What an operation shows; nothing where it only records or resizes.
#[derive(Debug, Default)]
struct Shown {
    max: Option<i32>,
    average: Option<f64>,
    empty: Option<bool>,
}

impl Shown {
    /// Averages agree to 12 digits: the weights are powers, for which Go's library uses other last digits on processors with
    /// fused multiplication than on those without. Linear averages are rounded to six decimals, so they agree exactly.
    fn agrees(&self, recorded: &Shown) -> bool {
        const RELATIVE: f64 = 1e-12;
        let averages = match (self.average, recorded.average) {
            (Some(got), Some(recorded)) => (got - recorded).abs() <= RELATIVE * recorded.abs(),
            (got, recorded) => got == recorded,
        };
        averages && self.max == recorded.max && self.empty == recorded.empty
    }
}

enum Window {
    Linear(TimedFloat64Buckets),
    Weighted(WeightedFloat64Buckets),
    Max(TimeWindow),
}

#[test]
fn kpa_windows() {
    let Some(lines) = lines("knative/kpa_windows.jsonl") else { return absent(KIND) };
    let mut tally = Tally::new(KIND);
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let (window, granularity) =
        (SimDuration::from_secs(record.window_s), SimDuration::from_secs(record.granularity_s));
    let mut window = match record.kind.as_str() {
        "linear" => Window::Linear(TimedFloat64Buckets::new(window, granularity)),
        "weighted" => Window::Weighted(WeightedFloat64Buckets::new(window, granularity)),
        "max" => Window::Max(TimeWindow::new(window, granularity)),
        other => return Err(format!("record {}: kind {other}", record.id)),
    };
    for (index, op) in record.ops.iter().enumerate() {
        let recorded = Shown { max: op.max, average: op.average, empty: op.empty };
        let got = apply(&mut window, op, UnixMillis(record.t0_unix_ms + op.t_ms))?;
        if !got.agrees(&recorded) {
            return Err(format!(
                "record {}, {} {index} at {} ms: got {got:?}, recorded {recorded:?}",
                record.id, op.op, op.t_ms
            ));
        }
    }
    Ok(())
}

fn apply(window: &mut Window, op: &Op, at: UnixMillis) -> Result<Shown, String> {
    let value = || op.value.ok_or("a record without a value");
    let length = || op.window_s.map(SimDuration::from_secs).ok_or("a resize without a length");
    let mut shown = Shown::default();
    match (window, op.op.as_str()) {
        (Window::Linear(buckets), "record") => buckets.record(at, value()?),
        (Window::Weighted(buckets), "record") => buckets.record(at, value()?),
        (Window::Max(window), "record") => {
            shown.max = Some(window.record(at, Replicas(value()? as i32)).get());
        }
        (Window::Linear(buckets), "query") => {
            shown.average = Some(buckets.window_average(at));
            shown.empty = Some(buckets.is_empty(at));
        }
        (Window::Weighted(buckets), "query") => {
            shown.average = Some(buckets.window_average(at));
            shown.empty = Some(buckets.is_empty(at));
        }
        (Window::Linear(buckets), "resize") => buckets.resize_window(at, length()?),
        (Window::Weighted(buckets), "resize") => buckets.resize_window(at, length()?),
        (_, other) => return Err(format!("operation {other}")),
    }
    Ok(shown)
}
