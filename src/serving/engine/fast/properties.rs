//! The two engines side by side: the same outputs at the same times, and the same picture at every instant.

use super::*;
use crate::serving::engine::{
    BatchShape, DecodeForm, EngineArgs, GpuClass, ModelLimits, Output, RequestId, SchedulingPolicy,
};
use crate::workload::{ContentId, Finish, Segment};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A step time with a floor and a slope, so that runs are constant, linear, and cross from one to the other.
#[derive(Clone, Copy, Debug)]
struct Form {
    base: u64,
    request: u64,
    slope: u64,
    floor: u64,
}

impl StepTimer for Form {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        if batch.requests() == 0 {
            return SimDuration::ZERO;
        }
        let base = self.base + self.request * u64::from(batch.requests()) + 3 * batch.prefill_tokens;
        let pairs = batch.prefill_pairs_x2 as u64 / 16;
        SimDuration::from_nanos((base + pairs + self.slope * batch.decode_context).max(self.floor))
    }

    fn decode_form(&self, requests: u32) -> DecodeForm {
        DecodeForm {
            base: SimDuration::from_nanos(self.base + self.request * u64::from(requests)),
            context_slope: SimDuration::from_nanos(self.slope),
            floor: SimDuration::from_nanos(self.floor),
            longest: SimDuration::MAX,
        }
    }
}

/// What is done to an engine, in order of time and then of kind.
#[derive(Clone, Debug)]
enum Act {
    Abort(RequestId),
    Submit(EngineRequest),
    Look,
}

#[derive(Clone, Debug)]
struct Load {
    config: EngineConfig,
    num_gpu_blocks: Blocks,
    form: Form,
    acts: Vec<(SimTime, Act)>,
}

fn at(ns: u64) -> SimTime {
    SimTime::ZERO + SimDuration::from_nanos(ns)
}

prop_compose! {
    fn config(max_model_len: u32)(
        block_size in 1u32..9,
        seats in prop_oneof![1u32..7, 8u32..40],
        budget in prop_oneof![7u32..60, 100u32..300],
        chunked in prop::bool::weighted(0.8),
        threshold in prop_oneof![4 => Just(0u32), 1 => 1u32..9],
        adaptive in any::<bool>(),
        flags in any::<[bool; 3]>(),
        priority in prop::bool::weighted(0.2),
        watermark in prop_oneof![Just(0.0), Just(0.2)],
        scheduled in prop::option::weighted(0.2, 5u32..40),
        active in prop::option::weighted(0.1, 1u32..7),
    ) -> EngineConfig {
        EngineArgs {
            max_num_seqs: Some(seats),
            max_num_active_seqs: active.map(|active| active.min(seats)),
            max_num_batched_tokens: Some(if chunked { budget.max(seats) } else { budget.max(seats).max(max_model_len) }),
            max_num_scheduled_tokens: scheduled.filter(|_| chunked).map(|scheduled| scheduled.min(budget)),
            enable_chunked_prefill: Some(chunked),
            long_prefill_token_threshold: Some(threshold),
            long_prefill_token_threshold_adaptive: Some(adaptive),
            block_size: Some(block_size),
            watermark: Some(watermark),
            enable_prefix_caching: Some(flags[0]),
            scheduler_reserve_full_isl: Some(flags[1]),
            async_scheduling: Some(flags[2]),
            scheduling_policy: Some(if priority { SchedulingPolicy::Priority } else { SchedulingPolicy::Fcfs }),
            ..EngineArgs::default()
        }
        .resolve(
            &GpuClass { name: String::new(), memory_bytes: 0 },
            &ModelLimits { max_model_len: Tokens(max_model_len) },
        )
        .expect("a valid configuration")
    }
}

prop_compose! {
    /// A request, how long after the one before it comes, and how long its client waits.
    fn client(max_model_len: u32, sharing: u32)(
        gap in prop_oneof![2 => Just(0u64), 3 => 0u64..300, 2 => 0u64..20_000],
        abort_after in prop::option::weighted(0.15, 0u64..40_000),
        texts in prop::option::weighted(f64::from(sharing.max(1)) / 1000.0, prop::collection::vec((0u64..4, 1u32..30), 1..3)),
        own in prop_oneof![1u32..12, 1u32..80],
        output in prop_oneof![1u32..5, 1u32..300],
        finish in prop_oneof![Just(Finish::Eos), Just(Finish::Length)],
        priority in 0i32..3,
        measured in any::<bool>(),
        answer in prop::option::weighted(f64::from(sharing.max(1)) / 5000.0, 0u64..4),
    ) -> (u64, Option<u64>, EngineRequest) {
        let prompt: Arc<[Segment]> = texts
            .unwrap_or_default()
            .into_iter()
            .map(|(text, n)| Segment { content: ContentId(text), tokens: Tokens(n) })
            .collect();
        let shared: u32 = prompt.iter().map(|segment| segment.tokens.get()).sum();
        (gap, abort_after, EngineRequest {
            id: RequestId(0),
            arrival_time: SimTime::ZERO,
            prompt,
            prompt_tokens: Tokens((shared + own).min(max_model_len - 1)),
            output_tokens: Tokens(output),
            finish,
            max_tokens: None,
            output_content: answer.map(ContentId),
            priority,
            measured,
        })
    }
}

