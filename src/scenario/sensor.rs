//! What this world's Prometheus will have: the targets and their series, against which every query is held.

use super::world::Scenario;
use crate::monitoring::dcgm::{DcgmMetrics, Gpu};
use crate::monitoring::epp_metrics::{Endpoint, EppMetrics, View};
use crate::monitoring::exposition::Page;
use crate::monitoring::faults::Fault;
use crate::monitoring::kube_state_metrics;
use crate::monitoring::labels::{Labels, METRIC_NAME};
use crate::monitoring::never_match::{self, Exposed};
use crate::monitoring::promql::Query;
use crate::monitoring::router_metrics::{RouterMetrics, Server};
use crate::monitoring::rules::Group;
use crate::monitoring::vllm_metrics::MetricsRelease;
use crate::monitoring::wva_metrics::WvaMetrics;
use crate::problem::Problem;
use crate::serving::ingress_stats::{Finished, IngressStats};
use crate::serving::nodes::Nodes;
use crate::simulation::{Exporters, Target};
use crate::units::{Replicas, SimDuration, Tokens};
use std::sync::Arc;

/// All targets that there can be.
pub(super) struct Targets {
    kinds: Vec<Kind>,
    exporters: Exporters,
    release: MetricsRelease,
    recorded: Vec<Recorded>,
}

/// A recording rule.
struct Recorded {
    name: String,
    query: Query,
    /// Whether all that it reads comes from pods.
    of_pods: bool,
}

/// Targets of one kind, by examples.
struct Kind {
    which: Which,
    columns: Arc<[Labels]>,
    targets: Vec<Labels>,
    examples: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Pods,
    KubeStateMetrics,
    Epp,
    Router,
    Dcgm,
    Wva,
}

impl Kind {
    fn exposed(&self) -> Exposed<'_> {
        Exposed { columns: &self.columns, targets: self.targets.clone(), examples: self.examples }
    }
}

impl Targets {
    /// The targets of the world of `scenario`, whose pods expose `columns` under the names of `release`, and whose
    /// Prometheus has these rules.
    pub(super) fn new(
        scenario: &Scenario,
        target: &Target,
        columns: &Arc<[Labels]>,
        release: MetricsRelease,
        rules: &[Group],
    ) -> Self {
        let Target { namespace, deployment, model_name } = target;
        let (spec, reader) = (&scenario.monitoring, scenario.monitoring.prometheus);
        let gpu = &scenario.model.gpu.name;
        let epp = EppMetrics::new(
            namespace,
            deployment,
            model_name,
            scenario.serving.gateway.flow_control.unwrap_or_default(),
            reader,
        );
        let router = RouterMetrics::new(namespace, deployment, model_name, scenario.start);
        let dcgm = DcgmMetrics::new(&spec.dcgm, namespace, Target::CONTAINER, gpu);
        let pods = never_match::example_pod_names(deployment);
        let node = Nodes::name(0);
        let mut kinds = vec![
            Kind {
                which: Which::Pods,
                columns: Arc::clone(columns),
                targets: pods.iter().map(|pod| target.labels_of(pod, 0, &node)).collect(),
                examples: &["pod", "instance", "node"],
            },
            Kind {
                which: Which::KubeStateMetrics,
                columns: kube_state_metrics::columns(namespace, deployment).into(),
                targets: vec![kube_state_metrics::target_labels()],
                examples: &[],
            },
            Kind {
                which: Which::Epp,
                columns: series(&epp_example(epp.clone(), &pods)),
                targets: vec![epp.target_labels()],
                examples: &["endpoint_name", "model_server_endpoint", "model_server_pod"],
            },
            Kind {
                which: Which::Router,
                columns: series(&router_example(&router)),
                targets: vec![router.target_labels()],
                examples: &["server"],
            },
            Kind {
                which: Which::Dcgm,
                columns: series(&dcgm_example(&dcgm, &node, &pods)),
                targets: vec![DcgmMetrics::target_labels(&node, 0)],
                examples: &["pod", "exported_pod", "instance", "node", "Hostname", "UUID", "gpu", "device"],
            },
        ];
        let wva = scenario.policy.wva.as_ref().map(|_| WvaMetrics::new(namespace, deployment, gpu));
        kinds.extend(wva.as_ref().map(|wva| Kind {
            which: Which::Wva,
            columns: series(&wva.page(Some(Replicas(1)), Replicas(1))),
            targets: vec![WvaMetrics::target_labels()],
            examples: &[],
        }));
        let exporters = Exporters { epp: Some(epp), router: Some(router), dcgm: Some(dcgm), wva };
        let rules = rules.iter().flat_map(|group| &group.rules);
        let recorded = rules.map(|rule| Recorded {
            name: rule.record.clone(),
            query: rule.query.clone(),
            of_pods: true,
        });
        let mut targets = Targets { kinds, exporters, release, recorded: recorded.collect() };
        // Rules may read each other, in a circle too: what is wrong about one may make others wrong.
        while let Some(other) =
            targets.recorded.iter().position(|rule| rule.of_pods && !targets.only_pods_expose(&rule.query))
        {
            targets.recorded[other].of_pods = false;
        }
        targets
    }

