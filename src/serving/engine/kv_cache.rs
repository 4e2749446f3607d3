//! The KV cache as the scheduler uses it: what a request finds, whether it fits, and what it holds.
//!
//! After `vllm/v1/core/kv_cache_manager.py` and `single_type_kv_cache_manager.py` of vLLM 0.32, for one group of
//! full-attention layers.

use super::block_pool::{BlockId, BlockPool};
use super::config::EngineConfig;
use super::content::{BlockHashes, Content};
use crate::units::Blocks;

/// What one request holds of the cache.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockTable {
    blocks: Vec<BlockId>,
    /// How many of `blocks` are cached, from the first on.
    cached: u32,
    hashes: BlockHashes,
}

#[derive(Clone, Debug)]
pub(super) struct KvCache {
    pool: BlockPool,
    block_size: u32,
    max_model_len: u32,
    enable_prefix_caching: bool,
    scheduler_reserve_full_isl: bool,
    watermark_blocks: u32,
    /// What the latest lookup found.
    hit: Vec<BlockId>,
}

impl BlockTable {
    /// Forgets the request it belonged to and keeps the room for another's. It must hold no block.
    pub(super) fn reset(&mut self) {
        debug_assert!(self.blocks.is_empty());
        self.hashes.clear();
    }

    /// The blocks it holds, in order.
    pub(super) fn held(&self) -> &[BlockId] {
        &self.blocks
    }
}

impl KvCache {
    pub(super) fn new(config: &EngineConfig, num_gpu_blocks: Blocks) -> Self {
        KvCache {
            pool: BlockPool::new(num_gpu_blocks),
            block_size: config.block_size.get(),
            max_model_len: config.max_model_len.get(),
            enable_prefix_caching: config.enable_prefix_caching,
            scheduler_reserve_full_isl: config.scheduler_reserve_full_isl,
            // The null block counts, and the product is cut to an integer, as in `KVCacheManager.__init__`.
            watermark_blocks: (config.watermark * f64::from(num_gpu_blocks.get())) as u32,
            hit: Vec::new(),
        }
    }

    /// Blocks that no request holds.
    pub(super) fn free_blocks(&self) -> Blocks {
        Blocks(self.pool.free())
    }

    /// All blocks but the null block.
    pub(super) fn usable_blocks(&self) -> Blocks {
        Blocks(self.pool.usable())
    }

    /// The blocks themselves.
    pub(super) fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Whether contents are looked up and remembered at all.
    pub(super) fn remembers(&self) -> bool {
        self.enable_prefix_caching
    }

    /// How many of the `tokens` tokens of a request that holds nothing are in the cache, from the first on: whole
    /// blocks only, and never the last token, which must be computed for its logits (`get_computed_blocks`).
    /// [`KvCache::admit`] then uses what was found.
    pub(super) fn look_up(&mut self, table: &mut BlockTable, content: &Content, tokens: u32) -> u32 {
        self.hit.clear();
        if self.enable_prefix_caching {
            for k in 0..(tokens - 1) / self.block_size {
                let hash = table.hashes.get(content, self.block_size, k as usize);
                let Some(block) = self.pool.find(hash) else { break };
                self.hit.push(block);
            }
        }
        self.hit.len() as u32 * self.block_size
    }

    /// Gives a request that holds nothing what the lookup just found and blocks for `scheduled` more of its `tokens`
    /// tokens; false, with nothing changed, if they do not fit (`allocate_slots` with `full_sequence_must_fit`).
    /// While others run, the watermark stays free.
    pub(super) fn admit(
        &mut self,
        table: &mut BlockTable,
        content: &Content,
        tokens: u32,
        scheduled: u32,
        others_run: bool,
    ) -> bool {
        let found = self.hit.len() as u32;
        let computed = found * self.block_size + scheduled;
        let slots = computed.min(self.max_model_len).div_ceil(self.block_size);
        // A hit that nobody holds leaves the free list, so it needs a free block like any other.
        let evictable = self.hit.iter().filter(|&&block| self.pool.is_free(block)).count() as u32;
        let margin = evictable + if others_run { self.watermark_blocks } else { 0 };
        let whole = tokens.min(self.max_model_len).div_ceil(self.block_size);
        let must_fit = if self.scheduler_reserve_full_isl { slots.max(whole) } else { slots };
        if must_fit.saturating_sub(found) + margin > self.pool.free() {
            return false;
        }
        for &block in &self.hit {
            self.pool.touch(block);
        }
        table.blocks.extend_from_slice(&self.hit);
        table.cached = found;
        self.take(table, slots.saturating_sub(found));
        self.cache_full(table, content, computed.min(tokens));
        true
    }

    /// Gives a running request room for `computed` of its `tokens` tokens; false, with nothing changed, if there are
    /// too few free blocks. Blocks that this step fills are cached from now on, before they are computed.
    pub(super) fn extend(
        &mut self,
        table: &mut BlockTable,
        content: &Content,
        tokens: u32,
        computed: u32,
    ) -> bool {
        let held = table.blocks.len() as u32;
        let slots = computed.min(self.max_model_len);
        if slots > held * self.block_size {
            let new = slots.div_ceil(self.block_size) - held;
            if new > self.pool.free() {
                return false;
            }
            self.take(table, new);
        }
        self.cache_full(table, content, computed.min(tokens));
        true
    }

    /// Caches the blocks that the first `tokens` tokens fill (`cache_full_blocks`).
    pub(super) fn cache_full(&mut self, table: &mut BlockTable, content: &Content, tokens: u32) {
        if !self.enable_prefix_caching {
            return;
        }
        while (table.cached + 1) * self.block_size <= tokens {
            let k = table.cached as usize;
            table.cached += 1;
            if table.cached * self.block_size <= content.shared_tokens() {
                let hash = table.hashes.get(content, self.block_size, k);
                self.pool.cache(table.blocks[k], hash);
            } else {
                self.pool.cache_unlisted(table.blocks[k]);
            }
        }
    }

    /// Takes back all that a request holds when it leaves, its last block first, so that the tail of a chain is
    /// evicted first.
    pub(super) fn free(&mut self, table: &mut BlockTable) {
        self.pool.release(table.blocks.iter().rev().copied());
        table.blocks.clear();
        table.cached = 0;
    }

    /// The same for a request that will come again, and then looks for what only it can hold.
    pub(super) fn free_to_resume(&mut self, table: &mut BlockTable, content: &Content) {
        for k in 0..table.cached as usize {
            let block = table.blocks[k];
            if self.pool.is_unlisted(block) {
                self.pool.cache(block, table.hashes.get(content, self.block_size, k));
            }
        }
        self.free(table);
    }

    fn take(&mut self, table: &mut BlockTable, n: u32) {
        // The callers have compared `n` with the free blocks.
        table.blocks.extend((0..n).map_while(|_| self.pool.take()));
    }
}
