//! Recounts of what the scheduler keeps incrementally: for tests, and for checkers that run beside a simulation.

use super::block_pool::BlockPool;
use super::kv_cache::{BlockTable, KvCache};
use super::scheduler::{Request, Scheduler, Slot, Status};

/// Fails with a sentence that says what does not add up.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err(format!($($sentence)+));
        }
    };
}

impl Scheduler {
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
            request.audit(self.config.block_size.get())?;
        }
        self.cache.audit(self.requests.iter().map(|request| &request.table))
    }
}

impl Request {
    fn audit(&self, block_size: u32) -> Result<(), String> {
        let id = self.id;
        ensure!(self.computed <= self.tokens + self.placeholders, "more of {id:?} is computed than is known");
        ensure!(self.stale <= self.in_flight, "more of {id:?} is stale than in flight");
        let held = self.table.held().len() as u32;
        if self.status == Status::Running {
            ensure!(held * block_size >= self.computed, "{id:?} has computed more than its blocks hold");
            ensure!((held - 1) * block_size < self.computed, "{id:?} holds a block that it does not need");
        } else {
            ensure!(held == 0 && self.computed == 0, "{id:?} waits and holds {held} blocks");
        }
        Ok(())
    }
}

impl KvCache {
    fn audit<'a>(&self, tables: impl Iterator<Item = &'a BlockTable>) -> Result<(), String> {
        let mut references = vec![0; self.usable_blocks().get() as usize + 1];
        for &block in tables.flat_map(BlockTable::held) {
            references[block as usize] += 1;
        }
        self.pool().audit(&references)
    }
}

impl BlockPool {
    /// Compares each block's state with the number of requests that hold it.
    fn audit(&self, references: &[u32]) -> Result<(), String> {
        ensure!(references[0] == 0, "the null block is held");
        let free: Vec<_> = self.free_list().collect();
        ensure!(free.len() == self.free() as usize, "{} blocks are free, not {}", free.len(), self.free());
        let mut is_free = vec![false; references.len()];
        for block in free {
            ensure!(!std::mem::replace(&mut is_free[block as usize], true), "block {block} is free twice");
        }
        for (block, &held) in (0..).zip(references).skip(1) {
            ensure!(self.references(block) == held, "block {block} is held by {held} requests");
            ensure!(
                is_free[block as usize] == (held == 0),
                "block {block} is both held and free, or neither"
            );
        }
        let mut found = vec![false; references.len()];
        for (hash, block) in self.found() {
            ensure!(self.hash(block) == hash, "block {block} is found under a hash that is not its own");
            ensure!(!std::mem::replace(&mut found[block as usize], true), "block {block} is found twice");
        }
        for (block, &found) in (0..).zip(&found) {
            ensure!(found == (self.hash(block) > 1), "block {block} has a hash and cannot be found by it");
        }
        Ok(())
    }
}
