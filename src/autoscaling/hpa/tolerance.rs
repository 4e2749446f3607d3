//! When a ratio is close enough to 1 to leave the size alone.

use super::spec::HpaSpec;
use serde::Serialize;

/// How far the ratio of usage to target may be from 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// Allowed above 1, as a fraction.
    pub up: f64,
    /// Allowed below 1, as a fraction.
    pub down: f64,
    /// Whether the bounds are compared with the ratio (Kubernetes 1.33 and later) or `|1 - ratio|` with `up`.
    #[serde(skip)]
    by_direction: bool,
}

impl Tolerance {
    /// The tolerance of an HPA: the cluster's flag, overridden per direction by `behavior.*.tolerance`.
    pub fn of(spec: &HpaSpec) -> Self {
        let flag = spec.flags.tolerance;
        let by_direction = spec.flags.kubernetes.tests_tolerance_by_direction();
        let (up, down) = spec
            .behavior
            .as_ref()
            .map_or((None, None), |behavior| (behavior.scale_up.tolerance, behavior.scale_down.tolerance));
        Tolerance { up: up.unwrap_or(flag), down: down.unwrap_or(flag), by_direction }
    }

    /// Whether `ratio` calls for no change; NaN never does.
    ///
    /// The two forms differ in the last bits: with 0.1 a ratio of 1.1 is outside of `|1 - 1.1|` =
    /// 0.10000000000000009 <= 0.1 and inside of 1.1 <= 1 + 0.1.
    pub fn holds(&self, ratio: f64) -> bool {
        if self.by_direction {
            (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
        } else {
            (1.0 - ratio).abs() <= self.up
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_differ_at_eleven_tenths() {
        let tolerance = |by_direction| Tolerance { up: 0.1, down: 0.1, by_direction };
        assert!(!tolerance(false).holds(11.0 / 10.0) && tolerance(true).holds(11.0 / 10.0));
        assert!(tolerance(false).holds(0.9) && tolerance(true).holds(0.9));
        for by_direction in [false, true] {
            assert!(
                !tolerance(by_direction).holds(f64::NAN) && !tolerance(by_direction).holds(f64::INFINITY)
            );
        }
    }

    #[test]
    fn directions_have_bounds_of_their_own() {
        // The numbers of Kubernetes' integration test: 5 % up and 50 % down around 3500 a replica.
        let tolerance = Tolerance { up: 0.05, down: 0.5, by_direction: true };
        let holds = |usage: f64| tolerance.holds(usage / 3500.0);
        assert!(holds(3600.0) && !holds(3700.0) && holds(1800.0) && !holds(1700.0));
    }
}
