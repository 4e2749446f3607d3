//! The operator of one ScaledObject: its poll loop, and what it answers the HPA (`pkg/scaling/scale_handler.go`, v2.15 to
//! v2.20).
//!
//! ```text
//!   every pollingInterval ─► all triggers ─► fallback ─► executor ─► spec.replicas (0 <-> min only)
//!                                               │
//!                                        failure counters, cached records
//!                                               │
//!   each HPA sync ─► one trigger a metric ─► fallback ─► value for the HPA
//! ```
//!
//! The two loops are independent. The operator names queries; whoever drives it evaluates them and hands the outcomes
//! in.

use super::annotations::Annotations;
use super::conditions::Status;
use super::events::{self, Event};
use super::executor::{Rule, ScaleRequest, ScaleResult, request_scale};
use super::fallback::{FallbackContext, FallbackStatus, Workload, has_valid_fallback};
use super::hpa::{generate_hpa, hpa_name};
use super::prometheus_scaler::QueryOutcome;
use super::pruning::{Pruned, prune};
use super::reading::{Source, TriggerReading};
use super::scaled_object::ScaledObjectSpec;
use super::scaler::Scaler;
use super::status::{Conditions, ScaledObjectStatus};
use super::validate;
use super::version::KedaVersion;
use crate::autoscaling::describe::DescribedEvent;
use crate::autoscaling::hpa::{ControllerManagerFlags, HpaSpec, HpaStatus, MetricNames};
use crate::autoscaling::quantity::Quantity;
use crate::problem::Problem;
use crate::units::{MilliValue, Replicas, SimDuration, SimTime, UnixMillis};
use serde::Serialize;

/// KEDA as it runs for one ScaledObject.
#[derive(Clone, Debug)]
pub struct KedaOperator {
    names: ObjectNames,
    spec: ScaledObjectSpec,
    annotations: Annotations,
    version: KedaVersion,
    /// The wall clock at the start of the run.
    epoch: UnixMillis,
    scalers: Vec<Scaler>,
    hpa: HpaSpec,
    created: SimTime,
    next_poll: SimTime,
    last_active: Option<SimTime>,
    /// Whether HPA and poll loop are there although the object is paused.
    lingers: bool,
    fallback: FallbackStatus,
    conditions: Conditions,
    /// By trigger, as the last poll judged it.
    activity: Vec<bool>,
    /// Records of the last poll, for triggers with `useCachedMetrics`.
    records: Vec<Option<Record>>,
}

/// A trigger's value as the last poll left it: after its fallback, where polls apply it.
type Record = Result<MilliValue, String>;

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

