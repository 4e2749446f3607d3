//! KEDA and the HPA over a service: when they see what, and when they act.

use super::{
    at, experiment, from, keda, ms, next, phase, run, scrape_offset, secs, sizes, syncs, trigger,
    whole_second,
};
use crate::worlds::Told;
use dryscale::simulation::record::{Controller, DecisionRecord, Fate};
use dryscale::units::SimTime;

const WAITING: &str = "sum(vllm:num_requests_waiting)";

/// One request at a time: whoever comes waits.
const ONE_SEAT: &str = "[serving.engine]\nmax_num_seqs = 1\n";

fn decisions(told: &Told, controller: Controller) -> Vec<SimTime> {
    let of_it = told.decisions.iter().filter(|decision| decision.controller == controller);
    of_it.map(|decision| decision.at).collect()
}

#[test]
fn the_loops_keep_their_periods_each_at_its_own_phase() {
    let policy = |more: &str| {
        keda(1, 2, "vector(1)", 1, "polling_interval = 7").replace("type =", &format!("{more}type ="))
    };
    let told = run(3, &experiment(&policy(""), ""), &[(0, 1), (120_000, 1)]);
    let first_poll = at(phase(3, "keda/poll-phase", secs(7)));
    let polls: Vec<SimTime> =
        (0..).map(|k| first_poll + secs(7 * k)).take_while(|&poll| poll <= at(secs(120))).collect();
    assert_eq!(decisions(&told, Controller::KedaPoll), polls);
    // A sync waits for its query: 15.05 s. A cached metric takes none.
    for (more, queries) in [("", 1), ("use_cached_metrics = true\n", 0)] {
        let told = run(3, &experiment(&policy(more), ""), &[(0, 1), (120_000, 1)]);
        let expected: Vec<SimTime> = syncs(3, queries).take_while(|&sync| sync <= at(secs(120))).collect();
        let mut found = decisions(&told, Controller::HpaSync);
        if queries == 0 && expected[0] < first_poll {
            // Nothing is cached before the first poll.
            let late = found.remove(0);
            found = found.into_iter().map(|sync| at(sync.since(SimTime::ZERO) - ms(50))).collect();
            found.insert(0, late);
        }
        assert_eq!(found, expected, "{more}");
    }
}

/// Seven requests of 20 s each for one seat.
fn crowd(end_ms: u64) -> Vec<(u64, u32)> {
    let mut requests = vec![(0, 1990); 7];
    requests.push((end_ms, 1));
    requests
}

#[test]
fn a_queue_is_answered_at_the_first_sync_that_can_see_it() {
    for seed in 1..9 {
        let policy = keda(1, 5, WAITING, 2, "");
        let told = run(seed, &experiment(&policy, ONE_SEAT), &crowd(100_000));
        // Six wait from the start; they are seen once the pod was scraped, and asked for in whole seconds.
        let scraped = at(scrape_offset(seed, 0, secs(30)));
        let seen = |sync: &SimTime| whole_second(*sync) >= scraped && *sync >= scraped + ms(20);
        let scaled = syncs(seed, 1).find(seen).expect("sooner or later");
        assert_eq!(sizes(&told), [(scaled, 3)], "ceil(6 / 2), seed {seed}");
        // The new pods get their GPUs at once, and are ready at the first probe at which they can be.
        for pod in 1..3 {
            let pod = told.pod(pod);
            assert_eq!((pod.created, pod.scheduled), (scaled, Some(scaled)));
            assert_eq!(pod.ready, Some(scaled + secs(40)));
        }
    }
}

