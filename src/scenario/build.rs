//! From a checked scenario to a world that can run.

use super::autoscalers::Autoscalers;
use super::experiment::Bill;
use super::input_error::InputError;
use super::rule::Rule;
use super::sensor::Targets;
use super::source_text::SourceText;
use super::world::Scenario;
use crate::monitoring::promql::{Query, Read};
use crate::monitoring::series::Retention;
use crate::monitoring::vllm_metrics::{MetricsRelease, Schema};
use crate::monitoring::{Keep, wal};
use crate::serving::engine::{EngineTiming, Stats};
use crate::serving::gateway::{GatewaySpec, WhenNoneReady};
use crate::simulation::{EngineKind, EngineSetup, MonitoringSetup, RequestPath, ServingSetup, Setup, Target};
use crate::units::SimDuration;
use crate::workload::Class;
use std::sync::Arc;

impl Scenario {
    /// The world of this scenario under `seed`, at its start.
    ///
    /// # Errors
    /// A query that is no PromQL or not supported, a selector that nothing can ever match, and whatever the workload
    /// finds in its files.
    pub fn setup(&self, seed: u64) -> Result<Setup, InputError> {
        let target = Target {
            namespace: self.target.namespace.clone(),
            deployment: self.target.deployment.clone(),
            model_name: self.target.model.clone(),
        };
        let mut warnings = self.model.warnings.clone();
        let schema = self.schema()?;
        let rules = self.rules()?;
        let targets = Targets::new(self, &target, schema.columns(), self.metrics_release()?, &rules);
        self.check_rules(&rules, &targets, &mut warnings)?;
        let mut autoscalers =
            Autoscalers { scenario: self, target: &target, targets: &targets, warnings: &mut warnings };
        let (autoscaling, wva) = (autoscalers.autoscaling()?, autoscalers.wva()?);
        let faults = self.faults(&targets, &mut warnings)?;
        let of_wva = wva.iter().flat_map(|wva| &wva.queries);
        let of_rules = rules.iter().flat_map(|group| group.rules.iter().map(|rule| &rule.query));
        let queries: Vec<&Query> = autoscaling.queries().into_iter().chain(of_wva).chain(of_rules).collect();
        warnings.extend(self.flow_control_warning(&queries));
        let (retention, keep) = (retention(&queries), Keep::read_by(queries.iter().copied()));
        let (exporters, all_exporters) = (targets.read_by(&queries), targets.exporters().clone());
        let step_time = self.model.step_time(&self.engine);
        let path = &self.model.request_path;
        Ok(Setup {
            seed,
            duration: self.duration,
            drain: self.drain,
            warmup: self.measure.warmup.duration(),
            tick: self.measure.timeline.duration(),
            epoch: self.start,
            target,
            workload: self.requests(seed)?,
            serving: ServingSetup {
                engine: EngineSetup {
                    kind: EngineKind::default(),
                    config: self.engine.clone(),
                    kv_blocks: self.kv_blocks,
                    step_time: Arc::new(step_time.map_err(|problem| self.locate(problem.under("model")))?),
                    timing: EngineTiming {
                        output_delay: path.output.duration(),
                        idle_penalty: path.idle_penalty.duration(),
                    },
                },
                request_path: RequestPath { input: path.input.duration() },
                gpus_per_pod: self.model.gpus(),
                initial_replicas: self.initial_replicas,
                startup: self.startup.clone(),
                nodes: self.serving.nodes.clone(),
                pod: self.serving.pod,
                router: self.serving.router,
                gateway: self.gateway(),
            },
            monitoring: MonitoringSetup {
                spec: self.monitoring.clone(),
                retention,
                keep,
                schema,
                faults,
                rules,
                exporters,
                all_exporters,
            },
            wva,
            autoscaling,
            warnings,
        })
    }

    /// The request classes, in the workload's order.
    ///
    /// # Errors
    /// What is wrong with the workload.
    pub fn classes(&self) -> Result<Vec<Class>, InputError> {
        Ok(self.own_requests(self.seed)?.classes().to_vec())
    }

    /// Names of the workload's sources, in its order.
    ///
    /// # Errors
    /// What is wrong with the workload.
    pub fn sources(&self) -> Result<Vec<String>, InputError> {
        Ok(self.own_requests(self.seed)?.sources().iter().map(|source| source.name.clone()).collect())
    }

