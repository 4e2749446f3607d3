//! What a run adds up as it goes: O(1) at each change, exact at the end.

use super::level::Level;
use super::record::{Fate, RunTotals};
use crate::histogram::LogHistogram;
use crate::serving::engine::Stats;
use crate::units::{Replicas, SimDuration, SimTime};

/// The running totals of one run.
#[derive(Debug)]
pub(super) struct Totals {
    /// Requests that came due.
    pub(super) arrived: u64,
    /// Sends, retries included.
    pub(super) attempts: u64,
    pub(super) fates: Fates,
    pub(super) levels: Levels,
    pub(super) engines: EngineTotals,
    pub(super) backlog: Backlog,
    warnings: Vec<String>,
}

/// Requests by fate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fates {
    counts: [u64; 6],
}

impl Fates {
    pub(super) fn add(&mut self, fate: Fate) {
        self.counts[fate as usize] += 1;
    }
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Levels whose integrals are billed and reported.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    pub(super) replicas: Level,
    pub(super) ready: Level,
    pub(super) gpus: Level,
    pub(super) node_gpus: Level,
}

/// What engines counted, summed over pods that are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct EngineTotals {
    steps: u64,
    preemptions: u64,
    prefix_queries: u64,
    prefix_hits: u64,
    itl: LogHistogram,
}

impl EngineTotals {
    pub(super) fn add(&mut self, stats: &Stats) {
        self.steps += stats.steps;
        self.preemptions += stats.num_preemptions;
        self.prefix_queries += stats.prefix_cache_queries;
        self.prefix_hits += stats.prefix_cache_hits;
        self.itl.merge(&stats.itl);
    }
}

/// Requests that wait, wherever they do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    held: u64,
    waiting: u64,
    since: SimTime,
    longest: u64,
}

impl Backlog {
    /// Those in clients' and the gateway's queues.
    pub(super) fn held(&self) -> u64 {
        self.held
    }
    /// Those in engines' queues.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }
    /// One more waits in its client's or the gateway's queue from `now` on.
    pub(super) fn hold(&mut self, now: SimTime) {
        self.settle(now);
        self.held += 1;
    }
    /// One fewer does.
    pub(super) fn let_go(&mut self, now: SimTime) {
        self.settle(now);
        self.held -= 1;
    }
    /// In the queue of one engine `before` requests waited until `now`, and `after` do from then on.
    pub(super) fn engine_queue(&mut self, now: SimTime, before: u64, after: u64) {
        self.settle(now);
        self.waiting = self.waiting + after - before;
    }
    /// Accounts for the time up to `now`. Who comes to an idle engine waits for no time at all, and in no queue.
    fn settle(&mut self, now: SimTime) {
        if now > self.since {
            self.longest = self.longest.max(self.held + self.waiting);
            self.since = now;
        }
    }
}

impl Totals {
    /// Nothing has happened; `spec.replicas` is `replicas`, and what was said when the files were read is kept.
    pub(super) fn new(replicas: Replicas, warnings: Vec<String>) -> Self {
        Totals {
            arrived: 0,
            attempts: 0,
            fates: Fates::default(),
            levels: Levels {
                replicas: Level::new(i64::from(replicas.get())),
                ready: Level::new(0),
                gpus: Level::new(0),
                node_gpus: Level::new(0),
            },
            engines: EngineTotals::default(),
            backlog: Backlog::default(),
            warnings,
        }
    }

    /// Says something once.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The totals of the run, which ends at `ended`.
    pub(super) fn of_run(mut self, ended: SimTime) -> RunTotals {
        let levels = &mut self.levels;
        for level in [&mut levels.replicas, &mut levels.ready, &mut levels.gpus, &mut levels.node_gpus] {
            level.settle(ended);
        }
        self.backlog.settle(ended);
        let range = |level: &Level| {
            let (low, high) = level.range();
            (Replicas(low as i32), Replicas(high as i32))
        };
        RunTotals {
            ended,
            attempts: self.attempts,
            replica_ps: levels.replicas.integral_ps(),
            ready_ps: levels.ready.integral_ps(),
            gpu_ps: levels.gpus.integral_ps(),
            node_gpu_ps: levels.node_gpus.integral_ps(),
            at_max: SimDuration::from_ps(levels.replicas.at_highest_ps() as u64),
            replicas_range: range(&levels.replicas),
            ready_range: range(&levels.ready),
            steps: self.engines.steps,
            preemptions: self.engines.preemptions,
            prefix_queries: self.engines.prefix_queries,
            prefix_hits: self.engines.prefix_hits,
            longest_queue: self.backlog.longest,
            itl: self.engines.itl,
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_queue_is_one_that_somebody_stood_in() {
        let at = SimTime::from_ps;
        let mut totals = Totals::new(Replicas(1), Vec::new());
        let backlog = &mut totals.backlog;
        backlog.engine_queue(at(5), 0, 9);
        backlog.engine_queue(at(5), 9, 0); // admitted at once
        backlog.hold(at(6));
        backlog.engine_queue(at(7), 0, 2);
        backlog.let_go(at(9));
        backlog.hold(at(20));
        backlog.hold(at(20));
        assert_eq!((backlog.held(), backlog.waiting()), (2, 2));
        assert_eq!(totals.of_run(at(20)).longest_queue, 3);
    }
}
