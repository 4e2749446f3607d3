//! A request as its client sends it: plain data that the plant reads.

use crate::units::{SimDuration, SimTime, Tokens};
use std::sync::Arc;

/// Which text a run of tokens comes from: two runs with one id share their first tokens, and only equality matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(pub u64);

/// The first `tokens` tokens of the text `content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The text.
    pub content: ContentId,
    /// How many of its tokens, from its start.
    pub tokens: Tokens,
}

/// How a request ends when its last token has been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model emits its end-of-sequence token: the scheduler cannot foresee it, which costs a slot under async
    /// scheduling.
    #[default]
    Eos,
    /// `max_tokens` is reached: the scheduler sees it coming.
    Length,
}

/// One request. Everything that it will ever draw is drawn when it is made, so that no policy shifts the traffic.
#[derive(Clone, Debug)]
pub struct Request {
    /// Creation ordinal over all sources of the run, in order of `sent`.
    pub ordinal: u64,
    /// Index of its source in the workload.
    pub source: u16,
    /// Index of its class in the workload.
    pub class: u16,
    /// When its client has it ready; it is sent then unless a cap on requests in flight holds it back.
    pub sent: SimTime,
    /// Prompt length.
    pub prompt_tokens: Tokens,
    /// How many tokens the model would answer if nothing stopped it.
    pub output_tokens: Tokens,
    /// How the answer ends.
    pub finish: Finish,
    /// vLLM's `priority`: smaller first; 0 unless the class says otherwise.
    pub priority: i32,
    /// What the prompt shares with others, from its start. Tokens past the segments are the request's own.
    pub shared: Arc<[Segment]>,
    /// The client gives up this long after it sent the request; `None`: never.
    pub timeout: Option<SimDuration>,
}
