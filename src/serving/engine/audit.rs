//! Recounts of what the scheduler keeps incrementally: for tests, and for checkers that run beside a simulation.

use super::kv_cache::KvCache;
use super::scheduler::{Request, Scheduler, Slot, Status};

/// Fails with a sentence that says what does not add up.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err(format!($($sentence)+));
        }
    };
}
pub(super) use ensure;

impl<C: KvCache> Scheduler<C> {
    /// Recounts queues, tokens and blocks, in time proportional to all of them.
    ///
    /// # Errors
    /// What does not add up, as a sentence: a bug in the scheduler, never in its input.
    pub fn audit(&self) -> Result<(), String> {
        let mut waiting: Vec<Slot> = Vec::new();
        self.waiting.for_each(|entry| waiting.push(entry.slot));
        for (slots, right) in [(&self.running, true), (&waiting, false)] {
            for slot in slots {
                let request = &self.requests[slot.index()];
                ensure!(
                    (request.status == Status::Running) == right && request.status != Status::Finished,
                    "request {:?} is in the wrong queue",
                    request.id
                );
            }
        }
        let seats = self.running.iter().map(|slot| self.requests[slot.index()].seat);
        ensure!(
            seats.eq(self.seats.iter().copied()) && self.seats.is_sorted(),
            "the running requests do not sit in their order"
        );
        let here = self.requests.iter().filter(|request| request.status != Status::Finished);
        ensure!(
            here.clone().count() == self.num_requests()
                && self.num_requests() == self.running.len() + waiting.len(),
            "{} requests are here, {} run and {} wait",
            self.num_requests(),
            self.running.len(),
            waiting.len()
        );
        let deferred = here.clone().filter(|request| request.deferred).count();
        ensure!(
            deferred == self.deferred as usize,
            "{deferred} requests are deferred, not {}",
            self.deferred
        );
        for request in here {
            request.audit(self.config.block_size.get(), C::held(&request.table))?;
        }
        self.cache.audit(self.requests.iter().map(|request| &request.table))
    }
}

impl<T> Request<T> {
    fn audit(&self, block_size: u32, held: u32) -> Result<(), String> {
        let id = self.id;
        ensure!(self.computed <= self.tokens + self.placeholders, "more of {id:?} is computed than is known");
        ensure!(self.stale <= self.in_flight, "more of {id:?} is stale than in flight");
        if self.status == Status::Running {
            ensure!(held * block_size >= self.computed, "{id:?} has computed more than its blocks hold");
            ensure!((held - 1) * block_size < self.computed, "{id:?} holds a block that it does not need");
        } else {
            ensure!(held == 0 && self.computed == 0, "{id:?} waits and holds {held} blocks");
        }
        Ok(())
    }
}
