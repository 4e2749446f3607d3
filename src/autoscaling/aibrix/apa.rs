//! Strategy APA: the size times the ratio of value and target (`algorithm/apa.go`, v0.7.0).

use super::annotations::ScalingContext;
use crate::autoscaling::go;
use crate::units::Replicas;
use serde::Serialize;

/// What led to a proposal of APA.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ApaProposal {
    /// Mean of the stable window over the target.
    pub ratio: f64,
    /// The most, or the fewest, that the scale rate allows; `None` inside of the tolerance.
    pub rate_limit: Option<Replicas>,
    /// The size before the bounds.
    pub replicas: Replicas,
}

/// The size for a mean of `stable` and a `target` above 0, at `current` replicas.
///
/// The ratio is not about the pods that the samples are of: while new pods start, each reconcile multiplies anew.
pub(super) fn propose(current: Replicas, stable: f64, target: f64, context: &ScalingContext) -> ApaProposal {
    let pods = f64::from(current.get());
    let ratio = stable / target;
    let wanted = Replicas(go::int32(libm::ceil(pods * ratio)));
    if ratio > 1.0 + context.scale_up_tolerance {
        let most = Replicas(go::int32(libm::ceil(context.max_scale_up_rate * pods)));
        return ApaProposal { ratio, rate_limit: Some(most), replicas: wanted.min(most) };
    }
    if ratio < 1.0 - context.scale_down_tolerance {
        let fewest = Replicas(go::int32(libm::floor(pods / context.max_scale_down_rate)));
        return ApaProposal { ratio, rate_limit: Some(fewest), replicas: wanted.max(fewest) };
    }
    ApaProposal { ratio, rate_limit: None, replicas: current }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(current: i32, stable: f64) -> i32 {
        propose(Replicas(current), stable, 0.5, &ScalingContext::default()).replicas.get()
    }

    #[test]
    fn the_size_follows_the_ratio_within_the_rates() {
        assert_eq!(replicas(4, 0.6), 5);
        assert_eq!(replicas(4, 5.0), 8, "at most twice as many");
        assert_eq!(replicas(4, 0.3), 3);
        assert_eq!(replicas(5, 0.0), 2, "at most halved, rounded down");
        assert_eq!(replicas(1, 0.0), 0);
        assert_eq!(replicas(0, 5.0), 0, "none stays none");
    }

    #[test]
    fn at_the_edge_of_the_tolerance_nothing_changes() {
        let context = ScalingContext::default();
        let proposal = |stable| propose(Replicas(10), stable, 1.0, &context);
        // 1 + 0.1 and 1 - 0.1 as floats, and what is next to them.
        assert_eq!(proposal(1.1).rate_limit, None);
        assert_eq!(proposal(0.9).rate_limit, None);
        assert_eq!(proposal(1.100_000_000_000_000_3).replicas, Replicas(12));
        assert_eq!(proposal(0.899_999_999_999_999_9).replicas, Replicas(9));
        assert_eq!(proposal(f64::NAN).replicas, Replicas(10));
    }
}
