//! The in-memory store: series, samples, staleness markers, and from when each sample can be seen.
//!
//! Series that one scrape reads together share their rows:
//!
//! ```text
//!   target {pod="a"}    columns     up   vllm:num_requests_running   vllm:…_bucket{le="0.3"} …
//!   row  t=15000  visible 15.012s    1              3                           7
//!   row  t=30000  visible 30.010s    0            STALE                       STALE            (a failed scrape)
//! ```
//!
//! A sample's time is the start of its scrape, but a live query sees it only when the scrape has finished; the markers of
//! a target that has vanished are older still when they appear. So each row keeps both times, and each read says
//! what it may see. Rows of one target are in order of both times.

use super::keep::Keep;
use super::labels::Labels;
use super::wal::Record;
use crate::units::{SimDuration, SimTime, UnixMillis};
use std::ops::Range;
use std::sync::Arc;

/// The value that ends a series: from here on it does not exist (Prometheus, model/value/value.go, `StaleNaN`).
///
/// A NaN of these exact bits, told apart from an ordinary NaN by them alone.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// The value of a column that has no sample in a row. Private bits, which no scrape gives.
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_d5ca);

/// True for neither [`STALE`] nor [`ABSENT`].
#[inline]
pub fn is_sample(value: f64) -> bool {
    // Both are NaN, and almost no value is.
    !value.is_nan() || !is_stale(value) && !is_absent(value)
}

/// True for the staleness marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// True where a row has no sample of a column.
#[inline]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// The handle of one group of series, in order of opening; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);

impl GroupId {
    /// How many groups were opened before it.
    pub const fn ordinal(self) -> u32 {
        self.0
    }
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Everything.
    All,
    /// As far back as this from the newest row but one.
    Window(SimDuration),
}

/// All series of one Prometheus.
#[derive(Clone, Debug)]
pub struct Database {
    groups: Vec<Option<Box<Group>>>,
    ended: Vec<GroupId>,
    removals: u64,
    retention: Retention,
    keep: Keep,
    /// What was written since the log was last taken, where somebody takes it.
    log: Option<Vec<Record>>,
}

/// The series of one target, which share their rows.
#[derive(Clone, Debug)]
pub struct Group {
    target: Labels,
    columns: Arc<[Labels]>,
    /// Which values of a row that is written are kept, where not all are.
    kept: Option<Box<[usize]>>,
    /// Values of a row that is written.
    written: usize,
    /// Rows before this one are dropped; their memory is reclaimed when they are half of all.
    first: usize,
    times: Vec<i64>,
    visible_from: Vec<SimTime>,
    /// Row by row, one value a column.
    values: Vec<f64>,
}

/// The rows of a group that can be seen at some instant.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// When each row was sampled, milliseconds since 1970, strictly increasing.
    pub times: &'a [i64],
    values: &'a [f64],
    width: usize,
}

impl Database {
    /// A store without any series, which keeps every series that is written to it.
    pub fn new(retention: Retention) -> Self {
        Database::keeping(retention, Keep::All)
    }

    /// A store without any series, which keeps those that `keep` wants and forgets the others at once.
    pub fn keeping(retention: Retention, keep: Keep) -> Self {
        Database { groups: Vec::new(), ended: Vec::new(), removals: 0, retention, keep, log: None }
    }

    /// From now on logs what is written, kept or not, for [`Database::take_log`].
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// What was written since the log was last taken, in that order; nothing where none is kept.
    pub fn take_log(&mut self) -> Vec<Record> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Opens the series of one target: one a column, each with the column's labels over the target's; rows have a value
    /// for each, kept or not.
    ///
    /// Nobody else may have the same labels: they are what tells series apart.
    pub fn open(&mut self, target: Labels, columns: Arc<[Labels]>) -> GroupId {
        let id = GroupId(self.groups.len() as u32);
        if let Some(log) = &mut self.log {
            log.push(Record::Series { group: id, target: target.clone(), columns: Arc::clone(&columns) });
        }
        let (written, kept) = (columns.len(), self.keep.places(&columns));
        let columns = match &kept {
            Some(kept) => kept.iter().map(|&at| columns[at].clone()).collect(),
            None => columns,
        };
        self.groups.push(Some(Box::new(Group {
            target,
            columns,
            kept,
            written,
            first: 0,
            times: Vec::new(),
            visible_from: Vec::new(),
            values: Vec::new(),
        })));
        id
    }

