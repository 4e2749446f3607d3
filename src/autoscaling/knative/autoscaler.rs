//! The decision of how many pods a revision needs (`pkg/autoscaler/scaling/autoscaler.go`).

use super::aggregation::TimeWindow;
use super::collection::{MetricError, Observed};
use super::decider::DeciderSpec;
use crate::autoscaling::go;
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};
use serde::Serialize;

/// `tickInterval`: between two decisions, and the bucket of the scale-down delay's window.
pub(super) const TICK_INTERVAL: SimDuration = SimDuration::from_secs(2);

/// Why the number of ready pods could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodListerError {
    /// There is no such object: counts as no pod.
    NotFound,
    /// Anything else.
    Failed,
}

/// The number of running and ready pods that do not terminate, or why it is not known.
pub type ReadyCount = Result<Replicas, PodListerError>;

/// Why a decision is not valid; the one before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "cause", content = "error")]
pub enum InvalidScale {
    /// The number of ready pods could not be read.
    PodLister,
    /// The metric has no value.
    Metric(MetricError),
}

/// Decides how many pods a revision needs, from what its windows say. It knows no bounds: they come later.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    spec: DeciderSpec,
    /// The wall clock at the start of the run.
    epoch: UnixMillis,
    /// Since when the panic threshold has not been exceeded any more, while panicking.
    panic_time: Option<SimTime>,
    /// The largest size of this panic; before the first one, the ready pods at creation.
    max_panic_pods: Replicas,
    /// Only where there was a delay at creation; later changes of the spec neither make nor resize it.
    delay_window: Option<TimeWindow>,
}

/// A valid decision and everything that shaped it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScaleResult {
    /// How many pods the revision should have.
    pub desired_pod_count: Replicas,
    /// How many more requests the ready pods could take at once beyond the target burst; negative puts the activator
    /// into the path of requests.
    pub excess_burst_capacity: i32,
    /// What the size comes from.
    pub shaped_by: ShapedBy,
    /// Running and ready pods.
    pub ready_pods: Replicas,
    /// What the windows said.
    pub observed: Observed,
    /// What a pod should have of it.
    pub target_value: f64,
    /// `ceil(stable / target)`, before any limit.
    pub stable_pods: f64,
    /// `ceil(panic / target)`, before any limit.
    pub panic_pods: f64,
    /// No decision is above it, the activation scale apart: `ceil(max-scale-up-rate x ready)`, at least one pod counted.
    pub max_scale_up: f64,
    /// No decision is below it: `floor(ready / max-scale-down-rate)`.
    pub max_scale_down: f64,
    /// The size by the stable window, within limits.
    pub desired_stable: Replicas,
    /// The size by the panic window, within limits.
    pub desired_panic: Replicas,
    /// Whether the panic window asks for at least the panic threshold times the ready pods.
    pub over_panic_threshold: bool,
    /// Whether the decision was made in panic mode, which only goes up.
    pub panicking: bool,
    /// The largest size of this panic.
    pub max_panic_pods: Replicas,
    /// The size before the scale-down delay, where there is one.
    pub before_delay: Option<Replicas>,
}

/// What the size of a decision comes from: the last rule that changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapedBy {
    /// The average of the stable window.
    StableWindow,
    /// The average of the panic window, in panic mode.
    PanicWindow,
    /// `max-scale-up-rate`: the windows ask for more.
    MaxScaleUpRate,
    /// `max-scale-down-rate`: the windows ask for less.
    MaxScaleDownRate,
    /// `activation-scale`: fewer are not worth starting.
    ActivationScale,
    /// Panic mode keeps what was decided in it before.
    PanicMode,
    /// `scale-down-delay`: more were decided within it.
    ScaleDownDelay,
}

/// The size that one window asks for, within limits, and the rule that set it.
#[derive(Clone, Copy)]
struct Candidate {
    pods: Replicas,
    shaped_by: ShapedBy,
}

