//! Properties of the scheduler and of the engine's loop over random loads that are short of blocks, seats and tokens.

use super::*;
use crate::serving::engine::bucket_histogram::families;
use crate::units::{Blocks, SimDuration, SimTime, Tokens};
use crate::workload::{ContentId, Finish, Segment};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A load: when each request comes, and when its client gives up.
#[derive(Clone, Debug)]
struct Load {
    config: EngineConfig,
    num_gpu_blocks: Blocks,
    requests: Vec<Client>,
}

#[derive(Clone, Debug)]
struct Client {
    at: SimTime,
    abort_at: Option<SimTime>,
    request: EngineRequest,
}

const MAX_MODEL_LEN: u32 = 40;

fn at(ns: u64) -> SimTime {
    SimTime::ZERO + SimDuration::from_nanos(ns)
}

prop_compose! {
    fn config()(
        block_size in 1u32..6,
        max_num_seqs in 1u32..7,
        budget in 7u32..60,
        chunked in any::<bool>(),
        threshold in prop_oneof![Just(0u32), 1u32..9],
        adaptive in any::<bool>(),
        flags in any::<[bool; 4]>(),
        watermark in prop_oneof![Just(0.0), Just(0.2)],
    ) -> EngineConfig {
        EngineArgs {
            max_num_seqs: Some(max_num_seqs),
            max_num_batched_tokens: Some(if chunked { budget } else { budget.max(MAX_MODEL_LEN) }),
            enable_chunked_prefill: Some(chunked),
            long_prefill_token_threshold: Some(threshold),
            long_prefill_token_threshold_adaptive: Some(adaptive),
            block_size: Some(block_size),
            watermark: Some(watermark),
            enable_prefix_caching: Some(flags[0]),
            scheduler_reserve_full_isl: Some(flags[1]),
            async_scheduling: Some(flags[2]),
            scheduling_policy: Some(if flags[3] { SchedulingPolicy::Priority } else { SchedulingPolicy::Fcfs }),
            ..EngineArgs::default()
        }
        .resolve(
            &GpuClass { name: String::new(), memory_bytes: 0 },
            &ModelLimits { max_model_len: Tokens(MAX_MODEL_LEN) },
        )
        .expect("a valid configuration")
    }
}

prop_compose! {
    fn client()(
        gap in prop_oneof![Just(0u64), 0u64..60, 0u64..3000],
        abort_after in prop::option::weighted(0.15, 0u64..2000),
        prompt in prop::collection::vec((0u64..4, 1u32..15), 0..3),
        own in 1u32..12,
        output in 1u32..40,
        finish in prop_oneof![Just(Finish::Eos), Just(Finish::Length)],
        priority in 0i32..3,
        measured in any::<bool>(),
        output_content in prop::option::of(0u64..4),
    ) -> (u64, Option<u64>, EngineRequest) {
        let prompt: Arc<[Segment]> = prompt
            .into_iter()
            .map(|(text, n)| Segment { content: ContentId(text), tokens: Tokens(n) })
            .collect();
        let shared: u32 = prompt.iter().map(|segment| segment.tokens.get()).sum();
        (gap, abort_after, EngineRequest {
            id: RequestId(0),
            arrival_time: SimTime::ZERO,
            prompt,
            prompt_tokens: Tokens((shared + own).min(MAX_MODEL_LEN - 1)),
            output_tokens: Tokens(output),
            finish,
            max_tokens: None,
            output_content: output_content.map(ContentId),
            priority,
            measured,
        })
    }
}

prop_compose! {
    fn load()(
        config in config(),
        spare_blocks in 0u32..12,
        clients in prop::collection::vec(client(), 1..25),
    ) -> Load {
        let mut now = 0;
        let requests = clients.into_iter().enumerate().map(|(id, (gap, abort_after, request))| {
            now += gap;
            let arrival_time = at(now.saturating_sub(3));
            Client {
                at: at(now),
                abort_at: abort_after.map(|after| at(now + after)),
                request: EngineRequest { id: RequestId(id as u64), arrival_time, ..request },
            }
        });
        Load {
            num_gpu_blocks: config.blocks_of(config.max_model_len) + Blocks(1 + spare_blocks),
            requests: requests.collect(),
            config,
        }
    }
}

