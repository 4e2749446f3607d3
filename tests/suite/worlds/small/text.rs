//! The experiment that a small world is, and what the checks need to know of it.

use super::*;
use std::fmt::Write;

impl Small {
    pub(in super::super) fn experiment(&self) -> String {
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
            if class.targets {
                writeln!(text, "slo = {{ ttft = '1s', tpot = '25ms', e2e = '5s', attainment = 0.9 }}")?;
            }
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
            let class = source.class % self.classes.len();
            writeln!(text, "[[workload.source]]\nname = 's{index}'")?;
            match source.trace.is_empty() {
                true => {
                    writeln!(text, "rate = {}\nmix = {{ {} }}", source.rate, self.mix(source))?;
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

    /// The classes of an open source, by weight.
    fn mix(&self, source: &Source) -> String {
        let class = source.class % self.classes.len();
        let second = source.second.map(|(second, share)| (second % self.classes.len(), share));
        match second.filter(|(second, _)| *second != class) {
            Some((second, share)) => format!("c{class} = {}, c{second} = {share}", 100 - share),
            None => format!("c{class} = 1"),
        }
    }

    fn warmup_s(&self) -> u64 {
        if self.run.warmup { self.run.duration_s / 4 } else { 0 }
    }

    pub(in super::super) fn trace(&self) -> String {
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

    pub(in super::super) fn terms(&self) -> Terms {
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
        let Engine { max_model_len, block_size, max_num_seqs, max_num_batched_tokens, .. } = self;
        // One of them is the null block.
        let blocks = max_model_len.div_ceil(*block_size) + 1 + self.spare_blocks;
        writeln!(
            text,
            "[serving.engine]
max_model_len = {max_model_len}
block_size = {block_size}"
        )?;
        writeln!(
            text,
            "num_gpu_blocks_override = {blocks}
max_num_seqs = {max_num_seqs}"
        )?;
        writeln!(text, "max_num_batched_tokens = {max_num_batched_tokens}")?;
        writeln!(text, "enable_chunked_prefill = {}", self.chunked_prefill)?;
        let (threshold, adaptive) = self.threshold;
        writeln!(text, "long_prefill_token_threshold = {threshold}")?;
        writeln!(text, "long_prefill_token_threshold_adaptive = {adaptive}")?;
        writeln!(text, "scheduling_policy = '{}'", self.policy)?;
        writeln!(text, "async_scheduling = {}", self.async_scheduling)?;
        writeln!(text, "enable_prefix_caching = {}", self.prefix_caching)?;
        writeln!(
            text,
            "scheduler_reserve_full_isl = {}
watermark = {:?}",
            self.reserve_full_isl, self.watermark
        )?;
        let optional = [
            ("max_num_active_seqs", self.max_num_active_seqs),
            ("max_num_scheduled_tokens", self.max_num_scheduled_tokens),
            ("max_num_queued_reqs", self.queued_reqs),
            ("max_num_queued_tokens", self.queued_tokens),
        ];
        for (flag, value) in optional {
            if let Some(value) = value {
                writeln!(text, "{flag} = {value}")?;
            }
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
