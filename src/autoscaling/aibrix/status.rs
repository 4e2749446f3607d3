//! The object's status, as far as writing it wakes the controller up (`podautoscaler_controller.go`, v0.7.0).

use crate::units::Replicas;

/// `status` of the PodAutoscaler, without its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// `actualScale` and `desiredScale` of the last reconcile.
    scale: Scales,
    /// What the conditions speak of: the scales that a reconcile found, not those that it leaves (`computeStatus`).
    described: Scales,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scales {
    actual: Replicas,
    desired: Replicas,
}

impl Status {
    /// Ends a reconcile that found `current` replicas and wants `desired`: whether the status changes, which makes the
    /// controller reconcile again at once.
    ///
    /// After a change of size that is so at least twice more: for the scales, and for the conditions, which lag behind. A
    /// strategy that multiplies the size it finds, while the new pods have no samples, so goes on to its bound within a
    /// second.
    pub(super) fn update(&mut self, current: Replicas, desired: Replicas) -> bool {
        let before = *self;
        *self = Status { scale: Scales { actual: current, desired }, described: before.scale };
        // A scaling is entered into `scalingHistory` with its time.
        *self != before || current != desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_size_echoes_until_scales_and_conditions_agree() {
        let mut status = Status::default();
        let mut writes = |sizes: [(i32, i32); 4]| {
            sizes.map(|(current, desired)| status.update(Replicas(current), Replicas(desired)))
        };
        assert_eq!(writes([(2, 2); 4]), [true, true, false, false], "when it is created");
        assert_eq!(writes([(2, 4), (4, 4), (4, 4), (4, 4)]), [true, true, true, false]);
    }
}
