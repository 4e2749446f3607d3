//! The batches that were scheduled and whose outputs were not processed.

use super::batch::Batch;
use crate::units::{SimDuration, SimTime};

/// As many as the loop ever schedules ahead.
const MOST: usize = 2;

/// A batch on the GPU or behind the one that is.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    pub(super) batch: Batch,
    pub(super) duration: SimDuration,
    pub(super) end: SimTime,
}

/// At most two batches, oldest first. They stay where they are, and their room is filled again.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchQueue {
    ring: [InFlight; MOST],
    first: usize,
    len: usize,
}

impl BatchQueue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The batch at `place` from the oldest on.
    pub(super) fn get(&self, place: usize) -> Option<&InFlight> {
        (place < self.len).then(|| &self.ring[(self.first + place) % MOST])
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut InFlight> {
        (place < self.len).then(|| &mut self.ring[(self.first + place) % MOST])
    }

    pub(super) fn oldest(&self) -> Option<&InFlight> {
        self.get(0)
    }

    pub(super) fn latest(&self) -> Option<&InFlight> {
        self.get(self.len.checked_sub(1)?)
    }

    /// From the oldest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &InFlight> {
        (0..self.len).map(|place| &self.ring[(self.first + place) % MOST])
    }

    /// The batch that [`BatchQueue::push`] adds. There must be room for one.
    pub(super) fn next(&mut self) -> &mut Batch {
        debug_assert!(self.len < MOST, "it was not scheduled too far ahead");
        &mut self.ring[(self.first + self.len) % MOST].batch
    }

    /// Adds the batch that [`BatchQueue::next`] has shown.
    pub(super) fn push(&mut self, duration: SimDuration, end: SimTime) {
        let next = &mut self.ring[(self.first + self.len) % MOST];
        (next.duration, next.end) = (duration, end);
        self.len += 1;
    }

    /// Takes the oldest out; what it holds stays until its room is filled again.
    pub(super) fn pop(&mut self) -> Option<&InFlight> {
        let oldest = self.first;
        self.len = self.len.checked_sub(1)?;
        self.first = (oldest + 1) % MOST;
        Some(&self.ring[oldest])
    }

    /// The oldest batch becomes the latest, with another end.
    pub(super) fn rotate(&mut self, duration: SimDuration, end: SimTime) {
        if self.len == MOST {
            self.first = (self.first + 1) % MOST;
        }
        if let Some(latest) = self.len.checked_sub(1).and_then(|place| self.get_mut(place)) {
            (latest.duration, latest.end) = (duration, end);
        }
    }
}
