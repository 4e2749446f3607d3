//! Block hashes from what a block holds, without any token: vLLM hashes token ids (`vllm/v1/core/kv_cache_utils.py`,
//! `hash_block_tokens`), here a token is a place in a text.
//!
//! The tokens of a request are runs, each from the start of its text: the texts its prompt begins with, the rest of
//! the prompt, the answer. A block is the list of `(text, start, length)` of the runs it cuts. No run goes on where
//! its neighbour ended in the same text, since every run starts at the text's first token; so equal tokens give equal
//! lists, and a block's hash is the hash of its list chained to the hash of the block before.
//!
//! Consecutive blocks of one run differ in their start only, so they are hashed together, as a unit:
//!
//! ```text
//!   runs   │ text A ························│ text B ······················ ─►
//!   blocks │ A │ A │ A │ A │ A │ A │ A │ A B │ B │ B │ B │ B │ B │ B
//!   units  │ 7 blocks                  │  1  │ more blocks
//! ```
//!
//! A unit's key is the hash of the block before it, its text and the place of its first token there; its length is no
//! part of that, so a prompt that ends within a text has the same key with fewer blocks. `(key, i)` stands for its
//! block `i`. A block across runs is a unit of its own, whose key is the hash of its list. Equal tokens so far are cut
//! into equal runs, all but the last of equal length, so they have equal units before the last and equal `(key, i)`.
//!
//! The end-of-sequence token is no part of the answer's text, and needs no text of its own: the KV of a request's
//! last token is never computed, so no cached block holds it.

use super::request::RequestId;
use crate::workload::{ContentId, Segment};
use std::sync::Arc;

/// What the tokens of one request are.
#[derive(Clone, Debug)]
pub struct Content {
    prompt: Arc<[Segment]>,
    prompt_tokens: u32,
    own: RequestId,
    output: Option<ContentId>,
    shared_tokens: u32,
}

/// Consecutive blocks of a request that are named together: those inside one run, or one across runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Hash of its first block and of all before it, but not of its length.
    pub(super) key: u64,
    /// Its first block.
    pub(super) first: u32,
    /// The block after its last.
    pub(super) end: u32,
}

/// The units of a request's leading blocks, computed as far as they were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Units {
    units: Vec<Unit>,
    cursor: Cursor,
}

/// The chained hashes of a request's leading blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockHashes {
    units: Units,
}

/// Where in the runs the next block begins.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Index of the run after the current one.
    next_run: usize,
    /// Hash of the current run's text.
    text: u64,
    /// Place in that text.
    start: u32,
    /// Tokens left of the run.
    left: u32,
    /// Prompt tokens in the current run and those before.
    prompt_seen: u32,
}

/// Kinds of text, so that a shared text, a request's own prompt and its own answer never look alike.
#[derive(Clone, Copy)]
enum Kind {
    Shared = 1,
    OwnPrompt = 2,
    OwnAnswer = 3,
}

impl Content {
    pub(super) fn new(
        prompt: Arc<[Segment]>,
        prompt_tokens: u32,
        own: RequestId,
        output: Option<ContentId>,
    ) -> Self {
        let shared = prompt.iter().fold(0u32, |sum, segment| sum.saturating_add(segment.tokens.get()));
        let shared_tokens = match output {
            Some(_) if shared >= prompt_tokens => u32::MAX,
            _ => shared.min(prompt_tokens),
        };
        Content { prompt, prompt_tokens, own, output, shared_tokens }
    }

    /// How many tokens, from the first on, another request could begin with too. A block past them is found by its
    /// own request only, when it resumes after a preemption.
    pub(super) fn shared_tokens(&self) -> u32 {
        self.shared_tokens
    }

    /// Whether another request could begin with its answer too.
    pub(super) fn shares_answer(&self) -> bool {
        self.shared_tokens > self.prompt_tokens
    }

