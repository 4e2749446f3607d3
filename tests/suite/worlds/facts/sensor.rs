//! What Prometheus sees of pods that begin and end.

use super::{
    at, experiment, from, keda, ms, next, phase, run, scrape_offset, secs, sizes, trigger, whole_second,
};
use crate::worlds::Told;
use dryscale::simulation::record::Controller;
use dryscale::units::{SimDuration, SimTime};

const INTERVAL: SimDuration = SimDuration::from_secs(15);

/// Targets in the order in which Prometheus learns of them: the first pod, kube-state-metrics, the second pod.
const SECOND_POD: u64 = 2;

/// One pod, a second one from 30 s to 120 s, and a trigger that only looks: KEDA polls it every second.
fn run_while(seed: u64, observed: &str) -> Told {
    let query = format!("1 + {} - {}", from(30), from(120));
    let policy = keda(1, 2, &query, 1, "polling_interval = 1") + &trigger(observed, 1000, "");
    let tables = "[hpa]\ndownscale_stabilization = '0s'\n[monitoring]\nscrape_interval = '15s'\n";
    run(seed, &experiment(&policy, tables), &[(0, 1), (240_000, 1)])
}

/// When the second pod is created, and deleted, which is when its container exits.
fn life(told: &Told) -> (SimTime, SimTime) {
    let pod = told.pod(1);
    let deleted = pod.deleted.expect("it was deleted");
    assert_eq!((sizes(told), pod.exited), (vec![(pod.created, 2), (deleted, 1)], Some(deleted)));
    (pod.created, deleted)
}

/// When discovery sends next.
fn heard(seed: u64, now: SimTime) -> SimTime {
    next(now, secs(5), phase(seed, "prometheus/discovery-phase", secs(5)))
}

/// Whether a poll at `now` sees a sample that was taken at `t` and could be seen from `visible` on.
fn sees(now: SimTime, t: SimTime, visible: SimTime) -> bool {
    visible <= now && t <= whole_second(now)
}

#[test]
fn a_pod_that_starts_is_a_target_that_refuses() {
    for seed in 1..6 {
        let told = run_while(seed, "count(up == 0)");
        let (created, deleted) = life(&told);
        let offset = scrape_offset(seed, SECOND_POD, INTERVAL);
        // It is found when discovery sends, and scraped at its offset from then on.
        let first = next(heard(seed, created), INTERVAL, offset);
        let good = next(created + secs(40), INTERVAL, offset);
        assert!(first < good && good < deleted);
        let mut refusals = 0;
        let readings = told.readings(Controller::KedaPoll, 1);
        for (poll, down) in readings.into_iter().filter(|(poll, _)| *poll < deleted) {
            let refused = sees(poll, first, first + ms(20)) && !sees(poll, good, good + ms(20));
            // No element is 0 to KEDA.
            assert_eq!(down, f64::from(u8::from(refused)), "seed {seed} at {poll}");
            refusals += u64::from(refused);
        }
        assert!(refusals > 20, "it loads for 40 s");
    }
}

#[test]
fn a_pod_that_is_gone_is_seen_for_two_intervals_more_unless_a_scrape_fails_first() {
    let mut cases = [0, 0];
    for seed in 1..30 {
        let told = run_while(seed, "count(vllm:num_requests_running)");
        let (created, deleted) = life(&told);
        let offset = scrape_offset(seed, SECOND_POD, INTERVAL);
        let good = next(created + secs(40), INTERVAL, offset);
        let following = next(deleted, INTERVAL, offset);
        let last = at(following.since(SimTime::ZERO) - INTERVAL);
        // The loop ends when discovery sends. A scrape before that is refused, and ends the series at once.
        let refused = following < heard(seed, deleted);
        let (marker, visible) =
            if refused { (following, following + ms(20)) } else { (last + INTERVAL, last + ms(31_500)) };
        cases[usize::from(refused)] += 1;
        let readings = told.readings(Controller::KedaPoll, 1);
        assert!(readings.len() > 200, "one a second");
        let first = scrape_offset(seed, 0, INTERVAL);
        for (poll, count) in readings {
            let second = sees(poll, good, good + ms(20)) && !sees(poll, marker, visible);
            let pods = u8::from(sees(poll, at(first), at(first) + ms(20))) + u8::from(second);
            assert_eq!(count, f64::from(pods), "seed {seed} at {poll}");
        }
    }
    assert!(cases.iter().all(|&seen| seen > 0), "both happen: {cases:?}");
}
