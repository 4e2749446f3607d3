//! From a checked scenario to a world that can run.

use super::experiment::Bill;
use super::input_error::InputError;
use super::policy::Rule;
use super::sensor::Targets;
use super::source_text::SourceText;
use super::world::Scenario;
use crate::autoscaling::keda::{
    Annotations, KedaOperator, ObjectNames, PrometheusTrigger, ScaledObjectSpec, Scaler, validate,
};
use crate::monitoring::promql::{Query, QueryOptions, Read};
use crate::monitoring::series::Retention;
use crate::monitoring::vllm_metrics::{MetricsRelease, Schema};
use crate::problem::Problem;
use crate::serving::engine::{EngineTiming, Stats};
use crate::serving::gateway::WhenNoneReady;
use crate::simulation::{
    Autoscaling, EngineSetup, KedaSetup, MonitoringSetup, RequestPath, ServingSetup, Setup, Target,
};
use crate::units::{Replicas, SimDuration, SimTime};
use crate::workload::Class;
use std::sync::Arc;

/// The metadata key of a trigger's query.
const QUERY: &str = "query";

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
        let autoscaling = self.autoscaling(&target, &targets, &mut warnings)?;
        let faults = self.faults(&targets, &mut warnings)?;
        let of_rules = rules.iter().flat_map(|group| group.rules.iter().map(|rule| &rule.query));
        let queries: Vec<&Query> = autoscaling.queries().into_iter().chain(of_rules).collect();
        warnings.extend(self.flow_control_warning(&queries));
        let (retention, exporters) = (retention(&queries), targets.read_by(&queries));
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
                gateway: self.serving.gateway,
            },
            monitoring: MonitoringSetup {
                spec: self.monitoring.clone(),
                retention,
                schema,
                faults,
                rules,
                exporters,
            },
            wva: None,
            autoscaling,
            warnings,
        })
    }

    /// The request classes, in the workload's order.
    ///
    /// # Errors
    /// What is wrong with the workload.
    pub fn classes(&self) -> Result<Vec<Class>, InputError> {
        Ok(self.requests(self.seed)?.classes().to_vec())
    }

    /// Names of the workload's sources, in its order.
    ///
    /// # Errors
    /// What is wrong with the workload.
    pub fn sources(&self) -> Result<Vec<String>, InputError> {
        Ok(self.requests(self.seed)?.sources().iter().map(|source| source.name.clone()).collect())
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

    /// What a careful colleague would say about scaling to zero.
    fn zero_warning(spec: &ScaledObjectSpec, queries: &[Option<Query>], targets: &Targets) -> Option<String> {
        let smallest = spec.idle_replica_count.map_or(spec.min_replicas(), Replicas);
        let from_pods =
            |query: &Option<Query>| query.as_ref().is_some_and(|query| targets.only_pods_expose(query));
        (smallest == Replicas::ZERO && queries.iter().all(from_pods)).then(|| {
            "at zero replicas nothing scales up again: every trigger reads metrics that only a running pod exposes"
                .to_owned()
        })
    }

    /// The release of vLLM whose metric names are exposed.
    fn metrics_release(&self) -> Result<MetricsRelease, InputError> {
        let version = self.monitoring.metrics_version.as_deref().unwrap_or(self.release.name());
        MetricsRelease::parse(version).map_err(|problem| self.locate(problem.under("monitoring")))
    }

    fn schema(&self) -> Result<Schema, InputError> {
        let fresh = Stats::new(&self.engine, self.kv_blocks);
        Ok(Schema::new(self.metrics_release()?, &self.target.model, &self.engine, self.kv_blocks, &fresh))
    }

    fn autoscaling(
        &self,
        target: &Target,
        targets: &Targets,
        warnings: &mut Vec<String>,
    ) -> Result<Autoscaling, InputError> {
        let spec = match &self.policy.rule {
            Rule::Static(_) => return Ok(Autoscaling::Static),
            Rule::Schedule(schedule) => return Ok(Autoscaling::Schedule(schedule.clone())),
            Rule::ScaledObject(spec) => spec,
        };
        let annotations =
            Annotations::of(&self.policy.annotations).map_err(|problem| self.policy.locate(problem))?;
        let names = ObjectNames {
            namespace: target.namespace.clone(),
            name: self.policy.object_name().to_owned(),
            deployment: target.deployment.clone(),
        };
        let operator =
            KedaOperator::new(names, spec, annotations, self.keda, &self.hpa, SimTime::ZERO, self.start);
        // What the checks of the policy let through, the operator takes.
        let operator = operator.map_err(|problems| {
            let first =
                problems.into_iter().next().unwrap_or_else(|| Problem::whole("KEDA refuses this policy"));
            self.policy.locate(first)
        })?;
        warnings.extend(validate::warnings(spec, annotations, self.keda, self.start));
        let mut queries = Vec::new();
        for (index, scaler) in operator.scalers().iter().enumerate() {
            queries.push(match scaler {
                Scaler::Prometheus(trigger) => Some(self.query(index, trigger, target, targets, warnings)?),
                Scaler::Cron(_) => None,
            });
        }
        warnings.extend(Self::zero_warning(spec, &queries, targets));
        Ok(Autoscaling::Keda(Box::new(KedaSetup {
            polling_interval: spec.polling_interval(),
            query_latency: self.monitoring.query_latency.duration(),
            operator,
            queries,
        })))
    }

    /// Compiles the query of a trigger and holds its selectors against the series that this world will have.
    fn query(
        &self,
        index: usize,
        trigger: &PrometheusTrigger,
        target: &Target,
        targets: &Targets,
        warnings: &mut Vec<String>,
    ) -> Result<Query, InputError> {
        let at = |problem: Problem| self.policy.locate_metadata(index, QUERY, problem);
        let query = Query::compile(&trigger.query, self.query_options()).map_err(at)?;
        if let Some(namespace) =
            trigger.namespace.as_ref().filter(|namespace| **namespace != target.namespace)
        {
            // Thanos Querier's tenancy port adds the namespace to every selector.
            let problem = Problem::whole(format!(
                "every selector is limited to namespace {namespace:?}, where nothing runs"
            ))
            .help(format!("the workload is in {:?}", target.namespace));
            return Err(self.policy.locate_metadata(index, "namespace", problem));
        }
        let findings = targets.check(&query).map_err(at)?;
        warnings
            .extend(findings.into_iter().map(|warning| format!("trigger s{index}-prometheus: {warning}")));
        Ok(query)
    }

    /// What a query of this world means beside its text.
    pub(super) fn query_options(&self) -> QueryOptions {
        QueryOptions {
            release: self.monitoring.prometheus,
            evaluation_interval: self.monitoring.evaluation_interval.duration(),
        }
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
