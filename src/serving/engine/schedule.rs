//! One scheduling pass: `Scheduler.schedule` of vLLM 0.32.

use super::batch::{Admitted, Batch, Scheduled};
use super::kv_cache::KvCache;
use super::scheduler::{Request, Scheduler, Slot, Status};
use crate::units::Tokens;

/// What is left to give out in a pass.
pub(super) struct Pass<'a> {
    pub(super) batch: &'a mut Batch,
    /// Tokens left of the step's budget.
    pub(super) budget: u32,
    /// Longest chunk of one request; `u32::MAX`: no limit.
    pub(super) chunk: u32,
}

/// Why no more requests were admitted in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// None waits that could be.
    NobodyWaits,
    /// All seats are taken.
    SeatsTaken,
    /// The step's tokens are given out, or too few are left for a prompt that must not be cut.
    BudgetSpent,
    /// The next one does not fit in the KV cache.
    CacheFull,
}

impl<C: KvCache> Scheduler<C> {
    /// Gives out one step's tokens into `batch`, which is emptied first.
    ///
    /// There is no prefill and no decode phase: running requests, in order of admission, get as many tokens as they
    /// have uncomputed, then waiting ones are admitted in order until one does not fit. A request for which no block
    /// is free preempts others, and then nobody is admitted in this pass.
    pub fn schedule(&mut self, batch: &mut Batch) {
        batch.clear();
        let budget = self.config.max_num_scheduled_tokens.get();
        let mut pass = Pass { batch, budget, chunk: self.long_prefill_chunk() };
        self.schedule_running(&mut pass, 0);
        if pass.batch.preempted.is_empty() {
            self.schedule_waiting(&mut pass);
        }
        self.end_pass(batch);
    }

    /// The longest chunk of one prompt. A request that is alone has nobody to starve, so it is not limited.
    pub(super) fn long_prefill_chunk(&self) -> u32 {
        let threshold = self.config.long_prefill_token_threshold.get();
        let requests = self.num_running() + self.num_waiting();
        if threshold == 0 || requests <= 1 {
            u32::MAX
        } else if self.config.long_prefill_token_threshold_adaptive {
            threshold.max(self.config.max_num_batched_tokens.get() / requests)
        } else {
            threshold
        }
    }

    /// Goes through the running requests from `index` on.
    pub(super) fn schedule_running(&mut self, pass: &mut Pass<'_>, mut index: usize) {
        let max_model_len = self.config.max_model_len.get();
        while index < self.running.len() && pass.budget > 0 {
            let slot = self.running[index];
            let request = &self.requests[slot.index()];
            let tokens = request.next_chunk(pass.chunk, pass.budget, max_model_len);
            if tokens == 0 || request.last_token_is_in_flight() {
                index += 1;
                continue;
            }
            if !self.make_room(slot, tokens, &mut index, pass) {
                return;
            }
            let id = self.requests[slot.index()].id;
            pass.batch.scheduled.push(Scheduled { id, slot, tokens: Tokens(tokens), samples: false });
            pass.budget -= tokens;
            index += 1;
        }
    }

    /// Whether there are blocks for what a pass gives to the running requests from `index` on, beside `taken` blocks.
    pub(super) fn prefills_fit(&self, pass: &Pass<'_>, index: usize, taken: u32) -> bool {
        let (mut budget, mut needed) = (pass.budget, taken);
        for slot in &self.running[index..] {
            let request = &self.requests[slot.index()];
            let tokens = request.next_chunk(pass.chunk, budget, self.config.max_model_len.get());
            budget -= tokens;
            needed += self.cache.missing(&request.table, request.computed + tokens);
        }
        needed <= self.free_blocks().get()
    }

    /// Gives `running[index]` blocks for `tokens` more tokens, preempting others for as long as it takes. False if
    /// in the end it was preempted itself: the rest of the running requests then get nothing in this pass.
    fn make_room(&mut self, slot: Slot, tokens: u32, index: &mut usize, pass: &mut Pass<'_>) -> bool {
        loop {
            let Request { table, content, tokens: known, computed, .. } = &mut self.requests[slot.index()];
            if self.cache.extend(table, content, *known, *computed + tokens) {
                return true;
            }
            // The request itself runs, so there is always somebody.
            let Some(victim_index) = self.victim() else { return false };
            let victim = self.unseat_at(victim_index);
            if victim_index < *index {
                *index -= 1;
                pass.take_back(victim);
            }
            self.preempt(victim);
            pass.batch.preempted.push((self.requests[victim.index()].id, victim));
            if victim == slot {
                return false;
            }
        }
    }

