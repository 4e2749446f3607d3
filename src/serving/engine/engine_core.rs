//! The engine's loop on a clock: `EngineCoreProc.run_busy_loop`, `step` and `step_with_batch_queue` of vLLM 0.32
//! (`vllm/v1/engine/core.py`).
//!
//! Under async scheduling two batches are in flight. Call *k* of the loop drains the input queue, schedules batch *k*
//! behind the running batch *k - 1*, waits for *k - 1* to end and processes its outputs:
//!
//! ```text
//!   GPU      │ batch 0        │ batch 1      │ batch 2      │
//!   passes  0,1               2              3              4     pass k is scheduled as batch k - 1 starts
//!   outputs                   0              1              2
//! ```
//!
//! So an arrival while batch *k* runs joins batch *k + 2*, and from idle two passes follow each other at once. Without
//! async scheduling a pass is scheduled when the outputs of the one before are processed: an arrival joins batch
//! *k + 1*.

use super::batch::StepTimer;
use super::config::EngineConfig;
use super::in_flight::{BatchQueue, InFlight};
use super::kv_cache::{BlockCache, KvCache};
use super::output_processor::{Alike, OutputProcessor};
use super::request::{EngineRequest, Output, Refusal, RequestId, Usage};
use super::scheduler::Scheduler;
use super::stats::Stats;
use super::update::TokenOutput;
use crate::problem::Problem;
use crate::units::{Blocks, SimDuration, SimTime, Tokens};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// An engine on a clock, as the simulation drives it. Two engines of one behaviour give the same outputs at the same
/// times, in the same order, and the same [`Stats`] at every instant.
///
/// Batches may end between two calls without anybody being told. Methods that show what such batches move take the instant
/// at which it is asked for, up to which [`Engine::catch_up`] must have been called.
pub trait Engine: fmt::Debug {
    /// `request` reaches the engine's input queue at `now`, its way through the API server behind it. It joins the
    /// first pass that is scheduled after that.
    ///
    /// # Errors
    /// Why the API server takes no such request; the engine then never hears of it.
    fn submit(&mut self, now: SimTime, request: EngineRequest) -> Result<(), Refusal>;

    /// The client of `id` gave up, which the engine hears at `now`. It acts on it when the batch that runs has ended,
    /// before that batch's outputs are processed, and says [`Output::Aborted`]. An `id` that is not here is ignored:
    /// its answer and the abort may have crossed.
    fn abort(&mut self, now: SimTime, id: RequestId);

    /// When [`Engine::advance`] must be called next: at the end of the batch whose outputs are due, or at once if a
    /// request has come to the idle engine. `None`: idle, or waiting for ever.
    ///
    /// Requests that come to an idle engine at one instant start together if its event is ordered after theirs.
    fn next_event(&self) -> Option<SimTime>;

    /// Processes what is due at `now`, which must be [`Engine::next_event`]'s: outputs, then arrivals, then the next
    /// pass or passes. What clients hear is added to `out`, in the order in which the engine acts.
    fn advance(&mut self, now: SimTime, out: &mut Vec<Output>);

    /// Accounts for all that happened until `now`: batches may have ended of which clients hear nothing. It must be called
    /// before somebody reads what is shown at `now`.
    fn catch_up(&mut self, now: SimTime);

    /// What the API process' `/metrics` shows at `now`.
    fn stats(&self, now: SimTime) -> &Stats;

    /// How long the GPU has run steps until `now`, the one that runs included.
    fn busy(&self, now: SimTime) -> SimDuration;

    /// The requests that were taken and have not ended, in an order of the engine's own that is always the same.
    fn unfinished(&self) -> Box<dyn Iterator<Item = RequestId> + '_>;

    /// How many requests were taken and have not ended.
    fn num_unfinished(&self) -> u64;

    /// How many of them have not been admitted, or were preempted: the input queue included, which no gauge shows.
    fn num_waiting(&self) -> u64 {
        self.num_unfinished() - self.num_running()
    }

    /// How many of them run.
    fn num_running(&self) -> u64;

    /// Whether the request with this name runs.
    fn is_running(&self, id: RequestId) -> bool;

    /// What a request that was taken and has not ended got and cost until `now`; nothing for any other.
    fn usage(&self, now: SimTime, id: RequestId) -> Usage;

