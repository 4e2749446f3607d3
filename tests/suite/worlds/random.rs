//! Random small worlds: what holds in every world holds in them, and a world that runs twice does the same twice.

use super::invariants::{Terms, check};
use super::{Stage, Told, ms, secs};
use dryscale::monitoring::promql::{Query, Value};
use dryscale::monitoring::series::Retention;
use dryscale::monitoring::{Keep, wal};
use dryscale::scenario::Scenario;
use dryscale::simulation::record::Controller;
use dryscale::units::SimDuration;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::fmt::Write;

/// Everything about a world that the experiment's file says.
#[derive(Clone, Debug)]
struct Small {
    seed: u64,
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
}

#[derive(Clone, Debug)]
struct Source {
    /// Deciseconds at which the requests of a trace come, with their lengths; without any the source is open.
    trace: Vec<(u64, u32, u32)>,
    class: Index,
    rate: f64,
    process: &'static str,
    cap: Option<(u32, &'static str)>,
}

#[derive(Clone, Debug)]
struct Engine {
    max_num_seqs: u32,
    max_num_batched_tokens: u32,
    blocks: u32,
    policy: &'static str,
    async_scheduling: bool,
    prefix_caching: bool,
    queued_reqs: Option<u32>,
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

const FAULTS: [&str; 7] = [
    "kind = 'prometheus_down'",
    "kind = 'prometheus_slow', latency = 2",
    "kind = 'prometheus_slow', latency = 5",
    "kind = 'scrape_failing', times_out = true",
    "kind = 'series_vanish', series = '{__name__=~\"vllm:num_.*|DCGM.*\"}'",
    "kind = 'target_frozen', target = '{namespace=~\".+\"}'",
    "kind = 'metrics_adapter_down'",
];

const QUERIES: [&str; 14] = [
    "sum(scrape_samples_scraped) / 100",
    "max(queue:smoothed)",
    "sum(llm_d_epp_inflight_tokens) / 100",
    "sum(DCGM_FI_DEV_GPU_UTIL) / 50",
    "sum(rate(vllm:num_incoming_requests_total[1m]))",
    "sum(vllm:num_requests_waiting)",
    "sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)",
    "sum(rate(vllm:generation_tokens_total[1m]))",
    "vllm:num_requests_running",
    "count(up == 0)",
    "4 * (vector(time() % 40) > bool 20)",
    "30 * (vector(time() % 24) > bool 8)",
    "kube_deployment_status_replicas_ready",
    "max_over_time(sum(vllm:num_requests_running)[1m:5s])",
];

fn run() -> impl Strategy<Value = Run> {
    (40u64..240, any::<bool>(), any::<bool>(), select(vec![5u64, 7, 10, 500]))
        .prop_map(|(duration_s, drain, warmup, tick_s)| Run { duration_s, drain, warmup, tick_s })
}

fn class() -> impl Strategy<Value = Class> {
    let timeout = prop_oneof![Just(None), (20u64..900).prop_map(Some), (900u64..30_000).prop_map(Some)];
    (1u32..600, 1u32..300, any::<bool>(), timeout, -1i32..2, prop::option::of(1u32..4)).prop_map(
        |(input_max, output_max, foreseen, timeout_ms, priority, groups)| Class {
            input_max,
            output_max,
            foreseen,
            timeout_ms,
            priority,
            groups,
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    let trace = prop_oneof![
        3 => Just(Vec::new()),
        1 => (1u32..600, 1u32..120).prop_map(|(input, output)| vec![(7, input, output)]),
        1 => prop::collection::vec((0u64..1500, 1u32..600, 1u32..120), 1..60),
        1 => prop::collection::vec((0u64..3, 1u32..300, 1u32..120), 1..40),
    ];
    let cap = prop::option::of((1u32..6, select(vec!["queue", "drop"])));
    (trace, any::<Index>(), 0.05f64..7.0, select(vec!["constant", "poisson", "gamma"]), cap)
        .prop_map(|(trace, class, rate, process, cap)| Source { trace, class, rate, process, cap })
}

fn engine() -> impl Strategy<Value = Engine> {
    let tight = prop_oneof![33u32..60, Just(2000)];
    (1u32..24, select(vec![64u32, 256, 2048]), tight, any::<(bool, bool, bool)>(), prop::option::of(1u32..20))
        .prop_map(
            |(max_num_seqs, max_num_batched_tokens, blocks, (fcfs, asynchronous, caching), queued_reqs)| {
                Engine {
                    max_num_seqs,
                    max_num_batched_tokens,
                    blocks,
                    policy: if fcfs { "fcfs" } else { "priority" },
                    async_scheduling: asynchronous,
                    prefix_caching: caching,
                    queued_reqs,
                }
            },
        )
}

fn plant() -> impl Strategy<Value = Plant> {
    let model = select(vec![("llama-3.2-3b-a100-80gb-tp1", 1), ("qwen3-8b-a100-80gb-tp2", 2)]);
    let start = (prop::option::of(0i32..5), 0u64..8, 0u64..40, 1u64..11);
    let nodes = ((0u32..3, prop::option::of(0u32..3)), 1u32..4);
    let pod = (0u64..30, any::<bool>(), prop_oneof![Just(0), 1u64..30], prop_oneof![Just(0), 1u64..3000]);
    let router = select(vec!["round_robin", "random", "least_requests"]);
    (model, start, nodes, pod, router, prop::option::of((1u32..30, 1u64..60, prop::option::of(1u32..6))))
        .prop_map(
            |(
                model,
                (initial, pull_s, boot_s, probe_s),
                ((min, more), pods_per_node),
                pod,
                router,
                gateway,
            )| {
                let (grace_s, pre_stop, shutdown_s, endpoint_ms) = pod;
                let nodes = (min, more.map(|more| (min + more).max(1)));
                Plant {
                    model,
                    initial,
                    pull_s,
                    boot_s,
                    probe_s,
                    // A fleet without nodes could never have one.
                    nodes: if nodes == (0, None) { (1, None) } else { nodes },
                    pods_per_node,
                    grace_s,
                    pre_stop,
                    shutdown_s,
                    endpoint_ms,
                    router,
                    gateway,
                }
            },
        )
}

fn sensor() -> impl Strategy<Value = Sensor> {
    let fault = (select(FAULTS.to_vec()), 0u64..40, 1u64..120);
    (
        select(vec![100u64, 1000, 5000, 15_000, 30_000]),
        any::<bool>(),
        1u64..6,
        prop_oneof![Just(0), 1u64..2000],
        1u64..31,
        prop_oneof![Just(Vec::new()), prop::collection::vec(fault, 1..4)],
    )
        .prop_map(|(scrape_ms, pods, discovery_s, latency_ms, rules_s, faults)| Sensor {
            scrape_ms,
            discovery: if pods { "pod" } else { "endpoints" },
            discovery_s,
            latency_ms,
            rules_s,
            faults,
        })
}

fn policy() -> impl Strategy<Value = Policy> {
    let size = (0i32..3, 1i32..5, any::<bool>());
    let loops = (1u64..31, 0u64..60, prop_oneof![Just(0), 0u64..60], select(vec![3u64, 15]));
    let trigger = (
        prop::collection::vec(select(QUERIES.to_vec()), 1..3),
        select(vec!["0.5", "2", "10", "100"]),
        select(vec!["AverageValue", "Value"]),
        any::<bool>(),
        any::<bool>(),
    );
    let behavior = prop::option::of((0u64..60, 0u64..60, 1u32..4));
    let release = select(vec!["1.28", "1.32", "1.35"]);
    let keda = (size, loops, trigger, prop::option::of((0u32..4, 0i32..4)), behavior, release).prop_map(
        |((min, more, idle), loops, trigger, fallback, behavior, kubernetes)| {
            let (polling_s, cooldown_s, stabilization_s, sync_s) = loops;
            let (queries, threshold, metric_type, strict, cached) = trigger;
            Policy::Keda(Box::new(Keda {
                min,
                more,
                idle: idle && min > 0,
                polling_s,
                cooldown_s,
                queries,
                threshold,
                metric_type,
                strict,
                cached,
                fallback,
                behavior,
                stabilization_s,
                sync_s,
                kubernetes,
            }))
        },
    );
    prop_oneof![1 => (0i32..4).prop_map(Policy::Static), 5 => keda, 5 => rival().prop_map(Policy::Rival)]
}

fn rival() -> impl Strategy<Value = Rival> {
    let bounds = (0i32..3, 1i32..5);
    prop_oneof![
        prop::collection::vec(0i32..5, 1..8).prop_map(timetable),
        (bounds.clone(), any::<bool>(), any::<bool>(), 1u32..20).prop_map(plain_hpa),
        (bounds.clone(), any::<bool>(), 1u32..20, 0u32..30).prop_map(aibrix),
        (bounds.clone(), any::<bool>(), 0u32..5).prop_map(wva),
        (bounds, 1u32..20, 6u32..30, any::<bool>(), any::<bool>()).prop_map(knative),
    ]
}

fn rival_of(table: String, (min, more): (i32, i32), holds: bool) -> Rival {
    Rival { table, min, max: min + more, initial: min.max(1), holds }
}

fn timetable(sizes: Vec<i32>) -> Rival {
    let step = |(i, size): (usize, &i32)| format!("{{ at = '{}s', replicas = {size} }}", i * 17);
    let steps: Vec<String> = sizes.iter().enumerate().map(step).collect();
    let least = sizes.iter().min().copied().unwrap_or_default();
    let most = sizes.iter().max().copied().unwrap_or_default();
    let table = format!("schedule = [{}]", steps.join(", "));
    Rival { table, min: least, max: most, initial: sizes[0], holds: false }
}

fn plain_hpa(((min, more), pods, behavior, target): ((i32, i32), bool, bool, u32)) -> Rival {
    let min = min.max(1);
    let (kind, query) = match pods {
        true => ("Pods", "sum by (pod) (vllm:num_requests_running)"),
        false => ("External", "sum(vllm:num_requests_running)"),
    };
    let behavior = if behavior { "behavior.scale_down.stabilization_window_seconds = 5" } else { "" };
    let table = format!(
        "[policy.hpa]\nmin_replicas = {min}\nmax_replicas = {}\n{behavior}\n[[policy.hpa.metrics]]\ntype = '{kind}'\n\
         metric = {{ name = 'running' }}\ntarget = {{ type = 'AverageValue', average_value = '{target}' }}\nquery = '{query}'",
        min + more
    );
    rival_of(table, (min, more), false)
}

fn aibrix(((min, more), apa, target, cooldown_s): ((i32, i32), bool, u32, u32)) -> Rival {
    let strategy = if apa { "APA" } else { "KPA" };
    let table = format!(
        "[policy.aibrix]\nscaling_strategy = '{strategy}'\nmin_replicas = {min}\nmax_replicas = {}\n\
         annotations = {{ scale_down_cooldown_window = '{cooldown_s}s' }}\n\
         metrics_sources = [{{ target_metric = 'num_requests_running', target_value = '{target}' }}]",
        min + more
    );
    rival_of(table, (min, more), false)
}

fn wva(((min, more), keda, queue): ((i32, i32), bool, u32)) -> Rival {
    let (min, thresholds) =
        (min.max(1), format!("queue_length_threshold = {queue}\nqueue_spare_trigger = 1"));
    let max = min + more;
    let table = if keda {
        format!(
            "[policy.wva]\n{thresholds}\n[policy.scaled_object]\nmin_replica_count = {min}\nmax_replica_count = {max}\n\
             [[policy.scaled_object.triggers]]\ntype = 'prometheus'\n\
             metadata = {{ query = 'wva_desired_replicas', threshold = '1' }}"
        )
    } else {
        format!("[policy.wva]\n{thresholds}\nmin_replicas = {min}\nmax_replicas = {max}")
    };
    rival_of(table, (min, more), false)
}

fn knative(((min, more), target, window_s, rps, burst): ((i32, i32), u32, u32, bool, bool)) -> Rival {
    let (metric, burst) = (if rps { "rps" } else { "concurrency" }, if burst { 211 } else { 0 });
    let table = format!(
        "[policy.knative]\nmetric = '{metric}'\ntarget = {target}\nmin_scale = {min}\nmax_scale = {}\nwindow = '{window_s}s'\n\
         target_burst_capacity = {burst}\nconfig = {{ scale_to_zero_grace_period = '6s' }}",
        min + more
    );
    rival_of(table, (min, more), true)
}

fn small() -> impl Strategy<Value = Small> {
    let workload = (prop::collection::vec(class(), 1..3), prop::collection::vec(source(), 1..3));
    (any::<u64>(), run(), workload, engine(), plant(), sensor(), policy()).prop_map(
        |(seed, run, (mut classes, mut sources), engine, plant, sensor, policy)| {
            // One file holds the one trace, which says itself what its prompts share.
            for source in sources.iter_mut().skip(1) {
                source.trace.clear();
            }
            if let Some(source) = sources.first().filter(|source| !source.trace.is_empty()) {
                let class = source.class.index(classes.len());
                classes[class].groups = None;
            }
            let mut world = Small { seed, run, classes, sources, engine, plant, sensor, policy };
            // The replicas of the start need their nodes.
            let needed = world.terms().initial_replicas.cast_unsigned().div_ceil(world.plant.pods_per_node);
            world.plant.nodes.1 = world.plant.nodes.1.map(|most| most.max(needed));
            world
        },
    )
}

impl Small {
    fn experiment(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes all");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Run { duration_s, drain, tick_s, .. } = self.run;
        writeln!(text, "duration = '{duration_s}s'\ndrain = {drain}")?;
        if let Policy::Static(replicas) = self.policy {
            writeln!(text, "policy = 'static:{replicas}'")?;
        }
        writeln!(text, "[measure]\ntimeline = '{tick_s}s'\nwarmup = '{}s'", self.warmup_s())?;
        for (index, class) in self.classes.iter().enumerate() {
            let Class { input_max, output_max, priority, .. } = class;
            writeln!(text, "[[workload.class]]\nname = 'c{index}'\npriority = {priority}")?;
            writeln!(text, "input = {{ dist = 'uniform', min = 1, max = {} }}", input_max + 1)?;
            writeln!(text, "output = {{ dist = 'uniform', min = 1, max = {} }}", output_max + 1)?;
            writeln!(text, "finish = '{}'", if class.foreseen { "length" } else { "eos" })?;
            if let Some(timeout_ms) = class.timeout_ms {
                writeln!(text, "client = {{ timeout = '{timeout_ms}ms' }}")?;
            }
            if let Some(groups) = class.groups {
                writeln!(
                    text,
                    "prefix = {{ groups = {groups}, tokens = {{ dist = 'constant', value = 50 }} }}"
                )?;
            }
        }
        for (index, source) in self.sources.iter().enumerate() {
            let class = source.class.index(self.classes.len());
            writeln!(text, "[[workload.source]]\nname = 's{index}'")?;
            match source.trace.is_empty() {
                true => {
                    writeln!(text, "rate = {}\nmix = {{ c{class} = 1 }}", source.rate)?;
                    let cv = if source.process == "gamma" { ", cv = 3" } else { "" };
                    writeln!(text, "arrival = {{ process = '{}'{cv} }}", source.process)?;
                }
                false => writeln!(text, "kind = 'replay'\nfile = 'trace.csv'\nclass = 'c{class}'")?,
            }
            if let Some((n, policy)) = source.cap {
                writeln!(text, "max_in_flight = {{ n = {n}, policy = '{policy}' }}")?;
            }
        }
        self.plant.write(text, self.initial_replicas())?;
        self.engine.write(text)?;
        self.sensor.write(text)?;
        match &self.policy {
            Policy::Static(_) => Ok(()),
            Policy::Keda(keda) => keda.write(text),
            Policy::Rival(rival) => writeln!(text, "[policy]\nname = 'rival'\n{}", rival.table),
        }
    }

    fn warmup_s(&self) -> u64 {
        if self.run.warmup { self.run.duration_s / 4 } else { 0 }
    }

    fn trace(&self) -> String {
        let mut rows: Vec<_> = self.sources.iter().flat_map(|source| &source.trace).collect();
        rows.sort_unstable();
        let row =
            |(at, input, output): &&(u64, u32, u32)| format!("{}.{},{input},{output}\n", at / 10, at % 10);
        "timestamp,prompt_tokens,output_tokens\n".to_owned() + &rows.iter().map(row).collect::<String>()
    }

    /// Times count from the first request.
    fn trace_end(&self) -> Option<SimDuration> {
        let [Source { trace, .. }] = &self.sources[..] else { return None };
        let times = || trace.iter().map(|(at, ..)| at);
        Some(ms(100 * (times().max()? - times().min()?)))
    }

    /// Within the bounds of the policy; `None` leaves it to the default.
    fn initial_replicas(&self) -> Option<i32> {
        match &self.policy {
            Policy::Static(_) => None,
            Policy::Keda(keda) => Some(self.plant.initial?.clamp(keda.min, keda.max())),
            Policy::Rival(rival) => Some(self.plant.initial?.clamp(rival.min, rival.max)),
        }
    }

    fn terms(&self) -> Terms {
        let (initial_replicas, replicas_max) = match &self.policy {
            Policy::Static(replicas) => (*replicas, *replicas),
            Policy::Keda(keda) => (self.initial_replicas().unwrap_or(keda.min.max(1)), keda.max()),
            Policy::Rival(rival) => (self.initial_replicas().unwrap_or(rival.initial), rival.max),
        };
        let rival_holds = matches!(&self.policy, Policy::Rival(rival) if rival.holds);
        Terms {
            duration: secs(self.run.duration_s),
            trace_end: self.trace_end(),
            drain: self.run.drain,
            warmup: secs(self.warmup_s()),
            tick: secs(self.run.tick_s),
            gpus_per_pod: self.plant.model.1,
            initial_replicas,
            replicas_max,
            writes_late: self.sensor.faults.iter().any(|(fault, ..)| fault.contains("prometheus_slow")),
            endpoint_delay: ms(self.plant.endpoint_ms),
            caps: self.sources.iter().map(|source| source.cap.map(|(n, _)| n)).collect(),
            timeouts: self.classes.iter().map(|class| class.timeout_ms.map(ms)).collect(),
            holds: self.plant.gateway.is_some() || rival_holds,
            // What the shipped models say.
            path: (SimDuration::from_nanos(3_400_000), SimDuration::from_nanos(2_400_000)),
        }
    }
}

impl Plant {
    fn write(&self, text: &mut String, initial: Option<i32>) -> std::fmt::Result {
        writeln!(text, "[serving]\nmodel = '{}'", self.model.0)?;
        if let Some(initial) = initial {
            writeln!(text, "initial_replicas = {initial}")?;
        }
        let Plant { pull_s, boot_s, probe_s, grace_s, shutdown_s, endpoint_ms, router, .. } = self;
        writeln!(text, "[serving.startup]\nschedule = 0\nimage_pull = {pull_s}\nboot = {boot_s}")?;
        writeln!(
            text,
            "weights = 0\ncompile = 0\nprofile = 0\ngraphs = 0\nreadiness = {{ period = {probe_s} }}"
        )?;
        writeln!(text, "[serving.nodes]\ngpus_per_node = {}", self.pods_per_node * self.model.1)?;
        writeln!(text, "min_nodes = {}", self.nodes.0)?;
        if let Some(max) = self.nodes.1 {
            writeln!(text, "max_nodes = {max}")?;
        }
        writeln!(text, "provisioning = {{ dist = 'constant', value = 20 }}")?;
        writeln!(text, "scale_down_unneeded_time = 30\nscale_down_delay_after_add = 30")?;
        writeln!(
            text,
            "[serving.pod]\ntermination_grace_period = {grace_s}\nshutdown_timeout = {shutdown_s}"
        )?;
        writeln!(
            text,
            "pre_stop = {}\nendpoint_delay = '{endpoint_ms}ms'",
            if self.pre_stop { grace_s / 2 } else { 0 }
        )?;
        writeln!(text, "[serving.router]\npolicy = '{router}'")?;
        if let Some((held_max, hold_s, flow_control)) = self.gateway {
            writeln!(
                text,
                "[serving.gateway]\nwhen_none_ready = 'hold'\nheld_max = {held_max}\nhold_timeout = {hold_s}"
            )?;
            if let Some(depth) = flow_control {
                writeln!(text, "flow_control = {{ queue_depth_threshold = {depth} }}")?;
            }
        }
        Ok(())
    }
}

impl Engine {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Engine {
            max_num_seqs,
            max_num_batched_tokens,
            blocks,
            policy,
            async_scheduling,
            prefix_caching,
            ..
        } = self;
        writeln!(text, "[serving.engine]\nmax_model_len = 512\nnum_gpu_blocks_override = {blocks}")?;
        writeln!(text, "max_num_seqs = {max_num_seqs}\nmax_num_batched_tokens = {max_num_batched_tokens}")?;
        writeln!(text, "scheduling_policy = '{policy}'\nasync_scheduling = {async_scheduling}")?;
        writeln!(text, "enable_prefix_caching = {prefix_caching}")?;
        if let Some(queued) = self.queued_reqs {
            writeln!(text, "max_num_queued_reqs = {queued}")?;
        }
        Ok(())
    }
}

impl Sensor {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Sensor { scrape_ms, discovery, discovery_s, latency_ms, rules_s, faults } = self;
        writeln!(text, "[monitoring]\nscrape_interval = '{scrape_ms}ms'\ndiscovery = '{discovery}'")?;
        writeln!(text, "discovery_interval = {discovery_s}\nquery_latency = '{latency_ms}ms'")?;
        let faults = faults
            .iter()
            .map(|(fault, from, takes)| format!("{{ {fault}, from = {from}, to = {} }}", from + takes));
        writeln!(text, "fault = [{}]", faults.collect::<Vec<_>>().join(", "))?;
        writeln!(text, "[[monitoring.rule_group]]\nname = 'queue'\ninterval = {rules_s}\nrules = [")?;
        writeln!(text, "{{ record = 'queue:raw', expr = 'sum by (pod) (vllm:num_requests_waiting)' }},")?;
        writeln!(text, "{{ record = 'queue:smoothed', expr = 'avg_over_time(queue:raw[45s]) > 0.5' }},\n]")
    }
}

impl Keda {
    fn max(&self) -> i32 {
        self.min + self.more
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "[hpa]\nkubernetes = '{}'\ndownscale_stabilization = '{}s'\nsync_period = '{}s'",
            self.kubernetes, self.stabilization_s, self.sync_s
        )?;
        writeln!(text, "[policy]\nname = 'random'\n[policy.scaled_object]")?;
        writeln!(text, "min_replica_count = {}\nmax_replica_count = {}", self.min, self.max())?;
        writeln!(text, "polling_interval = {}\ncooldown_period = {}", self.polling_s, self.cooldown_s)?;
        if self.idle {
            writeln!(text, "idle_replica_count = {}", self.min - 1)?;
        }
        if let Some((threshold, replicas)) = self.fallback {
            writeln!(text, "fallback = {{ failure_threshold = {threshold}, replicas = {replicas} }}")?;
        }
        if let Some((up_s, down_s, pods)) = self.behavior {
            let rules = "policy.scaled_object.advanced.horizontal_pod_autoscaler_config.behavior";
            writeln!(text, "[{rules}.scale_up]\nstabilization_window_seconds = {up_s}")?;
            writeln!(text, "[{rules}.scale_down]\nstabilization_window_seconds = {down_s}")?;
            writeln!(text, "policies = [{{ type = 'Pods', value = {pods}, period_seconds = 15 }}]")?;
        }
        for query in &self.queries {
            writeln!(
                text,
                "[[policy.scaled_object.triggers]]\ntype = 'prometheus'\nmetric_type = '{}'",
                self.metric_type
            )?;
            writeln!(text, "use_cached_metrics = {}", self.cached)?;
            writeln!(
                text,
                "[policy.scaled_object.triggers.metadata]\nquery = '{query}'\nthreshold = '{}'",
                self.threshold
            )?;
            writeln!(text, "ignoreNullValues = '{}'", !self.strict)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_invariant_holds_and_the_same_world_does_the_same_whatever_it_forgets(world in small()) {
        let stage = Stage::new(&world.experiment(), &world.trace());
        let told = stage.run_with(world.seed, |_| ());
        check(&told, &world.terms());
        let told = format!("{told:?}");
        prop_assert_eq!(&told, &format!("{:?}", stage.run_with(world.seed, |_| ())));
        // No query looks back further than samples are kept, or at a series that is not kept.
        let remembering = stage.run_with(world.seed, |setup| {
            setup.monitoring.retention = Retention::All;
            setup.monitoring.keep = Keep::All;
            setup.monitoring.exporters = setup.monitoring.all_exporters.clone();
        });
        prop_assert_eq!(&told, &format!("{remembering:?}"));
        let (recorded, series) = stage.run_recorded(world.seed);
        prop_assert_eq!(told, format!("{recorded:?}"));
        asked_again(&stage.scenario, &recorded, &series);
    }
}

/// That every value which KEDA read from Prometheus is answered again by the series that were recorded.
fn asked_again(scenario: &Scenario, told: &Told, series: &wal::Recorded) {
    let triggers = scenario.policy.scaled_object().map_or(&[][..], |spec| &spec.triggers);
    for (index, trigger) in triggers.iter().enumerate() {
        let text = &trigger.metadata["query"];
        let mut query = Query::compile(text, scenario.monitoring.query_options()).expect("it ran");
        for controller in [Controller::KedaPoll, Controller::HpaSync] {
            for (at, value) in told.readings(controller, index) {
                let instant = scenario.start.at(at).whole_second();
                match query.evaluate(&series.database, instant, at) {
                    Ok(Value::Vector(elements)) if elements.is_empty() => {
                        assert_eq!(value, 0.0, "{text} at {at}")
                    }
                    Ok(Value::Vector(elements)) => assert_eq!(elements[0].1, value, "{text} at {at}"),
                    other => panic!("{text} at {at}: {other:?}, not {value}"),
                }
            }
        }
    }
}
