//! Evaluations recorded from real Prometheus servers, over the series that were loaded into them.

use super::{Tally, absent, lines, root};
use dryscale::monitoring::labels::Labels;
use dryscale::monitoring::promql::{Features, Query, QueryOptions, Release, Value};
use dryscale::monitoring::series::{Database, Retention, STALE};
use dryscale::units::{SimTime, UnixMillis};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

const TOLERANCE: f64 = 1e-9;

/// Every evaluation of every tier against each release that gave it; one evaluation by one release counts as one.
#[test]
fn promql() {
    let records = records();
    if records.is_empty() {
        return absent("promql");
    }
    let mut tally = Tally::new("promql");
    for release in Release::ALL {
        let mut replay = Replay::new(release);
        for record in records.iter().filter(|record| record["r"].get(version(release)).is_some()) {
            tally.record(replay.check(record));
        }
    }
    tally.finish();
}

/// The version that a release was recorded from.
fn version(release: Release) -> &'static str {
    match release {
        Release::V3_5 => "3.5.3",
        Release::V2_53 => "2.53.3",
        Release::V2_42 => "2.42.0",
    }
}

/// The servers were started with `--enable-feature=promql-experimental-functions` where they have it.
fn features(release: Release) -> Features {
    Features { experimental_functions: release >= Release::V2_53, ..Features::default() }
}

