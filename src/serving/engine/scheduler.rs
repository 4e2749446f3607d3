//! vLLM's V1 scheduler: which requests run, and what its state is. The pass itself is in `schedule`, what follows a
//! step in `update`.
//!
//! After `vllm/v1/core/sched/scheduler.py` and `async_scheduler.py` of vLLM 0.32, for generation by one worker group
//! without LoRA, speculative decoding, pipeline parallelism and KV connectors.

use super::config::{EngineConfig, SchedulingPolicy};
use super::content::Content;
use super::kv_cache::{BlockCache, KvCache};
use super::request::{EngineRequest, RequestId};
use super::waiting::{Waiting, WaitingQueue};
use crate::units::{Blocks, SimTime};
use crate::workload::Finish;
use rustc_hash::FxHashMap;

/// Where the scheduler keeps a request. A slot is used again after its request has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(super) u32);

impl Slot {
    /// The slot's number: small, so that it can index a table beside the scheduler's.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It has not run yet.
    Waiting,
    /// It has a seat.
    Running,
    /// It lost its seat and its blocks, and waits.
    Preempted,
    /// It has left; its slot is vacant.
    Finished,
}

/// A request in the scheduler, and what it holds of the KV cache. Counts are in tokens.
#[derive(Clone, Debug)]
pub(super) struct Request<T> {
    pub(super) id: RequestId,
    pub(super) status: Status,
    /// It was passed over while older outputs of it were in flight, and has not been admitted since.
    pub(super) deferred: bool,
    /// The prompt and the answer so far.
    pub(super) tokens: u32,
    /// Those with their KV computed or being computed: counted when scheduled.
    pub(super) computed: u32,
    /// Sampled tokens that are on their way (async scheduling).
    pub(super) placeholders: u32,
    /// Scheduled, and not yet given back by an update.
    pub(super) in_flight: u32,
    /// The part of `in_flight` that was scheduled before the latest preemption.
    pub(super) stale: u32,
    /// What was known when it was admitted: up to here it prefills.
    pub(super) prefill_end: u32,
    /// `tokens` at which the model ends the answer; `u32::MAX` if it does not.
    pub(super) stop_at: u32,
    /// `tokens` at which `max_tokens` ends it, as far as the scheduler's look-ahead goes.
    pub(super) max_tokens_at: u32,
    pub(super) table: T,
    pub(super) content: Content,
    pub(super) priority: i32,
    pub(super) arrival_time: SimTime,
    pub(super) preemptions: u32,
    /// When it was admitted last, in a count of admissions from 1.
    pub(super) seat: u64,
}

/// Prefix-cache counts since they were last taken (`PrefixCacheStats`). First admissions are what vLLM exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixCacheStats {
    /// First admissions.
    pub requests: u64,
    /// Their tokens.
    pub queries: u64,
    /// Those found.
    pub hits: u64,
    /// Admissions after a preemption.
    pub preempted_requests: u64,
    /// Their tokens, the answers so far among them.
    pub preempted_queries: u64,
    /// Those found.
    pub preempted_hits: u64,
}

/// The scheduler of one engine.
///
/// It knows no clock: the engine's loop decides when a pass happens. Each call costs time in proportion to the
/// requests and blocks it touches, and none allocates once the tables have grown to the load. It behaves the same on
/// any [`KvCache`].
#[derive(Clone, Debug)]
pub struct Scheduler<C: KvCache = BlockCache> {
    pub(super) config: EngineConfig,
    pub(super) requests: Vec<Request<C::Table>>,
    vacant: Vec<Slot>,
    slots: FxHashMap<RequestId, Slot>,
    pub(super) waiting: WaitingQueue,
    /// In order of admission; a resumed request is at the end again.
    pub(super) running: Vec<Slot>,
    /// When those of `running` were admitted: ascending, and what a place is found by without a look at the requests.
    pub(super) seats: Vec<u64>,
    /// Admissions so far.
    pub(super) admissions: u64,
    pub(super) deferred: u32,
    pub(super) cache: C,
    pub(super) prefix_cache: PrefixCacheStats,
    /// Requests passed over in the current pass.
    pub(super) passed_over: Vec<Waiting>,
    /// Whether a request has left since the latest pass: the workers are told by the next.
    pub(super) finished_since_pass: bool,
}

