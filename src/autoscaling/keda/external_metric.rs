//! What a metric is worth, to the poll loop and to the HPA (`pkg/scaling/scale_handler.go`, `getScalerState` and
//! `GetScaledObjectMetrics`, v2.15 to v2.20).

use super::composite_scaler::CompositeReading;
use super::fallback::{FallbackContext, Workload};
use super::operator::KedaOperator;
use super::prometheus_scaler::QueryOutcome;
use super::reading::{Source, TriggerReading};
use super::scaled_object::FallbackBehavior;
use super::scaler::Scaler;
use crate::autoscaling::quantity::Quantity;
use crate::units::{MilliValue, SimTime};

/// What a scaler, or the cache, gave.
struct Read {
    source: Source,
    value: Option<f64>,
    is_active: bool,
    milli: Result<MilliValue, String>,
}

/// What the HPA is told of one metric: its values, or KEDA's error.
pub type Told = Result<Vec<MilliValue>, String>;

impl KedaOperator {
    /// Whether a sync of the HPA takes a fresh query for this trigger; without, it reads the clock, or the record of the
    /// last poll.
    pub fn wants_query(&self, metric: usize) -> bool {
        self.records[metric].is_none() && self.scalers[metric].prometheus().is_some()
    }

    /// What a trigger is worth to the HPA at `now`; the `outcome` of a fresh query is read only where
    /// [`KedaOperator::wants_query`].
    ///
    /// It counts on the failure counter, a cached error too. An error that remains drops all cached records until the
    /// next poll (v2.20.2); with `scalingModifiers` all triggers are read before.
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
        if reading.error.is_some() && self.composite.is_none() {
            self.records.fill(None);
        }
        reading
    }

    /// What the HPA is told about each of its metrics, after each trigger was read for it
    /// ([`KedaOperator::external_metric`]), and with `scalingModifiers` how that came about.
    pub fn answer(&mut self, readings: &[TriggerReading]) -> (Vec<Told>, Option<CompositeReading>) {
        let Some(composite) = self.composite(readings) else {
            let told = |reading: &TriggerReading| reading.reported().map(|milli| vec![milli]);
            return (readings.iter().map(told).collect(), None);
        };
        if readings.iter().any(|reading| reading.error.is_some()) {
            self.records.fill(None);
        }
        (vec![composite.reported(readings)], Some(composite))
    }

    /// What the readings of all triggers come to, with `scalingModifiers`.
    pub(super) fn composite(&self, readings: &[TriggerReading]) -> Option<CompositeReading> {
        let composite = self.composite.as_ref()?;
        let fallback = self.spec.fallback.as_ref();
        let by_formula = fallback.filter(|own| own.behavior == Some(FallbackBehavior::ScalingModifiers));
        let past = |trigger: usize, threshold: i32| {
            self.fallback.health(trigger).is_some_and(|health| health.failures > threshold)
        };
        let sees_nil = |trigger| by_formula.is_some_and(|own| past(trigger, own.failure_threshold));
        let sees_nil: Vec<bool> = (0..readings.len()).map(sees_nil).collect();
        Some(composite.read(readings, &sees_nil, fallback.map(|own| own.replicas)))
    }

    /// Asks a scaler.
    pub(super) fn query(
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
                target: self.metrics[metric].target,
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

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Annotations, KedaVersion, Rule};
    use super::*;
    use crate::units::Replicas;

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
}
