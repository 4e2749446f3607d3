//! How fast counters and gauges change: `rate`, `increase`, `delta`, and what they say of the last two samples.

use super::Window;

/// `rate(counter[range])`: increase a second.
pub(in super::super) fn rate(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    extrapolated(window, true, true)
}

/// `increase(counter[range])`.
pub(in super::super) fn increase(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    extrapolated(window, true, false)
}

/// `delta(gauge[range])`.
pub(in super::super) fn delta(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    extrapolated(window, false, false)
}

/// The change between the first and the last sample, extrapolated to the whole range.
///
/// Samples rarely lie on the ends of a range. Where the gap at an end is no longer than 1.1 times the mean distance of
/// samples, the series is taken to go on to the end; otherwise to go on for half that distance. A counter cannot have been
/// below zero, so it is not continued to the left beyond where its slope would start from zero (promql/functions.go,
/// `extrapolatedRate`).
fn extrapolated(window: &Window<'_>, is_counter: bool, is_rate: bool) -> Option<f64> {
    let [first, .., last] = window.points else { return None };
    let mut change = last.value - first.value;
    if is_counter {
        // What a counter had before a reset was counted too. A NaN compares false, so it is no reset.
        change +=
            window.points.windows(2).filter(|p| p[1].value < p[0].value).map(|p| p[0].value).sum::<f64>();
    }
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let sampled = seconds(last.t - first.t);
    let mean_distance = sampled / (window.points.len() - 1) as f64;
    let threshold = mean_distance * 1.1;

    let mut to_start = seconds(first.t - window.start);
    let zero_point =
        (is_counter && change > 0.0 && first.value >= 0.0).then(|| sampled * (first.value / change));
    if window.rules.zero_point_first {
        to_start = to_start.min(zero_point.unwrap_or(f64::INFINITY));
    }
    if to_start >= threshold {
        to_start = mean_distance / 2.0;
    }
    if !window.rules.zero_point_first {
        to_start = to_start.min(zero_point.unwrap_or(f64::INFINITY));
    }
    let mut to_end = seconds(window.end - last.t);
    if to_end >= threshold {
        to_end = mean_distance / 2.0;
    }

    let mut factor = (sampled + to_start + to_end) / sampled;
    if is_rate {
        factor /= seconds(window.end - window.start);
    }
    Some(change * factor)
}

/// `irate(counter[range])`: a second, between the last two samples.
pub(in super::super) fn irate(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let [.., before, last] = window.points else { return None };
    // After a reset the counter's own value is the increase.
    let change = if last.value < before.value { last.value } else { last.value - before.value };
    Some(change / ((last.t - before.t) as f64 / 1000.0))
}

/// `idelta(gauge[range])`: the difference of the last two samples.
pub(in super::super) fn idelta(window: &Window<'_>, _: &[f64]) -> Option<f64> {
    let [.., before, last] = window.points else { return None };
    Some(last.value - before.value)
}

#[cfg(test)]
mod tests {
    use super::super::super::semantics::Release;
    use super::super::super::value::Point;
    use super::*;

    fn over<T>(points: &[(i64, f64)], range: i64, release: Release, f: impl FnOnce(&Window<'_>) -> T) -> T {
        let points: Vec<Point> = points.iter().map(|&(s, value)| Point { t: s * 1000, value }).collect();
        f(&Window {
            points: &points,
            start: 0,
            end: range * 1000,
            now: range * 1000,
            rules: &release.semantics(),
        })
    }

    fn close(got: Option<f64>, want: f64) {
        let got = got.expect("two samples are enough");
        assert!((got - want).abs() <= 1e-12 * want.abs(), "{got} for {want}");
    }

    #[test]
    fn both_ends_are_extrapolated_up_to_a_sample_distance() {
        // 15 s apart, 5 s short of the left end and 10 s short of the right: the whole minute counts.
        let points = [(5, 100.0), (20, 115.0), (35, 130.0), (50, 145.0)];
        over(&points, 60, Release::V3_5, |w| close(increase(w, &[]), 60.0));
        over(&points, 60, Release::V3_5, |w| close(rate(w, &[]), 1.0));
        // 70 s to the right end: half a distance of the samples is added instead.
        over(&points, 120, Release::V3_5, |w| close(increase(w, &[]), 45.0 + 5.0 + 7.5));
    }

    #[test]
    fn a_counter_is_not_extrapolated_below_zero_but_a_gauge_is() {
        let points = [(10, 2.0), (20, 22.0)];
        over(&points, 20, Release::V3_5, |w| close(increase(w, &[]), 22.0));
        over(&points, 20, Release::V3_5, |w| close(delta(w, &[]), 40.0));
    }

    #[test]
    fn before_2_51_the_zero_point_came_before_the_threshold() {
        // The zero point is 9 s left, inside the threshold of 11 s; the left end, 40 s away, is outside.
        let points = [(40, 9.0), (50, 19.0)];
        over(&points, 50, Release::V2_53, |w| close(increase(w, &[]), 10.0 * 1.5));
        over(&points, 50, Release::V2_42, |w| close(increase(w, &[]), 10.0 * 1.9));
    }

    #[test]
    fn resets_add_what_was_lost() {
        let points = [(0, 10.0), (10, 14.0), (20, 1.0), (30, 3.0)];
        over(&points, 30, Release::V3_5, |w| close(increase(w, &[]), 7.0));
        over(&points, 30, Release::V3_5, |w| close(irate(w, &[]), 0.2));
        over(&points[..3], 30, Release::V3_5, |w| close(irate(w, &[]), 0.1));
        over(&points[..3], 30, Release::V3_5, |w| close(idelta(w, &[]), -13.0));
    }

    #[test]
    fn one_sample_says_nothing_of_change() {
        for f in [rate, increase, delta, irate, idelta] {
            assert_eq!(over(&[(10, 1.0)], 60, Release::V3_5, |w| f(w, &[])), None);
        }
    }
}