/// Nanoseconds that look like a real step: a base, a part by request, a part by context, a part by chunk.
#[derive(Clone, Copy)]
struct Linear;

impl StepTimer for Linear {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        if batch.tokens() == 0 {
            return SimDuration::ZERO;
        }
        let context = batch.decode_context + batch.prefill_pairs_x2 as u64 / 2;
        let fixed = 20 + 3 * u64::from(batch.requests()) + batch.prefill_tokens;
        SimDuration::from_ps(1000 * fixed + 62 * context)
    }

    fn decode_form(&self, requests: u32) -> DecodeForm {
        DecodeForm {
            base: SimDuration::from_nanos(20 + 3 * u64::from(requests)),
            context_slope: SimDuration::from_ps(62),
            floor: SimDuration::ZERO,
            longest: SimDuration::MAX,
        }
    }
}

const TIMING: EngineTiming =
    EngineTiming { output_delay: SimDuration::from_nanos(2), idle_penalty: SimDuration::from_nanos(11) };

/// What happened to one request, from the calls of the scheduler alone.
#[derive(Clone, Debug, Default)]
struct Story {
    queued: Option<SimTime>,
    scheduled: Option<SimTime>,
    cached: u32,
    tokens: Vec<SimTime>,
    preemptions: u32,
    finish: Option<FinishReason>,
}

/// The loop of the engine written out as it is told, batch by batch, on top of a scheduler.
struct Naive<'a> {
    load: &'a Load,
    scheduler: Scheduler,
    stories: BTreeMap<u64, Story>,
    outputs: Vec<Output>,
    iteration_tokens: Vec<u32>,
    steps: u64,
    passes: u64,
    busy: SimDuration,
    arrived: usize,
    prefix_cache: (u64, u64),
}

impl<'a> Naive<'a> {
    fn run(load: &'a Load) -> Result<Self, TestCaseError> {
        let mut naive = Naive {
            load,
            scheduler: Scheduler::new(load.config.clone(), load.num_gpu_blocks),
            stories: BTreeMap::new(),
            outputs: Vec::new(),
            iteration_tokens: Vec::new(),
            steps: 0,
            passes: 0,
            busy: SimDuration::ZERO,
            arrived: 0,
            prefix_cache: (0, 0),
        };
        while let Some(client) = load.requests.get(naive.arrived) {
            let end = naive.busy_period(client.at)?;
            // Arrivals at the end of the period were drained by it.
            prop_assert!(load.requests.get(naive.arrived).is_none_or(|next| next.at > end));
        }
        Ok(naive)
    }

    /// From the first arrival at an idle engine to the next idle moment.
    fn busy_period(&mut self, start: SimTime) -> Result<SimTime, TestCaseError> {
        let depth = if self.load.config.async_scheduling { 2 } else { 1 };
        let (mut now, mut gpu_free, mut first) = (start, start, true);
        let mut in_flight: VecDeque<(Batch, SimDuration, SimTime)> = VecDeque::new();
        loop {
            self.drain(now);
            while in_flight.len() < depth && self.scheduler.has_requests() {
                let (batch, duration) = self.schedule(now)?;
                let penalty = if duration.is_zero() || !std::mem::take(&mut first) {
                    SimDuration::ZERO
                } else {
                    TIMING.idle_penalty
                };
                gpu_free = gpu_free.max(now) + penalty + duration;
                in_flight.push_back((batch, duration, gpu_free));
            }
            let Some((batch, duration, end)) = in_flight.pop_front() else { return Ok(now) };
            now = end;
            self.busy += duration;
            self.abort(now);
            self.update(now, &batch)?;
        }
    }

    fn drain(&mut self, now: SimTime) {
        while let Some(client) = self.load.requests.get(self.arrived).filter(|client| client.at <= now) {
            self.scheduler.add_request(&client.request);
            let story = self.stories.entry(client.request.id.0).or_default();
            story.queued = Some(now);
            self.arrived += 1;
        }
        self.abort(now);
    }

