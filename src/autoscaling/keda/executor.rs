//! What KEDA's poll loop does to the target: `RequestScale` of `pkg/scaling/executor/scale_scaledobjects.go` (v2.15 to
//! v2.20).
//!
//! It moves the size between zero (or idle) and the minimum. It never sets 1 to N: that is the HPA's.

use super::annotations::Annotations;
use super::conditions::{Condition, Reason, Status};
use super::events::Event;
use super::scaled_object::ScaledObjectSpec;
use super::version::KedaVersion;
use crate::units::{Replicas, SimTime};
use serde::Serialize;

/// What a poll found, and what it knows about the target.
#[derive(Clone, Copy, Debug)]
pub struct ScaleRequest<'a> {
    /// `ScaledObject.spec`.
    pub spec: &'a ScaledObjectSpec,
    /// Annotations of the ScaledObject.
    pub annotations: &'a Annotations,
    /// `metadata.creationTimestamp`.
    pub created: SimTime,
    /// `status.lastActiveTime`, in whole seconds as it is stored.
    pub last_active: Option<SimTime>,
    /// The target's `spec.replicas`.
    pub current: Replicas,
    /// Whether any trigger is active.
    pub is_active: bool,
    /// Whether any trigger failed.
    pub is_error: bool,
    /// The release that decides.
    pub version: KedaVersion,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScaleResult {
    /// The row of the decision table.
    pub rule: Rule,
    /// The size that is written to the target; `None` where it is not touched.
    pub replicas: Option<Replicas>,
    /// Whether `status.lastActiveTime` becomes now.
    pub refreshes_last_active: bool,
    /// Condition `Ready` as v2.20 writes it. The status tells what became of it.
    #[serde(skip)]
    pub ready: Condition,
    /// Condition `Active`, where it is set; likewise.
    #[serde(skip)]
    pub active: Option<Condition>,
    /// Condition `Paused`, where it is set; likewise.
    #[serde(skip)]
    pub paused: Option<Condition>,
    /// The event that is recorded.
    #[serde(skip)]
    pub event: Option<Event>,
}

/// Why a poll left the size or changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The ScaledObject is paused.
    Paused,
    /// Active at zero or below the minimum in idle mode: scaled out.
    Activated,
    /// Likewise, but `paused-scale-out` forbids it.
    ScaleOutPaused,
    /// Active, with a failing trigger: `lastActiveTime` is not refreshed.
    PartialError,
    /// Active, nothing to do.
    StaysActive,
    /// Inactive with a failing trigger: waits for the fallback.
    AwaitsFallback,
    /// Likewise, but scaled to the fallback's size at once (up to v2.16).
    ScaledToFallback,
    /// Inactive with a failing trigger and no fallback: errors never scale to zero.
    TriggerError,
    /// Inactive, but not for long enough.
    CoolingDown,
    /// Inactive for long enough: scaled in to zero or idle.
    Deactivated,
    /// Likewise, but `paused-scale-in` forbids it.
    ScaleInPaused,
    /// Inactive below the minimum: repaired.
    RaisedToMin,
    /// Inactive, nothing to do.
    StaysInactive,
}

/// Decides what to do about the target at `now`.
pub fn request_scale(request: &ScaleRequest<'_>, now: SimTime) -> ScaleResult {
    if request.annotations.pauses() {
        let paused = Some(Condition::new(Status::True, Reason::ScaledObjectPaused));
        // Since v2.20 the reconciler sets the size, and no poll comes so far.
        let set =
            request.annotations.paused_replicas.filter(|_| !request.version.polls_write_all_conditions());
        return ScaleResult {
            paused,
            active: None,
            replicas: set.filter(|&replicas| replicas != request.current),
            ..ScaleResult::untouched(Rule::Paused, Reason::ScalerNotActive)
        };
    }
    if request.is_active || request.annotations.force_activation {
        when_active(request)
    } else {
        when_inactive(request, now)
    }
}

