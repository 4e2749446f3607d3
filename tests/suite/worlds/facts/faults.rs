//! Injected faults, and what the loop makes of them.

use super::{
    at, experiment, from, keda, ms, next, phase, run, scrape_offset, secs, sizes, syncs, trigger,
    whole_second,
};
use crate::worlds::Told;
use dryscale::simulation::record::{Controller, DecisionRecord};
use dryscale::units::{SimDuration, SimTime};

const WAITING: &str = "sum(vllm:num_requests_waiting)";
const ONE_SEAT: &str = "[serving.engine]\nmax_num_seqs = 1\n";
const PROMPT_DOWN: &str = "[hpa]\ndownscale_stabilization = '0s'\n";

/// A fault from one second to another.
fn fault(kind: &str, from: u64, to: u64, more: &str) -> String {
    format!("[[monitoring.fault]]\nkind = '{kind}'\nfrom = {from}\nto = {to}\n{more}\n")
}

/// Seven requests of 20 s each for one seat, at `s`, after one that is short.
fn crowd_at(s: u64, end: u64) -> Vec<(u64, u32)> {
    let mut requests = vec![(0, 1)];
    requests.extend(vec![(1000 * s, 1990); 7]);
    requests.push((1000 * end, 1));
    requests
}

/// The decisions of one loop.
fn of(told: &Told, controller: Controller) -> Vec<&DecisionRecord> {
    told.decisions.iter().filter(|decision| decision.controller == controller).collect()
}

/// The errors that a sync's or poll's triggers report, fallback or not.
fn scaler_errors(decision: &DecisionRecord) -> Vec<String> {
    let list = decision.detail["external_metrics"].as_array().or(decision.detail["triggers"].as_array());
    let error = |reading: &serde_json::Value| reading["scaler_error"].as_str().map(str::to_owned);
    list.into_iter().flatten().filter_map(error).collect()
}

fn within(now: SimTime, from: u64, to: u64) -> bool {
    now >= at(secs(from)) && now < at(secs(to))
}

#[test]
fn an_outage_in_a_spike_ends_in_the_fallback_after_enough_failures_of_polls_and_syncs() {
    for seed in 1..6 {
        let fallback = "polling_interval = 30\nfallback = { failure_threshold = 3, replicas = 4 }";
        let tables = format!("{ONE_SEAT}{}", fault("prometheus_down", 60, 200, ""));
        let policy = keda(1, 6, WAITING, 2, fallback);
        let told = run(seed, &experiment(&policy, &tables), &crowd_at(70, 400));
        // Nobody sees the crowd that comes at 70 s. Each poll and each sync fails once; the fourth failure is past the
        // threshold, and the next sync acts on the fallback.
        let mut failures = 0;
        let mut acts = None;
        for decision in &told.decisions {
            let failed = scaler_errors(decision);
            assert_eq!(
                failed.len(),
                usize::from(within(decision.at, 60, 200)),
                "seed {seed} at {}",
                decision.at
            );
            if let [error] = &failed[..] {
                assert!(error.contains("connection refused"), "{error}");
                failures += 1;
                if failures > 3 && decision.controller == Controller::HpaSync {
                    acts.get_or_insert(decision.at);
                }
            }
        }
        let acts = acts.expect("a sync past the threshold");
        assert!(acts < at(secs(60 + 3 * 15 + 31)), "polls and syncs count on one counter");
        assert_eq!(sizes(&told)[0], (acts, 4), "seed {seed}");
        assert!(
            told.totals.warnings.iter().any(|w| w == "injected fault: prometheus_down from 1m to 3m 20s")
        );
    }
}

#[test]
fn without_a_fallback_an_outage_holds_the_size_and_afterwards_the_queue_is_seen_again() {
    for seed in 1..6 {
        // Two pods are wanted from 30 s to 100 s; the outage hides that they are not any more.
        let query = format!("1 + {} - {}", from(30), from(100));
        let tables = format!("{PROMPT_DOWN}{}", fault("prometheus_down", 60, 200, ""));
        let told = run(seed, &experiment(&keda(1, 3, &query, 1, ""), &tables), &[(0, 1), (400_000, 1)]);
        let [(_, 2), (shrinks, 1)] = sizes(&told)[..] else { panic!("{:?}", sizes(&told)) };
        let first_after = of(&told, Controller::HpaSync)
            .into_iter()
            .map(|sync| sync.at)
            .find(|&sync| sync >= at(secs(200)));
        assert_eq!(Some(shrinks), first_after, "seed {seed}");
        for sync in of(&told, Controller::HpaSync).into_iter().filter(|sync| within(sync.at, 60, 200)) {
            assert_eq!(sync.replicas_after.get(), 2);
            assert!(sync.detail.to_string().contains("FailedGetExternalMetric"), "{}", sync.detail);
        }
    }
}

