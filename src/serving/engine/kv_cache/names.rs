//! The blocks that can be found by the hash of what they hold (`BlockHashToBlockMap` of vLLM 0.32,
//! `vllm/v1/core/block_pool.py`).

use super::free_queue::Place;
use rustc_hash::FxHashMap;

/// Stands for a block that can be found. It is used again when that is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u32);

/// No name: the end of a list of equal blocks.
const NONE: Name = Name(u32::MAX);

#[derive(Clone, Copy, Debug)]
struct Named {
    hash: u64,
    /// How many requests hold it; without any it is free, at `place`.
    references: u32,
    place: Place,
    /// Its neighbours among the blocks of the same hash.
    older: Name,
    newer: Name,
}

/// The blocks of one hash: they are not de-duplicated, and the oldest is the one that is found.
#[derive(Clone, Copy, Debug)]
struct Same {
    oldest: Name,
    newest: Name,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    named: Vec<Named>,
    /// Names to be used again.
    vacant: Vec<Name>,
    by_hash: FxHashMap<u64, Same>,
}

impl Name {
    /// Its number: small, so that it can index a table.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Names {
    /// The block with these contents.
    pub(super) fn find(&self, hash: u64) -> Option<Name> {
        self.by_hash.get(&hash).map(|same| same.oldest)
    }

    /// Names a block that one request holds: it is found under `hash`, after others of that hash.
    pub(super) fn add(&mut self, hash: u64) -> Name {
        let name = self.vacant.pop().unwrap_or(Name(self.named.len() as u32));
        let same = self.by_hash.entry(hash).or_insert(Same { oldest: name, newest: NONE });
        let older = std::mem::replace(&mut same.newest, name);
        let named = Named { hash, references: 1, place: 0, older, newer: NONE };
        match self.named.get_mut(name.index()) {
            Some(old) => *old = named,
            None => self.named.push(named),
        }
        if older != NONE {
            self.named[older.index()].newer = name;
        }
        name
    }

    /// The hash under which `name` is found.
    pub(super) fn hash(&self, name: Name) -> u64 {
        self.named[name.index()].hash
    }

    /// How many requests hold `name`.
    pub(super) fn references(&self, name: Name) -> u32 {
        self.named[name.index()].references
    }

    /// Where `name` is free, if no request holds it.
    pub(super) fn free_at(&self, name: Name) -> Option<Place> {
        let Named { references, place, .. } = self.named[name.index()];
        (references == 0).then_some(place)
    }

    /// One more request holds `name`. Where it was free, if it was, it must be taken from.
    pub(super) fn touch(&mut self, name: Name) -> Option<Place> {
        let place = self.free_at(name);
        self.named[name.index()].references += 1;
        place
    }

    /// A request lets go of `name`. If it was the last, the block goes to the place that `free` gives it.
    pub(super) fn release(&mut self, name: Name, free: impl FnOnce(Name) -> Place) {
        let named = &mut self.named[name.index()];
        named.references -= 1;
        if named.references == 0 {
            named.place = free(name);
        }
    }

    /// `name` is evicted: it can no longer be found, and others of its hash keep their order.
    pub(super) fn forget(&mut self, name: Name) {
        let Named { hash, older, newer, .. } = self.named[name.index()];
        self.vacant.push(name);
        if older == NONE && newer == NONE {
            self.by_hash.remove(&hash);
            return;
        }
        let Some(same) = self.by_hash.get_mut(&hash) else { return };
        if older == NONE {
            same.oldest = newer;
        } else {
            self.named[older.index()].newer = newer;
        }
        if newer == NONE {
            same.newest = older;
        } else {
            self.named[newer.index()].older = older;
        }
    }

    /// How many blocks can be found, by what is not vacant.
    pub(super) fn len(&self) -> usize {
        self.named.len() - self.vacant.len()
    }

    /// One more than the greatest index of a name.
    pub(super) fn end(&self) -> usize {
        self.named.len()
    }

    /// All blocks that can be found, with the hash, those of one hash in order; hashes are in no order.
    pub(super) fn found(&self) -> impl Iterator<Item = (u64, Name)> {
        self.by_hash.iter().flat_map(|(&hash, same)| {
            let next = |name: &Name| Some(self.named[name.index()].newer).filter(|&newer| newer != NONE);
            std::iter::successors(Some(same.oldest), next)
                .take(self.named.len())
                .map(move |name| (hash, name))
        })
    }
}
