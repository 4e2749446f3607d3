//! Series that come and go: the page of an exporter, read as text is, and the results of a recording rule.
//!
//! The page of a vLLM server has the same series as long as the server lives, so they share their rows. Here each series
//! is stored by itself: it is opened when a page first shows it, ended by a staleness marker when a page lacks it, and
//! goes on where it was when it returns.

use super::labels::{BUCKET_LABEL, Labels, METRIC_NAME, bucket_bound};
use super::promql::Release;
use super::series::{Database, GroupId, STALE};
use crate::serving::engine::{BucketHistogram, Measure};
use crate::units::{SimTime, UnixMillis};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;

/// What a `/metrics` page shows: series without their target's labels, and a value of each. No series is there twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    series: Vec<(Labels, f64)>,
    /// Whole bounds of buckets are stored as `1`, not as `1.0`.
    bare_bounds: bool,
}

impl Page {
    /// An empty page, as clients for Python write one: `le="1.0"`.
    pub fn new() -> Self {
        Page::default()
    }

    /// An empty page of a client for Go, which writes `le="1"`, for a Prometheus of this release: since 3.0 it makes `1.0`
    /// of it (model/textparse/promparse.go, `normalizeFloatsInLabelValues`).
    pub fn of_go(reader: Release) -> Self {
        Page { series: Vec::new(), bare_bounds: reader < Release::V3_5 }
    }

    /// Adds the series `name{labels}`; a label with an empty value is left out.
    pub fn push(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let all = labels.iter().copied().chain([(METRIC_NAME, name)]);
        self.series.push((Labels::new(all), value));
    }

    /// Adds the series of a histogram.
    pub fn push_histogram<T: Measure>(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        histogram: &BucketHistogram<T>,
    ) {
        let bucket = format!("{name}_bucket");
        let total = histogram.count() as f64;
        let finite = histogram.buckets().map(|(bound, count)| (bound, count as f64));
        for (bound, count) in finite.chain([(f64::INFINITY, total)]) {
            let bound = self.bound(bound);
            let own = [(METRIC_NAME, bucket.as_str()), (BUCKET_LABEL, &bound)];
            self.series.push((Labels::new(labels.iter().copied().chain(own)), count));
        }
        self.push(&format!("{name}_sum"), labels, histogram.sum());
        self.push(&format!("{name}_count"), labels, total);
    }

    /// Keeps only the series that `keeps` says.
    pub fn retain(&mut self, keeps: impl Fn(&Labels) -> bool) {
        self.series.retain(|(labels, _)| keeps(labels));
    }

    /// The series in their order.
    pub fn series(&self) -> &[(Labels, f64)] {
        &self.series
    }

    /// A bound as it is stored.
    fn bound(&self, bound: f64) -> String {
        let mut text = bucket_bound(bound);
        if self.bare_bounds && text.ends_with(".0") {
            text.truncate(text.len() - 2);
        }
        text
    }
}

/// Stored series, and which of them each of some sources had last: a target's page is one source, each rule another.
#[derive(Clone, Debug)]
pub(super) struct Exposition {
    groups: IndexMap<Labels, GroupId, FxBuildHasher>,
    /// By source.
    shown: Vec<IndexSet<Labels, FxBuildHasher>>,
}

/// When samples were taken, and from when they can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) taken: UnixMillis,
    pub(super) visible_from: SimTime,
}

impl Exposition {
    /// So many sources, of which nothing is stored.
    pub(super) fn new(sources: usize) -> Self {
        Exposition { groups: IndexMap::default(), shown: vec![IndexSet::default(); sources] }
    }

    /// Stores what a source shows now, labels over those of `target`; what it showed last and lacks now gets a marker.
    ///
    /// A sample that is not later than the one before it, which another source may have stored, is dropped.
    pub(super) fn append(
        &mut self,
        database: &mut Database,
        source: usize,
        target: &Labels,
        stamp: Stamp,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let mut shown = IndexSet::default();
        for (labels, value) in samples {
            let group = self.group(database, target, &labels);
            database.append(group, stamp.taken, stamp.visible_from, &[value]);
            shown.insert(labels);
        }
        let before = std::mem::replace(&mut self.shown[source], shown);
        for labels in before.iter().filter(|labels| !self.shown[source].contains(*labels)) {
            self.end(database, labels, stamp);
        }
        // A series whose last sample nobody can read any more is forgotten here too.
        self.groups.retain(|_, group| database.group(*group).is_some());
    }

    /// A marker for every series of a source, which has failed or is gone.
    pub(super) fn end_all(&mut self, database: &mut Database, source: usize, stamp: Stamp) {
        for labels in std::mem::take(&mut self.shown[source]) {
            self.end(database, &labels, stamp);
        }
    }

    /// Nobody knows any more what the sources showed: nothing gets a marker.
    pub(super) fn forget_all(&mut self, database: &mut Database) {
        for labels in self.shown.iter_mut().flat_map(std::mem::take) {
            if let Some(&group) = self.groups.get(&labels) {
                database.end(group);
            }
        }
    }

    fn end(&self, database: &mut Database, labels: &Labels, stamp: Stamp) {
        if let Some(&group) = self.groups.get(labels) {
            database.append(group, stamp.taken, stamp.visible_from, &[STALE]);
            database.end(group);
        }
    }

