//! vLLM's `/metrics` page: which series a pod exposes under which names, and their values from the engine's numbers.
//!
//! Names change with vLLM's release, so [`Schema`] is made for one. Definitions do not follow: whatever the release,
//! the numbers are those of the simulated engine, 0.32. (That matters for `vllm:iteration_tokens_total` alone, which
//! counted cached prompt tokens too until 0.22.)

mod families;
mod release;

pub use release::MetricsRelease;

use super::keep::Keep;
use super::labels::{BUCKET_LABEL, Labels, METRIC_NAME, bucket_bound};
use crate::serving::engine::{EngineConfig, Stats};
use crate::units::{Blocks, UnixMillis};
use families::{FAMILIES, Family, Kind, NOT_SIMULATED, RENAMED};
use std::sync::Arc;

/// How every name begins.
const PREFIX: &str = "vllm:";

/// What the client library adds to a name.
const SUFFIXES: [&str; 6] = ["", "_total", "_bucket", "_count", "_sum", "_created"];

/// The series of one pod's page, in a fixed order of columns.
#[derive(Clone, Debug)]
pub struct Schema {
    families: Vec<Exposition>,
    columns: Arc<[Labels]>,
}

/// A family of the page.
#[derive(Clone, Debug)]
struct Exposition {
    family: &'static Family,
    /// By series of the family: whether it is a column.
    wanted: Box<[bool]>,
}

/// The value of a label while it is still a number.
enum LabelValue {
    Text(&'static str),
    /// The upper bound of a bucket.
    Bound(f64),
}

/// One series of a family: what is added to the family's name, its label beside the common ones, its value.
struct Exposed {
    suffix: &'static str,
    label: Option<(&'static str, LabelValue)>,
    value: f64,
}

impl Schema {
    /// The page of a server with one engine (`engine="0"`) that serves `model_name`. A fresh server's `stats` give the
    /// bounds of its histograms; `config` and `num_gpu_blocks`, the null block among them, are what
    /// `vllm:cache_config_info` says.
    pub fn new(
        release: MetricsRelease,
        model_name: &str,
        config: &EngineConfig,
        num_gpu_blocks: Blocks,
        stats: &Stats,
    ) -> Self {
        let mut families = Vec::new();
        let mut columns = Vec::new();
        for family in FAMILIES.iter().filter(|family| family.exposed_by(release)) {
            let first = columns.len();
            let of_server = matches!(family.kind, Kind::ServerCounterBy(..));
            expose(family, stats, 0.0, |series| {
                if matches!(family.kind, Kind::CacheConfigInfo) {
                    columns.push(cache_config_info(family.name, config, num_gpu_blocks));
                    return;
                }
                let name = format!("{PREFIX}{}{}", family.name, series.suffix);
                let mut pairs = vec![(METRIC_NAME, name), ("model_name", model_name.to_owned())];
                if !of_server {
                    pairs.push(("engine", "0".to_owned()));
                }
                pairs.extend(series.label.map(|(label, value)| (label, value.to_text())));
                columns.push(Labels::new(pairs));
            });
            families.push(Exposition { family, wanted: vec![true; columns.len() - first].into() });
        }
        Schema { families, columns: columns.into() }
    }

    /// The same page without the series that nobody wants. Filling it costs what the families cost that are left.
    #[must_use]
    pub fn kept(&self, keep: &Keep) -> Schema {
        let mut columns = self.columns.iter();
        let mut families = Vec::new();
        for Exposition { family, wanted } in &self.families {
            let wanted: Box<[bool]> =
                wanted.iter().map(|&had| had && columns.next().is_some_and(|own| keep.wants(own))).collect();
            if wanted.contains(&true) {
                families.push(Exposition { family, wanted });
            }
        }
        Schema { families, columns: self.columns.iter().filter(|own| keep.wants(own)).cloned().collect() }
    }

    /// The series, each with its metric's name and its own labels, without those of the target.
    pub fn columns(&self) -> &Arc<[Labels]> {
        &self.columns
    }

