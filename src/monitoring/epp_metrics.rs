//! What llm-d's endpoint picker (EPP) says at `/metrics`: the gateway's side of the service.
//!
//! Names, labels and definitions are those of llm-d-router 0.11: `pkg/epp/metrics/llm_d_router_metrics.go`, the
//! in-flight load producer (`pkg/epp/framework/plugins/requestcontrol/dataproducer/inflightload`), the utilization
//! detector (`.../flowcontrol/saturationdetector/utilization`) and the pool's gauges (`pkg/epp/datalayer/logger`). Where the
//! Gateway API inference extension knows a metric by another name, which llm-d still exposes, both are here.
//!
//! There is one model, one flow and one priority. What depends on plugins that are not simulated (predicted latencies,
//! prefix index), on bytes, or on the EPP's own processing time is left out.

use super::exposition::Page;
use super::labels::Labels;
use super::promql::Release;
use crate::serving::flow_control::{FlowControlSpec, PodLoad};
use crate::serving::ingress_stats::IngressStats;

/// How every name begins.
const PREFIX: &str = "llm_d_epp_";

/// The flow of requests that name none (`pkg/epp/metadata/consts.go`).
const FAIRNESS_ID: &str = "default-flow";
/// The priority of requests without an objective.
const PRIORITY: &str = "0";
/// The name of the producer of in-flight load where its configuration gives none.
const PRODUCER: &str = "inflight-load-producer";

/// A pod of the pool, as the EPP sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Endpoint<'a> {
    /// The pod's name.
    pub name: &'a str,
    /// Its creation ordinal.
    pub ordinal: u32,
    /// `vllm:num_requests_waiting`.
    pub waiting: u32,
    /// `vllm:num_requests_running`.
    pub running: u32,
    /// `vllm:kv_cache_usage_perc`.
    pub kv_cache_usage: f64,
    /// Requests that were routed to it and have not ended.
    pub in_flight: u32,
}

/// The state of the service that a page shows.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the gateway counted.
    pub stats: &'a IngressStats,
    /// Requests that it holds.
    pub held: u64,
    /// Requests that were routed and have not ended, at pods that are no endpoints any more too.
    pub in_flight: u64,
    /// The pool, in order of creation.
    pub endpoints: &'a [Endpoint<'a>],
}

/// One endpoint picker.
#[derive(Clone, Debug)]
pub struct EppMetrics {
    namespace: String,
    deployment: String,
    model_name: String,
    thresholds: FlowControlSpec,
    reader: Release,
    /// The pool's means while it had a pod last: without one nothing refreshes them.
    means: Option<Means>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Means {
    kv_cache: Spread,
    queue: Spread,
    running: Spread,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    std_dev: f64,
}

impl EppMetrics {
    /// The EPP of the pool of this Deployment, whose detector has these thresholds; `reader` is the Prometheus that scrapes it.
    pub fn new(
        namespace: &str,
        deployment: &str,
        model_name: &str,
        thresholds: FlowControlSpec,
        reader: Release,
    ) -> Self {
        EppMetrics {
            namespace: namespace.to_owned(),
            deployment: deployment.to_owned(),
            model_name: model_name.to_owned(),
            thresholds,
            reader,
            means: None,
        }
    }

    /// The labels of the EPP's own target: its Service is called after the pool, as llm-d's charts do.
    pub fn target_labels(&self) -> Labels {
        let service = format!("{}-epp", self.deployment);
        let pod = format!("{service}-0");
        Labels::new([
            ("namespace", self.namespace.as_str()),
            ("job", &service),
            ("service", &service),
            ("pod", &pod),
            ("container", "epp"),
            ("endpoint", "http-metrics"),
            ("instance", "10.0.0.3:9090"),
        ])
    }

    /// The page. Series that the EPP makes when it first has something to count are not there before.
    pub fn page(&mut self, view: View<'_>) -> Page {
        let mut page = Page::of_go(self.reader);
        self.requests(&mut page, view);
        self.pool(&mut page, view);
        self.flow_control(&mut page, view);
        self.in_flight(&mut page, view);
        page
    }

    /// The labels of a flow.
    fn flow(&self) -> [(&str, &str); 4] {
        [
            ("model_name", &self.model_name),
            ("target_model_name", &self.model_name),
            ("fairness_id", FAIRNESS_ID),
            ("priority", PRIORITY),
        ]
    }

