//! One world under several seeds: means, and how far the means can be trusted.

use super::attainment;
use super::grid::Setting;
use super::worlds::{self, RunError, Stop, Worlds};
use crate::simulation::record::Recorder;
use crate::simulation::summary::{ClassSlo, Summary};
use indexmap::IndexMap;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The share of experiments whose interval holds the true mean.
const CONFIDENCE: f64 = 0.95;

/// `n` seeds: `first` and those that follow it. Policies that are compared share them, so they see the same requests.
pub fn seeds(first: u64, n: u32) -> Vec<u64> {
    (0..u64::from(n)).map(|i| first.wrapping_add(i)).collect()
}

/// Runs the world with `settings` once for each of `seeds`, on the threads of the current rayon pool.
///
/// `listener` hears the records of the first seed. The answer is the same on any number of threads. `None`: somebody
/// asked to stop before the last run ended.
///
/// # Errors
/// The failure of the first of `seeds`, in their order, that failed.
pub fn repeat<W: Worlds + ?Sized>(
    worlds: &W,
    settings: &[Setting],
    seeds: &[u64],
    stop: &Stop,
    mut listener: Option<&mut (dyn Recorder + Send)>,
) -> Result<Option<Answer>, RunError<W::Error>> {
    let runs: Vec<(u64, Option<&mut (dyn Recorder + Send)>)> =
        seeds.iter().map(|&seed| (seed, listener.take())).collect();
    let summaries = runs
        .into_par_iter()
        .with_max_len(1)
        .filter(|_| !stop.asked())
        .map(|(seed, listener)| worlds::score(worlds, settings, seed, stop, listener))
        .collect::<Vec<Result<Option<Summary>, RunError<W::Error>>>>();
    let summaries = summaries.into_iter().filter_map(Result::transpose);
    let summaries = summaries.collect::<Result<Vec<Summary>, RunError<W::Error>>>()?;
    Ok(if summaries.len() == seeds.len() { Answer::of(&summaries) } else { None })
}

/// What `simulate` answers: the summary of a run, or of several with means in place of numbers.
///
/// Of several runs, each number is the mean over those that have it (`null` where none has), warnings are those of all,
/// names and `provenance.seed` are the first run's, and one more key says how far to trust the means:
///
/// ```json
/// "repetitions": {
///   "n": 5, "seeds": [1, 2, 3, 4, 5], "confidence": 0.95,
///   "intervals": { "ttft_s.p95": { "n": 5, "mean": 136.2, "low": 121.0, "high": 151.4 }, "...": {} }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Answer(Value);

/// A mean and the interval that holds the true mean in 95 of 100 experiments (Student's t over the seeds).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// How many runs had a number here.
    pub n: u64,
    /// Their mean; `None` where none had.
    pub mean: Option<f64>,
    /// `None` for fewer than two numbers, which say nothing about their spread.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
}

impl Interval {
    /// Half the width of the interval.
    pub fn half_width(&self) -> Option<f64> {
        Some(self.high? - self.mean?)
    }

    /// Of these numbers.
    pub(super) fn of(numbers: &[f64]) -> Interval {
        let n = numbers.len();
        if n == 0 {
            return Interval { n: 0, mean: None, low: None, high: None };
        }
        let mean = numbers.iter().sum::<f64>() / n as f64;
        let half = (n > 1).then(|| {
            let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
            students_t(n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt()
        });
        Interval { n: n as u64, mean: Some(mean), low: half.map(|h| mean - h), high: half.map(|h| mean + h) }
    }
}

/// Student's t at the upper end of the interval, to six digits: its last bits come from the platform's `ln` and `exp`,
/// and output must be the same on every machine.
fn students_t(degrees_of_freedom: usize) -> f64 {
    let t = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64)
        .expect("a scale of 1 and at least one degree of freedom are valid")
        .inverse_cdf(0.5 + CONFIDENCE / 2.0);
    libm::round(t * 1e6) / 1e6
}

impl Answer {
    /// The answer that these runs of one world give; `None` for no run.
    pub fn of(summaries: &[Summary]) -> Option<Answer> {
        let values: Vec<Value> = summaries
            .iter()
            .map(|summary| serde_json::to_value(summary).expect("a summary is plain data with string keys"))
            .collect();
        let [first, _, ..] = values.as_slice() else { return values.into_iter().next().map(Answer) };
        let mut intervals = IndexMap::new();
        let mut mean = mean_of("", &values.iter().collect::<Vec<_>>(), &mut intervals);
        mean["quantiles"] = first["quantiles"].clone();
        mean["quantiles"]["exact"] = summaries.iter().all(|summary| summary.quantiles.exact).into();
        mean["provenance"] = first["provenance"].clone();
        mean["slo"]["met"] = met_on_average(&mean).into();
        mean["repetitions"] = serde_json::json!({
            "n": summaries.len(),
            "seeds": summaries.iter().map(|summary| summary.provenance.seed).collect::<Vec<_>>(),
            "confidence": CONFIDENCE,
            "intervals": intervals,
        });
        Some(Answer(mean))
    }