    /// Recounts what is kept incrementally, in time proportional to all requests and KV-cache blocks.
    ///
    /// # Errors
    /// What does not add up, as a sentence: a bug in the engine.
    fn audit(&self) -> Result<(), String>;
}

/// Times around the steps that the step timer does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineTiming {
    /// From a batch's end until a client sees its token: o_out.
    pub output_delay: SimDuration,
    /// What the first batch after idle takes longer, as no CPU work for it was done in advance.
    pub idle_penalty: SimDuration,
}

/// The engine that runs every pass: the reference.
#[derive(Clone)]
pub struct EngineCore<C: KvCache = BlockCache> {
    pub(super) config: EngineConfig,
    pub(super) scheduler: Scheduler<C>,
    pub(super) timer: Arc<dyn StepTimer + Send + Sync>,
    timing: EngineTiming,
    /// Requests that no drain has taken yet.
    pub(super) input: VecDeque<EngineRequest>,
    pub(super) aborts: Vec<RequestId>,
    /// Scheduled batches: at most two, under sync scheduling one.
    pub(super) in_flight: BatchQueue,
    /// When the last batch in flight ends.
    pub(super) gpu_free_at: SimTime,
    /// When the first request came to the idle engine.
    woken_at: Option<SimTime>,
    /// Whether no batch has run since the engine was idle.
    idle: bool,
    tokens: Vec<TokenOutput>,
    pub(super) processor: OutputProcessor,
}

impl EngineCore {
    /// An idle engine with `num_gpu_blocks` KV-cache blocks, vLLM's null block among them, kept block by block.
    ///
    /// # Errors
    /// A problem with `max_model_len` if the blocks do not hold one request of that length.
    pub fn new(
        config: EngineConfig,
        num_gpu_blocks: Blocks,
        timer: Arc<dyn StepTimer + Send + Sync>,
        timing: EngineTiming,
    ) -> Result<Self, Problem> {
        Self::with_cache(config, num_gpu_blocks, timer, timing)
    }
}

impl<C: KvCache> EngineCore<C> {
    /// The same on a KV cache of the kind `C`.
    ///
    /// # Errors
    /// A problem with `max_model_len` if the blocks do not hold one request of that length.
    pub fn with_cache(
        config: EngineConfig,
        num_gpu_blocks: Blocks,
        timer: Arc<dyn StepTimer + Send + Sync>,
        timing: EngineTiming,
    ) -> Result<Self, Problem> {
        config.check_kv_blocks(num_gpu_blocks)?;
        let scheduler = Scheduler::with_cache(config.clone(), num_gpu_blocks);
        Ok(EngineCore {
            processor: OutputProcessor::new(&config, &scheduler),
            config,
            scheduler,
            timer,
            timing,
            input: VecDeque::new(),
            aborts: Vec::new(),
            in_flight: BatchQueue::default(),
            gpu_free_at: SimTime::ZERO,
            woken_at: None,
            idle: true,
            tokens: Vec::new(),
        })
    }

    /// The API server's checks (`InputProcessor`, `AsyncLLM.check_admission`). A request counts as unfinished until
    /// the engine has let go of it.
    fn check_admission(&mut self, request: &EngineRequest) -> Result<(), Refusal> {
        if request.prompt_tokens == Tokens::ZERO {
            return Err(Refusal::EmptyPrompt);
        }
        if request.prompt_tokens >= self.config.max_model_len {
            return Err(Refusal::PromptTooLong);
        }
        if let Some(most) = self.config.max_num_queued_reqs
            && self.input.len() + self.scheduler.num_requests() >= most as usize
        {
            self.processor.stats.admission_rejections.max_num_queued_reqs += 1;
            return Err(Refusal::MaxNumQueuedReqs);
        }
        if let Some(most) = self.config.max_num_queued_tokens {
            let in_input: u64 = self.input.iter().map(|request| u64::from(request.prompt_tokens.get())).sum();
            if in_input + self.processor.queued_tokens() >= most {
                self.processor.stats.admission_rejections.max_num_queued_tokens += 1;
                return Err(Refusal::MaxNumQueuedTokens);
            }
        }
        Ok(())
    }

    /// Gives all arrivals to the scheduler, then acts on the aborts that came after them.
    pub(super) fn drain_input(&mut self, now: SimTime, out: &mut Vec<Output>) {
        while let Some(request) = self.input.pop_front() {
            let slot = self.scheduler.add_request(&request);
            let max_tokens = Tokens(request.max_tokens_param(self.config.max_model_len));
            self.processor.queued(now, slot, &request, max_tokens);
        }
        self.process_aborts(now, out);
        self.aborts.clear();
    }

