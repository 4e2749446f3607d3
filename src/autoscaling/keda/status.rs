//! `status` of a ScaledObject, as `kubectl describe scaledobject` shows it (`apis/keda/v1alpha1/scaledobject_types.go` and
//! `condition_types.go`, v2.15 to v2.20).

use super::annotations::Annotations;
use super::conditions::{Condition, Reason, Status};
use super::executor::{Rule, ScaleResult};
use super::fallback::Health;
use super::version::KedaVersion;
use crate::autoscaling::describe::{self, DescribedCondition};
use crate::autoscaling::hpa::HpaStatus;
use crate::units::{Replicas, SimTime};
use indexmap::IndexMap;
use serde::Serialize;

/// The status as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScaledObjectStatus {
    /// `hpaName`.
    pub hpa_name: String,
    /// `externalMetricNames`.
    pub external_metric_names: Vec<String>,
    /// `compositeScalerName`: the one metric of an object with `scalingModifiers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_scaler_name: Option<String>,
    /// `lastActiveTime`: seconds since the start of the run, a whole number.
    #[serde(rename = "last_active_time_s", serialize_with = "describe::as_seconds")]
    pub last_active_time: Option<SimTime>,
    /// `pausedReplicaCount`.
    pub paused_replica_count: Option<Replicas>,
    /// `health` by metric; a metric that was never counted has none.
    pub health: IndexMap<String, Health>,
    /// `triggersActivity` by metric; `None` before v2.19.
    pub triggers_activity: Option<IndexMap<String, bool>>,
    /// `conditions`: `Ready`, `Active`, `Fallback`, `Paused`, and in v2.20 `HPAActive` once the HPA has told.
    pub conditions: Vec<DescribedCondition>,
}

/// Conditions that polls and the reconciler set; `Fallback` is kept with the failure counters.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    ready: DescribedCondition,
    active: DescribedCondition,
    paused: DescribedCondition,
    hpa_active: Option<DescribedCondition>,
    forced: bool,
    version: KedaVersion,
}

impl Conditions {
    /// As the reconciler leaves them when the object has been created.
    pub(super) fn created(annotations: &Annotations, version: KedaVersion) -> Self {
        let paused = annotations.pauses() || annotations.paused_scale_in || annotations.paused_scale_out;
        let mut ready = described("Ready", Condition::new(Status::True, Reason::ScaledObjectReady));
        if annotations.pauses() && version.polls_write_all_conditions() {
            ready.message = PAUSED.to_owned();
        }
        let unpaused = if version.pauses_directions() { "False" } else { "Unknown" };
        Conditions {
            ready,
            active: DescribedCondition::unset("Active", "Unknown"),
            paused: if paused {
                described("Paused", Condition::new(Status::True, Reason::ScaledObjectPaused))
            } else {
                DescribedCondition::unset("Paused", unpaused)
            },
            hpa_active: None,
            forced: annotations.force_activation,
            version,
        }
    }

    /// Takes over what a poll made of the target.
    pub(super) fn polled(&mut self, scale: &ScaleResult, is_active: bool, is_error: bool) {
        if self.version.polls_write_all_conditions() {
            self.ready = described("Ready", scale.ready);
        } else if !is_error || matches!(scale.rule, Rule::PartialError | Rule::TriggerError) {
            // An error without a rule of its own leaves the condition as it was.
            self.ready = described("Ready", scale.ready);
        }
        let Some(active) = scale.active else { return };
        let mut active = described("Active", active);
        if active.status == "True" && self.forced && (!is_active || self.version.polls_write_all_conditions())
        {
            FORCED.clone_into(&mut active.message);
        }
        // Before, only another status was written, and what the end of a cooldown says.
        let says_so = matches!(scale.rule, Rule::CoolingDown | Rule::Deactivated);
        if self.version.polls_write_all_conditions() || says_so || active.status != self.active.status {
            self.active = active;
        }
    }

    /// Takes over what the HPA says of itself when a poll looks (`checkHPAHealth`).
    pub(super) fn observe_hpa(&mut self, hpa: &HpaStatus) {
        let Some(scaling_active) = hpa.scaling_active().filter(|_| self.version.has_hpa_active_condition())
        else {
            return;
        };
        let condition = |status, reason: &str, message: String| {
            Some(DescribedCondition { kind: "HPAActive", status, reason: reason.to_owned(), message })
        };
        let DescribedCondition { status, reason, message, .. } = scaling_active;
        self.hpa_active = match (*status, reason.as_str()) {
            ("True", _) => condition("True", "HPAActive", "HPA is actively scaling".to_owned()),
            // KEDA itself has scaled to zero, where the HPA sleeps.
            (_, "ScalingDisabled") => condition("True", "ScalingDisabled", message.clone()),
            (_, reason) => condition("False", reason, format!("HPA is not actively scaling: {message}")),
        };
    }

    /// All of them, in the order of the status.
    pub(super) fn all(&self, fallback: Option<Condition>) -> Vec<DescribedCondition> {
        let fallback = fallback.map_or_else(
            || DescribedCondition::unset("Fallback", "Unknown"),
            |fallback| described("Fallback", fallback),
        );
        let [ready, active, paused] = [&self.ready, &self.active, &self.paused].map(Clone::clone);
        [ready, active, fallback, paused].into_iter().chain(self.hpa_active.clone()).collect()
    }
}

const PAUSED: &str = "ScaledObject is paused";
const FORCED: &str = "Scaling is performed because activation is being forced by annotation";

fn described(kind: &'static str, condition: Condition) -> DescribedCondition {
    let status = match condition.status {
        Status::True => "True",
        Status::False => "False",
        Status::Unknown => "Unknown",
    };
    DescribedCondition {
        kind,
        status,
        reason: format!("{:?}", condition.reason),
        message: message(condition.reason).to_owned(),
    }
}

/// What KEDA writes beside a reason.
fn message(reason: Reason) -> &'static str {
    match reason {
        Reason::ScaledObjectReady => "ScaledObject is defined correctly and is ready for scaling",
        Reason::PartialTriggerError => "Some triggers defined in ScaledObject are not working correctly",
        Reason::TriggerError => "Triggers defined in ScaledObject are not working correctly",
        Reason::ScalerActive => "Scaling is performed because triggers are active",
        Reason::ScalerNotActive => "Scaling is not performed because triggers are not active",
        Reason::ScalerCooldown => "Scaler cooling down because triggers are not active",
        Reason::ScaledObjectPaused => PAUSED,
        Reason::FallbackExists => "At least one trigger is falling back on this scaled object",
        Reason::NoFallbackFound => "No fallbacks are active on this scaled object",
    }
}
