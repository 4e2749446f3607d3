//! Which pods a ReplicaSet deletes first: `ActivePodsWithRanks` of Kubernetes `pkg/controller/controller_utils.go`
//! (v1.28, gates LogarithmicScaleDown and PodDeletionCost on).
//!
//! Not the newest first: ages are compared by the power of two of nanoseconds that they fall into, and pods of like age
//! by their UID, which is random. What a pod is working on is not considered.

use crate::units::SimTime;
use std::cmp::Ordering;

/// What the order of deletion depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// `metadata.uid`.
    pub uid: &'a str,
    /// Whether a node was assigned.
    pub assigned: bool,
    /// `status.phase`.
    pub phase: PodPhase,
    /// When the condition Ready became true; `None` while it is not. In whole seconds, as Kubernetes stores it.
    pub ready_since: Option<SimTime>,
    /// Annotation `controller.kubernetes.io/pod-deletion-cost`; 0 when left out.
    pub deletion_cost: i32,
    /// How many active pods of the same owner are on the pod's node, itself included.
    pub rank: usize,
    /// The most restarts of any of its containers.
    pub max_restarts: i32,
    /// `metadata.creationTimestamp`, in whole seconds.
    pub created: SimTime,
}

/// `status.phase` of a pod that is active, in the order in which phases are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodPhase {
    /// Not all containers were started.
    Pending,
    /// Its node does not answer.
    Unknown,
    /// At least one container runs.
    Running,
}

/// The indices of `candidates` in the order of deletion at `now`, first deleted first.
///
/// The comparison is no total order: equal ready times go on to later criteria, unequal ones of one bucket end at the
/// UID, so three pods can form a cycle. The result then depends on the sorting algorithm; up to 12 pods it is upstream's
/// own (Go sorts so few by insertion).
pub fn deletion_order(candidates: &[Candidate<'_>], now: SimTime) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    insertion_sort(&mut order, |&a, &b| compare(&candidates[a], &candidates[b], now) == Ordering::Less);
    order
}

/// `Less` of upstream, as an ordering: the first criterion on which the two differ decides.
fn compare(a: &Candidate<'_>, b: &Candidate<'_>, now: SimTime) -> Ordering {
    let fixed = (a.assigned.cmp(&b.assigned))
        .then(a.phase.cmp(&b.phase))
        .then(a.ready_since.is_some().cmp(&b.ready_since.is_some()))
        .then(a.deletion_cost.cmp(&b.deletion_cost))
        .then(b.rank.cmp(&a.rank));
    if fixed != Ordering::Equal {
        return fixed;
    }
    if let (Some(ready_a), Some(ready_b)) = (a.ready_since, b.ready_since)
        && ready_a != ready_b
    {
        return younger_bucket_first(ready_a, ready_b, now).then_with(|| a.uid.cmp(b.uid));
    }
    let by_restarts = b.max_restarts.cmp(&a.max_restarts);
    if by_restarts != Ordering::Equal || a.created == b.created {
        return by_restarts;
    }
    younger_bucket_first(a.created, b.created, now).then_with(|| a.uid.cmp(b.uid))
}

/// `logarithmicRankDiff`.
fn younger_bucket_first(a: SimTime, b: SimTime, now: SimTime) -> Ordering {
    age_bucket(a, now).cmp(&age_bucket(b, now))
}

/// `int64(math.Log2(float64(age)))` of the age in nanoseconds; -1 for no age.
///
/// Go's `math.Log2` splits off the binary exponent and takes the logarithm of the rest, so ages just below a power of
/// two above 2^45 or so (ten hours) round up into the next bucket. The same operations give the same buckets.
fn age_bucket(since: SimTime, now: SimTime) -> i64 {
    const PS_PER_NS: u64 = 1_000;
    let age = now.since(since).as_ps() / PS_PER_NS;
    if age == 0 {
        return -1;
    }
    let (fraction, exponent) = libm::frexp(age as f64);
    // A half is the fraction of an exact power of two.
    if fraction == 0.5 {
        return i64::from(exponent - 1);
    }
    (f64::from(exponent) + libm::log(fraction) * (1.0 / std::f64::consts::LN_2)) as i64
}

/// Insertion sort as Go's `sort.Sort` does it for up to 12 elements. `slice::sort_by` may panic on an order with cycles.
fn insertion_sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    for sorted in 1..items.len() {
        let mut at = sorted;
        while at > 0 && less(&items[at], &items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimDuration;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(seconds)
    }

    fn ready(uid: &str, since: u64) -> Candidate<'_> {
        Candidate {
            uid,
            assigned: true,
            phase: PodPhase::Running,
            ready_since: Some(at(since)),
            deletion_cost: 0,
            rank: 1,
            max_restarts: 0,
            created: at(0),
        }
    }

    fn order(candidates: &[Candidate<'_>], now: u64) -> Vec<String> {
        deletion_order(candidates, at(now)).into_iter().map(|i| candidates[i].uid.to_owned()).collect()
    }

    #[test]
    fn pods_of_like_age_go_by_uid_not_by_age() {
        // 100 s and 130 s fall into the bucket of 2^36 ns = 68.7 s, 40 s into the one before.
        assert_eq!(order(&[ready("b", 900), ready("a", 870), ready("c", 960)], 1000), ["c", "a", "b"]);
    }

    #[test]
    fn what_serves_least_goes_first() {
        let unassigned =
            Candidate { assigned: false, phase: PodPhase::Pending, ready_since: None, ..ready("z", 0) };
        let starting = Candidate { ready_since: None, ..ready("y", 0) };
        let cheap = Candidate { deletion_cost: -1, ..ready("x", 0) };
        let crowded = Candidate { rank: 2, ..ready("w", 0) };
        let expensive = Candidate { deletion_cost: 1, rank: 3, ..ready("a", 999) };
        let all = [expensive, ready("v", 0), crowded, cheap, starting, unassigned];
        assert_eq!(order(&all, 1000), ["z", "y", "x", "w", "v", "a"]);
    }

    #[test]
    fn buckets_are_powers_of_two_of_nanoseconds() {
        let bucket = |ns: u64| age_bucket(SimTime::ZERO, SimTime::ZERO + SimDuration::from_nanos(ns));
        assert_eq!((bucket(0), bucket(1), bucket(2), bucket(3), bucket(4)), (-1, 0, 1, 1, 2));
        for exponent in 1..50 {
            assert_eq!(bucket(1 << exponent), exponent, "2^{exponent}");
        }
        assert_eq!(bucket((1 << 40) - 1), 39);
    }
}
