//! Prometheus' service discovery and scrape loops, and the store that they fill.
//!
//! ```text
//!   a pod appears ─► discovery sends ─► first scrape at the target's offset ─► every interval
//!   a pod is gone ─► discovery sends ─► the loop stops ─► staleness markers, seen 2.1 intervals later
//! ```
//!
//! Rules are those of Prometheus 3.5 `scrape/scrape.go` and `scrape/target.go`:
//!
//! - A target's offset within the interval is fixed (a hash there, a named stream here); scrapes are exactly `interval` apart.
//! - A sample's timestamp is the start of its scrape; it can be seen when the scrape has finished.
//! - A failed scrape writes `up` 0, and a staleness marker for every series that the scrape before it had.
//! - A series that a good scrape lacks gets a marker, if the scrape before had it.
//! - When a loop stops, markers for everything, `up` included, are written at the time of the scrape that would have been
//!   next, but only after one more interval and a tenth: a live query sees the series for about 2.1 intervals.
//! - A server that ends and comes back has its samples again (the write-ahead log), but has forgotten which series its scrapes
//!   had: what went meanwhile gets no marker, and is seen for the lookback of five minutes. Discovery begins anew; the
//!   offsets are the same.

use super::exposition::{Exposition, Stamp};
use super::keep::Keep;
use super::labels::Labels;
use super::series::{ABSENT, Database, GroupId, Retention, STALE, is_absent};
use super::settings::MonitoringSpec;
use crate::random::Streams;
use crate::units::{SimDuration, SimTime, UnixMillis};
use std::sync::Arc;

/// Series that Prometheus itself adds to every scrape, before the page's own.
pub(super) const OWN_SERIES: [&str; 3] = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];

/// A target, by order of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

