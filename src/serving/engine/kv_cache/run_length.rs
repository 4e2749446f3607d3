//! The KV cache by what its blocks hold.
//!
//! vLLM's free list is an order of blocks, but which block stands where can be seen by nobody: only what it holds can,
//! when it is found or evicted. So a block that can be found is a name, and all others are numbers of blocks. A
//! request holds both:
//!
//! ```text
//!   named │ named │ named │ anonymous, cached │ anonymous, not full
//!   └─ found, or findable ─┘└─ found by nobody else ─┘
//! ```
//!
//! Those named are the first of its blocks. For what others could begin with comes first in a request, and what is
//! found or listed begins at its first block.

use super::super::config::EngineConfig;
use super::super::content::{BlockHashes, Content};
use super::KvCache;
use super::allocation::{Allocation, Hit};
use super::free_queue::FreeQueue;
use super::names::{Name, Names};
use crate::units::Blocks;

/// Run lengths in place of blocks: it evicts the same contents in the same order as the reference, and a request that
/// shares nothing costs it O(1) a call and no memory.
///
/// An engine that accounts for many steps at once takes the blocks of all its requests together
/// ([`RunLengthCache::take_anonymous`]) and says later who holds them ([`RunLengthCache::catch_up`]).
#[derive(Clone, Debug)]
pub struct RunLengthCache {
    pub(super) free: FreeQueue,
    pub(super) names: Names,
    usable: u32,
    allocation: Allocation,
    /// What the latest lookup found.
    hit: Vec<Name>,
}

/// What one request holds of a [`RunLengthCache`].
#[derive(Clone, Debug, Default)]
pub struct RunTable {
    /// Its first blocks: those that can be found.
    pub(super) named: Vec<Name>,
    /// How many follow that cannot.
    pub(super) anonymous: u32,
    /// How many of all are cached, from the first on: all named ones are.
    pub(super) cached: u32,
    hashes: BlockHashes,
}

impl RunLengthCache {
    /// Takes the `n` blocks whose turn it is for requests that are still to be named by [`RunLengthCache::catch_up`];
    /// false, with nothing changed, if fewer are free. Until then an audit misses them.
    pub fn take_anonymous(&mut self, n: u32) -> bool {
        if n > self.free.blocks() {
            return false;
        }
        self.free.take(n, |name| self.names.forget(name));
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
        self.free.take(n, |name| self.names.forget(name));
        table.anonymous += n;
    }

    /// Names the blocks of `table` before block `end` that are not.
    fn name(&mut self, table: &mut RunTable, content: &Content, end: u32) {
        for k in table.named.len()..end as usize {
            let hash = table.hashes.get(content, self.allocation.block_size, k);
            table.named.push(self.names.add(hash));
            table.anonymous -= 1;
        }
    }

    /// The hashes of the free blocks in the order in which they are taken; `None` for those that cannot be found.
    #[cfg(test)]
    pub(super) fn free_contents(&self) -> Vec<Option<u64>> {
        use super::free_queue::Free;
        let contents = |(_, free)| match free {
            Free::Anonymous(n) => vec![None; n as usize],
            Free::Named(name) => vec![Some(self.names.hash(name))],
        };
        self.free.iter().flat_map(contents).collect()
    }
}

impl KvCache for RunLengthCache {
    type Table = RunTable;

    fn new(config: &EngineConfig, num_gpu_blocks: Blocks) -> Self {
        let usable = num_gpu_blocks.get().saturating_sub(1);
        RunLengthCache {
            free: FreeQueue::new(usable),
            names: Names::default(),
            usable,
            allocation: Allocation::new(config, num_gpu_blocks),
            hit: Vec::new(),
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
        self.hit.clear();
        for k in 0..self.allocation.findable(tokens) {
            let hash = table.hashes.get(content, block_size, k as usize);
            let Some(name) = self.names.find(hash) else { break };
            self.hit.push(name);
        }
        self.hit.len() as u32 * block_size
    }

    fn admit(
        &mut self,
        table: &mut RunTable,
        content: &Content,
        tokens: u32,
        scheduled: u32,
        others_run: bool,
    ) -> bool {
        let evictable = self.hit.iter().filter(|&&name| self.names.free_at(name).is_some()).count() as u32;
        let hit = Hit { blocks: self.hit.len() as u32, evictable };
        let free = self.free.blocks();
        let Some(new) = self.allocation.to_admit(hit, tokens, scheduled, others_run, free) else {
            return false;
        };
        for &name in &self.hit {
            if let Some(place) = self.names.touch(name) {
                self.free.unlink(place);
            }
        }
        table.named.extend_from_slice(&self.hit);
        table.cached = hit.blocks;
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
        let named = table.named.len() as u32;
        let cached = table.cached - named;
        self.free.push_front_anonymous(table.anonymous - cached);
        self.free.push_back_anonymous(cached);
        for name in table.named.drain(..).rev() {
            self.names.release(name, |name| self.free.push_back_named(name));
        }
        (table.anonymous, table.cached) = (0, 0);
    }

    fn free_to_resume(&mut self, table: &mut RunTable, content: &Content) {
        self.name(table, content, table.cached);
        self.free(table);
    }

    fn held(table: &RunTable) -> u32 {
        table.named.len() as u32 + table.anonymous
    }

    fn reset(table: &mut RunTable) {
        debug_assert_eq!(Self::held(table), 0);
        table.hashes.clear();
    }

    fn audit<'a>(&self, tables: impl Iterator<Item = &'a RunTable>) -> Result<(), String> {
        self.recount(tables)
    }
}
