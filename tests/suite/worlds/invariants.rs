//! What holds in every world, checked on what its run told.

use super::{Told, at};
use dryscale::simulation::record::{Fate, PodRecord, RequestRecord};
use dryscale::units::{SimDuration, SimTime};
use std::collections::BTreeMap;

/// What the checks need to know of a world.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) duration: SimDuration,
    /// When the last request comes due, where all sources are traces.
    pub(super) trace_end: Option<SimDuration>,
    pub(super) drain: bool,
    pub(super) warmup: SimDuration,
    pub(super) tick: SimDuration,
    pub(super) gpus_per_pod: u32,
    pub(super) initial_replicas: i32,
    /// The largest size that a controller may ask for.
    pub(super) replicas_max: i32,
    /// A slow Prometheus may put what is decided off.
    pub(super) writes_late: bool,
    pub(super) endpoint_delay: SimDuration,
    /// By source: requests that it may have in flight.
    pub(super) caps: Vec<Option<u32>>,
    /// By class.
    pub(super) timeouts: Vec<Option<SimDuration>>,
    pub(super) holds: bool,
    /// From the client to the engine, and back.
    pub(super) path: (SimDuration, SimDuration),
}

/// Everything that must hold.
pub(super) fn check(told: &Told, terms: &Terms) {
    run_end(told, terms);
    conservation(told, terms);
    told.requests.iter().for_each(|request| request_record(request, told, terms));
    in_flight_caps(told, terms);
    pods(told, terms);
    sizes(told, terms);
    engines(told);
    timeline(told, terms);
}

/// The run ends when it was to, with its trace where that is shorter, or with the last fate where it drains.
fn run_end(told: &Told, terms: &Terms) {
    let end = terms.trace_end.map_or(terms.duration, |trace| trace.min(terms.duration));
    let last = told.requests.iter().filter_map(|request| request.ended).max();
    let drained = last.filter(|_| terms.drain).map_or(at(end), |last| last.max(at(end)));
    // What a client gave up stays in its engine until the batch that runs has ended.
    let exact = count(told, Fate::Aborted) == 0;
    assert!(told.totals.ended == drained || terms.drain && !exact && told.totals.ended > drained);
}

/// Each request that came due has one fate.
fn conservation(told: &Told, terms: &Terms) {
    let mut ordinals: Vec<u64> = told.requests.iter().map(|request| request.ordinal).collect();
    ordinals.sort_unstable();
    assert!(ordinals.iter().copied().eq(0..ordinals.len() as u64), "{ordinals:?}");
    let arrived: u64 = told.ticks.iter().map(|tick| tick.arrived).sum();
    assert_eq!(arrived, ordinals.len() as u64);
    let finished: u64 = told.ticks.iter().map(|tick| tick.finished).sum();
    assert_eq!(finished, count(told, Fate::Finished));
    assert_eq!(
        told.totals.attempts,
        told.requests.iter().filter(|request| request.sent.is_some()).count() as u64
    );
    if terms.drain {
        assert_eq!((count(told, Fate::Waiting), count(told, Fate::Running)), (0, 0));
    }
}

fn count(told: &Told, fate: Fate) -> u64 {
    told.requests.iter().filter(|request| request.fate == fate).count() as u64
}