impl Scheduler {
    /// A scheduler over `num_gpu_blocks` KV-cache blocks, the null block among them, kept block by block.
    pub fn new(config: EngineConfig, num_gpu_blocks: Blocks) -> Self {
        Self::with_cache(config, num_gpu_blocks)
    }
}

impl<C: KvCache> Scheduler<C> {
    /// A scheduler over `num_gpu_blocks` KV-cache blocks, the null block among them, in a cache of the kind `C`.
    pub fn with_cache(config: EngineConfig, num_gpu_blocks: Blocks) -> Self {
        Scheduler {
            cache: C::new(&config, num_gpu_blocks),
            waiting: WaitingQueue::new(config.scheduling_policy),
            config,
            requests: Vec::new(),
            vacant: Vec::new(),
            slots: FxHashMap::default(),
            running: Vec::new(),
            seats: Vec::new(),
            admissions: 0,
            deferred: 0,
            prefix_cache: PrefixCacheStats::default(),
            passed_over: Vec::new(),
            finished_since_pass: false,
        }
    }

    /// Adds a request to the waiting ones. Its prompt must hold a token and be shorter than `max_model_len`; the API
    /// server takes no other.
    pub fn add_request(&mut self, request: &EngineRequest) -> Slot {
        let prompt = request.prompt_tokens.get();
        let content = Content::new(request.prompt.clone(), prompt, request.id, request.output_content);
        let max_tokens = request.max_tokens_param(self.config.max_model_len);
        let request = Request {
            id: request.id,
            status: Status::Waiting,
            deferred: false,
            tokens: prompt,
            computed: 0,
            placeholders: 0,
            in_flight: 0,
            stale: 0,
            prefill_end: prompt,
            stop_at: match request.finish {
                Finish::Eos => prompt.saturating_add(request.answer()),
                Finish::Length => u32::MAX,
            },
            max_tokens_at: prompt.saturating_add(max_tokens),
            table: C::Table::default(),
            content,
            priority: request.priority,
            arrival_time: request.arrival_time,
            preemptions: 0,
            seat: 0,
        };
        let slot = self.vacant.pop().unwrap_or(Slot(self.requests.len() as u32));
        self.slots.insert(request.id, slot);
        self.waiting.push(request.as_waiting(slot));
        match self.requests.get_mut(slot.index()) {
            Some(old) => {
                let mut table = std::mem::take(&mut old.table);
                C::reset(&mut table);
                *old = Request { table, ..request };
            }
            None => self.requests.push(request),
        }
        slot
    }

    /// Lets go of a request that its client gave up; `None` if it is not here, which is no error.
    pub fn abort(&mut self, id: RequestId) -> Option<Slot> {
        let slot = self.slot(id)?;
        let request = &self.requests[slot.index()];
        if request.status == Status::Running {
            self.unseat(slot);
        } else {
            self.waiting.retain(|waiting| waiting.slot != slot);
        }
        self.leave(slot);
        Some(slot)
    }

    /// Takes a running request from `running`.
    pub(super) fn unseat(&mut self, slot: Slot) {
        if let Ok(index) = self.seats.binary_search(&self.requests[slot.index()].seat) {
            self.unseat_at(index);
        }
    }

    /// Takes the request at a place of `running` from it.
    pub(super) fn unseat_at(&mut self, index: usize) -> Slot {
        self.seats.remove(index);
        self.running.remove(index)
    }

    /// Frees what a request holds and vacates its slot. It must be taken from its queue too.
    pub(super) fn leave(&mut self, slot: Slot) {
        let request = &mut self.requests[slot.index()];
        self.cache.free(&mut request.table);
        if request.deferred {
            self.deferred -= 1;
        }
        request.deferred = false;
        request.status = Status::Finished;
        self.slots.remove(&request.id);
        self.vacant.push(slot);
        self.finished_since_pass = true;
    }

