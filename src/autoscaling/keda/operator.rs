//! The operator of one ScaledObject: what it keeps between polls and queries of the HPA, and how the object begins
//! (`controllers/keda/scaledobject_controller.go`, `pkg/scaling/scale_handler.go`, v2.15 to v2.20).
//!
//! ```text
//!   every pollingInterval ─► all triggers ─► fallback ─► executor ─► spec.replicas (0 <-> min only)
//!                                               │
//!                                        failure counters, cached records
//!                                               │
//!   each HPA sync ─► one trigger a metric ─► fallback ─► value for the HPA
//! ```
//!
//! With `scalingModifiers` both loops put the values of all triggers through one formula, and the HPA has the one metric
//! that it gives.
//!
//! The two loops are independent: `poll` and `external_metric`. The operator names queries; whoever drives it evaluates
//! them and hands the outcomes in.

use super::annotations::Annotations;
use super::composite_scaler::CompositeScaler;
use super::fallback::{FallbackStatus, has_valid_fallback};
use super::hpa::{generate_hpa, hpa_name};
use super::pruning::{Pruned, prune};
use super::scaled_object::ScaledObjectSpec;
use super::scaler::Scaler;
use super::status::{Conditions, ScaledObjectStatus};
use super::validate;
use super::version::KedaVersion;
use crate::autoscaling::hpa::{ControllerManagerFlags, ExternalMetric, HpaSpec, HpaStatus, MetricNames};
use crate::problem::Problem;
use crate::units::{MilliValue, Replicas, SimDuration, SimTime, UnixMillis};

/// KEDA as it runs for one ScaledObject.
#[derive(Clone, Debug)]
pub struct KedaOperator {
    pub(super) names: ObjectNames,
    pub(super) spec: ScaledObjectSpec,
    pub(super) annotations: Annotations,
    pub(super) version: KedaVersion,
    /// The wall clock at the start of the run.
    pub(super) epoch: UnixMillis,
    pub(super) scalers: Vec<Scaler>,
    /// By trigger.
    pub(super) metrics: Vec<ExternalMetric>,
    pub(super) composite: Option<CompositeScaler>,
    pub(super) hpa: HpaSpec,
    pub(super) created: SimTime,
    pub(super) next_poll: SimTime,
    pub(super) last_active: Option<SimTime>,
    /// Whether HPA and poll loop are there although the object is paused.
    pub(super) lingers: bool,
    pub(super) fallback: FallbackStatus,
    pub(super) conditions: Conditions,
    /// By trigger, as the last poll judged it.
    pub(super) activity: Vec<bool>,
    /// Records of the last poll, for triggers with `useCachedMetrics`.
    pub(super) records: Vec<Option<Record>>,
}

/// A trigger's value as the last poll left it: after its fallback, where polls apply it.
pub(super) type Record = Result<MilliValue, String>;

/// What a ScaledObject and its surroundings are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectNames {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.scaleTargetRef.name`: the Deployment.
    pub deployment: String,
}

impl KedaOperator {
    /// The operator of a ScaledObject that is created at `created`; `epoch` is the wall clock at t = 0.
    ///
    /// Timestamps of Kubernetes objects have whole seconds: a run is taken to begin on one.
    ///
    /// # Errors
    /// Everything that [`validate::problems`] finds.
    pub fn new(
        names: ObjectNames,
        spec: &ScaledObjectSpec,
        annotations: Annotations,
        version: KedaVersion,
        flags: &ControllerManagerFlags,
        created: SimTime,
        epoch: UnixMillis,
    ) -> Result<Self, Vec<Problem>> {
        let problems = validate::problems(&names.name, spec, version, flags.kubernetes);
        if !problems.is_empty() {
            return Err(problems);
        }
        let Pruned { spec, annotations, .. } = prune(spec, annotations, version);
        let parse = |trigger| Scaler::parse(trigger, version);
        let scalers: Vec<Scaler> = spec.triggers.iter().map(parse).collect::<Result<_, _>>()?;
        let metric = |(i, scaler): (usize, &Scaler)| scaler.metric(i, version);
        let metrics: Vec<ExternalMetric> = scalers.iter().enumerate().map(metric).collect();
        let one = |problem| vec![problem];
        let compile = |modifiers| CompositeScaler::new(modifiers, &spec.triggers, version);
        let composite = spec.scaling_modifiers().map(compile).transpose().map_err(one)?;
        let asked_for = composite.as_ref().map_or_else(|| metrics.clone(), |own| vec![own.metric()]);
        let hpa = generate_hpa(&spec, &annotations, asked_for, flags).map_err(one)?;
        let mut fallback = FallbackStatus::new(scalers.len());
        let valid = |given| has_valid_fallback(given, spec.scaling_modifiers());
        if version.tells_of_no_fallback() && !spec.fallback.as_ref().is_some_and(valid) {
            fallback.is_never_needed();
        }
        Ok(KedaOperator {
            conditions: Conditions::created(&annotations, version),
            annotations,
            version,
            epoch,
            hpa,
            created: whole_second(created),
            next_poll: created,
            last_active: None,
            lingers: false,
            fallback,
            activity: vec![false; scalers.len()],
            records: vec![None; scalers.len()],
            names,
            spec,
            scalers,
            metrics,
            composite,
        })
    }