fn request_record(request: &RequestRecord, told: &Told, terms: &Terms) {
    let (end, context) = (told.totals.ended, format!("{request:?}"));
    let RequestRecord { due, sent, first_token, ended, pod, fate, .. } = *request;
    let in_order: Vec<SimTime> =
        [Some(due), sent, first_token, ended, Some(end)].into_iter().flatten().collect();
    assert!(in_order.is_sorted(), "{context}");
    assert_eq!(request.measured, due >= at(terms.warmup), "{context}");
    assert_eq!(request.attempts, u32::from(sent.is_some()), "{context}");
    assert_eq!(first_token.is_some(), request.output_tokens.get() > 0, "{context}");
    let (input, output) = terms.path;
    if let (Some(sent), Some(first)) = (sent, first_token) {
        assert!(first.since(sent) > input + output, "{context}");
        assert_eq!(request.ttft(), Some(first.since(sent)));
    }
    match fate {
        Fate::Finished => {
            assert!(
                first_token.is_some() && pod.is_some() && matches!(request.reason, "stop" | "length"),
                "{context}"
            );
            let tokens = u64::from(request.output_tokens.get());
            if tokens == 1 {
                assert_eq!((ended, request.tpot()), (first_token, None), "{context}");
            } else {
                let decode = request.e2e().expect("finished") - request.ttft().expect("begun");
                let tpot = request.tpot().expect("two tokens").as_ps();
                assert!(
                    tpot * (tokens - 1) <= decode.as_ps() && (tpot + 1) * (tokens - 1) > decode.as_ps(),
                    "{context}"
                );
            }
        }
        Fate::Aborted => {
            let timeout =
                terms.timeouts[usize::from(request.class)].expect("only a client that may give up does");
            assert_eq!(ended, sent.map(|sent| sent + timeout), "{context}");
        }
        Fate::Killed => {
            let pod = told.pod(pod.expect("it was in a pod"));
            assert_eq!(ended, pod.exited, "{context}");
        }
        Fate::Refused => {
            assert!(ended.is_some() && first_token.is_none(), "{context}");
            assert_eq!(sent.is_none(), request.reason == "cap", "{context}");
        }
        Fate::Waiting | Fate::Running => assert!(ended.is_none(), "{context}"),
    }
    if let (Some(sent), Some(ended), Some(timeout)) =
        (sent, ended, terms.timeouts[usize::from(request.class)])
    {
        assert!(ended.since(sent) <= timeout, "{context}");
    }
    if let (Some(pod), Some(sent)) = (pod, sent) {
        routed(sent, told.pod(pod), terms, &context);
    }
}

/// A request goes to a pod that the router knows.
fn routed(sent: SimTime, pod: &PodRecord, terms: &Terms, context: &str) {
    let ready = pod.ready.expect("only ready pods are endpoints");
    // The pods of the start are known from the start.
    let known = if ready == SimTime::ZERO { ready } else { ready + terms.endpoint_delay };
    // What is held goes to a pod when one is known.
    assert!(known <= sent || terms.holds, "{context}");
    let routed = known.max(sent);
    assert!(pod.deleted.is_none_or(|deleted| routed <= deleted + terms.endpoint_delay), "{context}");
}

/// No source has more in flight than its cap.
fn in_flight_caps(told: &Told, terms: &Terms) {
    for (source, cap) in terms.caps.iter().enumerate() {
        let Some(cap) = cap else { continue };
        // At one instant those that end make room for those that begin.
        let mut changes: Vec<(SimTime, i32)> = Vec::new();
        for request in told.requests.iter().filter(|request| usize::from(request.source) == source) {
            let Some(sent) = request.sent else { continue };
            changes.push((sent, 1));
            changes.extend(request.ended.map(|ended| (ended, -1)));
        }
        changes.sort_unstable();
        let mut in_flight = 0;
        for (when, change) in changes {
            in_flight += change;
            assert!(in_flight <= *cap as i32, "{in_flight} in flight of source {source} at {when}");
        }
    }
}

fn pods(told: &Told, terms: &Terms) {
    let end = told.totals.ended;
    let mut gpu_ps = 0;
    let mut ready_ps = 0;
    let mut ordinals: Vec<u32> = told.pods.iter().map(|pod| pod.ordinal).collect();
    ordinals.sort_unstable();
    assert!(ordinals.iter().copied().eq(0..ordinals.len() as u32), "each pod once: {ordinals:?}");
    for pod in &told.pods {
        let PodRecord { created, scheduled, ready, deleted, exited, .. } = *pod;
        let in_order: Vec<SimTime> =
            [Some(created), scheduled, ready, deleted, exited, Some(end)].into_iter().flatten().collect();
        assert!(in_order.is_sorted(), "{pod:?}");
        assert!(ready.is_none() || scheduled.is_some(), "{pod:?}");
        assert!(exited.is_none() || deleted.is_some(), "{pod:?}");
        assert_eq!(scheduled.is_some(), pod.node.is_some(), "{pod:?}");
        assert!(ready.is_some() || pod.finished + pod.killed == 0, "{pod:?}");
        if let Some(scheduled) = scheduled {
            let held = exited.unwrap_or(end).since(scheduled);
            gpu_ps += u128::from(held.as_ps()) * u128::from(terms.gpus_per_pod);
        }
        if let Some(ready) = ready {
            ready_ps += u128::from(deleted.unwrap_or(end).since(ready).as_ps());
        }
    }
    assert_eq!(told.totals.gpu_ps, gpu_ps);
    assert_eq!(told.totals.ready_ps, ready_ps);
    assert!(told.totals.node_gpu_ps >= gpu_ps);
}