    /// Acts on the aborts of requests that the scheduler knows.
    fn process_aborts(&mut self, now: SimTime, out: &mut Vec<Output>) {
        for &id in &self.aborts {
            if let Some(slot) = self.scheduler.abort(id) {
                self.processor.aborted(now, slot, out);
            }
        }
    }

    /// Schedules a pass.
    pub(super) fn schedule(&mut self, now: SimTime) {
        self.scheduler.schedule(self.in_flight.next());
        self.launch(now);
    }

    /// Puts the batch that a pass at `now` has filled behind those in flight.
    pub(super) fn launch(&mut self, now: SimTime) {
        let batch = &*self.in_flight.next();
        self.processor.scheduled(now, batch);
        let mut start = self.gpu_free_at.max(now);
        let mut duration = SimDuration::ZERO;
        if !batch.is_empty() {
            if std::mem::take(&mut self.idle) {
                start += self.timing.idle_penalty;
            }
            duration = self.timer.step_time(&batch.shape);
            self.processor.stats.steps += 1;
        }
        self.gpu_free_at = start + duration;
        self.in_flight.push(duration, self.gpu_free_at);
    }

    /// Whether the loop goes on to the next pass instead of waiting for the oldest batch: only under async
    /// scheduling, with one batch in flight, unless that is empty and nothing is left to schedule.
    fn schedules_ahead(&self) -> bool {
        self.config.async_scheduling
            && self.in_flight.len() < 2
            && (self.in_flight.latest().is_some_and(|latest| !latest.batch.is_empty())
                || self.scheduler.has_requests())
    }

    /// Processes the outputs of the oldest batch, which has ended, with `alike` tokens beside those that the batch lists.
    pub(super) fn complete_oldest(&mut self, now: SimTime, alike: Alike, out: &mut Vec<Output>) {
        if self.in_flight.is_empty() {
            return;
        }
        self.process_aborts(now, out);
        self.tokens.clear();
        let Some(InFlight { batch, duration, .. }) = self.in_flight.pop() else { return };
        let duration = *duration;
        self.scheduler.update(batch, &mut self.tokens);
        self.processor.process(now, now + self.timing.output_delay, alike, &self.tokens, out);
        self.processor.sample(&mut self.scheduler);
        self.processor.stats.busy += duration;
    }

    /// The rest of the loop's turn at `now`, when the outputs that were due have been processed: arrivals, then the next
    /// pass or passes.
    pub(super) fn go_on(&mut self, now: SimTime, out: &mut Vec<Output>) {
        loop {
            self.drain_input(now, out);
            if self.scheduler.has_requests() {
                self.schedule(now);
                if self.schedules_ahead() {
                    continue;
                }
            }
            match self.in_flight.oldest() {
                None => {
                    self.idle = true;
                    return;
                }
                Some(oldest) if oldest.end > now => return,
                // A pass without tokens has taken no time.
                Some(_) => self.complete_oldest(now, Alike::default(), out),
            }
        }
    }
}

impl<C: KvCache> Engine for EngineCore<C> {
    fn submit(&mut self, now: SimTime, mut request: EngineRequest) -> Result<(), Refusal> {
        self.check_admission(&request)?;
        // `get_max_tokens` of the OpenAI server: no more than what `max_model_len` leaves.
        let room = self.config.max_model_len - request.prompt_tokens;
        let max_tokens = Tokens(request.max_tokens_param(self.config.max_model_len));
        request.max_tokens = Some(max_tokens.min(room));
        self.input.push_back(request);
        if self.in_flight.is_empty() && self.woken_at.is_none() {
            self.woken_at = Some(now);
        }
        Ok(())
    }

    fn abort(&mut self, _now: SimTime, id: RequestId) {
        self.aborts.push(id);
    }

    fn next_event(&self) -> Option<SimTime> {
        self.in_flight.oldest().map(|oldest| oldest.end).or(self.woken_at)
    }

    fn advance(&mut self, now: SimTime, out: &mut Vec<Output>) {
        debug_assert_eq!(self.next_event(), Some(now), "advance is called at next_event");
        self.woken_at = None;
        self.complete_oldest(now, Alike::default(), out);
        self.go_on(now, out);
    }

