//! Worlds small enough to be worked out by hand, and what then must come out to the picosecond.
//!
//! Lengths are constant and requests come from a trace, so nothing is drawn but the phases of the loops: those are read from
//! the streams that they are named by. The engine is [`plain_engine`]'s: 100 ms for a step with a prompt in it, 10 ms for
//! any other; 3 ms to the engine, 2 ms back, and 4 ms more for the first step after idle. The trace ends the run.

mod control;
mod exporters;
mod faults;
mod fleet;
mod formula;
mod requests;
mod rules;
mod sensor;

use super::{Stage, Told, at, ms, phase, plain_engine, scrape_offset, secs};
use dryscale::units::{SimDuration, SimTime};

/// The wall clock at the start of a run, in seconds since 1970: 2026-01-05T08:00:00Z.
const EPOCH_S: u64 = 1_767_600_000;

/// The world of these files under `policy`, a line or a table of the experiment. Pods start in 40 s, all of it after the
/// image's pull; `more` are keys of the one class of requests, then further tables.
fn experiment(policy: &str, more: &str) -> String {
    format!(
        r#"
duration = "1h"
{policy}
[[workload.source]]
kind = "replay"
file = "trace.csv"
[serving]
model = "llama-3.2-3b-a100-80gb-tp1"
[serving.startup]
schedule = 0
image_pull = 0
boot = 40
weights = 0
compile = 0
profile = 0
graphs = 0
[[workload.class]]
finish = "length"
{more}
"#
    )
}

/// A policy of one trigger with this query, and what else its tables say.
fn keda(min: u32, max: u32, query: &str, threshold: u32, more: &str) -> String {
    format!(
        r#"
[policy]
name = "by-hand"
[policy.scaled_object]
min_replica_count = {min}
max_replica_count = {max}
{more}
{}"#,
        trigger(query, threshold, "")
    )
}

/// One more trigger; `more` goes beside its type.
fn trigger(query: &str, threshold: u32, more: &str) -> String {
    format!(
        r#"
[[policy.scaled_object.triggers]]
type = "prometheus"
{more}
[policy.scaled_object.triggers.metadata]
query = '{query}'
threshold = "{threshold}"
"#
    )
}

/// Requests at these times in milliseconds, each with the length of its answer; prompts are 100 tokens long. The run ends
/// with the last.
fn trace(requests: &[(u64, u32)]) -> String {
    let row = |(at, tokens): &(u64, u32)| format!("{}.{:03},100,{tokens}\n", at / 1000, at % 1000);
    "timestamp,prompt_tokens,output_tokens\n".to_owned() + &requests.iter().map(row).collect::<String>()
}

/// Runs the experiment over these requests.
fn run(seed: u64, experiment: &str, requests: &[(u64, u32)]) -> Told {
    Stage::new(experiment, &trace(requests)).run_with(seed, plain_engine)
}

/// 1 from `s` seconds into the run on, before that 0, as PromQL.
fn from(s: u64) -> String {
    format!("(vector(time()) >= bool {})", EPOCH_S + s)
}

/// The changes of size: when, and to what.
fn sizes(told: &Told) -> Vec<(SimTime, i32)> {
    told.scales.iter().map(|scale| (scale.at, scale.to.get())).collect()
}

/// When the HPA syncs if each sync asks `queries` queries of 50 ms.
fn syncs(seed: u64, queries: u64) -> impl Iterator<Item = SimTime> {
    let first = phase(seed, "hpa/sync-phase", secs(15));
    (0..).map(move |k| at(first) + ms(k * (15_000 + 50 * queries)))
}

/// The whole second that a query at `now` asks for.
fn whole_second(now: SimTime) -> SimTime {
    at(secs(now.as_millis() / 1000))
}

/// The first instant from `from` on that is `phase` past a multiple of `period`.
fn next(from: SimTime, period: SimDuration, phase: SimDuration) -> SimTime {
    let mut tick = at(phase);
    while tick < from {
        tick += period;
    }
    tick
}
