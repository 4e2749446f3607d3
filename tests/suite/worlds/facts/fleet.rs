//! Pods that come and go, and what becomes of requests and GPUs.

use super::{at, experiment, from, keda, ms, run, secs, sizes, syncs, whole_second};
use crate::worlds::Told;
use dryscale::random::Streams;
use dryscale::serving::deployment::Deployment;
use dryscale::simulation::record::Fate;
use dryscale::units::{Replicas, SimDuration, SimTime};

/// Two pods until 60 s, then one: the HPA acts at its next sync, and nothing holds it back.
fn shrinking(tables: &str) -> String {
    let policy = keda(1, 2, &format!("2 - {}", from(60)), 1, "");
    let at_once = format!("[hpa]\ndownscale_stabilization = '0s'\n{tables}");
    experiment(&policy, &at_once).replace("[serving.startup]", "initial_replicas = 2\n[serving.startup]")
}

/// A request of 3 s every 50 ms for two minutes.
fn steady() -> Vec<(u64, u32)> {
    (0..2400).map(|i| (i * 50, 290)).collect()
}

fn shrinks_at(seed: u64) -> SimTime {
    syncs(seed, 1).find(|&sync| whole_second(sync) >= at(secs(60))).expect("a sync")
}

/// The pod that was deleted.
fn victim(told: &Told) -> u32 {
    let gone: Vec<u32> =
        told.pods.iter().filter(|pod| pod.deleted.is_some()).map(|pod| pod.ordinal).collect();
    assert_eq!(gone.len(), 1);
    gone[0]
}

#[test]
fn a_pod_that_is_deleted_takes_its_requests_with_it_and_refuses_until_the_router_knows() {
    let told = run(1, &shrinking(""), &steady());
    let deleted = shrinks_at(1);
    assert_eq!(sizes(&told), [(deleted, 1)]);
    let victim = victim(&told);
    let pod = told.pod(victim);
    assert_eq!((pod.deleted, pod.exited), (Some(deleted), Some(deleted)), "vLLM drains for 0 s");
    let of_victim = told.requests.iter().filter(|request| request.pod == Some(victim));
    for request in of_victim {
        let sent = request.sent.expect("it was sent");
        let context = format!("{request:?}");
        match request.fate {
            Fate::Finished => assert!(request.ended < Some(deleted + ms(2)), "{context}"),
            Fate::Killed => {
                assert!(request.ended == Some(deleted) && sent + ms(3) < deleted, "{context}");
                // It keeps what it got.
                assert_eq!(request.first_token.is_some(), request.output_tokens.get() > 0, "{context}");
            }
            Fate::Refused => {
                assert_eq!((request.reason, request.ended), ("pod_gone", Some(sent + ms(3))), "{context}");
                assert!(sent + ms(3) > deleted && sent < deleted + secs(1), "{context}");
            }
            _ => panic!("{context}"),
        }
    }
    let killed = told.requests.iter().filter(|request| request.fate == Fate::Killed).count() as u64;
    assert!(killed > 10 && pod.killed == killed);
    // Every other request of one second.
    let refused = told.requests.iter().filter(|request| request.fate == Fate::Refused).count();
    assert!((10..=11).contains(&refused), "{refused}");
}

#[test]
fn a_pre_stop_sleep_lets_the_router_learn_first_and_holds_the_gpu() {
    let told = run(1, &shrinking("[serving.pod]\npre_stop = 15\n"), &steady());
    let deleted = shrinks_at(1);
    let pod = told.pod(victim(&told));
    assert_eq!((pod.deleted, pod.exited, pod.killed), (Some(deleted), Some(deleted + secs(15)), 0));
    assert!(told.requests.iter().all(|request| !matches!(request.fate, Fate::Killed | Fate::Refused)));
    let last = told
        .requests
        .iter()
        .filter(|request| request.pod == Some(pod.ordinal))
        .map(|request| request.sent)
        .max();
    let last = last.flatten().expect("it served");
    assert!(
        last < deleted + secs(1) && last + ms(100) >= deleted + secs(1),
        "every other request, to the end"
    );
    let end = told.totals.ended.since(SimTime::ZERO);
    let held = deleted.since(SimTime::ZERO) + secs(15);
    assert_eq!(told.totals.gpu_ps, u128::from(end.as_ps()) + u128::from(held.as_ps()));
    assert_eq!(told.totals.ready_ps, u128::from(end.as_ps()) + u128::from((held - secs(15)).as_ps()));
}

#[test]
fn a_pod_drains_until_its_last_answer_and_no_longer_than_it_may() {
    // Requests come every 50 ms until 60 s, and take 3 s at least.
    let requests: Vec<(u64, u32)> = (0..1200).map(|i| (i * 50, 290)).chain([(120_000, 1)]).collect();
    let drained = run(
        1,
        &shrinking("[serving.pod]\nshutdown_timeout = 60\ntermination_grace_period = 90\n"),
        &requests,
    );
    let deleted = shrinks_at(1);
    let pod = drained.pod(victim(&drained));
    let of_it = drained.requests.iter().filter(|request| request.pod == Some(pod.ordinal));
    let last = of_it.filter_map(|request| request.ended).max().expect("it served");
    // The engine is empty as its last batch ends, 2 ms before the client sees that.
    assert_eq!((pod.exited, pod.killed), (Some(at(last.since(SimTime::ZERO) - ms(2)).max(deleted)), 0));
    let cut = run(1, &shrinking("[serving.pod]\nshutdown_timeout = '100ms'\n"), &steady());
    let pod = cut.pod(victim(&cut));
    assert_eq!(pod.exited, Some(deleted + ms(100)));
    assert!(pod.killed > 0);
}

