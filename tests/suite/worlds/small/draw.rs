//! How a small world is drawn.

use super::{Class, Engine, Keda, Plant, Policy, Rival, Run, Sensor, Small, Source};
use proptest::prelude::*;
use proptest::sample::select;

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
    (1u32..600, 1u32..300, any::<[bool; 2]>(), timeout, -1i32..2, prop::option::of(1u32..4)).prop_map(
        |(input_max, output_max, [foreseen, targets], timeout_ms, priority, groups)| Class {
            input_max,
            output_max,
            foreseen,
            timeout_ms,
            priority,
            groups,
            targets,
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
    let second = prop::option::weighted(0.3, (0usize..12, 1u32..50));
    (trace, 0usize..12, second, 0.05f64..7.0, select(vec!["constant", "poisson", "gamma"]), cap).prop_map(
        |(trace, class, second, rate, process, cap)| Source { trace, class, second, rate, process, cap },
    )
}

prop_compose! {
    /// Seats, tokens, blocks: each from hardly enough to plenty.
    fn engine()(
        max_model_len in prop_oneof![3 => Just(512u32), 1 => 40u32..512, 1 => Just(2000)],
        block_size in prop_oneof![3 => Just(16u32), 1 => 1u32..40],
        spare_blocks in prop_oneof![0u32..28, 20u32..200, Just(2000)],
        seats in prop_oneof![2 => 1u32..24, 1 => 24u32..100],
        active in prop::option::weighted(0.1, 1u32..7),
        budget in prop_oneof![1u32..100, select(vec![64u32, 256, 2048])],
        scheduled in prop::option::weighted(0.2, 5u32..60),
        chunked_prefill in prop::bool::weighted(0.8),
        threshold in (prop_oneof![3 => Just(0u32), 1 => 1u32..40], any::<bool>()),
        fcfs in prop::bool::weighted(0.7),
        flags in any::<[bool; 3]>(),
        watermark in prop_oneof![2 => Just(0.0), 1 => Just(0.01), 1 => Just(0.2)],
        queued_reqs in prop::option::weighted(0.3, 1u32..20),
        queued_tokens in prop::option::weighted(0.1, 1u32..3000),
    ) -> Engine {
        let budget = budget.max(seats);
        let max_num_batched_tokens = if chunked_prefill { budget } else { budget.max(max_model_len) };
        Engine {
            max_model_len,
            block_size,
            spare_blocks,
            max_num_seqs: seats,
            max_num_active_seqs: active.map(|active| active.min(seats)),
            max_num_batched_tokens,
            max_num_scheduled_tokens: scheduled.filter(|_| chunked_prefill).map(|scheduled| scheduled.min(budget)),
            chunked_prefill,
            threshold,
            policy: if fcfs { "fcfs" } else { "priority" },
            async_scheduling: flags[0],
            prefix_caching: flags[1],
            reserve_full_isl: flags[2],
            watermark,
            queued_reqs,
            queued_tokens,
        }
    }
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

pub(in super::super) fn small() -> impl Strategy<Value = Small> {
    let workload = (prop::collection::vec(class(), 1..3), prop::collection::vec(source(), 1..3));
    (any::<u64>(), run(), workload, engine(), plant(), sensor(), policy()).prop_map(
        |(seed, run, (mut classes, mut sources), engine, plant, sensor, policy)| {
            // One file holds the one trace, which says itself what its prompts share.
            for source in sources.iter_mut().skip(1) {
                source.trace.clear();
            }
            if let Some(source) = sources.first().filter(|source| !source.trace.is_empty()) {
                let class = source.class % classes.len();
                classes[class].groups = None;
            }
            Small { seed, run, classes, sources, engine, plant, sensor, policy }.with_first_nodes()
        },
    )
}

impl Small {
    /// The replicas of the start have their nodes.
    fn with_first_nodes(mut self) -> Small {
        let needed = self.terms().initial_replicas.cast_unsigned().div_ceil(self.plant.pods_per_node);
        self.plant.nodes.1 = self.plant.nodes.1.map(|most| most.max(needed));
        self
    }
}

prop_compose! {
    /// A world that keeps its caches full: blocks run out all the time, and one request of a hundred shares its prefix with
    /// others, among requests that share nothing.
    pub(in super::super) fn crowded()(
        world in small(),
        unshared in class(),
        shared in class(),
        lengths in (20u32..100, 150u32..300),
        groups in 1u32..4,
        impatient in prop::bool::weighted(0.3),
        rate in 20.0f64..40.0,
        process in select(vec!["constant", "poisson"]),
        seats in 20u32..60,
        spare_blocks in 0u32..80,
        (duration_s, tick_s) in (40u64..100, select(vec![1u64, 5])),
        replicas in 1i32..3,
        autoscaled in prop::bool::weighted(0.25),
    ) -> Small {
        let class = |drawn: Class, groups: Option<u32>| Class {
            input_max: lengths.0,
            output_max: lengths.1,
            timeout_ms: drawn.timeout_ms.filter(|ms| impatient && *ms > 900),
            groups,
            ..drawn
        };
        let source = Source { trace: Vec::new(), class: 0, second: None, rate, process, cap: None };
        Small {
            run: Run { duration_s, tick_s, ..world.run },
            classes: vec![class(unshared, None), class(shared, Some(groups))],
            sources: vec![Source { second: Some((1, 1)), ..source }],
            engine: Engine {
                max_model_len: 512,
                block_size: 16,
                spare_blocks,
                max_num_seqs: seats,
                max_num_active_seqs: None,
                max_num_batched_tokens: world.engine.max_num_batched_tokens.max(512),
                max_num_scheduled_tokens: None,
                prefix_caching: true,
                watermark: 0.0,
                queued_reqs: None,
                queued_tokens: None,
                ..world.engine
            },
            plant: Plant { gateway: None, ..world.plant },
            policy: if autoscaled { world.policy } else { Policy::Static(replicas) },
            ..world
        }
        .with_first_nodes()
    }
}

prop_compose! {
    /// A world whose timetable deletes pods that are at work, and gives them time.
    pub(in super::super) fn shrinking()(
        world in small(),
        sizes in prop::collection::vec(1i32..4, 2..8),
        rate in 2.0f64..10.0,
        grace_s in 1u64..60,
        shutdown_s in 1u64..60,
    ) -> Small {
        let source = |(i, source): (usize, Source)| match i {
            0 => Source { trace: Vec::new(), rate, cap: None, ..source },
            _ => source,
        };
        let nodes = (3, None);
        Small {
            sources: world.sources.into_iter().enumerate().map(source).collect(),
            plant: Plant { initial: None, nodes, grace_s, shutdown_s, gateway: None, ..world.plant },
            policy: Policy::Rival(timetable([&[4], &sizes[..]].concat())),
            ..world
        }
    }
}
