//! What the gateway, the router, the GPUs and the Deployment's own numbers show, with and without pods.

use super::{at, experiment, from, keda, ms, next, phase, run, secs, sizes, trigger, whole_second};
use crate::worlds::Told;
use dryscale::random::Streams;
use dryscale::simulation::record::Controller;
use dryscale::units::{SimDuration, SimTime};

const INTERVAL: SimDuration = SimDuration::from_secs(30);

/// When Prometheus scrapes this exporter first.
fn offset(seed: u64, exporter: &str) -> SimDuration {
    let mut stream = Streams::new(seed).stream(&format!("prometheus/scrape-offset/{exporter}"));
    ms(stream.below(INTERVAL.as_millis()))
}

/// The scrape that a poll at `now` sees, if there was one.
fn seen(now: SimTime, offset: SimDuration) -> Option<SimTime> {
    let scrapes = (0..).map(|k| at(offset) + secs(30 * k));
    scrapes.take_while(|&scrape| scrape <= whole_second(now) && scrape + ms(20) <= now).last()
}

/// What KEDA sees of a query, once a second.
fn watched(seed: u64, query: &str, more: &str, requests: &[(u64, u32)]) -> (Told, Vec<(SimTime, f64)>) {
    let policy = keda(1, 1, query, 1000, "polling_interval = 1");
    let told = run(seed, &experiment(&policy, more), requests);
    let readings = told.readings(Controller::KedaPoll, 0);
    (told, readings)
}

/// One seat, and seven requests that ask for it at once: each takes 100 ms for its prompt and 1989 times 10 ms.
const ONE_SEAT: &str = "[serving.engine]\nmax_num_seqs = 1\n";

fn crowd() -> Vec<(u64, u32)> {
    let mut requests = vec![(0, 1990); 7];
    requests.push((200_000, 1));
    requests
}

/// When the `n`th of them has its first token, and when its last has left its engine.
fn first_token(n: u64) -> SimTime {
    at(ms(7 + 19_990 * n + 100))
}
fn done(n: u64) -> SimTime {
    at(ms(7 + 19_990 * (n + 1) + 2))
}

#[test]
fn in_flight_tokens_are_prompts_that_wait_for_their_first_token_and_running_is_all_that_was_routed() {
    for seed in [1, 2, 3] {
        let waiting = |scrape: SimTime| (0..7).filter(|&n| first_token(n) > scrape).count() as f64;
        let query =
            r#"sum(llm_d_epp_inflight_tokens{producer_name="inflight-load-producer", namespace="llm"})"#;
        let (_, readings) = watched(seed, query, ONE_SEAT, &crowd());
        let running = |scrape: SimTime| (0..7).filter(|&n| done(n) > scrape).count() as f64;
        let query = r#"sum(llm_d_epp_request_running{service="llama-32-3b-predictor-epp"})"#;
        let (_, routed) = watched(seed, query, ONE_SEAT, &crowd());
        let mut levels = Vec::new();
        for (now, value) in readings {
            let expected = seen(now, offset(seed, "epp")).map_or(0.0, |scrape| 100.0 * waiting(scrape));
            assert_eq!(value, expected, "tokens at {now}, seed {seed}");
            levels.push(value as u64);
        }
        for (now, value) in routed {
            let expected = seen(now, offset(seed, "epp")).map_or(0.0, running);
            assert_eq!(value, expected, "requests at {now}, seed {seed}");
        }
        levels.dedup();
        assert!(levels.len() > 4, "the queue drains: {levels:?}");
    }
}

#[test]
fn a_gateway_that_holds_requests_and_a_router_that_counts_them_wake_a_service_that_sleeps() {
    let hold = "[serving.gateway]\nwhen_none_ready = 'hold'\nhold_timeout = 300\n";
    let requests = [(0, 1), (200_000, 1), (500_000, 1)];
    for (query, exporter) in [
        ("sum(llm_d_epp_flow_control_queue_size)", "epp"),
        ("sum(inference_extension_flow_control_queue_size) or vector(0)", "epp"),
        ("sum(rate(vllm:num_incoming_requests_total[2m]) > bool 0)", "router"),
    ] {
        let policy =
            keda(0, 1, query, 1, "polling_interval = 5\ncooldown_period = 30\ninitial_cooldown_period = 30");
        let told = run(4, &experiment(&policy, hold), &requests);
        let [(asleep, 0), (awake, 1), ..] = sizes(&told)[..] else { panic!("{query}: {:?}", sizes(&told)) };
        assert!(asleep < at(secs(200)) && awake > at(secs(200)), "{query}");
        // The first scrape after the request shows it, and the poll after that acts.
        let scrape = next(at(secs(200)), INTERVAL, offset(4, exporter));
        let mut polls = told.decisions.iter().filter(|decision| decision.controller == Controller::KedaPoll);
        let acts = polls.find(|poll| whole_second(poll.at) >= scrape && poll.at >= scrape + ms(20));
        assert_eq!(awake, acts.expect("a poll").at, "{query}");
        assert!(told.request(1).first_token.is_some(), "{query}: it is served once the pod is ready");
        let asleep = told.totals.warnings.iter().any(|warning| warning.contains("nothing scales up again"));
        assert!(!asleep, "{query}: {:?}", told.totals.warnings);
    }
}

