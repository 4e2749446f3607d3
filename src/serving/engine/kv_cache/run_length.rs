//! The KV cache by what its blocks hold.
//!
//! vLLM's free list is an order of blocks, but which block stands where can be seen by nobody: only what it holds can,
//! when it is found or evicted. So blocks that can be found are named, consecutive ones of one text together, and all
//! others are numbers of blocks. A request holds both:
//!
//! ```text
//!   named 0..32 │ named 0..1 │ named 0..7 │ anonymous, cached │ anonymous, not full
//!   └────── found, or findable ──────────┘└─ found by nobody else ─┘
//! ```
//!
//! Those named are the first of its blocks. For what others could begin with comes first in a request, and what is
//! found or listed begins at its first block.

use super::super::config::EngineConfig;
use super::super::content::{Content, Units};
use super::KvCache;
use super::allocation::{Allocation, Hit};
use super::free_queue::FreeQueue;
use super::pieces::{Held, Pieces};
use crate::units::Blocks;

/// Run lengths in place of blocks: it evicts the same contents in the same order as the reference, and a call costs it
/// the number of texts that are found, named or evicted, however long they are: nothing for a request that shares
/// nothing.
///
/// An engine that accounts for many steps at once takes the blocks of all its requests together
/// ([`RunLengthCache::take_anonymous`]) and says later who holds them ([`RunLengthCache::catch_up`]).
#[derive(Clone, Debug)]
pub struct RunLengthCache {
    pub(super) free: FreeQueue,
    pub(super) pieces: Pieces,
    usable: u32,
    allocation: Allocation,
    /// What the latest lookup found, and where.
    hit: Hit,
    pub(super) found: Vec<Held>,
}

/// What one request holds of a [`RunLengthCache`].
#[derive(Clone, Debug, Default)]
pub struct RunTable {
    /// Its first blocks: those that can be found.
    pub(super) held: Vec<Held>,
    /// How many these are.
    pub(super) named: u32,
    /// How many follow that cannot.
    pub(super) anonymous: u32,
    /// How many of all are cached, from the first on: all named ones are.
    pub(super) cached: u32,
    units: Units,
}

impl RunLengthCache {
    /// Takes the `n` blocks whose turn it is for requests that are still to be named by [`RunLengthCache::catch_up`];
    /// false, with nothing changed, if fewer are free. Until then an audit misses them.
    pub fn take_anonymous(&mut self, n: u32) -> bool {
        if n > self.free.blocks() {
            return false;
        }
        self.free.take(n, |piece, blocks| self.pieces.evict(piece, blocks));
        true
    }

    /// The request of `table` holds what `computed` tokens need, of the blocks that were taken, and those that its first
    /// `known` tokens fill are cached. No further block of it can be found by others.
    pub fn catch_up(&self, table: &mut RunTable, computed: u32, known: u32) {
        table.anonymous += self.missing(table, computed);
        if self.allocation.enable_prefix_caching {
            table.cached = table.cached.max(known / self.allocation.block_size);
        }
    }

    /// Takes `n` blocks, of which there must be as many, for the request of `table`.
    fn take(&mut self, table: &mut RunTable, n: u32) {
        let taken = self.take_anonymous(n);
        debug_assert!(taken, "whoever calls has looked");
        table.anonymous += n;
    }

    /// Names the blocks of `table` before block `end` that are not.
    fn name(&mut self, table: &mut RunTable, content: &Content, end: u32) {
        while table.named < end {
            let unit = table.units.of_block(content, self.allocation.block_size, table.named);
            let (from, to) = (table.named - unit.first, unit.end.min(end) - unit.first);
            let before = table.held.last_mut().filter(|_| from > 0);
            let held = self.pieces.name(unit.key, from, to, before);
            table.held.extend(held);
            table.named += to - from;
            table.anonymous -= to - from;
        }
    }

    /// The hashes of the free blocks in the order in which they are taken; `None` for those that cannot be found.
    #[cfg(test)]
    pub(super) fn free_contents(&self) -> Vec<Option<u64>> {
        use super::super::content::block_hash;
        use super::free_queue::Free;
        let mut contents = Vec::new();
        for (_, free) in self.free.iter() {
            match free {
                Free::Anonymous(n) => contents.extend((0..n).map(|_| None)),
                Free::Named(piece, n) => {
                    let piece = self.pieces[piece];
                    let key = self.pieces[piece.copy].key;
                    assert_eq!(piece.to - piece.from, n);
                    contents.extend((piece.from..piece.to).rev().map(|i| Some(block_hash(key, i))));
                }
            }
        }
        contents
    }
}