    /// What becomes of a target of this size when the object is created: the size that `paused-replicas` sets, if it is
    /// another one.
    ///
    /// In v2.18 and v2.19 that brings back HPA and poll loop: the HPA with this size as its bounds, though never 0.
    pub fn start(&mut self, replicas: Replicas) -> Option<Replicas> {
        let paused = self.annotations.paused_replicas.filter(|&paused| paused != replicas)?;
        if self.version.paused_replicas_brings_hpa_back() {
            self.lingers = true;
            let bound = paused.max(Replicas(1));
            (self.hpa.min_replicas, self.hpa.max_replicas) = (bound, bound);
        }
        Some(paused)
    }

    /// The HPA that KEDA keeps for this ScaledObject; `None` while it is paused, which deletes the HPA with all that
    /// its controller remembered.
    pub fn hpa(&self) -> Option<&HpaSpec> {
        self.runs().then_some(&self.hpa)
    }

    /// The status of that HPA before its first sync.
    pub fn hpa_status(&self) -> HpaStatus {
        HpaStatus::new(MetricNames {
            namespace: self.names.namespace.clone(),
            selector: Some(("scaledobject.keda.sh/name", self.names.name.clone())),
            targets: match &self.composite {
                Some(composite) => vec![composite.target_text()],
                None => self.scalers.iter().map(|scaler| scaler.target_text(self.version)).collect(),
            },
        })
    }

    /// The triggers, in the order of the spec, and of the HPA's metrics where there are no modifiers.
    pub fn scalers(&self) -> &[Scaler] {
        &self.scalers
    }

    /// The name of the metric of a trigger.
    pub fn metric_name(&self, trigger: usize) -> &str {
        &self.metrics[trigger].name
    }

    /// When the next poll is due, the first at creation; `None` while paused, which stops the loop.
    pub fn poll_due(&self) -> Option<SimTime> {
        self.runs().then_some(self.next_poll)
    }

    /// `status` of the ScaledObject.
    pub fn status(&self) -> ScaledObjectStatus {
        let names = || self.metrics.iter().map(|metric| metric.name.clone());
        let activity = || names().zip(self.activity.iter().copied()).collect();
        let health = names().enumerate().filter_map(|(i, name)| Some((name, self.fallback.health(i)?)));
        ScaledObjectStatus {
            hpa_name: hpa_name(&self.names.name, &self.spec),
            external_metric_names: names().collect(),
            composite_scaler_name: self.composite.as_ref().map(|composite| composite.metric().name),
            last_active_time: self.last_active,
            paused_replica_count: self.annotations.paused_replicas,
            health: health.collect(),
            triggers_activity: self.version.tells_trigger_activity().then(activity),
            conditions: self.conditions.all(self.fallback.condition()),
        }
    }

    /// Whether poll loop and HPA are there.
    fn runs(&self) -> bool {
        !self.annotations.pauses() || self.lingers
    }
}