fn when_active(request: &ScaleRequest<'_>) -> ScaleResult {
    let untouched = |rule| ScaleResult::untouched(rule, Reason::ScalerActive);
    let min = request.spec.min_replicas();
    // In idle mode any size below the minimum counts, not the idle size alone.
    if (request.spec.idle_replica_count.is_some() && request.current < min)
        || request.current == Replicas::ZERO
    {
        if request.annotations.paused_scale_out {
            return untouched(Rule::ScaleOutPaused);
        }
        return ScaleResult {
            replicas: Some(min.max(Replicas(1))),
            refreshes_last_active: true,
            event: Some(Event::ScaleTargetActivated),
            ..untouched(Rule::Activated)
        };
    }
    if request.is_error {
        let ready = Condition::new(Status::Unknown, Reason::PartialTriggerError);
        return ScaleResult { ready, ..untouched(Rule::PartialError) };
    }
    ScaleResult { refreshes_last_active: true, ..untouched(Rule::StaysActive) }
}

fn when_inactive(request: &ScaleRequest<'_>, now: SimTime) -> ScaleResult {
    let spec = request.spec;
    let untouched = |rule| ScaleResult::untouched(rule, Reason::ScalerNotActive);
    let min = spec.min_replicas();
    let idle = spec.idle_replica_count.map(Replicas);
    match &spec.fallback {
        Some(fallback) if request.is_error && fallback.replicas != 0 => {
            if request.version.polls_scale_to_fallback() {
                let replicas = Some(Replicas(fallback.replicas));
                return ScaleResult { replicas, ..untouched(Rule::ScaledToFallback) };
            }
            // At zero the HPA sleeps and could not scale to the fallback's replicas.
            return untouched(Rule::AwaitsFallback);
        }
        None if request.is_error => {
            let ready = Condition::new(Status::False, Reason::TriggerError);
            return ScaleResult { ready, ..untouched(Rule::TriggerError) };
        }
        _ => {}
    }
    if idle.is_some_and(|idle| request.current > idle)
        || (request.current > Replicas::ZERO && min == Replicas::ZERO)
    {
        return scale_to_zero_or_idle(request, idle.unwrap_or(min), now);
    }
    if idle.is_none() && request.current < min {
        return ScaleResult { replicas: Some(min), ..untouched(Rule::RaisedToMin) };
    }
    untouched(Rule::StaysInactive)
}

/// Past the cooldown the target goes from any size straight to `replicas`, past the HPA's behavior and stabilization.
fn scale_to_zero_or_idle(request: &ScaleRequest<'_>, replicas: Replicas, now: SimTime) -> ScaleResult {
    let untouched = |rule, reason| ScaleResult::untouched(rule, reason);
    if request.annotations.paused_scale_in {
        return untouched(Rule::ScaleInPaused, Reason::ScalerNotActive);
    }
    // The initial period counts from creation, and only until something was active once.
    let cooled_down = match request.last_active {
        Some(last_active) => now > last_active + request.spec.cooldown(),
        None => now > request.created + request.spec.initial_cooldown(),
    };
    if !cooled_down {
        return untouched(Rule::CoolingDown, Reason::ScalerCooldown);
    }
    ScaleResult {
        replicas: Some(replicas),
        event: Some(Event::ScaleTargetDeactivated),
        ..untouched(Rule::Deactivated, Reason::ScalerNotActive)
    }
}

