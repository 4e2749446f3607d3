//! Aggregations over the samples of one series: `avg_over_time` and its family.

use super::super::semantics::Semantics;
use super::super::sum::{Compensated, mean, quantile as quantile_of};
use super::super::value::Point;
use super::Window;

/// `avg_over_time`.
pub(super) fn avg(values: impl Iterator<Item = f64>, rules: &Semantics) -> Option<f64> {
    mean(values, rules.compensated_sum, true)
}

/// `sum_over_time`.
pub(super) fn sum(mut values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sum = Compensated::default();
    sum.add(values.next()?);
    values.for_each(|value| sum.add(value));
    Some(sum.total())
}

/// `max_over_time`: any number beats NaN.
pub(super) fn max(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(|best, value| if value > best || best.is_nan() { value } else { best })
}

/// `min_over_time`: any number beats NaN.
pub(super) fn min(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(|best, value| if value < best || best.is_nan() { value } else { best })
}

/// `count_over_time`.
pub(super) fn count(values: impl Iterator<Item = f64>) -> Option<f64> {
    let count = values.count();
    (count > 0).then_some(count as f64)
}

/// `present_over_time`.
pub(in super::super) fn present(_: &Window<'_>, _: &[f64]) -> Option<f64> {
    Some(1.0)
}

/// `ts_of_max_over_time`: when the greatest value was taken, the last time of several; seconds since 1970.
pub(in super::super) fn ts_of_max(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    time_of(window, |value, best| value >= best)
}

/// `ts_of_min_over_time`: the same of the least.
pub(in super::super) fn ts_of_min(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    time_of(window, |value, best| value <= best)
}

/// `ts_of_last_over_time`: when the last sample was taken.
pub(in super::super) fn ts_of_last(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    window.points.last().map(|point| point.t as f64 / 1000.0)
}

fn time_of(window: &Window<'_>, wins: fn(f64, f64) -> bool) -> Option<f64> {
    let better = |best: Point, point: &Point| {
        if wins(point.value, best.value) || best.value.is_nan() { *point } else { best }
    };
    let first = *window.points.first()?;
    Some(window.points.iter().fold(first, better).t as f64 / 1000.0)
}

/// `stddev_over_time`, of the population.
pub(in super::super) fn stddev(window: &Window<'_>, arguments: &[f64]) -> Option<f64> {
    stdvar(window, arguments).map(f64::sqrt)
}

/// `stdvar_over_time`, of the population: Welford's algorithm with compensated sums.
pub(in super::super) fn stdvar(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let (mut count, mut mean, mut squares) = (0.0, Compensated::default(), Compensated::default());
    for value in values(window) {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    Some(squares.total() / count)
}

/// `quantile_over_time(q, …)`.
pub(in super::super) fn quantile(window: &Window<'_>, arguments: &[f64]) -> Option<f64> {
    Some(quantile_of(arguments[0], &mut values(window).collect::<Vec<_>>()))
}

/// `mad_over_time`: the median of the distances from the median.
pub(in super::super) fn mad(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let mut numbers: Vec<f64> = values(window).collect();
    let median = quantile_of(0.5, &mut numbers);
    numbers.iter_mut().for_each(|value| *value = (*value - median).abs());
    Some(quantile_of(0.5, &mut numbers))
}

/// `resets`: how often the value fell.
pub(in super::super) fn resets(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    Some(pairs(window).filter(|(before, after)| after < before).count() as f64)
}

/// `changes`: how often the value changed; from NaN to NaN it does not.
pub(in super::super) fn changes(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let changed = |&(before, after): &(f64, f64)| before != after && !(before.is_nan() && after.is_nan());
    Some(pairs(window).filter(changed).count() as f64)
}

fn values<'a>(window: &Window<'a>) -> impl Iterator<Item = f64> + use<'a> {
    window.points.iter().map(|point| point.value)
}

fn pairs<'a>(window: &Window<'a>) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    window.points.windows(2).map(|pair| (pair[0].value, pair[1].value))
}

