//! Selection: which series match, and which of their samples an instant or a range sees.

use super::eval::Evaluation;
use super::matcher::Matcher;
use super::semantics::Semantics;
use super::value::{ExecutionError, LabelTable, LabelsId, Point};
use crate::monitoring::series::{Database, GroupId, Rows, is_absent, is_sample};
use std::ops::Range;

/// How far an instant selector looks back for a sample, milliseconds: Prometheus' `--query.lookback-delta`.
pub(super) const LOOKBACK: i64 = 5 * 60 * 1000;

/// `@` and `offset`: which instant a selector or subquery refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) at: At,
    /// Milliseconds back.
    pub(super) offset: i64,
}

/// From when to when a whole query is evaluated, milliseconds since 1970; one instant for an instant query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum At {
    /// No modifier: the instant of the evaluation.
    #[default]
    Now,
    /// `@ start()`: where the whole query begins, in and out of subqueries.
    Start,
    /// `@ end()`: where the whole query ends. For an instant query that is where it begins.
    End,
    /// `@ 1700000000`: milliseconds since 1970.
    Fixed(i64),
}

impl Shift {
    /// The instant that an evaluation at `now` refers to, in a query over `span`.
    pub(super) fn reference(self, now: i64, span: Span) -> i64 {
        let base = match self.at {
            At::Now => now,
            At::Start => span.start,
            At::End => span.end,
            At::Fixed(at) => at,
        };
        base - self.offset
    }
}

/// A vector selector, and the series that it has found.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    pub(super) shift: Shift,
    /// Groups opened and dropped when the series were last looked for.
    epoch: (usize, u64),
    picks: Vec<Pick>,
}

/// The matching series of one target.
#[derive(Clone, Debug)]
struct Pick {
    group: GroupId,
    columns: Vec<(usize, LabelsId)>,
}

impl Selector {
    pub(super) fn new(matchers: Vec<Matcher>, shift: Shift) -> Self {
        Selector { matchers, shift, epoch: (0, 0), picks: Vec::new() }
    }

    /// Looks at the groups that came, and forgets those that went, since the last time; the answer is whether there are
    /// others now.
    pub(super) fn resolve(&mut self, db: &Database, table: &mut LabelTable) -> bool {
        let epoch = db.epoch();
        if self.epoch == epoch {
            return false;
        }
        if self.epoch.1 != epoch.1 {
            self.picks.retain(|pick| db.group(pick.group).is_some());
        }
        for (id, group) in db.groups_from(self.epoch.0) {
            let target = group.target();
            let mut columns = Vec::new();
            for (at, column) in group.columns().iter().enumerate() {
                if self.matchers.iter().all(|matcher| matcher.passes(column, target)) {
                    columns.push((at, table.intern(column.over(target))));
                }
            }
            if !columns.is_empty() {
                self.picks.push(Pick { group: id, columns });
            }
        }
        self.epoch = epoch;
        true
    }

    /// The labels of the series that were found, in the order in which they are read.
    pub(super) fn series(&self) -> impl Iterator<Item = LabelsId> {
        self.picks.iter().flat_map(|pick| &pick.columns).map(|(_, labels)| *labels)
    }

    /// The instant vector at `now`.
    ///
    /// The latest sample at or before the instant counts unless it is too old or a marker: there is no falling back to
    /// an older one (promql/engine.go, `vectorSelectorSingle`). The series must be resolved.
    #[inline]
    pub(super) fn instant(&self, evaluation: &Evaluation<'_>, now: i64, mut each: impl FnMut(Latest)) {
        let reference = self.shift.reference(now, evaluation.span);
        let oldest = first_inside(reference - LOOKBACK, evaluation.rules);
        let mut before = 0;
        for pick in &self.picks {
            let ordinals = before..;
            before += pick.columns.len();
            let Some(group) = evaluation.db.group(pick.group) else { continue };
            let rows = group.rows(evaluation.seen);
            let until = rows_until(&rows, reference);
            for (series, &(column, labels)) in ordinals.zip(&pick.columns) {
                let latest = (0..until).rev().find(|&row| !is_absent(rows.value(row, column)));
                let Some(row) = latest else { continue };
                let (t, value) = (rows.times[row], rows.value(row, column));
                if t >= oldest && is_sample(value) {
                    each(Latest { series, labels, value, t });
                }
            }
        }
    }

    /// The rows of each target in the `range` milliseconds before the instant that `now` refers to. The series must be
    /// resolved.
    #[inline]
    pub(super) fn windows<'s>(
        &'s self,
        evaluation: &Evaluation<'s>,
        now: i64,
        range: i64,
    ) -> impl Iterator<Item = TargetWindow<'s>> {
        let end = self.shift.reference(now, evaluation.span);
        let start = first_inside(end - range, evaluation.rules);
        let (db, seen) = (evaluation.db, evaluation.seen);
        let mut before = 0;
        self.picks.iter().filter_map(move |pick| {
            let first_series = before;
            before += pick.columns.len();
            let rows = db.group(pick.group)?.rows(seen);
            let until = rows_until(&rows, end);
            let from = rows.times[..until].iter().rposition(|&t| t < start).map_or(0, |before| before + 1);
            Some(TargetWindow { rows, inside: from..until, first_series, columns: &pick.columns })
        })
    }

    /// The samples in the `range` milliseconds before the instant that `now` refers to, series by series; series without
    /// any are left out.
    pub(super) fn range(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
        range: i64,
        mut each: impl FnMut(LabelsId, &[Point]) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        self.resolve(evaluation.db, evaluation.table);
        let mut points = std::mem::take(evaluation.points);
        let outcome = self.windows(evaluation, now, range).try_for_each(|window| {
            window.columns.iter().try_for_each(|&(column, labels)| {
                points.clear();
                points.extend(window.samples(column));
                if points.is_empty() { Ok(()) } else { each(labels, &points) }
            })
        });
        *evaluation.points = points;
        outcome
    }
}

/// The latest sample of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    /// The how many-th of the selector's series it is.
    pub(super) series: usize,
    pub(super) labels: LabelsId,
    pub(super) value: f64,
    /// When it was taken.
    pub(super) t: i64,
}

/// The rows of one target that lie in a range.
#[derive(Clone, Debug)]
pub(super) struct TargetWindow<'s> {
    rows: Rows<'s>,
    inside: Range<usize>,
    /// The how many-th of the selector's series the first column is.
    pub(super) first_series: usize,
    /// The columns that match, each with its series' labels.
    pub(super) columns: &'s [(usize, LabelsId)],
}

impl TargetWindow<'_> {
    /// The samples of one column. Markers are skipped and do not cut the window.
    #[inline]
    pub(super) fn samples(&self, column: usize) -> impl Iterator<Item = Point> + Clone {
        let rows = self.rows.column(self.inside.clone(), column);
        rows.filter(|(_, value)| is_sample(*value)).map(|(t, value)| Point { t, value })
    }
}

/// The first instant inside a window that begins at `start`: windows are left-open since 3.0.
#[inline]
pub(super) fn first_inside(start: i64, rules: &Semantics) -> i64 {
    start + i64::from(rules.left_open)
}

/// How many rows were sampled at or before `reference`. Live queries ask for the newest, so the search begins there.
#[inline]
fn rows_until(rows: &Rows<'_>, reference: i64) -> usize {
    match rows.times.last() {
        Some(&last) if last > reference => rows.times.partition_point(|&t| t <= reference),
        _ => rows.times.len(),
    }
}
