//! Recent changes of size that the HPA made itself: what its rate limits count (`horizontal.go`).

use super::spec::CompleteBehavior;
use crate::units::{Replicas, SimDuration, SimTime};

/// Changes of both directions. Changes by KEDA or by people are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScaleEvents {
    up: Vec<ScaleEvent>,
    down: Vec<ScaleEvent>,
}

/// One change by `replicas`, a positive number in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ScaleEvent {
    at: SimTime,
    replicas: i32,
}

impl ScaleEvents {
    /// Stores the change from `from` to `to` (`storeScaleEvent`).
    ///
    /// The last event that is older than the longest period of its own direction is overwritten. Limits of the other
    /// direction may still have wanted it: that is upstream's behaviour.
    pub(super) fn store(&mut self, behavior: &CompleteBehavior, from: Replicas, to: Replicas, now: SimTime) {
        let (events, rules) = if to > from {
            (&mut self.up, &behavior.scale_up)
        } else {
            (&mut self.down, &behavior.scale_down)
        };
        let event = ScaleEvent { at: now, replicas: to.get().wrapping_sub(from.get()).wrapping_abs() };
        let longest = rules.longest_period();
        match events.iter().rposition(|event| now.since(event.at) > longest) {
            Some(slot) => events[slot] = event,
            None => events.push(event),
        }
    }

    /// The size at the start of a period that ends now, as the events tell: `current` without the ups and with the
    /// downs of less than `period` ago.
    pub(super) fn size_before(&self, current: Replicas, period: SimDuration, now: SimTime) -> Replicas {
        let sum = |events: &[ScaleEvent]| {
            let recent = events.iter().filter(|event| now.since(event.at) < period);
            recent.fold(0_i32, |sum, event| sum.wrapping_add(event.replicas))
        };
        Replicas(current.get().wrapping_sub(sum(&self.up)).wrapping_add(sum(&self.down)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::behavior::{Behavior, PolicyKind, ScalingPolicy, ScalingRules};
    use super::super::flags::ControllerManagerFlags;
    use super::*;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(seconds)
    }

    #[test]
    fn both_directions_count_and_short_periods_destroy_what_long_ones_want() {
        let rules = |period_seconds| {
            let policies = Some(vec![ScalingPolicy { kind: PolicyKind::Pods, value: 1, period_seconds }]);
            Some(ScalingRules { policies, ..ScalingRules::default() })
        };
        let behavior = Behavior { scale_up: rules(10), scale_down: rules(600) };
        let behavior = CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).expect("complete");
        let mut events = ScaleEvents::default();
        events.store(&behavior, Replicas(1), Replicas(4), at(0));
        events.store(&behavior, Replicas(4), Replicas(2), at(5));
        assert_eq!(events.size_before(Replicas(2), SimDuration::from_secs(60), at(10)), Replicas(1));
        assert_eq!(events.size_before(Replicas(2), SimDuration::from_secs(6), at(10)), Replicas(4));
        // The up of t = 0 is past its own 10 s, so the next one takes its slot.
        events.store(&behavior, Replicas(2), Replicas(3), at(20));
        assert_eq!(events.size_before(Replicas(3), SimDuration::from_secs(600), at(20)), Replicas(4));
    }
}
