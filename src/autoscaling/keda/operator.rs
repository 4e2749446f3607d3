//! The operator of one ScaledObject: its poll loop, and what it answers the HPA (`pkg/scaling/scale_handler.go`,
//! v2.20.2).
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
use super::conditions::{Condition, Event, Status};
use super::executor::{ScaleRequest, ScaleResult, request_scale};
use super::fallback::{FallbackContext, FallbackStatus, Workload};
use super::hpa::{generate_hpa, metric_name};
use super::prometheus_scaler::{PrometheusTrigger, QueryOutcome};
use super::scaled_object::ScaledObjectSpec;
use super::validate;
use super::version::KedaVersion;
use crate::autoscaling::hpa::{ControllerManagerFlags, HpaSpec};
use crate::autoscaling::quantity::Quantity;
use crate::problem::Problem;
use crate::units::{MilliValue, Replicas, SimDuration, SimTime};
use serde::Serialize;

/// KEDA as it runs for one ScaledObject.
#[derive(Clone, Debug)]
pub struct KedaOperator {
    spec: ScaledObjectSpec,
    annotations: Annotations,
    version: KedaVersion,
    triggers: Vec<PrometheusTrigger>,
    hpa: HpaSpec,
    created: SimTime,
    next_poll: SimTime,
    last_active: Option<SimTime>,
    fallback: FallbackStatus,
    /// Records of the last poll, for triggers with `useCachedMetrics`.
    records: Vec<Option<Record>>,
}

/// A trigger's value as the last poll left it, after its fallback.
type Record = Result<MilliValue, String>;

/// One trigger as one loop evaluated it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriggerReading {
    /// Name of its metric.
    pub metric: String,
    /// Where the value came from.
    pub source: Source,
    /// The float that Prometheus gave, before any rounding; `None` after an error or from the cache.
    pub value: Option<f64>,
    /// What is reported, in thousandths, the fallback's value included.
    pub value_milli: Option<MilliValue>,
    /// Whether the value is above the activation threshold, or the fallback's. Only polls act on it: of a cached
    /// record the poll has judged it already, and it is false here.
    pub is_active: bool,
    /// Whether the value is the fallback's.
    pub fallback_active: bool,
    /// `numberOfFailures` after this evaluation; `None` without a valid fallback.
    pub failures: Option<i32>,
    /// The scaler's error, also where the fallback stands in for it.
    pub scaler_error: Option<String>,
    /// The error that remains after the fallback.
    pub error: Option<String>,
}

/// Where a reading came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A query.
    Prometheus,
    /// The record of the last poll (`useCachedMetrics`).
    Cache,
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
    /// Condition `Fallback` after the poll.
    pub fallback: Option<Condition>,
    /// All events, in the order in which they were recorded.
    pub events: Vec<Event>,
}

impl KedaOperator {
    /// The operator of the ScaledObject `name` that is created at `created`.
    ///
    /// Timestamps of Kubernetes objects have whole seconds: a run is taken to begin on one.
    ///
    /// # Errors
    /// Everything that [`validate::problems`] finds.
    pub fn new(
        name: &str,
        spec: &ScaledObjectSpec,
        annotations: Annotations,
        version: KedaVersion,
        flags: &ControllerManagerFlags,
        created: SimTime,
    ) -> Result<Self, Vec<Problem>> {
        let problems = validate::problems(name, spec, version, flags.kubernetes);
        if !problems.is_empty() {
            return Err(problems);
        }
        let triggers: Vec<PrometheusTrigger> = spec
            .triggers
            .iter()
            .map(|trigger| PrometheusTrigger::parse(trigger, version))
            .collect::<Result<_, _>>()?;
        let hpa =
            generate_hpa(spec, &annotations, &triggers, version, flags).map_err(|problem| vec![problem])?;
        Ok(KedaOperator {
            spec: spec.clone(),
            annotations,
            version,
            hpa,
            created: whole_second(created),
            next_poll: created,
            last_active: None,
            fallback: FallbackStatus::new(triggers.len()),
            records: vec![None; triggers.len()],
            triggers,
        })
    }

