//! The conditions under which steps are one event, one by one: what ends a run, and that nothing else does.
//!
//! Each test lets both engines run a small load, which must show the same, and says how many events the fast one takes.

use super::side_by_side::{Act, Form, Load, at, compare, engines};
use super::*;
use crate::serving::engine::{EngineArgs, FinishReason, GpuClass, ModelLimits};
use crate::workload::{ContentId, Finish, Segment};

/// 100 ns a step, 1 ns for each token of the prompts.
const FORM: Form = Form { base: 100, request: 0, slope: 0, floor: 1 };

fn config(toml: &str) -> EngineConfig {
    let args: EngineArgs = toml::from_str(toml).expect("arguments");
    let gpu = GpuClass { name: String::new(), memory_bytes: 0 };
    args.resolve(&gpu, &ModelLimits { max_model_len: Tokens(1000) }).expect("valid")
}

fn request(id: u64, prompt: u32, answer: u32, finish: Finish) -> EngineRequest {
    EngineRequest {
        id: RequestId(id),
        arrival_time: SimTime::ZERO,
        prompt: Arc::from([]),
        prompt_tokens: Tokens(prompt),
        output_tokens: Tokens(answer),
        finish,
        max_tokens: None,
        output_content: None,
        priority: 0,
        measured: true,
    }
}

fn submit(ns: u64, request: EngineRequest) -> (SimTime, Act) {
    (at(ns), Act::Submit(EngineRequest { arrival_time: at(ns), ..request }))
}

/// How many events the engines take: step by step, and fast.
fn events(toml: &str, blocks: u32, acts: Vec<(SimTime, Act)>) -> (u64, u64) {
    with_form(FORM, toml, blocks, acts)
}

fn with_form(form: Form, toml: &str, blocks: u32, acts: Vec<(SimTime, Act)>) -> (u64, u64) {
    compare(&Load::new(config(toml), Blocks(blocks), form, acts)).expect("both engines are one")
}

/// (a) While a prompt is computed in parts, each part is a step of its own; then the answer is one event.
#[test]
fn a_prompt_in_parts_is_no_run() {
    let whole = events("", 1000, vec![submit(0, request(0, 500, 300, Finish::Eos))]);
    let parts = events(
        "max_num_batched_tokens = 100\nmax_num_seqs = 50",
        1000,
        vec![submit(0, request(0, 500, 300, Finish::Eos))],
    );
    // Five parts in place of one; but the second pass, which is scheduled together with the first, is listed in both.
    assert_eq!(parts.1 - whole.1, 3);
    assert!(whole.1 < 10 && whole.0 > 300, "{whole:?}");
}

/// (a), (d) As many decode as a step has tokens, and the next waits for one of them to end: that is a run.
#[test]
fn a_step_without_a_token_to_spare_is_one_of_a_run() {
    let clients = (0..6).map(|id| submit(0, request(id, 5, 100, Finish::Length))).collect();
    let (stepwise, fast) = events("max_num_scheduled_tokens = 5", 1000, clients);
    assert!(fast < stepwise / 5, "{fast} of {stepwise}");
}

/// (a) Long prompts that are held back stand between others, and the order of a step is theirs.
#[test]
fn prompts_that_are_held_back_are_no_run() {
    let clients = vec![
        submit(0, request(0, 20, 200, Finish::Eos)),
        submit(50, request(1, 200, 50, Finish::Eos)),
        submit(51, request(2, 4, 100, Finish::Eos)),
    ];
    let held_back = events("long_prefill_token_threshold = 8", 1000, clients.clone());
    let free = events("", 1000, clients);
    assert!(held_back.1 > free.1 + 20, "{held_back:?} {free:?}");
}

/// (b) With async scheduling a foreseen end has two breaks, the pass that leaves the request out and the delivery a step
/// later; an unforeseen one has the delivery alone, and costs one batch more.
#[test]
fn each_end_breaks_a_run_as_often_as_its_kind_says() {
    let of = |toml: &str, finish: Finish| {
        let clients =
            vec![submit(0, request(0, 10, 400, Finish::Eos)), submit(0, request(1, 10, 200, finish))];
        events(toml, 1000, clients)
    };
    let (eos, length) = (of("", Finish::Eos), of("", Finish::Length));
    assert_eq!(length.1 - eos.1, 1);
    assert_eq!(
        of("async_scheduling = false", Finish::Eos).1,
        of("async_scheduling = false", Finish::Length).1
    );
}

