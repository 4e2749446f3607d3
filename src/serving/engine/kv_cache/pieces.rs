//! The blocks that can be found by what they hold (`BlockHashToBlockMap` of vLLM 0.32, `vllm/v1/core/block_pool.py`),
//! in pieces.
//!
//! Block `i` of the unit `key` is found by `(key, i)`. Equal blocks are not de-duplicated: each request that computes
//! a unit, for it did not find it, makes a copy. A copy is cut into pieces of blocks that the same requests hold and
//! that were named together, and is gone where it was evicted:
//!
//! ```text
//!   key ─► copy    │ 0 ······ piece ······ 12 │ 12 ·· piece ·· 20 │
//!          copy                               │ 12 ········· piece ········· 26 │
//! ```
//!
//! Of equal blocks the one that was named first is found. A request holds ranges of copies, and each range is made up
//! of whole pieces, however often these are cut.

use super::free_queue::{FreeQueue, Place};
use rustc_hash::FxHashMap;
use std::ops::{Index, IndexMut};

/// Stands for a piece. It is used again when that is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceId(u32);

/// Stands for a copy of a unit. It is used again when all of that is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyId(u32);

/// The end of a list of pieces.
const NO_PIECE: PieceId = PieceId(u32::MAX);
/// The end of a list of copies.
const NO_COPY: CopyId = CopyId(u32::MAX);

/// The blocks `from..to` of a copy: what a request found or made of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) copy: CopyId,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// The blocks `from..to` of `copy`, never none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) copy: CopyId,
    pub(super) from: u32,
    pub(super) to: u32,
    /// How many requests hold it; without any it is free, at `place`.
    pub(super) holders: u32,
    pub(super) place: Place,
    /// When it was named: greater is later.
    pub(super) named: u64,
    /// Its neighbours in the copy.
    pub(super) previous: PieceId,
    pub(super) next: PieceId,
}

/// What one request computed of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitCopy {
    pub(super) key: u64,
    /// Its pieces, in order; there is always one.
    pub(super) first: PieceId,
    pub(super) last: PieceId,
    /// When its first blocks were named: none of it was earlier.
    pub(super) named: u64,
    /// Its neighbours among the copies of the key.
    pub(super) older: CopyId,
    pub(super) newer: CopyId,
}

/// The copies of one key.
#[derive(Clone, Copy, Debug)]
struct Copies {
    oldest: CopyId,
    newest: CopyId,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    copies: Vec<UnitCopy>,
    /// Ids to be used again.
    vacant_pieces: Vec<PieceId>,
    vacant_copies: Vec<CopyId>,
    by_key: FxHashMap<u64, Copies>,
    /// How often something was named.
    named: u64,
}

impl PieceId {
    /// Its number: small, so that it can index a table.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
impl CopyId {
    /// Its number, to sort by.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Pieces {
    /// The longest range from block `from` of the unit `key` on, but not past `end`, that one copy holds and that was
    /// named first all along, and how much of it is free; `None` if nobody holds block `from`.
    pub(super) fn find(&self, key: u64, from: u32, end: u32) -> Option<(Held, u32)> {
        let copies = self.by_key.get(&key)?;
        let mut oldest: Option<PieceId> = None;
        // Copies are in order of their first naming, so that those behind one that is younger than the piece are too.
        let older = |oldest: Option<PieceId>, copy: CopyId| {
            copy != NO_COPY && oldest.is_none_or(|oldest| self[copy].named < self[oldest].named)
        };
        let mut copy = copies.oldest;
        while older(oldest, copy) {
            let piece = self.at(copy, from);
            oldest = match (oldest, piece) {
                (Some(oldest), Some(piece)) if self[piece].named > self[oldest].named => Some(oldest),
                (oldest, piece) => piece.or(oldest),
            };
            copy = self[copy].newer;
        }
        let found = oldest?;
        let Piece { named, holders, .. } = self[found];
        let mut to = self[found].to.min(end);
        let mut copy = copies.oldest;
        while older(oldest, copy) {
            if copy != self[found].copy {
                let earlier = self.of(copy).map(|piece| self[piece]);
                let starts = earlier.filter(|piece| piece.named < named && piece.from > from);
                to = starts.map(|piece| piece.from).fold(to, u32::min);
            }
            copy = self[copy].newer;
        }
        let free = if holders == 0 { to - from } else { 0 };
        Some((Held { copy: self[found].copy, from, to }, free))
    }