/// `spec.replicas` and those who write it.
fn sizes(told: &Told, terms: &Terms) {
    let mut size = terms.initial_replicas;
    let mut replica_ps = 0;
    let mut since = SimTime::ZERO;
    for scale in &told.scales {
        assert_eq!(scale.from.get(), size, "{scale:?}");
        assert!(scale.to != scale.from && (0..=terms.replicas_max).contains(&scale.to.get()), "{scale:?}");
        assert!(since <= scale.at && scale.at <= told.totals.ended, "{scale:?}");
        replica_ps += u128::from(scale.at.since(since).as_ps()) * size as u128;
        (size, since) = (scale.to.get(), scale.at);
    }
    replica_ps += u128::from(told.totals.ended.since(since).as_ps()) * size as u128;
    assert_eq!(told.totals.replica_ps, replica_ps);
    assert!(told.decisions.is_sorted_by(|a, b| a.at <= b.at));
    if terms.writes_late {
        return;
    }
    // Nobody else writes the size, so each decision begins where the one before ended.
    let mut before = terms.initial_replicas;
    let mut changes = told.scales.iter();
    for decision in &told.decisions {
        assert_eq!(decision.replicas_before.get(), before, "{decision:?}");
        before = decision.replicas_after.get();
        if decision.replicas_after != decision.replicas_before {
            let change = changes.next().expect("a decision that changes the size is a change");
            let told = (change.at, change.from, change.to, change.by);
            assert_eq!(
                told,
                (decision.at, decision.replicas_before, decision.replicas_after, decision.controller)
            );
        }
    }
    assert!(changes.next().is_none());
}

/// What pods count is what requests tell.
fn engines(told: &Told) {
    let sum = |count: fn(&PodRecord) -> u64| told.pods.iter().map(count).sum::<u64>();
    assert_eq!(told.totals.steps, sum(|pod| pod.steps));
    assert_eq!(told.totals.preemptions, sum(|pod| pod.preemptions));
    assert_eq!(sum(|pod| pod.killed), count(told, Fate::Killed));
    // An answer may be on its way when its client gives up or the run ends.
    assert!(sum(|pod| pod.finished) >= count(told, Fate::Finished));
    let mut finished: BTreeMap<u32, u64> = BTreeMap::new();
    for request in told.requests.iter().filter(|request| request.fate == Fate::Finished) {
        *finished.entry(request.pod.expect("it was in a pod")).or_default() += 1;
    }
    for (pod, finished) in finished {
        assert!(told.pod(pod).finished >= finished, "pod {pod}");
    }
    let intervals = |request: &RequestRecord| u64::from(request.output_tokens.get().saturating_sub(1));
    let measured = told.requests.iter().filter(|request| request.measured);
    assert_eq!(
        told.totals.itl.count(),
        measured.map(intervals).sum::<u64>(),
        "one interval between two tokens"
    );
}

fn timeline(told: &Told, terms: &Terms) {
    assert_eq!(told.ticks.last().map(|tick| tick.at), Some(told.totals.ended));
    for (index, tick) in told.ticks.iter().enumerate() {
        let due = SimTime::from_ps((index as u64 + 1) * terms.tick.as_ps());
        assert_eq!(tick.at, due.min(told.totals.ended));
        // What begins as the run ends was held for no time.
        let lasts = tick.at < told.totals.ended;
        assert!(!lasts || tick.held + tick.waiting <= told.totals.longest_queue, "{tick:?}");
        let (low, high) = told.totals.replicas_range;
        assert!(!lasts || (low..=high).contains(&tick.replicas), "{tick:?}");
        assert!(
            (0.0..=1.0).contains(&tick.kv_usage_mean) && tick.kv_usage_mean <= tick.kv_usage_max + 1e-12,
            "{tick:?}"
        );
        assert!(tick.kv_usage_max <= 1.0, "{tick:?}");
    }
}
