//! What one step of the engine computes: which requests, and the sums on which its duration depends.

use super::request::RequestId;
use super::scheduler::Slot;
use crate::units::{SimDuration, Tokens};

/// The sums of one engine step from which its time follows. All are exact integers.
///
/// A request **prefills** in a step while tokens that were known when it was admitted are still to be computed: its
/// prompt and, when it resumes after a preemption, the answer so far. The last chunk counts as prefill even where it
/// is one token long, as it is when all but one token of a resumed request are found in the cache. In every later
/// step it **decodes**: one token on top of what is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchShape {
    /// B: requests that decode one token on top of a context.
    pub decode_requests: u32,
    /// S: their summed context lengths, in tokens. A context is what the token attends to, itself included: the
    /// tokens computed before the step and one more.
    pub decode_context: u64,
    /// Requests that prefill a chunk of one token or more.
    pub prefill_requests: u32,
    /// Sum of the chunks q, in tokens; what the prefix cache held is no part of a chunk.
    pub prefill_tokens: u64,
    /// Sum of 2 q p + q^2 over the chunks, p the tokens in place before the chunk, computed or found in the cache:
    /// twice the attention pairs.
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
    /// Adds a request that decodes with `computed` tokens computed before.
    #[inline]
    pub(super) fn add_decode(&mut self, computed: u32) {
        self.decode_requests += 1;
        self.decode_context += u64::from(computed) + 1;
    }
    /// Adds a chunk of `tokens` tokens with `computed` tokens in place before it.
    pub(super) fn add_prefill(&mut self, tokens: u32, computed: u32) {
        let (q, p) = (u128::from(tokens), u128::from(computed));
        self.prefill_requests += 1;
        self.prefill_tokens += u64::from(tokens);
        self.prefill_pairs_x2 += q * (2 * p + q);
    }
}

/// How long a step takes on one model, GPU and parallelism.
///
/// For a decode-only batch the time must be `max(A(B) + D * S, F(B))` with integer picoseconds A, D, F, so that a run of
/// steps has a closed form.
pub trait StepTimer {
    /// Wall time of one step; zero only for an empty batch.
    fn step_time(&self, batch: &BatchShape) -> SimDuration;

    /// The form of [`StepTimer::step_time`] for steps that decode `requests` requests and prefill nothing.
    fn decode_form(&self, requests: u32) -> DecodeForm;
}

/// How long a step takes that decodes some number of requests, by the sum S of their contexts:
/// `min(max(base + context_slope * S, floor), longest)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeForm {
    /// A(B): what does not depend on the contexts.
    pub base: SimDuration,
    /// D: what each token of the contexts adds.
    pub context_slope: SimDuration,
    /// F(B): the least time.
    pub floor: SimDuration,
    /// The most; a step that reaches it ends after any run.
    pub longest: SimDuration,
}

impl DecodeForm {
    /// Steps that all take `duration`.
    pub const fn constant(duration: SimDuration) -> DecodeForm {
        DecodeForm {
            base: duration,
            context_slope: SimDuration::ZERO,
            floor: SimDuration::ZERO,
            longest: SimDuration::MAX,
        }
    }
}

/// The outcome of one scheduling pass.
///
/// A batch is filled by [`Scheduler::schedule`](super::Scheduler::schedule) and given back to
/// [`Scheduler::update`](super::Scheduler::update) when its step is done; then it can be filled again.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Who computes how much, in the order in which vLLM lists them: those that ran, then those admitted.
    pub scheduled: Vec<Scheduled>,
    /// Who was admitted, in order.
    pub admitted: Vec<Admitted>,
    /// Who was preempted, in order.
    pub preempted: Vec<(RequestId, Slot)>,
    /// The sums.
    pub shape: BatchShape,
}

/// One request of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Who.
    pub id: RequestId,
    /// Where the scheduler keeps it.
    pub slot: Slot,
    /// Tokens it computes; at least 1.
    pub tokens: Tokens,
    /// Whether the step samples a token of it: not after a chunk that leaves some of its prompt to compute.
    pub samples: bool,
}

/// One admission of a request to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who.
    pub id: RequestId,
    /// Where the scheduler keeps it.
    pub slot: Slot,
    /// Tokens found in the prefix cache.
    pub cached_tokens: Tokens,
    /// Whether it had run before and was preempted.
    pub resumed: bool,
}

impl Batch {
    /// Whether no token is computed: such a pass takes no time.
    pub fn is_empty(&self) -> bool {
        self.shape.requests() == 0
    }

    /// Empties it and keeps its room.
    pub(super) fn clear(&mut self) {
        self.scheduled.clear();
        self.admitted.clear();
        self.preempted.clear();
        self.shape = BatchShape::default();
    }
}