    /// Makes `page` the page of an engine with these numbers, whose process began at `created`: one value a column.
    pub fn fill(&self, stats: &Stats, created: UnixMillis, page: &mut Vec<f64>) {
        page.clear();
        page.reserve(self.columns.len());
        let created = created.0 as f64 / 1000.0;
        for Exposition { family, wanted } in &self.families {
            let mut wanted = wanted.iter();
            expose(family, stats, created, |series| {
                if wanted.next() == Some(&true) {
                    page.push(series.value);
                }
            });
        }
        debug_assert_eq!(page.len(), self.columns.len(), "the bounds of histograms do not change");
    }
}

/// Calls `each` with the series of a family in the order of the page.
fn expose(family: &Family, stats: &Stats, created: f64, mut each: impl FnMut(Exposed)) {
    let mut series = |suffix, label, value| each(Exposed { suffix, label, value });
    match family.kind {
        Kind::Gauge(number) => series("", None, number(stats)),
        Kind::GaugeBy(label, values) => {
            for (text, number) in values {
                series("", Some((label, LabelValue::Text(text))), number(stats));
            }
        }
        Kind::Counter(number) => {
            series("_total", None, number(stats));
            series("_created", None, created);
        }
        Kind::CounterBy(label, values) | Kind::ServerCounterBy(label, values) => {
            for (text, number) in values {
                series("_total", Some((label, LabelValue::Text(text))), number(stats));
            }
            for (text, _) in values {
                series("_created", Some((label, LabelValue::Text(text))), created);
            }
        }
        Kind::Histogram(buckets) => {
            let buckets = buckets(stats);
            buckets.each(|bound, count| {
                series("_bucket", Some((BUCKET_LABEL, LabelValue::Bound(bound))), count)
            });
            let (count, sum) = buckets.count_and_sum();
            series("_bucket", Some((BUCKET_LABEL, LabelValue::Bound(f64::INFINITY))), count);
            series("_count", None, count);
            series("_sum", None, sum);
            series("_created", None, created);
        }
        Kind::CacheConfigInfo => series("", None, 1.0),
    }
}

impl LabelValue {
    fn to_text(&self) -> String {
        match self {
            LabelValue::Text(text) => (*text).to_owned(),
            LabelValue::Bound(bound) => bucket_bound(*bound),
        }
    }
}

/// `vllm:cache_config_info`: the fields of 0.32's `CacheConfig` as Python writes them. Other releases have other
/// fields, which no autoscaling query reads; `num_gpu_blocks` and `block_size` are in all.
fn cache_config_info(name: &str, config: &EngineConfig, num_gpu_blocks: Blocks) -> Labels {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "None".to_owned());
    let boolean = |value: bool| if value { "True" } else { "False" }.to_owned();
    let block_size = config.block_size.to_string();
    let tokens = u64::from(num_gpu_blocks.get()) * u64::from(config.block_size.get());
    let longest = config.blocks_of(config.max_model_len).get().max(1);
    let concurrency = f64::from(num_gpu_blocks.get()) / f64::from(longest);
    let computed = [
        (METRIC_NAME, format!("{PREFIX}{name}")),
        ("block_size", block_size.clone()),
        ("effective_attention_block_size", block_size),
        ("enable_prefix_caching", boolean(config.enable_prefix_caching)),
        ("engine", "0".to_owned()),
        ("gpu_memory_utilization", format!("{:?}", config.gpu_memory_utilization)),
        ("kv_cache_max_concurrency", format!("{concurrency:?}")),
        ("kv_cache_memory_bytes", or_none(config.kv_cache_memory_bytes.map(|bytes| bytes.to_string()))),
        ("kv_cache_size_tokens", tokens.to_string()),
        ("num_gpu_blocks", num_gpu_blocks.to_string()),
        ("num_gpu_blocks_override", or_none(config.num_gpu_blocks_override.map(|blocks| blocks.to_string()))),
    ];
    let fixed = [
        ("_block_size_resolved", "True"),
        ("cache_dtype", "auto"),
        ("cache_hit_alignment_tokens", "None"),
        ("enable_mamba_shared_prefix_checkpoint", "False"),
        ("hash_block_size", "None"),
        ("is_attention_free", "False"),
        ("kv_cache_dtype_skip_layers", "[]"),
        ("kv_cache_layout", "None"),
        ("kv_offloading_backend", "native"),
        ("kv_offloading_size", "None"),
        ("kv_sharing_fast_prefill", "False"),
        ("mamba_block_size", "None"),
        ("mamba_cache_dtype", "auto"),
        ("mamba_cache_mode", "none"),
        ("mamba_page_size_padded", "None"),
        ("mamba_ssm_cache_dtype", "float32"),
        ("num_cpu_blocks", "None"),
        ("prefix_cache_retention_interval", "0"),
        ("prefix_caching_hash_algo", "sha256"),
        ("prefix_match_unit", "None"),
        ("replayssm_buffer_len", "16"),
        ("skip_page_size_padded", "None"),
        ("sliding_window", "None"),
        ("swa_bounded_replay", "True"),
        ("use_kda_recoverssm", "False"),
        ("use_replayssm", "False"),
        ("user_specified_block_size", "False"),
    ];
    Labels::new(computed.into_iter().chain(fixed.map(|(name, value)| (name, value.to_owned()))))
}

/// Why a pod of `release` has no series called `metric` although vLLM knows the name: which releases have it, what took
/// its place, or that nothing here produces it. `None` for a name that vLLM never had.
pub fn why_missing(metric: &str, release: MetricsRelease) -> Option<String> {
    let name = metric.strip_prefix(PREFIX)?;
    let mut bare = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix).map(|bare| (bare, *suffix)));
    let found = bare.find_map(|(bare, suffix)| {
        FAMILIES.iter().find(|family| family.name == bare).map(|family| (family, suffix))
    });
    if let Some((family, suffix)) = found {
        if family.exposed_by(release) {
            return None;
        }
        let when = match family.until {
            Some(until) if until <= release => format!("vLLM {until} dropped `{metric}`"),
            _ => format!("vLLM has `{metric}` since {}", family.since),
        };
        let other = RENAMED.iter().find_map(|&(old, new)| match family.name {
            name if name == old => Some(new),
            name if name == new => Some(old),
            _ => None,
        });
        return Some(match other {
            Some(other) => format!("{when}; {release} calls it `{PREFIX}{other}{suffix}`"),
            None => format!("{when}, not in {release}"),
        });
    }
    let (_, why) = NOT_SIMULATED.iter().find(|(begins, _)| name.starts_with(begins))?;
    Some(format!("`{metric}` is never exposed here: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::engine::{EngineArgs, GpuClass, ModelLimits};
    use crate::units::{SimDuration, Tokens};
    use std::collections::BTreeSet;

    /// The server that the pages were recorded from.
    fn config() -> EngineConfig {
        let args = EngineArgs {
            max_num_seqs: Some(32),
            max_num_batched_tokens: Some(512),
            block_size: Some(32),
            num_gpu_blocks_override: Some(129),
            ..EngineArgs::default()
        };
        let gpu = GpuClass { memory_bytes: 80 << 30, name: "A100-80GB".to_owned() };
        args.resolve(&gpu, &ModelLimits { max_model_len: Tokens(4096) }).expect("the server started")
    }

    fn schema(release: &str) -> (Schema, Stats) {
        let config = config();
        let stats = Stats::new(&config, Blocks(128));
        let release = MetricsRelease::parse(release).expect("a release");
        (Schema::new(release, "tiny", &config, Blocks(129), &stats), stats)
    }

    fn names(release: &str) -> BTreeSet<String> {
        schema(release).0.columns.iter().map(|labels| labels.get(METRIC_NAME).to_owned()).collect()
    }

    #[test]
    fn names_follow_the_release() {
        for (release, has, lacks) in [
            ("0.8.5", "gpu_cache_usage_perc", "kv_cache_usage_perc"),
            ("0.10.2", "gpu_prefix_cache_hits_total", "request_num_preemptions_count"),
            ("0.10.2", "kv_cache_usage_perc", "external_prefix_cache_hits_total"),
            ("0.11", "request_time_per_output_token_seconds_count", "gpu_cache_usage_perc"),
            ("0.11.2", "time_per_output_token_seconds_bucket", "request_prefill_kv_computed_tokens_sum"),
            ("0.12", "inter_token_latency_seconds_bucket", "time_per_output_token_seconds_bucket"),
            ("0.30", "request_num_preemptions_bucket", "admission_rejections_total"),
            ("0.32", "admission_rejections_total", "gpu_prefix_cache_queries_total"),
        ] {
            let names = names(release);
            assert!(names.contains(&format!("vllm:{has}")), "{release} has {has}");
            assert!(!names.contains(&format!("vllm:{lacks}")), "{release} lacks {lacks}");
        }
    }

    #[test]
    fn a_page_has_one_value_a_column_and_they_are_the_engines() {
        let (schema, mut stats) = schema("0.32");
        stats.num_requests_running = 3;
        stats.num_requests_waiting_capacity = 2;
        stats.num_requests_waiting_deferred = 1;
        stats.kv_cache_free = Blocks(32);
        stats.prompt_tokens = 100;
        stats.prompt_tokens_cached = 40;
        stats.time_to_first_token.observe(SimDuration::from_millis(50));
        let mut page = vec![9.0];
        schema.fill(&stats, UnixMillis(1_700_000_000_500), &mut page);
        assert_eq!(page.len(), schema.columns.len());
        let value = |name: &str, label: &str, text: &str| {
            let mut found = schema.columns.iter().zip(&page).filter(|(labels, _)| {
                labels.get(METRIC_NAME) == format!("vllm:{name}")
                    && (label.is_empty() || labels.get(label) == text)
            });
            let value = *found.next().expect(name).1;
            assert!(found.next().is_none(), "{name} is one series");
            value
        };
        assert_eq!(value("num_requests_running", "", ""), 3.0);
        assert_eq!(value("num_requests_waiting", "", ""), 3.0);
        assert_eq!(value("num_requests_waiting_by_reason", "reason", "deferred"), 1.0);
        assert_eq!(value("kv_cache_usage_perc", "", ""), 0.75);
        assert_eq!(value("prompt_tokens_by_source_total", "source", "local_compute"), 60.0);
        assert_eq!(value("prompt_tokens_created", "", ""), 1_700_000_000.5);
        assert_eq!(value("time_to_first_token_seconds_bucket", "le", "0.04"), 0.0);
        assert_eq!(value("time_to_first_token_seconds_bucket", "le", "0.06"), 1.0);
        assert_eq!(value("time_to_first_token_seconds_bucket", "le", "+Inf"), 1.0);
        assert_eq!(value("time_to_first_token_seconds_sum", "", ""), 0.05);
        assert_eq!(value("cache_config_info", "", ""), 1.0);
    }

    #[test]
    fn what_is_kept_of_a_page_has_the_values_that_it_had_on_the_whole_page() {
        use crate::monitoring::promql::{Query, QueryOptions};
        let (whole, mut stats) = schema("0.32");
        stats.num_requests_running = 3;
        stats.request_success.length = 5;
        stats.time_to_first_token.observe(SimDuration::from_millis(50));
        let (mut page, mut kept_page) = (Vec::new(), Vec::new());
        whole.fill(&stats, UnixMillis(1_700_000_000_500), &mut page);
        for (query, count) in [
            ("vector(1)", 0),
            ("vllm:num_requests_running{pod='a'} + vllm:num_requests_running", 1),
            ("vllm:request_success_total{finished_reason=~'stop|length'} / vllm:cache_config_info", 3),
            ("vllm:time_to_first_token_seconds_bucket", 23),
            ("{__name__=~'vllm:.*_(created|sum)'}", 57),
            ("{engine=~'.+'}", whole.columns.len()),
        ] {
            let keep = Keep::read_by([&Query::compile(query, QueryOptions::default()).expect(query)]);
            // What is kept can be kept again.
            let kept = whole.kept(&keep).kept(&keep);
            kept.fill(&stats, UnixMillis(1_700_000_000_500), &mut kept_page);
            let expected: Vec<(&Labels, &f64)> =
                whole.columns.iter().zip(&page).filter(|(own, _)| keep.wants(own)).collect();
            assert_eq!(kept.columns.iter().zip(&kept_page).collect::<Vec<_>>(), expected, "{query}");
            assert_eq!(kept.columns.len(), count, "{query}");
        }
    }

    #[test]
    fn a_missing_metric_is_explained_with_its_new_or_old_name() {
        let why = |metric, release| why_missing(metric, MetricsRelease::parse(release).expect("a release"));
        let said = |metric, release, part: &str| {
            let why = why(metric, release).expect("explained");
            assert!(why.contains(part), "{why}");
        };
        said("vllm:gpu_cache_usage_perc", "0.32", "0.32 calls it `vllm:kv_cache_usage_perc`");
        said("vllm:kv_cache_usage_perc", "0.8.5", "0.8.5 calls it `vllm:gpu_cache_usage_perc`");
        said(
            "vllm:time_per_output_token_seconds_bucket",
            "0.20",
            "`vllm:inter_token_latency_seconds_bucket`",
        );
        said("vllm:admission_rejections_total", "0.20", "since 0.32");
        said("vllm:num_requests_swapped", "0.32", "V0");
        said("vllm:spec_decode_num_drafts_total", "0.32", "speculative");
        assert_eq!(why("vllm:num_requests_waiting", "0.32"), None);
        assert_eq!(why("vllm:nothing", "0.32"), None);
        assert_eq!(why("up", "0.32"), None);
    }

    /// Families of the recorded pages that the simulation does not produce.
    const OUT_OF_SCOPE: [&str; 6] = [
        "http_",
        "process_",
        "python_",
        "vllm:estimated_flops",
        "vllm:estimated_read",
        "vllm:estimated_write",
    ];

    /// `name{label,…}` of a line of a page, with `le` where it is a bucket; label values else do not count.
    fn series(line: &str) -> Option<String> {
        let (name, rest) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap_or_default(), "}"));
        let out = line.starts_with('#') || OUT_OF_SCOPE.iter().any(|begins| name.starts_with(begins));
        let labels: Vec<&str> =
            rest.rsplit_once('}')?.0.split("\",").map(|pair| pair.trim_end_matches('"')).collect();
        let shown = labels.iter().filter(|pair| !pair.is_empty()).map(|pair| {
            let (label, value) = pair.split_once("=\"").expect("a label");
            let telling =
                ["le", "reason", "finished_reason", "source", "sleep_state", "engine"].contains(&label);
            if telling { format!("{label}={value}") } else { label.to_owned() }
        });
        (!out).then(|| format!("{name}{{{}}}", shown.collect::<Vec<_>>().join(",")))
    }

    #[test]
    fn a_page_of_0_32_has_exactly_the_recorded_series() {
        let (schema, _) = schema("0.32");
        let ours: BTreeSet<String> = schema
            .columns
            .iter()
            .map(|labels| {
                let name = labels.get(METRIC_NAME);
                let pairs = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
                let text =
                    pairs.map(|(label, value)| format!("{label}=\"{value}\"")).collect::<Vec<_>>().join(",");
                series(&format!("{name}{{{text}}} 0.0")).expect("ours are in scope")
            })
            .collect();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/vllm");
        for page in ["metrics_page.txt", "metrics_page_heavy.txt", "metrics_page_idle.txt"] {
            let text = std::fs::read_to_string(folder.join(page)).expect("the recorded page");
            let theirs: BTreeSet<String> = text.lines().filter_map(series).collect();
            assert!(theirs.len() > 300, "{page} was read");
            let (missing, invented): (Vec<_>, Vec<_>) =
                (theirs.difference(&ours).collect(), ours.difference(&theirs).collect());
            assert!(
                missing.is_empty() && invented.is_empty(),
                "{page}: missing {missing:?}, invented {invented:?}"
            );
        }
    }

    #[test]
    fn cache_config_info_says_what_the_recorded_server_said() {
        let config = EngineConfig { kv_cache_memory_bytes: Some(1 << 30), ..config() };
        let labels = cache_config_info("cache_config_info", &config, Blocks(129));
        for (label, value) in [
            ("num_gpu_blocks", "129"),
            ("kv_cache_size_tokens", "4128"),
            ("kv_cache_max_concurrency", "1.0078125"),
            ("kv_cache_memory_bytes", "1073741824"),
            ("num_gpu_blocks_override", "129"),
            ("gpu_memory_utilization", "0.92"),
            ("enable_prefix_caching", "True"),
            ("sliding_window", "None"),
        ] {
            assert_eq!(labels.get(label), value, "{label}");
        }
    }
}