impl Autoscaler {
    /// The decider of a revision that has `ready` pods at `now`, in a run that began at `epoch`.
    ///
    /// With more than one it starts in panic mode: a restarted autoscaler has lost its windows, and must not scale down
    /// on what it has not seen yet. A count that cannot be read is none.
    pub fn new(spec: DeciderSpec, ready: ReadyCount, epoch: UnixMillis, now: SimTime) -> Self {
        let ready = ready.unwrap_or(Replicas::ZERO);
        let delay = spec.scale_down_delay;
        Autoscaler {
            epoch,
            panic_time: (ready > Replicas(1)).then_some(now),
            max_panic_pods: ready,
            delay_window: (!delay.is_zero()).then(|| TimeWindow::new(delay, TICK_INTERVAL)),
            spec,
        }
    }

    /// Replaces the spec, as the reconciler does when an annotation or the config map changes.
    pub fn update(&mut self, spec: DeciderSpec) {
        self.spec = spec;
    }

    /// What it decides by.
    pub fn spec(&self) -> &DeciderSpec {
        &self.spec
    }

    /// While panicking, when the threshold was last exceeded.
    pub fn panic_time(&self) -> Option<SimTime> {
        self.panic_time
    }

    /// The largest size of this panic.
    pub fn max_panic_pods(&self) -> Replicas {
        self.max_panic_pods
    }

    /// Decides at `now`, which may not lie before an earlier call's.
    ///
    /// # Errors
    /// Why there is no decision; nothing has changed then.
    pub fn scale(
        &mut self,
        now: SimTime,
        ready: ReadyCount,
        observed: Result<Observed, MetricError>,
    ) -> Result<ScaleResult, InvalidScale> {
        let ready = match ready {
            Ok(ready) => ready,
            Err(PodListerError::NotFound) => Replicas::ZERO,
            Err(PodListerError::Failed) => return Err(InvalidScale::PodLister),
        };
        let observed = observed.map_err(InvalidScale::Metric)?;
        let spec = &self.spec;
        let at_least_one = f64::from(ready.get().max(1));
        // Rounded up, so that a rate just above 1 still adds a pod.
        let max_scale_up = (spec.max_scale_up_rate * at_least_one).ceil();
        let max_scale_down =
            if spec.reachable { (at_least_one / spec.max_scale_down_rate).floor() } else { 0.0 };
        let stable_pods = (observed.stable / spec.target_value).ceil();
        let panic_pods = (observed.panic / spec.target_value).ceil();
        let candidate = |pods, window| self.candidate(pods, window, max_scale_down, max_scale_up);
        let stable = candidate(stable_pods, ShapedBy::StableWindow);
        let panic = candidate(panic_pods, ShapedBy::PanicWindow);

        let over_panic_threshold = panic_pods / at_least_one >= spec.panic_threshold;
        self.follow_panic(over_panic_threshold, now);
        let panicking = self.panic_time.is_some();
        let decided = if panicking { self.hold_panic(stable, panic) } else { stable };
        let delayed = self.delay(decided, now);
        Ok(ScaleResult {
            desired_pod_count: delayed.pods,
            excess_burst_capacity: self.excess_burst_capacity(ready, observed.panic),
            shaped_by: delayed.shaped_by,
            ready_pods: ready,
            observed,
            target_value: self.spec.target_value,
            stable_pods,
            panic_pods,
            max_scale_up,
            max_scale_down,
            desired_stable: stable.pods,
            desired_panic: panic.pods,
            over_panic_threshold,
            panicking,
            max_panic_pods: self.max_panic_pods,
            before_delay: self.delays().then_some(decided.pods),
        })
    }

    /// The size that a window asks for, within what one decision may change.
    fn candidate(&self, pods: f64, window: ShapedBy, lowest: f64, highest: f64) -> Candidate {
        let limited = pods.max(lowest).min(highest);
        let shaped_by = if limited < pods {
            ShapedBy::MaxScaleUpRate
        } else if limited > pods {
            ShapedBy::MaxScaleDownRate
        } else {
            window
        };
        let limited = Replicas(go::int32(limited));
        let activation = self.spec.activation_scale;
        // The window's own wish counts, so that the limit downwards alone keeps no service active.
        if activation > Replicas(1) && pods > 0.0 && activation > limited {
            Candidate { pods: activation, shaped_by: ShapedBy::ActivationScale }
        } else {
            Candidate { pods: limited, shaped_by }
        }
    }

