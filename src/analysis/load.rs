//! The offered load: its mean and peak, its largest step, how often it swings, and when capacity followed the step.
//!
//! All of it is read from the ticks of the timeline, so times are known to one tick.

use super::timeline::Timeline;
use crate::simulation::summary;
use crate::units::{Replicas, SimDuration, SimTime};

/// Load is counted over windows of a minute: long enough that chance averages out, short against a cold start.
const WINDOW: SimDuration = SimDuration::from_secs(60);

/// How far two counts must differ to be more than chance, in standard deviations of their difference as if arrivals were
/// Poisson (whose variance is the count). Five, because the largest of thousands of differences is looked at.
const SIGMAS: u64 = 5;

/// The largest sustained step up of the offered load.
///
/// At every tick, the requests of the minute before are compared with those of the minute after. A step is where the
/// minute after has at least a quarter more, more than chance explains, and each quarter of that minute lies above the
/// middle of the two, so that a blip is no step. The largest wins, the earlier of equals. The start of the run is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) at: SimTime,
    /// From the step until capacity; `None` where the queue never came back to its level before while the load lasted.
    ///
    /// The queue is back at the first tick from which, for a minute, no more requests wait than in the minute before
    /// the step (or than one a ready pod, which is a request that waits for the next batch and not a backlog). Capacity
    /// was there as soon as as many pods were Ready as there were, at the fewest, while the queue fell from its peak to
    /// that level: pods that came later than those did not bring it back.
    pub(super) capacity_after: Option<SimDuration>,
}

/// The offered load as counts at the ticks.
pub(super) struct OfferedLoad {
    edges: Vec<Edge>,
}

/// The state at a tick.
struct Edge {
    at: SimTime,
    /// Requests that have come due until now.
    arrived: u64,
    queue: u64,
    ready: Replicas,
}

impl OfferedLoad {
    /// The load of `timeline` until `end`, where the offering of requests ended.
    pub(super) fn new(timeline: &Timeline, end: SimTime) -> Self {
        let ready = timeline.bins().first().map_or(Replicas::ZERO, |bin| bin.ready);
        let mut edges = vec![Edge { at: SimTime::ZERO, arrived: 0, queue: 0, ready }];
        let mut arrived = 0;
        for bin in timeline.bins().iter().filter(|bin| bin.until <= end) {
            arrived += bin.arrived;
            let edge = Edge { at: bin.until, arrived, queue: bin.queue, ready: bin.ready };
            match edges.last_mut() {
                Some(last) if last.at == edge.at => *last = edge,
                _ => edges.push(edge),
            }
        }
        OfferedLoad { edges }
    }

    /// Mean, peak and swings; `arrived` requests came due in `offered`.
    pub(super) fn stats(&self, arrived: u64, offered: SimDuration) -> summary::Load {
        let mean_rps = per_second(arrived, offered);
        let busiest = (0..self.edges.len())
            .filter_map(|from| {
                Some((self.count(from, self.after(from)?), self.length(from, self.after(from)?)))
            })
            .map(|(count, length)| per_second(count, length))
            .fold(None, |peak: Option<f64>, rate| Some(peak.map_or(rate, |p| p.max(rate))));
        summary::Load { mean_rps, peak_rps: busiest.unwrap_or(mean_rps), swings: self.swings() }
    }

    /// The largest step up, and when capacity followed.
    pub(super) fn step(&self) -> Option<Step> {
        let mut largest: Option<(u64, usize)> = None;
        for at in 0..self.edges.len() {
            let Some((before, after)) = self.around(at) else { continue };
            let rise = after.saturating_sub(before);
            let rises = rise * 4 >= before.max(1) && is_more_than_chance(rise, before + after);
            if rises && largest.is_none_or(|(most, _)| rise > most) && self.lasts(at, before + after) {
                largest = Some((rise, at));
            }
        }
        let (_, at) = largest?;
        let capacity_after = self.capacity(at).map(|edge| self.edges[edge].at.since(self.edges[at].at));
        Some(Step { at: self.edges[at].at, capacity_after })
    }

