//! The Weibull distribution from its mean and its coefficient of variation.

/// The least and greatest shape that is solved for. They belong to a `cv` of 429 and of 0.0013.
const SHAPES: (f64, f64) = (0.1, 1000.0);

/// The shape with this `cv`, or `None` when it would lie beyond 0.1 to 1000.
///
/// With g(k) = Gamma(1 + k / shape), cv^2 = g(2) / g(1)^2 - 1, which falls as the shape grows.
pub(super) fn shape_of_cv(cv: f64) -> Option<f64> {
    let wanted = libm::log1p(cv * cv);
    let (mut low, mut high) = SHAPES;
    // Written so that a `cv` that is no number is refused too.
    if !(log_ratio(high) <= wanted && wanted <= log_ratio(low)) {
        return None;
    }
    // 80 halvings of the bracket leave less than an `f64` resolves.
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if log_ratio(middle) > wanted { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// The mean at scale 1: g(1).
pub(super) fn unit_mean(shape: f64) -> f64 {
    libm::exp(libm::lgamma(1.0 + 1.0 / shape))
}

/// ln(1 + cv^2) at `shape`.
fn log_ratio(shape: f64) -> f64 {
    libm::lgamma(1.0 + 2.0 / shape) - 2.0 * libm::lgamma(1.0 + 1.0 / shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_shapes_are_found() {
        // Shape 1 is the exponential (cv 1); shape 1/2 has mean 2 and variance 20 at scale 1.
        for (cv, shape, mean) in [(1.0, 1.0, 1.0), (5f64.sqrt(), 0.5, 2.0)] {
            let found = shape_of_cv(cv).expect("in range");
            assert!(
                (found - shape).abs() < 1e-12 && (unit_mean(found) - mean).abs() < 1e-11,
                "{cv}: {found}"
            );
        }
    }

    #[test]
    fn a_cv_that_no_shape_in_range_has_is_refused() {
        for cv in [0.0, 1e-4, 1e4, f64::NAN] {
            assert_eq!(shape_of_cv(cv), None, "{cv}");
        }
    }
}
