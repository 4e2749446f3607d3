//! The KV cache as the scheduler uses it: what a request finds, whether it fits, and what it holds.
//!
//! After `vllm/v1/core/kv_cache_manager.py` and `single_type_kv_cache_manager.py` of vLLM 0.32, for one group of
//! full-attention layers. There are two of one behaviour:
//!
//! - [`BlockCache`] keeps every block, as vLLM does: the reference.
//! - [`RunLengthCache`] keeps what blocks hold, and counts those that nobody can find: requests that share nothing
//!   cost it the same however long they are.

mod allocation;
mod audit;
mod block_cache;
mod block_pool;
mod free_queue;
mod pieces;
mod run_length;

#[cfg(test)]
mod side_by_side;

pub use block_cache::BlockCache;
pub use run_length::RunLengthCache;

use super::config::EngineConfig;
use super::content::Content;
use crate::units::Blocks;
use std::fmt::Debug;

/// What a [`Scheduler`](super::Scheduler) needs of its KV cache. Two caches of one behaviour find the same, admit the
/// same and have the same blocks free after the same calls.
///
/// Counts of tokens and of a request's blocks are plain numbers here. A `table` always comes with the `content` of its
/// request.
pub trait KvCache: Clone + Debug {
    /// What one request holds.
    type Table: Clone + Debug + Default;

    /// An empty cache of `num_gpu_blocks` blocks, vLLM's null block among them.
    fn new(config: &EngineConfig, num_gpu_blocks: Blocks) -> Self;

    /// Blocks that no request holds; those that can still be found are among them.
    fn free_blocks(&self) -> Blocks;

    /// All blocks but the null block.
    fn usable_blocks(&self) -> Blocks;

    /// Whether contents are looked up and remembered at all.
    fn remembers(&self) -> bool;

    /// How many of the `tokens` tokens of a request that holds nothing are in the cache, from the first on: whole
    /// blocks only, and never the last token, which must be computed for its logits (`get_computed_blocks`).
    /// [`KvCache::admit`] then uses what was found.
    fn look_up(&mut self, table: &mut Self::Table, content: &Content, tokens: u32) -> u32;

    /// Gives a request that holds nothing what the lookup just found and blocks for `scheduled` more of its `tokens`
    /// tokens; false, with nothing changed, if they do not fit (`allocate_slots` with `full_sequence_must_fit`).
    /// While others run, the watermark stays free.
    fn admit(
        &mut self,
        table: &mut Self::Table,
        content: &Content,
        tokens: u32,
        scheduled: u32,
        others_run: bool,
    ) -> bool;

    /// Gives a running request room for `computed` of its `tokens` tokens; false, with nothing changed, if there are
    /// too few free blocks. Blocks that this step fills are cached from now on, before they are computed.
    fn extend(&mut self, table: &mut Self::Table, content: &Content, tokens: u32, computed: u32) -> bool;

    /// How many more blocks the request needs for room for `computed` tokens.
    fn missing(&self, table: &Self::Table, computed: u32) -> u32;

    /// Caches the blocks that the first `tokens` tokens fill (`cache_full_blocks`).
    fn cache_full(&mut self, table: &mut Self::Table, content: &Content, tokens: u32);

    /// Takes back all that a request holds when it leaves, its last block first, so that the tail of a chain is
    /// evicted first.
    fn free(&mut self, table: &mut Self::Table);

    /// The same for a request that will come again, and then looks for what only it can hold.
    fn free_to_resume(&mut self, table: &mut Self::Table, content: &Content);

    /// How many blocks the request holds.
    fn held(table: &Self::Table) -> u32;

    /// Forgets the request that `table` belonged to and keeps the room for another's. It must hold no block.
    fn reset(table: &mut Self::Table);

    /// Recounts the blocks, where `tables` are all that there are.
    ///
    /// # Errors
    /// What does not add up, as a sentence: a bug in the cache.
    fn audit<'a>(&self, tables: impl Iterator<Item = &'a Self::Table>) -> Result<(), String>
    where
        Self::Table: 'a;
}