    /// Whether each quarter of the minute after `at` lies above the middle of before and after, `both` together, give or
    /// take one standard deviation.
    fn lasts(&self, at: usize, both: u64) -> bool {
        let Some(end) = self.after(at) else { return false };
        let whole = self.length(at, end);
        let mark = |quarter: u64| {
            let time = self.edges[at].at + SimDuration::from_ps(whole.as_ps() / 4 * quarter);
            self.edges.partition_point(|edge| edge.at < time).min(end)
        };
        (0..4).all(|quarter| {
            let (from, to) = (mark(quarter), if quarter == 3 { end } else { mark(quarter + 1) });
            let share = self.length(from, to).as_secs_f64() / whole.as_secs_f64();
            let middle = both as f64 / 2.0 * share;
            self.count(from, to) as f64 >= middle - middle.sqrt()
        })
    }

    /// The tick at which capacity for the step at `step` was there.
    fn capacity(&self, step: usize) -> Option<usize> {
        let (before, after) = self.around(step)?;
        let first = self.before(step)?;
        let level = self.edges[first..=step].iter().map(|edge| edge.queue).max()?;
        let calm = |edge: &Edge| edge.queue <= level.max(u64::try_from(edge.ready.get()).unwrap_or(0));

        // While the load lasts: until the minute that ends at a tick is nearer to the load before than to that after.
        let passing = self.after(step)?;
        let over = (passing..self.edges.len())
            .find(|&edge| self.before(edge).is_some_and(|from| 2 * self.count(from, edge) < before + after));
        let over = over.unwrap_or(self.edges.len());

        let mut calm_since = None;
        for edge in step..over {
            if !calm(&self.edges[edge]) {
                calm_since = None;
                continue;
            }
            let since = *calm_since.get_or_insert(edge);
            if self.length(since, edge) >= WINDOW {
                return Some(self.first_with_the_pods_that_helped(step, since));
            }
        }
        None
    }

    /// The first tick from `step` with as many ready pods as the fewest while the queue fell from its peak until `back`.
    fn first_with_the_pods_that_helped(&self, step: usize, back: usize) -> usize {
        let falling = (step..=back).max_by_key(|&edge| self.edges[edge].queue).unwrap_or(back);
        let helped = self.edges[falling..=back].iter().map(|edge| edge.ready).min();
        (step..=back).find(|&edge| Some(self.edges[edge].ready) >= helped).unwrap_or(back)
    }

    /// How often the load, minute by minute, turned.
    fn swings(&self) -> u64 {
        let mut minutes = Vec::new();
        let mut from = 0;
        while let Some(to) = self.after(from) {
            minutes.push(self.count(from, to));
            from = to;
        }
        let mean = minutes.iter().sum::<u64>() / (minutes.len() as u64).max(1);
        let (mut swings, mut rising, mut extreme) = (0, None, minutes.first().copied().unwrap_or(0));
        for minute in minutes {
            let moved = minute.abs_diff(extreme);
            let far = moved * 10 >= mean * 3 && is_more_than_chance(moved, minute + extreme);
            match rising {
                Some(up) if up == (minute > extreme) => extreme = minute,
                _ if far => {
                    swings += u64::from(rising.is_some());
                    rising = Some(minute > extreme);
                    extreme = minute;
                }
                _ => {}
            }
        }
        swings
    }

    /// Requests of the minutes before and after a tick; `None` within a minute of either end.
    fn around(&self, at: usize) -> Option<(u64, u64)> {
        let (first, last) = (self.before(at)?, self.after(at)?);
        // Ticks are regular but for the last one of a run; only equal lengths compare.
        (self.length(first, at) == self.length(at, last))
            .then(|| (self.count(first, at), self.count(at, last)))
    }

    /// The last tick at least a minute before `at`.
    fn before(&self, at: usize) -> Option<usize> {
        let until = self.edges[at].at.as_ps().checked_sub(WINDOW.as_ps())?;
        self.edges.partition_point(|edge| edge.at.as_ps() <= until).checked_sub(1)
    }

    /// The first tick at least a minute after `at`.
    fn after(&self, at: usize) -> Option<usize> {
        let from = self.edges[at].at + WINDOW;
        let edge = self.edges.partition_point(|edge| edge.at < from);
        (edge < self.edges.len()).then_some(edge)
    }

    fn count(&self, from: usize, to: usize) -> u64 {
        self.edges[to].arrived - self.edges[from].arrived
    }

    fn length(&self, from: usize, to: usize) -> SimDuration {
        self.edges[to].at.since(self.edges[from].at)
    }
}

fn is_more_than_chance(difference: u64, both: u64) -> bool {
    u128::from(difference).pow(2) > u128::from(SIGMAS * SIGMAS) * u128::from(both)
}

