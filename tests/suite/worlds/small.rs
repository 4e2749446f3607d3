//! Small worlds of every kind, at random: what is in one, how it is drawn, and the files that say it.

mod draw;
mod text;

use super::invariants::Terms;
use super::{ms, secs};
use dryscale::units::SimDuration;

pub(super) use draw::{crowded, shrinking, small};

/// Everything about a world that the experiment's file says.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub(super) seed: u64,
    run: Run,
    classes: Vec<Class>,
    sources: Vec<Source>,
    engine: Engine,
    plant: Plant,
    sensor: Sensor,
    policy: Policy,
}

#[derive(Clone, Debug)]
struct Run {
    duration_s: u64,
    drain: bool,
    warmup: bool,
    tick_s: u64,
}

#[derive(Clone, Debug)]
struct Class {
    input_max: u32,
    output_max: u32,
    foreseen: bool,
    timeout_ms: Option<u64>,
    priority: i32,
    groups: Option<u32>,
    /// Whether it has targets.
    targets: bool,
}

#[derive(Clone, Debug)]
struct Source {
    /// Deciseconds at which the requests of a trace come, with their lengths; without any the source is open.
    trace: Vec<(u64, u32, u32)>,
    /// Modulo the number of classes.
    class: usize,
    /// Another class, which so many of a hundred of its requests are of.
    second: Option<(usize, u32)>,
    rate: f64,
    process: &'static str,
    cap: Option<(u32, &'static str)>,
}

#[derive(Clone, Debug)]
struct Engine {
    max_model_len: u32,
    block_size: u32,
    /// Beyond those that one request of the greatest length needs.
    spare_blocks: u32,
    max_num_seqs: u32,
    max_num_active_seqs: Option<u32>,
    max_num_batched_tokens: u32,
    max_num_scheduled_tokens: Option<u32>,
    chunked_prefill: bool,
    /// Of a long prefill; 0 is no limit. And whether it adapts.
    threshold: (u32, bool),
    policy: &'static str,
    async_scheduling: bool,
    prefix_caching: bool,
    reserve_full_isl: bool,
    watermark: f64,
    queued_reqs: Option<u32>,
    queued_tokens: Option<u32>,
}

#[derive(Clone, Debug)]
struct Plant {
    model: (&'static str, u32),
    initial: Option<i32>,
    pull_s: u64,
    boot_s: u64,
    probe_s: u64,
    nodes: (u32, Option<u32>),
    pods_per_node: u32,
    grace_s: u64,
    pre_stop: bool,
    shutdown_s: u64,
    endpoint_ms: u64,
    router: &'static str,
    gateway: Option<(u32, u64, Option<u32>)>,
}

#[derive(Clone, Debug)]
struct Sensor {
    scrape_ms: u64,
    discovery: &'static str,
    discovery_s: u64,
    latency_ms: u64,
    /// Rules are evaluated so often.
    rules_s: u64,
    /// What goes wrong, from when and for how long.
    faults: Vec<(&'static str, u64, u64)>,
}

#[derive(Clone, Debug)]
enum Policy {
    Static(i32),
    Keda(Box<Keda>),
    Rival(Rival),
}

/// An autoscaler to compare KEDA with: its table, and the sizes between which it moves.
#[derive(Clone, Debug)]
struct Rival {
    table: String,
    min: i32,
    max: i32,
    /// The size of the start, where nobody sets another.
    initial: i32,
    holds: bool,
}

#[derive(Clone, Debug)]
struct Keda {
    min: i32,
    /// Beyond the minimum.
    more: i32,
    idle: bool,
    polling_s: u64,
    cooldown_s: u64,
    queries: Vec<&'static str>,
    threshold: &'static str,
    metric_type: &'static str,
    strict: bool,
    cached: bool,
    fallback: Option<(u32, i32)>,
    behavior: Option<(u64, u64, u32)>,
    stabilization_s: u64,
    sync_s: u64,
    kubernetes: &'static str,
}
