//! One engine, and clients that wait for it.

use super::{at, experiment, ms, run, secs};
use crate::worlds::Told;
use dryscale::simulation::record::Fate;
use dryscale::units::{SimDuration, Tokens};

fn latencies(told: &Told, request: u64) -> (Option<SimDuration>, Option<SimDuration>) {
    let request = told.request(request);
    (request.ttft(), request.e2e())
}

/// One pod, and what else the class of its requests says.
fn class(keys: &str) -> String {
    experiment("policy = 'static:1'", keys)
}

#[test]
fn a_lone_request_takes_its_steps_and_the_way_there_and_back() {
    let told = run(1, &class(""), &[(0, 5), (10_000, 1), (20_000, 5), (30_000, 1)]);
    // 3 there, 4 to wake up, 100 for the prompt, 2 back; then 10 a token.
    assert_eq!(latencies(&told, 0), (Some(ms(109)), Some(ms(149))));
    assert_eq!(latencies(&told, 1), (Some(ms(109)), Some(ms(109))));
    assert_eq!(latencies(&told, 2), (Some(ms(109)), Some(ms(149))));
    assert_eq!((told.request(0).tpot(), told.request(1).tpot()), (Some(ms(10)), None));
    assert_eq!(told.request(3).fate, Fate::Waiting, "the run ends as it is sent");
    let totals = &told.totals;
    assert_eq!((totals.ended, totals.steps, totals.longest_queue), (at(secs(30)), 5 + 1 + 5, 0));
    assert_eq!((totals.itl.count(), totals.itl.max()), (8, Some(ms(10))));
    assert_eq!(totals.gpu_ps, u128::from(secs(30).as_ps()));
}

#[test]
fn a_request_that_meets_a_busy_engine_joins_the_second_batch_after_or_the_next_without_async_scheduling() {
    let requests = [(0, 50), (50, 1), (9000, 1)];
    let told = run(1, &class(""), &requests);
    // The first prompt runs from 7 to 107, and its second token until 117; then the other prompt until 217.
    assert_eq!(latencies(&told, 1), (Some(ms(219 - 50)), Some(ms(219 - 50))));
    // Its third token waits for that prompt.
    assert_eq!(latencies(&told, 0), (Some(ms(109)), Some(ms(219 + 47 * 10))));
    assert_eq!((told.totals.itl.max(), told.totals.longest_queue), (Some(ms(100)), 1));

    let told = run(1, &class("[serving.engine]\nasync_scheduling = false"), &requests);
    assert_eq!(latencies(&told, 1), (Some(ms(209 - 50)), Some(ms(209 - 50))));
}

#[test]
fn who_gives_up_never_sees_what_was_on_its_way() {
    let after = |timeout: u64| {
        let told = run(1, &class(&format!("client = {{ timeout = '{timeout}ms' }}")), &[(0, 5), (9000, 1)]);
        let request = told.request(0).clone();
        (request.fate, request.first_token, request.ended, request.output_tokens, told.pods[0].finished)
    };
    // The first token is there at 109 ms, the last at 149 ms.
    assert_eq!(after(108), (Fate::Aborted, None, Some(at(ms(108))), Tokens(0), 0));
    assert_eq!(after(109), (Fate::Aborted, Some(at(ms(109))), Some(at(ms(109))), Tokens(1), 0));
    // The engine is done at 147 ms, and has served it.
    assert_eq!(after(148), (Fate::Aborted, Some(at(ms(109))), Some(at(ms(148))), Tokens(5), 1));
    assert_eq!(after(149), (Fate::Finished, Some(at(ms(109))), Some(at(ms(149))), Tokens(5), 1));
}

#[test]
fn the_trace_ends_the_run_and_an_answer_on_its_way_has_not_come() {
    for (end, fate) in [(146, Fate::Running), (148, Fate::Running), (149, Fate::Finished)] {
        let told = run(1, &class(""), &[(0, 5), (end, 1)]);
        assert_eq!((told.totals.ended, told.request(0).fate), (at(ms(end)), fate), "at {end} ms");
        let finished: u64 = told.ticks.iter().map(|tick| tick.finished).sum();
        assert_eq!(finished, u64::from(fate == Fate::Finished));
    }
    let told = run(1, &class(""), &[(0, 5), (0, 5)]);
    assert_eq!(
        (told.totals.ended, told.ticks.len(), told.ticks[0].arrived),
        (at(ms(0)), 1, 2),
        "a run of no time"
    );
}

#[test]
fn a_cap_sends_the_next_request_when_its_client_has_seen_the_end_of_one() {
    let capped = |policy: &str| {
        let cap = format!("max_in_flight = {{ n = 1, policy = '{policy}' }}");
        class("").replace("kind = \"replay\"", &format!("kind = \"replay\"\n{cap}"))
    };
    let requests = [(0, 5), (40, 5), (60, 5), (9000, 1)];
    let told = run(1, &capped("queue"), &requests);
    let sent: Vec<_> = (0..3).map(|request| told.request(request).sent).collect();
    // The engine is done at 147 ms, and asleep when the next request reaches it.
    assert_eq!(sent, [Some(at(ms(0))), Some(at(ms(149))), Some(at(ms(298)))]);
    assert_eq!(latencies(&told, 2), (Some(ms(109)), Some(ms(149))), "latencies count from the send");
    assert_eq!(told.totals.longest_queue, 2);
    let told = run(1, &capped("drop"), &requests);
    let dropped = told.request(1);
    assert_eq!(
        (dropped.fate, dropped.reason, dropped.sent, dropped.attempts),
        (Fate::Refused, "cap", None, 0)
    );
    assert_eq!(told.totals.attempts, 2);
}

#[test]
fn requests_of_the_warm_up_have_fates_but_no_latencies() {
    let told = run(1, &class("[measure]\nwarmup = '10s'"), &[(0, 5), (9_999, 5), (10_000, 3), (30_000, 1)]);
    let measured: Vec<bool> = (0..4).map(|request| told.request(request).measured).collect();
    assert_eq!(measured, [false, false, true, true]);
    assert_eq!(told.totals.itl.count(), 2);
}
