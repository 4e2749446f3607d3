//! From a policy's rule to the loops that a world runs: every query compiled and held against the series there will be.

use super::input_error::InputError;
use super::rule::Rule;
use super::sensor::Targets;
use super::world::Scenario;
use crate::autoscaling::aibrix::{self, PodAutoscaler, PodAutoscalerSpec};
use crate::autoscaling::hpa::{HorizontalPodAutoscalerSpec, HpaSpec, HpaStatus, MetricNames};
use crate::autoscaling::keda::{
    Annotations, KedaOperator, ObjectNames, PrometheusTrigger, ScaledObjectSpec, Scaler, validate,
};
use crate::autoscaling::knative::KnativeSpec;
use crate::autoscaling::wva::{self, WvaSpec};
use crate::monitoring::promql::Query;
use crate::problem::Problem;
use crate::simulation::{AibrixSetup, Autoscaling, HpaSetup, KedaSetup, KnativeSetup, Target, WvaSetup};
use crate::units::{Replicas, SimTime};

/// The metadata key of a trigger's query.
const QUERY: &str = "query";

/// Makes the loops of one scenario.
pub(super) struct Autoscalers<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) target: &'a Target,
    pub(super) targets: &'a Targets,
    /// What should be said once the run is over.
    pub(super) warnings: &'a mut Vec<String>,
}