    fn abort(&mut self, now: SimTime) {
        let mut due: Vec<(SimTime, RequestId)> = self.load.requests[..self.arrived]
            .iter()
            .filter_map(|client| Some((client.abort_at?, client.request.id)))
            .filter(|(abort_at, _)| *abort_at <= now)
            .collect();
        due.sort();
        for (_, id) in due {
            if self.scheduler.abort(id).is_some() {
                let usage = self.stories[&id.0].usage();
                self.outputs.push(Output::Aborted { id, at: now, usage });
            }
        }
    }

    fn schedule(&mut self, now: SimTime) -> Result<(Batch, SimDuration), TestCaseError> {
        let mut batch = Batch::default();
        self.scheduler.schedule(&mut batch);
        self.scheduler.audit().map_err(TestCaseError::fail)?;
        let config = &self.load.config;
        let tokens: u32 = batch.scheduled.iter().map(|scheduled| scheduled.tokens.get()).sum();
        prop_assert_eq!(u64::from(tokens), batch.shape.tokens());
        prop_assert_eq!(batch.scheduled.len(), batch.shape.requests() as usize);
        prop_assert!(tokens <= config.max_num_scheduled_tokens.get());
        prop_assert!(self.scheduler.num_running() <= config.max_num_active_seqs);
        prop_assert!(batch.preempted.is_empty() || batch.admitted.is_empty());
        for &(id, _) in &batch.preempted {
            self.stories.entry(id.0).or_default().preemptions += 1;
        }
        for admitted in batch.admitted.iter().filter(|admitted| !admitted.resumed) {
            let story = self.stories.entry(admitted.id.0).or_default();
            (story.scheduled, story.cached) = (Some(now), admitted.cached_tokens.get());
        }
        self.steps += u64::from(!batch.is_empty());
        self.passes += 1;
        prop_assert!(self.passes < 100_000, "the scheduler makes no progress");
        let duration = Linear.step_time(&batch.shape);
        Ok((batch, duration))
    }

    fn update(&mut self, now: SimTime, batch: &Batch) -> Result<(), TestCaseError> {
        let mut tokens = Vec::new();
        self.scheduler.update(batch, &mut tokens);
        self.scheduler.audit().map_err(TestCaseError::fail)?;
        let mut iteration = tokens.len() as u32;
        for token in &tokens {
            let story = self.stories.entry(token.id.0).or_default();
            let visible = now + TIMING.output_delay;
            story.tokens.push(now);
            if story.tokens.len() == 1 {
                let prompt = self.load.requests[token.id.0 as usize].request.prompt_tokens.get();
                iteration += prompt - story.cached;
                self.outputs.push(Output::FirstToken { id: token.id, at: visible });
            }
            if let Some(reason) = token.finish {
                story.finish = Some(reason);
                let usage = story.usage();
                self.outputs.push(Output::Finished { id: token.id, at: visible, reason, usage });
            }
        }
        if !tokens.is_empty() {
            self.iteration_tokens.push(iteration);
        }
        let stats = self.scheduler.take_prefix_cache_stats();
        self.prefix_cache.0 += stats.queries;
        self.prefix_cache.1 += stats.hits;
        Ok(())
    }

    /// The metrics by their definitions, from the stories.
    fn stats(&self) -> Stats {
        let mut stats = Stats::new(&self.load.config, self.scheduler.usable_blocks());
        (stats.prefix_cache_queries, stats.prefix_cache_hits) = self.prefix_cache;
        (stats.steps, stats.busy) = (self.steps, self.busy);
        stats.kv_cache_free = self.scheduler.free_blocks();
        for &tokens in &self.iteration_tokens {
            stats.iteration_tokens.observe(Tokens(tokens));
        }
        for (&id, story) in &self.stories {
            story.count_in(&self.load.requests[id as usize].request, &mut stats);
        }
        stats
    }
}

impl Story {
    fn usage(&self) -> Usage {
        Usage {
            output_tokens: Tokens(self.tokens.len() as u32),
            cached_tokens: Tokens(self.cached),
            preemptions: self.preemptions,
            queued_at: self.queued,
            scheduled_at: self.scheduled,
        }
    }

