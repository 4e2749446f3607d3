//! The course of a run in bounded memory: what the load and its picture are read from.

use crate::simulation::record::{Recorder, TickRecord};
use crate::units::{Replicas, SimTime};

/// Where bins are merged in pairs; even. At one tick a second, 18 hours need no merger and 106 days need eight.
const BINS_MAX: usize = 1 << 16;

/// Some consecutive ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// The last of its ticks; the bin begins where the one before ends.
    pub until: SimTime,
    /// Requests that came due in it.
    pub arrived: u64,
    /// Most requests that waited at one of its ticks: in clients, the gateway and engines together.
    pub queue: u64,
    /// Ready pods at its last tick.
    pub ready: Replicas,
    ticks: u64,
}

/// Listens to the ticks of a run and keeps their course in at most 65,536 bins, each of one tick until that is too many.
#[derive(Clone, Debug)]
pub struct Timeline {
    bins: Vec<Bin>,
    ticks_per_bin: u64,
    bins_max: usize,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline { bins: Vec::new(), ticks_per_bin: 1, bins_max: BINS_MAX }
    }
}

impl Timeline {
    /// An empty timeline.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bins in order of time.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The last tick; zero before the first.
    pub fn until(&self) -> SimTime {
        self.bins.last().map_or(SimTime::ZERO, |bin| bin.until)
    }

    fn halve(&mut self) {
        self.ticks_per_bin *= 2;
        let merged = self.bins.chunks(2).map(|pair| match pair {
            [first, second] => first.and(second),
            rest => rest[0],
        });
        self.bins = merged.collect();
    }
}

impl Bin {
    fn and(&self, later: &Bin) -> Bin {
        Bin {
            until: later.until,
            arrived: self.arrived + later.arrived,
            queue: self.queue.max(later.queue),
            ready: later.ready,
            ticks: self.ticks + later.ticks,
        }
    }
}

impl Recorder for Timeline {
    fn tick(&mut self, record: &TickRecord) {
        let bin = Bin {
            until: record.at,
            arrived: record.arrived,
            queue: record.held + record.waiting,
            ready: record.ready,
            ticks: 1,
        };
        match self.bins.last_mut() {
            Some(last) if last.ticks < self.ticks_per_bin => *last = last.and(&bin),
            _ => {
                if self.bins.len() == self.bins_max {
                    self.halve();
                }
                self.bins.push(bin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimDuration;

    #[test]
    fn a_long_run_keeps_its_arrivals_and_its_longest_queue_in_few_bins() {
        let mut timeline = Timeline { bins_max: 8, ..Timeline::new() };
        for i in 1..=1003u64 {
            timeline.tick(&TickRecord {
                at: SimTime::ZERO + SimDuration::from_secs(i),
                arrived: i,
                held: u64::from(i == 501),
                waiting: 6,
                ready: Replicas(i as i32),
                ..TickRecord::default()
            });
        }
        assert!(timeline.bins().len() <= 8);
        assert_eq!(timeline.bins().iter().map(|bin| bin.arrived).sum::<u64>(), 1003 * 1004 / 2);
        assert_eq!(timeline.bins().iter().map(|bin| bin.queue).max(), Some(7));
        assert!(timeline.bins().is_sorted_by(|a, b| a.until < b.until));
        assert_eq!(timeline.until(), SimTime::ZERO + SimDuration::from_secs(1003));
        assert_eq!(timeline.bins().last().map(|bin| bin.ready), Some(Replicas(1003)));
    }
}