    /// Holds the selectors of a query against the series; the answer is what should be warned of.
    ///
    /// # Errors
    /// A selector on a metric that is here and that no series can match.
    pub(super) fn check(&self, query: &Query) -> Result<Vec<String>, Problem> {
        let exposed: Vec<Exposed<'_>> = self.kinds.iter().map(Kind::exposed).collect();
        let recorded: Vec<&str> = self.recorded.iter().map(|rule| rule.name.as_str()).collect();
        never_match::check(query, &exposed, &recorded, self.release)
    }

    /// Whether all that the query reads comes from pods, through recording rules too: without one it finds nothing. `up` and
    /// its like do not count.
    pub(super) fn only_pods_expose(&self, query: &Query) -> bool {
        let exposes =
            |kind: &Kind, metric: &str| kind.columns.iter().any(|column| column.get(METRIC_NAME) == metric);
        let of_pods = |metric: &str| {
            let mut recorded = self.recorded.iter().filter(|rule| rule.name == metric).peekable();
            match recorded.peek() {
                Some(_) => recorded.all(|rule| rule.of_pods),
                None => self.kinds.iter().all(|kind| exposes(kind, metric) == (kind.which == Which::Pods)),
            }
        };
        !query.reads().is_empty() && query.reads().iter().all(|read| read.metric().is_some_and(of_pods))
    }

    /// Whether pods have this family on their pages.
    pub(super) fn pods_expose(&self, family: &str) -> bool {
        let mut pods = self.kinds.iter().filter(|kind| kind.which == Which::Pods);
        pods.any(|kind| kind.columns.iter().any(|column| column.get(METRIC_NAME) == family))
    }

    /// Whether the fault is about any target that there can be.
    pub(super) fn has_target_of(&self, fault: &Fault) -> bool {
        let is_pod = |kind: &Kind| kind.which == Which::Pods;
        self.kinds.iter().any(|kind| kind.targets.iter().any(|labels| fault.is_about(labels, is_pod(kind))))
    }

    /// The values of `job` on all targets.
    pub(super) fn jobs(&self) -> Vec<&str> {
        self.kinds.iter().filter_map(|kind| Some(kind.targets.first()?.get("job"))).collect()
    }

    /// All exporters, read or not.
    pub(super) fn exporters(&self) -> &Exporters {
        &self.exporters
    }

    /// The exporters of which one of the queries reads something.
    pub(super) fn read_by(&self, queries: &[&Query]) -> Exporters {
        let is_read = |which: Which| {
            let mut kinds = self.kinds.iter().filter(|kind| kind.which == which);
            kinds.any(|kind| {
                let exposed = kind.exposed();
                queries.iter().any(|query| never_match::reads(query, &exposed))
            })
        };
        let Exporters { epp, router, dcgm, wva } = self.exporters.clone();
        Exporters {
            epp: epp.filter(|_| is_read(Which::Epp)),
            router: router.filter(|_| is_read(Which::Router)),
            dcgm: dcgm.filter(|_| is_read(Which::Dcgm)),
            wva: wva.filter(|_| is_read(Which::Wva)),
        }
    }
}

fn series(page: &Page) -> Arc<[Labels]> {
    page.series().iter().map(|(labels, _)| labels.clone()).collect()
}

/// Traffic in which everything has happened once.
fn traffic() -> IngressStats {
    let mut stats = IngressStats::default();
    stats.received = 2;
    stats.routed(0, Tokens(1), SimDuration::ZERO);
    stats.refused(SimDuration::ZERO);
    stats.finished(Finished {
        pod: 0,
        ttft: SimDuration::ZERO,
        e2e: SimDuration::ZERO,
        input_tokens: Tokens(1),
        output_tokens: Tokens(2),
    });
    stats
}

/// On a copy: an example must leave no trace in the exporter itself.
fn epp_example(mut epp: EppMetrics, pods: &[String]) -> Page {
    let names = pods.iter().map(String::as_str);
    let endpoints: Vec<Endpoint<'_>> = names.map(|name| Endpoint { name, ..Endpoint::default() }).collect();
    epp.page(View { stats: &traffic(), held: 0, in_flight: 1, endpoints: &endpoints })
}

fn router_example(router: &RouterMetrics) -> Page {
    let (stats, address) = (traffic(), Target::address_of(0));
    router.page(1, &[Server { address, traffic: stats.pod(0), in_flight: 1, discovered: true }])
}

fn dcgm_example(dcgm: &DcgmMetrics, node: &str, pods: &[String]) -> Page {
    let held = pods.iter().map(|pod| Gpu { pod: Some(pod.as_str()), utilization: Some(0) });
    dcgm.page(node, held.chain([Gpu { pod: None, utilization: Some(0) }]))
}
