//! What differs between releases of Prometheus, as named rules.
//!
//! Each rule says in which release it changed; the evaluation asks for rules and never for releases.

use std::fmt;

/// A release of Prometheus whose semantics can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 2.42 (January 2023).
    V2_42,
    /// 2.53 (June 2024), the last long-term release of 2.x.
    V2_53,
    /// 3.5 (July 2025), a long-term release; it stands for all of 3.x.
    #[default]
    V3_5,
}

/// The rules of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// Ranges, the lookback window and subqueries leave out their left end: (T-R, T], not [T-R, T]. Since 3.0 (3.0.1 for
    /// subqueries; promql/engine.go).
    pub left_open: bool,
    /// `rate` and `increase` limit the extrapolation to the left by the counter's zero point before they compare it with
    /// the threshold, not after. Until 2.50 (promql/functions.go, `extrapolatedRate`).
    pub zero_point_first: bool,
    /// `histogram_quantile` takes bucket counts that differ by less than 1e-12 of their sum for equal. Since 2.49
    /// (promql/quantile.go, `ensureMonotonicAndIgnoreSmallDeltas`).
    pub small_delta_tolerance: bool,
    /// `sum` and `avg` keep a compensating term (Kahan, Neumaier), `avg` and `avg_over_time` divide the sum by the count
    /// and turn to the incremental mean only where the sum overflows; before, the mean was incremental throughout. Since 3.0
    /// and 3.5 (promql/engine.go, `aggregation`; promql/functions.go, `funcAvgOverTime`).
    pub compensated_sum: bool,
    /// `stddev` and `stdvar` of a group whose first value is infinite or NaN are NaN; before, such a group of one gave 0.
    /// Since 3.0 (promql/engine.go, `aggregation`).
    pub deviation_of_non_finite_is_nan: bool,
    /// `topk` and `bottomk` let NaN push out NaN. Until 2.43 (promql/engine.go, `aggregation`).
    pub nan_replaces_nan: bool,
    /// `atan2` leaves the metric's name. Until 2.47 (promql/engine.go, `shouldDropMetricName`).
    pub atan2_keeps_names: bool,
    /// `label_replace` and `label_join` compare the label sets that they make over all instants of a subquery or range query,
    /// not at each. Since 2.51 (promql/functions.go, `evalLabelReplace`).
    pub relabels_whole_ranges: bool,
    /// `.` in a regular expression matches a newline too. Since 3.0 (model/labels/regexp.go).
    pub dot_matches_newline: bool,
    /// A duration may stand where a number may: `1h` is 3600. Since 3.0 (promql/parser/generated_parser.y).
    pub durations_are_numbers: bool,
    /// A name of a label may be any text, and quoted names may stand in `by (…)` and its like; before, only letters, digits
    /// and `_`. Since 3.0 (UTF-8 names, prometheus/common, model/metric.go).
    pub utf8_names: bool,
    /// A quoted text in braces is the metric's name or a label's: `{"up", "pod"="a"}`. Since 2.51
    /// (promql/parser/generated_parser.y).
    pub quoted_names: bool,
    /// Digits may be set apart: `1_000`. Since 2.54 (promql/parser/lex.go, `scanNumber`).
    pub underscores_in_numbers: bool,
    /// `histogram_fraction` knows classic histograms. Since 3.4 (promql/functions.go, `funcHistogramFraction`).
    pub fraction_of_classic_histograms: bool,
    /// `sort_by_label` orders what its labels do not by all labels; before, by value. Since 3.0 (promql/functions.go,
    /// `funcSortByLabel`).
    pub sort_by_label_then_all_labels: bool,
    /// There are `limitk` and `limit_ratio`. Since 2.54 (promql/parser/lex.go).
    pub limit_aggregations: bool,
    /// Double exponential smoothing is called `holt_winters`. Until 3.0 (promql/functions.go).
    pub holt_winters: bool,
}

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Release; 3] = [Release::V2_42, Release::V2_53, Release::V3_5];

    /// The release's rules.
    pub const fn semantics(self) -> Semantics {
        let v3 = matches!(self, Release::V3_5);
        let v2_42 = matches!(self, Release::V2_42);
        Semantics {
            left_open: v3,
            zero_point_first: v2_42,
            small_delta_tolerance: !v2_42,
            compensated_sum: v3,
            deviation_of_non_finite_is_nan: v3,
            nan_replaces_nan: v2_42,
            atan2_keeps_names: v2_42,
            relabels_whole_ranges: !v2_42,
            dot_matches_newline: v3,
            durations_are_numbers: v3,
            utf8_names: v3,
            quoted_names: !v2_42,
            underscores_in_numbers: v3,
            fraction_of_classic_histograms: v3,
            sort_by_label_then_all_labels: v3,
            limit_aggregations: v3,
            holt_winters: !v3,
        }
    }

    /// The release as users write it: `3.5`.
    pub const fn name(self) -> &'static str {
        match self {
            Release::V2_42 => "2.42",
            Release::V2_53 => "2.53",
            Release::V3_5 => "3.5",
        }
    }

    /// The release that users call `name`.
    pub fn named(name: &str) -> Option<Release> {
        Release::ALL.into_iter().find(|release| release.name() == name)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_the_default_is_3_5() {
        for release in Release::ALL {
            assert_eq!(Release::named(release.name()), Some(release));
        }
        assert_eq!((Release::default().name(), Release::named("3.4")), ("3.5", None));
    }
}
