//! Recounts of the blocks, of either cache.

use super::super::audit::ensure;
use super::KvCache;
use super::block_pool::BlockPool;
use super::free_queue::{Free, FreeQueue};
use super::pieces::{Piece, Pieces};
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
    /// Compares pieces, their holders and the free queue with what the requests hold.
    pub(super) fn recount<'a>(&self, tables: impl Iterator<Item = &'a RunTable>) -> Result<(), String> {
        let mut holders = vec![0; self.pieces.end()];
        let mut held = 0;
        for table in tables {
            held += table.anonymous;
            let mut named = 0;
            for range in &table.held {
                let mut counted = 0;
                for id in self.pieces.of(range.copy) {
                    let Piece { from, to, .. } = self.pieces[id];
                    if range.from <= from && to <= range.to {
                        holders[id.index()] += 1;
                        held += if holders[id.index()] == 1 { to - from } else { 0 };
                        counted += to - from;
                    }
                }
                ensure!(
                    range.from < range.to && counted == range.to - range.from,
                    "a request holds {range:?}, of which {counted} blocks are whole pieces"
                );
                named += counted;
            }
            ensure!(named == table.named, "{named} blocks of a request are named, not {}", table.named);
            let cached = table.named..=Self::held(table);
            ensure!(cached.contains(&table.cached), "{} blocks of {cached:?} are cached", table.cached);
        }
        let (free, usable) = (self.free.blocks(), self.usable_blocks());
        ensure!(held + free == usable.get(), "{held} blocks are held and {free} free, of {usable}");
        self.free.audit(&self.pieces)?;
        self.pieces.audit(&holders)
    }
}

impl FreeQueue {
    /// Recounts the blocks, and compares the pieces with where they say that they are.
    fn audit(&self, pieces: &Pieces) -> Result<(), String> {
        let (mut rows, mut named, mut blocks, mut after_run) = (0, 0, 0, false);
        for (place, free) in self.iter() {
            rows += 1;
            match free {
                Free::Anonymous(run) => {
                    ensure!(run > 0 && !after_run, "the run at {place} is empty, or follows another");
                    blocks += run;
                }
                Free::Named(id, free) => {
                    let piece = pieces[id];
                    ensure!(
                        piece.holders == 0 && piece.place == place && piece.to - piece.from == free,
                        "{free} blocks of {id:?} are free at {place}, which is {piece:?}"
                    );
                    named += 1;
                    blocks += free;
                }
            }
            after_run = matches!(free, Free::Anonymous(_));
        }
        ensure!(rows == self.rows(), "{rows} rows are in the queue, not {}", self.rows());
        ensure!(blocks == self.blocks(), "{blocks} blocks are free, not {}", self.blocks());
        let free = pieces.copies().flat_map(|(_, copy)| pieces.of(copy));
        let free = free.filter(|&id| pieces[id].holders == 0).count();
        ensure!(free == named, "{free} pieces have no holder, and {named} are in the queue");
        Ok(())
    }
}

impl Pieces {
    /// Compares each piece with the number of requests that hold it, and recounts copies and pieces.
    fn audit(&self, holders: &[u32]) -> Result<(), String> {
        let (mut pieces, mut copies) = (0, 0);
        let mut before: Option<(u64, u64)> = None;
        for (key, id) in self.copies() {
            let copy = self[id];
            ensure!(copy.key == key, "{id:?} is found under a key that is not its own");
            let in_order = before.is_none_or(|(of, named)| of != key || named < copy.named);
            ensure!(in_order, "{id:?} is younger than the copy after it");
            before = Some((key, copy.named));
            let (mut last, mut end) = (None, 0);
            for piece in self.of(id) {
                let Piece { from, to, holders: counted, named, previous, .. } = self[piece];
                ensure!(
                    self[piece].copy == id && last.is_none_or(|last| previous == last),
                    "{piece:?} is in {id:?} and does not know"
                );
                ensure!(end <= from && from < to, "{piece:?} is {from}..{to}, after one that ends at {end}");
                ensure!(named >= copy.named, "{piece:?} is older than its copy");
                let held = holders[piece.index()];
                ensure!(counted == held, "{piece:?} is held by {held} requests, not {counted}");
                (last, end) = (Some(piece), to);
                pieces += 1;
            }
            ensure!(last == Some(copy.last), "{id:?} ends with {last:?}, not {:?}", copy.last);
            copies += 1;
        }
        let in_use = self.in_use();
        ensure!((pieces, copies) == in_use, "{pieces} pieces and {copies} copies are there, not {in_use:?}");
        Ok(())
    }
}