    /// The HPA that KEDA keeps for this ScaledObject; `None` while it is paused, which deletes the HPA with all that
    /// its controller remembered.
    pub fn hpa(&self) -> Option<&HpaSpec> {
        (!self.annotations.pauses()).then_some(&self.hpa)
    }

    /// The size that `paused-replicas` sets on creation; `None` without it.
    pub fn paused_replicas(&self) -> Option<Replicas> {
        self.annotations.paused_replicas
    }

    /// The triggers, in the order of the spec and of the HPA's metrics.
    pub fn triggers(&self) -> &[PrometheusTrigger] {
        &self.triggers
    }

    /// When the next poll is due, the first at creation; `None` while paused, which stops the loop.
    pub fn poll_due(&self) -> Option<SimTime> {
        (!self.annotations.pauses()).then_some(self.next_poll)
    }

    /// `status.lastActiveTime`.
    pub fn last_active(&self) -> Option<SimTime> {
        self.last_active
    }

    /// One poll that began at `started` and has its `outcomes`, one for each trigger, at `now`.
    ///
    /// The timer is armed before the triggers are queried, so the period is the polling interval, or the time that
    /// the queries took where that is longer.
    pub fn poll(
        &mut self,
        started: SimTime,
        now: SimTime,
        workload: Workload,
        outcomes: &[QueryOutcome],
    ) -> PollDecision {
        self.next_poll = (started + self.spec.polling_interval()).max(now);
        let fell_back = self.fallback.condition().is_some_and(|condition| condition.status == Status::True);
        let readings: Vec<TriggerReading> =
            outcomes.iter().enumerate().map(|(i, outcome)| self.query(i, outcome, workload)).collect();
        let is_active = readings.iter().any(|reading| reading.is_active);
        let is_error = readings.iter().any(|reading| reading.error.is_some());
        let is_fallback = readings.iter().any(|reading| reading.fallback_active);
        let request = ScaleRequest {
            spec: &self.spec,
            annotations: &self.annotations,
            created: self.created,
            last_active: self.last_active,
            current: workload.replicas,
            is_active,
            is_error,
        };
        let scale = request_scale(&request, now);
        if scale.refreshes_last_active {
            self.last_active = Some(whole_second(now));
        }
        // An error drops all records with the scalers' cache, but those of this very poll are stored afterwards.
        let record = |(trigger, reading): (&PrometheusTrigger, &TriggerReading)| {
            trigger.use_cached_metrics.then(|| reading.reported())
        };
        self.records = self.triggers.iter().zip(&readings).map(record).collect();
        let mut events =
            vec![Event::ScalerFailed; readings.iter().filter(|reading| reading.error.is_some()).count()];
        match (fell_back, is_fallback) {
            (false, true) => events.push(Event::FallbackActivated),
            (true, false) => events.push(Event::FallbackDeactivated),
            _ => {}
        }
        events.extend(scale.event);
        let fallback = self.fallback.condition();
        PollDecision { triggers: readings, is_active, is_error, is_fallback, scale, fallback, events }
    }

    /// Whether answering the HPA for the metric with this index needs a query; without, the record of the last poll
    /// is served.
    pub fn wants_query(&self, metric: usize) -> bool {
        self.records[metric].is_none()
    }

    /// Answers one query of the HPA for the metric with this index (`GetScaledObjectMetrics`). `outcome` is only read
    /// where [`KedaOperator::wants_query`].
    ///
    /// It counts on the same failure counter as the poll loop, a cached error too. An error that remains drops all
    /// cached records until the next poll (v2.20.2).
    pub fn external_metric(
        &mut self,
        metric: usize,
        workload: Workload,
        outcome: &QueryOutcome,
    ) -> TriggerReading {
        let reading = match self.records[metric].clone() {
            None => self.query(metric, outcome, workload),
            Some(record) => {
                let scaler_error = record.as_ref().err().cloned();
                self.with_fallback(metric, None, record, scaler_error, workload, Source::Cache)
            }
        };
        if reading.error.is_some() {
            self.records.fill(None);
        }
        reading
    }

    /// Reads the outcome of a fresh query.
    fn query(&mut self, metric: usize, outcome: &QueryOutcome, workload: Workload) -> TriggerReading {
        let read = self.triggers[metric].read(outcome, self.version);
        let milli = read.clone().map(|value| Quantity::from_float(value, self.version).milli());
        let error = milli.as_ref().err().cloned();
        self.with_fallback(metric, read.ok(), milli, error, workload, Source::Prometheus)
    }