    /// Whether a pass is due: requests are here, or one has left since the latest pass.
    pub fn has_requests(&self) -> bool {
        self.finished_since_pass || !self.slots.is_empty()
    }

    /// Requests that run or wait.
    pub fn num_requests(&self) -> usize {
        self.slots.len()
    }

    /// Requests that run.
    pub fn num_running(&self) -> u32 {
        self.running.len() as u32
    }

    /// From which place on `running` holds only requests whose prompts are not computed.
    pub(super) fn first_prefilling(&self) -> usize {
        let prefills = |slot: &&Slot| {
            let request = &self.requests[slot.index()];
            request.computed < request.prefill_end
        };
        self.running.len() - self.running.iter().rev().take_while(prefills).count()
    }

    /// Where the request with this name is kept, if it is here.
    pub fn slot(&self, id: RequestId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// Whether the request with this name is here and runs.
    pub fn is_running(&self, id: RequestId) -> bool {
        self.slot(id).is_some_and(|slot| self.requests[slot.index()].status == Status::Running)
    }

    /// Requests that wait, the preempted and the deferred among them.
    pub fn num_waiting(&self) -> u32 {
        self.waiting.len() as u32
    }

    /// Those of the waiting ones that were passed over because older outputs of theirs were in flight.
    pub fn num_deferred(&self) -> u32 {
        self.deferred
    }

    /// KV-cache blocks that no request holds. Those that can still be found by their contents are free too.
    pub fn free_blocks(&self) -> Blocks {
        self.cache.free_blocks()
    }

    /// All KV-cache blocks but the null block.
    pub fn usable_blocks(&self) -> Blocks {
        self.cache.usable_blocks()
    }

    /// The prefix-cache counts since this was last called.
    pub fn take_prefix_cache_stats(&mut self) -> PrefixCacheStats {
        std::mem::take(&mut self.prefix_cache)
    }

    /// Requests that are here, in order of their slots.
    pub fn unfinished(&self) -> impl Iterator<Item = RequestId> {
        self.requests.iter().filter(|request| request.status != Status::Finished).map(|request| request.id)
    }

    /// The index in `running` of the request that is preempted next: under `fcfs` the latest admitted, under
    /// `priority` the one with the greatest priority, of those the latest to arrive. `None` when nobody runs.
    ///
    /// Where two arrived at one instant, the later id counts as later. vLLM would take the one admitted first, but
    /// its clock does not give two requests one arrival time, and that rule would let such a pair preempt each other
    /// for ever.
    pub(super) fn victim(&self) -> Option<usize> {
        let last = self.running.len().checked_sub(1)?;
        if self.config.scheduling_policy == SchedulingPolicy::Fcfs {
            return Some(last);
        }
        let place = |index: usize| {
            let slot = self.running[index];
            self.requests[slot.index()].as_waiting(slot)
        };
        (0..=last).max_by_key(|&index| place(index))
    }

    /// Takes seat and blocks from a running request, already taken from `running`, and puts it back in front of the
    /// waiting ones. Its answer so far is kept, and outputs in flight are still delivered.
    pub(super) fn preempt(&mut self, slot: Slot) {
        let request = &mut self.requests[slot.index()];
        self.cache.free_to_resume(&mut request.table, &request.content);
        request.status = Status::Preempted;
        request.computed = 0;
        request.placeholders = 0;
        request.stale = request.in_flight;
        request.preemptions += 1;
        self.waiting.push_front(request.as_waiting(slot));
    }
}

impl<T> Request<T> {
    /// Its place in the waiting queue.
    pub(super) fn as_waiting(&self, slot: Slot) -> Waiting {
        Waiting { priority: self.priority, arrival_time: self.arrival_time, id: self.id, slot }
    }
}
