//! What one step of the engine computes, as far as its duration depends on it.

use crate::units::SimDuration;

/// The sums of one engine step from which its time follows (specs: the T2 form). All are exact integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchShape {
    /// B: requests that decode one token on top of a context.
    pub decode_requests: u32,
    /// S: their summed context lengths, in tokens, counted after the step's own token.
    pub decode_context: u64,
    /// Requests that prefill a chunk (more than one token, or the last chunk of a prompt).
    pub prefill_requests: u32,
    /// Sum of the chunks q, in tokens.
    pub prefill_tokens: u64,
    /// Sum of 2 q p + q^2 over the chunks, p the tokens already computed before the chunk: twice the attention pairs.
    pub prefill_pairs_x2: u128,
}

impl BatchShape {
    /// N: tokens in the batch.
    pub fn tokens(&self) -> u64 {
        u64::from(self.decode_requests) + self.prefill_tokens
    }
    /// R: requests in the batch.
    pub fn requests(&self) -> u32 {
        self.decode_requests + self.prefill_requests
    }
}

/// How long a step takes on one model, GPU and parallelism.
///
/// For a decode-only batch the time must be `max(A(B) + D * S, F(B))` with integer picoseconds A, D, F, so that a run of
/// steps has a closed form.
pub trait StepTimer {
    /// Wall time of one step; zero only for an empty batch.
    fn step_time(&self, batch: &BatchShape) -> SimDuration;
}