pub(super) fn per_second(count: u64, over: SimDuration) -> f64 {
    if over.is_zero() { 0.0 } else { count as f64 / over.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::record::{Recorder, TickRecord};

    const TICK_S: u64 = 5;

    /// A run of ticks every 5 s: `at(seconds)` gives requests a tick, queue and ready pods.
    fn load(seconds: u64, at: impl Fn(u64) -> (u64, u64, i32)) -> OfferedLoad {
        let mut timeline = Timeline::new();
        for s in (TICK_S..=seconds).step_by(TICK_S as usize) {
            let (arrived, waiting, ready) = at(s);
            timeline.tick(&TickRecord {
                at: SimTime::ZERO + SimDuration::from_secs(s),
                arrived,
                waiting,
                ready: Replicas(ready),
                ..TickRecord::default()
            });
        }
        OfferedLoad::new(&timeline, timeline.until())
    }

    /// What the step is, in seconds.
    fn step(load: &OfferedLoad) -> Option<(f64, Option<f64>)> {
        let step = load.step()?;
        Some((step.at.as_secs_f64(), step.capacity_after.map(SimDuration::as_secs_f64)))
    }

    fn stepping(from: u64, to: u64) -> impl Fn(u64) -> u64 {
        move |s| if s <= 600 { from } else { to }
    }

    #[test]
    fn steady_load_has_no_step_and_no_swing() {
        let noisy = load(3600, |s| (100 + s * 7919 % 23, 0, 1));
        assert_eq!(step(&noisy), None);
        assert_eq!(noisy.swings(), 0);
        assert_eq!(noisy.stats(36_000, SimDuration::from_secs(3600)).mean_rps, 10.0);
    }

    #[test]
    fn capacity_is_there_when_the_pods_are_ready_that_bring_the_queue_back() {
        let rate = stepping(50, 150);
        // One pod until 730 s, three until 745 s, five from then: with three the queue falls already.
        let run = load(1800, |s| {
            let queue = match s {
                0..=600 => 3,
                601..=730 => (s - 600) * 20,
                731..=800 => 2600 - (s - 730) * 37,
                _ => 2,
            };
            (
                rate(s),
                queue,
                if s < 730 {
                    1
                } else if s < 745 {
                    3
                } else {
                    5
                },
            )
        });
        assert_eq!(step(&run), Some((600.0, Some(130.0))));
    }

    #[test]
    fn capacity_that_was_there_before_the_step_took_no_time() {
        let rate = stepping(50, 150);
        assert_eq!(step(&load(1800, |s| (rate(s), 0, 3))), Some((600.0, Some(0.0))));
    }

    #[test]
    fn capacity_that_never_comes_is_none_though_the_step_is_known() {
        let rate = stepping(50, 150);
        assert_eq!(step(&load(1800, |s| (rate(s), s.saturating_sub(600) * 20, 1))), Some((600.0, None)));
    }

    #[test]
    fn a_load_that_falls_back_before_the_queue_does_was_never_served() {
        let run = load(1800, |s| match s {
            601..=780 => (150, (s - 600) * 20, 1),
            781..=900 => (50, 3600 - (s - 780) * 30, 1),
            _ => (50, 0, 1),
        });
        assert_eq!(step(&run), Some((600.0, None)));
    }

    #[test]
    fn a_blip_shorter_than_a_minute_is_no_step_and_neither_is_a_slow_ramp_or_the_start() {
        assert_eq!(step(&load(1800, |s| (if (601..=620).contains(&s) { 150 } else { 50 }, 0, 1))), None);
        assert_eq!(step(&load(7200, |s| (100 + s / 60, 0, 1))), None);
        assert_eq!(step(&load(60, |_| (50, 0, 1))), None);
        assert_eq!(step(&load(0, |_| (0, 0, 0))), None);
    }

    #[test]
    fn a_step_from_nothing_is_a_step() {
        let rate = stepping(0, 50);
        assert_eq!(step(&load(1800, |s| (rate(s), 0, 1))), Some((600.0, Some(0.0))));
    }

    #[test]
    fn a_load_that_comes_and_goes_swings_and_its_peak_is_its_busiest_minute() {
        // Ten minutes at 40 a tick, ten at 160, for two hours: eleven turns between, the first change is none.
        let run = load(7200, |s| (if (s - 1) / 600 % 2 == 0 { 40 } else { 160 }, 0, 1));
        assert_eq!(run.swings(), 10);
        assert_eq!(run.stats(144_000, SimDuration::from_secs(7200)).peak_rps, 32.0);
    }
}
