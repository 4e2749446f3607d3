//! Both caches under the same calls, as a scheduler makes them, on few blocks and few texts: every answer and the
//! whole order of eviction are the same.

use super::super::config::EngineConfig;
use super::super::content::Content;
use super::super::{EngineArgs, GpuClass, ModelLimits, RequestId};
use super::pieces::{Held, Piece};
use super::{BlockCache, KvCache, RunLengthCache};
use crate::units::{Blocks, Tokens};
use crate::workload::{ContentId, Segment};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::sync::Arc;

const MAX_MODEL_LEN: u32 = 64;

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

/// Everything that one run of the property needs.
#[derive(Clone, Debug)]
struct Case {
    block_size: u32,
    watermark: f64,
    flags: [bool; 2],
    num_gpu_blocks: u32,
    clients: Vec<Client>,
    /// Which client, counted round, and what.
    calls: Vec<(usize, Call)>,
}

/// How often the calls came to what is hard about pieces.
#[derive(Debug, Default)]
struct Reached {
    /// Texts that fill blocks, and texts that do not.
    whole_texts: u32,
    broken_texts: u32,
    /// A prompt ends within a text that others go on with.
    prompt_ends_in_text: u32,
    /// Found although other requests answered with that text.
    answer_found: u32,
    /// More than one copy of a block.
    duplicates: u32,
    /// Found in two copies, one after the other within a unit.
    found_across_copies: u32,
    /// A piece lost its last blocks only.
    evicted_in_part: u32,
    /// Evicted between two that are left of a copy.
    holes: u32,
    /// A piece is cut in two: while it is held, and while it is free.
    cut_held: u32,
    cut_free: u32,
    /// Two pieces become one.
    joined: u32,
    /// A later chunk makes a piece longer, or follows it with another of the same copy.
    longer: u32,
    followed: u32,
    /// A request finds blocks of its own after a preemption.
    resumed: u32,
    /// With prefix caching off.
    without_caching: u32,
    /// It does not fit.
    refused: u32,
}

/// What is seen of a piece from outside: its copy and bounds, and whether it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    held: Held,
    free: bool,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (1u32..40, any::<bool>()).prop_map(|(chunk, others_run)| Call::Admit { chunk, others_run }),
        4 => (1u32..17).prop_map(Call::Extend),
        3 => (0u32..3).prop_map(Call::Deliver),
        2 => (1u32..9).prop_map(Call::Decode),
        1 => Just(Call::Preempt),
        1 => Just(Call::Leave),
    ]
}

prop_compose! {
    /// A client of a few texts that mostly have the length `lengths` says, so that others share what follows them too;
    /// what its prompt has beyond or short of them.
    fn client(lengths: [u32; 3])(
        segments in prop::collection::vec((0usize..3, prop::option::weighted(0.25, 1u32..24)), 0..4),
        own in prop_oneof![2 => 0i64..8, 1 => Just(0), 1 => -20i64..0],
        output in prop::option::of(0u64..3),
    ) -> Client {
        let prompt: Arc<[Segment]> = segments
            .into_iter()
            .map(|(text, n)| {
                let tokens = Tokens(n.unwrap_or(lengths[text]));
                Segment { content: ContentId(text as u64), tokens }
            })
            .collect();
        let shared: u32 = prompt.iter().map(|segment| segment.tokens.get()).sum();
        let tokens = (i64::from(shared) + own).clamp(1, i64::from(MAX_MODEL_LEN) - 1);
        Client::new(prompt, tokens as u32, output.map(ContentId), 0)
    }
}

/// Whose prompt a client's begins with.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// Nobody's: as drawn.
    Own,
    /// That of the client before it, and no more.
    Same,
    /// That of the client before it, and what that answered.
    NextTurn,
}