#[test]
fn flow_control_holds_what_comes_to_a_saturated_pool_and_scales_it_from_the_gateway() {
    let flow = format!(
        "{ONE_SEAT}[serving.gateway]\nhold_timeout = 300\nflow_control = {{ queue_depth_threshold = 2 }}\n"
    );
    for seed in [1, 2, 3] {
        // Seven come at once and go at the first refresh; the eighth finds six waiting.
        let refreshes = at(phase(seed, "gateway/refresh-phase", ms(50)));
        let requests: Vec<(u64, u32)> =
            crowd().into_iter().take(7).chain([(1000, 1990), (200_000, 1)]).collect();
        let (told, readings) = watched(seed, "sum(llm_d_epp_flow_control_queue_size)", &flow, &requests);
        // One waits where the sixth has begun: the fifth is done.
        let begins = |n: u64| refreshes + ms(7 + 19_990 * n);
        let released = begins(5);
        for (now, value) in readings {
            let Some(scrape) = seen(now, offset(seed, "epp")) else { continue };
            // Within a refresh and a step of the change either may be.
            if scrape < at(secs(2)) || (scrape >= released && scrape < released + ms(70)) {
                continue;
            }
            assert_eq!(value, f64::from(u8::from(scrape < released)), "seed {seed} at {now}");
        }
        // It is the last of eight for one seat.
        let first = told.request(7).first_token.expect("it is served");
        assert!(first >= begins(7) && first < begins(7) + ms(120), "seed {seed}: {first}");
    }
    // The queue at the gateway asks for replicas that vLLM's own queue does not show.
    let policy = keda(1, 4, "sum(llm_d_epp_flow_control_queue_size)", 1, "");
    let mut requests = vec![(0, 1990); 3];
    requests.extend(vec![(2000, 1990); 3]);
    requests.push((120_000, 1));
    let told = run(1, &experiment(&policy, &flow), &requests);
    assert_eq!(sizes(&told)[0].1, 3, "three are held: {:?}", sizes(&told));
    // Where nothing is ever held, the queue is empty, and the run says why.
    let warned = run(1, &experiment(&policy, ""), &requests).totals.warnings;
    assert!(warned.iter().any(|warning| warning.contains("serving.gateway.flow_control")), "{warned:?}");
}

#[test]
fn the_pools_saturation_is_its_scarcer_resource_and_the_routers_errors_are_counted() {
    let query = r#"max(llm_d_epp_flow_control_pool_saturation{inference_pool="llama-32-3b-predictor"})"#;
    let (_, readings) = watched(5, query, ONE_SEAT, &crowd());
    for (now, value) in readings {
        // One runs, the others wait; the KV cache is all but empty.
        let waits =
            |scrape: SimTime| (0..7).filter(|&n| done(n) > scrape + ms(2)).count().saturating_sub(1) as f64;
        let Some(scrape) = seen(now, offset(5, "epp")) else { continue };
        let queue = waits(scrape) / 5.0;
        assert!(value >= queue && value < queue + 0.1, "{value} at {now} for {queue}");
    }
    let policy = keda(
        0,
        1,
        r#"sum(llm_d_epp_request_error_total{error_code="ServiceUnavailable"})"#,
        1000,
        "polling_interval = 1\ncooldown_period = 10\ninitial_cooldown_period = 10",
    );
    let told = run(5, &experiment(&policy, ""), &[(0, 1), (100_000, 1), (101_000, 1), (300_000, 1)]);
    let last = told.readings(Controller::KedaPoll, 0).last().map(|reading| reading.1);
    assert_eq!((told.request(1).reason, last), ("no_ready_pod", Some(2.0)));
}

