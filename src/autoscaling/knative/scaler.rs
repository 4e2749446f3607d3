//! Bounds, and the way of the last pod to zero (`pkg/reconciler/autoscaling/kpa/scaler.go`).

use super::pod_autoscaler::{ActiveCondition, PodAutoscaler};
use super::serverless_service::{OperationMode, ServerlessService};
use super::spec::KnativeSpec;
use super::wall_time::WallTime;
use crate::units::{Replicas, SimDuration};
use serde::Serialize;

/// `activationTimeoutBuffer`: the Deployment shall report the failure first.
const ACTIVATION_TIMEOUT_BUFFER: SimDuration = SimDuration::from_secs(30);

/// `ProgressDeadlineDefault` of `pkg/deployment/config.go`, which is Kubernetes'.
const PROGRESS_DEADLINE_DEFAULT: SimDuration = SimDuration::from_secs(600);

/// When the PodAutoscaler is looked at again if nothing of what it made inactive will tell.
const REQUEUE_WHILE_PROXYING: SimDuration = SimDuration::from_secs(3);

/// What the scaler reads of annotations and config maps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScalerSettings {
    /// 0 for a revision that no route refers to.
    pub(super) min_scale: Replicas,
    /// 0 is no bound.
    max_scale: Replicas,
    pub(super) initial_scale: Replicas,
    reachable: bool,
    enable_scale_to_zero: bool,
    stable_window: SimDuration,
    grace_period: SimDuration,
    pod_retention: SimDuration,
    activation_timeout: SimDuration,
    /// With a target burst capacity of -1 the activator is in the path of requests for certain.
    always_proxied: bool,
}

impl ScalerSettings {
    /// Combines annotations and config maps; `reachable` says whether a route refers to the revision.
    pub(super) fn of(spec: &KnativeSpec, reachable: bool) -> Self {
        let config = &spec.config;
        let retention =
            spec.scale_to_zero_pod_retention_period.unwrap_or(config.scale_to_zero_pod_retention_period);
        let progress_deadline =
            spec.progress_deadline.map_or(PROGRESS_DEADLINE_DEFAULT, |deadline| deadline.duration());
        ScalerSettings {
            min_scale: Replicas(if reachable { spec.min_scale() } else { 0 }),
            max_scale: Replicas(spec.max_scale()),
            initial_scale: Replicas(spec.initial_scale()),
            reachable,
            enable_scale_to_zero: config.enable_scale_to_zero,
            stable_window: spec.stable_window().duration(),
            grace_period: config.scale_to_zero_grace_period.duration(),
            pod_retention: if reachable { retention.duration() } else { SimDuration::ZERO },
            activation_timeout: progress_deadline + ACTIVATION_TIMEOUT_BUFFER,
            always_proxied: spec.target_burst_capacity() == -1.0,
        }
    }
}

/// What the scaler makes of the decider's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scaled {
    /// The size that the reconciler goes on with; `None` is not known.
    pub(super) want: Option<Replicas>,
    /// Whether it becomes the Deployment's.
    pub(super) applied: bool,
    /// The bound that changed the size.
    pub(super) limited_by: Option<Bound>,
    /// The rule that decided, where the size is zero within bounds.
    pub(super) to_zero: Option<ToZero>,
    /// When the PodAutoscaler is looked at again.
    pub(super) requeue: Option<SimDuration>,
}

/// A bound that changed a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// `min-scale`.
    MinScale,
    /// `max-scale`.
    MaxScale,
    /// `initial-scale`, which a new revision has to reach first.
    InitialScale,
}

/// What decides about the last pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToZero {
    /// `enable-scale-to-zero` is off: one pod stays.
    Disabled,
    /// No pod became ready in time: to zero.
    ActivationTimedOut,
    /// Pods are on their way: nothing is done about the size.
    Activating,
    /// Active for a stable window at least: inactive from now on, and the pod stays.
    Deactivated,
    /// Active for less than a stable window: one pod stays for the rest.
    ActiveTooShort,
    /// The activator is not in the path of requests yet: the pod stays, and the activator is probed.
    ActivatorNotProbed,
    /// Inactive for the grace period and the retention: to zero.
    InactiveLongEnough,
    /// Inactive for less than `scale-to-zero-pod-retention-period`: the pod stays.
    PodRetention,
    /// The activator has been in the path of requests for the grace period: to zero.
    ProxiedLongEnough,
    /// It has not: the pod stays.
    GracePeriod,
}