    /// Panic begins or goes on with the threshold exceeded, and ends a stable window after it last was.
    fn follow_panic(&mut self, over_panic_threshold: bool, now: SimTime) {
        if over_panic_threshold {
            self.panic_time = Some(now);
        } else if self.panic_time.is_some_and(|last| now.since(last) > self.spec.stable_window) {
            self.panic_time = None;
            self.max_panic_pods = Replicas::ZERO;
        }
    }

    /// In panic mode the larger window counts, and the size only grows.
    fn hold_panic(&mut self, stable: Candidate, panic: Candidate) -> Candidate {
        let wanted = if stable.pods < panic.pods { panic } else { stable };
        if wanted.pods < self.max_panic_pods {
            return Candidate { pods: self.max_panic_pods, shaped_by: ShapedBy::PanicMode };
        }
        self.max_panic_pods = wanted.pods;
        wanted
    }

    /// Whether a scale-down delay is in force.
    fn delays(&self) -> bool {
        self.spec.reachable && self.delay_window.is_some()
    }

    /// The largest size within the scale-down delay. Without a window this differs from one of a single bucket, in which
    /// two decisions would count as the larger.
    fn delay(&mut self, decided: Candidate, now: SimTime) -> Candidate {
        let at = self.epoch.at(now);
        match &mut self.delay_window {
            Some(window) if self.spec.reachable => match window.record(at, decided.pods) {
                largest if largest == decided.pods => decided,
                largest => Candidate { pods: largest, shaped_by: ShapedBy::ScaleDownDelay },
            },
            _ => decided,
        }
    }