    /// Admits waiting requests until one does not fit.
    pub(super) fn schedule_waiting(&mut self, pass: &mut Pass<'_>) -> Admission {
        let ended = loop {
            let Some(waiting) = self.waiting.peek() else { break Admission::NobodyWaits };
            if self.num_running() >= self.config.max_num_active_seqs {
                break Admission::SeatsTaken;
            }
            if pass.budget == 0 {
                break Admission::BudgetSpent;
            }
            let request = &mut self.requests[waiting.slot.index()];
            if request.stale > 0 {
                // Outputs from before its preemption are still to come: to resume now could sample a token twice.
                if !request.deferred {
                    request.deferred = true;
                    self.deferred += 1;
                }
                self.waiting.pop();
                self.passed_over.push(waiting);
                continue;
            }
            if let Err(why) = self.admit(waiting.slot, pass) {
                break why;
            }
        };
        while let Some(waiting) = self.passed_over.pop() {
            self.waiting.push_front(waiting);
        }
        ended
    }

    /// Admits the head of the waiting queue, if it fits.
    fn admit(&mut self, slot: Slot, pass: &mut Pass<'_>) -> Result<(), Admission> {
        let Request { table, content, tokens: known, .. } = &mut self.requests[slot.index()];
        let cached = self.cache.look_up(table, content, *known);
        let wanted = (*known - cached).min(pass.chunk);
        if !self.config.enable_chunked_prefill && wanted > pass.budget {
            return Err(Admission::BudgetSpent);
        }
        let tokens = wanted.min(pass.budget);
        if !self.cache.admit(table, content, *known, tokens, !self.running.is_empty()) {
            return Err(Admission::CacheFull);
        }
        self.waiting.pop();
        self.admissions += 1;
        self.running.push(slot);
        self.seats.push(self.admissions);
        let request = &mut self.requests[slot.index()];
        let resumed = request.status == Status::Preempted;
        request.status = Status::Running;
        request.computed = cached;
        request.prefill_end = request.tokens;
        request.seat = self.admissions;
        if request.deferred {
            request.deferred = false;
            self.deferred -= 1;
        }
        let (id, queries) = (request.id, request.tokens);
        self.count_look_up(resumed, queries, cached);
        pass.batch.admitted.push(Admitted { id, slot, cached_tokens: Tokens(cached), resumed });
        pass.batch.scheduled.push(Scheduled { id, slot, tokens: Tokens(tokens), samples: false });
        pass.budget -= tokens;
        Ok(())
    }

    fn count_look_up(&mut self, resumed: bool, queries: u32, hits: u32) {
        if !self.cache.remembers() {
            return;
        }
        let (queries, hits, stats) = (u64::from(queries), u64::from(hits), &mut self.prefix_cache);
        if resumed {
            stats.preempted_requests += 1;
            stats.preempted_queries += queries;
            stats.preempted_hits += hits;
        } else {
            stats.requests += 1;
            stats.queries += queries;
            stats.hits += hits;
        }
    }

    /// Counts what was given out as computed, so that the next pass can go on before this step is done
    /// (`_update_after_schedule`), and sums up the step.
    pub(super) fn end_pass(&mut self, batch: &mut Batch) {
        self.finished_since_pass = false;
        for scheduled in &mut batch.scheduled {
            let request = &mut self.requests[scheduled.slot.index()];
            let tokens = scheduled.tokens.get();
            if request.computed >= request.prefill_end {
                batch.shape.add_decode(request.computed);
            } else {
                batch.shape.add_prefill(tokens, request.computed);
            }
            request.computed += tokens;
            request.in_flight += tokens;
            scheduled.samples = request.uncomputed() == 0;
            if scheduled.samples && self.config.async_scheduling {
                request.placeholders += 1;
            }
        }
    }
}

impl Pass<'_> {
    /// Takes a preempted request out of the batch, with its tokens, if it is in it.
    fn take_back(&mut self, victim: Slot) {
        let scheduled = &mut self.batch.scheduled;
        if let Some(at) = scheduled.iter().position(|scheduled| scheduled.slot == victim) {
            self.budget += scheduled.remove(at).tokens.get();
        }
    }
}

impl<T> Request<T> {
    /// How many tokens a pass gives it next, if it must not wait for its last token.
    pub(super) fn next_chunk(&self, chunk: u32, budget: u32, max_model_len: u32) -> u32 {
        // Positions end one short of `max_model_len`, as the token sampled there still needs one.
        let room = max_model_len.saturating_sub(self.computed + 1);
        self.uncomputed().min(chunk).min(budget).min(room)
    }

    /// Tokens, those on their way included, whose KV is not computed.
    fn uncomputed(&self) -> u32 {
        self.tokens + self.placeholders - self.computed
    }

    /// Whether the token that `max_tokens` allows last is already being sampled (async scheduling).
    fn last_token_is_in_flight(&self) -> bool {
        self.placeholders > 0 && self.computed + 2 - self.placeholders >= self.max_tokens_at
    }
}
