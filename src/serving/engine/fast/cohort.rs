//! The requests that only decode, as numbers instead of one by one.
//!
//! While nothing else happens to a request, each pass computes one token of it. So what it has computed follows from a
//! count of passes, the sum of all contexts grows by the number of members, who needs a block follows from the pass
//! number modulo the block size, and the pass that samples its last token is known when it joins. Members are touched when
//! they join and when they are withdrawn, and never in between.

use super::super::output_processor::Alike;
use super::super::scheduler::Slot;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A pass, counted from when the cohort was formed.
pub(super) type Pass = u64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Cohort {
    /// The next pass to be scheduled.
    pub(super) next_pass: Pass,
    /// The next batch to be updated; those from here to `next_pass` are in flight.
    pub(super) next_update: Pass,
    /// `next_update` when the latest pass was scheduled.
    update_at_pass: Pass,
    /// How many decode in the next pass, if no more of them leave.
    members: u32,
    /// How many of them count in the summary's inter-token latencies.
    measured: u32,
    /// S of the next pass: the sum of what its tokens attend to, themselves included.
    context: u64,
    /// By pass modulo block size: how many members need another block in such a pass.
    demands: Vec<u32>,
    by_slot: Vec<Member>,
    /// When members get their last token: pass, seat, slot. Of those who are withdrawn before, an entry stays behind.
    last_tokens: BinaryHeap<Reverse<(Pass, u64, Slot)>>,
    /// The first pass for which those are not scheduled whose last token the scheduler can foresee.
    skips: BinaryHeap<Reverse<(Pass, u64, Slot)>>,
    /// Tokens of members in the batches in flight, oldest first, without those of members that were withdrawn meanwhile.
    in_flight: VecDeque<Alike>,
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// When it was admitted, in a count of admissions; 0: the slot holds no member.
    seat: u64,
    /// Tokens computed before its first pass as a member.
    computed: u32,
    measured: bool,
    /// Its first pass as a member.
    first: Pass,
    /// The pass that is not scheduled for it any more; `Pass::MAX`: none yet.
    until: Pass,
    /// The pass that samples its last token; it may lie before `first`.
    last: Pass,
}

/// What a joining request is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joining {
    pub(super) slot: Slot,
    /// When it was admitted, in a count of admissions from 1.
    pub(super) seat: u64,
    /// What it has computed, the batches in flight included.
    pub(super) computed: u32,
    /// The tokens that it has at its end, prompt included.
    pub(super) ends_at: u32,
    /// Whether the scheduler foresees that end.
    pub(super) foreseen: bool,
    pub(super) measured: bool,
}

/// What happened to a member since it joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Withdrawn {
    /// Passes for which it was scheduled.
    pub(super) scheduled: u32,
    /// How many of them have been updated.
    pub(super) updated: u32,
    /// Whether the latest pass was scheduled for it and no batch has been updated since: blocks that were full then are
    /// cached already.
    pub(super) cached_by_pass: bool,
}

impl Cohort {
    /// Nobody is a member, and `in_flight` batches are in flight.
    pub(super) fn reset(&mut self, block_size: u32, in_flight: usize) {
        self.next_pass = in_flight as Pass;
        self.next_update = 0;
        self.update_at_pass = 0;
        (self.members, self.measured, self.context) = (0, 0, 0);
        self.demands.clear();
        self.demands.resize(block_size as usize, 0);
        self.by_slot.clear();
        self.last_tokens.clear();
        self.skips.clear();
        self.in_flight.clear();
        self.in_flight.resize(in_flight, Alike::default());
    }

    pub(super) fn members(&self) -> u32 {
        self.members
    }

    pub(super) fn context(&self) -> u64 {
        self.context
    }

