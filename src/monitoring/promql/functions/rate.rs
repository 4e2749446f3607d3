//! How fast counters and gauges change: what `rate`, `increase` and `delta` have in common, `irate` and `idelta`.

use super::super::semantics::Semantics;
use super::super::value::Point;
use super::Window;

/// Where the samples of a series lie in a range, and what depends on that alone: the series of one target mostly share it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Spacing {
    /// Milliseconds since 1970.
    first: i64,
    last: i64,
    /// How many distances of two samples there are.
    distances: u32,
    /// Seconds from the first to the last sample.
    sampled: f64,
    mean_distance: f64,
    threshold: f64,
    to_start: f64,
    to_end: f64,
    /// Seconds of the whole range.
    range: f64,
}

impl Spacing {
    fn new(first: i64, last: i64, distances: u32, (start, end): (i64, i64)) -> Self {
        let sampled = seconds(last - first);
        let mean_distance = sampled / f64::from(distances);
        let threshold = mean_distance * 1.1;
        let to_start = seconds(first - start);
        let to_end = seconds(end - last);
        let to_end = if to_end >= threshold { mean_distance / 2.0 } else { to_end };
        let range = seconds(end - start);
        Spacing { first, last, distances, sampled, mean_distance, threshold, to_start, to_end, range }
    }
}

