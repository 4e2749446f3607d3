//! `status` of an HPA and its events, as `kubectl describe hpa` shows them (`pkg/controller/podautoscaler/horizontal.go`,
//! v1.28, and `pkg/printers/internalversion/printers.go` for the column TARGETS of `kubectl get hpa`).

use super::conditions::{Condition, Reason};
use super::metrics::Proposal;
use super::reconcile::{Decision, Path};
use super::spec::{HpaSpec, Metric, MetricTarget};
use crate::autoscaling::describe::{self, DescribedCondition, DescribedEvent, EventType};
use crate::autoscaling::go;
use crate::autoscaling::quantity::Quantity;
use crate::units::{MilliValue, Replicas, SimTime};
use serde::Serialize;

/// The status as the last sync left it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HpaStatus {
    /// `currentReplicas`: `spec.replicas` of the target as the sync found it.
    pub current_replicas: Replicas,
    /// `desiredReplicas`.
    pub desired_replicas: Replicas,
    /// `lastScaleTime`: seconds since the start of the run.
    #[serde(rename = "last_scale_time_s", serialize_with = "describe::as_seconds")]
    pub last_scale_time: Option<SimTime>,
    /// `currentMetrics`: one entry for each metric of the spec, empty where the status has none for it.
    pub current_metrics: Vec<CurrentMetric>,
    /// `conditions`: `AbleToScale`, `ScalingActive`, `ScalingLimited`, as far as they were set.
    pub conditions: Vec<DescribedCondition>,
    #[serde(skip)]
    names: MetricNames,
}

/// One metric of the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CurrentMetric {
    /// Name of the metric.
    pub name: String,
    /// `current.averageValue`, for a target of type `AverageValue`: the usage over `status.replicas`, rounded up to the
    /// thousandth.
    pub average_value: Option<String>,
    /// `current.value`, for a target of type `Value`.
    pub value: Option<String>,
    /// As `kubectl get hpa` shows it: `1334m/21 (avg)`.
    pub targets: String,
}

/// How the metrics of an HPA are named in its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricNames {
    /// Namespace of the HPA.
    pub namespace: String,
    /// The label that each external metric's selector asks for, and its value; `None` without a selector.
    pub selector: Option<(&'static str, String)>,
    /// The texts of the targets, in the order of the spec.
    pub targets: Vec<String>,
}

impl MetricNames {
    /// The names of an HPA in `namespace` whose metrics have no selector.
    pub fn plain(namespace: &str, spec: &HpaSpec) -> Self {
        let text = |metric: &Metric| match metric.target() {
            MetricTarget::AverageValue(milli) | MetricTarget::Value(milli) => {
                Quantity::from_milli(milli).to_string()
            }
        };
        let targets = spec.metrics.iter().map(text).collect();
        MetricNames { namespace: namespace.to_owned(), selector: None, targets }
    }
}

impl HpaStatus {
    /// The status of an HPA that was not synced yet.
    pub fn new(names: MetricNames) -> Self {
        HpaStatus {
            current_replicas: Replicas::ZERO,
            desired_replicas: Replicas::ZERO,
            last_scale_time: None,
            current_metrics: Vec::new(),
            conditions: Vec::new(),
            names,
        }
    }

    /// Condition `ScalingActive`, once it is set.
    pub fn scaling_active(&self) -> Option<&DescribedCondition> {
        self.condition("ScalingActive")
    }

    /// Takes over a sync that ended at `now`, and tells which events it recorded.
    pub fn observe(&mut self, spec: &HpaSpec, decision: &Decision, now: SimTime) -> Vec<DescribedEvent> {
        let failed = decision.path == Path::MetricsFailed;
        self.current_replicas = decision.spec_replicas;
        if !failed {
            self.desired_replicas = decision.desired_replicas;
        }
        if !failed || spec.flags.kubernetes.shows_failed_metrics() {
            self.current_metrics = self.metrics(spec, decision);
        }
        if decision.rescaled {
            self.last_scale_time = Some(now);
        }
        self.conditions = self.described(decision);
        self.events(decision)
    }