    fn with_fallback(
        &mut self,
        metric: usize,
        value: Option<f64>,
        milli: Result<MilliValue, String>,
        scaler_error: Option<String>,
        workload: Workload,
        source: Source,
    ) -> TriggerReading {
        let name = metric_name(metric);
        let context = FallbackContext {
            fallback: self.spec.fallback.as_ref(),
            modifiers: self.spec.scaling_modifiers(),
            metric_name: &name,
            target: self.hpa.metrics[metric].target(),
            workload,
        };
        let evaluated = self.fallback.evaluate(metric, milli, &context);
        let (value_milli, error) = match evaluated.metric {
            Ok((_, value)) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        let above_activation = value.is_some_and(|value| self.triggers[metric].is_active(value));
        TriggerReading {
            metric: name,
            source,
            value,
            value_milli,
            is_active: error.is_none() && (above_activation || evaluated.fallback_active),
            fallback_active: evaluated.fallback_active,
            failures: self.fallback.health(metric).map(|health| health.failures),
            scaler_error,
            error,
        }
    }
}

impl TriggerReading {
    /// What goes to the HPA: the value in thousandths, or an error.
    pub fn reported(&self) -> Result<MilliValue, String> {
        let error = || self.error.clone().unwrap_or_default();
        self.value_milli.ok_or_else(error)
    }
}

/// `metav1.Time` as it is stored: RFC 3339 without a fraction.
fn whole_second(at: SimTime) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs(at.as_millis() / 1000)
}

#[cfg(test)]
mod tests {
    use super::super::executor::Rule;
    use super::*;

    fn operator(settings: &str, trigger: &str, annotations: Annotations) -> KedaOperator {
        let toml = format!(
            "{settings}\n[[triggers]]\ntype = 'prometheus'\n{trigger}\nmetadata = {{ query = 'q', threshold = '2' }}\n"
        );
        let spec: ScaledObjectSpec = toml::from_str(&toml).expect("valid TOML");
        let (version, flags) = (KedaVersion::default(), ControllerManagerFlags::default());
        KedaOperator::new("llama", &spec, annotations, version, &flags, SimTime::ZERO).expect("valid")
    }

