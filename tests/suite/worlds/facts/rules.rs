//! Recording rules: what KEDA sees of them, and when.

use super::{at, experiment, keda, ms, next, run, scrape_offset, secs, sizes, whole_second};
use dryscale::random::Streams;
use dryscale::simulation::record::Controller;
use dryscale::units::{SimDuration, SimTime};

/// One request at a time, seven of them at once: whoever comes waits.
fn crowd() -> Vec<(u64, u32)> {
    let mut requests = vec![(0, 1990); 7];
    requests.push((200_000, 1));
    requests
}

const ONE_SEAT: &str = "[serving.engine]\nmax_num_seqs = 1\n";

/// When a group is evaluated first.
fn slot(seed: u64, group: &str, interval: SimDuration) -> SimTime {
    let mut stream = Streams::new(seed).stream(&format!("prometheus/rule-group/{group}"));
    at(ms(stream.below(interval.as_millis())))
}

/// How many wait in the engine at `t`: each of the seven takes 19.99 s.
fn waiting(t: SimTime) -> u64 {
    (0..7u64).filter(|n| at(ms(7 + 19_990 * n)) > t).count() as u64
}

#[test]
fn a_rule_sees_what_was_scraped_by_its_slot_and_keda_sees_the_rule_when_it_has_been_evaluated() {
    let rules = "
        [[monitoring.rule_group]]
        name = 'queue'
        interval = '20s'
        rules = [
            { record = 'queue:waiting:sum', expr = 'sum(vllm:num_requests_waiting{pod=~\"$deployment.*\"})' },
            { record = 'queue:waiting:double', expr = '2 * queue:waiting:sum', labels = { by = 'rule' } },
        ]
    ";
    for seed in 1..6 {
        let policy = keda(1, 1, r#"queue:waiting:double{by="rule"}"#, 1000, "polling_interval = 1");
        let told = run(seed, &experiment(&policy, &format!("{ONE_SEAT}{rules}")), &crowd());
        let first = slot(seed, "experiment/queue", secs(20));
        let scraped = scrape_offset(seed, 0, secs(30));
        let mut levels = Vec::new();
        for (now, value) in told.readings(Controller::KedaPoll, 0) {
            // The second rule of the group is done 10 ms after its slot.
            let slots = (0..).map(|k| first + secs(20 * k));
            let seen = slots.take_while(|&slot| slot <= whole_second(now) && slot + ms(10) <= now).last();
            let expected = seen.map_or(0, |slot| {
                let scrapes = (0..).map(|k| at(scraped) + secs(30 * k));
                scrapes.take_while(|&scrape| scrape + ms(20) <= slot).last().map_or(0, |at| 2 * waiting(at))
            });
            assert_eq!(value, expected as f64, "seed {seed} at {now}");
            levels.push(expected);
        }
        levels.dedup();
        assert!(levels.len() > 4, "{levels:?}");
    }
}

#[test]
fn rules_of_a_policy_scale_its_service() {
    let policy = keda(1, 3, "max(queue:smoothed)", 2, "").replace(
        "[policy.scaled_object]",
        "rule_group = [{ name = 'smooth', interval = '5s', rules = [\
         { record = 'queue:raw', expr = 'sum(vllm:num_requests_waiting{namespace=\"$namespace\"})' },\
         { record = 'queue:smoothed', expr = 'avg_over_time(queue:raw[45s])' },\
         ] }]\n[policy.scaled_object]",
    );
    let told = run(3, &experiment(&policy, ONE_SEAT), &crowd());
    // Six wait; the first slot after the first scrape sees them, and so does the first sync after that.
    let scraped = at(scrape_offset(3, 0, secs(30))) + ms(20);
    let seen = next(scraped, secs(5), slot(3, "policy/smooth", secs(5)).since(SimTime::ZERO));
    let (scaled, size) = sizes(&told)[0];
    assert!(scaled > seen && scaled <= seen + secs(16), "{scaled} after {seen}");
    assert_eq!(size, 3);
    assert_eq!(told.totals.warnings, [] as [&str; 0]);
}

#[test]
fn a_rule_that_fails_or_finds_nothing_is_told_of() {
    let rules = "
        [[monitoring.rule_group]]
        name = 'broken'
        rules = [
            { record = 'same', expr = '{__name__=~\"kube_deployment_(spec|status)_replicas\"}' },
            { record = 'none', expr = 'vllm:num_requests_waiting > 1e9' },
        ]
    ";
    let policy = keda(1, 1, "sum(same) or sum(none) or vector(0)", 1000, "");
    let told = run(1, &experiment(&policy, rules), &crowd());
    let [same, none] = &told.totals.warnings[..] else { panic!("{:?}", told.totals.warnings) };
    assert!(same.starts_with("recording rule same failed at ") && same.contains("labelset"), "{same}");
    assert!(none.starts_with("recording rule none gave nothing at all "), "{none}");
}