    fn requests(&self, page: &mut Page, view: View<'_>) {
        let (stats, flow) = (view.stats, self.flow());
        let models = &flow[..2];
        if stats.dispatched > 0 {
            page.push("llm_d_epp_request_total", &flow, stats.dispatched as f64);
            let objective = [flow[0], flow[1], flow[3]];
            page.push("inference_objective_request_total", &objective, stats.dispatched as f64);
            page.push("llm_d_epp_request_running", &flow, view.in_flight as f64);
            page.push("inference_objective_running_requests", &models[..1], view.in_flight as f64);
        }
        if stats.refused > 0 {
            let code = ("error_code", "ServiceUnavailable");
            let labels = [&flow[..], &[code]].concat();
            page.push("llm_d_epp_request_error_total", &labels, stats.refused as f64);
            let labels = [models, &[code]].concat();
            page.push("inference_objective_request_error_total", &labels, stats.refused as f64);
        }
        if stats.e2e.count() > 0 {
            let streaming = [&flow[..], &[("streaming", "true")]].concat();
            page.push_histogram("llm_d_epp_request_ttft_seconds", &streaming, &stats.ttft);
            page.push_histogram("llm_d_epp_request_duration_seconds", &flow, &stats.e2e);
            page.push_histogram("llm_d_epp_request_ntpot_seconds", &flow, &stats.normalized_tpot);
            page.push_histogram("llm_d_epp_request_input_tokens", &flow, &stats.input_tokens);
            page.push_histogram("llm_d_epp_request_output_tokens", &flow, &stats.output_tokens);
        }
        if stats.tpot.count() > 0 {
            page.push_histogram("llm_d_epp_request_streaming_tpot_seconds", &flow, &stats.tpot);
        }
    }

    fn pool(&mut self, page: &mut Page, view: View<'_>) {
        let ready = view.endpoints.len() as f64;
        if !view.endpoints.is_empty() {
            self.means = Some(Means::of(view.endpoints));
        }
        let name = [("name", self.deployment.as_str())];
        page.push("llm_d_epp_ready_endpoints", &name, ready);
        page.push("inference_pool_ready_pods", &name, ready);
        if let Some(means) = &self.means {
            for (metric, spread) in [
                ("kv_cache_utilization", means.kv_cache),
                ("queue_size", means.queue),
                ("running_requests", means.running),
            ] {
                page.push(&format!("{PREFIX}average_{metric}"), &name, spread.mean);
                page.push(&format!("inference_pool_average_{metric}"), &name, spread.mean);
                page.push(&format!("{PREFIX}std_dev_{metric}"), &name, spread.std_dev);
            }
        }
        for endpoint in view.endpoints {
            let waiting = f64::from(endpoint.waiting);
            let labels = [name[0], ("model_server_endpoint", endpoint.name)];
            page.push("llm_d_epp_per_endpoint_queue_size", &labels, waiting);
            page.push(
                "inference_pool_per_pod_queue_size",
                &[name[0], ("model_server_pod", endpoint.name)],
                waiting,
            );
        }
    }

    fn flow_control(&self, page: &mut Page, view: View<'_>) {
        let load = |endpoint: &Endpoint<'_>| PodLoad {
            waiting: endpoint.waiting,
            kv_cache_usage: endpoint.kv_cache_usage,
        };
        let saturation = self.thresholds.saturation(view.endpoints.iter().map(load));
        // Pods that prefill and decode are the pool of both stages; an empty stage has no series.
        let stages =
            if view.endpoints.is_empty() { &["effective"][..] } else { &["prefill", "decode", "effective"] };
        let pool = ("inference_pool", self.deployment.as_str());
        for prefix in [PREFIX, "inference_extension_"] {
            for stage in stages {
                let labels = [pool, ("stage", stage)];
                page.push(&format!("{prefix}flow_control_pool_saturation"), &labels, saturation);
            }
            if view.stats.received > 0 {
                let labels = [&self.flow()[..], &[pool]].concat();
                page.push(&format!("{prefix}flow_control_queue_size"), &labels, view.held as f64);
            }
        }
        if view.stats.dispatched > 0 {
            let labels = [("outcome", "Dispatched"), ("priority", PRIORITY), pool];
            page.push("llm_d_epp_flow_control_requests_total", &labels, view.stats.dispatched as f64);
        }
    }

    /// The in-flight load producer's gauges: tokens of prompts of which no first token was seen. The label `namespace` of
    /// the page gives way to the target's.
    fn in_flight(&self, page: &mut Page, view: View<'_>) {
        for endpoint in view.endpoints {
            let traffic = view.stats.pod(endpoint.ordinal);
            if traffic.dispatched == 0 {
                continue;
            }
            let labels = [
                ("endpoint_name", endpoint.name),
                ("exported_namespace", &self.namespace),
                ("producer_name", PRODUCER),
            ];
            page.push("llm_d_epp_inflight_requests", &labels, f64::from(endpoint.in_flight));
            page.push("llm_d_epp_inflight_tokens", &labels, traffic.prefill_tokens as f64);
        }
    }
}