/// What a revision's objects look like when the scaler looks.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) pa: &'a PodAutoscaler,
    pub(super) sks: &'a ServerlessService,
    /// Whether a request to the revision's service is answered by the activator.
    pub(super) activator_answers: bool,
    pub(super) now: WallTime,
}

/// Brings the decider's size (`None`: there is none yet) within bounds, and decides about the last pod.
pub(super) fn scale(settings: &ScalerSettings, desired: Option<Replicas>, sight: Sight<'_>) -> Scaled {
    let untouched = Scaled { want: desired, applied: false, limited_by: None, to_zero: None, requeue: None };
    if desired.is_none() && sight.pa.active() != ActiveCondition::Activating {
        return untouched;
    }
    let (bounded, limited_by) = within_bounds(settings, desired, sight.pa);
    if bounded != Replicas::ZERO {
        return Scaled { want: Some(bounded), applied: true, limited_by, ..untouched };
    }
    Scaled { limited_by, ..to_zero(settings, sight) }
}

/// The size within bounds (`applyBounds`). Unknown is below every minimum.
fn within_bounds(
    settings: &ScalerSettings,
    desired: Option<Replicas>,
    pa: &PodAutoscaler,
) -> (Replicas, Option<Bound>) {
    let ScalerSettings { min_scale, max_scale, initial_scale, reachable, .. } = *settings;
    let starts = initial_scale > Replicas(1) && !pa.is_initialized() && reachable;
    let (min, lower) = if starts && initial_scale > min_scale {
        (initial_scale, Bound::InitialScale)
    } else {
        (min_scale, Bound::MinScale)
    };
    match desired {
        None => (min, Some(lower)),
        Some(desired) if desired < min => (min, Some(lower)),
        Some(desired) if max_scale != Replicas::ZERO && desired > max_scale => {
            (max_scale, Some(Bound::MaxScale))
        }
        Some(desired) => (desired, None),
    }
}

/// `handleScaleToZero`: no pod is wanted.
fn to_zero(settings: &ScalerSettings, sight: Sight<'_>) -> Scaled {
    let zero = |rule, applied, requeue| Scaled {
        want: Some(Replicas::ZERO),
        applied,
        limited_by: None,
        to_zero: Some(rule),
        requeue,
    };
    let one = |rule, requeue| Scaled { want: Some(Replicas(1)), ..zero(rule, true, requeue) };
    if !settings.enable_scale_to_zero {
        return one(ToZero::Disabled, None);
    }
    let in_status_for = sight.pa.in_status_for(sight.now);
    match sight.pa.active() {
        ActiveCondition::Activating if in_status_for > settings.activation_timeout => {
            zero(ToZero::ActivationTimedOut, true, None)
        }
        ActiveCondition::Activating => {
            let requeue = Some(settings.activation_timeout);
            Scaled { want: None, ..zero(ToZero::Activating, false, requeue) }
        }
        ActiveCondition::Active if in_status_for >= settings.stable_window => {
            // A service in proxy mode already will not change, so that nobody would look again.
            let proxying = sight.sks.mode() == OperationMode::Proxy;
            zero(ToZero::Deactivated, false, proxying.then_some(REQUEUE_WHILE_PROXYING))
        }
        ActiveCondition::Active => one(ToZero::ActiveTooShort, Some(settings.stable_window - in_status_for)),
        ActiveCondition::NoTraffic | ActiveCondition::TimedOut => {
            let (rule, requeue) = last_pod(settings, sight, in_status_for);
            let gone = matches!(rule, ToZero::InactiveLongEnough | ToZero::ProxiedLongEnough);
            zero(rule, gone, requeue)
        }
    }
}