#[cfg(test)]
mod tests {
    use super::super::super::semantics::Release;
    use super::super::reducer::Reducer::{self, *};
    use super::*;

    fn reduced(values: &[f64], reducer: Reducer) -> f64 {
        let points = values.iter().zip(0..).map(|(&value, i)| Point { t: i * 1000, value });
        reducer.reduce(points, (0, 9000), &Release::V3_5.semantics(), &mut None).expect("a value")
    }

    fn over(values: &[f64], f: fn(&Window<'_>, &[f64]) -> Option<f64>, arguments: &[f64]) -> f64 {
        let points: Vec<Point> =
            values.iter().zip(0..).map(|(&value, i)| Point { t: i * 1000, value }).collect();
        let rules = Release::V3_5.semantics();
        f(&Window { points: &points, start: 0, end: 9000, now: 9000, rules: &rules }, arguments)
            .expect("a value")
    }

    #[test]
    fn nan_gives_way_to_any_number_in_min_and_max_and_to_none_in_sums() {
        let values = [f64::NAN, 3.0, -1.0, f64::NAN];
        assert_eq!((reduced(&values, MaxOverTime), reduced(&values, MinOverTime)), (3.0, -1.0));
        assert!(reduced(&[f64::NAN], MaxOverTime).is_nan());
        assert!(reduced(&values, SumOverTime).is_nan() && reduced(&values, AvgOverTime).is_nan());
        assert_eq!((reduced(&values, CountOverTime), over(&values, present, &[])), (4.0, 1.0));
    }

    #[test]
    fn sums_keep_what_large_terms_would_swallow() {
        assert_eq!(reduced(&[1.0, 1e100, 1.0, -1e100], SumOverTime), 2.0);
        assert_eq!(reduced(&[1.0, 1e100, 1.0, -1e100], AvgOverTime), 0.5);
        assert_eq!(reduced(&[1.7e308, 1.7e308], AvgOverTime), 1.7e308);
        assert_eq!(reduced(&[f64::INFINITY, 1.0], SumOverTime), f64::INFINITY);
    }

    #[test]
    fn quantiles_interpolate_and_run_to_infinity_outside_0_to_1() {
        let values = [4.0, 1.0, 2.0, 3.0];
        assert_eq!(over(&values, quantile, &[0.5]), 2.5);
        assert_eq!(over(&values, quantile, &[-0.1]), f64::NEG_INFINITY);
        assert_eq!(over(&values, quantile, &[1.1]), f64::INFINITY);
        assert!(over(&values, quantile, &[f64::NAN]).is_nan());
        assert_eq!(over(&[1.0, 1.0, 4.0, 9.0, 2.0], mad, &[]), 1.0);
    }

    #[test]
    fn deviations_are_of_the_population() {
        assert_eq!(over(&[1.0, 3.0], stdvar, &[]), 1.0);
        assert_eq!(over(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], stddev, &[]), 2.0);
        assert_eq!(over(&[5.0], stddev, &[]), 0.0);
        // What a plain sum of squares would lose.
        assert_eq!(over(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0], stdvar, &[]), 22.5);
        assert!(over(&[1.0, f64::INFINITY], stddev, &[]).is_nan());
    }

    #[test]
    fn the_last_of_several_extremes_gives_its_time() {
        let values = [f64::NAN, 3.0, 1.0, 3.0, 1.0, 2.0];
        assert_eq!(over(&values, ts_of_max, &[]), 3.0);
        assert_eq!(over(&values, ts_of_min, &[]), 4.0);
        assert_eq!(over(&values, ts_of_last, &[]), 5.0);
    }

    #[test]
    fn changes_and_resets_count_pairs() {
        let values = [1.0, 1.0, 3.0, f64::NAN, f64::NAN, 2.0, 0.0];
        assert_eq!(over(&values, changes, &[]), 4.0);
        assert_eq!(over(&values, resets, &[]), 1.0);
        assert_eq!(reduced(&values, LastOverTime), 0.0);
    }
}
