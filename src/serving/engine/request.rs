//! A request as the engine takes it, and what becomes of it.

use crate::units::{SimTime, Tokens};
use crate::workload::{ContentId, Finish, Segment};
use std::fmt;
use std::sync::Arc;

/// Names a request within one engine; no two requests of an engine ever bear the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One request for one answer (`n = 1`).
#[derive(Clone, Debug)]
pub struct EngineRequest {
    /// Its name; also the last tie-break of the priority policy, where vLLM takes a random string.
    pub id: RequestId,
    /// When the API process got it: vLLM's `arrival_time`, from which TTFT and E2E count.
    pub arrival_time: SimTime,
    /// The texts that the prompt begins with, in order. Tokens of the prompt past them are the request's own and
    /// equal nobody else's.
    pub prompt: Arc<[Segment]>,
    /// Prompt length; texts that reach past it are cut.
    pub prompt_tokens: Tokens,
    /// How many tokens the model answers if nothing stops it, the end-of-sequence token among them; 0 counts as 1,
    /// since the first token is always sampled.
    pub output_tokens: Tokens,
    /// Whether the answer ends by an end-of-sequence token, which the scheduler cannot foresee, or by `max_tokens`.
    pub finish: Finish,
    /// The `max_tokens` that the client sent. `None`: `output_tokens` where the answer ends by length, else what
    /// vLLM's server fills in, all that `max_model_len` leaves.
    pub max_tokens: Option<Tokens>,
    /// The text that the answer is, for later prompts to begin with; `None`: nobody will.
    pub output_content: Option<ContentId>,
    /// vLLM's `priority`: smaller first; read under the priority policy only.
    pub priority: i32,
    /// Whether its inter-token latencies count in [`Stats::itl`](super::Stats::itl).
    pub measured: bool,
}

impl EngineRequest {
    /// Tokens after which the model ends the answer; at least 1.
    pub(super) fn answer(&self) -> u32 {
        self.output_tokens.get().max(1)
    }

    /// The `max_tokens` of its sampling parameters under `max_model_len`, unclamped where it was set or follows from
    /// the length of the answer.
    pub(super) fn max_tokens_param(&self, max_model_len: Tokens) -> u32 {
        match (self.max_tokens, self.finish) {
            (Some(set), _) => set.get().max(1),
            (None, Finish::Length) => self.answer(),
            (None, Finish::Eos) => max_model_len.get().saturating_sub(self.prompt_tokens.get()).max(1),
        }
    }
}

/// Why a request ended by itself (`vllm/v1/engine/__init__.py`, `FinishReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// By its end-of-sequence token.
    Stop,
    /// At `max_tokens` or `max_model_len`.
    Length,
}

/// Why the API server took no request: the engine never sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The prompt is empty (HTTP 400).
    EmptyPrompt,
    /// The prompt leaves no room for one token of answer below `max_model_len` (HTTP 400).
    PromptTooLong,
    /// `max_num_queued_reqs` requests are unfinished (HTTP 503).
    MaxNumQueuedReqs,
    /// `max_num_queued_tokens` prompt tokens wait for their first token (HTTP 503).
    MaxNumQueuedTokens,
}

impl Refusal {
    /// The HTTP status that the client gets.
    pub fn http_status(self) -> u16 {
        match self {
            Refusal::EmptyPrompt | Refusal::PromptTooLong => 400,
            Refusal::MaxNumQueuedReqs | Refusal::MaxNumQueuedTokens => 503,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::EmptyPrompt => "the prompt is empty",
            Refusal::PromptTooLong => "the prompt is longer than max_model_len - 1",
            Refusal::MaxNumQueuedReqs => "max_num_queued_reqs requests are unfinished",
            Refusal::MaxNumQueuedTokens => "max_num_queued_tokens prompt tokens are waiting",
        })
    }
}

impl std::error::Error for Refusal {}

/// What the client of a request hears from its engine. Tokens between the first and the last are not told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The first token.
    FirstToken {
        /// Whose.
        id: RequestId,
        /// When the client sees it: the end of its batch and the output path.
        at: SimTime,
    },
    /// The last token; also after [`Output::FirstToken`] where the answer is one token long.
    Finished {
        /// Whose.
        id: RequestId,
        /// When the client sees it: the end of its batch and the output path.
        at: SimTime,
        /// Why it ended.
        reason: FinishReason,
        /// What the request got and cost.
        usage: Usage,
    },
    /// The engine has let go of a request that its client gave up. The client heard nothing more.
    Aborted {
        /// Whose.
        id: RequestId,
        /// When the engine freed it: the end of the batch that ran when the client gave up.
        at: SimTime,
        /// What it had got and cost.
        usage: Usage,
    },
}

/// What a request got and cost until it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the answer that were delivered.
    pub output_tokens: Tokens,
    /// Prompt tokens found in the prefix cache on first admission.
    pub cached_tokens: Tokens,
    /// How often it was preempted.
    pub preemptions: u32,
    /// When the scheduler took it from the input queue; `None`: it never did.
    pub queued_at: Option<SimTime>,
    /// The start of the pass that first admitted it; `None`: none did.
    pub scheduled_at: Option<SimTime>,
}