impl Autoscalers<'_> {
    /// Who decides about the number of replicas.
    ///
    /// # Errors
    /// A query that is no PromQL or not supported, or a selector that nothing can ever match.
    pub(super) fn autoscaling(&mut self) -> Result<Autoscaling, InputError> {
        let scenario = self.scenario;
        Ok(match &scenario.policy.rule {
            Rule::Static(_) => Autoscaling::Static,
            Rule::Schedule(schedule) => Autoscaling::Schedule(schedule.clone()),
            Rule::ScaledObject(spec) => Autoscaling::Keda(Box::new(self.keda(spec)?)),
            Rule::Hpa(spec) => Autoscaling::Hpa(Box::new(self.hpa(spec)?)),
            Rule::Knative(spec) => Autoscaling::Knative(Box::new(self.knative(spec))),
            Rule::Aibrix(spec) => Autoscaling::Aibrix(Box::new(self.aibrix(spec)?)),
            Rule::Wva(spec) => Autoscaling::Hpa(Box::new(self.follower(spec)?)),
        })
    }

    /// The Workload Variant Autoscaler, where there is one.
    ///
    /// # Errors
    /// As [`Autoscalers::autoscaling`].
    pub(super) fn wva(&mut self) -> Result<Option<WvaSetup>, InputError> {
        let Some(spec) = &self.scenario.policy.wva else { return Ok(None) };
        let texts = wva::queries(&self.target.namespace, &self.target.model_name);
        let mut queries = Vec::with_capacity(texts.len());
        for text in &texts {
            queries.push(self.compile("wva", text, "the WVA's query")?);
        }
        let Ok(queries) = <[Query; 2]>::try_from(queries) else { return Ok(None) };
        Ok(Some(WvaSetup {
            config: spec.config(),
            queries,
            query_latency: self.scenario.monitoring.query_latency.duration(),
        }))
    }

    fn keda(&mut self, spec: &ScaledObjectSpec) -> Result<KedaSetup, InputError> {
        let scenario = self.scenario;
        let policy = &scenario.policy;
        let annotations = Annotations::of(&policy.annotations).map_err(|problem| policy.locate(problem))?;
        let names = ObjectNames {
            namespace: self.target.namespace.clone(),
            name: policy.object_name().to_owned(),
            deployment: self.target.deployment.clone(),
        };
        let (version, flags, start) = (scenario.keda, &scenario.hpa, scenario.start);
        let operator = KedaOperator::new(names, spec, annotations, version, flags, SimTime::ZERO, start);
        // What the checks of the policy let through, the operator takes.
        let operator = operator.map_err(|problems| self.first(problems, "KEDA"))?;
        self.warnings.extend(validate::warnings(spec, annotations, version, start));
        let mut queries = Vec::new();
        for (index, scaler) in operator.scalers().iter().enumerate() {
            queries.push(match scaler {
                Scaler::Prometheus(trigger) => Some(self.trigger(index, trigger)?),
                Scaler::Cron(_) => None,
            });
        }
        self.warnings.extend(zero_warning(spec, &queries, self.targets));
        Ok(KedaSetup {
            polling_interval: spec.polling_interval(),
            query_latency: scenario.monitoring.query_latency.duration(),
            operator,
            queries,
        })
    }

    fn trigger(&mut self, index: usize, trigger: &PrometheusTrigger) -> Result<Query, InputError> {
        if let Some(namespace) =
            trigger.namespace.as_ref().filter(|namespace| **namespace != self.target.namespace)
        {
            // Thanos Querier's tenancy port adds the namespace to every selector.
            let problem = Problem::whole(format!(
                "every selector is limited to namespace {namespace:?}, where nothing runs"
            ))
            .help(format!("the workload is in {:?}", self.target.namespace));
            return Err(self.scenario.policy.locate_metadata(index, "namespace", problem));
        }
        let key = format!("scaled_object.triggers.{index}.metadata.{QUERY}");
        self.compile(&key, &trigger.query, &format!("trigger s{index}-prometheus"))
    }

    fn hpa(&mut self, spec: &HorizontalPodAutoscalerSpec) -> Result<HpaSetup, InputError> {
        let resolved =
            spec.resolve(&self.scenario.hpa).map_err(|problems| self.first(problems, "the API server"))?;
        let mut queries = Vec::new();
        for (index, metric) in spec.metrics.iter().enumerate() {
            let text = metric.query.as_deref().unwrap_or_default();
            queries.push(self.compile(
                &format!("hpa.metrics.{index}.query"),
                text,
                &format!("metric {index}"),
            )?);
        }
        Ok(self.hpa_setup(resolved, queries))
    }

    /// The HPA that follows the WVA.
    fn follower(&mut self, spec: &WvaSpec) -> Result<HpaSetup, InputError> {
        self.warnings.extend(spec.warnings());
        let resolved = spec.hpa(&self.scenario.hpa);
        let resolved = resolved.map_err(|problem| self.scenario.policy.locate(problem.under("wva")))?;
        let Target { namespace, deployment, .. } = self.target;
        let text = format!(
            "{}{{variant_name=\"{deployment}\",exported_namespace=\"{namespace}\"}}",
            wva::DESIRED_REPLICAS
        );
        let query = self.compile("wva", &text, "the HPA's query")?;
        Ok(self.hpa_setup(resolved, vec![query]))
    }

    fn hpa_setup(&self, spec: HpaSpec, queries: Vec<Query>) -> HpaSetup {
        let status = HpaStatus::new(MetricNames::plain(&self.target.namespace, &spec));
        let query_latency = self.scenario.monitoring.query_latency.duration();
        HpaSetup { spec, status, queries, query_latency }
    }

    fn knative(&mut self, spec: &KnativeSpec) -> KnativeSetup {
        if spec.container_concurrency() > 0 {
            self.warnings.push(
                "container_concurrency shapes the autoscaler's target; that the queue-proxy holds back requests beyond it \
                 is not simulated"
                    .to_owned(),
            );
        }
        KnativeSetup {
            spec: spec.clone(),
            ready_pods: self.scenario.initial_replicas,
            programming_delay: self.scenario.serving.pod.endpoint_delay.duration(),
        }
    }

    fn aibrix(&mut self, spec: &PodAutoscalerSpec) -> Result<AibrixSetup, InputError> {
        let autoscaler = PodAutoscaler::new(spec).map_err(|problems| self.first(problems, "AIBrix"))?;
        self.warnings.extend(aibrix::validate::warnings(spec));
        let families: Vec<Option<&'static str>> =
            spec.metrics_sources.iter().map(|source| aibrix::engine_metric(&source.target_metric)).collect();
        for (source, family) in spec.metrics_sources.iter().zip(&families) {
            if !family.is_some_and(|family| self.targets.pods_expose(family)) {
                self.warnings.push(format!(
                    "{} is not on the pages of this vLLM: AIBrix reads 0 at all times",
                    source.target_metric
                ));
            }
        }
        Ok(AibrixSetup { autoscaler, families })
    }

    /// Compiles a query of the policy and holds its selectors against the series that this world will have. `who` asks it.
    fn compile(&mut self, key: &str, text: &str, who: &str) -> Result<Query, InputError> {
        let scenario = self.scenario;
        let at = |problem: Problem| scenario.policy.locate_text(key, problem);
        let query = Query::compile(text, scenario.monitoring.query_options()).map_err(at)?;
        let findings = self.targets.check(&query).map_err(at)?;
        self.warnings.extend(findings.into_iter().map(|warning| format!("{who}: {warning}")));
        Ok(query)
    }

    /// The error for the first of several problems.
    fn first(&self, problems: Vec<Problem>, who: &str) -> InputError {
        let refused = || Problem::whole(format!("{who} refuses this policy"));
        self.scenario.policy.locate(problems.into_iter().next().unwrap_or_else(refused))
    }
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
