//! Summaries of runs made by hand, and answers of several of them.

use crate::synthetic::{Sawing, at, finished, scaled, scoring, secs, unserved};
use dryscale::analysis::{Answer, Bill, RunError, Score, Scoring, Stop, Worlds, repeat, seeds};
use dryscale::problem::Problem;
use dryscale::simulation::record::{Fate, Recorder, RequestRecord, RunTotals, TickRecord};
use dryscale::simulation::summary::{Latency, Requests, Summary};
use dryscale::units::{Replicas, SimDuration};

/// The summary of a run of `ended` seconds that had these requests.
fn scored(scoring: Scoring, ended: f64, requests: &[RequestRecord]) -> Summary {
    let mut score = Score::new(scoring);
    requests.iter().for_each(|request| score.request(request));
    score.end(&RunTotals { ended: at(ended), attempts: requests.len() as u64, ..RunTotals::default() });
    score.finish()
}

#[test]
fn a_run_without_requests_has_zeros_and_nulls() {
    let summary = scored(scoring(), 600.0, &[]);
    assert_eq!(summary.requests, Requests::default());
    for latency in [summary.ttft_s, summary.itl_s, summary.tpot_s, summary.e2e_s] {
        assert_eq!(latency, Latency::default());
    }
    assert_eq!((summary.slo.attainment, summary.slo.met), (None, None));
    assert_eq!((summary.slo.goodput_rps, summary.load.mean_rps), (Some(0.0), 0.0));
    assert_eq!(summary.engine.prefix_hit_rate, None);
    let json = serde_json::to_value(&summary).expect("plain data");
    assert!(json["ttft_s"]["p95"].is_null() && json["slo"]["attainment"].is_null());
    assert!(json["scaling"]["step_to_capacity_s"].is_null());
}

#[test]
fn a_run_of_no_time_divides_by_nothing() {
    let summary = scored(scoring(), 0.0, &[unserved(0, 0.0, Fate::Waiting)]);
    let numbers = Answer::of(&[summary]).expect("one run").numbers();
    assert!(numbers.iter().all(|(_, number)| number.is_none_or(f64::is_finite)), "{numbers:?}");
}

#[test]
fn each_request_counts_once_among_the_fates() {
    let fates = [
        (Fate::Finished, 3),
        (Fate::Aborted, 2),
        (Fate::Killed, 4),
        (Fate::Refused, 1),
        (Fate::Waiting, 6),
        (Fate::Running, 5),
    ];
    let mut requests = Vec::new();
    for (fate, n) in fates {
        requests.extend((0..n).map(|i| unserved(i, 1.0, fate)));
    }
    let got = scored(scoring(), 600.0, &requests).requests;
    assert_eq!(
        got,
        Requests {
            arrived: 21,
            finished: 3,
            aborted: 2,
            killed: 4,
            refused: 1,
            waiting: 6,
            running: 5,
            attempts: 21
        }
    );
    assert_eq!(
        got.arrived,
        got.finished + got.aborted + got.killed + got.refused + got.waiting + got.running
    );
}

#[test]
#[should_panic(expected = "2 requests came due and only 1 have a fate")]
fn a_request_that_was_lost_stops_the_scoring() {
    let mut score = Score::new(scoring());
    score.tick(&TickRecord { at: at(5.0), arrived: 2, ..TickRecord::default() });
    score.request(&finished(0, 1.0, 0.1, 1.0));
    score.end(&RunTotals { ended: at(10.0), ..RunTotals::default() });
    score.finish();
}

#[test]
fn the_warm_up_is_left_out_of_latencies_and_attainment_but_not_of_the_fates() {
    let warm = RequestRecord { measured: false, ..finished(0, 1.0, 50.0, 60.0) };
    let cut = RequestRecord { measured: false, ..unserved(1, 2.0, Fate::Waiting) };
    let scoring = Scoring { warmup: secs(100.0), duration: secs(200.0), ..scoring() };
    let summary = scored(scoring, 200.0, &[warm, cut, finished(2, 150.0, 0.5, 3.0)]);
    assert_eq!((summary.requests.arrived, summary.requests.finished, summary.requests.waiting), (3, 2, 1));
    assert_eq!((summary.ttft_s.max, summary.e2e_s.mean), (Some(0.5), Some(3.0)));
    assert_eq!((summary.slo.attainment, summary.slo.goodput_rps), (Some(1.0), Some(0.01)));
}