/// (b) `max_model_len` ends an answer as `max_tokens` does.
#[test]
fn the_longest_context_is_an_end() {
    let load = Load::new(
        config("max_model_len = 64"),
        Blocks(1000),
        FORM,
        vec![submit(0, request(0, 10, 900, Finish::Eos)), submit(0, request(1, 10, 900, Finish::Length))],
    );
    let (stepwise, fast) = compare(&load).expect("both engines are one");
    assert!(stepwise > 50 && fast < 10, "{fast} of {stepwise}");
    let (_, mut driven) = engines(&load);
    for (now, act) in &load.acts {
        driven.act(*now, act).expect("it acts");
    }
    driven.run_until(SimTime::NEVER, true).expect("it runs");
    let ends = driven
        .out
        .iter()
        .filter(|output| matches!(output, Output::Finished { reason: FinishReason::Length, .. }));
    assert_eq!(ends.count(), 2);
}

/// (c) A run ends before the pass for which the blocks do not suffice, and somebody is preempted there.
#[test]
fn a_run_ends_where_the_blocks_do() {
    let clients =
        |answer| (0..4).map(|id| submit(0, request(id, 16, answer, Finish::Eos))).collect::<Vec<_>>();
    let load = Load::new(config("max_model_len = 320"), Blocks(41), FORM, clients(300));
    let (stepwise, fast) = compare(&load).expect("both engines are one");
    assert!(fast < stepwise / 2, "{fast} of {stepwise}");
    let (mut reference, _) = engines(&load);
    for (now, act) in &load.acts {
        reference.act(*now, act).expect("it acts");
    }
    reference.act(SimTime::NEVER, &Act::Look).expect("it runs");
    assert!(reference.engine.stats(SimTime::NEVER).num_preemptions > 0, "the load is what it says");
    // A prime number of blocks and requests in all residue classes.
    let classes = (0..16).map(|id| submit(0, request(id, 1 + id as u32, 40, Finish::Eos))).collect();
    events("max_model_len = 320", 37, classes);
}

/// (d) Who waits and cannot be admitted does not break a run, whatever keeps it out.
#[test]
fn those_who_cannot_be_admitted_do_not_break_a_run() {
    let two = |prompt| {
        vec![submit(0, request(0, 10, 500, Finish::Eos)), submit(0, request(1, prompt, 500, Finish::Eos))]
    };
    for (why, toml, blocks, prompt) in [
        ("seats", "max_num_seqs = 1", 1000, 10),
        ("active seats", "max_num_active_seqs = 1", 1000, 10),
        ("blocks", "max_model_len = 640", 42, 600),
        ("watermark", "max_model_len = 640\nwatermark = 0.9", 1000, 600),
        ("blocks of the whole prompt", "max_model_len = 640\nscheduler_reserve_full_isl = true", 42, 610),
    ] {
        let (stepwise, fast) = events(toml, blocks, two(prompt));
        assert!(stepwise > 500 && fast < 30, "{why}: {fast} of {stepwise}");
    }
}

/// (e) An arrival in the midst of a run joins where it does step by step, one batch later with async scheduling.
#[test]
fn an_arrival_truncates_a_run_at_the_batch_that_runs() {
    for (toml, joins) in [("", 2), ("async_scheduling = false", 1)] {
        let load = Load::new(
            config(toml),
            Blocks(1000),
            FORM,
            vec![submit(0, request(0, 10, 500, Finish::Eos)), submit(20_050, request(1, 10, 1, Finish::Eos))],
        );
        compare(&load).expect("both engines are one");
        let (_, mut fast) = engines(&load);
        fast.act(at(0), &load.acts[0].1).expect("it acts");
        fast.run_until(at(20_050), false).expect("it runs");
        let planned = fast.engine.next_event().expect("a request runs");
        assert!(planned > at(50_000), "the run goes on to the end of the answer");
        fast.act(at(20_050), &load.acts[1].1).expect("it acts");
        let running = fast.engine.next_event().expect("a request runs");
        assert!(running > at(20_050) && running <= at(20_150), "{running}: the batch that runs");
        let first_token = {
            let mut fast = fast;
            fast.run_until(SimTime::NEVER, true).expect("it runs");
            fast.out.iter().find_map(|output| match output {
                Output::FirstToken { id: RequestId(1), at } => Some(*at),
                _ => None,
            })
        };
        // The batch with its prompt takes 136 ns, the output path 2.
        let expected = running + SimDuration::from_nanos(100 * (joins - 1) + 136 + 2);
        assert_eq!(first_token, Some(expected), "{toml}");
    }
}

