//! The scalers of KEDA that are simulated, and why others are not (`pkg/scaling/scalers_builder.go`, v2.20.2).

use super::cron_scaler::CronTrigger;
use super::prometheus_scaler::PrometheusTrigger;
use super::scaled_object::Trigger;
use super::version::KedaVersion;
use crate::autoscaling::hpa::{ExternalMetric, MetricTarget};
use crate::autoscaling::quantity::Quantity;
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::units::MilliValue;

/// A checked trigger.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaler {
    /// `prometheus`: the value of a query.
    Prometheus(PrometheusTrigger),
    /// `cron`: so many replicas between two times.
    Cron(CronTrigger),
}

/// The types that a trigger may have here.
const SIMULATED: &str = "`prometheus` and `cron`";

/// The other scalers of KEDA.
const OTHERS: [&str; 75] = [
    "activemq",
    "apache-kafka",
    "arangodb",
    "artemis-queue",
    "aws-cloudwatch",
    "aws-dynamodb",
    "aws-dynamodb-streams",
    "aws-kinesis-stream",
    "aws-sqs-queue",
    "azure-app-insights",
    "azure-blob",
    "azure-data-explorer",
    "azure-eventhub",
    "azure-log-analytics",
    "azure-monitor",
    "azure-pipelines",
    "azure-queue",
    "azure-servicebus",
    "beanstalkd",
    "cassandra",
    "couchdb",
    "cpu",
    "datadog",
    "dynatrace",
    "elastic-forecast",
    "elasticsearch",
    "etcd",
    "external",
    "external-mock",
    "external-push",
    "forgejo-runner",
    "gcp-cloudtasks",
    "gcp-pubsub",
    "gcp-stackdriver",
    "gcp-storage",
    "github-runner",
    "graphite",
    "huawei-cloudeye",
    "ibmmq",
    "influxdb",
    "kafka",
    "kubernetes-resource",
    "kubernetes-workload",
    "liiklus",
    "loki",
    "memory",
    "metrics-api",
    "mongodb",
    "mssql",
    "mysql",
    "nats-jetstream",
    "new-relic",
    "nsq",
    "opensearch",
    "openstack-metric",
    "openstack-swift",
    "postgresql",
    "predictkube",
    "pulsar",
    "rabbitmq",
    "redis",
    "redis-cluster",
    "redis-cluster-streams",
    "redis-sentinel",
    "redis-sentinel-streams",
    "redis-streams",
    "selenium-grid",
    "solace-direct-messaging",
    "solace-event-queue",
    "solarwinds",
    "solr",
    "splunk",
    "splunk-observability",
    "sumologic",
    "temporal",
];

impl Scaler {
    /// Reads a trigger.
    ///
    /// # Errors
    /// Every problem, by keys relative to the trigger: a type that is not simulated, and what its scaler refuses.
    pub fn parse(trigger: &Trigger, version: KedaVersion) -> Result<Self, Vec<Problem>> {
        match trigger.kind.as_str() {
            "prometheus" => PrometheusTrigger::parse(trigger, version).map(Scaler::Prometheus),
            "cron" => CronTrigger::parse(trigger, version).map(Scaler::Cron),
            other => Err(vec![refused(other)]),
        }
    }

    /// The query that it asks Prometheus, if it does.
    pub fn prometheus(&self) -> Option<&PrometheusTrigger> {
        match self {
            Scaler::Prometheus(trigger) => Some(trigger),
            Scaler::Cron(_) => None,
        }
    }

    /// Whether the HPA is served the last poll's record. Only a cron trigger may not ask for that.
    pub fn uses_cached_metrics(&self) -> bool {
        self.prometheus().is_some_and(|trigger| trigger.use_cached_metrics)
    }

    /// The name of the metric of the trigger with this index (`GenerateMetricNameWithIndex`).
    pub fn metric_name(&self, index: usize, version: KedaVersion) -> String {
        match self {
            Scaler::Prometheus(_) => format!("s{index}-prometheus"),
            Scaler::Cron(cron) => format!("s{index}-{}", cron.metric_name(version)),
        }
    }

    /// The target of the HPA's metric.
    pub fn target(&self, version: KedaVersion) -> MetricTarget {
        match self {
            Scaler::Prometheus(trigger) => trigger.target(version),
            Scaler::Cron(cron) => cron.target(),
        }
    }

    /// The metric of the trigger with this index, as the HPA has it where there are no modifiers.
    pub(super) fn metric(&self, index: usize, version: KedaVersion) -> ExternalMetric {
        ExternalMetric { name: self.metric_name(index, version), target: self.target(version) }
    }

    /// The text of that target, as it stands in the HPA.
    pub(super) fn target_text(&self, version: KedaVersion) -> String {
        match self {
            Scaler::Prometheus(trigger) => Quantity::from_float(trigger.threshold, version).to_string(),
            Scaler::Cron(_) => Quantity::from_milli(MilliValue(1000)).to_string(),
        }
    }

    /// What KEDA calls the trigger where it has no name: its Go type.
    pub(super) fn go_type(&self) -> &'static str {
        match self {
            Scaler::Prometheus(_) => "prometheusScaler",
            Scaler::Cron(_) => "cronScaler",
        }
    }
}

/// Why a trigger of this type is not simulated.
fn refused(kind: &str) -> Problem {
    let problem = |message: String| Problem::key("type", message);
    if kind.is_empty() {
        return problem("the trigger has no type".to_owned()).help(format!("use {SIMULATED}"));
    }
    if matches!(kind, "cpu" | "memory") {
        let message = format!(
            "trigger type `{kind}` is not simulated: nothing is known of the {kind} load of vLLM's pods"
        );
        return problem(message).help(
            "a GPU server's CPU and memory say little of its load; use `prometheus` with what vLLM itself tells, such as \
             vllm:num_requests_waiting, vllm:num_requests_running or vllm:kv_cache_usage_perc",
        );
    }
    if OTHERS.contains(&kind) {
        let message = format!("trigger type `{kind}` is not simulated: its source is not part of this world");
        return problem(message).help(format!("use {SIMULATED}"));
    }
    let message = format!("KEDA has no trigger type `{kind}`");
    match nearest(kind, ["prometheus", "cron"].into_iter().chain(OTHERS)) {
        Some(near) => problem(message).help(format!("did you mean `{near}`?")),
        None => problem(message).help(format!("use {SIMULATED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kind: &str) -> String {
        let trigger = Trigger { kind: kind.to_owned(), ..Trigger::default() };
        let problems = Scaler::parse(&trigger, KedaVersion::V2_20).expect_err("refused");
        assert_eq!(problems.len(), 1, "{kind}");
        problems[0].to_string()
    }

    #[test]
    fn what_is_not_simulated_says_why_and_what_is() {
        assert!(refusal("").contains("`prometheus` and `cron`"));
        for kind in ["cpu", "memory"] {
            let refusal = refusal(kind);
            assert!(refusal.contains(kind) && refusal.contains("vllm:num_requests_waiting"), "{refusal}");
        }
        assert!(refusal("kafka").contains("not part of this world (use `prometheus` and `cron`)"));
        assert_eq!(
            refusal("Prometeus"),
            "type: KEDA has no trigger type `Prometeus` (did you mean `prometheus`?)"
        );
        assert!(refusal("crn").contains("did you mean `cron`?"));
        assert!(OTHERS.is_sorted());
    }
}