    /// From the next pass on, the request decodes a token a pass.
    ///
    /// Returns false, and it does not join, if the scheduler knows that its last token is in flight already.
    pub(super) fn join(&mut self, joining: Joining, is_async: bool) -> bool {
        let Joining { slot, seat, computed, ends_at, foreseen, measured } = joining;
        let first = self.next_pass;
        // A pass that finds c tokens computed samples token c + 2.
        let Some(last) = (first + Pass::from(ends_at)).checked_sub(Pass::from(computed) + 2) else {
            return false;
        };
        // Without async scheduling it is gone before its next pass; with it, only where its end was not foreseen is it
        // scheduled once more.
        if last < first && (foreseen || !is_async) {
            return false;
        }
        if slot.index() >= self.by_slot.len() {
            self.by_slot.resize(slot.index() + 1, Member::default());
        }
        debug_assert_eq!(self.by_slot[slot.index()].seat, 0, "it joins once");
        self.by_slot[slot.index()] = Member { seat, computed, measured, first, until: Pass::MAX, last };
        if last >= first {
            self.last_tokens.push(Reverse((last, seat, slot)));
            if foreseen && is_async {
                self.skips.push(Reverse((last + 1, seat, slot)));
            }
        }
        self.members += 1;
        self.measured += u32::from(measured);
        self.context += u64::from(computed) + 1;
        let boundary = self.boundary(first, computed);
        self.demands[boundary] += 1;
        true
    }

    /// The residue of the passes in which a member needs another block that has `computed` tokens computed before `pass`.
    fn boundary(&self, pass: Pass, computed: u32) -> usize {
        let size = self.demands.len() as u64;
        ((pass % size + size - u64::from(computed) % size) % size) as usize
    }

    /// Those whose last token is on its way are not scheduled in the next pass.
    pub(super) fn skip_foreseen(&mut self) {
        while let Some(&Reverse((pass, seat, slot))) = self.skips.peek() {
            if self.is_member(slot, seat) {
                if pass > self.next_pass {
                    return;
                }
                debug_assert_eq!(pass, self.next_pass);
                self.stop(slot);
            }
            self.skips.pop();
        }
    }

    fn is_member(&self, slot: Slot, seat: u64) -> bool {
        self.by_slot[slot.index()].seat == seat
    }

    /// The member is not scheduled from the next pass on.
    fn stop(&mut self, slot: Slot) {
        let member = &mut self.by_slot[slot.index()];
        member.until = self.next_pass;
        let Member { computed, measured, first, .. } = *member;
        self.members -= 1;
        self.measured -= u32::from(measured);
        self.context -= u64::from(computed) + (self.next_pass - first) + 1;
        let boundary = self.boundary(first, computed);
        self.demands[boundary] -= 1;
    }

    /// Blocks that the pass `ahead` passes after the next one takes.
    fn demand(&self, ahead: u64) -> u64 {
        self.demands[((self.next_pass + ahead) % self.demands.len() as u64) as usize].into()
    }

    /// Blocks that the next `passes` passes take together.
    pub(super) fn demand_of(&self, passes: u64) -> u64 {
        let cycle = self.demands.len() as u64;
        let rest: u64 = (0..passes % cycle).map(|ahead| self.demand(ahead)).sum();
        passes / cycle * u64::from(self.members) + rest
    }

    /// For how many passes, and no more than `most`, `free` blocks suffice.
    pub(super) fn passes_within(&self, free: u64, most: u64) -> u64 {
        let (cycle, members) = (self.demands.len() as u64, u64::from(self.members));
        if (most / cycle + 1) * members <= free {
            return most;
        }
        let cycles = free / members.max(1);
        let mut left = free - cycles * members;
        let mut passes = cycles * cycle;
        // Fewer blocks are left than a whole cycle takes.
        for ahead in 0..cycle {
            let Some(rest) = left.checked_sub(self.demand(ahead)) else { break };
            left = rest;
            passes += 1;
        }
        passes.min(most)
    }

    /// How many batches will be updated before one in which a member gets its last token, and how many passes will be
    /// scheduled before one that leaves a member out; `u64::MAX` where there is none.
    pub(super) fn steps_alike(&mut self) -> u64 {
        while let Some(&Reverse((_, seat, slot))) = self.last_tokens.peek()
            && !self.is_member(slot, seat)
        {
            self.last_tokens.pop();
        }
        while let Some(&Reverse((_, seat, slot))) = self.skips.peek()
            && !self.is_member(slot, seat)
        {
            self.skips.pop();
        }
        let updates =
            self.last_tokens.peek().map_or(u64::MAX, |&Reverse((pass, ..))| pass - self.next_update);
        let passes = self.skips.peek().map_or(u64::MAX, |&Reverse((pass, ..))| pass - self.next_pass);
        updates.min(passes)
    }