    fn condition(&self, kind: &str) -> Option<&DescribedCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// `statuses` of `computeReplicasForMetrics`; a sync that decides without metrics leaves none.
    fn metrics(&self, spec: &HpaSpec, decision: &Decision) -> Vec<CurrentMetric> {
        let current = |(index, target): (usize, &String)| {
            let metric = &spec.metrics[index];
            let proposal = decision.metrics.get(index).filter(|proposal| proposal.error.is_none());
            let usage = proposal.and_then(|proposal| proposal.usage_milli);
            let text = |milli| Quantity::from_milli(milli).to_string();
            let (average_value, value) = match metric.target() {
                MetricTarget::AverageValue(_) => {
                    // Of a pods metric the usage is the mean already.
                    let one = |usage| match metric {
                        Metric::External(_) => per_replica(usage, decision.status_replicas),
                        Metric::Pods(_) => usage,
                    };
                    (usage.map(one).map(text), None)
                }
                MetricTarget::Value(_) => (None, usage.map(text)),
            };
            let shown = average_value.as_ref().or(value.as_ref()).map_or("<unknown>", String::as_str);
            let shared = if matches!(metric.target(), MetricTarget::AverageValue(_)) { " (avg)" } else { "" };
            CurrentMetric {
                targets: format!("{shown}/{target}{shared}"),
                name: metric.name().to_owned(),
                average_value,
                value,
            }
        };
        self.names.targets.iter().enumerate().take(spec.metrics.len()).map(current).collect()
    }

    fn described(&self, decision: &Decision) -> Vec<DescribedCondition> {
        let conditions = decision.conditions;
        // A sync that decides by the size alone leaves what the last one said about the metrics.
        let kept = matches!(decision.path, Path::AboveMax | Path::BelowMin)
            .then(|| self.condition("ScalingActive").cloned())
            .flatten();
        let row = |kind, condition: Option<Condition>| {
            let condition = condition?;
            Some(DescribedCondition {
                kind,
                status: if condition.status { "True" } else { "False" },
                reason: format!("{:?}", condition.reason),
                message: self.message(condition.reason, decision),
            })
        };
        let rows = [
            row("AbleToScale", conditions.able_to_scale),
            kept.or_else(|| row("ScalingActive", conditions.scaling_active)),
            row("ScalingLimited", conditions.scaling_limited),
        ];
        rows.into_iter().flatten().collect()
    }

    /// What the controller writes beside a reason.
    fn message(&self, reason: Reason, decision: &Decision) -> String {
        let text = match reason {
            Reason::SucceededGetScale => "the HPA controller was able to get the target's current scale",
            Reason::ReadyForNewScale => "recommended size matches current size",
            Reason::ScaleUpStabilized => {
                "recent recommendations were lower than current one, applying the lowest recent recommendation"
            }
            Reason::ScaleDownStabilized => {
                "recent recommendations were higher than current one, applying the highest recent recommendation"
            }
            Reason::SucceededRescale => {
                let to = decision.desired_replicas;
                return format!("the HPA controller was able to update the target scale to {to}");
            }
            Reason::ValidMetricFound => {
                let metric = self.proposer(decision);
                return format!("the HPA was able to successfully calculate a replica count from {metric}");
            }
            Reason::ScalingDisabled => "scaling is disabled since the replica count of the target is zero",
            Reason::FailedGetExternalMetric | Reason::FailedGetPodsMetric => {
                let first = decision.metrics.iter().find_map(|metric| self.error(metric)).unwrap_or_default();
                return format!("the HPA was unable to compute the replica count: {first}");
            }
            Reason::DesiredWithinRange => "the desired count is within the acceptable range",
            Reason::TooManyReplicas => "the desired replica count is more than the maximum replica count",
            Reason::TooFewReplicas => "the desired replica count is less than the minimum replica count",
            Reason::ScaleUpLimit => {
                "the desired replica count is increasing faster than the maximum scale rate"
            }
            Reason::ScaleDownLimit => {
                "the desired replica count is decreasing faster than the maximum scale rate"
            }
        };
        text.to_owned()
    }

    fn events(&self, decision: &Decision) -> Vec<DescribedEvent> {
        let event = |kind, reason, message| DescribedEvent { kind, reason, message };
        let failed = |metric: &Proposal| {
            let reason = match metric.metric {
                Metric::External(_) => "FailedGetExternalMetric",
                Metric::Pods(_) => "FailedGetPodsMetric",
            };
            Some(event(EventType::Warning, reason, self.error(metric)?))
        };
        let mut events: Vec<DescribedEvent> = decision.metrics.iter().filter_map(failed).collect();
        if decision.path == Path::MetricsFailed {
            let message = self.all_failed(decision);
            events.push(event(EventType::Warning, "FailedComputeMetricsReplicas", message));
        }
        if decision.rescaled {
            let reason = match (decision.proposal, &decision.proposed_by) {
                (Some(proposal), Some(_)) if proposal > decision.spec_replicas => {
                    format!("{} above target", self.proposer(decision))
                }
                _ => decision.reason.clone().unwrap_or_default(),
            };
            let message = format!("New size: {}; reason: {reason}", decision.desired_replicas);
            events.push(event(EventType::Normal, "SuccessfulRescale", message));
        }
        events
    }