/// `metav1.Time` as it is stored: RFC 3339 without a fraction.
pub(super) fn whole_second(at: SimTime) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs(at.as_millis() / 1000)
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::super::fixture::*;
    use super::*;
    use crate::autoscaling::hpa::{HpaState, Plan, Scale, plan};

    #[test]
    fn a_paused_object_neither_polls_nor_has_an_hpa() {
        for (annotations, set) in [
            (Annotations { paused: true, ..Annotations::default() }, None),
            (Annotations { paused_replicas: Some(Replicas(4)), ..Annotations::default() }, Some(Replicas(4))),
        ] {
            let mut keda = annotated("", annotations);
            assert_eq!(keda.start(Replicas(1)), set);
            assert_eq!((keda.poll_due(), keda.hpa()), (None, None));
            assert_eq!(keda.status().paused_replica_count, set);
            assert_eq!(condition(&keda, "Paused"), "True/ScaledObjectPaused: ScaledObject is paused");
            assert_eq!(condition(&keda, "Ready"), "True/ScaledObjectReady: ScaledObject is paused");
            assert_eq!(condition(&keda, "Active"), "Unknown/: ");
        }
        assert!(plain("").hpa().is_some() && condition(&plain(""), "Paused") == "False/: ");
    }

    #[test]
    fn in_2_18_and_2_19_paused_replicas_brings_the_hpa_back() {
        let paused =
            |replicas| Annotations { paused_replicas: Some(Replicas(replicas)), ..Annotations::default() };
        for version in KedaVersion::ALL {
            let lingers = matches!(version, KedaVersion::V2_18 | KedaVersion::V2_19);
            let mut keda = build("", &[SEED], paused(4), version);
            assert_eq!(keda.start(Replicas(1)), Some(Replicas(4)));
            let bounds = keda.hpa().map(|hpa| (hpa.min_replicas.get(), hpa.max_replicas.get()));
            assert_eq!(bounds, lingers.then_some((4, 4)), "{version}");
            assert_eq!(keda.poll_due().is_some(), lingers, "{version}");
            if lingers {
                let polled = poll(&mut keda, 0, 5, value(0.0));
                assert_eq!((polled.scale.rule, polled.scale.replicas), (Rule::Paused, Some(Replicas(4))));
            }
            let mut there = build("", &[SEED], paused(4), version);
            assert_eq!((there.start(Replicas(4)), there.hpa()), (None, None), "{version}");
        }
        let mut at_zero = build("", &[SEED], paused(0), KedaVersion::V2_19);
        at_zero.start(Replicas(2));
        assert_eq!(at_zero.hpa().map(|hpa| hpa.max_replicas), Some(Replicas(1)));
    }

    #[test]
    fn a_paused_direction_stops_both_loops_in_it() {
        let scale_in = Annotations { paused_scale_in: true, ..Annotations::default() };
        let mut keda = annotated("", scale_in);
        assert_eq!(poll(&mut keda, 30_000, 3, value(0.0)).scale.rule, Rule::ScaleInPaused);
        assert_eq!(poll(&mut keda, 60_000, 0, value(1.0)).scale.rule, Rule::Activated);
        assert_eq!(condition(&keda, "Paused"), "True/ScaledObjectPaused: ScaledObject is paused");
        assert!(keda.hpa().is_some_and(|hpa| hpa.behavior.is_some()));
        let scale_out = Annotations { paused_scale_out: true, ..Annotations::default() };
        let mut keda = annotated("", scale_out);
        assert_eq!(poll(&mut keda, 30_000, 0, value(1.0)).scale.rule, Rule::ScaleOutPaused);
        assert_eq!(keda.status().last_active_time, None);
        assert_eq!(poll(&mut keda, 60_000, 3, value(0.0)).scale.rule, Rule::Deactivated);
        let mut before = build("", &[SEED], scale_in, KedaVersion::V2_17);
        assert_eq!(poll(&mut before, 30_000, 3, value(0.0)).scale.rule, Rule::Deactivated);
    }

    #[test]
    fn the_status_mirrors_the_hpas_health_in_2_20() {
        for version in KedaVersion::ALL {
            let mut keda = build("", &[SEED], Annotations::default(), version);
            let mut hpa = keda.hpa_status();
            let scale = Scale { spec: Replicas(0), status: Replicas(0), ready: Replicas(0) };
            let spec = keda.hpa().expect("an HPA").clone();
            let Plan::Decided(slept) = plan(&spec, scale, &mut HpaState::default(), ms(0)) else {
                panic!("fetches")
            };
            hpa.observe(&spec, &slept, ms(0));
            keda.poll(ms(0), ms(0), size(0), &[Some(value(0.0))], &hpa);
            let kinds: Vec<&str> = keda.status().conditions.iter().map(|condition| condition.kind).collect();
            assert_eq!(kinds.len(), 4 + usize::from(version == KedaVersion::V2_20), "{version}");
            if version == KedaVersion::V2_20 {
                let message = "scaling is disabled since the replica count of the target is zero";
                assert_eq!(condition(&keda, "HPAActive"), format!("True/ScalingDisabled: {message}"));
            }
        }
    }
}