    fn catch_up(&mut self, _now: SimTime) {
        self.processor.settle();
    }

    fn stats(&self, _now: SimTime) -> &Stats {
        self.processor.shown()
    }

    fn busy(&self, now: SimTime) -> SimDuration {
        let run = |batch: &InFlight| batch.duration - batch.duration.min(batch.end.since(now.min(batch.end)));
        self.in_flight.iter().fold(self.processor.stats.busy, |busy, batch| busy + run(batch))
    }

    fn unfinished(&self) -> Box<dyn Iterator<Item = RequestId> + '_> {
        Box::new(self.scheduler.unfinished().chain(self.input.iter().map(|request| request.id)))
    }

    fn num_unfinished(&self) -> u64 {
        (self.scheduler.num_requests() + self.input.len()) as u64
    }

    fn num_running(&self) -> u64 {
        self.scheduler.num_running() as u64
    }

    fn is_running(&self, id: RequestId) -> bool {
        self.scheduler.is_running(id)
    }

    fn usage(&self, _now: SimTime, id: RequestId) -> Usage {
        self.scheduler.slot(id).map_or_else(Usage::default, |slot| self.processor.usage(slot))
    }

    fn audit(&self) -> Result<(), String> {
        self.scheduler.audit()
    }
}

impl<C: KvCache> fmt::Debug for EngineCore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineCore")
            .field("next_event", &self.next_event())
            .field("input", &self.input.len())
            .field("running", &self.scheduler.num_running())
            .field("waiting", &self.scheduler.num_waiting())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        AdmissionRejections, BatchShape, DecodeForm, EngineArgs, FinishReason, GpuClass, ModelLimits,
        RequestSuccess,
    };
    use super::*;
    use crate::workload::Finish;

    /// 100 ns for a batch with a chunk of a prompt, 10 ns for any other.
    struct Fixed;

    impl StepTimer for Fixed {
        fn step_time(&self, batch: &BatchShape) -> SimDuration {
            SimDuration::from_nanos(if batch.prefill_requests > 0 { 100 } else { 10 })
        }

        fn decode_form(&self, _: u32) -> DecodeForm {
            DecodeForm::constant(SimDuration::from_nanos(10))
        }
    }

    fn at(ns: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_nanos(ns)
    }

    fn engine(toml: &str) -> EngineCore {
        let args: EngineArgs = toml::from_str(toml).expect("arguments");
        let gpu = GpuClass { name: "L4".to_owned(), memory_bytes: 22 << 30 };
        let config = args.resolve(&gpu, &ModelLimits { max_model_len: Tokens(64) }).expect("valid");
        let timing = EngineTiming {
            output_delay: SimDuration::from_nanos(2),
            idle_penalty: SimDuration::from_nanos(7),
        };
        EngineCore::new(config, Blocks(65), Arc::new(Fixed), timing).expect("enough blocks")
    }

    fn request(id: u64, arrival_ns: u64, output_tokens: u32, finish: Finish) -> EngineRequest {
        EngineRequest {
            id: RequestId(id),
            arrival_time: at(arrival_ns),
            prompt: Arc::from([]),
            prompt_tokens: Tokens(20),
            output_tokens: Tokens(output_tokens),
            finish,
            max_tokens: None,
            output_content: None,
            priority: 0,
            measured: true,
        }
    }

    /// Advances until `end`, and gives the times of the events and what was heard.
    fn run(engine: &mut EngineCore, end: u64) -> (Vec<SimTime>, Vec<Output>) {
        let (mut events, mut out) = (Vec::new(), Vec::new());
        while let Some(now) = engine.next_event().filter(|&now| now <= at(end)) {
            engine.advance(now, &mut out);
            events.push(now);
        }
        (events, out)
    }

    fn stats(engine: &mut EngineCore) -> &Stats {
        engine.catch_up(SimTime::NEVER);
        engine.stats(SimTime::NEVER)
    }

    fn first_token(id: u64, ns: u64) -> Output {
        Output::FirstToken { id: RequestId(id), at: at(ns) }
    }

    fn finished_at(out: &[Output], id: u64) -> Option<(SimTime, FinishReason)> {
        out.iter().find_map(|output| match *output {
            Output::Finished { id: RequestId(found), at, reason, .. } if found == id => Some((at, reason)),
            _ => None,
        })
    }

    #[test]
    fn async_from_idle_two_passes_follow_and_a_foreseen_end_wastes_nothing() {
        let mut engine = engine("");
        assert_eq!(engine.next_event(), None);
        engine.submit(at(1000), request(0, 990, 3, Finish::Length)).expect("taken");
        let (events, out) = run(&mut engine, 9999);
        // Prefill from 1007, decodes to 1117 and 1127; the pass at 1117 has nothing to give out.
        assert_eq!(events, [at(1000), at(1107), at(1117), at(1127)]);
        assert_eq!(out[0], first_token(0, 1109));
        assert_eq!(finished_at(&out, 0), Some((at(1129), FinishReason::Length)));
        let stats = stats(&mut engine);
        assert_eq!((stats.steps, stats.busy), (3, SimDuration::from_nanos(120)));
        assert_eq!((stats.prompt_tokens, stats.generation_tokens), (20, 3));
        assert_eq!(stats.request_success, RequestSuccess { stop: 0, length: 1 });
        assert_eq!((stats.num_requests_running, stats.kv_cache_usage_perc()), (0, 0.0));
        // 20 prompt tokens and the first sampled one, then one each.
        assert_eq!((stats.iteration_tokens.count(), stats.iteration_tokens.sum()), (3, 23.0));
        assert_eq!(stats.time_to_first_token.sum(), 119e-9);
        assert_eq!(stats.e2e_request_latency.sum(), 139e-9);
        assert_eq!(stats.request_queue_time.sum(), 0.0);
        assert_eq!(stats.request_prefill_time.sum(), 107e-9);
        assert_eq!(stats.request_decode_time.sum(), 20e-9);
        assert_eq!(stats.request_inference_time.sum(), 127e-9);
        assert_eq!(stats.request_time_per_output_token.sum(), 10e-9);
        assert_eq!((stats.inter_token_latency.count(), stats.itl.count()), (2, 2));
        assert_eq!(stats.request_params_max_tokens.sum(), 3.0);
    }

    #[test]
    fn async_an_unforeseen_end_costs_one_more_batch() {
        let mut engine = engine("");
        engine.submit(at(1000), request(0, 1000, 3, Finish::Eos)).expect("taken");
        let (events, out) = run(&mut engine, 9999);
        assert_eq!(events, [at(1000), at(1107), at(1117), at(1127), at(1137)]);
        assert_eq!(finished_at(&out, 0), Some((at(1129), FinishReason::Stop)));
        assert_eq!((stats(&mut engine).steps, stats(&mut engine).generation_tokens), (4, 3));
        assert_eq!(stats(&mut engine).request_params_max_tokens.sum(), 44.0);
    }

    #[test]
    fn an_arrival_during_a_batch_joins_the_second_after_it_or_under_sync_the_next() {
        // Batch 0 prefills until 1107; async, batch 1 decodes until 1117 before the second prompt starts.
        for (mode, first_seen) in [("async_scheduling = true", 1219), ("async_scheduling = false", 1209)] {
            let mut engine = engine(mode);
            engine.submit(at(1000), request(0, 1000, 9, Finish::Length)).expect("taken");
            let (_, mut out) = run(&mut engine, 1050);
            engine.submit(at(1050), request(1, 1050, 2, Finish::Length)).expect("taken");
            out.extend(run(&mut engine, 9999).1);
            assert!(out.contains(&first_token(1, first_seen)), "{mode}: {out:?}");
            assert_eq!(stats(&mut engine).request_queue_time.count(), 2);
        }
    }

    #[test]
    fn requests_of_one_instant_start_together_and_a_busy_engine_has_no_idle_penalty() {
        let mut engine = engine("");
        for id in 0..2 {
            engine.submit(at(1000), request(id, 1000, 1, Finish::Length)).expect("taken");
        }
        assert_eq!(engine.unfinished().collect::<Vec<_>>(), [RequestId(0), RequestId(1)]);
        let (_, out) = run(&mut engine, 1050);
        assert!(out.is_empty());
        // The first batch ends at 1107 and both with it: what comes at that instant finds the engine awake.
        engine.submit(at(1107), request(2, 1107, 1, Finish::Length)).expect("taken");
        let (_, out) = run(&mut engine, 9999);
        let first_tokens: Vec<_> =
            (0..3).map(|id| first_token(id, if id < 2 { 1109 } else { 1209 })).collect();
        assert!(first_tokens.iter().all(|token| out.contains(token)), "{out:?}");
    }

    #[test]
    fn a_gpu_is_busy_while_a_batch_runs_not_while_it_waits_for_one() {
        let mut engine = engine("");
        engine.submit(at(1000), request(0, 1000, 3, Finish::Length)).expect("taken");
        run(&mut engine, 1050);
        let busy = |engine: &EngineCore, ns| engine.busy(at(ns)).as_ps() / 1000;
        // The first batch starts after the idle penalty and runs from 1007 to 1107, the second to 1117.
        assert_eq!([1000, 1007, 1057, 1107, 1112].map(|ns| busy(&engine, ns)), [0, 0, 50, 100, 105]);
        run(&mut engine, 9999);
        assert_eq!((busy(&engine, 9999), stats(&mut engine).busy.as_ps() / 1000), (120, 120));
    }

    #[test]
    fn an_abort_acts_before_the_outputs_of_the_batch_that_runs() {
        let mut engine = engine("");
        engine.submit(at(1000), request(0, 1000, 30, Finish::Eos)).expect("taken");
        run(&mut engine, 1107);
        let usage = engine.usage(SimTime::ZERO, RequestId(0));
        assert_eq!((usage.output_tokens, usage.scheduled_at), (Tokens(1), Some(at(1000))));
        assert_eq!(engine.usage(SimTime::ZERO, RequestId(77)), Usage::default());
        engine.abort(at(1110), RequestId(0));
        engine.abort(at(1110), RequestId(77));
        let (events, out) = run(&mut engine, 9999);
        assert_eq!(events, [at(1117), at(1127)]);
        let [Output::Aborted { id: RequestId(0), at: when, usage }] = out[..] else { panic!("{out:?}") };
        assert_eq!((when, usage.output_tokens, usage.scheduled_at), (at(1117), Tokens(1), Some(at(1000))));
        assert_eq!((stats(&mut engine).generation_tokens, stats(&mut engine).num_requests_running), (1, 0));
        assert_eq!(engine.unfinished().count(), 0);
    }

    #[test]
    fn an_abort_that_overtakes_its_requests_drain_still_acts() {
        let mut engine = engine("");
        engine.submit(at(1000), request(0, 1000, 30, Finish::Eos)).expect("taken");
        engine.abort(at(1000), RequestId(0));
        let (events, out) = run(&mut engine, 9999);
        assert_eq!(events, [at(1000)]);
        assert!(matches!(out[..], [Output::Aborted { id: RequestId(0), .. }]), "{out:?}");
        assert_eq!(stats(&mut engine).steps, 0);
    }

    #[test]
    fn the_api_server_refuses_what_cannot_be_served() {
        let mut engine = engine("max_num_queued_reqs = 2\nmax_num_queued_tokens = 60");
        let sized =
            |id, tokens| EngineRequest { prompt_tokens: Tokens(tokens), ..request(id, 0, 5, Finish::Length) };
        assert_eq!(engine.submit(at(0), sized(0, 64)), Err(Refusal::PromptTooLong));
        assert_eq!(engine.submit(at(0), sized(0, 0)), Err(Refusal::EmptyPrompt));
        assert_eq!(engine.submit(at(0), sized(1, 63)), Ok(()));
        assert_eq!(engine.submit(at(0), sized(2, 1)), Err(Refusal::MaxNumQueuedTokens));
        // The first token of 1 ends its prefill, and max_model_len its answer.
        let (_, out) = run(&mut engine, 9999);
        assert_eq!(finished_at(&out, 1).map(|(_, reason)| reason), Some(FinishReason::Length));
        assert_eq!(stats(&mut engine).generation_tokens, 1);
        for id in 3..5 {
            assert_eq!(engine.submit(at(9999), sized(id, 5)), Ok(()));
        }
        assert_eq!(engine.submit(at(9999), sized(5, 5)), Err(Refusal::MaxNumQueuedReqs));
        let rejections = AdmissionRejections { max_num_queued_reqs: 1, max_num_queued_tokens: 1 };
        assert_eq!(stats(&mut engine).admission_rejections, rejections);
    }

    #[test]
    fn an_engine_that_cannot_hold_one_request_is_refused() {
        let config = engine("block_size = 16").config;
        let refused =
            EngineCore::new(config, Blocks(4), Arc::new(Fixed), EngineTiming::default()).map(|_| ());
        assert!(refused.is_err_and(|problem| problem.to_string().contains("max_model_len")));
    }
}