    /// Price of one GPU for an hour.
    pub fn price_per_gpu_hour(&self) -> f64 {
        self.cost.price_per_gpu_hour.unwrap_or(self.model.price.per_gpu_hour)
    }

    /// What goes before an amount: the currency's sign, or its code.
    pub fn currency(&self) -> &str {
        self.cost.currency.as_deref().unwrap_or(match self.model.price.currency.as_str() {
            "USD" => "$",
            "EUR" => "€",
            "GBP" => "£",
            other => other,
        })
    }

    /// Whether nodes are billed, not the GPUs of pods.
    pub fn bills_nodes(&self) -> bool {
        self.cost.bill == Bill::Node
    }

    /// What serves, in a few words: `Llama-3.2-3B on A100-80GB`.
    pub fn model_title(&self) -> String {
        let gpus = self.model.tensor_parallel;
        let times = if gpus > 1 { format!("{gpus} x ") } else { String::new() };
        let publisher = &self.model.architecture.publisher;
        let name = publisher.rsplit('/').next().unwrap_or(publisher);
        format!("{name} on {times}{}", self.model.gpu.name)
    }

    /// What a careful colleague would say about reading a queue that nobody stands in.
    fn flow_control_warning(&self, queries: &[&Query]) -> Option<String> {
        let reads_queue = |query: &&Query| {
            let mut metrics = query.reads().iter().filter_map(Read::metric);
            metrics.any(|metric| metric.ends_with("_flow_control_queue_size"))
        };
        let when = match (self.serving.gateway.flow_control, self.serving.gateway.when_none_ready) {
            (Some(_), _) => return None,
            (None, WhenNoneReady::Hold) => "only while no pod is ready",
            (None, WhenNoneReady::Refuse) => "at no time",
        };
        queries.iter().any(reads_queue).then(|| {
            format!(
                "a query reads the queue of llm-d's flow control, and the gateway here holds requests {when}: \
                 set serving.gateway.flow_control where yours has it"
            )
        })
    }

    /// The release of vLLM whose metric names are exposed.
    fn metrics_release(&self) -> Result<MetricsRelease, InputError> {
        let version = self.monitoring.metrics_version.as_deref().unwrap_or(self.release.name());
        MetricsRelease::parse(version).map_err(|problem| self.locate(problem.under("monitoring")))
    }

    /// Under Knative the gateway is the activator, which holds what comes while no pod is ready.
    fn gateway(&self) -> GatewaySpec {
        match self.policy.rule {
            Rule::Knative(_) => GatewaySpec { when_none_ready: WhenNoneReady::Hold, ..self.serving.gateway },
            _ => self.serving.gateway,
        }
    }

    fn schema(&self) -> Result<Schema, InputError> {
        let fresh = Stats::new(&self.engine, self.kv_blocks);
        Ok(Schema::new(self.metrics_release()?, &self.target.model, &self.engine, self.kv_blocks, &fresh))
    }

    /// What the log of the run's series begins with.
    ///
    /// # Errors
    /// A release of vLLM whose metrics are not known.
    pub fn series_header(&self) -> Result<wal::Header, InputError> {
        Ok(wal::Header {
            start: self.start,
            options: self.monitoring.query_options(),
            metrics: self.metrics_release()?,
        })
    }

    /// The texts that the run was made from, by role, for copies beside its results.
    pub fn texts(&self) -> Vec<(&'static str, &Arc<SourceText>)> {
        let mut texts = vec![
            ("policy", self.policy.source()),
            ("experiment", &self.sources.experiment),
            ("model", &self.sources.model),
        ];
        if !self.sources.settings.text().is_empty() {
            texts.push(("settings", &self.sources.settings));
        }
        texts
    }
}

/// As long as any query looks back; all of it where a query fixes an instant.
fn retention(queries: &[&Query]) -> Retention {
    match queries.iter().map(|query| query.look_behind()).max().unwrap_or_default() {
        longest if longest > SimDuration::from_secs(400 * 24 * 3600 / 4) => Retention::All,
        // One minute more, for the second that KEDA cuts off and markers that come late.
        longest => Retention::Window(longest + SimDuration::from_secs(60)),
    }
}
