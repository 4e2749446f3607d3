//! Both caches under the same calls, as a scheduler makes them, on few blocks and few texts: every answer and the
//! whole order of eviction are the same.

use super::super::config::EngineConfig;
use super::super::content::Content;
use super::super::{EngineArgs, GpuClass, ModelLimits, RequestId};
use super::{BlockCache, KvCache, RunLengthCache};
use crate::units::{Blocks, Tokens};
use crate::workload::{ContentId, Segment};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::sync::Arc;

const MAX_MODEL_LEN: u32 = 32;

/// What is done to one request next, where that is possible.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// Looks it up and admits it with a chunk of at most so many tokens.
    Admit { chunk: u32, others_run: bool },
    /// Schedules so many tokens, at most two of which are not sampled yet.
    Extend(u32),
    /// Delivers so many tokens.
    Deliver(u32),
    /// Decodes so many tokens, that nobody else looks up, in one go.
    Decode(u32),
    /// Preempts it.
    Preempt,
    /// It leaves, and a new one like it comes.
    Leave,
}

/// A request as the scheduler sees it.
#[derive(Clone, Debug)]
struct Client {
    prompt: Arc<[Segment]>,
    prompt_tokens: u32,
    output: Option<ContentId>,
    content: Content,
    tokens: u32,
    computed: u32,
    /// Whether it has just been preempted.
    runs: bool,
}

/// One of the caches, and what the requests hold of it.
struct Side<C: KvCache> {
    cache: C,
    tables: Vec<C::Table>,
}

fn config(block_size: u32, watermark: f64, flags: [bool; 2]) -> EngineConfig {
    EngineArgs {
        block_size: Some(block_size),
        watermark: Some(watermark),
        enable_prefix_caching: Some(flags[0]),
        scheduler_reserve_full_isl: Some(flags[1]),
        ..EngineArgs::default()
    }
    .resolve(
        &GpuClass { name: String::new(), memory_bytes: 0 },
        &ModelLimits { max_model_len: Tokens(MAX_MODEL_LEN) },
    )
    .expect("a valid configuration")
}

impl Client {
    fn new(prompt: Arc<[Segment]>, prompt_tokens: u32, output: Option<ContentId>, id: u64) -> Self {
        let content = Content::new(prompt.clone(), prompt_tokens, RequestId(id), output);
        Client { prompt, prompt_tokens, output, content, tokens: prompt_tokens, computed: 0, runs: false }
    }

    /// How far `Extend(n)` gets it.
    fn extended(&self, n: u32) -> u32 {
        (self.computed + n).min(self.tokens + 2).min(MAX_MODEL_LEN)
    }

    /// Whether all its blocks from now on are found by nobody else.
    fn only_decodes(&self, block_size: u32) -> bool {
        let cached = self.computed.min(self.tokens) / block_size;
        self.computed + 1 >= self.tokens && cached >= self.content.shared_tokens() / block_size
    }
}

impl<C: KvCache> Side<C> {
    fn new(config: &EngineConfig, num_gpu_blocks: Blocks, clients: usize) -> Self {
        let tables = (0..clients).map(|_| C::Table::default()).collect();
        Side { cache: C::new(config, num_gpu_blocks), tables }
    }

    /// What was found, and whether it fitted.
    fn call(&mut self, k: usize, client: &Client, call: Call) -> (u32, bool) {
        let (table, content, tokens) = (&mut self.tables[k], &client.content, client.tokens);
        match call {
            Call::Admit { chunk, others_run } => {
                let found = self.cache.look_up(table, content, tokens);
                let scheduled = chunk.min(tokens - found);
                (found, self.cache.admit(table, content, tokens, scheduled, others_run))
            }
            Call::Extend(n) => (0, self.cache.extend(table, content, tokens, client.extended(n))),
            Call::Decode(n) => {
                let computed = (client.computed + n).min(MAX_MODEL_LEN);
                (0, self.cache.extend(table, content, tokens.max(computed), computed))
            }
            Call::Deliver(n) => {
                let known = (tokens + n).min(client.computed + 1);
                self.cache.cache_full(table, content, client.computed.min(known));
                (0, true)
            }
            Call::Preempt => {
                self.cache.free_to_resume(table, content);
                (0, true)
            }
            Call::Leave => {
                self.cache.free(table);
                C::reset(table);
                (0, true)
            }
        }
    }
}

impl Side<RunLengthCache> {
    /// [`Call::Decode`] as an engine does it that takes blocks for many requests together.
    fn decode(&mut self, k: usize, client: &Client, n: u32, block_size: u32) -> (u32, bool) {
        let table = &mut self.tables[k];
        let computed = (client.computed + n).min(MAX_MODEL_LEN);
        let missing = computed.div_ceil(block_size).saturating_sub(RunLengthCache::held(table));
        if !self.cache.take_anonymous(missing) {
            return (0, false);
        }
        self.cache.catch_up(table, computed, computed);
        (0, true)
    }
}

