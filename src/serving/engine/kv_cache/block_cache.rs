//! The KV cache block by block, as vLLM keeps it.

use super::super::config::EngineConfig;
use super::super::content::{BlockHashes, Content};
use super::KvCache;
use super::allocation::{Allocation, Hit};
use super::block_pool::{BlockId, BlockPool};
use crate::units::Blocks;

/// The reference: every block is there, with a name and a place in vLLM's free list. It takes memory for each.
#[derive(Clone, Debug)]
pub struct BlockCache {
    pool: BlockPool,
    allocation: Allocation,
    /// What the latest lookup found.
    hit: Vec<BlockId>,
}

/// What one request holds of a [`BlockCache`].
#[derive(Clone, Debug, Default)]
pub struct BlockTable {
    blocks: Vec<BlockId>,
    /// How many of `blocks` are cached, from the first on.
    cached: u32,
    hashes: BlockHashes,
}

impl BlockCache {
    fn take(&mut self, table: &mut BlockTable, n: u32) {
        // The callers have compared `n` with the free blocks.
        table.blocks.extend((0..n).map_while(|_| self.pool.take()));
    }

    /// The hashes of the free blocks in the order in which they are taken; `None` for those that cannot be found.
    #[cfg(test)]
    pub(super) fn free_contents(&self) -> Vec<Option<u64>> {
        let hash = |block| Some(self.pool.hash(block)).filter(|&hash| hash > 1);
        self.pool.free_list().map(hash).collect()
    }
}

impl KvCache for BlockCache {
    type Table = BlockTable;

    fn new(config: &EngineConfig, num_gpu_blocks: Blocks) -> Self {
        BlockCache {
            pool: BlockPool::new(num_gpu_blocks),
            allocation: Allocation::new(config, num_gpu_blocks),
            hit: Vec::new(),
        }
    }

    fn free_blocks(&self) -> Blocks {
        Blocks(self.pool.free())
    }

    fn usable_blocks(&self) -> Blocks {
        Blocks(self.pool.usable())
    }

    fn remembers(&self) -> bool {
        self.allocation.enable_prefix_caching
    }

    fn look_up(&mut self, table: &mut BlockTable, content: &Content, tokens: u32) -> u32 {
        let block_size = self.allocation.block_size;
        self.hit.clear();
        for k in 0..self.allocation.findable(tokens) {
            let hash = table.hashes.get(content, block_size, k as usize);
            let Some(block) = self.pool.find(hash) else { break };
            self.hit.push(block);
        }
        self.hit.len() as u32 * block_size
    }

    fn admit(
        &mut self,
        table: &mut BlockTable,
        content: &Content,
        tokens: u32,
        scheduled: u32,
        others_run: bool,
    ) -> bool {
        let evictable = self.hit.iter().filter(|&&block| self.pool.is_free(block)).count() as u32;
        let hit = Hit { blocks: self.hit.len() as u32, evictable };
        let free = self.pool.free();
        let Some(new) = self.allocation.to_admit(hit, tokens, scheduled, others_run, free) else {
            return false;
        };
        for &block in &self.hit {
            self.pool.touch(block);
        }
        table.blocks.extend_from_slice(&self.hit);
        table.cached = hit.blocks;
        self.take(table, new);
        self.cache_full(table, content, (hit.blocks * self.allocation.block_size + scheduled).min(tokens));
        true
    }

    #[inline]
    fn extend(&mut self, table: &mut BlockTable, content: &Content, tokens: u32, computed: u32) -> bool {
        let new = self.missing(table, computed);
        if new > self.pool.free() {
            return false;
        }
        self.take(table, new);
        self.cache_full(table, content, computed.min(tokens));
        true
    }

    #[inline]
    fn missing(&self, table: &BlockTable, computed: u32) -> u32 {
        self.allocation.to_extend(Self::held(table), computed)
    }

    #[inline]
    fn cache_full(&mut self, table: &mut BlockTable, content: &Content, tokens: u32) {
        let block_size = self.allocation.block_size;
        if !self.allocation.enable_prefix_caching {
            return;
        }
        while (table.cached + 1) * block_size <= tokens {
            let k = table.cached as usize;
            table.cached += 1;
            if table.cached * block_size <= content.shared_tokens() {
                let hash = table.hashes.get(content, block_size, k);
                self.pool.cache(table.blocks[k], hash);
            } else {
                self.pool.cache_unlisted(table.blocks[k]);
            }
        }
    }

    fn free(&mut self, table: &mut BlockTable) {
        self.pool.release(table.blocks.iter().rev().copied());
        table.blocks.clear();
        table.cached = 0;
    }

    fn free_to_resume(&mut self, table: &mut BlockTable, content: &Content) {
        for k in 0..table.cached as usize {
            let block = table.blocks[k];
            if self.pool.is_unlisted(block) {
                self.pool.cache(block, table.hashes.get(content, self.allocation.block_size, k));
            }
        }
        self.free(table);
    }

    fn held(table: &BlockTable) -> u32 {
        table.blocks.len() as u32
    }

    fn reset(table: &mut BlockTable) {
        debug_assert!(table.blocks.is_empty());
        table.hashes.clear();
    }

    fn audit<'a>(&self, tables: impl Iterator<Item = &'a BlockTable>) -> Result<(), String> {
        let mut references = vec![0; self.pool.usable() as usize + 1];
        for &block in tables.flat_map(|table| &table.blocks) {
            references[block as usize] += 1;
        }
        self.pool.audit(&references)
    }
}