    /// Why too many metrics failed: the first of them, as each layer of the controller words it.
    fn all_failed(&self, decision: &Decision) -> String {
        let failed: Vec<&Proposal> =
            decision.metrics.iter().filter(|metric| metric.error.is_some()).collect();
        let first = failed.first().map(|metric| {
            let (name, error) = (metric.metric.name(), self.error(metric).unwrap_or_default());
            match metric.metric.target() {
                _ if matches!(metric.metric, Metric::Pods(_)) => {
                    format!("failed to get pods metric value: {error}")
                }
                MetricTarget::AverageValue(_) => {
                    format!("failed to get {name} external metric value: failed to get {name} external metric: {error}")
                }
                MetricTarget::Value(_) => {
                    format!("failed to get {name} external metric value: failed to get external metric {name}: {error}")
                }
            }
        });
        let (failed, all, first) = (failed.len(), decision.metrics.len(), first.unwrap_or_default());
        format!("invalid metrics ({failed} invalid out of {all}), first error is: {first}")
    }

    /// Why a metric has no proposal. What was not fetched is named by its whole address.
    fn error(&self, metric: &Proposal) -> Option<String> {
        let error = metric.error.as_ref()?;
        if metric.usage_milli.is_some() {
            return Some(error.clone());
        }
        let MetricNames { namespace, .. } = &self.names;
        let (name, selector) = (metric.metric.name(), self.selector());
        if matches!(metric.metric, Metric::Pods(_)) {
            return Some(format!("unable to get metric {name}: {error}"));
        }
        Some(format!("unable to get external metric {namespace}/{name}/{selector}: {error}"))
    }

    /// The metric with the largest proposal, as messages name it.
    fn proposer(&self, decision: &Decision) -> String {
        let name = decision.proposed_by.as_deref().unwrap_or_default();
        let proposer = decision.metrics.iter().find(|metric| metric.metric.name() == name);
        match proposer.map(|proposal| &proposal.metric) {
            Some(Metric::Pods(_)) => format!("pods metric {name}"),
            _ => format!("external metric {name}({})", self.selector()),
        }
    }

    /// A `metav1.LabelSelector` as Go prints it.
    fn selector(&self) -> String {
        let Some((label, value)) = &self.names.selector else { return "nil".to_owned() };
        format!(
            "&LabelSelector{{MatchLabels:map[string]string{{{label}: {value},}},MatchExpressions:[]LabelSelectorRequirement{{}},}}"
        )
    }
}

/// The usage of one replica, rounded up.
fn per_replica(usage: MilliValue, replicas: Replicas) -> MilliValue {
    MilliValue(go::int64(libm::ceil(usage.get() as f64 / f64::from(replicas.get()))))
}

#[cfg(test)]
mod tests {
    use super::super::flags::ControllerManagerFlags;
    use super::super::metrics::Fetched;
    use super::super::reconcile::{HpaState, Plan, decide, plan};
    use super::super::spec::{ExternalMetric, Scale};
    use super::super::version::KubernetesVersion;
    use super::*;
    use crate::units::SimDuration;

    const SELECTOR: &str = "&LabelSelector{MatchLabels:map[string]string{scaledobject.keda.sh/name: chat,},\
                            MatchExpressions:[]LabelSelectorRequirement{},}";

    struct Hpa {
        spec: HpaSpec,
        state: HpaState,
        status: HpaStatus,
    }

    fn hpa(kubernetes: &str) -> Hpa {
        let metric = |name: &str, target| Metric::External(ExternalMetric { name: name.to_owned(), target });
        let spec = HpaSpec {
            min_replicas: Replicas(1),
            max_replicas: Replicas(5),
            metrics: vec![
                metric("s0-prometheus", MetricTarget::AverageValue(MilliValue(21_000))),
                metric("s1-prometheus", MetricTarget::Value(MilliValue(800))),
            ],
            behavior: None,
            flags: ControllerManagerFlags {
                kubernetes: KubernetesVersion::parse(kubernetes).expect("a release"),
                ..ControllerManagerFlags::default()
            },
        };
        let names = MetricNames {
            namespace: "prod".to_owned(),
            selector: Some(("scaledobject.keda.sh/name", "chat".to_owned())),
            targets: vec!["21".to_owned(), "800m".to_owned()],
        };
        Hpa { spec, state: HpaState::default(), status: HpaStatus::new(names) }
    }