    /// A member that gets its last token with the next update, in order of admission.
    pub(super) fn pop_last_token(&mut self) -> Option<Slot> {
        while let Some(&Reverse((pass, seat, slot))) = self.last_tokens.peek() {
            if self.is_member(slot, seat) && pass > self.next_update {
                return None;
            }
            self.last_tokens.pop();
            if self.is_member(slot, seat) {
                return Some(slot);
            }
        }
        None
    }

    /// Whether the slot holds a member whose last token comes with the next update from before it joined.
    pub(super) fn ends_before_its_first_pass(&self, slot: Slot) -> bool {
        let member = self.by_slot.get(slot.index());
        member.is_some_and(|member| {
            member.seat != 0 && member.last == self.next_update && member.last < member.first
        })
    }

    /// Whether the slot holds a member with a token in the batch at a place of those in flight.
    pub(super) fn is_in_flight(&self, slot: Slot, place: usize) -> bool {
        let pass = self.next_update + place as Pass;
        let member = self.by_slot.get(slot.index()).filter(|member| member.seat != 0);
        member.is_some_and(|member| (member.first..member.until.min(self.next_pass)).contains(&pass))
    }

    /// Tokens that were delivered to the slot's request since it joined; 0 if it is no member.
    pub(super) fn delivered(&self, slot: Slot) -> u32 {
        let member = self.by_slot.get(slot.index()).filter(|member| member.seat != 0);
        member.map_or(0, |member| self.next_update.min(member.until).saturating_sub(member.first) as u32)
    }

    /// The slot's request is handled by itself from now on. `None` if it was no member.
    pub(super) fn withdraw(&mut self, slot: Slot) -> Option<Withdrawn> {
        let member = *self.by_slot.get(slot.index()).filter(|member| member.seat != 0)?;
        let Member { first, until, measured, .. } = member;
        let end = until.min(self.next_pass);
        let withdrawn = Withdrawn {
            scheduled: (end - first) as u32,
            updated: self.delivered(slot),
            cached_by_pass: until == Pass::MAX && end > first && self.next_update == self.update_at_pass,
        };
        for pass in first.max(self.next_update)..end {
            let alike = &mut self.in_flight[(pass - self.next_update) as usize];
            alike.tokens -= 1;
            alike.measured -= u32::from(measured);
        }
        if until == Pass::MAX {
            self.stop(slot);
        }
        self.by_slot[slot.index()] = Member::default();
        Some(withdrawn)
    }

    /// What members compute in the batches in flight, oldest first.
    pub(super) fn in_flight(&self) -> &VecDeque<Alike> {
        &self.in_flight
    }

    /// The oldest batch in flight has ended.
    pub(super) fn updated(&mut self) -> Alike {
        self.next_update += 1;
        self.in_flight.pop_front().unwrap_or_default()
    }

    /// What all members compute in the next pass.
    pub(super) fn alike(&self) -> Alike {
        Alike { tokens: self.members, measured: self.measured }
    }

    /// The next pass was scheduled for all members.
    pub(super) fn scheduled(&mut self) {
        self.in_flight.push_back(self.alike());
        self.next_pass += 1;
        self.update_at_pass = self.next_update;
        self.context += u64::from(self.members);
    }

    /// The same for `steps` updates and passes in turn, in none of which anybody joins, leaves, or gets a last token. All
    /// batches in flight must hold a token of each member.
    pub(super) fn skip(&mut self, steps: u64) {
        debug_assert!(self.in_flight.iter().all(|alike| *alike == self.alike()));
        self.next_update += steps;
        self.next_pass += steps;
        self.update_at_pass = self.next_update;
        self.context += steps * u64::from(self.members);
    }
}