    /// Adds one row of samples taken at `t` that can be seen from `visible_from` on; one value a column, [`STALE`] and
    /// [`ABSENT`] included. A row that is not later than the one before is refused, as Prometheus' head refuses samples
    /// out of order, and so is one for a group that was dropped; the answer is whether it was taken.
    pub fn append(&mut self, id: GroupId, t: UnixMillis, visible_from: SimTime, row: &[f64]) -> bool {
        let Some(group) = self.groups.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else {
            return false;
        };
        assert_eq!(row.len(), group.written, "a row has one value a column");
        let before = group.times.last().copied();
        if before.is_some_and(|before| t.0 <= before) {
            return false;
        }
        group.times.push(t.0);
        group.visible_from.push(visible_from);
        match &group.kept {
            Some(kept) => group.values.extend(kept.iter().map(|&at| row[at])),
            None => group.values.extend_from_slice(row),
        }
        if let Some(log) = &mut self.log {
            log.push(Record::Samples { group: id, t, visible_from, values: row.into() });
        }
        if let (Retention::Window(window), Some(before)) = (self.retention, before) {
            // The row before this one has been sampled for sure; a marker is written ahead of its own time.
            let oldest = before - window.as_millis() as i64;
            group.forget_before(oldest);
            self.drop_ended(oldest);
        }
        true
    }

    /// Says that a target gets no more rows: it is dropped whole when its last row has left the retention window.
    pub fn end(&mut self, id: GroupId) {
        self.ended.push(id);
    }

    /// Forgets the rows that cannot be seen at `now`: they were on their way when the server ended.
    pub fn lose_unseen(&mut self, now: SimTime) {
        if let Some(log) = &mut self.log {
            log.push(Record::Lost { at: now });
        }
        self.groups.iter_mut().flatten().for_each(|group| group.lose_unseen(now));
    }

    /// Takes back [`Database::end`]: the target goes on. False for a group that was dropped meanwhile.
    pub fn revive(&mut self, id: GroupId) -> bool {
        self.ended.retain(|ended| *ended != id);
        self.group(id).is_some()
    }

    /// The groups that are kept, in order of opening.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups_from(0)
    }

    /// The group of this handle, unless it was dropped.
    #[inline]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)?.as_deref()
    }

    /// How many groups were ever opened, and how many were dropped: as long as both stay, so does every selection.
    pub(super) fn epoch(&self) -> (usize, u64) {
        (self.groups.len(), self.removals)
    }

    /// The kept groups among those opened at or after the `from`th.
    pub(super) fn groups_from(&self, from: usize) -> impl Iterator<Item = (GroupId, &Group)> {
        let groups = self.groups.iter().enumerate().skip(from);
        groups.filter_map(|(at, group)| Some((GroupId(at as u32), group.as_deref()?)))
    }

    fn drop_ended(&mut self, before: i64) {
        let groups = &mut self.groups;
        let count = self.ended.len();
        self.ended.retain(|id| {
            let slot = &mut groups[id.0 as usize];
            let gone = slot.as_ref().is_none_or(|group| group.times.last().is_none_or(|&last| last < before));
            if gone {
                *slot = None;
            }
            !gone
        });
        self.removals += (count - self.ended.len()) as u64;
    }
}

impl Group {
    /// The labels that the target gives to all its series.
    pub fn target(&self) -> &Labels {
        &self.target
    }

    /// The own labels of each series that is kept, its metric's name among them.
    pub fn columns(&self) -> &Arc<[Labels]> {
        &self.columns
    }