    impl Hpa {
        fn sync(
            &mut self,
            seconds: u64,
            replicas: i32,
            values: [Result<i64, &str>; 2],
        ) -> Vec<DescribedEvent> {
            let now = SimTime::ZERO + SimDuration::from_secs(seconds);
            let replicas = Replicas(replicas);
            let scale = Scale { spec: replicas, status: replicas, ready: replicas };
            let decision = match plan(&self.spec, scale, &mut self.state, now) {
                Plan::Decided(decision) => *decision,
                Plan::Fetch => {
                    let fetched = values.map(|value| {
                        Fetched::External(value.map(|v| vec![MilliValue(v)]).map_err(str::to_owned))
                    });
                    decide(&self.spec, scale, &mut self.state, now, &fetched)
                }
            };
            self.status.observe(&self.spec, &decision, now)
        }

        fn targets(&self) -> Vec<&str> {
            self.status.current_metrics.iter().map(|metric| metric.targets.as_str()).collect()
        }

        fn message(&self, kind: &str) -> String {
            let condition = self.status.condition(kind).expect("a condition");
            format!("{}/{}: {}", condition.status, condition.reason, condition.message)
        }
    }

    #[test]
    fn a_sync_shows_metrics_conditions_and_the_new_size() {
        let mut hpa = hpa("1.35");
        let events = hpa.sync(15, 3, [Ok(84_000), Ok(799)]);
        assert_eq!(hpa.targets(), ["28/21 (avg)", "799m/800m"]);
        assert_eq!(
            events,
            [DescribedEvent {
                kind: EventType::Normal,
                reason: "SuccessfulRescale",
                message: format!(
                    "New size: 4; reason: external metric s0-prometheus({SELECTOR}) above target"
                ),
            }]
        );
        assert_eq!(
            hpa.message("AbleToScale"),
            "True/SucceededRescale: the HPA controller was able to update the target scale to 4"
        );
        assert_eq!(
            hpa.message("ScalingActive"),
            format!(
                "True/ValidMetricFound: the HPA was able to successfully calculate a replica count from external \
                     metric s0-prometheus({SELECTOR})"
            )
        );
        assert_eq!(
            hpa.message("ScalingLimited"),
            "False/DesiredWithinRange: the desired count is within the acceptable range"
        );
        let status = serde_json::to_value(&hpa.status).expect("serializes");
        assert_eq!((&status["current_replicas"], &status["desired_replicas"]), (&3.into(), &4.into()));
        assert_eq!(status["last_scale_time_s"], 15.0);
        assert_eq!(status["current_metrics"][0]["average_value"], "28");
    }

    #[test]
    fn the_average_is_rounded_up_to_the_thousandth() {
        let mut hpa = hpa("1.35");
        hpa.sync(15, 3, [Ok(4_000), Ok(0)]);
        assert_eq!(hpa.targets(), ["1334m/21 (avg)", "0/800m"]);
    }

    #[test]
    fn failed_metrics_are_events_and_unknown_from_1_29() {
        for (kubernetes, targets) in
            [("1.28", ["1/21 (avg)", "700m/800m"]), ("1.29", ["1334m/21 (avg)", "<unknown>/800m"])]
        {
            let mut hpa = hpa(kubernetes);
            hpa.sync(15, 3, [Ok(3_000), Ok(700)]);
            let events = hpa.sync(30, 3, [Ok(4_000), Err("refused")]);
            let error = format!(
                "unable to get external metric prod/s1-prometheus/{SELECTOR}: unable to fetch metrics from external \
                 metrics API: refused"
            );
            let warning = |reason, message| DescribedEvent { kind: EventType::Warning, reason, message };
            let whole = format!(
                "invalid metrics (1 invalid out of 2), first error is: failed to get s1-prometheus external metric value: \
                 failed to get external metric s1-prometheus: {error}"
            );
            assert_eq!(
                events,
                [
                    warning("FailedGetExternalMetric", error.clone()),
                    warning("FailedComputeMetricsReplicas", whole)
                ]
            );
            assert_eq!(hpa.targets(), targets, "{kubernetes}");
            assert_eq!(
                hpa.message("ScalingActive"),
                format!(
                    "False/FailedGetExternalMetric: the HPA was unable to compute the replica count: {error}"
                )
            );
            // A sync that looks at no metric leaves that.
            hpa.sync(45, 9, [Ok(0), Ok(0)]);
            assert!(hpa.message("ScalingActive").contains(&error));
            assert_eq!(hpa.targets(), ["<unknown>/21 (avg)", "<unknown>/800m"]);
        }
    }

    #[test]
    fn at_zero_scaling_is_disabled() {
        let mut hpa = hpa("1.35");
        assert_eq!(hpa.sync(15, 0, [Ok(0), Ok(0)]), []);
        assert_eq!(
            hpa.message("ScalingActive"),
            "False/ScalingDisabled: scaling is disabled since the replica count of the target is zero"
        );
        assert!(hpa.status.condition("ScalingLimited").is_none());
    }
}