    fn count_in(&self, request: &EngineRequest, stats: &mut Stats) {
        let (Some(&first), Some(&last)) = (self.tokens.first(), self.tokens.last()) else { return };
        let (queued, scheduled) = (self.queued.expect("queued"), self.scheduled.expect("scheduled"));
        let prompt = request.prompt_tokens.get();
        stats.prompt_tokens += u64::from(prompt);
        stats.prompt_tokens_cached += u64::from(self.cached);
        stats.generation_tokens += self.tokens.len() as u64;
        stats.time_to_first_token.observe((first + TIMING.output_delay).since(request.arrival_time));
        for pair in self.tokens.windows(2) {
            stats.inter_token_latency.observe(pair[1].since(pair[0]));
            if request.measured {
                stats.itl.record(pair[1].since(pair[0]));
            }
        }
        let Some(reason) = self.finish else { return };
        match reason {
            FinishReason::Stop => stats.request_success.stop += 1,
            FinishReason::Length => stats.request_success.length += 1,
        }
        let answer = Tokens(self.tokens.len() as u32);
        let decode = last.since(first);
        let per_token = decode.as_ps().div_ceil(u64::from(answer.get()).max(2) - 1);
        stats.request_time_per_output_token.observe(SimDuration::from_ps(per_token));
        stats.e2e_request_latency.observe((last + TIMING.output_delay).since(request.arrival_time));
        stats.request_queue_time.observe(scheduled.since(queued));
        stats.request_prefill_time.observe(first.since(scheduled));
        stats.request_decode_time.observe(decode);
        stats.request_inference_time.observe(last.since(scheduled));
        stats.request_prompt_tokens.observe(Tokens(prompt));
        stats.request_generation_tokens.observe(answer);
        let room = MAX_MODEL_LEN - prompt;
        stats.request_params_max_tokens.observe(Tokens(match request.finish {
            Finish::Length => request.output_tokens.get().min(room),
            Finish::Eos => room,
        }));
        stats.request_params_n.observe(1);
        stats.request_prefill_kv_computed_tokens.observe(Tokens(prompt - self.cached));
        stats.request_num_preemptions.observe(self.preemptions);
    }
}

