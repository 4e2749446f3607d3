//! How many blocks a request needs: the arithmetic of `KVCacheManager.allocate_slots` of vLLM 0.32
//! (`vllm/v1/core/kv_cache_manager.py`), whatever the blocks are.

use super::super::config::EngineConfig;
use crate::units::Blocks;

/// What of the configuration the cache depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocation {
    pub(super) block_size: u32,
    pub(super) enable_prefix_caching: bool,
    max_model_len: u32,
    scheduler_reserve_full_isl: bool,
    watermark_blocks: u32,
}

/// What a lookup found, in blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) blocks: u32,
    /// Those of them that nobody holds: they leave the free list, so each needs a free block like any other.
    pub(super) evictable: u32,
}

impl Allocation {
    pub(super) fn new(config: &EngineConfig, num_gpu_blocks: Blocks) -> Self {
        Allocation {
            block_size: config.block_size.get(),
            enable_prefix_caching: config.enable_prefix_caching,
            max_model_len: config.max_model_len.get(),
            scheduler_reserve_full_isl: config.scheduler_reserve_full_isl,
            // The null block counts, and the product is cut to an integer, as in `KVCacheManager.__init__`.
            watermark_blocks: (config.watermark * f64::from(num_gpu_blocks.get())) as u32,
        }
    }

    /// How many blocks of a request of `tokens` tokens are looked up: the last token must be computed.
    pub(super) fn findable(&self, tokens: u32) -> u32 {
        if self.enable_prefix_caching { (tokens - 1) / self.block_size } else { 0 }
    }

    /// How many blocks beyond `hit` a request of `tokens` tokens is given on its admission, with `scheduled` tokens in
    /// its first step; `None` if `free` free blocks do not do.
    pub(super) fn to_admit(
        self,
        hit: Hit,
        tokens: u32,
        scheduled: u32,
        others_run: bool,
        free: u32,
    ) -> Option<u32> {
        let computed = hit.blocks * self.block_size + scheduled;
        let slots = computed.min(self.max_model_len).div_ceil(self.block_size);
        let whole = tokens.min(self.max_model_len).div_ceil(self.block_size);
        let must_fit = if self.scheduler_reserve_full_isl { slots.max(whole) } else { slots };
        let margin = hit.evictable + if others_run { self.watermark_blocks } else { 0 };
        (must_fit.saturating_sub(hit.blocks) + margin <= free).then(|| slots.saturating_sub(hit.blocks))
    }

    /// How many blocks a request that holds `held` needs until it has room for `computed` tokens.
    #[inline]
    pub(super) fn to_extend(self, held: u32, computed: u32) -> u32 {
        let slots = computed.min(self.max_model_len);
        // Most steps fill no block, and then nothing is divided.
        if slots > held * self.block_size { slots.div_ceil(self.block_size) - held } else { 0 }
    }
}
