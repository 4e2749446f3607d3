//! Strategy KPA: after Knative's autoscaler, with a stable and a panic window (`algorithm/kpa.go`, v0.7.0).
//!
//! Unlike Knative's it keeps no panic: each reconcile compares the windows anew, and a size that was reached in panic is
//! not held. And it does not multiply by the pods: the samples are means per pod, so it asks for mean / target pods.

use super::annotations::ScalingContext;
use crate::autoscaling::go;
use crate::units::Replicas;
use serde::Serialize;

/// Which window a reconcile goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The stable window's.
    Stable,
    /// The larger of both: the panic window's mean is a multiple of the stable window's, or that is not above 0.
    Panic,
}

/// What led to a proposal of KPA.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KpaProposal {
    /// Which windows count.
    pub mode: Mode,
    /// The size for the stable window's mean, within the rates.
    pub stable_replicas: Replicas,
    /// The size for the panic window's mean, within the rates.
    pub panic_replicas: Replicas,
    /// The most that the scale-up rate allows, at least 1.
    pub most: f64,
    /// The fewest that the scale-down rate allows.
    pub fewest: f64,
    /// The size before the bounds.
    pub replicas: Replicas,
}

/// The size for means of `stable` and `panic` and a `target` above 0, at `current` replicas.
pub(super) fn propose(
    current: Replicas,
    (stable, panic): (f64, f64),
    target: f64,
    context: &ScalingContext,
) -> KpaProposal {
    let pods = f64::from(current.get().max(0));
    let most = libm::ceil(context.max_scale_up_rate * pods).max(1.0);
    let fewest = libm::floor(pods / context.max_scale_down_rate);
    let wanted = |mean: f64| {
        let above = mean > target * (1.0 + context.scale_up_tolerance);
        let below = mean < target * (1.0 - context.scale_down_tolerance);
        let pods = if above || below { libm::ceil(mean / target) } else { f64::from(current.get()) };
        // The lower limit first: with a divisor below 1 it may lie above the upper one.
        Replicas(go::int32(pods.max(fewest).min(most)))
    };
    let (stable_replicas, panic_replicas) = (wanted(stable), wanted(panic));
    let mode =
        if stable <= 0.0 || panic / stable > context.panic_threshold { Mode::Panic } else { Mode::Stable };
    let replicas = match mode {
        Mode::Stable => stable_replicas,
        // `maxPanicPods` is 0 at each reconcile, since nothing stores it.
        Mode::Panic => stable_replicas.max(panic_replicas).max(Replicas::ZERO),
    };
    KpaProposal { mode, stable_replicas, panic_replicas, most, fewest, replicas }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(current: i32, stable: f64, panic: f64) -> KpaProposal {
        propose(Replicas(current), (stable, panic), 10.0, &ScalingContext::default())
    }

    #[test]
    fn the_mean_over_the_target_within_the_rates_is_the_size() {
        assert_eq!(proposal(3, 35.0, 35.0).replicas, Replicas(4));
        assert_eq!(proposal(3, 100.0, 100.0).replicas, Replicas(6));
        assert_eq!(proposal(8, 12.0, 12.0).replicas, Replicas(4), "above the target, and yet half as many");
        assert_eq!(proposal(8, 10.5, 10.5).replicas, Replicas(8), "within the tolerance");
        assert_eq!(proposal(0, 35.0, 35.0).replicas, Replicas(1));
    }

    #[test]
    fn panic_is_a_ratio_of_means_above_the_threshold() {
        let at_threshold = proposal(4, 30.0, 60.0);
        assert_eq!((at_threshold.mode, at_threshold.replicas), (Mode::Stable, Replicas(3)));
        let above = proposal(4, 30.0, 61.0);
        assert_eq!((above.mode, above.replicas), (Mode::Panic, Replicas(7)));
        let idle = proposal(4, 0.0, 0.0);
        assert_eq!((idle.mode, idle.replicas), (Mode::Panic, Replicas(2)), "nothing holds the size in panic");
    }

    #[test]
    fn a_mean_that_is_no_number_changes_nothing() {
        let proposal = proposal(4, f64::NAN, f64::NAN);
        assert_eq!((proposal.mode, proposal.replicas), (Mode::Stable, Replicas(4)));
    }
}