    /// Moves `cursor` to the start of the next run, perhaps an empty one.
    fn enter_next_run(&self, cursor: &mut Cursor) {
        let prompt_left = self.prompt_tokens - cursor.prompt_seen;
        let run = cursor.next_run;
        cursor.next_run += 1;
        cursor.start = 0;
        (cursor.text, cursor.left) = match self.prompt.get(run) {
            Some(segment) => (text(Kind::Shared, segment.content.0), segment.tokens.get().min(prompt_left)),
            None if run == self.prompt.len() => (text(Kind::OwnPrompt, self.own.0), prompt_left),
            None => match self.output {
                Some(content) => (text(Kind::Shared, content.0), u32::MAX),
                None => (text(Kind::OwnAnswer, self.own.0), u32::MAX),
            },
        };
        if run <= self.prompt.len() {
            cursor.prompt_seen += cursor.left;
        }
    }
}

impl Units {
    /// Forgets all units and keeps the room for others.
    pub(super) fn clear(&mut self) {
        self.units.clear();
        self.cursor = Cursor::default();
    }

    /// The unit of `content` that block `k` is in, in blocks of `block_size` tokens.
    pub(super) fn of_block(&mut self, content: &Content, block_size: u32, k: u32) -> Unit {
        loop {
            match self.units.last() {
                Some(last) if k >= last.first && k < last.end => return *last,
                Some(last) if k < last.first => break,
                _ => self.push_next(content, block_size),
            }
        }
        self.units[self.units.partition_point(|unit| unit.end <= k)]
    }

    fn push_next(&mut self, content: &Content, block_size: u32) {
        let (first, before) = match self.units.last() {
            Some(last) => (last.end, block_hash(last.key, last.end - last.first - 1)),
            None => (0, 0),
        };
        let cursor = &mut self.cursor;
        while cursor.left == 0 {
            content.enter_next_run(cursor);
        }
        let blocks = cursor.left / block_size;
        let unit = if blocks > 0 {
            let key = absorb(before, cursor.text, cursor.start, 0);
            cursor.take(blocks * block_size);
            Unit { key, first, end: first.saturating_add(blocks) }
        } else {
            Unit { key: hash_across_runs(cursor, content, block_size, before), first, end: first + 1 }
        };
        self.units.push(unit);
    }
}

/// The hash of a block that begins at `cursor`, after a block of hash `before`, and cuts several runs.
fn hash_across_runs(cursor: &mut Cursor, content: &Content, block_size: u32, before: u64) -> u64 {
    let (mut hash, mut missing) = (before, block_size);
    while missing > 0 {
        if cursor.left == 0 {
            content.enter_next_run(cursor);
            continue;
        }
        let tokens = missing.min(cursor.left);
        hash = absorb(hash, cursor.text, cursor.start, tokens);
        cursor.take(tokens);
        missing -= tokens;
    }
    hash
}

impl Cursor {
    /// Goes on by `tokens` tokens of the current run.
    fn take(&mut self, tokens: u32) {
        self.start += tokens;
        self.left -= tokens;
    }
}

impl BlockHashes {
    /// Forgets all hashes and keeps the room for others.
    pub(super) fn clear(&mut self) {
        self.units.clear();
    }

    /// The hash of block `k` of `content`, in blocks of `block_size` tokens; never 0 or 1.
    pub(super) fn get(&mut self, content: &Content, block_size: u32, k: usize) -> u64 {
        let k = k as u32;
        let unit = self.units.of_block(content, block_size, k);
        block_hash(unit.key, k - unit.first)
    }
}

/// The hash of block `i` of the unit `key`; never 0 or 1.
pub(super) fn block_hash(key: u64, i: u32) -> u64 {
    mix(key.wrapping_add(u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15))).max(2)
}

/// Hash of a text: one to one within a kind.
fn text(kind: Kind, id: u64) -> u64 {
    mix(id.wrapping_add((kind as u64) << 62))
}