#[test]
fn a_fleet_shrinks_once_its_last_high_recommendation_is_older_than_the_window() {
    let told = run(1, &experiment(&keda(1, 5, WAITING, 2, ""), ONE_SEAT), &crowd(900_000));
    // Each request takes 100 ms and 1989 times 10 ms.
    let finished = |n: u64| at(ms(7 + n * 19_990 + 2));
    for request in 0..7 {
        assert_eq!(told.request(request).ended, Some(finished(request + 1)));
    }
    // The HPA sees the queue of the last scrape that it can see.
    let waiting_at = |sync: SimTime| {
        let offset = scrape_offset(1, 0, secs(30));
        let scrapes = (0..).map(|k| at(offset) + secs(30 * k));
        let seen =
            scrapes.take_while(|&scrape| scrape <= whole_second(sync) && scrape + ms(20) <= sync).last()?;
        // A seat is taken again as soon as it is free.
        Some(6 - (1..=6).filter(|&n| finished(n) - ms(2) <= seen).count() as u64)
    };
    let last_with = |least: u64| {
        let all = syncs(1, 1).take_while(|&sync| sync < at(secs(300)));
        all.filter(|&sync| waiting_at(sync).is_some_and(|waiting| waiting >= least))
            .last()
            .expect("there is one")
    };
    // ceil(w / 2) is 3 for 5 and 6, 2 for 3 and 4. 20 syncs later the recommendation is 301 s old.
    let later = ms(20 * 15_050);
    assert_eq!(sizes(&told)[1..], [(last_with(5) + later, 2), (last_with(3) + later, 1)]);
}

#[test]
fn a_service_that_sleeps_is_not_woken_by_its_own_metrics() {
    let query = "sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)";
    let policy =
        keda(0, 2, query, 100, "polling_interval = 10\ncooldown_period = 60\ninitial_cooldown_period = 60");
    let hold = "[serving.gateway]\nwhen_none_ready = 'hold'\nhold_timeout = 30\n";
    // The first request runs for a minute; the second comes when all is quiet.
    let told = run(2, &experiment(&policy, hold), &[(0, 6000), (400_000, 1), (600_000, 1)]);
    let readings = told.readings(Controller::KedaPoll, 0);
    let last_active =
        readings.iter().filter(|(_, value)| *value > 0.0).map(|(at, _)| *at).max().expect("it was seen");
    assert!(last_active > at(secs(30)) && last_active < at(secs(100)));
    let polls = decisions(&told, Controller::KedaPoll);
    let asleep = polls.into_iter().find(|&poll| poll > whole_second(last_active) + secs(60)).expect("a poll");
    assert_eq!((sizes(&told), told.scales[0].by), (vec![(asleep, 0)], Controller::KedaPoll));
    // No pod, no metric; no metric, no pod.
    let held = told.request(1);
    assert_eq!((held.fate, held.reason, held.ended), (Fate::Refused, "hold_timeout", Some(at(secs(430)))));
    assert_eq!(told.totals.longest_queue, 1);
    let asked = |decision: &serde_json::Value| {
        decision["external_metrics"].as_array().is_some_and(|list| !list.is_empty())
    };
    let sleeping = told.decisions.iter().filter(|decision| decision.at > asleep);
    assert!(
        sleeping.clone().all(|decision| !asked(&decision.detail)),
        "the HPA of a service at 0 asks nothing"
    );
    assert!(sleeping.count() > 30);
}

#[test]
fn a_new_object_that_may_sleep_does_so_before_prometheus_has_seen_the_load() {
    let query = "sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)";
    let policy = keda(0, 2, query, 100, "polling_interval = 10\ncooldown_period = 300");
    let told = run(2, &experiment(&policy, ""), &[(0, 6000), (100_000, 1)]);
    // Nothing has been active yet, so only the initial cooldown counts, and that is 0.
    let poll = at(phase(2, "keda/poll-phase", secs(10)));
    assert!(poll < at(scrape_offset(2, 0, secs(30))));
    assert_eq!(sizes(&told), [(poll, 0)]);
    let killed = told.request(0);
    assert_eq!((killed.fate, killed.ended), (Fate::Killed, Some(poll)));
    // The first token was ready at 107 ms, one more every 10 ms.
    let since_first = poll.since(at(ms(107))).as_millis();
    assert_eq!(u64::from(killed.output_tokens.get()), 1 + since_first / 10);
}