#[test]
fn a_server_that_is_back_shows_pods_that_went_meanwhile_until_the_lookback_ends() {
    const INTERVAL: SimDuration = SimDuration::from_secs(15);
    for seed in 1..6 {
        // A second pod from 30 s on, which the fallback deletes while Prometheus is down. Others than the first pod are
        // told by their address.
        let running = "vllm:num_requests_running";
        let others = format!(r#"count({running}) - count({running}{{instance=~"10.128.0.2:8080"}})"#);
        let more = "polling_interval = 1\nfallback = { failure_threshold = 0, replicas = 1 }";
        let policy =
            keda(1, 2, &format!("1 + {} - {}", from(30), from(100)), 1, more) + &trigger(&others, 1000, "");
        let policy = policy.replace(&format!(" - {}", from(100)), &format!(" - {}", from(210)));
        let tables = format!(
            "{PROMPT_DOWN}[monitoring]\nscrape_interval = '15s'\n{}",
            fault("prometheus_down", 120, 205, "")
        );
        let told = run(seed, &experiment(&policy, &tables), &[(0, 1), (600_000, 1)]);
        let pod = told.pod(1);
        assert!(
            pod.deleted.is_some_and(|deleted| within(deleted, 120, 140)),
            "seed {seed}: {:?}",
            pod.deleted
        );
        // The third target that Prometheus learnt of; its last good scrape was before the outage.
        let offset = scrape_offset(seed, 2, INTERVAL);
        let mut last = next(at(secs(90)), INTERVAL, offset);
        while last + INTERVAL + ms(20) <= at(secs(120)) {
            last += INTERVAL;
        }
        let mut seen = 0;
        for (now, count) in told.readings(Controller::KedaPoll, 1) {
            // What comes after the outage is another pod's, if it is scraped at all.
            if now < at(secs(205))
                || told.pods.len() > 2 && told.pod(2).ready.is_some_and(|ready| now >= ready)
            {
                continue;
            }
            let there = whole_second(now).since(last) < secs(300);
            assert_eq!(count, f64::from(u8::from(there)), "seed {seed} at {now}, last {last}");
            seen |= 1 << u8::from(there);
        }
        assert_eq!(seen, 0b11, "seed {seed}: it is there, and then not");
    }
}

#[test]
fn a_slow_server_delays_syncs_and_what_they_decide_and_past_the_timeout_it_is_an_error() {
    for seed in 1..5 {
        let query = format!("1 + {}", from(120));
        for (latency, timeout) in [(2, ""), (4, ""), (4, "timeout = \"5s\"")] {
            let policy = keda(1, 3, &query, 1, "").replace("threshold =", &format!("{timeout}\nthreshold ="));
            let tables = fault("prometheus_slow", 60, 300, &format!("latency = {latency}"));
            let told = run(seed, &experiment(&policy, &tables), &[(0, 1), (400_000, 1)]);
            let fails = latency == 4 && timeout.is_empty();
            // An error is asked for once more.
            let took = if fails { ms(6000) } else { ms(1000 * latency) };
            let syncs = of(&told, Controller::HpaSync);
            for pair in syncs.windows(2).filter(|pair| within(pair[0].at, 60, 300)) {
                assert_eq!(pair[1].at.since(pair[0].at), secs(15) + took, "{latency} s, seed {seed}");
                assert_eq!(scaler_errors(pair[0]).len(), usize::from(fails));
            }
            let (scaled, 2) = sizes(&told)[0] else { panic!("{:?}", sizes(&told)) };
            let decided = syncs.iter().find(|sync| sync.replicas_after.get() == 2).expect("a sync").at;
            if fails {
                assert!(scaled >= at(secs(300)) && scaled == decided);
            } else {
                assert!(whole_second(decided) >= at(secs(120)));
                assert_eq!(scaled, decided + took - ms(50), "50 ms are usual");
            }
        }
    }
}

/// A fleet of three that is busy until the end, with scrapes that fail in the middle.
fn failing(seed: u64, fault: &str, metadata: &str) -> Told {
    let policy =
        keda(1, 3, "sum(vllm:num_requests_running + vllm:num_requests_waiting)", 2, "polling_interval = 1")
            .replace("threshold =", &format!("{metadata}\nthreshold ="));
    let tables = format!("{ONE_SEAT}{PROMPT_DOWN}[monitoring]\nscrape_interval = '15s'\n{fault}");
    let mut requests = vec![(0, 1); 1];
    requests.extend(vec![(1000, 30_000); 6]);
    requests.extend(vec![(100_000, 30_000); 6]);
    requests.push((300_000, 1));
    run(seed, &experiment(&policy, &tables), &requests)
}

#[test]
fn nothing_to_see_is_zero_load_unless_the_trigger_is_strict() {
    for (kind, more) in [
        ("scrape_failing", ""),
        ("scrape_failing", "target = '{job=\"$deployment\"}'"),
        (
            "series_vanish",
            "series = '{__name__=~\"vllm:num_requests_(running|waiting)\", namespace=\"$namespace\"}'",
        ),
    ] {
        for seed in 1..4 {
            let fault = fault(kind, 150, 200, more);
            let trap = failing(seed, &fault, "");
            let [(_, 3), (falls, 1), (rises, _), ..] = sizes(&trap)[..] else {
                panic!("{kind}: {:?}", sizes(&trap))
            };
            // The last pod to be scraped in the fault ends the sum; the first after it begins it again.
            assert!(within(falls, 150, 200) && rises >= at(secs(200)), "{kind}: {:?}", sizes(&trap));
            let killed = trap.requests.iter().filter(|request| request.reason == "pod_terminated").count();
            assert!(killed > 0, "{kind}: requests die of it");
            let strict = failing(seed, &fault, "ignoreNullValues = \"false\"");
            // Only once the fault is over, some pods have been scraped before others, is the sum a part for a while.
            assert!(
                sizes(&strict).iter().all(|(at, _)| !within(*at, 150, 200)),
                "{kind}: {:?}",
                sizes(&strict)
            );
        }
    }
}

#[test]
fn a_failed_scrape_ends_the_series_at_once_and_one_that_times_out_later() {
    for (more, later) in [("", ms(20)), ("times_out = true", secs(10))] {
        for seed in 1..4 {
            let policy = keda(
                1,
                1,
                "count(vllm:num_requests_running) + 10 * sum(up{container=\"kserve-container\"})",
                1000,
                "polling_interval = 1\n",
            );
            let policy = policy.replace(
                "count(vllm:num_requests_running)",
                "sum(count(vllm:num_requests_running) or vector(0))",
            );
            let tables = fault("scrape_failing", 100, 170, more);
            let told = run(seed, &experiment(&policy, &tables), &[(0, 1), (300_000, 1)]);
            let failed = next(at(secs(100)), secs(30), scrape_offset(seed, 0, secs(30)));
            let back = next(at(secs(170)), secs(30), scrape_offset(seed, 0, secs(30)));
            for (now, value) in told.readings(Controller::KedaPoll, 0) {
                let sees = |scrape: SimTime, later: SimDuration| {
                    scrape <= whole_second(now) && scrape + later <= now
                };
                if now < at(secs(60)) {
                    continue;
                }
                let down = sees(failed, later) && !sees(back, ms(20));
                assert_eq!(value, if down { 0.0 } else { 11.0 }, "seed {seed} at {now}, {more}");
            }
        }
    }
}

#[test]
fn without_the_metrics_adapter_the_hpa_stands_still_while_keda_polls_on() {
    for seed in 1..6 {
        let tables = format!("{ONE_SEAT}{}", fault("metrics_adapter_down", 40, 150, ""));
        let policy = keda(
            1,
            5,
            WAITING,
            2,
            "fallback = { failure_threshold = 1, replicas = 5 }\npolling_interval = 5",
        );
        let told = run(seed, &experiment(&policy, &tables), &crowd_at(100, 400));
        let polls = of(&told, Controller::KedaPoll);
        assert!(polls.iter().all(|poll| scaler_errors(poll).is_empty()), "KEDA hears of nothing");
        let seen = told
            .readings(Controller::KedaPoll, 0)
            .into_iter()
            .any(|(now, value)| within(now, 100, 150) && value >= 2.0);
        assert!(seen, "and sees the queue");
        for sync in of(&told, Controller::HpaSync).into_iter().filter(|sync| within(sync.at, 40, 150)) {
            assert_eq!(sync.replicas_after.get(), 1);
            assert!(
                sync.detail.to_string().contains("the server is currently unable to handle the request"),
                "{}",
                sync.detail
            );
        }
        // The adapter takes no query while it is down: the syncs are 15 s apart.
        let first = phase(seed, "hpa/sync-phase", secs(15));
        let before = syncs(seed, 1).take_while(|&sync| sync < at(secs(40))).count() as u64;
        let acts =
            (before..).map(|k| at(first) + ms(15_000 * k + 50 * before)).find(|&sync| sync >= at(secs(150)));
        assert_eq!(Some(sizes(&told)[0].0), acts, "seed {seed}");
    }
}

#[test]
fn a_target_that_stands_still_shows_what_it_showed_first() {
    let policy = keda(1, 1, "sum(rate(vllm:generation_tokens_total[1m]))", 1000, "polling_interval = 1")
        + &trigger("sum(vllm:num_requests_running)", 1000, "")
        + &trigger("sum(up{container=\"kserve-container\"})", 1000, "");
    let tables = format!("[monitoring]\nscrape_interval = '15s'\n{}", fault("target_frozen", 100, 400, ""));
    // One long answer, over at 305 s.
    let told = run(2, &experiment(&policy, &tables), &[(0, 30_500), (600_000, 1)]);
    let at_poll = |trigger, s| {
        let readings = told.readings(Controller::KedaPoll, trigger);
        readings.into_iter().find(|(now, _)| *now >= at(secs(s))).expect("a poll").1
    };
    let by_time = |trigger| [90, 200, 380, 450].map(|s| at_poll(trigger, s));
    assert_eq!(by_time(1), [1.0, 1.0, 1.0, 0.0], "it is over at 305 s");
    let [going, frozen, still, after] = by_time(0);
    assert!((going - 100.0).abs() < 1.0 && frozen == 0.0 && still == 0.0, "{going} {frozen} {still}");
    // The counter jumps by all that was missed.
    assert!(after > 100.0, "{after}");
    assert_eq!(by_time(2), [1.0; 4]);
}