/// The hash `hash` goes on with `tokens` tokens of `text` from `start`.
fn absorb(hash: u64, text: u64, start: u32, tokens: u32) -> u64 {
    let product = u128::from(hash ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(text ^ 0x8bb8_4b93_962e_acc9);
    let place = u64::from(start) << 32 | u64::from(tokens);
    mix(product as u64 ^ (product >> 64) as u64 ^ place)
}

/// SplitMix64's finalizer: one to one, and a change of any bit changes about half of the bits.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Tokens;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// The tokens of a request as `(kind, id, place)`: the definition that the hashes stand for.
    fn tokens(content: &Content, n: usize) -> Vec<(u8, u64, u32)> {
        let shared = content.prompt.iter().flat_map(|s| (0..s.tokens.get()).map(|p| (1, s.content.0, p)));
        let own = (0..).map(|p| (2, content.own.0, p));
        let answer = (0..).map(|p| match content.output {
            Some(text) => (1, text.0, p),
            None => (3, content.own.0, p),
        });
        shared.chain(own).take(content.prompt_tokens as usize).chain(answer).take(n).collect()
    }

    prop_compose! {
        fn content()(
            segments in prop::collection::vec((0u64..3, 0u32..12), 0..5),
            prompt_tokens in 1u32..40,
            own in 0u64..3,
            output in prop::option::of(0u64..3),
        ) -> Content {
            let prompt = segments
                .into_iter()
                .map(|(text, n)| Segment { content: ContentId(text), tokens: Tokens(n) })
                .collect();
            Content::new(prompt, prompt_tokens, RequestId(own), output.map(ContentId))
        }
    }

    proptest! {
        #[test]
        fn hashes_and_places_in_units_are_equal_exactly_where_all_tokens_so_far_are(
            contents in prop::collection::vec(content(), 1..8),
            block_size in 1u32..9,
        ) {
            let (mut seen, mut by_place) = (HashMap::new(), HashMap::new());
            for content in &contents {
                let (mut hashes, mut units) = (BlockHashes::default(), Units::default());
                let all = tokens(content, 64);
                for k in (0..64 / block_size as usize).rev() {
                    let hash = hashes.get(content, block_size, k);
                    let so_far = all[..(k + 1) * block_size as usize].to_vec();
                    let known = seen.entry(hash).or_insert_with(|| so_far.clone());
                    prop_assert_eq!(&*known, &so_far);
                    let unit = units.of_block(content, block_size, k as u32);
                    prop_assert!(unit.first <= k as u32 && (k as u32) < unit.end);
                    let known = by_place.entry((unit.key, k as u32 - unit.first)).or_insert(hash);
                    prop_assert_eq!(*known, hash, "one place in a unit, two hashes");
                }
            }
            prop_assert_eq!(by_place.len(), seen.len(), "one hash, two places in units");
            let distinct: std::collections::HashSet<_> = seen.values().collect();
            prop_assert_eq!(distinct.len(), seen.len(), "one text, two hashes");
        }
    }

    #[test]
    fn a_child_shares_the_parents_prompt_and_answer() {
        let block = 4;
        let segment = |text, n| Segment { content: ContentId(text), tokens: Tokens(n) };
        let parent = Content::new(Arc::from([segment(7, 6)]), 6, RequestId(1), Some(ContentId(8)));
        let child =
            Content::new(Arc::from([segment(7, 6), segment(8, 10)]), 20, RequestId(2), Some(ContentId(9)));
        let (mut a, mut b) = (BlockHashes::default(), BlockHashes::default());
        let equal: Vec<bool> = (0..5).map(|k| a.get(&parent, block, k) == b.get(&child, block, k)).collect();
        assert_eq!(equal, [true, true, true, true, false]);
    }

    #[test]
    fn a_unit_is_what_lies_inside_one_run_or_one_block_across_runs() {
        let segment = |text, n| Segment { content: ContentId(text), tokens: Tokens(n) };
        let units = |prompt: &[Segment], prompt_tokens| {
            let content = Content::new(Arc::from(prompt), prompt_tokens, RequestId(1), None);
            let mut units = Units::default();
            units.of_block(&content, 4, 9);
            units.units
        };
        let long = units(&[segment(7, 14), segment(8, 8)], 30);
        let ranges: Vec<_> = long.iter().map(|unit| (unit.first, unit.end)).collect();
        assert_eq!(&ranges[..6], [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]);
        let short = units(&[segment(7, 14), segment(8, 8)], 9);
        assert_eq!((short[0].key, short[0].end), (long[0].key, 2), "it ends within the first text");
        assert_ne!(short[1].key, long[1].key);
    }
}