#[test]
fn a_service_that_sleeps_is_woken_by_a_metric_from_elsewhere_and_serves_what_was_held() {
    let policy = keda(0, 2, &from(100), 1, "polling_interval = 10");
    let hold = "initial_replicas = 0\n[serving.gateway]\nwhen_none_ready = 'hold'\nhold_timeout = 200\n";
    let world = experiment(&policy, "").replace("[serving.startup]", &format!("{hold}[serving.startup]"));
    let told = run(4, &world, &[(0, 1), (90_000, 5), (400_000, 1)]);
    let poll = next(at(secs(100)), secs(10), phase(4, "keda/poll-phase", secs(10)));
    assert_eq!((sizes(&told), told.scales[0].by), (vec![(poll, 1)], Controller::KedaPoll));
    // 40 s to start, 1 s until the router knows; then both prompts are one batch.
    let released = poll + secs(41);
    for (request, sent) in [(0, 0), (1, 90)] {
        let request = told.request(request);
        assert_eq!((request.sent, request.first_token), (Some(at(secs(sent))), Some(released + ms(109))));
    }
    assert_eq!(told.totals.longest_queue, 2);
}

#[test]
fn a_paused_object_has_its_size_at_once_and_nobody_looks_at_it_again() {
    let annotations = "[policy.annotations]\n\"autoscaling.keda.sh/paused-replicas\" = \"3\"\n";
    let policy = keda(1, 5, "vector(9)", 1, "")
        .replace("[policy.scaled_object]", &format!("{annotations}[policy.scaled_object]"));
    let told = run(1, &experiment(&policy, ""), &[(0, 1), (100_000, 1)]);
    assert_eq!((sizes(&told), told.decisions.len()), (vec![(at(secs(0)), 3)], 0));
    let ready: Vec<_> = (0..3).map(|pod| told.pod(pod).ready).collect();
    assert_eq!(
        ready,
        [Some(at(secs(0))), Some(at(secs(40))), Some(at(secs(40)))],
        "only the first was there before"
    );
}

#[test]
fn keda_2_19_keeps_looking_at_an_object_that_it_paused_at_another_size() {
    let annotations = "[policy.annotations]\n\"autoscaling.keda.sh/paused-replicas\" = \"3\"\n";
    let policy = keda(1, 5, "vector(9)", 1, "")
        .replace("[policy.scaled_object]", &format!("{annotations}[policy.scaled_object]"));
    let told = run(1, &experiment(&policy, "[keda]\nversion = '2.19'\n"), &[(0, 1), (100_000, 1)]);
    assert_eq!(sizes(&told), [(at(secs(0)), 3)]);
    let of = |controller| told.decisions.iter().filter(move |decision| decision.controller == controller);
    assert!(of(Controller::KedaPoll).all(|poll| poll.detail["scale"]["rule"] == "paused"));
    let bounds = |sync: &serde_json::Value| (sync["min_replicas"].clone(), sync["max_replicas"].clone());
    assert!(of(Controller::HpaSync).all(|sync| bounds(&sync.detail) == (3.into(), 3.into())));
    assert!(of(Controller::KedaPoll).count() >= 3 && of(Controller::HpaSync).count() >= 6);
}