#[test]
fn overload_cannot_hide_among_the_unfinished() {
    // One of ten was served in time; four have waited beyond the target of 2 s, five came within the last two seconds.
    let mut requests = vec![finished(0, 1.0, 0.5, 3.0)];
    requests.extend((1..5).map(|i| unserved(i, 50.0, Fate::Waiting)));
    requests.extend((5..10).map(|i| unserved(i, 98.0, Fate::Waiting)));
    assert_eq!(scored(scoring(), 100.0, &requests).slo.attainment, Some(0.2));
}

#[test]
fn draining_lengthens_neither_the_offered_time_nor_the_goodput() {
    let scoring = Scoring { duration: secs(100.0), ..scoring() };
    let requests: Vec<_> = (0..50).map(|i| finished(i, i as f64, 0.5, 3.0)).collect();
    let summary = scored(scoring, 400.0, &requests);
    assert_eq!((summary.duration_s, summary.load.mean_rps), (400.0, 0.5));
    assert_eq!(summary.slo.goodput_rps, Some(0.5));
}

#[test]
fn a_reversal_has_the_opposite_sign_of_the_change_before_it() {
    let mut score = Score::new(scoring());
    for (from, to) in [(1, 3), (3, 5), (5, 4), (4, 4), (4, 2), (2, 3), (3, 1)] {
        score.scale(&scaled(60.0, from, to));
    }
    score.end(&RunTotals { ended: at(600.0), ..RunTotals::default() });
    let scaling = score.finish().scaling;
    assert_eq!((scaling.ups, scaling.downs, scaling.reversals), (3, 3, 3));
}

#[test]
fn gpus_are_paid_by_pod_or_by_node() {
    let hours = |n: u128| n * 3600 * 1_000_000_000_000;
    let totals = RunTotals {
        ended: at(7200.0),
        gpu_ps: hours(9) + hours(6) / 10,
        node_gpu_ps: hours(16),
        replica_ps: hours(8),
        ready_ps: hours(7),
        replicas_range: (Replicas(1), Replicas(5)),
        ready_range: (Replicas(0), Replicas(4)),
        at_max: SimDuration::from_secs(1800),
        ..RunTotals::default()
    };
    let under = |bill| {
        let mut score = Score::new(Scoring { bill, ..scoring() });
        score.end(&totals);
        score.finish()
    };
    let by_gpu = under(Bill::Gpu);
    assert_eq!((by_gpu.gpu_hours, by_gpu.cost), (9.6, 9.6 * 1.5));
    assert_eq!(
        (by_gpu.replicas.mean, by_gpu.replicas.ready_mean, by_gpu.replicas.at_max_s),
        (4.0, 3.5, 1800.0)
    );
    assert_eq!((under(Bill::Node).gpu_hours, under(Bill::Node).cost), (16.0, 24.0));
}

#[test]
fn one_run_is_answered_as_it_is_without_intervals() {
    let answer = repeat(&Sawing, &[], &[7], &Stop::new(), None).expect("runs").expect("not stopped");
    assert_eq!(answer.repetitions(), 1);
    assert!(answer.json().get("repetitions").is_none() && answer.interval("ttft_s.p95").is_none());
    assert_eq!(answer.json()["provenance"]["seed"], 7);
    assert!(answer.json()["requests"]["arrived"].is_u64());
    let keys: Vec<&str> = answer.json().as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "policy",
            "summary",
            "duration_s",
            "requests",
            "ttft_s",
            "itl_s",
            "tpot_s",
            "e2e_s",
            "quantiles",
            "slo",
            "load",
            "replicas",
            "gpu_hours",
            "cost",
            "scaling",
            "engine",
            "warnings",
            "provenance"
        ]
    );
}

