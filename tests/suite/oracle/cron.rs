//! When cron expressions come next: `cron/next.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::keda::cron::{Location, Schedule};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    spec: String,
    zone: String,
    now: i64,
    next: Option<Vec<i64>>,
    error: bool,
}

#[test]
fn cron() {
    let Some(lines) = lines("cron/next.jsonl") else { return absent("cron") };
    let mut tally = Tally::new("cron");
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let Record { spec, zone, now, .. } = record;
    let schedule = match Schedule::parse(spec) {
        Err(_) if record.error => return Ok(()),
        Err(why) => return Err(format!("{spec:?} is refused: {why}")),
        Ok(_) if record.error => return Err(format!("{spec:?} is taken")),
        Ok(schedule) => schedule,
    };
    let location = Location::load(zone).map_err(|problem| problem.to_string())?;
    let next = |&at: &i64| schedule.next(at, &location);
    let got: Vec<i64> = std::iter::successors(next(now), next).take(3).collect();
    let recorded = record.next.clone().unwrap_or_default();
    if got == recorded {
        return Ok(());
    }
    Err(format!("{spec:?} in {zone} after {now}: got {got:?}, recorded {recorded:?}"))
}
