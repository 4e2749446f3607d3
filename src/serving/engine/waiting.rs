//! Requests that wait to run (`vllm/v1/core/sched/request_queue.py`).

use super::config::SchedulingPolicy;
use super::request::RequestId;
use super::scheduler::Slot;
use crate::units::SimTime;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A waiting request: its place under the priority policy, and who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// Smaller first.
    pub(super) priority: i32,
    /// Then the earlier.
    pub(super) arrival_time: SimTime,
    /// Then the smaller; no two are equal.
    pub(super) id: RequestId,
    /// Where the scheduler keeps it.
    pub(super) slot: Slot,
}

#[derive(Clone, Debug)]
pub(super) enum WaitingQueue {
    Fcfs(VecDeque<Waiting>),
    Priority(BinaryHeap<Reverse<Waiting>>),
}

impl WaitingQueue {
    pub(super) fn new(policy: SchedulingPolicy) -> Self {
        match policy {
            SchedulingPolicy::Fcfs => WaitingQueue::Fcfs(VecDeque::new()),
            SchedulingPolicy::Priority => WaitingQueue::Priority(BinaryHeap::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            WaitingQueue::Fcfs(queue) => queue.len(),
            WaitingQueue::Priority(heap) => heap.len(),
        }
    }

    /// Who is next.
    pub(super) fn peek(&self) -> Option<Waiting> {
        match self {
            WaitingQueue::Fcfs(queue) => queue.front().copied(),
            WaitingQueue::Priority(heap) => heap.peek().map(|Reverse(waiting)| *waiting),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        match self {
            WaitingQueue::Fcfs(queue) => queue.pop_front(),
            WaitingQueue::Priority(heap) => heap.pop().map(|Reverse(waiting)| waiting),
        }
    }

    /// Adds a request that has just arrived.
    pub(super) fn push(&mut self, waiting: Waiting) {
        match self {
            WaitingQueue::Fcfs(queue) => queue.push_back(waiting),
            WaitingQueue::Priority(heap) => heap.push(Reverse(waiting)),
        }
    }

    /// Puts back one that was preempted or passed over: in front, or in its place by priority.
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        match self {
            WaitingQueue::Fcfs(queue) => queue.push_front(waiting),
            WaitingQueue::Priority(heap) => heap.push(Reverse(waiting)),
        }
    }

    /// Visits all, in no particular order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&Waiting)) {
        match self {
            WaitingQueue::Fcfs(queue) => queue.iter().for_each(visit),
            WaitingQueue::Priority(heap) => heap.iter().for_each(|Reverse(waiting)| visit(waiting)),
        }
    }

    /// Drops those for which `keep` is false.
    pub(super) fn retain(&mut self, keep: impl Fn(&Waiting) -> bool) {
        match self {
            WaitingQueue::Fcfs(queue) => queue.retain(keep),
            WaitingQueue::Priority(heap) => heap.retain(|Reverse(waiting)| keep(waiting)),
        }
    }
}