/// What `call` makes of a request for which it was possible, and `None` where it is not.
fn after(client: &Client, call: Call, id: u64, (found, fits): (u32, bool)) -> Client {
    let mut next = client.clone();
    match call {
        _ if !fits => {}
        Call::Admit { chunk, .. } => {
            (next.runs, next.computed) = (true, found + chunk.min(client.tokens - found));
        }
        Call::Extend(n) => next.computed = client.extended(n),
        Call::Deliver(n) => next.tokens = client.tokens.max((client.tokens + n).min(client.computed + 1)),
        Call::Decode(n) => {
            next.computed = (client.computed + n).min(MAX_MODEL_LEN);
            next.tokens = client.tokens.max(next.computed);
        }
        Call::Preempt => (next.runs, next.computed) = (false, 0),
        Call::Leave => next = Client::new(client.prompt.clone(), client.prompt_tokens, client.output, id),
    }
    next
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (1u32..20, any::<bool>()).prop_map(|(chunk, others_run)| Call::Admit { chunk, others_run }),
        4 => (1u32..9).prop_map(Call::Extend),
        3 => (0u32..3).prop_map(Call::Deliver),
        2 => (1u32..9).prop_map(Call::Decode),
        1 => Just(Call::Preempt),
        1 => Just(Call::Leave),
    ]
}

prop_compose! {
    fn client()(
        segments in prop::collection::vec((0u64..3, 1u32..9), 0..3),
        own in 0u32..8,
        output in prop::option::of(0u64..3),
    ) -> Client {
        let prompt: Arc<[Segment]> = segments
            .into_iter()
            .map(|(text, n)| Segment { content: ContentId(text), tokens: Tokens(n) })
            .collect();
        let shared: u32 = prompt.iter().map(|segment| segment.tokens.get()).sum();
        Client::new(prompt, (shared + own).max(1), output.map(ContentId), 0)
    }
}

fn compare(blocks: &Side<BlockCache>, runs: &Side<RunLengthCache>) -> Result<(), TestCaseError> {
    prop_assert_eq!(blocks.cache.free_blocks(), runs.cache.free_blocks());
    prop_assert_eq!(blocks.cache.free_contents(), runs.cache.free_contents());
    for (blocks, runs) in blocks.tables.iter().zip(&runs.tables) {
        prop_assert_eq!(BlockCache::held(blocks), RunLengthCache::held(runs));
    }
    blocks.cache.audit(blocks.tables.iter()).map_err(TestCaseError::fail)?;
    runs.cache.audit(runs.tables.iter()).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_caches_answer_alike_and_evict_the_same_in_the_same_order(
        block_size in 1u32..5,
        watermark in prop_oneof![Just(0.0), Just(0.1)],
        flags in (prop::bool::weighted(0.9), any::<bool>()),
        num_gpu_blocks in 8u32..40,
        mut clients in prop::collection::vec(client(), 2..7),
        calls in prop::collection::vec((any::<prop::sample::Index>(), call()), 1..120),
    ) {
        let config = config(block_size, watermark, flags.into());
        let mut blocks = Side::<BlockCache>::new(&config, Blocks(num_gpu_blocks), clients.len());
        let mut runs = Side::<RunLengthCache>::new(&config, Blocks(num_gpu_blocks), clients.len());
        prop_assert_eq!(blocks.cache.usable_blocks(), runs.cache.usable_blocks());
        for (client, id) in clients.iter_mut().zip(0..) {
            client.content = Content::new(client.prompt.clone(), client.prompt_tokens, RequestId(id), client.output);
        }
        for ((which, call), id) in calls.into_iter().zip(100..) {
            let k = which.index(clients.len());
            let client = &clients[k];
            let possible = match call {
                Call::Admit { .. } => !client.runs && client.tokens < MAX_MODEL_LEN,
                Call::Decode(_) => client.runs && client.only_decodes(block_size),
                Call::Leave => true,
                Call::Extend(_) | Call::Deliver(_) | Call::Preempt => client.runs,
            };
            if !possible {
                continue;
            }
            let want = blocks.call(k, client, call);
            let got = match call {
                Call::Decode(n) => runs.decode(k, client, n, block_size),
                _ => runs.call(k, client, call),
            };
            prop_assert_eq!(want, got);
            clients[k] = after(client, call, id, want);
            compare(&blocks, &runs)?;
        }
    }
}
