//! What follows a step: `Scheduler.update_from_output` of vLLM 0.32.

use super::batch::Batch;
use super::kv_cache::KvCache;
use super::request::{FinishReason, RequestId};
use super::scheduler::{Request, Scheduler, Slot, Status};

/// One sampled token, delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenOutput {
    /// Whose.
    pub id: RequestId,
    /// Where the scheduler keeps it, or kept it if this was its last token.
    pub slot: Slot,
    /// Whether and why the request has ended with it.
    pub finish: Option<FinishReason>,
}

impl<C: KvCache> Scheduler<C> {
    /// Takes back the batch whose step is done, and adds the tokens that it sampled to `outputs` in its order.
    ///
    /// Batches must come back in the order in which they were scheduled. Tokens of requests that have left meanwhile
    /// are dropped; those of requests preempted meanwhile are kept, and may even finish them.
    pub fn update(&mut self, batch: &Batch, outputs: &mut Vec<TokenOutput>) {
        let mut left_waiting = false;
        for scheduled in &batch.scheduled {
            let request = &mut self.requests[scheduled.slot.index()];
            if request.id != scheduled.id || request.status == Status::Finished {
                continue;
            }
            let tokens = scheduled.tokens.get();
            request.in_flight -= tokens;
            let stale = request.stale > 0;
            request.stale = request.stale.saturating_sub(tokens);
            if !scheduled.samples {
                continue;
            }
            request.tokens += 1;
            let finish = request.stop(self.config.max_model_len.get());
            let running = request.status == Status::Running;
            if self.config.async_scheduling {
                // A preemption has forgotten the placeholders of what was in flight then.
                request.placeholders -= u32::from(!stale);
                if running {
                    let delivered = request.computed - request.placeholders;
                    self.cache.cache_full(&mut request.table, &request.content, delivered);
                }
            }
            outputs.push(TokenOutput { id: scheduled.id, slot: scheduled.slot, finish });
            if finish.is_some() {
                if running {
                    self.unseat(scheduled.slot);
                }
                left_waiting |= !running;
                self.leave(scheduled.slot);
            }
        }
        if left_waiting {
            let requests = &self.requests;
            self.waiting.retain(|waiting| requests[waiting.slot.index()].status != Status::Finished);
        }
    }
}

impl<T> Request<T> {
    /// Whether its latest token ends it: the end-of-sequence token first, then the lengths (`check_stop`).
    fn stop(&self, max_model_len: u32) -> Option<FinishReason> {
        if self.tokens == self.stop_at {
            Some(FinishReason::Stop)
        } else if self.tokens >= max_model_len.min(self.max_tokens_at) {
            Some(FinishReason::Length)
        } else {
            None
        }
    }
}
