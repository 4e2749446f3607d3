//! How fast the plain engine is on either KV cache: `cargo bench --bench engine`. Items are steps or requests.

use divan::Bencher;
use divan::counter::ItemsCount;
use dryscale::random::{Stream, Streams};
use dryscale::serving::engine::{
    BatchShape, BlockCache, DecodeForm, Engine, EngineArgs, EngineConfig, EngineCore, EngineRequest,
    EngineTiming, GpuClass, KvCache, ModelLimits, RequestId, RunLengthCache, StepTimer,
};
use dryscale::units::{Blocks, SimDuration, SimTime, Tokens};
use dryscale::workload::{ContentId, Finish, Segment};
use std::sync::Arc;

fn main() {
    divan::main();
}

/// A step of an 8B model on one H100, roughly: 7 ms, 20 us a request, 0.06 us a token of context, 25 us a token of prompt.
struct Linear;

impl StepTimer for Linear {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        let us = 7_000 + 20 * u64::from(batch.decode_requests) + 25 * batch.prefill_tokens;
        SimDuration::from_nanos(1_000 * us + 60 * batch.decode_context)
    }

    fn decode_form(&self, requests: u32) -> DecodeForm {
        DecodeForm {
            base: SimDuration::from_nanos(1_000 * (7_000 + 20 * u64::from(requests))),
            context_slope: SimDuration::from_nanos(60),
            floor: SimDuration::ZERO,
            longest: SimDuration::MAX,
        }
    }
}

fn config() -> EngineConfig {
    let gpu = GpuClass { name: "NVIDIA H100 80GB HBM3".to_owned(), memory_bytes: 85_000_000_000 };
    let model = ModelLimits { max_model_len: Tokens(32_768) };
    EngineArgs::default().resolve(&gpu, &model).expect("defaults are valid")
}

fn engine<C: KvCache>(num_gpu_blocks: u32) -> EngineCore<C> {
    EngineCore::with_cache(config(), Blocks(num_gpu_blocks), Arc::new(Linear), EngineTiming::default())
        .expect("the blocks hold one request")
}

fn request(
    id: u64,
    at: SimTime,
    prompt: Arc<[Segment]>,
    prompt_tokens: u32,
    output_tokens: u32,
) -> EngineRequest {
    EngineRequest {
        id: RequestId(id),
        arrival_time: at,
        prompt,
        prompt_tokens: Tokens(prompt_tokens),
        output_tokens: Tokens(output_tokens),
        finish: Finish::Eos,
        max_tokens: None,
        output_content: None,
        priority: 0,
        measured: true,
    }
}

/// Requests at 12 a second with prompts and answers like those of the public Azure conversation trace; a share of
/// them begin with one of eight prefixes.
fn conversation(requests: u64, shared: f64) -> Vec<EngineRequest> {
    let mut stream: Stream = Streams::new(1).stream("bench");
    let mut now = SimTime::ZERO;
    let mut length = |mean: f64, most: u32| {
        let drawn = -libm::log(stream.open_unit()) * mean;
        (drawn as u32).clamp(1, most)
    };
    (0..requests)
        .map(|id| {
            now += SimDuration::from_nanos(u64::from(length(83_000_000.0, u32::MAX)));
            let (prompt_tokens, output_tokens) = (length(1155.0, 14_000), length(211.0, 1500));
            let shares = f64::from(length(1e6, u32::MAX) % 1000) < shared * 1000.0;
            let prefix = Segment { content: ContentId(id % 8), tokens: Tokens(512) };
            let prompt: Arc<[Segment]> = if shares { Arc::from([prefix]) } else { Arc::from([]) };
            request(id, now, prompt, prompt_tokens, output_tokens)
        })
        .collect()
}

fn replay<C: KvCache>(mut engine: EngineCore<C>, requests: Vec<EngineRequest>) -> EngineCore<C> {
    let mut out = Vec::new();
    let mut arrivals = requests.into_iter().peekable();
    loop {
        let arrival = arrivals.peek().map_or(SimTime::NEVER, |request| request.arrival_time);
        match engine.next_event() {
            Some(event) if event < arrival => engine.advance(event, &mut out),
            _ => match arrivals.next() {
                Some(request) => engine.submit(arrival, request).expect("a valid request"),
                None => return engine,
            },
        }
        out.clear();
    }
}

/// One step of `B` decoding requests.
#[divan::bench(types = [BlockCache, RunLengthCache], args = [1, 32, 256, 1024])]
fn decode_steps<C: KvCache>(bencher: Bencher<'_, '_>, running: u64) {
    const STEPS: u64 = 1000;
    let started = || {
        let mut engine = engine::<C>(400_000);
        let mut out = Vec::new();
        for id in 0..running {
            let own = request(id, SimTime::ZERO, Arc::from([]), 100, 20_000);
            engine.submit(SimTime::ZERO, own).expect("a valid request");
        }
        while engine.stats(SimTime::ZERO).generation_tokens < 20 * running {
            let now = engine.next_event().expect("requests run");
            engine.advance(now, &mut out);
        }
        engine
    };
    bencher.counter(ItemsCount::new(STEPS)).with_inputs(started).bench_values(|mut engine| {
        let mut out = Vec::new();
        for _ in 0..STEPS {
            let now = engine.next_event().expect("requests run");
            engine.advance(now, &mut out);
        }
        engine
    });
}

/// Requests that share nothing, on a cache that holds them.
#[divan::bench(types = [BlockCache, RunLengthCache])]
fn conversation_requests<C: KvCache>(bencher: Bencher<'_, '_>) {
    let requests = conversation(2000, 0.0);
    bencher
        .counter(ItemsCount::new(requests.len()))
        .with_inputs(|| (engine::<C>(30_000), requests.clone()))
        .bench_values(|(engine, requests)| replay(engine, requests));
}

/// Half of the requests share prefixes, and the cache is too small: preemption and eviction.
#[divan::bench(types = [BlockCache, RunLengthCache])]
fn conversation_requests_under_pressure<C: KvCache>(bencher: Bencher<'_, '_>) {
    let requests = conversation(2000, 0.5);
    bencher
        .counter(ItemsCount::new(requests.len()))
        .with_inputs(|| (engine::<C>(2_100), requests.clone()))
        .bench_values(|(engine, requests)| replay(engine, requests));
}