    /// By the panic window, so that the activator is not put into the path of requests and taken out again at every step.
    /// Pods that are ready count with their total value, not with the target.
    fn excess_burst_capacity(&self, ready: Replicas, panic: f64) -> i32 {
        let target_burst_capacity = self.spec.target_burst_capacity;
        let excess = if target_burst_capacity == 0.0 {
            0.0
        } else if target_burst_capacity > 0.0 {
            let capacity = f64::from(ready.get()) * self.spec.total_value;
            (capacity - target_burst_capacity - panic).floor()
        } else {
            -1.0
        };
        go::int32(excess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(s)
    }

    fn autoscaler(text: &str, ready: i32) -> Autoscaler {
        let spec = DeciderSpec::of(&toml::from_str(text).expect(text), true);
        Autoscaler::new(spec, Ok(Replicas(ready)), UnixMillis(0), SimTime::ZERO)
    }

    /// A decision at second `now`.
    fn decide(autoscaler: &mut Autoscaler, now: u64, ready: i32, stable: f64, panic: f64) -> ScaleResult {
        autoscaler.scale(at(now), Ok(Replicas(ready)), Ok(Observed { stable, panic })).expect("it is valid")
    }

    const TEN: &str = "target = 10\ntarget_utilization_percentage = 100\n";

    #[test]
    fn the_last_rule_that_changed_the_size_is_named() {
        let cases = [
            ("", 1, 35.0, 10.0, 4, ShapedBy::StableWindow),
            ("", 1, 10.0, 35.0, 4, ShapedBy::PanicWindow),
            ("", 8, 5.0, 5.0, 4, ShapedBy::MaxScaleDownRate),
            ("config.max_scale_up_rate = 1.5\n", 2, 90.0, 0.0, 3, ShapedBy::MaxScaleUpRate),
            ("activation_scale = 3\n", 0, 5.0, 5.0, 3, ShapedBy::ActivationScale),
            ("activation_scale = 3\n", 0, 0.0, 0.0, 0, ShapedBy::StableWindow),
            ("", 0, 0.0, 0.0, 0, ShapedBy::StableWindow),
        ];
        for (text, ready, stable, panic, pods, shaped_by) in cases {
            // Created without a pod, so that no panic holds the size.
            let mut autoscaler = autoscaler(&format!("{TEN}{text}"), 0);
            let result = decide(&mut autoscaler, 2, ready, stable, panic);
            assert_eq!((result.desired_pod_count, result.shaped_by), (Replicas(pods), shaped_by), "{text}");
        }
    }

    #[test]
    fn a_restart_keeps_the_size_for_a_stable_window() {
        let mut autoscaler = autoscaler(TEN, 4);
        let result = decide(&mut autoscaler, 60, 4, 10.0, 10.0);
        assert_eq!((result.desired_pod_count, result.shaped_by), (Replicas(4), ShapedBy::PanicMode));
        let result = decide(&mut autoscaler, 61, 4, 10.0, 10.0);
        assert_eq!((result.desired_pod_count, result.panicking), (Replicas(2), false));
        assert_eq!((autoscaler.panic_time(), autoscaler.max_panic_pods()), (None, Replicas::ZERO));
    }

    #[test]
    fn panic_counts_whole_pods_and_only_goes_up() {
        let mut autoscaler = autoscaler(TEN, 1);
        // 1.1 pods are two, which is twice the one that is ready.
        let result = decide(&mut autoscaler, 2, 1, 0.0, 11.0);
        assert!(result.panicking && result.over_panic_threshold);
        assert_eq!(decide(&mut autoscaler, 4, 1, 0.0, 51.0).desired_pod_count, Replicas(6));
        let result = decide(&mut autoscaler, 6, 6, 20.0, 20.0);
        assert_eq!((result.desired_pod_count, result.shaped_by), (Replicas(6), ShapedBy::PanicMode));
        // Last over the threshold at 4 s.
        assert!(decide(&mut autoscaler, 64, 6, 40.0, 20.0).panicking);
        assert_eq!(decide(&mut autoscaler, 66, 6, 40.0, 20.0).desired_pod_count, Replicas(4));
    }

    #[test]
    fn the_delay_of_creation_stays_and_holds_the_largest_size() {
        let mut autoscaler = autoscaler(&format!("{TEN}scale_down_delay = '6s'\n"), 1);
        let sizes = [(2, 30.0, 3), (4, 10.0, 3), (6, 10.0, 3), (8, 10.0, 1)];
        for (now, stable, expected) in sizes {
            let result = decide(&mut autoscaler, now, 2, stable, 0.0);
            assert_eq!(result.desired_pod_count, Replicas(expected), "at {now}");
            assert!(result.before_delay.is_some());
        }
        autoscaler.update(DeciderSpec { reachable: false, ..autoscaler.spec().clone() });
        assert_eq!(decide(&mut autoscaler, 10, 2, 30.0, 0.0).before_delay, None);
        autoscaler.update(DeciderSpec {
            reachable: true,
            scale_down_delay: SimDuration::ZERO,
            ..autoscaler.spec().clone()
        });
        assert_eq!(decide(&mut autoscaler, 12, 2, 20.0, 0.0).desired_pod_count, Replicas(2));
        let result = decide(&mut autoscaler, 14, 2, 10.0, 0.0);
        assert_eq!((result.desired_pod_count, result.shaped_by), (Replicas(2), ShapedBy::ScaleDownDelay));
    }

    #[test]
    fn excess_burst_capacity_counts_what_ready_pods_can_take() {
        for (burst, ready, panic, excess) in [
            (0.0, 1, 99.0, 0),
            (-1.0, 9, 0.0, -1),
            (15.0, 3, 7.5, 7),
            (15.0, 0, 0.0, -15),
            (15.0, 1, 0.0, -5),
        ] {
            let mut autoscaler = autoscaler(&format!("{TEN}target_burst_capacity = {burst}\n"), 0);
            assert_eq!(decide(&mut autoscaler, 2, ready, 0.0, panic).excess_burst_capacity, excess);
        }
    }

    #[test]
    fn an_invalid_decision_changes_nothing() {
        let mut autoscaler = autoscaler(TEN, 3);
        let before = autoscaler.clone();
        let observed = Ok(Observed { stable: 500.0, panic: 500.0 });
        let failed = autoscaler.scale(at(2), Err(PodListerError::Failed), observed);
        assert_eq!(failed, Err(InvalidScale::PodLister));
        let no_data = autoscaler.scale(at(4), Ok(Replicas(1)), Err(MetricError::NoData));
        assert_eq!(no_data, Err(InvalidScale::Metric(MetricError::NoData)));
        assert_eq!(autoscaler, before);
        let json = serde_json::to_string(&InvalidScale::Metric(MetricError::NoData)).expect("serializes");
        assert_eq!(json, r#"{"cause":"metric","error":"no_data"}"#);
        let missing = autoscaler.scale(at(6), Err(PodListerError::NotFound), observed).expect("it is valid");
        assert_eq!(missing.ready_pods, Replicas::ZERO);
    }
}