fn load() -> impl Strategy<Value = Load> {
    // Short and long contexts; nobody shares, a few do, most do; blocks for little more than one request, or ample.
    let sizes = (40u32..400, prop_oneof![Just(1u32), Just(20), Just(600)], prop_oneof![0u32..12, 20u32..200, 2000u32..4000]);
    sizes.prop_flat_map(|(max_model_len, sharing, spare_blocks)| {
        let form = (1u64..200, 0u64..9, 0u64..3, prop_oneof![Just(1u64), 1u64..2000]);
        (
            config(max_model_len),
            form,
            prop::collection::vec(client(max_model_len, sharing), 1..30),
            prop::collection::vec(0u64..100_000, 0..20),
        )
            .prop_map(move |(config, (base, request, slope, floor), clients, looks)| {
                let mut acts = Vec::new();
                let mut now = 0;
                for (id, (gap, abort_after, request)) in (0..).zip(clients) {
                    now += gap;
                    let arrival_time = at(now.saturating_sub(3));
                    let id = RequestId(id);
                    acts.extend(abort_after.map(|after| (at(now + after), Act::Abort(id))));
                    acts.push((at(now), Act::Submit(EngineRequest { id, arrival_time, ..request })));
                }
                acts.extend(looks.into_iter().map(|ns| (at(ns), Act::Look)));
                let rank = |act: &Act| match act {
                    Act::Abort(_) => 0,
                    Act::Submit(_) => 1,
                    Act::Look => 2,
                };
                acts.sort_by_key(|(at, act)| (*at, rank(act)));
                Load {
                    num_gpu_blocks: config.blocks_of(config.max_model_len) + Blocks(1 + spare_blocks),
                    form: Form { base, request, slope, floor },
                    config,
                    acts,
                }
            })
    })
}

/// An engine and the event of it that is in the queue, as the simulation follows it.
struct Driven<E> {
    engine: E,
    followed: Option<SimTime>,
    /// It was idle when the event was put in the queue, for that very instant.
    wakes: bool,
    out: Vec<Output>,
    events: u64,
}

impl<E: Engine> Driven<E> {
    fn new(engine: E) -> Self {
        Driven { engine, followed: None, wakes: false, out: Vec::new(), events: 0 }
    }

    fn follow(&mut self, now: SimTime) {
        let next = self.engine.next_event();
        if next != self.followed {
            self.followed = next;
            self.wakes = next == Some(now);
        }
    }

    /// Its events before `now`, and those at `now` that come before what others do then.
    fn run_until(&mut self, now: SimTime, woken_too: bool) -> Result<(), TestCaseError> {
        while let Some(event) = self.followed
            && (event < now || (event == now && (woken_too || !self.wakes)))
        {
            self.followed = None;
            self.engine.advance(event, &mut self.out);
            self.events += 1;
            prop_assert!(self.engine.next_event().is_none_or(|next| next > event), "the engine stands still at {event}: {:?}", self.engine);
            self.follow(event);
        }
        Ok(())
    }

    fn act(&mut self, now: SimTime, act: &Act) -> Result<(), TestCaseError> {
        self.run_until(now, matches!(act, Act::Look))?;
        match act {
            Act::Abort(id) => self.engine.abort(now, *id),
            Act::Submit(request) => drop(self.engine.submit(now, request.clone())),
            Act::Look => self.engine.catch_up(now),
        }
        self.follow(now);
        Ok(())
    }
}

fn engines(load: &Load) -> (Driven<EngineCore>, Driven<FastEngine>) {
    const TIMING: EngineTiming =
        EngineTiming { output_delay: SimDuration::from_nanos(2), idle_penalty: SimDuration::from_nanos(11) };
    let timer = || Arc::new(load.form);
    let stepwise = EngineCore::new(load.config.clone(), load.num_gpu_blocks, timer(), TIMING);
    let fast = FastEngine::new(load.config.clone(), load.num_gpu_blocks, timer(), TIMING);
    (Driven::new(stepwise.expect("enough blocks")), Driven::new(fast.expect("enough blocks")))
}

/// Drives both through the load, comparing what they show at each look. The answer is how many events each took.
fn compare(load: &Load) -> Result<(u64, u64), TestCaseError> {
    let (mut stepwise, mut fast) = engines(load);
    for (now, act) in &load.acts {
        stepwise.act(*now, act)?;
        fast.act(*now, act)?;
        let (s, f) = (&stepwise.engine, &fast.engine);
        prop_assert_eq!(s.num_unfinished(), f.num_unfinished());
        if !matches!(act, Act::Look) {
            continue;
        }
        prop_assert_eq!(s.stats(*now), f.stats(*now), "at {}", now);
        prop_assert_eq!(s.busy(*now), f.busy(*now));
        prop_assert_eq!((s.num_running(), s.num_waiting()), (f.num_running(), f.num_waiting()));
        let unfinished: Vec<RequestId> = s.unfinished().collect();
        prop_assert_eq!(&unfinished, &f.unfinished().collect::<Vec<_>>());
        for id in unfinished {
            prop_assert_eq!(s.usage(*now, id), f.usage(*now, id), "{:?} at {}", id, now);
            prop_assert_eq!(s.is_running(id), f.is_running(id));
        }
        f.audit().map_err(TestCaseError::fail)?;
        prop_assert_eq!(&stepwise.out, &fast.out);
    }
    stepwise.act(SimTime::NEVER, &Act::Look)?;
    fast.act(SimTime::NEVER, &Act::Look)?;
    prop_assert_eq!(&stepwise.out, &fast.out);
    prop_assert_eq!(stepwise.engine.stats(SimTime::NEVER), fast.engine.stats(SimTime::NEVER));
    prop_assert_eq!(fast.engine.num_unfinished(), 0);
    fast.engine.audit().map_err(TestCaseError::fail)?;
    Ok((stepwise.events, fast.events))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn both_engines_are_one(load in load()) {
        let (stepwise, fast) = compare(&load)?;
        prop_assert!(fast <= stepwise, "{fast} events, {stepwise} step by step");
    }
}