#[test]
fn gpu_utilization_is_the_share_of_the_last_second_before_a_reading() {
    // The engine runs for 51.96 s of each minute: 100 ms for the prompt and 5182 times 10 ms... and then rests.
    let requests: Vec<(u64, u32)> = (0..4).map(|k| (60_000 * k, 4000)).chain([(300_000, 1)]).collect();
    let busy = |now: SimTime| {
        let all = requests.iter().map(|&(sent, tokens)| {
            // 3 ms to the engine, 4 ms from idle.
            let begins = at(ms(sent + 7));
            let runs = ms(100 + 10 * (u64::from(tokens) - 1));
            if now < begins { SimDuration::ZERO } else { now.since(begins).min(runs) }
        });
        all.fold(SimDuration::ZERO, |sum, busy| sum + busy)
    };
    for seed in 1..8 {
        let query = r#"avg(DCGM_FI_DEV_GPU_UTIL{namespace="llm", pod=~"llama-32-3b-predictor-.*"})"#;
        let (_, readings) = watched(seed, query, "[serving.nodes]\ngpus_per_node = 4\n", &requests);
        let first = at(phase(seed, "dcgm/collect-phase", secs(30))) + secs(1);
        for (now, value) in readings {
            let Some(scrape) = seen(now, offset(seed, "dcgm/0")) else { continue };
            let read = (0..).map(|k| first + secs(30 * k)).take_while(|&read| read <= scrape).last();
            let expected = read.map_or(0.0, |read| {
                let share = (busy(read) - busy(at(read.since(at(secs(1)))))).as_secs_f64();
                (share * 100.0).round()
            });
            assert_eq!(value, expected, "seed {seed} at {now}");
        }
    }
}

#[test]
fn idle_gpus_bear_no_pods_name() {
    let nodes = "[serving.nodes]\ngpus_per_node = 4\n";
    let requests = [(0, 10_000), (120_000, 1)];
    for (query, expected) in [
        ("count(DCGM_FI_DEV_GPU_UTIL)", 4.0),
        (r#"count(DCGM_FI_DEV_GPU_UTIL{pod=~"llama.*"})"#, 1.0),
        (r#"sum(DCGM_FI_DEV_GPU_UTIL{Hostname="gpu-0"})"#, 100.0),
        (r#"count(DCGM_FI_DEV_GPU_UTIL{namespace="gpu-operator"})"#, 3.0),
    ] {
        let (_, readings) = watched(1, query, nodes, &requests);
        let at_90 = readings.iter().find(|(now, _)| *now >= at(secs(90))).expect("a poll").1;
        assert_eq!(at_90, expected, "{query}");
    }
}

#[test]
fn an_exporter_that_somebody_reads_shifts_nobody_elses_scrapes() {
    let requests = [(0, 6000), (100_000, 1)];
    let alone = watched(6, "sum(vllm:num_requests_running)", "", &requests).1;
    for more in ["DCGM_FI_DEV_GPU_UTIL", "llm_d_epp_ready_endpoints", "vllm:num_incoming_requests_total"] {
        let beside = format!("sum(vllm:num_requests_running) + 0 * sum({more} or vector(0))");
        assert_eq!(watched(6, &beside, "", &requests).1, alone, "{more}");
    }
}

#[test]
fn what_a_deployment_should_have_beyond_its_ready_pods_is_unavailable() {
    let query = format!("1 + {}", from(30));
    let policy = keda(1, 2, &query, 1, "polling_interval = 1")
        + &trigger("kube_deployment_status_replicas_unavailable", 1000, "")
        + &trigger("kube_deployment_status_replicas_available", 1000, "");
    let told =
        run(2, &experiment(&policy, "[monitoring]\nscrape_interval = '1s'\n"), &[(0, 1), (120_000, 1)]);
    let (created, ready) = (told.pod(1).created, told.pod(1).ready.expect("it is ready"));
    for trigger in [1, 2] {
        let mut starting = 0;
        for (now, value) in told.readings(Controller::KedaPoll, trigger) {
            // Two seconds on either side, in which a scrape may not have seen the change.
            let around = |instant: SimTime| now >= instant && now <= instant + secs(2);
            if now < at(secs(3)) || around(created) || around(ready) {
                continue;
            }
            let starts = now > created && now < ready;
            starting += u64::from(starts);
            let expected = match trigger {
                1 => f64::from(u8::from(starts)),
                _ => {
                    if now > ready {
                        2.0
                    } else {
                        1.0
                    }
                }
            };
            assert_eq!(value, expected, "trigger {trigger} at {now}");
        }
        assert!(starting > 30, "it starts for 40 s");
    }
}
