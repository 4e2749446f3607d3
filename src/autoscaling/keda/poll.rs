//! KEDA's poll loop: every trigger, then the target between zero and the minimum (`pkg/scaling/scale_handler.go`,
//! `checkScalers`, v2.15 to v2.20).

use super::composite_scaler::CompositeReading;
use super::conditions::Status;
use super::events::{self, Event};
use super::executor::{Rule, ScaleRequest, ScaleResult, request_scale};
use super::fallback::{COMPOSITE_METRIC, Workload};
use super::operator::{KedaOperator, whole_second};
use super::prometheus_scaler::QueryOutcome;
use super::reading::TriggerReading;
use super::scaler::Scaler;
use crate::autoscaling::describe::DescribedEvent;
use crate::autoscaling::hpa::HpaStatus;
use crate::units::{Replicas, SimTime};
use serde::Serialize;

/// What one poll found and did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PollDecision {
    /// Each trigger, in the order of the spec.
    pub triggers: Vec<TriggerReading>,
    /// What they come to, with `scalingModifiers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite: Option<CompositeReading>,
    /// Whether any trigger is active, or, with `scalingModifiers`, whether the composite value is above its activation
    /// target and no trigger failed.
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
        let is_error = readings.iter().any(|reading| reading.error.is_some());
        let composite = self.composite(&readings);
        let is_active = match &composite {
            Some(composite) => composite.is_active && !is_error,
            None => readings.iter().any(|reading| reading.is_active),
        };
        let is_fallback = readings.iter().any(|reading| reading.fallback_active);
        let scale = self.request_scale(workload.replicas, is_active, is_error, now);
        // The composite metric's name is none of the triggers'.
        self.activity = readings.iter().map(|reading| reading.is_active && composite.is_none()).collect();
        self.conditions.polled(&scale, is_active, is_error);
        self.conditions.observe_hpa(hpa);
        // An error drops all records with the scalers' cache, but those of this very poll are stored afterwards.
        let record = |(scaler, reading): (&Scaler, &TriggerReading)| {
            scaler.uses_cached_metrics().then(|| reading.outcome())
        };
        self.records = self.scalers.iter().zip(&readings).map(record).collect();
        let mut events: Vec<DescribedEvent> = readings
            .iter()
            .filter_map(|reading| Some(events::scaler_failed(reading.error.as_ref()?, composite.is_some())))
            .collect();
        if is_fallback != fell_back && self.version.polls_apply_fallback() {
            events.push(events::fallback(is_fallback));
        }
        let sizes = (workload.replicas, scale.replicas.unwrap_or(workload.replicas));
        events.extend(scale.event.map(|event| self.scaled(event, sizes, &readings)));
        PollDecision { triggers: readings, composite, is_active, is_error, is_fallback, scale, events }
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
        if self.composite.is_some() {
            let cause =
                if self.version.tells_trigger_activity() { COMPOSITE_METRIC } else { "ModifiersTrigger" };
            let cause = (!self.annotations.force_activation).then_some([cause]);
            return events::scaled(event, &self.names, sizes, cause.as_ref().map(<[&str; 1]>::as_slice));
        }
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
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Annotations, KedaVersion};
    use super::*;

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