    /// Names the blocks `from..to` of the unit `key`, which one request holds: they are found after all that are named
    /// already. They go on with `before`, the range that the request holds of the unit before them, where they can.
    pub(super) fn name(&mut self, key: u64, from: u32, to: u32, before: Option<&mut Held>) -> Option<Held> {
        self.named += 1;
        let Some(range) = before.filter(|range| self[self[range.copy].last].to == from) else {
            return Some(self.name_copy(key, from, to));
        };
        range.to = to;
        let last = self[range.copy].last;
        if self[last].holders == 1 && self.is_only(range.copy) {
            self[last].to = to;
        } else {
            self.insert_after(last, Piece { from, to, holders: 1, named: self.named, ..self[last] });
        }
        None
    }

    /// One more request holds `range`: what of it is free leaves `queue`.
    pub(super) fn hold(&mut self, range: Held, queue: &mut FreeQueue) {
        let mut piece = self.cut(range, queue);
        while piece != NO_PIECE && self[piece].from < range.to {
            let Piece { holders, place, next, .. } = self[piece];
            if holders == 0 {
                queue.unlink(place);
            }
            self[piece].holders += 1;
            piece = next;
        }
    }

    /// A request lets go of `range`: what nobody else holds goes to the end of `queue`, last block first.
    pub(super) fn release(&mut self, range: Held, queue: &mut FreeQueue) {
        let mut piece = self[range.copy].last;
        while piece != NO_PIECE && self[piece].to > range.from {
            let previous = self[piece].previous;
            if self[piece].to <= range.to {
                self[piece].holders -= 1;
                if self[piece].holders == 0 {
                    self.free(piece, queue);
                }
            }
            piece = previous;
        }
    }

    /// The last `blocks` blocks of the free `piece` are evicted.
    pub(super) fn evict(&mut self, piece: PieceId, blocks: u32) {
        self[piece].to -= blocks;
        if self[piece].to == self[piece].from {
            self.remove(piece);
        }
    }

    /// The pieces of `copy`, in order.
    pub(super) fn of(&self, copy: CopyId) -> impl Iterator<Item = PieceId> {
        let some = |piece: PieceId| Some(piece).filter(|&piece| piece != NO_PIECE);
        // No longer than the slab, so that a broken list ends too.
        std::iter::successors(some(self[copy].first), move |&piece| some(self[piece].next))
            .take(self.pieces.len())
    }

    /// All keys with their copies, those of one key in order of their first naming; keys are in no order.
    pub(super) fn copies(&self) -> impl Iterator<Item = (u64, CopyId)> {
        let some = |copy: CopyId| Some(copy).filter(|&copy| copy != NO_COPY);
        self.by_key.iter().flat_map(move |(&key, copies)| {
            std::iter::successors(some(copies.oldest), move |&copy| some(self[copy].newer))
                .take(self.copies.len())
                .map(move |copy| (key, copy))
        })
    }

    /// Whether nothing can be found.
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many pieces and copies are in use, by what is not vacant.
    pub(super) fn in_use(&self) -> (usize, usize) {
        (self.pieces.len() - self.vacant_pieces.len(), self.copies.len() - self.vacant_copies.len())
    }

    /// Whether there is no other copy of its unit, so that nothing is found in its place, whenever it was named.
    fn is_only(&self, copy: CopyId) -> bool {
        self[copy].older == NO_COPY && self[copy].newer == NO_COPY
    }

    /// One more than the greatest index of a piece.
    pub(super) fn end(&self) -> usize {
        self.pieces.len()
    }

    /// The piece of `copy` that block `i` is in.
    fn at(&self, copy: CopyId, i: u32) -> Option<PieceId> {
        self.of(copy).take_while(|&piece| self[piece].from <= i).find(|&piece| i < self[piece].to)
    }

    /// Names the blocks `from..to` of a new copy of the unit `key`.
    fn name_copy(&mut self, key: u64, from: u32, to: u32) -> Held {
        let named = self.named;
        let piece = self.vacant_pieces.pop().unwrap_or(PieceId(self.pieces.len() as u32));
        let id = self.vacant_copies.pop().unwrap_or(CopyId(self.copies.len() as u32));
        let copies = self.by_key.entry(key).or_insert(Copies { oldest: id, newest: NO_COPY });
        let older = std::mem::replace(&mut copies.newest, id);
        if older != NO_COPY {
            self[older].newer = id;
        }
        let copy = UnitCopy { key, first: piece, last: piece, named, older, newer: NO_COPY };
        put(&mut self.copies, id.0, copy);
        let (previous, next) = (NO_PIECE, NO_PIECE);
        put(
            &mut self.pieces,
            piece.0,
            Piece { copy: id, from, to, holders: 1, place: 0, named, previous, next },
        );
        Held { copy: id, from, to }
    }

