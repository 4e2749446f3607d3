//! The ring of recent recommendations, and how it holds a proposal back (`horizontal.go`).

use super::spec::CompleteBehavior;
use crate::units::{Replicas, SimDuration, SimTime};
use serde::Serialize;

/// Recent proposals, raw: not cut by bounds or rate limits. Kept in the controller's memory alone.
///
/// As upstream, an entry past the windows is overwritten in place and the order is not kept, so the ring stays as
/// long as the longest window has syncs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recommendations {
    ring: Vec<(SimTime, Replicas)>,
}

/// What stabilization made of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stabilized {
    /// Window upwards in seconds; 0 on the path without behavior.
    pub up_window_s: u64,
    /// Window downwards in seconds.
    pub down_window_s: u64,
    /// The lowest recommendation of the window upwards, the proposal included.
    pub lowest: Replicas,
    /// The highest recommendation of the window downwards, the proposal included.
    pub highest: Replicas,
    /// The stabilized recommendation.
    pub replicas: Replicas,
}

impl Recommendations {
    /// Stores the present size where nothing was recommended yet: a new HPA starts with the size that it finds, so it
    /// cannot scale down for a whole window.
    pub(super) fn record_initial(&mut self, current: Replicas, now: SimTime) {
        if self.ring.is_empty() {
            self.ring.push((now, current));
        }
    }

    /// Without behavior (`stabilizeRecommendation`): the highest of the window downwards, whose far edge is inside.
    pub(super) fn highest_of(&mut self, proposal: Replicas, window: SimDuration, now: SimTime) -> Stabilized {
        let mut highest = proposal;
        let mut recyclable = None;
        for (slot, &(at, recommended)) in self.ring.iter().enumerate() {
            if now.since(at) > window {
                recyclable = Some(slot);
            } else {
                highest = highest.max(recommended);
            }
        }
        self.store(proposal, recyclable, now);
        Stabilized {
            up_window_s: 0,
            down_window_s: whole_seconds(window),
            lowest: proposal,
            highest,
            replicas: highest,
        }
    }

    /// With behavior (`stabilizeRecommendationWithBehaviors`): the **present size**, brought between the lowest of the
    /// window upwards and the highest of the window downwards, whose far edges are outside.
    pub(super) fn clamp_current(
        &mut self,
        proposal: Replicas,
        current: Replicas,
        behavior: &CompleteBehavior,
        now: SimTime,
    ) -> Stabilized {
        let up_window = behavior.scale_up.stabilization_window;
        let down_window = behavior.scale_down.stabilization_window;
        let (mut lowest, mut highest) = (proposal, proposal);
        let mut recyclable = None;
        for (slot, &(at, recommended)) in self.ring.iter().enumerate() {
            let age = now.since(at);
            if age < up_window {
                lowest = lowest.min(recommended);
            }
            if age < down_window {
                highest = highest.max(recommended);
            }
            if age > up_window && age > down_window {
                recyclable = Some(slot);
            }
        }
        self.store(proposal, recyclable, now);
        Stabilized {
            up_window_s: whole_seconds(up_window),
            down_window_s: whole_seconds(down_window),
            lowest,
            highest,
            // Not `clamp`: after the first bound the second still counts where they cross.
            replicas: current.max(lowest).min(highest),
        }
    }

    fn store(&mut self, proposal: Replicas, recyclable: Option<usize>, now: SimTime) {
        match recyclable {
            Some(slot) => self.ring[slot] = (now, proposal),
            None => self.ring.push((now, proposal)),
        }
    }
}

fn whole_seconds(window: SimDuration) -> u64 {
    window.as_millis() / 1000
}

#[cfg(test)]
mod tests {
    use super::super::behavior::{Behavior, ScalingRules};
    use super::super::flags::ControllerManagerFlags;
    use super::*;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(seconds)
    }

    #[test]
    fn without_behavior_the_far_edge_counts() {
        let mut ring = Recommendations::default();
        ring.record_initial(Replicas(5), at(0));
        let window = SimDuration::from_secs(60);
        assert_eq!(ring.highest_of(Replicas(2), window, at(60)).replicas, Replicas(5));
        assert_eq!(ring.highest_of(Replicas(1), window, at(61)).replicas, Replicas(2));
        // The entry of t = 0 was overwritten by the last call.
        assert_eq!(ring.ring.len(), 2);
    }

    #[test]
    fn with_behavior_the_present_size_is_clamped_and_the_far_edge_is_outside() {
        let rules = |seconds| {
            Some(ScalingRules { stabilization_window_seconds: Some(seconds), ..ScalingRules::default() })
        };
        let behavior = Behavior { scale_up: rules(30), scale_down: rules(60) };
        let behavior = CompleteBehavior::of(&behavior, &ControllerManagerFlags::default()).expect("complete");
        let mut ring = Recommendations::default();
        ring.record_initial(Replicas(4), at(0));
        let mut clamp = |proposal, current, t| {
            ring.clamp_current(Replicas(proposal), Replicas(current), &behavior, at(t)).replicas.get()
        };
        assert_eq!(clamp(8, 4, 15), 4, "the first size is in the window upwards");
        assert_eq!(clamp(6, 4, 30), 6, "the lowest of 8 and 6, the first size is at the edge");
        assert_eq!(clamp(1, 6, 59), 6, "8, 6 and 4 are in the window downwards");
        assert_eq!(clamp(1, 6, 76), 6, "6 was recommended 46 s ago");
        assert_eq!(clamp(1, 6, 91), 1);
    }
}