/// (e) A client that gives up in the midst of a run is let go of when the batch that runs has ended.
#[test]
fn an_abort_truncates_a_run() {
    for toml in ["", "async_scheduling = false"] {
        let clients = vec![
            submit(0, request(0, 10, 500, Finish::Eos)),
            submit(0, request(1, 10, 400, Finish::Length)),
            (at(20_050), Act::Abort(RequestId(1))),
            (at(20_051), Act::Look),
            (at(20_500), Act::Look),
        ];
        let (stepwise, fast) = events(toml, 1000, clients);
        assert!(fast < 12 && stepwise > 400, "{fast} of {stepwise}");
    }
}

/// (f), (g) A run that begins on the floor of its steps and crosses it is one event, and its latencies are counted alike.
#[test]
fn a_run_may_cross_the_floor_and_the_bounds_of_histograms() {
    // 5 ms at first, then up to 90 ms: over ten bounds of the exposed histogram.
    let form = Form { base: 1_000_000, request: 0, slope: 100_000, floor: 5_000_000 };
    let clients = vec![
        submit(0, request(0, 10, 900, Finish::Eos)),
        submit(0, request(1, 20, 900, Finish::Length)),
        (at(7_000_000_000), Act::Look),
    ];
    let (stepwise, fast) = with_form(form, "", 1000, clients);
    assert!(stepwise > 900 && fast < 12, "{fast} of {stepwise}");
}

/// (h) Whoever looks sees the last step that ended, to the picosecond, and the run goes on.
#[test]
fn a_look_is_answered_from_the_run() {
    let form = Form { base: 90, request: 0, slope: 1, floor: 120 };
    let mut acts =
        vec![submit(0, request(0, 10, 200, Finish::Eos)), submit(0, request(1, 11, 150, Finish::Length))];
    let unseen = with_form(form, "", 1000, acts.clone());
    // All instants around the ends of some batches, and far ones.
    acts.extend((1_000..1_600).chain([9_000, 17_000]).map(|ns| (at(ns), Act::Look)));
    assert_eq!(with_form(form, "", 1000, acts), unseen);
}

/// (i) An answer that others go on with is found by them as far as it has come.
#[test]
fn what_an_answer_has_filled_is_found_in_the_midst_of_it() {
    let text = |content, tokens| Segment { content: ContentId(content), tokens: Tokens(tokens) };
    let first = EngineRequest {
        prompt: Arc::from([text(1, 32)]),
        output_content: Some(ContentId(2)),
        ..request(0, 32, 200, Finish::Eos)
    };
    let second =
        EngineRequest { prompt: Arc::from([text(1, 32), text(2, 100)]), ..request(1, 150, 5, Finish::Eos) };
    let load = Load::new(config(""), Blocks(1000), FORM, vec![submit(0, first), submit(8_050, second)]);
    compare(&load).expect("both engines are one");
    let (_, mut fast) = engines(&load);
    for (now, act) in &load.acts {
        fast.act(*now, act).expect("it acts");
    }
    fast.run_until(SimTime::NEVER, true).expect("it runs");
    let cached = fast.out.iter().find_map(|output| match output {
        Output::Finished { id: RequestId(1), usage, .. } => Some(usage.cached_tokens),
        _ => None,
    });
    assert!(cached > Some(Tokens(64)), "{cached:?}: the prompt and some of the answer");
}

/// (j) What was noted of a request that left before its time is no other's, though the slot is.
#[test]
fn a_slot_that_is_used_again_does_not_end_at_the_time_of_the_one_before() {
    for (toml, finish) in [("", Finish::Eos), ("", Finish::Length), ("async_scheduling = false", Finish::Eos)]
    {
        let clients = vec![
            submit(0, request(0, 10, 900, Finish::Eos)),
            submit(0, request(1, 10, 100, finish)),
            (at(5_000), Act::Abort(RequestId(1))),
            submit(6_000, request(2, 10, 300, finish)),
            (at(8_000), Act::Abort(RequestId(2))),
            submit(8_001, request(3, 10, 20, finish)),
        ];
        events(toml, 1000, clients);
    }
}
