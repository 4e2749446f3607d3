//! GPU time that no policy can go below.
//!
//! Time is cut into windows of one length. What arrives in a window and is due in it must be served in it, so the replicas
//! that can serve must sum up to at least that work W. They come whole: either n = ceil(W / L) of them stay for the whole
//! window of length L, or at least one comes or goes within it. A replica that comes must have started, and each start that
//! is billed shows as one coming and one going, so a window in which there is either bears half a start S:
//!
//! ```text
//!   window(W) = min( ceil(W / L) L,  W + S / 2 )
//! ```
//!
//! Some requests may miss. Which ones is relaxed to a price for each miss (a Lagrange multiplier): at any price, the sum of
//! the windows with their dearest requests bought off, less the price of all allowed misses, is a bound. A request whose parts
//! lie in two windows is bought off in each for its share of the price, and fractions may be bought: both only make it cheaper.
//! The best price is sought, and so is the best length.

use crate::scenario::{Demand, Need};
use crate::units::{Replicas, SimTime};

/// Window lengths that are tried, as parts of the run.
const PARTS: [u64; 13] = [1, 2, 3, 5, 8, 12, 20, 32, 48, 72, 120, 240, 480];

/// Prices that are tried for each length.
const PRICES: usize = 32;

/// What floating-point sums may be off by.
const ROUNDING: f64 = 1e-9;

/// Picoseconds that replicas which can serve must be there for, and what else is billed.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    length_ps: f64,
    windows: Vec<Window>,
    /// So many of them lie before the end of the run; in the others replicas need not stay for a whole window.
    whole: usize,
}

/// The least GPU-hours of any fleet that meets the SLO, where a policy starts with `initial` replicas.
pub(super) fn gpu_hours(demand: &Demand, initial: Replicas) -> f64 {
    let replica_ps = PARTS
        .iter()
        .map(|parts| Windows::new(demand, *parts).replica_ps(demand, initial))
        .fold(0.0, f64::max);
    replica_ps * (1.0 - ROUNDING) * f64::from(demand.gpus_per_replica.get()) / 3600e12
}

/// Whether so much is due at once that all replicas that the nodes hold cannot serve it.
pub(super) fn exceeds_the_nodes(demand: &Demand) -> bool {
    PARTS.iter().any(|parts| {
        let windows = Windows::new(demand, *parts);
        windows.misses_with(f64::from(demand.replicas_max.get()))
            > demand.misses_max as f64 * (1.0 + ROUNDING)
    })
}

/// What must be served in one window.
#[derive(Clone, Debug, Default)]
struct Window {
    /// All work.
    work: f64,
    /// The work and share of each part of a request, the dearest request first.
    parts: Vec<(f64, f64)>,
}

impl Windows {
    pub(super) fn new(demand: &Demand, parts: u64) -> Windows {
        let length = (demand.end.as_ps() / parts).max(1);
        let last = demand.needs.iter().map(|need| need.until).fold(demand.end, SimTime::max);
        let mut windows = vec![Window::default(); last.as_ps().div_ceil(length) as usize];
        for &Need { from, until, work_ps, share } in &demand.needs {
            let window = from.as_ps() / length;
            // A request that is due at the very end of a window still lies in it.
            if until.as_ps() <= (window + 1) * length {
                let window = &mut windows[window as usize];
                window.work += work_ps;
                window.parts.push((work_ps, share));
            }
        }
        for window in &mut windows {
            window.parts.sort_by(|a, b| (b.0 / b.1).total_cmp(&(a.0 / a.1)));
        }
        Windows { length_ps: length as f64, windows, whole: (demand.end.as_ps() / length) as usize }
    }

    /// The work of each window, nothing bought off.
    pub(super) fn work(&self) -> impl Iterator<Item = f64> {
        self.windows.iter().map(|window| window.work)
    }

    fn replica_ps(&self, demand: &Demand, initial: Replicas) -> f64 {
        let start = demand.quickest_start.as_ps() as f64;
        // A replica of the beginning has no start, only an end: its half of one is not owed, nor what it saves its window.
        let unowed = f64::from(initial.get()) * f64::min(start / 2.0, self.length_ps);
        let dearest = |window: &Window| window.parts.first().map(|part| part.0 / part.1);
        let dearest = self.windows.iter().filter_map(dearest).fold(0.0, f64::max);
        let at = |price: f64, start: f64| {
            let windows = self.windows.iter().enumerate();
            let least = windows
                .map(|(i, window)| self.least(window, price, (i < self.whole).then_some(start)))
                .sum::<f64>();
            least - price * demand.misses_max as f64
        };
        let mut best = 0.0;
        // The bound is concave in the price: no price above what the dearest window costs is of use.
        for (start, unowed) in [(start, unowed), (0.0, 0.0)] {
            let highest = (self.length_ps + start).max(dearest);
            let (mut low, mut high) = (0.0, highest);
            for _ in 0..PRICES {
                let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
                if at(left, start) < at(right, start) { low = left } else { high = right }
            }
            best = f64::max(best, at((low + high) / 2.0, start) - unowed);
            best = f64::max(best, at(0.0, start) - unowed);
        }
        best
    }