#[test]
fn several_runs_are_answered_by_their_means_and_intervals() {
    // Mean 2, deviation 1: t(0.975, 2) = 4.302653, over the root of 3.
    let runs: Vec<Summary> = [1.0, 2.0, 3.0]
        .into_iter()
        .enumerate()
        .map(|(i, ttft)| {
            let mut scoring = scoring();
            scoring.provenance.seed = 5 + i as u64;
            let mut summary = scored(scoring, 100.0, &[finished(0, 1.0, ttft, 9.0)]);
            summary.warnings = vec!["both".to_owned(), format!("run {}", i.min(1))];
            summary
        })
        .collect();
    let answer = Answer::of(&runs).expect("three runs");
    let interval = answer.interval("ttft_s.p95").expect("repeated");
    assert_eq!((interval.n, interval.mean), (3, Some(2.0)));
    let half = 4.302_653 / 3f64.sqrt();
    assert!((interval.half_width().expect("three") - half).abs() < 1e-9, "{interval:?}");
    assert_eq!(answer.number("ttft_s.p95"), Some(2.0));
    assert_eq!(answer.number("requests.arrived"), Some(1.0));
    assert_eq!(answer.warnings().collect::<Vec<_>>(), ["both", "run 0", "run 1"]);
    let json = answer.json();
    assert_eq!(json["repetitions"]["seeds"], serde_json::json!([5, 6, 7]));
    assert_eq!((&json["provenance"]["seed"], &json["policy"]), (&5.into(), &"queue-threshold-2".into()));
    // Two of three met the target of 2 s: 67 % is below 95 %.
    assert_eq!(
        (answer.truth("slo.met"), json["slo"]["classes"]["chat"]["target"].as_f64()),
        (Some(false), Some(0.95))
    );
    let given = ["provenance.seed", "quantiles.exact_up_to", "slo.classes.chat.target", "slo.met"];
    for key in given {
        assert!(answer.interval(key).is_none(), "{key} is given, not measured");
    }
}

#[test]
fn a_number_that_some_runs_lack_is_the_mean_of_the_others() {
    let with = scored(scoring(), 100.0, &[finished(0, 1.0, 0.5, 3.0)]);
    let without = scored(scoring(), 100.0, &[]);
    let answer = Answer::of(&[without.clone(), with, without.clone()]).expect("runs");
    let interval = answer.interval("ttft_s.mean").expect("repeated");
    assert_eq!((interval.n, interval.mean, interval.low, interval.high), (1, Some(0.5), None, None));
    assert_eq!(answer.truth("slo.met"), Some(true));
    let never = Answer::of(&[without.clone(), without]).expect("runs");
    assert_eq!((never.number("ttft_s.mean"), never.interval("ttft_s.mean").map(|i| i.n)), (None, Some(0)));
}

#[test]
fn repetitions_are_the_same_on_any_number_of_threads_and_the_listener_hears_the_first_seed() {
    struct Count(u64);
    impl Recorder for Count {
        fn request(&mut self, _: &RequestRecord) {
            self.0 += 1;
        }
    }
    let on = |threads: usize| {
        let mut heard = Count(0);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let answer = pool.install(|| repeat(&Sawing, &[], &seeds(1, 4), &Stop::new(), Some(&mut heard)));
        let answer = answer.expect("runs").expect("not stopped");
        (answer.json().to_string(), heard.0)
    };
    let alone = on(1);
    assert_eq!(alone, on(3));
    let mut heard = Count(0);
    Sawing
        .run(&[], 1, &Stop::new(), &mut heard)
        .expect("runs")
        .is_continue()
        .then_some(())
        .expect("to the end");
    assert_eq!(alone.1, heard.0);
    assert_eq!(seeds(u64::MAX, 2), [u64::MAX, 0]);
}

#[test]
fn asking_to_stop_keeps_further_runs_from_beginning() {
    let stop = Stop::new();
    stop.ask();
    assert_eq!(repeat(&Sawing, &[], &[1, 2], &stop, None), Ok::<_, RunError<Problem>>(None));
}
