//! The free blocks in the order in which they are taken, by what they hold (`FreeKVCacheBlockQueue` of vLLM 0.32,
//! `vllm/v1/core/kv_cache_utils.py`).
//!
//! Blocks that nobody can find are all alike, so that a row of them is one number. Blocks that can be found are freed in
//! pieces, last block first:
//!
//! ```text
//!   taken next ─► 3 anonymous │ piece, from its end │ piece │ 512 anonymous │ piece ◄─ freed cached
//! ```

use super::pieces::PieceId;

/// Where in the queue a row of blocks is.
pub(super) type Place = u32;

/// The head of the circular list, where no block is.
const HEAD: Place = 0;

/// A row of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Free {
    /// That many blocks that cannot be found, never none; both neighbours are pieces or the ends.
    Anonymous(u32),
    /// That many blocks that can be found, all of the piece; its last block is taken first.
    Named(PieceId, u32),
}

#[derive(Clone, Copy, Debug)]
struct Node {
    free: Free,
    previous: Place,
    next: Place,
}

#[derive(Clone, Debug)]
pub(super) struct FreeQueue {
    nodes: Vec<Node>,
    /// Nodes to be used again.
    vacant: Vec<Place>,
    blocks: u32,
}

impl FreeQueue {
    /// `blocks` blocks, of which none can be found.
    pub(super) fn new(blocks: u32) -> Self {
        let head = Node { free: Free::Anonymous(0), previous: HEAD, next: HEAD };
        let mut queue = FreeQueue { nodes: vec![head], vacant: Vec::new(), blocks: 0 };
        queue.push_front_anonymous(blocks);
        queue
    }

    /// How many blocks there are in all rows.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Takes the first `n` blocks, or all if they are fewer, and says which of them could be found: so many of a piece,
    /// from its end.
    pub(super) fn take(&mut self, n: u32, mut evict: impl FnMut(PieceId, u32)) {
        let mut missing = n.min(self.blocks);
        self.blocks -= missing;
        while missing > 0 {
            let first = self.nodes[HEAD as usize].next;
            match &mut self.nodes[first as usize].free {
                Free::Anonymous(run) if *run > missing => {
                    *run -= missing;
                    return;
                }
                Free::Named(piece, blocks) if *blocks > missing => {
                    *blocks -= missing;
                    evict(*piece, missing);
                    return;
                }
                Free::Anonymous(run) => missing -= *run,
                Free::Named(piece, blocks) => {
                    missing -= *blocks;
                    evict(*piece, *blocks);
                }
            }
            self.remove(first);
        }
    }

    /// Frees `n` blocks that are taken next.
    pub(super) fn push_front_anonymous(&mut self, n: u32) {
        self.insert_anonymous(HEAD, n);
    }

    /// Frees `n` blocks that cannot be found and are taken last.
    pub(super) fn push_back_anonymous(&mut self, n: u32) {
        self.insert_anonymous(self.nodes[HEAD as usize].previous, n);
    }

    /// Frees the `blocks` blocks of `piece`, to be taken last.
    pub(super) fn push_back_named(&mut self, piece: PieceId, blocks: u32) -> Place {
        self.blocks += blocks;
        self.insert_after(self.nodes[HEAD as usize].previous, Free::Named(piece, blocks))
    }

    /// Frees `blocks` blocks, to be taken last, that are now the first of the piece at `place`, if that is the last of
    /// the queue; false, with nothing changed, if it is not.
    pub(super) fn prepend(&mut self, place: Place, blocks: u32) -> bool {
        if self.nodes[HEAD as usize].previous != place {
            return false;
        }
        let Free::Named(_, free) = &mut self.nodes[place as usize].free else { return false };
        *free += blocks;
        self.blocks += blocks;
        true
    }

    /// The last `blocks` blocks of the piece at `place`, but not all, are now `piece`: their turn stays the same.
    pub(super) fn split(&mut self, place: Place, piece: PieceId, blocks: u32) -> Place {
        let Node { free, previous, .. } = &mut self.nodes[place as usize];
        if let Free::Named(_, free) = free {
            *free -= blocks;
        }
        let previous = *previous;
        self.insert_after(previous, Free::Named(piece, blocks))
    }

    /// Takes the piece at `place` out of its turn.
    pub(super) fn unlink(&mut self, place: Place) {
        let Node { free, previous, next } = self.nodes[place as usize];
        if let Free::Named(_, blocks) = free {
            self.blocks -= blocks;
        }
        self.remove(place);
        if let (Some(before), Some(after)) = (self.run(previous), self.run(next)) {
            self.nodes[previous as usize].free = Free::Anonymous(before + after);
            self.remove(next);
        }
    }

    /// The rows in the order in which they are taken, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, Free)> {
        let next = |place: Place| Some(self.nodes[place as usize].next).filter(|&next| next != HEAD);
        // No longer than the slab, so that a broken list ends too.
        std::iter::successors(next(HEAD), move |&place| next(place))
            .take(self.nodes.len())
            .map(|place| (place, self.nodes[place as usize].free))
    }

    /// How many rows are in use, by what is not vacant.
    pub(super) fn rows(&self) -> usize {
        self.nodes.len() - 1 - self.vacant.len()
    }

    /// The blocks of the anonymous row at `place`; `None` at a piece and at the ends.
    fn run(&self, place: Place) -> Option<u32> {
        match self.nodes[place as usize].free {
            Free::Anonymous(run) if place != HEAD => Some(run),
            _ => None,
        }
    }

    /// Puts `n` anonymous blocks after `previous`, where one of the ends is next to it.
    fn insert_anonymous(&mut self, previous: Place, n: u32) {
        if n == 0 {
            return;
        }
        self.blocks += n;
        let next = self.nodes[previous as usize].next;
        if let Some((place, run)) =
            [previous, next].into_iter().find_map(|place| Some((place, self.run(place)?)))
        {
            self.nodes[place as usize].free = Free::Anonymous(run + n);
        } else {
            self.insert_after(previous, Free::Anonymous(n));
        }
    }

    fn insert_after(&mut self, previous: Place, free: Free) -> Place {
        let next = self.nodes[previous as usize].next;
        let node = Node { free, previous, next };
        let place = if let Some(vacant) = self.vacant.pop() {
            self.nodes[vacant as usize] = node;
            vacant
        } else {
            self.nodes.push(node);
            self.nodes.len() as Place - 1
        };
        self.nodes[previous as usize].next = place;
        self.nodes[next as usize].previous = place;
        place
    }

    fn remove(&mut self, place: Place) {
        let Node { previous, next, .. } = self.nodes[place as usize];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        self.vacant.push(place);
    }
}