/// The engine under the load, driven by its events: arrivals before the engine's own event at one instant, aborts
/// too, so that both act in it.
fn run_engine<C: KvCache>(load: &Load) -> Result<(Vec<Output>, Stats), TestCaseError> {
    let timer = Arc::new(Linear);
    let mut engine = EngineCore::<C>::with_cache(load.config.clone(), load.num_gpu_blocks, timer, TIMING)
        .expect("the blocks hold one request");
    let mut out = Vec::new();
    let mut arrivals: VecDeque<&Client> = load.requests.iter().collect();
    let mut aborts: Vec<(SimTime, RequestId)> =
        load.requests.iter().filter_map(|client| Some((client.abort_at?, client.request.id))).collect();
    aborts.sort();
    let mut aborts = VecDeque::from(aborts);
    loop {
        let arrival = arrivals.front().map_or(SimTime::NEVER, |client| client.at);
        let abort = aborts.front().map_or(SimTime::NEVER, |abort| abort.0);
        let event = engine.next_event().unwrap_or(SimTime::NEVER);
        let now = arrival.min(abort).min(event);
        if now == SimTime::NEVER {
            break;
        }
        if arrival == now {
            let client = arrivals.pop_front().expect("an arrival");
            engine.submit(now, client.request.clone()).expect("a valid request");
        } else if abort == now {
            let (_, id) = aborts.pop_front().expect("an abort");
            engine.abort(now, id);
        } else {
            engine.advance(now, &mut out);
            engine.audit().map_err(TestCaseError::fail)?;
            prop_assert!(engine.next_event().is_none_or(|next| next > now), "the engine stands still");
        }
    }
    prop_assert_eq!(engine.unfinished().count(), 0);
    // An abort is told when it is acted on, a token one output path later.
    let acted_at = |output: &Output| match *output {
        Output::FirstToken { at, .. } | Output::Finished { at, .. } => at,
        Output::Aborted { at, .. } => at + TIMING.output_delay,
    };
    prop_assert!(out.is_sorted_by_key(acted_at));
    engine.catch_up(SimTime::NEVER);
    Ok((out, engine.stats(SimTime::NEVER).clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_engine_is_the_scheduler_on_a_clock(load in load()) {
        let naive = Naive::run(&load)?;
        let (outputs, stats) = run_engine::<BlockCache>(&load)?;
        prop_assert_eq!(&outputs, &naive.outputs);
        let mut want = naive.stats();
        // A preemption is counted when the request's next output arrives; an abort may come before it.
        let told: u64 = naive.stories.values().filter(|s| s.finish.is_some()).map(|s| u64::from(s.preemptions)).sum();
        let all: u64 = naive.stories.values().map(|s| u64::from(s.preemptions)).sum();
        prop_assert!((told..=all).contains(&stats.num_preemptions));
        want.num_preemptions = stats.num_preemptions;
        prop_assert_eq!(stats, want);
    }

    #[test]
    fn an_engine_is_the_same_on_either_cache(load in load()) {
        let (blocks, runs) = (run_engine::<BlockCache>(&load)?, run_engine::<RunLengthCache>(&load)?);
        prop_assert_eq!(blocks.0, runs.0);
        prop_assert_eq!(blocks.1, runs.1);
    }

    /// Blocks that only their own request could find are kept out of the map until it is preempted; those of texts
    /// with a name never are.
    #[test]
    fn a_text_of_ones_own_is_a_text_that_nobody_else_names(load in load()) {
        let mut named = load.clone();
        for client in &mut named.requests {
            let request = &mut client.request;
            let shared: u32 = request.prompt.iter().map(|segment| segment.tokens.get()).sum();
            let rest = Segment {
                content: ContentId(1000 + request.id.0),
                tokens: Tokens(request.prompt_tokens.get().saturating_sub(shared)),
            };
            request.prompt = request.prompt.iter().copied().chain([rest]).collect();
            request.output_content = request.output_content.or(Some(ContentId(2000 + request.id.0)));
        }
        let (own, named) = (Naive::run(&load)?, Naive::run(&named)?);
        prop_assert_eq!(own.outputs, named.outputs);
        prop_assert_eq!((own.prefix_cache, own.steps), (named.prefix_cache, named.steps));
    }

    #[test]
    fn every_request_gets_what_it_asked_for(load in load()) {
        let naive = Naive::run(&load)?;
        prop_assert_eq!(naive.stories.len(), load.requests.len());
        prop_assert_eq!(naive.scheduler.free_blocks(), naive.scheduler.usable_blocks());
        for client in &load.requests {
            let (request, story) = (&client.request, &naive.stories[&client.request.id.0]);
            let room = MAX_MODEL_LEN - request.prompt_tokens.get();
            let answer = request.output_tokens.get().min(room);
            let made = story.tokens.len() as u32;
            match story.finish {
                Some(FinishReason::Stop) => {
                    prop_assert!(request.finish == Finish::Eos && made == request.output_tokens.get());
                }
                Some(FinishReason::Length) => prop_assert_eq!(made, answer),
                None => prop_assert!(client.abort_at.is_some() && made <= answer),
            }
        }
    }
}

/// vLLM's own loop has two batches in flight, and then a preempted request never waits for older outputs of its own:
/// they are back before the next pass. A deeper pipeline shows the rule.
#[test]
fn a_request_with_stale_outputs_in_flight_is_passed_over() {
    let config = EngineArgs { max_num_seqs: Some(4), block_size: Some(4), ..EngineArgs::default() }
        .resolve(
            &GpuClass { name: String::new(), memory_bytes: 0 },
            &ModelLimits { max_model_len: Tokens(MAX_MODEL_LEN) },
        )
        .expect("a valid configuration");
    let mut scheduler = Scheduler::new(config, Blocks(11));
    let request = |id, prompt_tokens| EngineRequest {
        id: RequestId(id),
        arrival_time: at(id),
        prompt: Arc::from([]),
        prompt_tokens: Tokens(prompt_tokens),
        output_tokens: Tokens(20),
        finish: Finish::Eos,
        max_tokens: None,
        output_content: None,
        priority: 0,
        measured: false,
    };
    scheduler.add_request(&request(0, 20));
    scheduler.add_request(&request(1, 19));
    let mut batches: [Batch; 4] = Default::default();
    // Both prefill in ten blocks, 1 decodes into the last one's last place, then 0 needs a block of it.
    for batch in &mut batches[..2] {
        scheduler.schedule(batch);
    }
    assert_eq!(batches[1].preempted.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1]);
    scheduler.schedule(&mut batches[2]);
    assert_eq!((scheduler.num_running(), scheduler.num_waiting(), scheduler.num_deferred()), (1, 1, 1));
    let mut tokens = Vec::new();
    scheduler.update(&batches[0], &mut tokens);
    assert_eq!(tokens.len(), 2, "what was in flight is delivered all the same");
    scheduler.schedule(&mut batches[3]);
    assert_eq!(scheduler.num_deferred(), 1, "it stays so until it is admitted");
    scheduler.abort(RequestId(0));
    scheduler.schedule(&mut batches[0]);
    assert_eq!((scheduler.num_running(), scheduler.num_waiting(), scheduler.num_deferred()), (1, 0, 0));
    let [Admitted { id: RequestId(1), resumed: true, cached_tokens: Tokens(16), .. }] =
        batches[0].admitted[..]
    else {
        panic!("{:?}", batches[0].admitted)
    };
    assert_eq!(scheduler.audit(), Ok(()));
}

#[test]
fn bucket_bounds_are_those_of_a_real_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles/vllm/metrics_page.txt");
    let page = std::fs::read_to_string(path).expect("the recorded page");
    let les = |metric: &str| -> Vec<f64> {
        let prefix = format!("vllm:{metric}_bucket{{");
        let samples = page.lines().filter(|line| line.starts_with(&prefix));
        let le = samples.filter_map(|line| line.split("le=\"").nth(1)?.split('"').next());
        le.filter(|le| *le != "+Inf").map(|le| le.parse().expect("a number")).collect()
    };
    fn bounds<T: Measure>(h: &BucketHistogram<T>) -> Vec<f64> {
        h.buckets().map(|(le, _)| le).collect()
    }
    let mut config = EngineArgs::default()
        .resolve(
            &GpuClass { name: String::new(), memory_bytes: 0 },
            &ModelLimits { max_model_len: Tokens(4096) },
        )
        .expect("defaults are valid");
    let stats = Stats::new(&config, Blocks(128));
    let families = [
        ("iteration_tokens_total", bounds(&stats.iteration_tokens)),
        ("time_to_first_token_seconds", bounds(&stats.time_to_first_token)),
        ("inter_token_latency_seconds", bounds(&stats.inter_token_latency)),
        ("request_time_per_output_token_seconds", bounds(&stats.request_time_per_output_token)),
        ("e2e_request_latency_seconds", bounds(&stats.e2e_request_latency)),
        ("request_queue_time_seconds", bounds(&stats.request_queue_time)),
        ("request_prefill_time_seconds", bounds(&stats.request_prefill_time)),
        ("request_decode_time_seconds", bounds(&stats.request_decode_time)),
        ("request_inference_time_seconds", bounds(&stats.request_inference_time)),
        ("request_prompt_tokens", bounds(&stats.request_prompt_tokens)),
        ("request_generation_tokens", bounds(&stats.request_generation_tokens)),
        ("request_max_num_generation_tokens", bounds(&stats.request_generation_tokens)),
        ("request_params_max_tokens", bounds(&stats.request_params_max_tokens)),
        ("request_params_n", bounds(&stats.request_params_n)),
        ("request_prefill_kv_computed_tokens", bounds(&stats.request_prefill_kv_computed_tokens)),
        ("request_num_preemptions", bounds(&stats.request_num_preemptions)),
    ];
    for (metric, bounds) in families {
        assert_eq!(les(metric), bounds, "{metric}");
    }
    config.max_model_len = Tokens(8192);
    assert_eq!(families::request_tokens(config.max_model_len).last(), Some(&5000));
}
