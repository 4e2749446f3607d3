//! How fast the two engines are: `cargo bench --bench engine`. Items are requests, or steps where it says so.
//!
//! Ratios of the rows of one table are what counts; docs/performance.md has them.

use divan::Bencher;
use divan::counter::ItemsCount;
use dryscale::random::{Stream, Streams};
use dryscale::serving::engine::{
    BatchShape, DecodeForm, Engine, EngineArgs, EngineConfig, EngineCore, EngineRequest, EngineTiming,
    FastEngine, GpuClass, ModelLimits, Output, RequestId, StepTimer,
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

/// The engines side by side.
trait Kind: Engine + Sized {
    fn with_blocks(num_gpu_blocks: u32) -> Self;
}

type Stepwise = EngineCore;

impl Kind for Stepwise {
    fn with_blocks(num_gpu_blocks: u32) -> Self {
        EngineCore::new(config(), Blocks(num_gpu_blocks), Arc::new(Linear), EngineTiming::default())
            .expect("the blocks hold one request")
    }
}

impl Kind for FastEngine {
    fn with_blocks(num_gpu_blocks: u32) -> Self {
        FastEngine::new(config(), Blocks(num_gpu_blocks), Arc::new(Linear), EngineTiming::default())
            .expect("the blocks hold one request")
    }
}

fn config() -> EngineConfig {
    let gpu = GpuClass { name: "NVIDIA H100 80GB HBM3".to_owned(), memory_bytes: 85_000_000_000 };
    let model = ModelLimits { max_model_len: Tokens(32_768) };
    EngineArgs::default().resolve(&gpu, &model).expect("defaults are valid")
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

fn replay<E: Engine>(mut engine: E, requests: Vec<EngineRequest>) -> E {
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

/// Requests that came long ago and are all there will be: with answers of 2,000 to 4,000 tokens, evenly spread.
#[divan::bench(types = [Stepwise, FastEngine], args = [1, 4, 16, 64, 256, 1024])]
fn batch_without_arrivals<E: Kind>(bencher: Bencher<'_, '_>, batch: u64) {
    let mut stream: Stream = Streams::new(1).stream("bench");
    let requests: Vec<EngineRequest> = (0..batch)
        .map(|id| {
            let output_tokens = 2_000 + stream.below(2_001) as u32;
            request(id, SimTime::ZERO, Arc::from([]), 100, output_tokens)
        })
        .collect();
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| (E::with_blocks(400_000), requests.clone()))
        .bench_values(|(engine, requests)| replay(engine, requests));
}

/// So many seats, each taken again as soon as it is free, by answers with lognormal lengths of mean 250 (cv 1).
#[divan::bench(types = [Stepwise, FastEngine], args = [1, 4, 16, 64, 256, 1024])]
fn seats_kept_full<E: Kind>(bencher: Bencher<'_, '_>, seats: u64) {
    let mut stream: Stream = Streams::new(1).stream("bench");
    let sigma = libm::sqrt(libm::log(2.0));
    let mut normal = || {
        let (radius, angle) = (libm::sqrt(-2.0 * libm::log(stream.open_unit())), stream.open_unit());
        radius * libm::cos(std::f64::consts::TAU * angle)
    };
    let requests: Vec<EngineRequest> = (0..8 * seats.max(64))
        .map(|id| {
            let answer = libm::exp(libm::log(250.0) - sigma * sigma / 2.0 + sigma * normal());
            request(id, SimTime::ZERO, Arc::from([]), 100, (answer as u32).clamp(1, 4096))
        })
        .collect();
    bencher
        .counter(ItemsCount::new(requests.len()))
        .with_inputs(|| (E::with_blocks(400_000), requests.clone()))
        .bench_values(|(mut engine, requests)| {
            let mut waiting = requests.into_iter();
            for request in waiting.by_ref().take(seats as usize) {
                engine.submit(SimTime::ZERO, request).expect("a valid request");
            }
            let mut out = Vec::new();
            while let Some(now) = engine.next_event() {
                engine.advance(now, &mut out);
                for output in out.drain(..) {
                    if let Output::Finished { at, .. } = output
                        && let Some(request) = waiting.next()
                    {
                        let request = EngineRequest { arrival_time: at, ..request };
                        engine.submit(now, request).expect("a valid request");
                    }
                }
            }
            engine
        });
}

/// Requests that share nothing, on a cache that holds them.
#[divan::bench(types = [Stepwise, FastEngine])]
fn conversation_requests<E: Kind>(bencher: Bencher<'_, '_>) {
    let requests = conversation(2000, 0.0);
    bencher
        .counter(ItemsCount::new(requests.len()))
        .with_inputs(|| (E::with_blocks(30_000), requests.clone()))
        .bench_values(|(engine, requests)| replay(engine, requests));
}

/// Some of the requests share prefixes, and the cache is too small: preemption and eviction all the time.
#[divan::bench(types = [Stepwise, FastEngine], args = [0.0, 0.01, 0.5])]
fn overload_with_preemption<E: Kind>(bencher: Bencher<'_, '_>, shared: f64) {
    let requests = conversation(2000, shared);
    bencher
        .counter(ItemsCount::new(requests.len()))
        .with_inputs(|| (E::with_blocks(2_100), requests.clone()))
        .bench_values(|(engine, requests)| replay(engine, requests));
}