    /// The rows that can be seen at `seen`.
    #[inline]
    pub fn rows(&self, seen: SimTime) -> Rows<'_> {
        let visible = &self.visible_from[self.first..];
        // Live queries see all but the last row or two, so counting from the end is quicker than bisecting.
        let hidden = visible.iter().rev().take_while(|&&from| from > seen).count();
        let last = self.times.len() - hidden;
        let width = self.columns.len();
        Rows {
            times: &self.times[self.first..last],
            values: &self.values[self.first * width..last * width],
            width,
        }
    }

    fn lose_unseen(&mut self, now: SimTime) {
        while self.times.len() > self.first && self.visible_from.last().is_some_and(|&from| from > now) {
            self.times.pop();
            self.visible_from.pop();
            self.values.truncate(self.times.len() * self.columns.len());
        }
    }

    fn forget_before(&mut self, before: i64) {
        // The newest row stays whatever its age: it may be the marker that ends the series.
        while self.first + 1 < self.times.len() && self.times[self.first] < before {
            self.first += 1;
        }
        if self.first > 8 && self.first * 2 > self.times.len() {
            let width = self.columns.len();
            self.times.drain(..self.first);
            self.visible_from.drain(..self.first);
            self.values.drain(..self.first * width);
            self.first = 0;
        }
    }
}

