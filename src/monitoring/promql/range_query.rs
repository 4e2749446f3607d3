//! Range queries: one expression at every step between two instants, as `/api/v1/query_range` answers them.

use super::plan::Plan;
use super::selector::Span;
use super::value::{ExecutionError, LabelsId, Point};
use super::{Query, sampled};
use crate::monitoring::labels::Labels;
use crate::monitoring::series::Database;
use crate::units::{SimDuration, SimTime, UnixMillis};
use rustc_hash::FxHashMap;

/// The most steps between start and end that Prometheus' API takes (web/api/v1/api.go, `queryRange`).
const STEPS_MAX: i64 = 11_000;

/// One series of a range query's answer: its labels, and its value at each step at which it has one.
pub type RangeSeries = (Labels, Vec<(UnixMillis, f64)>);

impl Query {
    /// The answers at `start`, `start + step`, ... up to `end`, series by series in order of their labels.
    ///
    /// `seen` says what is visible at each step: `|_| now` for a query about the past, as a person asks it, or the instant
    /// of the step itself for what an autoscaler saw then. `@ start()` and `@ end()` are the ends of the whole range. A
    /// number is one series without labels.
    ///
    /// # Errors
    /// An `end` before `start`, a `step` below a millisecond, more than 11,000 steps, a query that is neither a number nor
    /// an instant vector, and whatever fails at any of the steps.
    pub fn evaluate_range(
        &mut self,
        db: &Database,
        start: UnixMillis,
        end: UnixMillis,
        step: SimDuration,
        seen: &mut dyn FnMut(UnixMillis) -> SimTime,
    ) -> Result<Vec<RangeSeries>, ExecutionError> {
        let fail = |why: &str| Err(ExecutionError(why.to_owned()));
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        if end < start {
            return fail("end timestamp must not be before start time");
        }
        if step < 1 {
            return fail("zero or negative query resolution step widths are not accepted");
        }
        let steps = end.0.saturating_sub(start.0) / step;
        if steps > STEPS_MAX {
            return fail(
                "exceeded maximum resolution of 11,000 points per timeseries: a longer step is needed",
            );
        }
        if matches!(self.plan, Plan::Range(_) | Plan::Text(_)) {
            let found = self.result_type();
            return fail(&format!(
                "a {found} has no values at steps: it must be a scalar or an instant vector"
            ));
        }
        self.begin();
        let mut series = Vec::new();
        let mut places: FxHashMap<LabelsId, usize> = FxHashMap::default();
        let span = Span { start: start.0, end: end.0 };
        let mut add = |labels: LabelsId, t: i64, value: f64| {
            let at = *places.entry(labels).or_insert_with(|| {
                series.push((labels, Vec::new()));
                series.len() - 1
            });
            series[at].1.push(Point { t, value });
        };
        for t in (0..=steps).map(|k| start.0 + k * step) {
            let (mut evaluation, plan) = self.evaluation(db, span, seen(UnixMillis(t)));
            match plan {
                Plan::Scalar(scalar) => add(LabelsId::EMPTY, t, evaluation.scalar(scalar, t)?),
                Plan::Vector(vector) => {
                    evaluation
                        .vector(vector, t)?
                        .into_iter()
                        .for_each(|sample| add(sample.labels, t, sample.value));
                }
                Plan::Range(_) | Plan::Text(_) => {}
            }
        }
        let mut answer: Vec<RangeSeries> =
            series.into_iter().map(|(labels, points)| sampled(&self.table, labels, points)).collect();
        answer.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::QueryOptions;
    use super::*;
    use crate::monitoring::series::{Retention, STALE};

    /// `up` of two pods each 15 s from 0 to 60 s; pod b ends at 45 s, which is seen 30 s later.
    fn database() -> Database {
        let mut db = Database::new(Retention::All);
        for (pod, last) in [("b", STALE), ("a", 1.0)] {
            let group = db.open(Labels::new([("pod", pod)]), [Labels::metric("up")].into());
            for k in 0..5 {
                let (value, late) = if k < 3 { (1.0, 0) } else { (last, 30) };
                let visible = SimTime::ZERO + SimDuration::from_secs(k * 15 + late);
                db.append(group, UnixMillis(k as i64 * 15_000), visible, &[value]);
            }
        }
        db
    }

    fn ask(text: &str, range: (i64, i64, u64), live: bool) -> Result<Vec<RangeSeries>, String> {
        let mut query = Query::compile(text, QueryOptions::default()).expect(text);
        let mut seen = |at: UnixMillis| {
            if live { SimTime::ZERO + SimDuration::from_millis(at.0 as u64) } else { SimTime::NEVER }
        };
        let (start, end, step) = range;
        let step = SimDuration::from_secs(step);
        let answer = query.evaluate_range(
            &database(),
            UnixMillis(start * 1000),
            UnixMillis(end * 1000),
            step,
            &mut seen,
        );
        answer.map_err(|error| error.0)
    }

    fn values(series: &RangeSeries) -> Vec<(i64, f64)> {
        series.1.iter().map(|(t, value)| (t.0 / 1000, *value)).collect()
    }

    #[test]
    fn each_series_has_a_value_at_the_steps_at_which_it_is_there() {
        let answer = ask("up", (30, 70, 20), false).expect("an answer");
        assert_eq!(answer.iter().map(|series| series.0.get("pod")).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(values(&answer[0]), [(30, 1.0), (50, 1.0), (70, 1.0)]);
        assert_eq!(values(&answer[1]), [(30, 1.0)]);
        assert_eq!(ask("nothing", (0, 60, 15), false), Ok(Vec::new()));
    }

    #[test]
    fn what_was_seen_live_may_differ_from_what_is_known_later() {
        let of = |live| values(&ask("count(up)", (30, 75, 15), live).expect("an answer")[0]);
        assert_eq!(of(false), [(30, 2.0), (45, 1.0), (60, 1.0), (75, 1.0)]);
        assert_eq!(of(true), [(30, 2.0), (45, 2.0), (60, 2.0), (75, 1.0)]);
    }

    #[test]
    fn start_and_end_are_those_of_the_range_and_numbers_have_no_labels() {
        let answer = ask("timestamp(up @ start()) + timestamp(up @ end())", (30, 60, 30), false);
        assert_eq!(values(&answer.expect("an answer")[0]), [(30, 90.0), (60, 90.0)]);
        let answer = ask("time() * 2", (30, 60, 30), false).expect("an answer");
        assert_eq!((answer[0].0.len(), values(&answer[0])), (0, vec![(30, 60.0), (60, 120.0)]));
    }

    #[test]
    fn series_that_become_alike_are_an_error_though_never_there_together() {
        let mut db = Database::new(Retention::All);
        for (name, at) in [("a_total", 0), ("b_total", 600)] {
            let group = db.open(Labels::default(), [Labels::metric(name)].into());
            for k in 0..3 {
                db.append(group, UnixMillis((at + k * 15) * 1000), SimTime::ZERO, &[k as f64]);
            }
        }
        let ask = |text: &str, step: u64| {
            let mut query = Query::compile(text, QueryOptions::default()).expect(text);
            let (start, end, step) = (UnixMillis(30_000), UnixMillis(630_000), SimDuration::from_secs(step));
            query.evaluate_range(&db, start, end, step, &mut |_| SimTime::NEVER).is_ok()
        };
        for text in [
            "rate({__name__=~\".+\"}[1m])",
            "-{__name__=~\".+\"}",
            "label_replace({__name__=~\".+\"}, \"__name__\", \"x\", \"\", \"\")",
        ] {
            assert!(!ask(text, 600) && ask(text, 700), "{text}");
            let subquery = format!("max_over_time(({text})[11m:30s])");
            let mut subquery = Query::compile(&subquery, QueryOptions::default()).expect(text);
            assert!(subquery.evaluate(&db, UnixMillis(90_000), SimTime::NEVER).is_ok(), "{text}");
            assert!(subquery.evaluate(&db, UnixMillis(630_000), SimTime::NEVER).is_err(), "{text}");
        }
        assert!(ask("abs({__name__=~\".+\"})", 600), "each instant by itself");
    }

    #[test]
    fn what_prometheus_refuses_is_refused() {
        for (text, range, part) in [
            ("up", (60, 30, 15), "before start"),
            ("up", (30, 60, 0), "zero"),
            ("up", (0, 11_001, 1), "11,000"),
            ("up[1m]", (0, 60, 15), "matrix"),
            ("\"up\"", (0, 60, 15), "string"),
            ("up + on() up", (0, 60, 15), "duplicate"),
        ] {
            let error = ask(text, range, false).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(ask("up", (0, 11_000, 1), false).is_ok());
    }
}