    /// Makes `range`, all of which is there, a union of pieces, and returns the first of them.
    fn cut(&mut self, range: Held, queue: &mut FreeQueue) -> PieceId {
        let mut first = NO_PIECE;
        let mut piece = self[range.copy].first;
        while piece != NO_PIECE && self[piece].from < range.to {
            for at in [range.from, range.to] {
                if self[piece].from < at && at < self[piece].to {
                    self.split(piece, at, queue);
                }
            }
            if self[piece].from == range.from {
                first = piece;
            }
            piece = self[piece].next;
        }
        first
    }

    /// Cuts `piece` before block `at`, which is in it and not its first.
    fn split(&mut self, piece: PieceId, at: u32, queue: &mut FreeQueue) {
        let whole = self[piece];
        self[piece].to = at;
        let behind = self.insert_after(piece, Piece { from: at, ..whole });
        if whole.holders == 0 {
            self[behind].place = queue.split(whole.place, behind, whole.to - at);
        }
    }

    /// Puts a piece that nobody holds any more into `queue`: with the one after it, if that was freed just before and
    /// nothing else tells them apart.
    fn free(&mut self, piece: PieceId, queue: &mut FreeQueue) {
        let Piece { from, to, next, named, copy, .. } = self[piece];
        if next != NO_PIECE {
            let behind = self[next];
            let alike = behind.named == named || self.is_only(copy);
            let adjoins = behind.holders == 0 && behind.from == to;
            if alike && adjoins && queue.prepend(behind.place, to - from) {
                self[next].from = from;
                self.remove(piece);
                return;
            }
        }
        self[piece].place = queue.push_back_named(piece, to - from);
    }

    /// Puts `piece` after `previous` in its copy; its own neighbours do not count.
    fn insert_after(&mut self, previous: PieceId, piece: Piece) -> PieceId {
        let id = self.vacant_pieces.pop().unwrap_or(PieceId(self.pieces.len() as u32));
        let next = std::mem::replace(&mut self[previous].next, id);
        put(&mut self.pieces, id.0, Piece { previous, next, ..piece });
        match next {
            NO_PIECE => self[piece.copy].last = id,
            next => self[next].previous = id,
        }
        id
    }

    /// Takes `piece` out of its copy, and the copy out of its key's if it was all of it.
    fn remove(&mut self, piece: PieceId) {
        self.vacant_pieces.push(piece);
        let Piece { copy, previous, next, .. } = self[piece];
        if previous == NO_PIECE && next == NO_PIECE {
            self.remove_copy(copy);
            return;
        }
        match previous {
            NO_PIECE => self[copy].first = next,
            previous => self[previous].next = next,
        }
        match next {
            NO_PIECE => self[copy].last = previous,
            next => self[next].previous = previous,
        }
    }

    fn remove_copy(&mut self, copy: CopyId) {
        self.vacant_copies.push(copy);
        let UnitCopy { key, older, newer, .. } = self[copy];
        if older == NO_COPY && newer == NO_COPY {
            self.by_key.remove(&key);
            return;
        }
        let Some(copies) = self.by_key.get_mut(&key) else { return };
        if older == NO_COPY {
            copies.oldest = newer;
        }
        if newer == NO_COPY {
            copies.newest = older;
        }
        if older != NO_COPY {
            self[older].newer = newer;
        }
        if newer != NO_COPY {
            self[newer].older = older;
        }
    }
}

/// Puts `item` at `index`, which is in `slab` or just behind it.
fn put<T>(slab: &mut Vec<T>, index: u32, item: T) {
    match slab.get_mut(index as usize) {
        Some(old) => *old = item,
        None => slab.push(item),
    }
}

impl Index<PieceId> for Pieces {
    type Output = Piece;

    fn index(&self, piece: PieceId) -> &Piece {
        &self.pieces[piece.index()]
    }
}

impl IndexMut<PieceId> for Pieces {
    fn index_mut(&mut self, piece: PieceId) -> &mut Piece {
        &mut self.pieces[piece.index()]
    }
}

impl Index<CopyId> for Pieces {
    type Output = UnitCopy;

    fn index(&self, copy: CopyId) -> &UnitCopy {
        &self.copies[copy.0 as usize]
    }
}

impl IndexMut<CopyId> for Pieces {
    fn index_mut(&mut self, copy: CopyId) -> &mut UnitCopy {
        &mut self.copies[copy.0 as usize]
    }
}
