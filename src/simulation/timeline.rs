//! The course of the run: the state of the world at regular ticks.

use super::event::Event;
use super::record::TickRecord;
use super::world::World;
use crate::serving::pod::Phase;
use crate::units::{Replicas, SimDuration, SimTime};

/// Where the timeline is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    interval: SimDuration,
    /// The last tick; `None` before the first.
    last: Option<SimTime>,
    /// Requests that had come due at the last tick.
    arrived: u64,
    /// Requests that finished since the last tick.
    pub(super) finished: u64,
}

impl Timeline {
    pub(super) fn new(interval: SimDuration) -> Self {
        Timeline { interval, last: None, arrived: 0, finished: 0 }
    }
}

impl World<'_> {
    /// Schedules the first tick.
    pub(super) fn start_timeline(&mut self) {
        self.queue.push(self.now + self.timeline.interval, Event::Tick);
    }

    /// Samples the timeline.
    pub(super) fn tick(&mut self) {
        self.record_tick();
        self.queue.push(self.now + self.timeline.interval, Event::Tick);
    }

    /// The run ends: what came after the last tick is told too.
    pub(super) fn last_tick(&mut self) {
        if self.timeline.last != Some(self.now) {
            self.record_tick();
        }
    }

    fn record_tick(&mut self) {
        let record = self.tick_record();
        self.timeline =
            Timeline { last: Some(self.now), arrived: self.totals.arrived, finished: 0, ..self.timeline };
        self.recorder.tick(&record);
    }

    fn tick_record(&mut self) -> TickRecord {
        self.fleet.catch_up(self.now);
        let mut record = TickRecord {
            at: self.now,
            arrived: self.totals.arrived - self.timeline.arrived,
            finished: self.timeline.finished,
            held: self.totals.backlog.held(),
            waiting: self.totals.backlog.waiting(),
            replicas: self.fleet.deployment.spec_replicas(),
            ready: self.fleet.deployment.ready_replicas(),
            gpus: self.fleet.nodes.gpus_used(),
            ..TickRecord::default()
        };
        let mut usage_sum = 0.0;
        for slot in self.fleet.live() {
            match slot.pod.phase() {
                Phase::Pending | Phase::Starting | Phase::Serving => record.starting += Replicas(1),
                Phase::Stopping | Phase::Draining => record.terminating += Replicas(1),
                Phase::Ready | Phase::Exited => {}
            }
            if let Some(engine) = &slot.engine {
                record.running += engine.num_running();
                if slot.pod.phase() == Phase::Ready {
                    let usage = engine.stats(self.now).kv_cache_usage_perc();
                    usage_sum += usage;
                    record.kv_usage_max = record.kv_usage_max.max(usage);
                }
            }
        }
        if record.ready > Replicas::ZERO {
            record.kv_usage_mean = usage_sum / f64::from(record.ready.get());
        }
        record
    }
}