    /// The group of a series that is there now. Two of the same labels could not be told apart: a series that returns is
    /// the one that left.
    fn group(&mut self, database: &mut Database, target: &Labels, labels: &Labels) -> GroupId {
        if let Some(&group) = self.groups.get(labels)
            && database.revive(group)
        {
            return group;
        }
        let group = database.open(target.clone(), [labels.clone()].into());
        self.groups.insert(labels.clone(), group);
        group
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::{Retention, is_stale};
    use super::*;
    use crate::units::{SimDuration, Tokens};

    fn stamp(s: u64) -> Stamp {
        let at = SimTime::ZERO + SimDuration::from_secs(s);
        Stamp { taken: UnixMillis(at.as_millis() as i64), visible_from: at }
    }

    /// Stores rounds of series by name, ten seconds apart.
    fn stored(retention: Retention, rounds: &[&[&str]]) -> Database {
        let (mut database, mut exposition) = (Database::new(retention), Exposition::new(1));
        for (index, names) in rounds.iter().enumerate() {
            let samples = names.iter().map(|name| (Labels::metric(name), index as f64));
            exposition.append(&mut database, 0, &Labels::default(), stamp(10 * index as u64), samples);
        }
        database
    }

    /// By series: its samples, `s` for a marker.
    fn samples(database: &Database) -> Vec<String> {
        let shown = |value: f64| if is_stale(value) { "s".to_owned() } else { value.to_string() };
        let groups = database.groups().map(|(_, group)| {
            let rows = group.rows(SimTime::NEVER);
            let values: Vec<String> = (0..rows.times.len()).map(|row| shown(rows.value(row, 0))).collect();
            format!("{} {}", group.columns()[0].get(METRIC_NAME), values.join(" "))
        });
        groups.collect()
    }

    #[test]
    fn a_series_that_leaves_gets_one_marker_and_goes_on_when_it_returns() {
        let database = stored(Retention::All, &[&["a", "b"], &["b"], &["b"], &["a", "b"], &["b"]]);
        assert_eq!(samples(&database), ["a 0 s 3 s", "b 0 1 2 3 4"]);
    }

    #[test]
    fn a_series_that_was_forgotten_is_opened_again() {
        let window = Retention::Window(SimDuration::from_secs(20));
        let mut rounds: Vec<&[&str]> = vec![&["a", "b"]];
        rounds.extend([&["b"][..]; 8]);
        rounds.push(&["a", "b"]);
        let database = stored(window, &rounds);
        assert_eq!(samples(&database), ["b 6 7 8 9", "a 9"]);
    }

    #[test]
    fn a_source_that_fails_ends_what_it_had_once() {
        let (mut database, mut exposition) = (Database::new(Retention::All), Exposition::new(1));
        let sample = |value| [(Labels::metric("a"), value)];
        exposition.append(&mut database, 0, &Labels::default(), stamp(0), sample(0.0));
        exposition.end_all(&mut database, 0, stamp(10));
        exposition.end_all(&mut database, 0, stamp(20));
        exposition.append(&mut database, 0, &Labels::default(), stamp(30), sample(2.0));
        assert_eq!(samples(&database), ["a 0 s 2"]);
    }

    #[test]
    fn what_is_forgotten_ends_without_a_marker() {
        let (mut database, mut exposition) = (Database::new(Retention::All), Exposition::new(1));
        let sample = |value| [(Labels::metric("a"), value)];
        exposition.append(&mut database, 0, &Labels::default(), stamp(0), sample(0.0));
        exposition.forget_all(&mut database);
        exposition.end_all(&mut database, 0, stamp(10));
        exposition.append(&mut database, 0, &Labels::default(), stamp(20), []);
        exposition.append(&mut database, 0, &Labels::default(), stamp(30), sample(3.0));
        assert_eq!(samples(&database), ["a 0 3"]);
    }

    #[test]
    fn of_two_sources_that_show_one_series_the_first_is_stored() {
        let (mut database, mut exposition) = (Database::new(Retention::All), Exposition::new(2));
        let mut show = |source, s, value: Option<f64>| {
            let samples = value.map(|value| (Labels::metric("a"), value));
            exposition.append(&mut database, source, &Labels::default(), stamp(s), samples);
        };
        for (s, first, second) in [(0, Some(1.0), Some(7.0)), (10, None, Some(8.0)), (20, None, Some(9.0))] {
            show(0, s, first);
            show(1, s, second);
        }
        // The marker came first at 10 s.
        assert_eq!(samples(&database), ["a 1 s 9"]);
    }

    #[test]
    fn a_histogram_has_the_bounds_that_the_reader_makes_of_them() {
        let mut histogram = BucketHistogram::<Tokens>::new([1, 32].into());
        histogram.observe(Tokens(7));
        for (release, bounds) in [(Release::V3_5, ["1.0", "32.0"]), (Release::V2_53, ["1", "32"])] {
            let mut page = Page::of_go(release);
            page.push_histogram("x", &[("model_name", "m"), ("empty", "")], &histogram);
            let shown: Vec<String> =
                page.series().iter().map(|(labels, value)| format!("{labels} {value}")).collect();
            let expected = [
                format!(r#"{{__name__="x_bucket", le="{}", model_name="m"}} 0"#, bounds[0]),
                format!(r#"{{__name__="x_bucket", le="{}", model_name="m"}} 1"#, bounds[1]),
                r#"{__name__="x_bucket", le="+Inf", model_name="m"} 1"#.to_owned(),
                r#"{__name__="x_sum", model_name="m"} 7"#.to_owned(),
                r#"{__name__="x_count", model_name="m"} 1"#.to_owned(),
            ];
            assert_eq!(shown, expected);
        }
    }
}
