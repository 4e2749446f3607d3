//! Trigonometric and hyperbolic functions, of radians.
//!
//! They come from `libm`, so that every machine gives the same bits. Prometheus uses Go's math package, whose results may
//! differ from these in the last bits: both are within an ulp or two of the true value.

pub(in super::super) fn sin(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::sin(x))
}

pub(in super::super) fn cos(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::cos(x))
}

pub(in super::super) fn tan(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::tan(x))
}

pub(in super::super) fn asin(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::asin(x))
}

pub(in super::super) fn acos(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::acos(x))
}

pub(in super::super) fn atan(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::atan(x))
}

pub(in super::super) fn sinh(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::sinh(x))
}

pub(in super::super) fn cosh(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::cosh(x))
}

pub(in super::super) fn tanh(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::tanh(x))
}

pub(in super::super) fn asinh(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::asinh(x))
}

pub(in super::super) fn acosh(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::acosh(x))
}

pub(in super::super) fn atanh(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::atanh(x))
}

/// `deg(v)`: radians to degrees.
pub(in super::super) fn deg(x: f64, _: &[f64]) -> Option<f64> {
    Some(x * 180.0 / std::f64::consts::PI)
}

/// `rad(v)`: degrees to radians.
pub(in super::super) fn rad(x: f64, _: &[f64]) -> Option<f64> {
    Some(x * std::f64::consts::PI / 180.0)
}

#[cfg(test)]
mod tests {
    use super::super::SampleFunction;
    use super::*;

    #[test]
    fn inverses_undo_and_domains_end_where_ieee_says() {
        let pairs: [(SampleFunction, SampleFunction, f64); 6] = [
            (sin, asin, 0.5),
            (cos, acos, 0.5),
            (tan, atan, 0.5),
            (sinh, asinh, -2.0),
            (cosh, acosh, 2.0),
            (tanh, atanh, 0.25),
        ];
        for (function, inverse, x) in pairs {
            let back = function(x, &[]).and_then(|y| inverse(y, &[])).expect("a value");
            assert!((back - x).abs() < 1e-15, "{back} for {x}");
        }
        for (function, x) in [(asin as SampleFunction, 1.1), (acos, -1.1), (acosh, 0.9), (atanh, 1.1)] {
            assert!(function(x, &[]).is_some_and(f64::is_nan), "{x}");
        }
        assert_eq!(atanh(1.0, &[]), Some(f64::INFINITY));
        assert!(sin(f64::INFINITY, &[]).is_some_and(f64::is_nan));
    }

    #[test]
    fn a_half_turn_is_180_degrees() {
        assert_eq!(deg(std::f64::consts::PI, &[]), Some(180.0));
        assert_eq!(rad(180.0, &[]), Some(std::f64::consts::PI));
    }
}