#[test]
fn the_router_learns_of_a_pod_even_if_it_is_gone_by_then() {
    // The second pod is ready 40 s after 30 s, and deleted at the first sync after 80 s; the router hears 30 s later.
    let query = format!("1 + {} - {}", from(30), from(80));
    let tables = "[hpa]\ndownscale_stabilization = '0s'\n[serving.pod]\nendpoint_delay = 30\n";
    let requests: Vec<(u64, u32)> = (0..1500).map(|i| (i * 100, 1)).collect();
    let told = run(2, &experiment(&keda(1, 2, &query, 1, ""), tables), &requests);
    let pod = told.pod(1);
    let (ready, deleted) = (pod.ready.expect("it was"), pod.deleted.expect("it was"));
    assert!(deleted > ready && deleted < ready + secs(30), "{pod:?}");
    let refused: Vec<_> = told.requests.iter().filter(|request| request.reason == "pod_gone").collect();
    let known = ready + secs(30)..deleted + secs(30);
    assert!(refused.iter().all(|request| known.contains(&request.sent.expect("sent"))));
    let offered =
        told.requests.iter().filter(|request| request.sent.is_some_and(|sent| known.contains(&sent))).count();
    assert!(offered > 50 && refused.len() >= offered / 2, "every other one of {offered}: {}", refused.len());
}

/// Pods that pull their image are Pending, and go before those that load: `replica_set` knows no more of them than that.
#[test]
fn a_pod_that_pulls_its_image_is_deleted_before_one_that_loads() {
    // Syncs are 9.05 s apart: at the fifth or so the pods are 27.15 and 18.1 s old, both between 2^34 and 2^35 ns, and
    // the image takes 20 s.
    let sync = |seed: u64, k: u64| {
        at(SimDuration::from_ps(Streams::new(seed).stream("hpa/sync-phase").below(secs(9).as_ps())))
            + ms(9_050 * k)
    };
    let uids = |seed: u64| {
        let mut deployment = Deployment::new("llama-32-3b-predictor", Replicas(1), &Streams::new(seed));
        [0; 3].map(|_| deployment.create_pod().2)
    };
    let adverse = (1..100).filter(|&seed| uids(seed)[1] < uids(seed)[2]);
    for seed in adverse.take(5) {
        let second = |k: u64| sync(seed, k).as_millis() / 1000;
        let query = format!("1 + {} + {} - {}", from(second(2)), from(second(3)), from(second(5)));
        let tables = "[hpa]\nsync_period = '9s'\ndownscale_stabilization = '0s'\n";
        let world =
            experiment(&keda(1, 3, &query, 1, ""), tables).replace("image_pull = 0", "image_pull = 20");
        let told = run(seed, &world, &[(0, 1), (70_000, 1)]);
        assert_eq!(sizes(&told), [(sync(seed, 2), 2), (sync(seed, 3), 3), (sync(seed, 5), 2)]);
        assert_eq!(victim(&told), 2, "seed {seed}");
    }
}

#[test]
fn pods_wait_for_nodes_and_those_that_find_none_are_a_warning() {
    let policy = keda(1, 4, &format!("1 + 2 * {}", from(50)), 1, "");
    let nodes = "[serving.nodes]\ngpus_per_node = 1\nmax_nodes = 2\nprovisioning = { dist = 'constant', value = 20 }\n";
    let told = run(1, &experiment(&policy, nodes), &[(0, 1), (200_000, 1)]);
    let scaled = syncs(1, 1).find(|&sync| whole_second(sync) >= at(secs(50))).expect("a sync");
    assert_eq!(sizes(&told), [(scaled, 3)]);
    // The autoscaler looks every 10 s.
    let ordered = at(secs(scaled.as_millis().div_ceil(10_000) * 10));
    let (second, third) = (told.pod(1), told.pod(2));
    assert_eq!((second.created, second.scheduled), (scaled, Some(ordered + secs(20))));
    assert_eq!(second.ready, Some(ordered + secs(60)));
    assert_eq!((third.created, third.scheduled, &third.node), (scaled, None, &None));
    let end = told.totals.ended;
    let ps = |from: SimTime| u128::from(end.since(from).as_ps());
    assert_eq!(told.totals.node_gpu_ps, ps(SimTime::ZERO) + ps(ordered));
    assert_eq!(told.totals.gpu_ps, ps(SimTime::ZERO) + ps(ordered + secs(20)));
    let [warning] = &told.totals.warnings[..] else { panic!("{:?}", told.totals.warnings) };
    assert!(warning.starts_with("3 replicas were asked for, and the nodes hold 2"), "{warning}");
}