    /// The least that a window costs where each miss costs `price`; `start` is `None` where replicas need not be whole.
    fn least(&self, window: &Window, price: f64, start: Option<f64>) -> f64 {
        let (mut work, mut paid) = (window.work, 0.0);
        let mut least = self.cost(work, start);
        for &(part, share) in &window.parts {
            let (left, all) = ((work - part).max(0.0), price * share);
            // Where buying off a fraction takes one replica less, no more of it need be bought. A part is never longer than
            // its window, so that happens once.
            let whole = libm::floor(work / self.length_ps) * self.length_ps;
            if whole > left && part > 0.0 {
                least = f64::min(least, self.cost(whole, start) + paid + all * (work - whole) / part);
            }
            (work, paid) = (left, paid + all);
            if paid >= least {
                break;
            }
            least = f64::min(least, self.cost(work, start) + paid);
        }
        least
    }

    fn cost(&self, work: f64, start: Option<f64>) -> f64 {
        let Some(start) = start.filter(|_| work > 0.0) else { return work.max(0.0) };
        let whole = libm::ceil(work / self.length_ps - ROUNDING) * self.length_ps;
        whole.min(work + start / 2.0)
    }

    /// How many requests miss at least, with `replicas` in every window.
    fn misses_with(&self, replicas: f64) -> f64 {
        let room = replicas * self.length_ps * (1.0 + ROUNDING);
        let of_window = |window: &Window| {
            let (mut excess, mut misses) = (window.work - room, 0.0);
            for &(part, share) in window.parts.iter().take_while(|part| part.0 > 0.0) {
                if excess <= 0.0 {
                    break;
                }
                misses += share * f64::min(1.0, excess / part);
                excess -= part;
            }
            misses
        };
        self.windows.iter().map(of_window).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Gpus, SimDuration};

    const S: u64 = 1_000_000_000_000;

    fn at(seconds: u64) -> SimTime {
        SimTime::from_ps(seconds * S)
    }

    fn demand(needs: &[(u64, u64, f64)], misses_max: u64, start: u64) -> Demand {
        let need = |&(from, until, seconds): &(u64, u64, f64)| Need {
            from: at(from),
            until: at(until),
            work_ps: seconds * S as f64,
            share: 1.0,
        };
        Demand {
            needs: needs.iter().map(need).collect(),
            misses_max,
            hopeless: None,
            quickest_start: SimDuration::from_secs(start),
            slow_start: SimDuration::from_secs(start),
            gpus_per_replica: Gpus(2),
            replicas_max: Replicas(3),
            end: at(3600),
        }
    }

    fn hours(demand: &Demand) -> f64 {
        gpu_hours(demand, Replicas(1))
    }

    #[test]
    fn work_is_served_by_whole_replicas_or_by_some_that_start() {
        // 1.5 replicas' worth in the whole hour: a second one for all of it, or half of it and half a start.
        let needs = [(0, 3600, 1800.0); 3];
        let hours = |start: u64, initial: i32| gpu_hours(&demand(&needs, 0, start), Replicas(initial));
        assert!((hours(100_000, 0) - 4.0).abs() < 1e-6, "a start is dearer than to stay");
        assert!((hours(600, 0) - 2.0 * 5700.0 / 3600.0).abs() < 1e-6, "half a start is 300 s");
        assert!((hours(600, 1) - 3.0).abs() < 1e-6, "the replica of the beginning owes none");
    }

    #[test]
    fn what_may_miss_is_bought_off_dearest_first() {
        let needs = [(0, 3600, 1800.0), (0, 3600, 600.0), (0, 3600, 300.0)];
        let some = hours(&demand(&needs, 1, 0));
        assert!((some - 2.0 * 900.0 / 3600.0).abs() < 1e-6, "{some}");
        assert_eq!(hours(&demand(&needs, 3, 0)), 0.0);
    }

    #[test]
    fn more_than_the_nodes_hold_is_infeasible() {
        let needs: Vec<(u64, u64, f64)> = (0..10).map(|i| (i, 20 + i, 10.0)).collect();
        assert!(exceeds_the_nodes(&demand(&needs, 0, 0)), "100 s of work for three replicas in 30 s");
        assert!(!exceeds_the_nodes(&demand(&needs, 9, 0)));
    }
}
