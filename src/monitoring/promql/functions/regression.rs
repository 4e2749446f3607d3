//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use super::super::sum::Compensated;
use super::super::value::{ExecutionError, Point};
use super::Window;

/// `deriv(gauge[range])`: slope a second of the least-squares line.
pub(in super::super) fn deriv(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let [first, _, ..] = window.points else { return None };
    // Times near zero keep their digits (promql/functions.go, `funcDeriv`).
    Some(line(window.points, first.t).slope)
}

/// `predict_linear(gauge[range], seconds)`: where that line is in so many seconds, from the instant of the evaluation.
pub(in super::super) fn predict_linear(window: &Window<'_>, arguments: &[f64]) -> Option<f64> {
    let [_, _, ..] = window.points else { return None };
    let line = line(window.points, window.now);
    Some(line.slope * arguments[0] + line.intercept)
}

/// `double_exponential_smoothing(gauge[range], smoothing, trend)`, `holt_winters` before 3.0.
pub(in super::super) fn double_exponential_smoothing(window: &Window<'_>, factors: &[f64]) -> Option<f64> {
    let [first, second, ..] = window.points else { return None };
    let (smoothing, trend_factor) = (factors[0], factors[1]);
    let (mut before, mut smoothed) = (0.0, first.value);
    let mut trend = second.value - first.value;
    for (i, point) in window.points[1..].iter().enumerate() {
        if i > 0 {
            trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * point.value + (1.0 - smoothing) * (smoothed + trend);
        (before, smoothed) = (smoothed, next);
    }
    Some(smoothed)
}

/// Both factors of the smoothing lie inside (0, 1).
pub(in super::super) fn check_factors(factors: &[f64]) -> Result<(), ExecutionError> {
    for (factor, value) in ["smoothing", "trend"].iter().zip(factors) {
        if *value <= 0.0 || *value >= 1.0 {
            return Err(ExecutionError(format!(
                "invalid {factor} factor. Expected: 0 < factor < 1, got: {value}"
            )));
        }
    }
    Ok(())
}

struct Line {
    slope: f64,
    /// Its value at the instant that the line was asked for.
    intercept: f64,
}

/// The least-squares line, as promql/functions.go's `linearRegression` finds it.
fn line(points: &[Point], origin: i64) -> Line {
    let first = points[0].value;
    if points.iter().all(|point| point.value == first) {
        // A level line, which rounding would tilt.
        let (slope, intercept) = if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
        return Line { slope, intercept };
    }
    let n = points.len() as f64;
    let sum = |term: fn(f64, f64) -> f64| {
        let mut sum = Compensated::default();
        points.iter().for_each(|p| sum.add(term((p.t - origin) as f64 / 1e3, p.value)));
        sum.total()
    };
    let (x, y, xy, xx) = (sum(|x, _| x), sum(|_, y| y), sum(|x, y| x * y), sum(|x, _| x * x));
    let slope = (xy - x * y / n) / (xx - x * x / n);
    Line { slope, intercept: y / n - slope * x / n }
}

#[cfg(test)]
mod tests {
    use super::super::super::semantics::Release;
    use super::*;

    fn over(values: &[f64], f: fn(&Window<'_>, &[f64]) -> Option<f64>, arguments: &[f64]) -> Option<f64> {
        let points: Vec<Point> =
            values.iter().zip(0..).map(|(&value, i)| Point { t: i * 10_000, value }).collect();
        let rules = Release::V3_5.semantics();
        f(&Window { points: &points, start: 0, end: 30_000, now: 40_000, rules: &rules }, arguments)
    }

    #[test]
    fn a_straight_line_is_continued_from_the_instant_of_the_evaluation() {
        assert_eq!(over(&[1.0, 3.0, 5.0, 7.0], deriv, &[]), Some(0.2));
        let predicted = over(&[1.0, 3.0, 5.0, 7.0], predict_linear, &[60.0]).expect("a value");
        assert!((predicted - 21.0).abs() < 1e-12, "{predicted}");
        assert_eq!(over(&[5.0, 5.0], predict_linear, &[60.0]), Some(5.0));
        assert_eq!(over(&[5.0], deriv, &[]), None);
        assert!(over(&[f64::INFINITY, f64::INFINITY], deriv, &[]).is_some_and(f64::is_nan));
    }

    #[test]
    fn smoothing_follows_a_trend_and_refuses_factors_outside_0_to_1() {
        assert_eq!(over(&[1.0, 2.0, 3.0, 4.0], double_exponential_smoothing, &[0.5, 0.5]), Some(4.0));
        assert_eq!(over(&[1.0], double_exponential_smoothing, &[0.5, 0.5]), None);
        assert!(check_factors(&[0.5, 0.5]).is_ok());
        assert!(check_factors(&[0.0, 0.5]).is_err() && check_factors(&[0.5, 1.0]).is_err());
    }
}