impl ScaleResult {
    fn untouched(rule: Rule, activity: Reason) -> Self {
        let status = if activity == Reason::ScalerActive { Status::True } else { Status::False };
        ScaleResult {
            rule,
            replicas: None,
            refreshes_last_active: false,
            ready: Condition::new(Status::True, Reason::ScaledObjectReady),
            active: Some(Condition::new(status, activity)),
            paused: None,
            event: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scaled_object::Fallback;
    use super::*;
    use crate::units::SimDuration;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(seconds)
    }

    fn request<'a>(
        spec: &'a ScaledObjectSpec,
        annotations: &'a Annotations,
        current: i32,
    ) -> ScaleRequest<'a> {
        ScaleRequest {
            spec,
            annotations,
            created: at(0),
            last_active: None,
            current: Replicas(current),
            is_active: false,
            is_error: false,
            version: KedaVersion::V2_20,
        }
    }

    #[test]
    fn any_size_drops_to_zero_strictly_after_the_cooldown() {
        let (spec, none) = (
            ScaledObjectSpec { cooldown_period: Some(60), ..ScaledObjectSpec::default() },
            Annotations::default(),
        );
        let request = ScaleRequest { last_active: Some(at(100)), ..request(&spec, &none, 7) };
        assert_eq!(request_scale(&request, at(160)).rule, Rule::CoolingDown);
        let result = request_scale(&request, at(160) + SimDuration::from_ps(1));
        assert_eq!((result.rule, result.replicas), (Rule::Deactivated, Some(Replicas(0))));
    }

    #[test]
    fn idle_mode_activates_to_the_minimum_and_falls_back_to_idle() {
        let spec = ScaledObjectSpec {
            min_replica_count: Some(3),
            idle_replica_count: Some(0),
            ..ScaledObjectSpec::default()
        };
        let none = Annotations::default();
        let active = ScaleRequest { is_active: true, ..request(&spec, &none, 2) };
        assert_eq!(request_scale(&active, at(9)).replicas, Some(Replicas(3)));
        assert_eq!(request_scale(&request(&spec, &none, 5), at(9)).replicas, Some(Replicas(0)));
        assert_eq!(request_scale(&request(&spec, &none, 0), at(9)).rule, Rule::StaysInactive);
    }

    #[test]
    fn errors_never_scale_to_zero_unless_the_fallback_says_zero() {
        for (fallback_replicas, rule) in
            [(None, Rule::TriggerError), (Some(2), Rule::AwaitsFallback), (Some(0), Rule::Deactivated)]
        {
            let fallback =
                fallback_replicas.map(|replicas| Fallback { failure_threshold: 3, replicas, behavior: None });
            let (spec, none) =
                (ScaledObjectSpec { fallback, ..ScaledObjectSpec::default() }, Annotations::default());
            let request = ScaleRequest { is_error: true, ..request(&spec, &none, 2) };
            assert_eq!(request_scale(&request, at(9)).rule, rule);
        }
    }

    #[test]
    fn a_partial_error_does_not_refresh_the_last_active_time() {
        let (spec, none) = (ScaledObjectSpec::default(), Annotations::default());
        let request = ScaleRequest { is_active: true, is_error: true, ..request(&spec, &none, 2) };
        let result = request_scale(&request, at(9));
        assert_eq!((result.rule, result.refreshes_last_active), (Rule::PartialError, false));
        assert_eq!(result.ready.to_string(), "Unknown/PartialTriggerError");
    }

    #[test]
    fn up_to_2_16_an_error_scales_to_the_fallback_at_once() {
        let fallback = Some(Fallback { failure_threshold: 3, replicas: 4, behavior: None });
        let (spec, none) =
            (ScaledObjectSpec { fallback, ..ScaledObjectSpec::default() }, Annotations::default());
        for version in KedaVersion::ALL {
            let request = ScaleRequest { is_error: true, version, ..request(&spec, &none, 9) };
            let at_once = version <= KedaVersion::V2_16;
            assert_eq!(request_scale(&request, at(9)).replicas, at_once.then_some(Replicas(4)), "{version}");
        }
    }

    #[test]
    fn before_2_20_a_poll_sets_the_paused_size() {
        let (spec, paused) = (
            ScaledObjectSpec::default(),
            Annotations { paused_replicas: Some(Replicas(4)), ..Annotations::default() },
        );
        let set = |version, current| {
            request_scale(&ScaleRequest { version, ..request(&spec, &paused, current) }, at(9)).replicas
        };
        assert_eq!(set(KedaVersion::V2_19, 1), Some(Replicas(4)));
        assert_eq!((set(KedaVersion::V2_19, 4), set(KedaVersion::V2_20, 1)), (None, None));
    }
}