impl<'a> Rows<'a> {
    /// The value of `column`, among those that are kept, in `row`.
    #[inline]
    pub fn value(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.width + column]
    }

    /// Time and value of `column` in each of these rows, [`STALE`] and [`ABSENT`] included.
    #[inline]
    pub fn column(
        &self,
        rows: Range<usize>,
        column: usize,
    ) -> impl Iterator<Item = (i64, f64)> + Clone + use<'a> {
        let values = &self.values[rows.start * self.width..rows.end * self.width];
        let values = values.chunks_exact(self.width.max(1)).map(move |row| row[column]);
        self.times[rows].iter().copied().zip(values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::promql::{Query, QueryOptions};
    use super::*;

    fn columns(names: &[&str]) -> Arc<[Labels]> {
        names.iter().map(|name| Labels::metric(name)).collect()
    }

    fn secs(s: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(s)
    }

    #[test]
    fn a_row_is_seen_from_its_own_instant_on() {
        let mut db = Database::new(Retention::All);
        let id = db.open(Labels::default(), columns(&["up", "x"]));
        assert!(db.append(id, UnixMillis(1000), secs(2), &[1.0, 7.0]));
        assert!(db.append(id, UnixMillis(2000), secs(9), &[0.0, STALE]));
        let group = db.group(id).expect("it is there");
        assert_eq!(group.rows(secs(1)).times, &[] as &[i64]);
        assert_eq!(group.rows(secs(2)).times, &[1000]);
        let all = group.rows(secs(9));
        assert_eq!((all.times, all.value(0, 1), is_stale(all.value(1, 1))), (&[1000, 2000][..], 7.0, true));
        assert_eq!(all.column(0..2, 0).collect::<Vec<_>>(), [(1000, 1.0), (2000, 0.0)]);
        assert_eq!(all.column(1..1, 0).count(), 0);
    }

    #[test]
    fn a_server_that_ends_loses_what_was_on_its_way() {
        let mut db = Database::new(Retention::All);
        let id = db.open(Labels::default(), columns(&["up", "x"]));
        for s in 1..4 {
            assert!(db.append(id, UnixMillis(1000 * s), secs(s as u64 + 1), &[1.0, s as f64]));
        }
        db.lose_unseen(secs(3));
        assert_eq!(db.group(id).expect("it is there").rows(SimTime::NEVER).times, &[1000, 2000]);
        assert!(
            db.append(id, UnixMillis(2500), secs(9), &[0.0, 7.0]),
            "the time of a lost row is free again"
        );
        assert_eq!(db.group(id).expect("it is there").rows(secs(9)).value(2, 1), 7.0);
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        let mut db = Database::new(Retention::All);
        let id = db.open(Labels::default(), columns(&["up"]));
        assert!(db.append(id, UnixMillis(1000), secs(1), &[1.0]));
        assert!(!db.append(id, UnixMillis(1000), secs(1), &[2.0]));
        assert!(!db.append(id, UnixMillis(999), secs(1), &[2.0]));
        assert_eq!(db.group(id).expect("it is there").rows(SimTime::NEVER).times, &[1000]);
    }

    #[test]
    fn only_what_is_wanted_is_kept_and_everything_is_logged_once() {
        let query = Query::compile(r#"x{pod="a"}"#, QueryOptions::default()).expect("it compiles");
        let mut db = Database::keeping(Retention::All, Keep::read_by([&query]));
        let pod = |pod| Labels::new([("pod", pod)]);
        assert!(db.take_log().is_empty(), "nobody asked for one");
        db.keep_log();
        let (a, b) = (db.open(pod("a"), columns(&["up", "x", "y"])), db.open(pod("b"), columns(&["up"])));
        assert!(db.append(a, UnixMillis(1000), secs(2), &[1.0, 7.0, STALE]));
        assert!(!db.append(a, UnixMillis(1000), secs(2), &[0.0, 0.0, 0.0]), "out of order");
        assert!(db.append(b, UnixMillis(1000), secs(2), &[1.0]));
        let group = db.group(a).expect("it is there");
        assert_eq!(
            (&group.columns()[..], group.rows(secs(2)).value(0, 0)),
            (&[Labels::metric("x")][..], 7.0)
        );
        assert_eq!(db.group(b).map(|group| group.columns().len()), Some(0));
        let log = db.take_log();
        assert!(matches!(&log[0], Record::Series { target, columns, .. }
            if target.get("pod") == "a" && columns.len() == 3));
        assert!(matches!(&log[2], Record::Samples { group, t: UnixMillis(1000), values, .. }
            if *group == a && values[1] == 7.0 && is_stale(values[2])));
        assert_eq!((log.len(), db.take_log().len()), (4, 0));
    }

    #[test]
    fn a_marker_ahead_of_its_time_forgets_nothing_that_is_still_needed() {
        let mut db = Database::new(Retention::Window(SimDuration::from_secs(60)));
        let id = db.open(Labels::default(), columns(&["x"]));
        for s in [0, 30, 60] {
            assert!(db.append(id, UnixMillis(s * 1000), secs(s as u64), &[1.0]));
        }
        assert!(db.append(id, UnixMillis(300_000), secs(600), &[STALE]));
        assert_eq!(db.group(id).expect("it is there").rows(secs(60)).times, &[0, 30_000, 60_000]);
    }

    #[test]
    fn the_window_bounds_what_is_kept_and_an_ended_target_leaves_whole() {
        let mut db = Database::new(Retention::Window(SimDuration::from_secs(10)));
        let (dead, alive) =
            (db.open(Labels::default(), columns(&["a"])), db.open(Labels::default(), columns(&["b"])));
        assert!(db.append(dead, UnixMillis(0), secs(0), &[1.0]));
        db.end(dead);
        for s in 0..1000 {
            assert!(db.append(alive, UnixMillis(s * 1000), secs(s as u64), &[s as f64]));
            let rows = db.group(alive).expect("it lives").rows(SimTime::NEVER);
            assert_eq!(rows.times.len() as i64, (s + 1).min(12));
            assert_eq!(rows.value(rows.times.len() - 1, 0), s as f64);
            assert_eq!(db.group(dead).is_some(), s <= 11, "at {s} s");
        }
        assert!(db.group(alive).expect("it lives").times.len() < 30, "memory is given back");
        assert_eq!(db.groups().map(|(id, _)| id).collect::<Vec<_>>(), [alive]);
        assert_eq!(db.epoch(), (2, 1));
    }
}