/// The recorded evaluations of every data set, in the order of the files' names; none where there are no recordings.
fn records() -> Vec<Json> {
    let Ok(folder) = std::fs::read_dir(root().join("promql/queries")) else { return Vec::new() };
    let mut names: Vec<String> =
        folder.map(|file| file.expect("folder lists").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.dedup_by_key(|name| name.trim_end_matches(".gz").to_owned());
    let records = names.iter().flat_map(|name| {
        let path = format!("promql/queries/{}", name.trim_end_matches(".gz"));
        lines(&path).into_iter().flatten().collect::<Vec<_>>()
    });
    records.map(|line| serde_json::from_str(&line).expect("a record is JSON")).collect()
}

/// One release's answers, with what was loaded and compiled so far.
struct Replay {
    release: Release,
    databases: BTreeMap<String, Arc<Database>>,
    queries: BTreeMap<(String, String), Result<Query, String>>,
}

impl Replay {
    fn new(release: Release) -> Self {
        Replay { release, databases: BTreeMap::new(), queries: BTreeMap::new() }
    }

    fn check(&mut self, record: &Json) -> Result<(), String> {
        let release = self.release;
        let (ds, text) = (field(record, "ds"), field(record, "query"));
        let at = UnixMillis(record["t"].as_i64().expect("t is in milliseconds"));
        let mut want = &record["r"][version(release)];
        if want == "=" {
            want = &record["r"]["3.5.3"];
        }
        let options = QueryOptions { release, features: features(release), ..QueryOptions::default() };
        let query = self
            .queries
            .entry((ds.clone(), text.clone()))
            .or_insert_with(|| Query::compile(&text, options).map_err(|problem| problem.to_string()));
        let must_fail = want["type"] == "error";
        let named = |why: &str| format!("{release} {ds} `{text}` at {}: {why}", at.0);
        let query = match query {
            Ok(_) if must_fail && want["errorType"] == "bad_data" => {
                return Err(named("compiles, but must not"));
            }
            Ok(query) => query,
            Err(_) if must_fail => return Ok(()),
            Err(why) => return Err(named(why)),
        };
        let db = self.databases.entry(ds.clone()).or_insert_with(|| Arc::new(load(&ds)));
        match query.evaluate(db, at, SimTime::NEVER) {
            Err(_) if must_fail => Ok(()),
            Err(error) => Err(named(&format!("fails: {error}"))),
            Ok(got) if must_fail => Err(named(&format!("gives {got:?}, but must fail"))),
            Ok(got) => same(record, want, &got).map_err(|why| named(&why)),
        }
    }
}

/// One series a line; each is a group of its own, as it has times of its own.
fn load(ds: &str) -> Database {
    let mut db = Database::new(Retention::All);
    for line in lines(&format!("promql/series/series-{ds}.jsonl")).expect("the series are beside the queries")
    {
        let series: Json = serde_json::from_str(&line).expect("a series is JSON");
        let id = db.open(Labels::default(), Arc::new([labels(&series["labels"])]));
        for sample in series["samples"].as_array().expect("samples are a list") {
            let value = match sample[1].as_str().expect("values are texts") {
                "stale" => STALE,
                number => number.parse().expect("a float"),
            };
            let t = UnixMillis(sample[0].as_i64().expect("times are milliseconds"));
            assert!(db.append(id, t, SimTime::ZERO, &[value]), "samples are in order of time");
        }
    }
    db
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().expect("labels are an object").iter();
    Labels::new(pairs.map(|(name, value)| (name.as_str(), value.as_str().expect("label values are texts"))))
}

fn field(record: &Json, name: &str) -> String {
    record[name].as_str().expect("the field is a text").to_owned()
}

fn tagged(record: &Json, tag: &str) -> bool {
    record["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == tag))
}

fn same(record: &Json, want: &Json, got: &Value) -> Result<(), String> {
    let result = &want["result"];
    if want["type"] != got.result_type() {
        return Err(format!("is a {}, must be a {}", got.result_type(), want["type"]));
    }
    match got {
        Value::Scalar(value) => close(*value, result),
        Value::String(text) => {
            (result == text.as_str()).then_some(()).ok_or(format!("{text:?} for {result}"))
        }
        Value::Vector(got) => {
            let mut want: Vec<(Labels, &Json)> =
                result.as_array().expect("a list").iter().map(|pair| (labels(&pair[0]), &pair[1])).collect();
            let mut got = got.clone();
            if got.len() != want.len() {
                return Err(format!("{} elements for {}", got.len(), want.len()));
            }
            let ties = tagged(record, "ties");
            if ties {
                // Which of equal elements wins is the order of storage: only the values count.
                let key = |value: &Json| value.as_str().and_then(|v| v.parse::<f64>().ok()).expect("a float");
                want.sort_by(|a, b| key(a.1).total_cmp(&key(b.1)));
                got.sort_by(|a, b| a.1.total_cmp(&b.1));
            } else if !tagged(record, "ordered") {
                want.sort_by(|a, b| a.0.cmp(&b.0));
                got.sort_by(|a, b| a.0.cmp(&b.0));
            }
            got.iter().zip(&want).try_for_each(|((labels, value), (wanted, number))| {
                if !ties && labels != wanted {
                    return Err(format!("{labels} for {wanted}"));
                }
                close(*value, number).map_err(|why| format!("{labels}: {why}"))
            })
        }
        Value::Matrix(got) => {
            let want = result.as_array().expect("a list");
            if got.len() != want.len() {
                return Err(format!("{} series for {}", got.len(), want.len()));
            }
            for series in want {
                let wanted = labels(&series[0]);
                let samples = series[1].as_array().expect("samples are a list");
                let Some((_, points)) = got.iter().find(|(labels, _)| *labels == wanted) else {
                    return Err(format!("{wanted} is missing"));
                };
                if points.len() != samples.len() {
                    return Err(format!("{wanted}: {} samples for {}", points.len(), samples.len()));
                }
                for (point, sample) in points.iter().zip(samples) {
                    let t = sample[0].as_f64().expect("seconds");
                    if (point.0.0 as f64 / 1000.0 - t).abs() > 1e-4 {
                        return Err(format!("{wanted}: a sample at {} for {t}", point.0.0));
                    }
                    close(point.1, &sample[1])?;
                }
            }
            Ok(())
        }
    }
}

fn close(got: f64, want: &Json) -> Result<(), String> {
    let want: f64 = want.as_str().and_then(|text| text.parse().ok()).ok_or(format!("{want} is no float"))?;
    let alike = got == want
        || got.is_nan() && want.is_nan()
        || (got - want).abs() <= TOLERANCE * got.abs().max(want.abs());
    alike.then_some(()).ok_or(format!("{got} for {want}"))
}
