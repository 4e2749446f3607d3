//! Recounts of the blocks, of either cache.

use super::super::audit::ensure;
use super::KvCache;
use super::block_pool::BlockPool;
use super::free_queue::{Free, FreeQueue};
use super::names::Names;
use super::run_length::{RunLengthCache, RunTable};

impl BlockPool {
    /// Compares each block's state with the number of requests that hold it.
    pub(super) fn audit(&self, references: &[u32]) -> Result<(), String> {
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

impl RunLengthCache {
    /// Compares names, references and the free queue with what the requests hold.
    pub(super) fn recount<'a>(&self, tables: impl Iterator<Item = &'a RunTable>) -> Result<(), String> {
        let mut references = vec![0; self.names.end()];
        let mut held = 0;
        for table in tables {
            held += table.anonymous;
            for name in &table.named {
                references[name.index()] += 1;
                held += u32::from(references[name.index()] == 1);
            }
            let cached = table.named.len() as u32..=Self::held(table);
            ensure!(cached.contains(&table.cached), "{} blocks of {cached:?} are cached", table.cached);
        }
        let (free, usable) = (self.free.blocks(), self.usable_blocks());
        ensure!(held + free == usable.get(), "{held} blocks are held and {free} free, of {usable}");
        self.free.audit(&self.names)?;
        self.names.audit(&references)
    }
}

impl FreeQueue {
    /// Recounts the blocks, and compares the named ones with where their names say that they are.
    fn audit(&self, names: &Names) -> Result<(), String> {
        let (mut pieces, mut blocks, mut after_run) = (0, 0, false);
        for (place, free) in self.iter() {
            pieces += 1;
            match free {
                Free::Anonymous(run) => {
                    ensure!(run > 0 && !after_run, "the run at {place} is empty, or follows another");
                    blocks += run;
                }
                Free::Named(name) => {
                    let free_at = names.free_at(name);
                    ensure!(free_at == Some(place), "{name:?} is free at {place}, not at {free_at:?}");
                    blocks += 1;
                }
            }
            after_run = matches!(free, Free::Anonymous(_));
        }
        ensure!(pieces == self.pieces(), "{pieces} pieces are in the queue, not {}", self.pieces());
        ensure!(blocks == self.blocks(), "{blocks} blocks are free, not {}", self.blocks());
        Ok(())
    }
}

impl Names {
    /// Compares each name's state with the number of requests that hold it.
    fn audit(&self, references: &[u32]) -> Result<(), String> {
        let mut found = vec![false; references.len()];
        for (hash, name) in self.found() {
            ensure!(self.hash(name) == hash, "{name:?} is found under a hash that is not its own");
            ensure!(!std::mem::replace(&mut found[name.index()], true), "{name:?} is found twice");
            let (counted, held) = (self.references(name), references[name.index()]);
            ensure!(counted == held, "{name:?} is held by {held} requests, not {counted}");
        }
        let all = found.iter().filter(|&&found| found).count();
        ensure!(all == self.len(), "{all} blocks can be found, of {}", self.len());
        for (held, found) in references.iter().zip(found) {
            ensure!(found || *held == 0, "a block with a name is held and cannot be found");
        }
        Ok(())
    }
}