/// What one poll found and did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PollDecision {
    /// Each trigger, in the order of the spec.
    pub triggers: Vec<TriggerReading>,
    /// Whether any trigger is active.
    pub is_active: bool,
    /// Whether any trigger failed without a fallback.
    pub is_error: bool,
    /// Whether any trigger falls back.
    pub is_fallback: bool,
    /// What the executor made of it; its `replicas` are to be written to the target.
    pub scale: ScaleResult,
    /// All events, in the order in which they were recorded.
    pub events: Vec<DescribedEvent>,
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
        let hpa =
            generate_hpa(&spec, &annotations, &scalers, version, flags).map_err(|problem| vec![problem])?;
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
            selector: ("scaledobject.keda.sh/name", self.names.name.clone()),
            targets: self.scalers.iter().map(|scaler| scaler.target_text(self.version)).collect(),
        })
    }

    /// The triggers, in the order of the spec and of the HPA's metrics.
    pub fn scalers(&self) -> &[Scaler] {
        &self.scalers
    }

    /// The name of the metric of a trigger.
    pub fn metric_name(&self, trigger: usize) -> &str {
        &self.hpa.metrics[trigger].name
    }

    /// When the next poll is due, the first at creation; `None` while paused, which stops the loop.
    pub fn poll_due(&self) -> Option<SimTime> {
        self.runs().then_some(self.next_poll)
    }

    /// `status` of the ScaledObject.
    pub fn status(&self) -> ScaledObjectStatus {
        let names = || self.hpa.metrics.iter().map(|metric| metric.name.clone());
        let activity = || names().zip(self.activity.iter().copied()).collect();
        let health = names().enumerate().filter_map(|(i, name)| Some((name, self.fallback.health(i)?)));
        ScaledObjectStatus {
            hpa_name: hpa_name(&self.names.name, &self.spec),
            external_metric_names: names().collect(),
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

    /// One poll that began at `started` and has its `outcomes`, one for each trigger that [asks](Scaler::prometheus), at
    /// `now`; `hpa` is the HPA's status as the poll finds it.
    ///
    /// The timer is armed before the triggers are queried, so the period is the polling interval, or the time that
    /// the queries took where that is longer.
    pub fn poll(
        &mut self,
        started: SimTime,
        now: SimTime,
        workload: Workload,
        outcomes: &[Option<QueryOutcome>],
        hpa: &HpaStatus,
    ) -> PollDecision {
        self.next_poll = (started + self.spec.polling_interval()).max(now);
        let fell_back = self.fallback.condition().is_some_and(|condition| condition.status == Status::True);
        let falls_back = self.version.polls_apply_fallback();
        let evaluate = |(i, outcome): (usize, &Option<QueryOutcome>)| {
            self.query(i, outcome.as_ref(), now, workload, falls_back)
        };
        let readings: Vec<TriggerReading> = outcomes.iter().enumerate().map(evaluate).collect();
        let is_active = readings.iter().any(|reading| reading.is_active);
        let is_error = readings.iter().any(|reading| reading.error.is_some());
        let is_fallback = readings.iter().any(|reading| reading.fallback_active);
        let scale = self.request_scale(workload.replicas, is_active, is_error, now);
        self.activity = readings.iter().map(|reading| reading.is_active).collect();
        self.conditions.polled(&scale, is_active, is_error);
        self.conditions.observe_hpa(hpa);
        // An error drops all records with the scalers' cache, but those of this very poll are stored afterwards.
        let record = |(scaler, reading): (&Scaler, &TriggerReading)| {
            scaler.uses_cached_metrics().then(|| reading.outcome())
        };
        self.records = self.scalers.iter().zip(&readings).map(record).collect();
        let mut events: Vec<DescribedEvent> = readings
            .iter()
            .filter_map(|reading| Some(events::scaler_failed(reading.error.as_ref()?)))
            .collect();
        if is_fallback != fell_back && self.version.polls_apply_fallback() {
            events.push(events::fallback(is_fallback));
        }
        let sizes = (workload.replicas, scale.replicas.unwrap_or(workload.replicas));
        events.extend(scale.event.map(|event| self.scaled(event, sizes, &readings)));
        PollDecision { triggers: readings, is_active, is_error, is_fallback, scale, events }
    }

    fn request_scale(
        &mut self,
        current: Replicas,
        is_active: bool,
        is_error: bool,
        now: SimTime,
    ) -> ScaleResult {
        let request = ScaleRequest {
            spec: &self.spec,
            annotations: &self.annotations,
            created: self.created,
            last_active: self.last_active,
            current,
            is_active,
            is_error,
            version: self.version,
        };
        let scale = request_scale(&request, now);
        if scale.refreshes_last_active {
            self.last_active = Some(whole_second(now));
        }
        if scale.rule == Rule::ScaledToFallback {
            self.fallback.scaled_at_once();
        }
        scale
    }

    fn scaled(
        &self,
        event: Event,
        sizes: (Replicas, Replicas),
        readings: &[TriggerReading],
    ) -> DescribedEvent {
        let name = |i: usize| {
            if self.version.tells_trigger_activity() {
                return self.metric_name(i);
            }
            let given = self.spec.triggers[i].name.as_deref().filter(|name| !name.is_empty());
            given.unwrap_or_else(|| self.scalers[i].go_type())
        };
        let active = (0..readings.len()).filter(|&i| readings[i].is_active);
        let active: Vec<&str> = active.map(name).collect();
        let cause = (!self.annotations.force_activation).then_some(active.as_slice());
        events::scaled(event, &self.names, sizes, cause)
    }

    /// Whether a sync of the HPA takes a fresh query for this metric; without, it reads the clock, or the record of the
    /// last poll.
    pub fn wants_query(&self, metric: usize) -> bool {
        self.records[metric].is_none() && self.scalers[metric].prometheus().is_some()
    }

    /// What the HPA is told about a metric at `now`; the `outcome` of a fresh query is read only where
    /// [`KedaOperator::wants_query`].
    ///
    /// It counts on the failure counter, a cached error too. An error that remains drops all cached records until the
    /// next poll (v2.20.2).
    pub fn external_metric(
        &mut self,
        metric: usize,
        now: SimTime,
        workload: Workload,
        outcome: Option<&QueryOutcome>,
    ) -> TriggerReading {
        let reading = match self.records[metric].clone() {
            None => self.query(metric, outcome, now, workload, true),
            Some(record) => {
                let read = Read { source: Source::Cache, value: None, is_active: false, milli: record };
                self.evaluate(metric, read, workload, true)
            }
        };
        if reading.error.is_some() {
            self.records.fill(None);
        }
        reading
    }

    /// Asks a scaler.
    fn query(
        &mut self,
        metric: usize,
        outcome: Option<&QueryOutcome>,
        now: SimTime,
        workload: Workload,
        falls_back: bool,
    ) -> TriggerReading {
        let version = self.version;
        let (source, read) = match &self.scalers[metric] {
            Scaler::Cron(cron) => (Source::Clock, Ok(cron.read(self.epoch.at(now), version))),
            Scaler::Prometheus(trigger) => {
                let value = outcome
                    .map_or_else(|| Err("no answer".to_owned()), |outcome| trigger.read(outcome, version));
                (Source::Prometheus, value.map(|value| (value, trigger.is_active(value))))
            }
        };
        let value = read.as_ref().ok().map(|(value, _)| *value);
        let is_active = read.as_ref().is_ok_and(|(_, is_active)| *is_active);
        let milli = read.map(|(value, _)| Quantity::from_float(value, version).milli());
        self.evaluate(metric, Read { source, value, is_active, milli }, workload, falls_back)
    }

    /// Counts what was read and lets the fallback stand in for it, where `falls_back`.
    fn evaluate(
        &mut self,
        metric: usize,
        read: Read,
        workload: Workload,
        falls_back: bool,
    ) -> TriggerReading {
        let name = self.metric_name(metric).to_owned();
        let scaler_error = read.milli.as_ref().err().cloned();
        let (milli, fallback_active) = if falls_back {
            let context = FallbackContext {
                fallback: self.spec.fallback.as_ref(),
                modifiers: self.spec.scaling_modifiers(),
                metric_name: &name,
                target: self.hpa.metrics[metric].target,
                workload,
                version: self.version,
            };
            let evaluated = self.fallback.evaluate(metric, read.milli, &context);
            (evaluated.metric.map(|(_, value)| value), evaluated.fallback_active)
        } else {
            (read.milli, false)
        };
        let (value_milli, error) = match milli {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        TriggerReading {
            metric: name,
            source: read.source,
            value: read.value,
            value_milli,
            is_active: error.is_none() && (read.is_active || fallback_active),
            fallback_active,
            failures: self.fallback.health(metric).map(|health| health.failures),
            scaler_error,
            error,
        }
    }
}

/// What a scaler, or the cache, gave.
struct Read {
    source: Source,
    value: Option<f64>,
    is_active: bool,
    milli: Result<MilliValue, String>,
}

/// `metav1.Time` as it is stored: RFC 3339 without a fraction.
fn whole_second(at: SimTime) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs(at.as_millis() / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::hpa::{HpaState, Plan, Scale, plan};

    const SEED: &str = "type = 'prometheus'\nmetadata = { query = 'q', threshold = '2' }";
    /// 2026-01-05T08:00:00Z, a Monday.
    const EPOCH: UnixMillis = UnixMillis(1_767_600_000_000);

    fn build(
        settings: &str,
        triggers: &[&str],
        annotations: Annotations,
        version: KedaVersion,
    ) -> KedaOperator {
        let triggers: String = triggers.iter().map(|trigger| format!("[[triggers]]\n{trigger}\n")).collect();
        let spec: ScaledObjectSpec = toml::from_str(&format!("{settings}\n{triggers}")).expect("valid TOML");
        let names = ObjectNames {
            namespace: "prod".to_owned(),
            name: "llama".to_owned(),
            deployment: "llama-predictor".to_owned(),
        };
        let flags = ControllerManagerFlags::default();
        KedaOperator::new(names, &spec, annotations, version, &flags, SimTime::ZERO, EPOCH).expect("valid")
    }

    fn plain(settings: &str) -> KedaOperator {
        build(settings, &[SEED], Annotations::default(), KedaVersion::V2_20)
    }

    fn annotated(settings: &str, annotations: Annotations) -> KedaOperator {
        build(settings, &[SEED], annotations, KedaVersion::V2_20)
    }

    fn cached(settings: &str, version: KedaVersion) -> KedaOperator {
        build(settings, &[&format!("use_cached_metrics = true\n{SEED}")], Annotations::default(), version)
    }

    fn ms(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    fn size(replicas: i32) -> Workload {
        Workload { replicas: Replicas(replicas), ready: Replicas(replicas) }
    }

    fn value(value: f64) -> QueryOutcome {
        QueryOutcome::Vector(vec![value])
    }

    fn refused() -> QueryOutcome {
        QueryOutcome::Error("refused".to_owned())
    }

    fn poll(keda: &mut KedaOperator, at: u64, replicas: i32, outcome: QueryOutcome) -> PollDecision {
        let hpa = keda.hpa_status();
        keda.poll(ms(at), ms(at), size(replicas), &[Some(outcome)], &hpa)
    }

    fn sync(keda: &mut KedaOperator, at: u64, replicas: i32, outcome: &QueryOutcome) -> TriggerReading {
        keda.external_metric(0, ms(at), size(replicas), Some(outcome))
    }

    fn reasons(decision: &PollDecision) -> Vec<&str> {
        decision.events.iter().map(|event| event.reason).collect()
    }

    /// A condition as `Status/Reason: message`.
    fn condition(keda: &KedaOperator, kind: &str) -> String {
        let conditions = keda.status().conditions;
        let condition = conditions.iter().find(|condition| condition.kind == kind).expect("a condition");
        format!("{}/{}: {}", condition.status, condition.reason, condition.message)
    }

    #[test]
    fn polls_follow_the_interval_or_the_queries_where_they_are_slower() {
        let mut keda = plain("polling_interval = 5");
        let hpa = keda.hpa_status();
        assert_eq!(keda.poll_due(), Some(SimTime::ZERO));
        keda.poll(ms(0), ms(40), size(1), &[Some(value(1.0))], &hpa);
        assert_eq!(keda.poll_due(), Some(ms(5_000)));
        keda.poll(ms(5_000), ms(12_000), size(1), &[Some(value(1.0))], &hpa);
        assert_eq!(keda.poll_due(), Some(ms(12_000)));
    }

    #[test]
    fn a_poll_wakes_the_target_but_never_scales_it_out() {
        let mut keda = plain("");
        let woken = poll(&mut keda, 500, 0, value(400.0));
        assert_eq!((woken.scale.rule, woken.scale.replicas), (Rule::Activated, Some(Replicas(1))));
        let message =
            "Scaled apps/v1.Deployment prod/llama-predictor from 0 to 1, triggered by s0-prometheus";
        assert_eq!(
            (reasons(&woken), woken.events[0].message.as_str()),
            (vec!["KEDAScaleTargetActivated"], message)
        );
        assert_eq!(keda.status().last_active_time, Some(SimTime::ZERO), "stored in whole seconds");
        assert_eq!(poll(&mut keda, 30_500, 1, value(400.0)).scale.replicas, None);
    }

    #[test]
    fn the_last_active_time_decides_when_the_target_sleeps() {
        let mut keda = plain("cooldown_period = 60");
        poll(&mut keda, 1_900, 3, value(1.0));
        let quiet = |keda: &mut KedaOperator, at| poll(keda, at, 3, QueryOutcome::Vector(vec![]));
        assert_eq!(quiet(&mut keda, 61_000).scale.rule, Rule::CoolingDown);
        let cooling = "False/ScalerCooldown: Scaler cooling down because triggers are not active";
        assert_eq!(condition(&keda, "Active"), cooling);
        let slept = quiet(&mut keda, 61_001);
        assert_eq!((slept.scale.rule, slept.scale.replicas), (Rule::Deactivated, Some(Replicas(0))));
        assert_eq!(
            slept.events[0].message,
            "Deactivated apps/v1.Deployment prod/llama-predictor from 3 to 0"
        );
    }

    #[test]
    fn the_initial_cooldown_counts_from_creation_until_something_was_active() {
        let mut keda = plain("initial_cooldown_period = 120\ncooldown_period = 10");
        let rule = |keda: &mut KedaOperator, at, v| poll(keda, at, 2, value(v)).scale.rule;
        assert_eq!(rule(&mut keda, 120_000, 0.0), Rule::CoolingDown);
        assert_eq!(rule(&mut keda, 120_001, 0.0), Rule::Deactivated);
        let mut keda = plain("initial_cooldown_period = 120\ncooldown_period = 10");
        assert_eq!(rule(&mut keda, 20_000, 1.0), Rule::StaysActive);
        assert_eq!(rule(&mut keda, 30_001, 0.0), Rule::Deactivated, "10 s after the last activity");
    }

    #[test]
    fn both_loops_count_on_one_counter_and_the_fallback_is_active() {
        let mut keda = plain("fallback = { failure_threshold = 2, replicas = 3 }");
        assert_eq!(poll(&mut keda, 0, 1, refused()).triggers[0].failures, Some(1));
        let second = sync(&mut keda, 15_000, 1, &refused());
        assert_eq!((second.failures, second.error.as_deref()), (Some(2), Some("refused")));
        let told = "rpc error: code = Unknown desc = error when getting metric values metric:s0-prometheus encountered \
                    error";
        assert_eq!(second.reported(), Err(told.to_owned()));
        let third = poll(&mut keda, 30_000, 1, refused());
        assert_eq!((third.is_active, third.is_error, third.is_fallback), (true, false, true));
        assert_eq!(reasons(&third), ["ScaledObjectFallbackActivated"]);
        let falls_back = "True/FallbackExists: At least one trigger is falling back on this scaled object";
        assert_eq!(condition(&keda, "Fallback"), falls_back);
        let fourth = sync(&mut keda, 30_000, 1, &refused());
        assert_eq!((fourth.failures, fourth.reported()), (Some(4), Ok(MilliValue(6000))));
        let well = poll(&mut keda, 60_000, 1, value(1.0));
        assert_eq!(
            (well.triggers[0].failures, reasons(&well)),
            (Some(0), vec!["ScaledObjectFallbackDeactivated"])
        );
    }

    #[test]
    fn before_2_19_only_the_hpa_counts_and_falls_back() {
        let settings = "fallback = { failure_threshold = 1, replicas = 3 }";
        let mut keda = build(settings, &[SEED], Annotations::default(), KedaVersion::V2_18);
        let polled = poll(&mut keda, 0, 1, refused());
        assert_eq!((polled.triggers[0].failures, polled.is_error), (None, true));
        assert_eq!((polled.scale.rule, reasons(&polled)), (Rule::AwaitsFallback, vec!["KEDAScalerFailed"]));
        assert_eq!(sync(&mut keda, 15_000, 1, &refused()).failures, Some(1));
        let second = sync(&mut keda, 30_000, 1, &refused());
        assert_eq!((second.fallback_active, second.reported()), (true, Ok(MilliValue(6000))));
        let polled = poll(&mut keda, 30_000, 1, refused());
        assert_eq!(
            (polled.is_active, polled.is_fallback, polled.triggers[0].failures),
            (false, false, Some(2))
        );
    }

    #[test]
    fn up_to_2_16_a_poll_scales_to_the_fallback_and_says_so() {
        let settings = "fallback = { failure_threshold = 9, replicas = 3 }";
        let mut keda = build(settings, &[SEED], Annotations::default(), KedaVersion::V2_16);
        let polled = poll(&mut keda, 0, 1, refused());
        assert_eq!((polled.scale.rule, polled.scale.replicas), (Rule::ScaledToFallback, Some(Replicas(3))));
        assert!(condition(&keda, "Fallback").starts_with("True/FallbackExists"));
        assert!(sync(&mut keda, 15_000, 3, &refused()).error.is_some());
        assert!(condition(&keda, "Fallback").starts_with("False/NoFallbackFound"));
    }

    #[test]
    fn cached_metrics_serve_the_last_poll_until_an_error_drops_them() {
        let mut keda = cached("", KedaVersion::V2_20);
        assert!(keda.wants_query(0), "nothing is cached before the first poll");
        poll(&mut keda, 0, 1, value(7.0));
        assert!(!keda.wants_query(0));
        let read = keda.external_metric(0, ms(15_000), size(1), None);
        assert_eq!((read.source, read.reported()), (Source::Cache, Ok(MilliValue(7000))));
        poll(&mut keda, 30_000, 1, refused());
        assert!(!keda.wants_query(0), "the error itself is cached");
        assert!(keda.external_metric(0, ms(31_000), size(1), None).reported().is_err());
        assert!(keda.wants_query(0), "and the HPA that read it dropped it");
        assert_eq!(sync(&mut keda, 46_000, 1, &value(9.0)).reported(), Ok(MilliValue(9000)));
    }

    #[test]
    fn a_cached_fallback_counts_as_a_success_when_the_hpa_reads_it() {
        let settings = "fallback = { failure_threshold = 0, replicas = 3 }";
        let mut keda = cached(settings, KedaVersion::V2_20);
        assert_eq!(poll(&mut keda, 0, 1, refused()).triggers[0].failures, Some(1));
        let read = keda.external_metric(0, ms(15_000), size(1), None);
        assert_eq!((read.failures, read.reported()), (Some(0), Ok(MilliValue(6000))));
        // Before 2.19 the record is the error itself, on which the HPA counts.
        let mut keda = cached(settings, KedaVersion::V2_18);
        poll(&mut keda, 0, 1, refused());
        let read = keda.external_metric(0, ms(15_000), size(1), None);
        assert_eq!((read.failures, read.fallback_active), (Some(1), true));
    }

    #[test]
    fn a_cron_trigger_reads_the_clock_in_both_loops() {
        let cron = "type = 'cron'\nmetadata = { timezone = 'UTC', start = '0 9 * * *', end = '0 17 * * *', \
                    desiredReplicas = '3' }";
        let mut keda = build("", &[SEED, cron], Annotations::default(), KedaVersion::V2_20);
        assert_eq!(keda.metric_name(1), "s1-cron-UTC-09xxx-017xxx");
        assert!(keda.wants_query(0) && !keda.wants_query(1));
        let hour = 3_600_000;
        let mut at = |at: u64| {
            let hpa = keda.hpa_status();
            let poll = keda.poll(ms(at), ms(at), size(0), &[Some(value(0.0)), None], &hpa);
            let reading = keda.external_metric(1, ms(at), size(0), None);
            assert_eq!((reading.source, reading.value), (Source::Clock, poll.triggers[1].value));
            (poll.scale.replicas, reading.reported())
        };
        assert_eq!(at(hour - 1), (None, Ok(MilliValue(0))));
        assert_eq!(at(hour), (Some(Replicas(1)), Ok(MilliValue(3000))));
        assert_eq!(
            keda.status().triggers_activity.map(|activity| activity["s1-cron-UTC-09xxx-017xxx"]),
            Some(true)
        );
    }

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
    fn activation_can_be_forced() {
        let forced = Annotations { force_activation: true, ..Annotations::default() };
        let mut keda = annotated("", forced);
        let woken = poll(&mut keda, 30_000, 0, value(0.0));
        assert_eq!(woken.scale.replicas, Some(Replicas(1)));
        assert!(woken.events[0].message.ends_with("from 0 to 1, caused by forced activation annotation"));
        let message =
            "True/ScalerActive: Scaling is performed because activation is being forced by annotation";
        assert_eq!(condition(&keda, "Active"), message);
        assert_eq!(poll(&mut keda, 900_000, 3, value(0.0)).scale.rule, Rule::StaysActive);
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

    #[test]
    fn before_2_20_conditions_change_only_with_their_status() {
        for (version, active, ready) in [
            (KedaVersion::V2_19, "False/ScalerCooldown", "False/TriggerError"),
            (KedaVersion::V2_20, "False/ScalerNotActive", "True/ScaledObjectReady"),
        ] {
            let mut keda = build("", &[SEED], Annotations::default(), version);
            poll(&mut keda, 1_000, 1, value(1.0));
            poll(&mut keda, 30_000, 1, value(0.0));
            poll(&mut keda, 60_000, 0, value(0.0));
            assert!(condition(&keda, "Active").starts_with(active), "{version}");
            poll(&mut keda, 90_000, 1, refused());
            assert!(condition(&keda, "Ready").starts_with("False/TriggerError"), "{version}");
            // At zero an active trigger wakes the target, whatever the other one does.
            let mut two = build("", &[SEED, SEED], Annotations::default(), version);
            let hpa = two.hpa_status();
            two.poll(ms(0), ms(0), size(0), &[Some(refused()), Some(refused())], &hpa);
            two.poll(ms(30_000), ms(30_000), size(0), &[Some(value(1.0)), Some(refused())], &hpa);
            assert!(condition(&two, "Ready").starts_with(ready), "{version}");
        }
    }

    #[test]
    fn before_2_19_events_name_triggers_by_their_go_types() {
        let named = format!("name = 'queue'\n{SEED}");
        let mut keda = build("", &[SEED, &named], Annotations::default(), KedaVersion::V2_18);
        let hpa = keda.hpa_status();
        let woken = keda.poll(ms(0), ms(0), size(0), &[Some(value(1.0)), Some(value(1.0))], &hpa);
        assert!(
            woken.events[0].message.ends_with("triggered by prometheusScaler;queue"),
            "{:?}",
            woken.events
        );
        assert_eq!(keda.status().triggers_activity, None);
    }

    #[test]
    fn the_longest_periods_of_kubernetes_do_not_overflow() {
        let mut keda = plain("polling_interval = 2147483647\ncooldown_period = 2147483647");
        poll(&mut keda, 0, 3, value(1.0));
        let late = keda.poll_due().expect("not paused").as_millis();
        assert_eq!(poll(&mut keda, late, 3, value(0.0)).scale.rule, Rule::CoolingDown);
    }

    #[test]
    fn a_decision_and_the_status_tell_every_step_as_json() {
        let mut keda = plain("fallback = { failure_threshold = 2, replicas = 3 }");
        let json = serde_json::to_value(poll(&mut keda, 7_900, 0, value(0.25))).expect("serializes");
        assert_eq!(json["triggers"][0]["value"], 0.25);
        assert_eq!(json["triggers"][0]["value_milli"], 250);
        assert_eq!(json["events"][0]["reason"], "KEDAScaleTargetActivated");
        assert_eq!(json["events"][0]["type"], "Normal");
        let status = serde_json::to_value(keda.status()).expect("serializes");
        assert_eq!(status["last_active_time_s"], 7.0);
        assert_eq!(status["hpa_name"], "keda-hpa-llama");
        assert_eq!(status["health"]["s0-prometheus"]["status"], "Happy");
        assert_eq!(status["conditions"][1]["type"], "Active");
        assert_eq!(status["conditions"][1]["reason"], "ScalerActive");
    }
}