/// What a scrape met.
#[derive(Clone, Copy, Debug)]
pub enum Scraped<'a> {
    /// A page: one value a column of the target, [`ABSENT`] where the page lacks the series.
    Page(&'a [f64]),
    /// The page of an exporter, whose series come and go.
    Series(&'a [(Labels, f64)]),
    /// Connection refused, as from a pod whose engine is not up.
    Refused,
    /// No answer within the timeout: the failure is seen only then.
    TimedOut,
}

/// One Prometheus server.
#[derive(Clone, Debug)]
pub struct Prometheus {
    database: Database,
    epoch: UnixMillis,
    interval: SimDuration,
    scrape_duration: SimDuration,
    scrape_timeout: SimDuration,
    discovery_interval: SimDuration,
    /// Phase of discovery's ticker.
    sender_phase: SimDuration,
    streams: Streams,
    /// Targets that are no exporters: the offset of each is drawn by its number.
    numbered: u64,
    is_down: bool,
    targets: Vec<Target>,
    /// Kept for its allocation.
    row: Vec<f64>,
}

#[derive(Clone, Debug)]
struct Target {
    labels: Labels,
    group: GroupId,
    offset: SimDuration,
    next: SimTime,
    /// The loop has stopped, or will at this instant.
    stops: Option<SimTime>,
    last: Option<SimTime>,
    /// By column of the page: whether the last scrape had the series.
    present: Vec<bool>,
    /// The series of an exporter.
    exposition: Exposition,
    ended: bool,
}

impl Prometheus {
    /// An empty server that came up before the run; `epoch` is the wall clock at t = 0. Of what it scrapes it stores what
    /// `keep` wants.
    pub fn new(
        spec: &MonitoringSpec,
        epoch: UnixMillis,
        retention: Retention,
        keep: Keep,
        streams: &Streams,
    ) -> Self {
        let discovery_interval = spec.discovery_interval.duration();
        let phase = streams.stream("prometheus/discovery-phase").below(discovery_interval.as_ps());
        Prometheus {
            database: Database::keeping(retention, keep),
            epoch,
            interval: spec.scrape_interval.duration(),
            scrape_duration: spec.scrape_duration.duration(),
            scrape_timeout: spec.timeout().duration(),
            discovery_interval,
            sender_phase: SimDuration::from_ps(phase),
            streams: *streams,
            numbered: 0,
            is_down: false,
            targets: Vec::new(),
            row: Vec::new(),
        }
    }

    /// The samples.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The samples, for whoever adds others than those of scrapes.
    pub fn database_mut(&mut self) -> &mut Database {
        &mut self.database
    }

    /// A target appeared at `now`; `columns` are the series of its page, without the target's labels. The first scrape
    /// comes after discovery's next tick, at the target's offset.
    pub fn discover(&mut self, now: SimTime, labels: Labels, columns: &[Labels]) -> TargetId {
        let (start, offset) = (self.heard_of(now), self.next_offset());
        self.open(start, offset, labels, columns)
    }

    /// A target that Prometheus has scraped since before the run, but of which nothing is stored.
    pub fn known_target(&mut self, labels: Labels, columns: &[Labels]) -> TargetId {
        let offset = self.next_offset();
        self.open(SimTime::ZERO, offset, labels, columns)
    }

    /// An exporter called `name` appeared at `now`. Its page is [`Scraped::Series`]; whether it is there changes nothing
    /// for the other targets.
    pub fn discover_exporter(&mut self, now: SimTime, name: &str, labels: Labels) -> TargetId {
        let (start, offset) = (self.heard_of(now), self.offset_of(name));
        self.open(start, offset, labels, &[])
    }

    /// An exporter that Prometheus has scraped since before the run.
    pub fn known_exporter(&mut self, name: &str, labels: Labels) -> TargetId {
        let offset = self.offset_of(name);
        self.open(SimTime::ZERO, offset, labels, &[])
    }

    fn next_offset(&mut self) -> SimDuration {
        let mut draws = self.streams.named("prometheus/scrape-offset").at(self.numbered);
        self.numbered += 1;
        // Timestamps are milliseconds: so is the offset, or the distance of samples would vary by one.
        SimDuration::from_millis(draws.below(self.interval.as_millis()))
    }

    fn offset_of(&self, exporter: &str) -> SimDuration {
        let mut draws = self.streams.stream(&format!("prometheus/scrape-offset/{exporter}"));
        SimDuration::from_millis(draws.below(self.interval.as_millis()))
    }

    fn open(&mut self, start: SimTime, offset: SimDuration, labels: Labels, columns: &[Labels]) -> TargetId {
        let id = TargetId(self.targets.len() as u32);
        let own = OWN_SERIES.iter().map(|name| Labels::metric(name));
        let all: Arc<[Labels]> = own.chain(columns.iter().cloned()).collect();
        let group = self.database.open(labels.clone(), all);
        self.targets.push(Target {
            labels,
            group,
            offset,
            next: next_tick(start, self.interval, offset),
            stops: None,
            last: None,
            present: vec![false; columns.len()],
            exposition: Exposition::new(1),
            ended: false,
        });
        id
    }

    /// The target is gone at `now`; its loop goes on until discovery's next tick.
    pub fn forget(&mut self, now: SimTime, id: TargetId) {
        let stops = self.heard_of(now);
        let is_down = self.is_down;
        let target = &mut self.targets[id.0 as usize];
        target.stops = Some(target.stops.map_or(stops, |earlier| earlier.min(stops)));
        if is_down { self.drop_target(id) } else { self.end_if_stopped(id) }
    }

    /// When the target is scraped next; `None` once its loop has stopped, and while the server is down.
    pub fn next_scrape(&self, id: TargetId) -> Option<SimTime> {
        let target = &self.targets[id.0 as usize];
        (!target.ended && !self.is_down).then_some(target.next)
    }

    /// Whether the server has ended and is not back yet.
    pub fn is_down(&self) -> bool {
        self.is_down
    }

    /// The labels that the target gives to all its series.
    pub fn labels(&self, id: TargetId) -> &Labels {
        &self.targets[id.0 as usize].labels
    }

    /// The targets whose loops go on, or will when the server is back.
    pub fn targets(&self) -> impl Iterator<Item = TargetId> {
        let ids = (0..).map(TargetId).zip(&self.targets);
        ids.filter(|(_, target)| !target.ended).map(|(id, _)| id)
    }

    /// The server ends at `now`: what was on its way is lost, and so is what its loops remember.
    pub fn stop(&mut self, now: SimTime) {
        self.is_down = true;
        self.database.lose_unseen(now);
        let going: Vec<TargetId> = self.targets().collect();
        for id in going {
            let target = &mut self.targets[id.0 as usize];
            target.last = None;
            target.present.fill(false);
            target.exposition.forget_all(&mut self.database);
            if target.stops.is_some() {
                self.drop_target(id);
            }
        }
    }

    /// The server is back at `now`, with the samples that it had: discovery sends what it finds after its first interval.
    pub fn start(&mut self, now: SimTime) {
        self.is_down = false;
        self.sender_phase = SimDuration::from_ps(now.as_ps()).rem(self.discovery_interval);
        let (sent, interval) = (now + self.discovery_interval, self.interval);
        for target in self.targets.iter_mut().filter(|target| !target.ended) {
            target.next = next_tick(sent, interval, target.offset);
        }
    }

    /// A target of which the server never hears again that it is gone: its series end without markers.
    fn drop_target(&mut self, id: TargetId) {
        let target = &mut self.targets[id.0 as usize];
        if !std::mem::replace(&mut target.ended, true) {
            self.database.end(target.group);
        }
    }

    /// Scrapes the target at `now`, which must be [`Prometheus::next_scrape`]'s.
    pub fn scrape(&mut self, id: TargetId, now: SimTime, scraped: Scraped<'_>) {
        let target = &mut self.targets[id.0 as usize];
        debug_assert_eq!(target.next, now);
        let took =
            if matches!(scraped, Scraped::TimedOut) { self.scrape_timeout } else { self.scrape_duration };
        let stamp = Stamp { taken: self.epoch.at(now), visible_from: now + took };
        self.row.clear();
        match scraped {
            Scraped::Page(page) => {
                debug_assert_eq!(page.len(), target.present.len());
                let samples = page.iter().filter(|value| !is_absent(**value)).count();
                self.row.extend([1.0, self.scrape_duration.as_secs_f64(), samples as f64]);
                for (value, present) in page.iter().zip(&mut target.present) {
                    let vanished = is_absent(*value) && *present;
                    self.row.push(if vanished { STALE } else { *value });
                    *present = !is_absent(*value);
                }
            }
            Scraped::Series(series) => {
                self.row.extend([1.0, self.scrape_duration.as_secs_f64(), series.len() as f64]);
                let samples = series.iter().cloned();
                target.exposition.append(&mut self.database, 0, &target.labels, stamp, samples);
            }
            Scraped::Refused | Scraped::TimedOut => {
                self.row.extend([0.0, took.as_secs_f64(), 0.0]);
                self.row.extend(target.present.iter().map(|present| if *present { STALE } else { ABSENT }));
                target.present.fill(false);
                target.exposition.end_all(&mut self.database, 0, stamp);
            }
        }
        self.database.append(target.group, stamp.taken, stamp.visible_from, &self.row);
        target.last = Some(now);
        target.next = now + self.interval;
        self.end_if_stopped(id);
    }

    /// When the scrape manager acts on what changed at `now`.
    ///
    /// Discovery sends at its ticks (discovery/manager.go, `sender`). The manager's own ticker of as many seconds delays
    /// nothing: its loop takes a tick first and then waits for something to do (scrape/manager.go, `reloader`), so it is
    /// ready whenever discovery, which sends no more often, has sent.
    fn heard_of(&self, now: SimTime) -> SimTime {
        next_tick(now, self.discovery_interval, self.sender_phase)
    }

    /// Writes the markers of a loop that makes no further scrape.
    fn end_if_stopped(&mut self, id: TargetId) {
        let target = &mut self.targets[id.0 as usize];
        let Some(stops) = target.stops else { return };
        if target.ended || target.next < stops {
            return;
        }
        target.ended = true;
        if let Some(last) = target.last {
            self.row.clear();
            self.row.extend([STALE; OWN_SERIES.len()]);
            self.row.extend(target.present.iter().map(|present| if *present { STALE } else { ABSENT }));
            let tenth = SimDuration::from_ps(self.interval.as_ps() / 10);
            let next = last + self.interval;
            let seen = next.checked_add(self.interval).and_then(|then| then.checked_add(tenth));
            let stamp = Stamp { taken: self.epoch.at(next), visible_from: seen.unwrap_or(SimTime::NEVER) };
            self.database.append(target.group, stamp.taken, stamp.visible_from, &self.row);
            target.exposition.end_all(&mut self.database, 0, stamp);
        }
        self.database.end(target.group);
    }
}

/// The first instant at or after `from` that is `phase` past a multiple of `period`.
pub(super) fn next_tick(from: SimTime, period: SimDuration, phase: SimDuration) -> SimTime {
    let zero = SimTime::ZERO + phase;
    if from <= zero {
        return zero;
    }
    let late = from.since(zero).rem(period);
    if late.is_zero() { from } else { from + (period - late) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::series::is_stale;
    use crate::random::distribution::Seconds;

    const EPOCH: UnixMillis = UnixMillis(1_700_000_000_000);

    fn secs(s: u64) -> SimDuration {
        SimDuration::from_secs(s)
    }
    fn server() -> Prometheus {
        let spec = MonitoringSpec { scrape_interval: Seconds(secs(15)), ..MonitoringSpec::default() };
        Prometheus::new(&spec, EPOCH, Retention::All, Keep::All, &Streams::new(3))
    }
    fn columns() -> Vec<Labels> {
        vec![Labels::metric("a"), Labels::metric("b")]
    }
    fn rows(server: &Prometheus, id: TargetId, seen: SimTime) -> Vec<(i64, Vec<f64>)> {
        let group = server.database.group(server.targets[id.0 as usize].group).expect("kept");
        let rows = group.rows(seen);
        let row = |at: usize| (0..group.columns().len()).map(|column| rows.value(at, column)).collect();
        rows.times.iter().enumerate().map(|(at, &t)| (t - EPOCH.0, row(at))).collect()
    }
    /// Scrapes once, with what `page` says.
    fn scrape(server: &mut Prometheus, id: TargetId, page: Option<[f64; 2]>) -> SimTime {
        let now = server.next_scrape(id).expect("scraped on");
        match page {
            Some(page) => server.scrape(id, now, Scraped::Page(&page)),
            None => server.scrape(id, now, Scraped::Refused),
        }
        now
    }

    #[test]
    fn a_new_target_waits_for_discovery_and_its_offset_then_keeps_its_interval() {
        for second in 0..40 {
            let mut server = server();
            let appeared = SimTime::ZERO + secs(second);
            let id = server.discover(appeared, Labels::default(), &columns());
            let first = scrape(&mut server, id, Some([1.0, 2.0]));
            assert!(first >= appeared && first.since(appeared) < secs(5 + 15));
            assert_eq!(server.next_scrape(id), Some(first + secs(15)));
            assert_eq!(first.as_ps() % 1_000_000_000, 0, "whole milliseconds");
        }
    }

    #[test]
    fn samples_bear_the_start_of_the_scrape_and_are_seen_at_its_end() {
        let mut server = server();
        let id = server.known_target(Labels::default(), &columns());
        let t = scrape(&mut server, id, Some([1.0, 2.0]));
        assert!(t < SimTime::ZERO + secs(15));
        assert_eq!(rows(&server, id, t), []);
        let seen = t + SimDuration::from_millis(20);
        assert_eq!(rows(&server, id, seen), [(t.as_millis() as i64, vec![1.0, 0.02, 2.0, 1.0, 2.0])]);
    }

    #[test]
    fn failures_and_missing_series_leave_markers_once() {
        let mut server = server();
        let id = server.known_target(Labels::default(), &columns());
        for page in [None, Some([1.0, ABSENT]), Some([1.0, 5.0]), Some([1.0, ABSENT]), None, None] {
            scrape(&mut server, id, page);
        }
        let seen = rows(&server, id, SimTime::NEVER);
        let up: Vec<f64> = seen.iter().map(|(_, row)| row[0]).collect();
        assert_eq!(up, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        let kinds = |column: usize| -> String {
            let kind = |value: f64| {
                if is_stale(value) {
                    's'
                } else if is_absent(value) {
                    '-'
                } else {
                    'v'
                }
            };
            seen.iter().map(|(_, row)| kind(row[column])).collect()
        };
        assert_eq!((kinds(3).as_str(), kinds(4).as_str()), ("-vvvs-", "--vs--"));
    }

    #[test]
    fn a_target_that_is_gone_is_seen_for_another_two_intervals() {
        let mut server = server();
        let id = server.known_target(Labels::default(), &columns());
        let mut last = scrape(&mut server, id, Some([1.0, 2.0]));
        server.forget(last + secs(1), id);
        while server.next_scrape(id).is_some() {
            last = scrape(&mut server, id, None);
        }
        assert!(last < SimTime::ZERO + secs(15 + 1 + 5));
        let marker_seen = last + SimDuration::from_millis(31_500);
        let before = rows(&server, id, SimTime::from_ps(marker_seen.as_ps() - 1));
        let after = rows(&server, id, marker_seen);
        assert_eq!(after.len(), before.len() + 1);
        let (t, row) = after.last().expect("a marker");
        assert_eq!(*t, (last + secs(15)).as_millis() as i64);
        assert!(row[..3].iter().all(|value| is_stale(*value)));
    }

    #[test]
    fn a_target_of_the_longest_interval_is_seen_to_the_end() {
        let interval = Seconds(SimDuration::from_ps(SimTime::HORIZON.as_ps()));
        let spec = MonitoringSpec { scrape_interval: interval, ..MonitoringSpec::default() };
        let mut server = Prometheus::new(&spec, EPOCH, Retention::All, Keep::All, &Streams::new(3));
        let id = server.known_target(Labels::default(), &columns());
        scrape(&mut server, id, Some([1.0, 2.0]));
        server.forget(SimTime::ZERO, id);
        assert_eq!(server.next_scrape(id), None);
        assert_eq!(rows(&server, id, SimTime::HORIZON).len(), 1);
    }

    #[test]
    fn a_scrape_that_times_out_is_seen_to_have_failed_only_then() {
        let mut server = server();
        let id = server.known_target(Labels::default(), &columns());
        scrape(&mut server, id, Some([1.0, 2.0]));
        let now = server.next_scrape(id).expect("scraped on");
        server.scrape(id, now, Scraped::TimedOut);
        let seen = now + secs(10);
        assert_eq!(rows(&server, id, SimTime::from_ps(seen.as_ps() - 1)).len(), 1);
        let (t, row) = rows(&server, id, seen).pop().expect("a failure");
        assert_eq!((t, &row[..3]), (now.as_millis() as i64, &[0.0, 10.0, 0.0][..]));
        assert!(row[3..].iter().all(|value| is_stale(*value)));
    }

    #[test]
    fn a_server_that_was_down_has_its_samples_and_no_markers_and_scrapes_on_at_the_same_offsets() {
        let mut server = server();
        let [stays, goes] = [0, 1].map(|_| server.known_target(Labels::default(), &columns()));
        let last = scrape(&mut server, stays, Some([1.0, 2.0]));
        scrape(&mut server, goes, Some([1.0, 2.0]));
        let (down, back) = (SimTime::ZERO + secs(16), SimTime::ZERO + secs(100));
        server.stop(down);
        assert_eq!((server.next_scrape(stays), server.next_scrape(goes)), (None, None));
        server.forget(SimTime::ZERO + secs(50), goes);
        let new = server.discover(SimTime::ZERO + secs(60), Labels::default(), &columns());
        assert_eq!(server.next_scrape(new), None);
        server.start(back);
        // Discovery sends 5 s after the start.
        let first = server.next_scrape(stays).expect("scraped on");
        assert!(first >= back + secs(5) && first < back + secs(20));
        assert!(first.since(last).rem(secs(15)).is_zero());
        assert!(server.next_scrape(new).expect("found") >= back + secs(5));
        assert_eq!(server.targets().collect::<Vec<_>>(), [stays, new]);
        // The series that went has its last sample and no end; the other's first failure ends nothing either.
        assert_eq!((rows(&server, goes, SimTime::NEVER).len(), server.next_scrape(goes)), (1, None));
        scrape(&mut server, stays, None);
        let row = rows(&server, stays, SimTime::NEVER).pop().expect("a failure").1;
        assert_eq!(row[0], 0.0);
        assert!(row[3..].iter().all(|value| is_absent(*value)));
    }

    #[test]
    fn a_target_that_was_never_scraped_leaves_nothing() {
        let mut server = server();
        let id = server.discover(SimTime::ZERO, Labels::default(), &columns());
        server.forget(SimTime::ZERO, id);
        assert_eq!(server.next_scrape(id), None);
        assert_eq!(rows(&server, id, SimTime::NEVER), []);
    }
}