impl Means {
    fn of(endpoints: &[Endpoint<'_>]) -> Self {
        Means {
            kv_cache: Spread::of(endpoints, |endpoint| endpoint.kv_cache_usage),
            queue: Spread::of(endpoints, |endpoint| endpoint.waiting.into()),
            running: Spread::of(endpoints, |endpoint| endpoint.running.into()),
        }
    }
}

impl Spread {
    /// Mean and sample standard deviation, each rounded to two places (`calculateSummary`).
    fn of(endpoints: &[Endpoint<'_>], number: impl Fn(&Endpoint<'_>) -> f64) -> Self {
        let size = endpoints.len() as f64;
        let mean = endpoints.iter().map(&number).sum::<f64>() / size;
        let squares: f64 = endpoints.iter().map(|endpoint| number(endpoint) - mean).map(|d| d * d).sum();
        let two_places = |value: f64| (value * 100.0).round() / 100.0;
        Spread { mean: two_places(mean), std_dev: two_places((squares / (size - 1.0).max(1.0)).sqrt()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::labels::METRIC_NAME;
    use crate::units::{SimDuration, Tokens};

    fn epp() -> EppMetrics {
        EppMetrics::new("llm", "llama", "m", FlowControlSpec::default(), Release::V3_5)
    }

    fn endpoint(name: &str, ordinal: u32, waiting: u32, kv_cache_usage: f64) -> Endpoint<'_> {
        Endpoint { name, ordinal, waiting, running: 4, kv_cache_usage, in_flight: 6 }
    }

    /// The values of a metric, by the values of its labels in order of their names.
    fn values(page: &Page, metric: &str) -> Vec<(String, f64)> {
        let named = page.series().iter().filter(|(labels, _)| labels.get(METRIC_NAME) == metric);
        let telling = |labels: &Labels| {
            let pairs = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
            pairs.map(|(_, value)| value.to_owned()).collect::<Vec<_>>().join(" ")
        };
        named.map(|(labels, value)| (telling(labels), *value)).collect()
    }

    #[test]
    fn at_zero_replicas_the_gateway_still_speaks_and_the_pools_means_stand_still() {
        let mut epp = epp();
        let mut stats = IngressStats::default();
        let endpoints = [endpoint("llama-0", 0, 2, 0.5), endpoint("llama-1", 1, 5, 0.1)];
        stats.received = 1;
        stats.routed(0, Tokens(70), SimDuration::ZERO);
        let page = epp.page(View { stats: &stats, held: 0, in_flight: 1, endpoints: &endpoints });
        assert_eq!(values(&page, "llm_d_epp_average_queue_size"), [("llama".to_owned(), 3.5)]);
        assert_eq!(values(&page, "llm_d_epp_std_dev_queue_size"), [("llama".to_owned(), 2.12)]);
        assert_eq!(values(&page, "inference_pool_average_kv_cache_utilization"), [("llama".to_owned(), 0.3)]);
        let stages = values(&page, "llm_d_epp_flow_control_pool_saturation");
        assert_eq!(
            stages.iter().map(|stage| stage.0.as_str()).collect::<Vec<_>>(),
            ["llama prefill", "llama decode", "llama effective"]
        );

        let page = epp.page(View { stats: &stats, held: 3, in_flight: 1, endpoints: &[] });
        assert_eq!(values(&page, "llm_d_epp_ready_endpoints"), [("llama".to_owned(), 0.0)]);
        assert_eq!(values(&page, "llm_d_epp_average_queue_size"), [("llama".to_owned(), 3.5)]);
        assert_eq!(
            values(&page, "llm_d_epp_flow_control_pool_saturation"),
            [("llama effective".to_owned(), 1.0)]
        );
        let held = [("default-flow llama m 0 m".to_owned(), 3.0)];
        assert_eq!(values(&page, "llm_d_epp_flow_control_queue_size"), held);
        assert_eq!(values(&page, "inference_extension_flow_control_queue_size"), held);
        assert_eq!(values(&page, "llm_d_epp_request_running"), [("default-flow m 0 m".to_owned(), 1.0)]);
        assert_eq!(values(&page, "llm_d_epp_inflight_tokens"), []);
    }

    #[test]
    fn in_flight_tokens_are_those_of_prompts_without_a_first_token() {
        let mut stats = IngressStats::default();
        stats.routed(1, Tokens(700), SimDuration::ZERO);
        stats.routed(1, Tokens(40), SimDuration::ZERO);
        let endpoints = [endpoint("llama-0", 0, 0, 0.0), endpoint("llama-1", 1, 0, 0.0)];
        let tokens = |stats: &IngressStats| {
            let page = epp().page(View { stats, held: 0, in_flight: 2, endpoints: &endpoints });
            values(&page, "llm_d_epp_inflight_tokens")
        };
        // A pod that nothing went to has no series.
        assert_eq!(tokens(&stats), [("llama-1 llm inflight-load-producer".to_owned(), 740.0)]);
        stats.prefilled(1, Tokens(700));
        assert_eq!(tokens(&stats), [("llama-1 llm inflight-load-producer".to_owned(), 40.0)]);
    }

    #[test]
    fn an_epp_that_has_seen_nothing_shows_only_its_pool() {
        let page =
            epp().page(View { stats: &IngressStats::default(), held: 0, in_flight: 0, endpoints: &[] });
        let names: Vec<&str> = page.series().iter().map(|(labels, _)| labels.get(METRIC_NAME)).collect();
        assert_eq!(
            names,
            [
                "llm_d_epp_ready_endpoints",
                "inference_pool_ready_pods",
                "llm_d_epp_flow_control_pool_saturation",
                "inference_extension_flow_control_pool_saturation"
            ]
        );
    }
}