impl KvCache for RunLengthCache {
    type Table = RunTable;

    fn new(config: &EngineConfig, num_gpu_blocks: Blocks) -> Self {
        let usable = num_gpu_blocks.get().saturating_sub(1);
        RunLengthCache {
            free: FreeQueue::new(usable),
            pieces: Pieces::default(),
            usable,
            allocation: Allocation::new(config, num_gpu_blocks),
            hit: Hit { blocks: 0, evictable: 0 },
            found: Vec::new(),
        }
    }

    fn free_blocks(&self) -> Blocks {
        Blocks(self.free.blocks())
    }

    fn usable_blocks(&self) -> Blocks {
        Blocks(self.usable)
    }

    fn remembers(&self) -> bool {
        self.allocation.enable_prefix_caching
    }

    fn look_up(&mut self, table: &mut RunTable, content: &Content, tokens: u32) -> u32 {
        let block_size = self.allocation.block_size;
        let findable = self.allocation.findable(tokens);
        self.hit = Hit { blocks: 0, evictable: 0 };
        self.found.clear();
        // A cache in which nothing can be found costs no hash.
        while self.hit.blocks < findable && !self.pieces.is_empty() {
            let unit = table.units.of_block(content, block_size, self.hit.blocks);
            let (from, end) = (self.hit.blocks - unit.first, unit.end.min(findable) - unit.first);
            let Some((held, free)) = self.pieces.find(unit.key, from, end) else { break };
            self.hit.blocks += held.to - held.from;
            self.hit.evictable += free;
            match self.found.last_mut() {
                Some(last) if last.copy == held.copy && last.to == held.from => last.to = held.to,
                _ => self.found.push(held),
            }
        }
        self.hit.blocks * block_size
    }

    fn admit(
        &mut self,
        table: &mut RunTable,
        content: &Content,
        tokens: u32,
        scheduled: u32,
        others_run: bool,
    ) -> bool {
        let (hit, free) = (self.hit, self.free.blocks());
        let Some(new) = self.allocation.to_admit(hit, tokens, scheduled, others_run, free) else {
            return false;
        };
        for &held in &self.found {
            self.pieces.hold(held, &mut self.free);
        }
        table.held.extend_from_slice(&self.found);
        (table.named, table.cached) = (hit.blocks, hit.blocks);
        self.take(table, new);
        self.cache_full(table, content, (hit.blocks * self.allocation.block_size + scheduled).min(tokens));
        true
    }

    #[inline]
    fn extend(&mut self, table: &mut RunTable, content: &Content, tokens: u32, computed: u32) -> bool {
        let new = self.missing(table, computed);
        if new > self.free.blocks() {
            return false;
        }
        self.take(table, new);
        self.cache_full(table, content, computed.min(tokens));
        true
    }

    #[inline]
    fn missing(&self, table: &RunTable, computed: u32) -> u32 {
        self.allocation.to_extend(Self::held(table), computed)
    }

    #[inline]
    fn cache_full(&mut self, table: &mut RunTable, content: &Content, tokens: u32) {
        let block_size = self.allocation.block_size;
        // Most steps fill no block, and then nothing is divided.
        if !self.allocation.enable_prefix_caching || (table.cached + 1) * block_size > tokens {
            return;
        }
        table.cached = tokens / block_size;
        self.name(table, content, table.cached.min(content.shared_tokens() / block_size));
    }

    fn free(&mut self, table: &mut RunTable) {
        let cached = table.cached - table.named;
        self.free.push_front_anonymous(table.anonymous - cached);
        self.free.push_back_anonymous(cached);
        for held in table.held.drain(..).rev() {
            self.pieces.release(held, &mut self.free);
        }
        (table.named, table.anonymous, table.cached) = (0, 0, 0);
    }

    fn free_to_resume(&mut self, table: &mut RunTable, content: &Content) {
        self.name(table, content, table.cached);
        self.free(table);
    }

    fn held(table: &RunTable) -> u32 {
        table.named + table.anonymous
    }

    fn reset(table: &mut RunTable) {
        debug_assert_eq!(Self::held(table), 0);
        table.units.clear();
    }

    fn audit<'a>(&self, tables: impl Iterator<Item = &'a RunTable>) -> Result<(), String> {
        self.recount(tables)
    }
}
