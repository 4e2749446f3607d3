//! Selection: which series match, and which of their samples an instant or a range sees.

use super::eval::Evaluation;
use super::matcher::Matcher;
use super::semantics::Semantics;
use super::value::{ExecutionError, LabelTable, LabelsId, Point, Sample};
use crate::monitoring::series::{Database, GroupId, Rows, is_absent, is_stale};
use crate::units::SimTime;

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

    /// Looks at the groups that came, and forgets those that went, since the last time.
    fn resolve(&mut self, db: &Database, table: &mut LabelTable) {
        let epoch = db.epoch();
        if self.epoch == epoch {
            return;
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
    }

    /// The instant vector at `now`, each sample with its own time.
    ///
    /// The latest sample at or before the instant counts unless it is too old or a marker: there is no falling back to
    /// an older one (promql/engine.go, `vectorSelectorSingle`).
    pub(super) fn instant(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
        mut each: impl FnMut(Sample, i64),
    ) {
        self.resolve(evaluation.db, evaluation.table);
        let reference = self.shift.reference(now, evaluation.span);
        let oldest = first_inside(reference - LOOKBACK, evaluation.rules);
        for (rows, columns) in found(&self.picks, evaluation.db, evaluation.seen) {
            let until = rows_until(&rows, reference);
            for &(column, labels) in columns {
                let latest = (0..until).rev().find(|&row| !is_absent(rows.value(row, column)));
                let Some(row) = latest else { continue };
                let value = rows.value(row, column);
                if rows.times[row] >= oldest && !is_stale(value) {
                    each(Sample { labels, value }, rows.times[row]);
                }
            }
        }
    }

    /// The samples in the `range` milliseconds before the instant that `now` refers to, series by series; series without
    /// any are left out. Markers are skipped and do not cut the window.
    pub(super) fn range(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        now: i64,
        range: i64,
        mut each: impl FnMut(LabelsId, &[Point]) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        self.resolve(evaluation.db, evaluation.table);
        let end = self.shift.reference(now, evaluation.span);
        let start = first_inside(end - range, evaluation.rules);
        let points = &mut evaluation.points;
        for (rows, columns) in found(&self.picks, evaluation.db, evaluation.seen) {
            let until = rows_until(&rows, end);
            let from = rows.times[..until].iter().rposition(|&t| t < start).map_or(0, |before| before + 1);
            for &(column, labels) in columns {
                points.clear();
                points.extend((from..until).filter_map(|row| {
                    let value = rows.value(row, column);
                    let sample = !is_stale(value) && !is_absent(value);
                    sample.then(|| Point { t: rows.times[row], value })
                }));
                if !points.is_empty() {
                    each(labels, points)?;
                }
            }
        }
        Ok(())
    }
}

/// The groups that were picked, with the rows that can be seen and the columns that match.
fn found<'s>(
    picks: &'s [Pick],
    db: &'s Database,
    seen: SimTime,
) -> impl Iterator<Item = (Rows<'s>, &'s [(usize, LabelsId)])> {
    picks.iter().filter_map(move |pick| Some((db.group(pick.group)?.rows(seen), &pick.columns[..])))
}

/// The first instant inside a window that begins at `start`: windows are left-open since 3.0.
pub(super) fn first_inside(start: i64, rules: &Semantics) -> i64 {
    start + i64::from(rules.left_open)
}

/// How many rows were sampled at or before `reference`. Live queries ask for the newest, so the search begins there.
fn rows_until(rows: &Rows<'_>, reference: i64) -> usize {
    match rows.times.last() {
        Some(&last) if last > reference => rows.times.partition_point(|&t| t <= reference),
        _ => rows.times.len(),
    }
}