#[test]
fn a_cron_trigger_holds_its_size_between_its_times() {
    let cron = r#"
[[policy.scaled_object.triggers]]
type = "cron"
metadata = { timezone = "Europe/Berlin", start = "2 9 * * Mon", end = "4 9 * * Mon", desiredReplicas = "3" }
"#;
    // The run begins at 09:00 in Berlin, on a Monday.
    let policy = keda(1, 5, "vector(0)", 1, "") + cron;
    let told = run(5, &experiment(&policy, ""), &[(0, 1), (700_000, 1)]);
    let syncs: Vec<SimTime> = syncs(5, 1).take_while(|&sync| sync <= at(secs(700))).collect();
    let first = *syncs.iter().find(|&&sync| sync >= at(secs(120))).expect("a sync");
    let last = *syncs.iter().rfind(|&&sync| sync < at(secs(240))).expect("a sync");
    // 20 syncs later the last recommendation of 3 is older than 300 s.
    assert_eq!(sizes(&told), [(first, 3), (last + ms(20 * 15_050), 1)]);
    let decision = told.decisions.iter().find(|decision| decision.at == first).expect("the sync");
    let hpa = &decision.detail["hpa"];
    assert_eq!(hpa["current_metrics"][0]["targets"], "0/1 (avg)");
    assert_eq!(hpa["current_metrics"][1]["name"], "s1-cron-Europe-Berlin-29xxMon-49xxMon");
    assert_eq!(hpa["current_metrics"][1]["targets"], "3/1 (avg)");
    assert_eq!(decision.detail["events"][0]["reason"], "SuccessfulRescale");
    let polled = |from: SimTime| {
        let of_it =
            |decision: &&DecisionRecord| decision.controller == Controller::KedaPoll && decision.at >= from;
        &told.decisions.iter().find(of_it).expect("a poll").detail["scaled_object"]
    };
    let activity = |status: &serde_json::Value| {
        status["triggers_activity"]["s1-cron-Europe-Berlin-29xxMon-49xxMon"].clone()
    };
    assert_eq!(activity(polled(at(secs(0)))), false);
    assert_eq!(activity(polled(at(secs(120)))), true);
    assert_eq!(polled(at(secs(120)))["conditions"][1]["reason"], "ScalerActive");
    assert_eq!(polled(at(secs(120)))["conditions"][4]["type"], "HPAActive");
    assert_eq!(activity(polled(at(secs(240)))), false);
}

#[test]
fn a_ratio_counts_pods_that_terminate_as_long_as_they_are_ready() {
    // Half of the target: half of the ready pods would do, again and again.
    let ratio = trigger("vector(1)", 2, "metric_type = 'Value'");
    let policy = keda(1, 4, "vector(1)", 1000, "") + &ratio;
    let tables = "[hpa]\ndownscale_stabilization = '0s'\n[serving.pod]\npre_stop = 20\n";
    let world =
        experiment(&policy, tables).replace("[serving.startup]", "initial_replicas = 4\n[serving.startup]");
    let told = run(1, &world, &[(0, 1), (200_000, 1)]);
    let syncs: Vec<SimTime> = syncs(1, 2).take(4).collect();
    // The first sync remembers the size that it found. At the third, the two that sleep in their preStop hook are as ready
    // as the other two.
    assert_eq!(sizes(&told), [(syncs[1], 2), (syncs[3], 1)]);
}

#[test]
fn what_failed_or_never_was_is_a_warning() {
    let warnings = |query: &str, more: &str| {
        let policy = keda(1, 2, query, 1, "").replace("threshold =", &format!("{more}threshold ="));
        run(1, &experiment(&policy, ""), &[(0, 1), (100_000, 1)]).totals.warnings
    };
    assert_eq!(warnings("vector(1)", ""), [] as [&str; 0]);
    let [empty] = &warnings("vector(1) > 2", "")[..] else { panic!("one warning") };
    assert!(
        empty.starts_with("trigger s0-prometheus: the query was empty at all")
            && empty.ends_with("reports as 0")
    );
    let [empty] = &warnings("vector(1) > 2", "ignoreNullValues = 'false'\n")[..] else {
        panic!("one warning")
    };
    assert!(empty.ends_with("reports as an error"), "{empty}");
    let [failed] = &warnings(r#"{__name__=~"kube_deployment_.*"}"#, "")[..] else { panic!("one warning") };
    assert!(failed.contains("returned multiple elements"), "{failed}");
    let [nothing] = &warnings("vector(0) / vector(0)", "ignoreNullValues = 'false'\n")[..] else {
        panic!("one warning")
    };
    assert!(nothing.contains("failed at") && nothing.contains("returns NaN"), "{nothing}");
}