/// Whether the last pod of an inactive revision goes, and when to look again.
fn last_pod(
    settings: &ScalerSettings,
    sight: Sight<'_>,
    inactive_for: SimDuration,
) -> (ToZero, Option<SimDuration>) {
    let (grace, retention) = (settings.grace_period, settings.pod_retention);
    if !settings.always_proxied && !sight.activator_answers {
        return (ToZero::ActivatorNotProbed, None);
    }
    if inactive_for >= grace.max(retention) {
        return (ToZero::InactiveLongEnough, None);
    }
    // A retention is a promise, whatever the network does.
    if inactive_for < retention {
        return (ToZero::PodRetention, Some(retention - inactive_for));
    }
    let proxy_for = sight.sks.proxy_for(sight.now);
    if proxy_for >= grace {
        return (ToZero::ProxiedLongEnough, None);
    }
    (ToZero::GracePeriod, Some(grace - proxy_for))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{SimTime, UnixMillis};

    const ZERO: Replicas = Replicas::ZERO;

    fn secs(s: u64) -> SimDuration {
        SimDuration::from_secs(s)
    }

    fn wall(s: i64) -> WallTime {
        WallTime::of(UnixMillis(s * 1000), SimTime::ZERO)
    }

    fn settings(text: &str) -> ScalerSettings {
        ScalerSettings::of(&toml::from_str(text).expect(text), true)
    }

    /// A status that became `active` at second 0.
    fn since_zero(active: ActiveCondition) -> PodAutoscaler {
        let before = match active {
            ActiveCondition::Active | ActiveCondition::Activating => ActiveCondition::NoTraffic,
            ActiveCondition::NoTraffic | ActiveCondition::TimedOut => ActiveCondition::Active,
        };
        let mut pa = PodAutoscaler::settled(before);
        let (want, ready) = match active {
            ActiveCondition::Active => (1, 1),
            ActiveCondition::Activating => (1, 0),
            ActiveCondition::NoTraffic | ActiveCondition::TimedOut => (0, 0),
        };
        pa.compute_active_condition(Some(Replicas(want)), Replicas(ready), ZERO, Replicas(1), wall(0));
        assert_eq!(pa.active(), active);
        pa
    }

    /// What the scaler makes of no wanted pod at second `now`; the service has been proxied for `proxied` seconds.
    fn at(
        text: &str,
        pa: &PodAutoscaler,
        now: i64,
        proxied: i64,
    ) -> (ToZero, Option<i32>, bool, Option<u64>) {
        let sks = ServerlessService::proxying(wall(now - proxied), SimDuration::ZERO);
        let sight = Sight { pa, sks: &sks, activator_answers: true, now: wall(now) };
        let scaled = scale(&settings(text), Some(ZERO), sight);
        let requeue = scaled.requeue.map(|after| after.as_millis() / 1000);
        (scaled.to_zero.expect("zero is wanted"), scaled.want.map(Replicas::get), scaled.applied, requeue)
    }

    #[test]
    fn the_last_pod_goes_by_upstreams_table() {
        use ActiveCondition::{Activating, Active, NoTraffic};
        let retention = "scale_to_zero_pod_retention_period = '42s'";
        let (active, inactive, activating) =
            (since_zero(Active), since_zero(NoTraffic), since_zero(Activating));
        for (text, pa, now, proxied, expected) in [
            ("config.enable_scale_to_zero = false", &active, 99, 9, (ToZero::Disabled, Some(1), true, None)),
            ("", &activating, 630, 9, (ToZero::Activating, None, false, Some(630))),
            ("", &activating, 631, 9, (ToZero::ActivationTimedOut, Some(0), true, None)),
            (
                "progress_deadline = '5s'",
                &activating,
                36,
                9,
                (ToZero::ActivationTimedOut, Some(0), true, None),
            ),
            ("", &active, 59, 9, (ToZero::ActiveTooShort, Some(1), true, Some(1))),
            ("", &active, 60, 9, (ToZero::Deactivated, Some(0), false, Some(3))),
            ("window = '10s'", &active, 10, 9, (ToZero::Deactivated, Some(0), false, Some(3))),
            ("", &inactive, 29, 20, (ToZero::GracePeriod, Some(0), false, Some(10))),
            ("", &inactive, 1, 30, (ToZero::ProxiedLongEnough, Some(0), true, None)),
            ("", &inactive, 30, 0, (ToZero::InactiveLongEnough, Some(0), true, None)),
            (retention, &inactive, 30, 99, (ToZero::PodRetention, Some(0), false, Some(12))),
            (retention, &inactive, 42, 0, (ToZero::InactiveLongEnough, Some(0), true, None)),
            (
                "scale_to_zero_pod_retention_period = '5s'",
                &inactive,
                5,
                30,
                (ToZero::ProxiedLongEnough, Some(0), true, None),
            ),
        ] {
            assert_eq!(at(text, pa, now, proxied), expected, "{text:?} at {now}");
        }
    }

    #[test]
    fn the_activator_is_probed_unless_it_is_there_for_certain() {
        let pa = since_zero(ActiveCondition::NoTraffic);
        let sks = ServerlessService::proxying(wall(0), SimDuration::ZERO);
        let sight = Sight { pa: &pa, sks: &sks, activator_answers: false, now: wall(99) };
        let scaled = |text| scale(&settings(text), Some(ZERO), sight);
        assert_eq!(scaled("").to_zero, Some(ToZero::ActivatorNotProbed));
        assert_eq!((scaled("").want, scaled("").applied), (Some(ZERO), false));
        assert_eq!(scaled("target_burst_capacity = -1").to_zero, Some(ToZero::InactiveLongEnough));
        assert_eq!(scaled("config.target_burst_capacity = -1").to_zero, Some(ToZero::InactiveLongEnough));
    }

    #[test]
    fn sizes_are_brought_within_bounds() {
        let bounded = |text, desired: i32, pa: &PodAutoscaler| {
            let sks = ServerlessService::proxying(wall(0), SimDuration::ZERO);
            let sight = Sight { pa, sks: &sks, activator_answers: true, now: wall(1) };
            let scaled = scale(&settings(text), (desired >= 0).then_some(Replicas(desired)), sight);
            (scaled.want.map(Replicas::get), scaled.applied, scaled.limited_by)
        };
        let (active, new) = (PodAutoscaler::settled(ActiveCondition::Active), PodAutoscaler::new(wall(0)));
        let bounds = "min_scale = 2\nmax_scale = 8\ninitial_scale = 5";
        for (text, desired, pa, expected) in [
            ("", 1_000_000, &active, (Some(1_000_000), true, None)),
            (bounds, 1, &active, (Some(2), true, Some(Bound::MinScale))),
            (bounds, 0, &active, (Some(2), true, Some(Bound::MinScale))),
            (bounds, 9, &active, (Some(8), true, Some(Bound::MaxScale))),
            (bounds, 6, &active, (Some(6), true, None)),
            // Nothing is known: the size stays, unless pods are on their way.
            (bounds, -1, &active, (None, false, None)),
            (bounds, -1, &new, (Some(5), true, Some(Bound::InitialScale))),
            (bounds, 3, &new, (Some(5), true, Some(Bound::InitialScale))),
            ("min_scale = 6\ninitial_scale = 5", 3, &new, (Some(6), true, Some(Bound::MinScale))),
            ("initial_scale = 1", -1, &new, (None, false, Some(Bound::MinScale))),
        ] {
            assert_eq!(bounded(text, desired, pa), expected, "{text:?} {desired}");
        }
    }

    #[test]
    fn an_unreachable_revision_has_no_minimum_and_no_retention() {
        let spec =
            toml::from_str("min_scale = 2\ninitial_scale = 5\nscale_to_zero_pod_retention_period = '1h'");
        let settings = ScalerSettings::of(&spec.expect("a spec"), false);
        let pa = PodAutoscaler::new(wall(0));
        let sks = ServerlessService::proxying(wall(0), SimDuration::ZERO);
        let sight = Sight { pa: &pa, sks: &sks, activator_answers: true, now: wall(1) };
        assert_eq!(scale(&settings, Some(Replicas(1)), sight).want, Some(Replicas(1)));
        assert_eq!((settings.min_scale, settings.pod_retention), (ZERO, secs(0)));
    }
}