/// The change between the first and the last sample, extrapolated to the whole range, all of it or a second's.
///
/// Samples rarely lie on the ends of a range. Where the gap at an end is no longer than 1.1 times the mean distance of
/// samples, the series is taken to go on to the end; otherwise to go on for half that distance. A counter cannot have been
/// below zero, so it is not continued to the left beyond where its slope would start from zero (promql/functions.go,
/// `extrapolatedRate`). `known` is the spacing of the series before in the same range, and becomes this one's.
#[inline]
pub(super) fn extrapolated(
    mut samples: impl Iterator<Item = Point> + Clone,
    (is_counter, is_rate): (bool, bool),
    bounds: (i64, i64),
    rules: &Semantics,
    known: &mut Option<Spacing>,
) -> Option<f64> {
    let first = samples.next()?;
    let (mut last, mut distances, mut resets) = (first, 0_u32, 0_u32);
    let mut lost = 0.0;
    for point in samples.clone() {
        // What a counter had before a reset was counted too. A NaN compares false, so it is no reset.
        if point.value < last.value {
            lost = last.value;
            resets += 1;
        }
        last = point;
        distances += 1;
    }
    if distances == 0 {
        return None;
    }
    let spacing = match known {
        Some(known) if (known.first, known.last, known.distances) == (first.t, last.t, distances) => known,
        _ => known.insert(Spacing::new(first.t, last.t, distances, bounds)),
    };
    let mut change = last.value - first.value;
    match resets {
        1 if is_counter => change += lost,
        2.. if is_counter => {
            // Large terms that cancel leave what their order decides: Prometheus', one after the other.
            let mut before = first.value;
            for Point { value, .. } in samples {
                if value < before {
                    change += before;
                }
                before = value;
            }
        }
        _ => {}
    }
    let mut to_start = spacing.to_start;
    let zero_point =
        (is_counter && change > 0.0 && first.value >= 0.0).then(|| spacing.sampled * (first.value / change));
    if rules.zero_point_first {
        to_start = to_start.min(zero_point.unwrap_or(f64::INFINITY));
    }
    if to_start >= spacing.threshold {
        to_start = spacing.mean_distance / 2.0;
    }
    if !rules.zero_point_first {
        to_start = to_start.min(zero_point.unwrap_or(f64::INFINITY));
    }
    let mut factor = (spacing.sampled + to_start + spacing.to_end) / spacing.sampled;
    if is_rate {
        factor /= spacing.range;
    }
    Some(change * factor)
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// `irate(counter[range])`: a second, between the last two samples.
pub(in super::super) fn irate(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let [.., before, last] = window.points else { return None };
    // After a reset the counter's own value is the increase.
    let change = if last.value < before.value { last.value } else { last.value - before.value };
    Some(change / seconds(last.t - before.t))
}

/// `idelta(gauge[range])`: the difference of the last two samples.
pub(in super::super) fn idelta(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let [.., before, last] = window.points else { return None };
    Some(last.value - before.value)
}

#[cfg(test)]
mod tests {
    use super::super::super::semantics::Release;
    use super::super::reducer::Reducer;
    use super::*;

    fn points(of: &[(i64, f64)]) -> Vec<Point> {
        of.iter().map(|&(s, value)| Point { t: s * 1000, value }).collect()
    }

    fn over(of: &[(i64, f64)], range: i64, release: Release, reducer: Reducer) -> Option<f64> {
        reducer.reduce(points(of).into_iter(), (0, range * 1000), &release.semantics(), &mut None)
    }

    fn look(of: &[(i64, f64)], f: fn(&Window<'_>, &[f64]) -> Option<f64>) -> Option<f64> {
        let rules = Release::V3_5.semantics();
        f(&Window { points: &points(of), start: 0, end: 60_000, now: 60_000, rules: &rules }, &[])
    }

    fn close(got: Option<f64>, want: f64) {
        let got = got.expect("two samples are enough");
        assert!((got - want).abs() <= 1e-12 * want.abs(), "{got} for {want}");
    }

    #[test]
    fn both_ends_are_extrapolated_up_to_a_sample_distance() {
        // 15 s apart, 5 s short of the left end and 10 s short of the right: the whole minute counts.
        let points = [(5, 100.0), (20, 115.0), (35, 130.0), (50, 145.0)];
        close(over(&points, 60, Release::V3_5, Reducer::Increase), 60.0);
        close(over(&points, 60, Release::V3_5, Reducer::Rate), 1.0);
        // 70 s to the right end: half a distance of the samples is added instead.
        close(over(&points, 120, Release::V3_5, Reducer::Increase), 45.0 + 5.0 + 7.5);
    }

    #[test]
    fn a_counter_is_not_extrapolated_below_zero_but_a_gauge_is() {
        let points = [(10, 2.0), (20, 22.0)];
        close(over(&points, 20, Release::V3_5, Reducer::Increase), 22.0);
        close(over(&points, 20, Release::V3_5, Reducer::Delta), 40.0);
    }

    #[test]
    fn before_2_51_the_zero_point_came_before_the_threshold() {
        // The zero point is 9 s left, inside the threshold of 11 s; the left end, 40 s away, is outside.
        let points = [(40, 9.0), (50, 19.0)];
        close(over(&points, 50, Release::V2_53, Reducer::Increase), 10.0 * 1.5);
        close(over(&points, 50, Release::V2_42, Reducer::Increase), 10.0 * 1.9);
    }

    #[test]
    fn resets_add_what_was_lost() {
        let points = [(0, 10.0), (10, 14.0), (20, 1.0), (30, 3.0)];
        close(over(&points, 30, Release::V3_5, Reducer::Increase), 7.0);
        let twice = [(0, 10.0), (10, 1.0), (20, 4.0), (30, 3.0)];
        close(over(&twice, 30, Release::V3_5, Reducer::Increase), 7.0);
        close(over(&twice, 30, Release::V3_5, Reducer::Delta), -7.0);
        close(look(&points, irate), 0.2);
        close(look(&points[..3], irate), 0.1);
        close(look(&points[..3], idelta), -13.0);
    }

    #[test]
    fn one_sample_says_nothing_of_change() {
        for reducer in [Reducer::Rate, Reducer::Increase, Reducer::Delta] {
            assert_eq!(over(&[(10, 1.0)], 60, Release::V3_5, reducer), None);
        }
        assert_eq!((look(&[(10, 1.0)], irate), look(&[(10, 1.0)], idelta)), (None, None));
    }
}