impl Origin {
    fn apply(self, before: &Client, drawn: &Client, lengths: [u32; 3]) -> Client {
        let (prompt, tokens) = match (self, before.output) {
            (Origin::Own, _) | (Origin::NextTurn, None) => (drawn.prompt.clone(), drawn.prompt_tokens),
            (Origin::Same, _) => (before.prompt.clone(), before.prompt_tokens),
            (Origin::NextTurn, Some(content)) => {
                let answer = Segment { content, tokens: Tokens(lengths[content.0 as usize]) };
                let prompt: Arc<[Segment]> = before.prompt.iter().copied().chain([answer]).collect();
                let tokens = prompt.iter().map(|segment| segment.tokens.get()).sum::<u32>();
                (prompt, tokens.clamp(1, MAX_MODEL_LEN - 1))
            }
        };
        Client::new(prompt, tokens, drawn.output, 0)
    }
}

fn case() -> impl Strategy<Value = Case> {
    let origin = || prop_oneof![2 => Just(Origin::Own), 2 => Just(Origin::Same), 1 => Just(Origin::NextTurn)];
    let clients = prop::array::uniform3(1u32..24).prop_flat_map(move |lengths| {
        prop::collection::vec((client(lengths), origin()), 2..7).prop_map(move |drawn| {
            let mut clients: Vec<Client> = Vec::new();
            for ((client, origin), id) in drawn.into_iter().zip(0..) {
                let client = origin.apply(clients.last().unwrap_or(&client), &client, lengths);
                clients.push(Client::new(client.prompt, client.prompt_tokens, client.output, id));
            }
            clients
        })
    });
    let calls = prop::collection::vec((0usize..60, call()), 1..160);
    let watermark = prop_oneof![Just(0.0), Just(0.1)];
    let flags = (prop::bool::weighted(0.9), any::<bool>()).prop_map(|flags| [flags.0, flags.1]);
    (1u32..5, watermark, flags, 8u32..80, clients, calls).prop_map(
        |(block_size, watermark, flags, num_gpu_blocks, clients, calls)| Case {
            block_size,
            watermark,
            flags,
            num_gpu_blocks,
            clients,
            calls,
        },
    )
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

impl Case {
    fn run(self, reached: &mut Reached) -> Result<(), TestCaseError> {
        let Case { block_size, mut clients, .. } = self;
        let config = config(block_size, self.watermark, self.flags);
        let num_gpu_blocks = Blocks(self.num_gpu_blocks);
        let mut blocks = Side::<BlockCache>::new(&config, num_gpu_blocks, clients.len());
        let mut runs = Side::<RunLengthCache>::new(&config, num_gpu_blocks, clients.len());
        prop_assert_eq!(blocks.cache.usable_blocks(), runs.cache.usable_blocks());
        reached.count_texts(&clients, block_size);
        for ((which, call), id) in self.calls.into_iter().zip(100..) {
            let k = which % clients.len();
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
            let before = runs.pieces();
            let want = blocks.call(k, client, call);
            let got = match call {
                Call::Decode(n) => runs.decode(k, client, n, block_size),
                _ => runs.call(k, client, call),
            };
            prop_assert_eq!(want, got);
            reached.count_pieces(&before, &runs.pieces());
            reached.count_call(client, call, want, &clients, block_size);
            if let (Call::Admit { .. }, (_, true)) = (call, want) {
                let across = |pair: &[Held]| pair[1].from > 0;
                reached.found_across_copies += runs.cache.found.windows(2).any(across) as u32;
            }
            reached.without_caching += !self.flags[0] as u32;
            clients[k] = after(client, call, id, want);
            compare(&blocks, &runs)?;
        }
        reached.duplicates += runs.duplicates() as u32;
        Ok(())
    }
}

impl Side<RunLengthCache> {
    /// The pieces, sorted by copy and place.
    fn pieces(&self) -> Vec<Seen> {
        let pieces = &self.cache.pieces;
        let seen = |piece: Piece| Seen {
            held: Held { copy: piece.copy, from: piece.from, to: piece.to },
            free: piece.holders == 0,
        };
        let mut all: Vec<Seen> =
            pieces.copies().flat_map(|(_, copy)| pieces.of(copy)).map(|piece| seen(pieces[piece])).collect();
        all.sort_by_key(|seen| (seen.held.copy.index(), seen.held.from));
        all
    }

    /// Whether there are two copies of some block.
    fn duplicates(&self) -> bool {
        let pieces = &self.cache.pieces;
        let mut blocks = std::collections::HashSet::new();
        let all = pieces.copies().flat_map(|(key, copy)| pieces.of(copy).map(move |piece| (key, piece)));
        let mut all =
            all.flat_map(|(key, piece)| (pieces[piece].from..pieces[piece].to).map(move |i| (key, i)));
        all.any(|block| !blocks.insert(block))
    }
}

impl Reached {
    fn count_texts(&mut self, clients: &[Client], block_size: u32) {
        for client in clients {
            let mut end = 0;
            for segment in &*client.prompt {
                let n = segment.tokens.get();
                self.whole_texts += (n % block_size == 0 && n > block_size) as u32;
                self.broken_texts += (n % block_size > 0 && n > block_size) as u32;
                self.prompt_ends_in_text +=
                    (end + block_size < client.prompt_tokens && client.prompt_tokens < end + n) as u32;
                end += n;
            }
        }
    }

    fn count_call(
        &mut self,
        client: &Client,
        call: Call,
        (found, fits): (u32, bool),
        clients: &[Client],
        block_size: u32,
    ) {
        let Call::Admit { .. } = call else { return };
        self.refused += !fits as u32;
        self.resumed += (found > client.content.shared_tokens()) as u32;
        let parent_of = |parent: &Client| {
            let turns = parent.prompt.len();
            let prompt: u32 = parent.prompt.iter().map(|segment| segment.tokens.get()).sum();
            client.prompt.len() > turns
                && client.prompt[..turns] == *parent.prompt
                && parent.prompt_tokens == prompt
                && parent.output == Some(client.prompt[turns].content)
                && found > prompt + block_size
        };
        self.answer_found += clients.iter().any(parent_of) as u32;
    }

    fn count_pieces(&mut self, before: &[Seen], after: &[Seen]) {
        let of = |seen: &[Seen], copy, from| {
            seen.iter().find(|seen| seen.held.copy == copy && seen.held.from == from).copied()
        };
        let ends = |seen: &[Seen], copy, to| {
            seen.iter().find(|seen| seen.held.copy == copy && seen.held.to == to).copied()
        };
        for old in before {
            let Held { copy, from, to } = old.held;
            if let Some(new) = of(after, copy, from) {
                let cut = of(after, copy, new.held.to).is_some() && ends(after, copy, to).is_some();
                self.cut_held += (new.held.to < to && cut && !old.free) as u32;
                self.cut_free += (new.held.to < to && cut && old.free) as u32;
                self.evicted_in_part += (new.held.to < to && !cut && old.free && new.free) as u32;
                let next = of(before, copy, to);
                self.joined += (next.is_some_and(|next| new.held.to == next.held.to) && new.free) as u32;
                self.longer += (new.held.to > to && next.is_none() && !new.free && !old.free) as u32;
                let follower = of(after, copy, to).filter(|_| new.held.to == to && next.is_none());
                self.followed += follower.is_some_and(|next| !next.free) as u32;
            } else if old.free {
                let left = |seen: &Seen| seen.held.copy == copy;
                let below = after.iter().any(|seen| left(seen) && seen.held.to <= from);
                let above = after.iter().any(|seen| left(seen) && seen.held.from >= to);
                self.holes += (below && above) as u32;
            }
        }
    }
}

proptest! {
    // More where PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1500)))]

    #[test]
    fn both_caches_answer_alike_and_evict_the_same_in_the_same_order(case in case()) {
        case.run(&mut Reached::default())?;
    }
}

/// The property would be worth little if its calls came to simple cases only.
#[test]
fn the_calls_reach_all_that_is_hard_about_pieces() {
    let mut runner = TestRunner::deterministic();
    let mut reached = Reached::default();
    for _ in 0..1000 {
        let case = case().new_tree(&mut runner).expect("a case").current();
        case.run(&mut reached).expect("both caches answer alike");
    }
    let Reached { whole_texts, broken_texts, prompt_ends_in_text, answer_found, duplicates, .. } = reached;
    let Reached { found_across_copies, evicted_in_part, cut_held, cut_free, joined, .. } = reached;
    let Reached { longer, followed, resumed, without_caching, refused, .. } = reached;
    let texts = [whole_texts, broken_texts, prompt_ends_in_text, answer_found];
    let copies = [duplicates, found_across_copies];
    let pieces = [evicted_in_part, cut_held, cut_free, joined, longer, followed];
    let calls = [resumed, without_caching, refused];
    let least = texts.into_iter().chain(copies).chain(pieces).chain(calls).min();
    assert!(least >= Some(10), "{reached:?}");
}

/// Clients of block size 4 without a watermark, each with a text of so many tokens and so many of its own.
fn scripted(prompts: &[(u32, u32)], num_gpu_blocks: u32, calls: &[(usize, Call)]) -> Case {
    let client = |&(text, own): &(u32, u32)| {
        let segment = Segment { content: ContentId(0), tokens: Tokens(text) };
        let prompt: Arc<[Segment]> = (text > 0).then_some(segment).into_iter().collect();
        Client::new(prompt, text + own, None, 0)
    };
    let mut clients: Vec<Client> = prompts.iter().map(client).collect();
    for (client, id) in clients.iter_mut().zip(0..) {
        *client = Client::new(client.prompt.clone(), client.prompt_tokens, None, id);
    }
    let (watermark, flags) = (0.0, [true, false]);
    Case { block_size: 4, watermark, flags, num_gpu_blocks, clients, calls: calls.to_vec() }
}

const fn admit(chunk: u32) -> Call {
    Call::Admit { chunk, others_run: true }
}

/// Two requests name a text in turns, so that its blocks are found in one copy, the other and the first again.
#[test]
fn a_copy_may_be_evicted_between_blocks_that_are_held() {
    let mut reached = Reached::default();
    let (a, b, c, d, filler) = (0, 1, 2, 3, 4);
    let prompts = [(40, 1), (40, 1), (40, 1), (40, 1), (0, 50)];
    let in_turns = [(a, admit(4)), (b, admit(4)), (a, Call::Extend(8)), (b, Call::Extend(8))];
    let then = [
        (c, admit(4)),
        (a, Call::Leave),
        (b, Call::Leave),
        (filler, admit(28)),
        (filler, Call::Leave),
        (d, admit(8)),
        (c, Call::Leave),
        (d, Call::Extend(8)),
        (d, Call::Leave),
        (filler, admit(40)),
        (a, admit(4)),
    ];
    let calls = [&in_turns[..], &then].concat();
    scripted(&prompts, 13, &calls).run(&mut reached).expect("both caches answer alike");
    assert!(reached.holes == 1 && reached.found_across_copies >= 2, "{reached:?}");
}

/// The last block of such a prompt is computed by each request again, for its logits.
#[test]
fn a_prompt_of_one_text_and_whole_blocks_leaves_a_copy_of_its_last_block_a_request() {
    let mut reached = Reached::default();
    let calls: Vec<_> = (0..3).map(|k| (k, admit(16))).collect();
    let leave: Vec<_> = (0..3).map(|k| (k, Call::Leave)).collect();
    let calls = [&calls[..], &leave, &[(3, admit(40)), (0, admit(16))]].concat();
    let prompts = [(16, 0), (16, 0), (20, 0), (0, 40)];
    scripted(&prompts, 12, &calls).run(&mut reached).expect("both caches answer alike");
    assert!(reached.evicted_in_part >= 1, "{reached:?}");
}
