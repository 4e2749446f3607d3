//! The KV-cache blocks: which are free and in what order they are taken, and which hold what.
//!
//! After `vllm/v1/core/block_pool.py` of vLLM 0.32 (`BlockPool`, `FreeKVCacheBlockQueue`, `BlockHashToBlockMap`).

use crate::units::Blocks;
use rustc_hash::FxHashMap;

/// Names a block.
pub(super) type BlockId = u32;

/// vLLM's null block, which is never given out: here it is the head of the circular free list.
const NULL: BlockId = 0;

/// What a block without a hash, and the end of a list of equal blocks, bear.
const NONE: u32 = 0;

/// The hash of a block that is cached and that nobody can look up yet, see [`BlockPool::cache_unlisted`]. No block of
/// contents hashes to it, nor to 0.
const UNLISTED: u64 = 1;

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Hash of its contents and all before them; 0 if it is not cached.
    hash: u64,
    /// How many requests hold it; a block in the free list has none.
    references: u32,
    /// Neighbours in the free list.
    previous: BlockId,
    next: BlockId,
    /// The next block of the same hash, in order of registration.
    same: BlockId,
}

/// The blocks of one hash, oldest first: they are not de-duplicated, and the oldest is the one that is found.
#[derive(Clone, Copy, Debug)]
struct Same {
    first: BlockId,
    last: BlockId,
}

#[derive(Clone, Debug)]
pub(super) struct BlockPool {
    blocks: Vec<Block>,
    free: u32,
    by_hash: FxHashMap<u64, Same>,
}

impl BlockPool {
    /// `num_gpu_blocks` blocks, all free but the null block; they are taken in order of their ids at first.
    pub(super) fn new(num_gpu_blocks: Blocks) -> Self {
        let n = num_gpu_blocks.get().max(1);
        let link = |id: u32| Block { previous: (id + n - 1) % n, next: (id + 1) % n, ..Block::default() };
        BlockPool { blocks: (0..n).map(link).collect(), free: n - 1, by_hash: FxHashMap::default() }
    }

    /// How many blocks no request holds; those that can still be found are among them.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// How many blocks there are without the null block.
    pub(super) fn usable(&self) -> u32 {
        self.blocks.len() as u32 - 1
    }

    /// The block with these contents.
    pub(super) fn find(&self, hash: u64) -> Option<BlockId> {
        self.by_hash.get(&hash).map(|same| same.first)
    }

    /// Whether no request holds `id`, so that a hit on it takes it from the free list.
    pub(super) fn is_free(&self, id: BlockId) -> bool {
        self.references(id) == 0
    }

    /// Takes the block whose turn it is; what it held can no longer be found. `None` if no block is free.
    pub(super) fn take(&mut self) -> Option<BlockId> {
        let id = self.blocks[NULL as usize].next;
        if id == NULL {
            return None;
        }
        self.unlink(id);
        self.forget(id);
        self.blocks[id as usize].references = 1;
        Some(id)
    }

    /// One more request holds `id`.
    pub(super) fn touch(&mut self, id: BlockId) {
        if self.is_free(id) {
            self.unlink(id);
        }
        self.blocks[id as usize].references += 1;
    }

    /// Caches the held block `id`, which is not yet: it is found under `hash`, after others of that hash.
    pub(super) fn cache(&mut self, id: BlockId, hash: u64) {
        let block = &mut self.blocks[id as usize];
        debug_assert!(block.hash <= UNLISTED && hash > UNLISTED);
        (block.hash, block.same) = (hash, NONE);
        let same = self.by_hash.entry(hash).or_insert(Same { first: id, last: id });
        if same.last != id {
            self.blocks[same.last as usize].same = id;
            same.last = id;
        }
    }

    /// Caches the held block `id` without making it be found: it is evicted like any cached block, and costs no
    /// place in the map for as long as only its holder could look it up.
    pub(super) fn cache_unlisted(&mut self, id: BlockId) {
        debug_assert_eq!(self.blocks[id as usize].hash, 0);
        self.blocks[id as usize].hash = UNLISTED;
    }

    /// Whether `id` is cached and cannot be found.
    pub(super) fn is_unlisted(&self, id: BlockId) -> bool {
        self.hash(id) == UNLISTED
    }

    /// A request lets go of its blocks, last block first. Those that nobody holds any more become free: uncached ones
    /// at the front, in the order they come, to be taken next; cached ones at the back.
    pub(super) fn release(&mut self, last_first: impl Iterator<Item = BlockId>) {
        let mut front = NULL;
        for id in last_first {
            let block = &mut self.blocks[id as usize];
            block.references -= 1;
            if block.references > 0 {
                continue;
            }
            if block.hash == 0 {
                self.link_after(front, id);
                front = id;
            } else {
                self.link_after(self.blocks[NULL as usize].previous, id);
            }
        }
    }

    /// The free blocks in the order in which they are taken.
    pub(super) fn free_list(&self) -> impl Iterator<Item = BlockId> {
        let next = |id: BlockId| Some(self.blocks[id as usize].next).filter(|&next| next != NULL);
        // No longer than the pool, so that a broken list ends too.
        std::iter::successors(next(NULL), move |&id| next(id)).take(self.blocks.len())
    }

    /// How many requests hold `id`.
    pub(super) fn references(&self, id: BlockId) -> u32 {
        self.blocks[id as usize].references
    }

    /// The hash under which `id` is found; 0 or 1 if it is not.
    pub(super) fn hash(&self, id: BlockId) -> u64 {
        self.blocks[id as usize].hash
    }

    /// All blocks that can be found, with the hash, those of one hash in order; hashes are in no order.
    pub(super) fn found(&self) -> impl Iterator<Item = (u64, BlockId)> {
        self.by_hash.iter().flat_map(|(&hash, same)| {
            let next = |&id: &BlockId| Some(self.blocks[id as usize].same).filter(|&same| same != NONE);
            std::iter::successors(Some(same.first), next).take(self.blocks.len()).map(move |id| (hash, id))
        })
    }

    fn unlink(&mut self, id: BlockId) {
        let Block { previous, next, .. } = self.blocks[id as usize];
        self.blocks[previous as usize].next = next;
        self.blocks[next as usize].previous = previous;
        self.free -= 1;
    }

    fn link_after(&mut self, previous: BlockId, id: BlockId) {
        let next = self.blocks[previous as usize].next;
        let block = &mut self.blocks[id as usize];
        (block.previous, block.next) = (previous, next);
        self.blocks[previous as usize].next = id;
        self.blocks[next as usize].previous = id;
        self.free += 1;
    }

    /// Takes `id` out of the map of contents.
    fn forget(&mut self, id: BlockId) {
        let Block { hash, same: successor, .. } = self.blocks[id as usize];
        self.blocks[id as usize].hash = 0;
        if hash <= UNLISTED {
            return;
        }
        let Some(same) = self.by_hash.get_mut(&hash) else { return };
        if same.first == id {
            if successor == NONE {
                self.by_hash.remove(&hash);
            } else {
                same.first = successor;
            }
            return;
        }
        let mut before = same.first;
        while self.blocks[before as usize].same != id {
            before = self.blocks[before as usize].same;
        }
        self.blocks[before as usize].same = successor;
        if same.last == id {
            same.last = before;
        }
    }
}