    fn plain(settings: &str) -> KedaOperator {
        operator(settings, "", Annotations::default())
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

    #[test]
    fn polls_follow_the_interval_or_the_queries_where_they_are_slower() {
        let mut keda = plain("polling_interval = 5");
        assert_eq!(keda.poll_due(), Some(SimTime::ZERO));
        keda.poll(ms(0), ms(40), size(1), &[value(1.0)]);
        assert_eq!(keda.poll_due(), Some(ms(5_000)));
        keda.poll(ms(5_000), ms(12_000), size(1), &[value(1.0)]);
        assert_eq!(keda.poll_due(), Some(ms(12_000)));
    }

    #[test]
    fn a_poll_wakes_the_target_but_never_scales_it_out() {
        let mut keda = plain("");
        let woken = keda.poll(ms(500), ms(500), size(0), &[value(400.0)]);
        assert_eq!((woken.scale.rule, woken.scale.replicas), (Rule::Activated, Some(Replicas(1))));
        assert_eq!(woken.events, [Event::ScaleTargetActivated]);
        assert_eq!(keda.last_active(), Some(SimTime::ZERO), "stored in whole seconds");
        assert_eq!(keda.poll(ms(30_500), ms(30_500), size(1), &[value(400.0)]).scale.replicas, None);
    }

    #[test]
    fn the_last_active_time_decides_when_the_target_sleeps() {
        let mut keda = plain("cooldown_period = 60");
        keda.poll(ms(1_900), ms(1_900), size(3), &[value(1.0)]);
        let quiet = |keda: &mut KedaOperator, at| {
            keda.poll(ms(at), ms(at), size(3), &[QueryOutcome::Vector(vec![])]).scale
        };
        assert_eq!(quiet(&mut keda, 61_000).rule, Rule::CoolingDown);
        let slept = quiet(&mut keda, 61_001);
        assert_eq!((slept.rule, slept.replicas), (Rule::Deactivated, Some(Replicas(0))));
    }

    #[test]
    fn both_loops_count_on_one_counter_and_the_fallback_is_active() {
        let mut keda = plain("fallback = { failure_threshold = 2, replicas = 3 }");
        assert_eq!(keda.poll(ms(0), ms(0), size(1), &[refused()]).triggers[0].failures, Some(1));
        let second = keda.external_metric(0, size(1), &refused());
        assert_eq!((second.failures, second.reported()), (Some(2), Err("refused".to_owned())));
        let third = keda.poll(ms(30_000), ms(30_000), size(1), &[refused()]);
        assert_eq!((third.is_active, third.is_error, third.is_fallback), (true, false, true));
        assert_eq!(third.events, [Event::FallbackActivated]);
        let fourth = keda.external_metric(0, size(1), &refused());
        assert_eq!((fourth.failures, fourth.reported()), (Some(4), Ok(MilliValue(6000))));
        let well = keda.poll(ms(60_000), ms(60_000), size(1), &[value(1.0)]);
        assert_eq!((well.triggers[0].failures, well.events), (Some(0), vec![Event::FallbackDeactivated]));
    }

    #[test]
    fn cached_metrics_serve_the_last_poll_until_an_error_drops_them() {
        let mut keda = operator("", "use_cached_metrics = true", Annotations::default());
        assert!(keda.wants_query(0), "nothing is cached before the first poll");
        keda.poll(ms(0), ms(0), size(1), &[value(7.0)]);
        assert!(!keda.wants_query(0));
        let cached = keda.external_metric(0, size(1), &value(99.0));
        assert_eq!((cached.source, cached.reported()), (Source::Cache, Ok(MilliValue(7000))));
        keda.poll(ms(30_000), ms(30_000), size(1), &[refused()]);
        assert!(!keda.wants_query(0), "the error itself is cached");
        assert!(keda.external_metric(0, size(1), &value(99.0)).reported().is_err());
        assert!(keda.wants_query(0), "and the HPA that read it dropped it");
        assert_eq!(keda.external_metric(0, size(1), &value(9.0)).reported(), Ok(MilliValue(9000)));
    }

    #[test]
    fn a_cached_fallback_counts_as_a_success_when_the_hpa_reads_it() {
        let settings = "fallback = { failure_threshold = 0, replicas = 3 }";
        let mut keda = operator(settings, "use_cached_metrics = true", Annotations::default());
        assert_eq!(keda.poll(ms(0), ms(0), size(1), &[refused()]).triggers[0].failures, Some(1));
        let cached = keda.external_metric(0, size(1), &refused());
        assert_eq!((cached.failures, cached.reported()), (Some(0), Ok(MilliValue(6000))));
    }

    #[test]
    fn a_paused_object_neither_polls_nor_has_an_hpa() {
        let paused = Annotations { paused_replicas: Some(Replicas(4)), ..Annotations::default() };
        let keda = operator("", "", paused);
        assert_eq!((keda.poll_due(), keda.hpa(), keda.paused_replicas()), (None, None, Some(Replicas(4))));
        assert!(plain("").hpa().is_some());
    }

    #[test]
    fn the_longest_periods_of_kubernetes_do_not_overflow() {
        let mut keda = plain("polling_interval = 2147483647\ncooldown_period = 2147483647");
        keda.poll(ms(0), ms(0), size(3), &[value(1.0)]);
        let late = keda.poll_due().expect("not paused");
        assert_eq!(keda.poll(late, late, size(3), &[value(0.0)]).scale.rule, Rule::CoolingDown);
    }

    #[test]
    fn a_decision_tells_every_step_as_json() {
        let json =
            serde_json::to_value(plain("").poll(ms(0), ms(0), size(0), &[value(0.25)])).expect("serializes");
        assert_eq!(json["triggers"][0]["value"], 0.25);
        assert_eq!(json["triggers"][0]["value_milli"], 250);
        assert_eq!(json["scale"]["active"], "True/ScalerActive");
        assert_eq!(json["events"][0], "KEDAScaleTargetActivated");
    }
}
