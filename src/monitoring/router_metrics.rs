//! What the router of vLLM's production stack says at `/metrics`.
//!
//! Names and labels are those of vllm-project/production-stack, `src/vllm_router/services/metrics_service/__init__.py`
//! and `routers/metrics_router.py`; the counters are set in `services/request_service/request.py`. The router counts what
//! it receives, whether a pod is there or not, so its counters can wake a service that sleeps.
//!
//! Two things are left out: means over its sliding windows (`vllm:current_qps`, `vllm:avg_latency`, `vllm:avg_itl`, ...),
//! and what it repeats of its engines under their own names (`vllm:num_requests_running` with a label `server`, the prefix
//! cache's counters), which would make a bare `sum(vllm:num_requests_running)` count twice.

use super::exposition::Page;
use super::labels::Labels;
use crate::serving::ingress_stats::PodTraffic;
use crate::units::UnixMillis;

/// A pod, as the router knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where it listens: `10.128.0.2:8080`.
    pub address: String,
    /// What went to it.
    pub traffic: PodTraffic,
    /// Requests that were routed to it and have not ended.
    pub in_flight: u32,
    /// Whether service discovery lists it.
    pub discovered: bool,
}

/// One router.
#[derive(Clone, Debug)]
pub struct RouterMetrics {
    namespace: String,
    deployment: String,
    model_name: String,
    /// When its process began, seconds since 1970: before the run.
    created: f64,
}

impl RouterMetrics {
    /// The router in front of this Deployment; its counters begin at `created`.
    pub fn new(namespace: &str, deployment: &str, model_name: &str, created: UnixMillis) -> Self {
        RouterMetrics {
            namespace: namespace.to_owned(),
            deployment: deployment.to_owned(),
            model_name: model_name.to_owned(),
            created: created.0 as f64 / 1000.0,
        }
    }

    /// The labels of the router's own target.
    pub fn target_labels(&self) -> Labels {
        let service = format!("{}-router-service", self.deployment);
        let pod = format!("{}-router-0", self.deployment);
        Labels::new([
            ("namespace", self.namespace.as_str()),
            ("job", &service),
            ("service", &service),
            ("pod", &pod),
            ("container", "router-container"),
            ("endpoint", "router-sport"),
            ("instance", "10.0.0.4:8000"),
        ])
    }

    /// The page, after `received` requests; `servers` are those that are discovered or were sent a request, in order of
    /// creation.
    pub fn page(&self, received: u64, servers: &[Server]) -> Page {
        let mut page = Page::new();
        let model = [("model", self.model_name.as_str())];
        if received > 0 {
            page.push("vllm:num_incoming_requests_total", &model, received as f64);
            page.push("vllm:num_incoming_requests_created", &model, self.created);
        }
        for server in servers {
            let url = format!("http://{}", server.address);
            let own = [("server", url.as_str())];
            let traffic = &server.traffic;
            if server.discovered {
                page.push("vllm:healthy_pods_total", &own, 1.0);
            }
            if traffic.dispatched > 0 {
                let prefilling = traffic.prefilling;
                page.push("vllm:num_prefill_requests", &own, prefilling.into());
                page.push(
                    "vllm:num_decoding_requests",
                    &own,
                    server.in_flight.saturating_sub(prefilling).into(),
                );
            }
            if traffic.finished > 0 {
                let labels = [own[0], model[0]];
                page.push("vllm:input_tokens_total", &labels, traffic.input_tokens as f64);
                page.push("vllm:output_tokens_total", &labels, traffic.output_tokens as f64);
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::labels::METRIC_NAME;

    #[test]
    fn it_counts_what_it_receives_with_or_without_pods() {
        let router = RouterMetrics::new("llm", "llama", "m", UnixMillis(5000));
        assert_eq!(router.page(0, &[]), Page::new());
        let shown: Vec<String> =
            router.page(7, &[]).series().iter().map(|(labels, value)| format!("{labels} {value}")).collect();
        assert_eq!(
            shown,
            [
                r#"{__name__="vllm:num_incoming_requests_total", model="m"} 7"#,
                r#"{__name__="vllm:num_incoming_requests_created", model="m"} 5"#
            ]
        );
    }

    #[test]
    fn requests_at_a_server_prefill_or_decode() {
        let traffic = PodTraffic {
            dispatched: 9,
            prefilling: 2,
            finished: 4,
            input_tokens: 30,
            output_tokens: 60,
            ..PodTraffic::default()
        };
        let server =
            Server { address: "10.128.0.2:8080".to_owned(), traffic, in_flight: 5, discovered: false };
        let page = RouterMetrics::new("llm", "llama", "m", UnixMillis(0)).page(9, &[server]);
        let value = |name: &str| {
            let found = page.series().iter().find(|(labels, _)| labels.get(METRIC_NAME) == name)?;
            assert_eq!(found.0.get("server"), "http://10.128.0.2:8080");
            Some(found.1)
        };
        assert_eq!(value("vllm:num_prefill_requests"), Some(2.0));
        assert_eq!(value("vllm:num_decoding_requests"), Some(3.0));
        assert_eq!(value("vllm:output_tokens_total"), Some(60.0));
        // It is on its way out: only what goes on at it is shown.
        assert_eq!(value("vllm:healthy_pods_total"), None);
    }
}
