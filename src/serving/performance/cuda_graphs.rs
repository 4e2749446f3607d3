//! Which batch sizes vLLM captures CUDA graphs for: smaller batches are padded to the next one.

use crate::serving::engine::EngineConfig;

/// The captured sizes: 1, 2, 4, then multiples of 8 below 256, then multiples of 16, up to a largest one (vLLM 0.32
/// `vllm/config/vllm.py`, `_set_cudagraph_sizes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaGraphs {
    tokens_max: u64,
}

impl CudaGraphs {
    /// The sizes of an engine: up to twice `max_num_seqs`, at most `max_num_batched_tokens` and the GPU's own limit.
    pub fn of(config: &EngineConfig, gpu_tokens_max: u32) -> CudaGraphs {
        let seqs = config.max_num_seqs.saturating_mul(2);
        let tokens_max = seqs.min(config.max_num_batched_tokens.get()).min(gpu_tokens_max);
        CudaGraphs { tokens_max: u64::from(tokens_max) }
    }

    /// Sizes up to `tokens_max`.
    pub const fn up_to(tokens_max: u32) -> CudaGraphs {
        CudaGraphs { tokens_max: tokens_max as u64 }
    }

    /// For how many tokens the GPU works when a batch holds `tokens`: those of the next captured size; beyond the largest,
    /// where no graph is used, `tokens` itself.
    pub fn padded(self, tokens: u64) -> u64 {
        let size = match tokens {
            0..=2 => tokens,
            3..=4 => 4,
            5..=256 => tokens.next_multiple_of(8),
            _ if tokens <= self.tokens_max => tokens.next_multiple_of(16),
            _ => tokens,
        };
        if size <= self.tokens_max { size } else { tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_padded_to_the_next_captured_size() {
        let graphs = CudaGraphs::up_to(512);
        let cases = [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 4),
            (5, 8),
            (9, 16),
            (248, 248),
            (249, 256),
            (257, 272),
            (512, 512),
        ];
        for (tokens, size) in cases {
            assert_eq!(graphs.padded(tokens), size, "{tokens}");
        }
        for tokens in [513, 1025, u64::MAX] {
            assert_eq!(graphs.padded(tokens), tokens);
        }
    }

    #[test]
    fn nothing_is_padded_beyond_the_largest_size() {
        // Captured: 1, 2, 4; and 1, 2, 4, ..., 488, 496.
        assert_eq!([3, 5].map(|tokens| CudaGraphs::up_to(6).padded(tokens)), [4, 5]);
        assert_eq!([490, 498].map(|tokens| CudaGraphs::up_to(500).padded(tokens)), [496, 498]);
        assert_eq!(CudaGraphs::up_to(1).padded(2), 2);
    }
}