    /// The answer that was written as `json`; `None` if it is none.
    pub(super) fn from_json(json: Value) -> Option<Answer> {
        json.get("requests")?.is_object().then_some(Answer(json))
    }

    /// `summary.json`.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The number under a dotted key, such as `ttft_s.p95`; `None` where it is `null` or no number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.at(key)?.as_f64()
    }

    /// The truth under a dotted key, such as `slo.met`.
    pub fn truth(&self, key: &str) -> Option<bool> {
        self.at(key)?.as_bool()
    }

    /// The text under a dotted key; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.at(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The interval of a dotted key; `None` where there was one run.
    pub fn interval(&self, key: &str) -> Option<Interval> {
        let interval = self.0.get("repetitions")?.get("intervals")?.get(key)?;
        let part = |name: &str| interval.get(name).and_then(Value::as_f64);
        Some(Interval {
            n: interval.get("n")?.as_u64()?,
            mean: part("mean"),
            low: part("low"),
            high: part("high"),
        })
    }

    /// How many runs the answer is the mean of.
    pub fn repetitions(&self) -> u64 {
        self.at("repetitions.n").and_then(Value::as_u64).unwrap_or(1)
    }

    /// What a careful colleague would say.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.0.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// All measured numbers by dotted key, in the summary's order.
    pub fn numbers(&self) -> Vec<(String, Option<f64>)> {
        let mut numbers = Vec::new();
        flatten("", &self.0, &mut numbers);
        numbers
    }

    fn at(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.0, |value, part| value.get(part))
    }
}

/// What is under these keys was given, not measured.
fn is_given(key: &str) -> bool {
    matches!(key, "provenance" | "quantiles" | "repetitions")
        || (key.starts_with("slo.classes.") && key.ends_with(".target"))
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn flatten(prefix: &str, value: &Value, out: &mut Vec<(String, Option<f64>)>) {
    match value {
        _ if is_given(prefix) => {}
        Value::Object(members) => members.iter().for_each(|(key, v)| flatten(&join(prefix, key), v, out)),
        Value::Number(_) | Value::Null if prefix != MET => out.push((prefix.to_owned(), value.as_f64())),
        _ => {}
    }
}

/// The one key that is a truth or `null`.
const MET: &str = "slo.met";

/// `values` merged into one: numbers to their mean, lists of texts to their union, objects key by key.
fn mean_of(key: &str, values: &[&Value], intervals: &mut IndexMap<String, Interval>) -> Value {
    let is_number = |value: &&Value| value.is_number() || value.is_null();
    if is_given(key) || key == MET {
        return values[0].clone();
    }
    if values.iter().all(is_number) {
        let interval = Interval::of(&values.iter().filter_map(|value| value.as_f64()).collect::<Vec<_>>());
        intervals.insert(key.to_owned(), interval);
        return interval.mean.into();
    }
    match values[0] {
        Value::Object(first) => {
            let merged = first.keys().map(|name| {
                let members: Vec<&Value> = values.iter().map(|value| &value[name.as_str()]).collect();
                (name.clone(), mean_of(&join(key, name), &members, intervals))
            });
            Value::Object(merged.collect::<Map<String, Value>>())
        }
        Value::Array(_) => {
            let mut union: Vec<Value> = Vec::new();
            for text in values.iter().filter_map(|value| value.as_array()).flatten() {
                if !union.contains(text) {
                    union.push(text.clone());
                }
            }
            Value::Array(union)
        }
        first => first.clone(),
    }
}

/// Whether each class reached its share in the mean over the runs.
fn met_on_average(mean: &Value) -> Option<bool> {
    let classes = mean["slo"]["classes"].as_object()?;
    let classes: IndexMap<String, ClassSlo> = classes
        .iter()
        .map(|(name, class)| {
            let attainment = class["attainment"].as_f64();
            (name.clone(), ClassSlo { attainment, target: class["target"].as_f64().unwrap_or_default() })
        })
        .collect();
    attainment::met(&classes)
}
