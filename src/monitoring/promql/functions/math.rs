//! Functions of one value. What is not arithmetic comes from `libm`, so every machine gives the same bits; Go's own differ in
//! the last bit here and there.

pub(in super::super) fn abs(x: f64, _: &[f64]) -> Option<f64> {
    Some(x.abs())
}

pub(in super::super) fn ceil(x: f64, _: &[f64]) -> Option<f64> {
    Some(x.ceil())
}

pub(in super::super) fn floor(x: f64, _: &[f64]) -> Option<f64> {
    Some(x.floor())
}

pub(in super::super) fn sqrt(x: f64, _: &[f64]) -> Option<f64> {
    Some(x.sqrt())
}

pub(in super::super) fn ln(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::log(x))
}

pub(in super::super) fn exp(x: f64, _: &[f64]) -> Option<f64> {
    Some(libm::exp(x))
}

/// `log2(v)`, as Go takes it apart (math/log10.go): the digits decide whether a comparison holds.
pub(in super::super) fn log2(x: f64, _: &[f64]) -> Option<f64> {
    let (fraction, exponent) = libm::frexp(x);
    let exponent = f64::from(exponent);
    // So powers of two are exact.
    if fraction == 0.5 {
        return Some(exponent - 1.0);
    }
    Some(libm::log(fraction) * std::f64::consts::LOG2_E + exponent)
}

/// `log10(v)`, as Go has it: 2.9999999999999996 of 1000.
pub(in super::super) fn log10(x: f64, _: &[f64]) -> Option<f64> {
    log2(x, &[]).map(|log2| log2 * std::f64::consts::LOG10_2)
}

pub(in super::super) fn sgn(x: f64, _: &[f64]) -> Option<f64> {
    // Zeros and NaN are their own signs.
    Some(if x < 0.0 {
        -1.0
    } else if x > 0.0 {
        1.0
    } else {
        x
    })
}

pub(in super::super) fn negate(x: f64, _: &[f64]) -> Option<f64> {
    Some(-x)
}

/// `clamp(v, min, max)`: an empty interval leaves every sample out.
pub(in super::super) fn clamp(x: f64, bounds: &[f64]) -> Option<f64> {
    let (min, max) = (bounds[0], bounds[1]);
    let empty = max < min;
    (!empty).then(|| greater(min, lesser(max, x)))
}

/// Go's `math.Max`: infinity beats NaN, NaN beats numbers. Rust's own `max` would skip a NaN.
fn greater(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`.
fn lesser(a: f64, b: f64) -> f64 {
    -greater(-a, -b)
}

/// `clamp_max(v, max)`.
pub(in super::super) fn clamp_max(x: f64, bounds: &[f64]) -> Option<f64> {
    clamp(x, &[f64::NEG_INFINITY, bounds[0]])
}

/// `clamp_min(v, min)`.
pub(in super::super) fn clamp_min(x: f64, bounds: &[f64]) -> Option<f64> {
    clamp(x, &[bounds[0], f64::INFINITY])
}

/// `round(v, to_nearest = 1)`: ties go up.
pub(in super::super) fn round(x: f64, to_nearest: &[f64]) -> Option<f64> {
    // The inverse seems to cause fewer rounding errors (promql/functions.go, `funcRound`).
    let inverse = 1.0 / to_nearest.first().copied().unwrap_or(1.0);
    Some((x * inverse + 0.5).floor() / inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamping_keeps_nan_and_an_empty_interval_keeps_nothing() {
        assert_eq!(clamp(5.0, &[1.0, 3.0]), Some(3.0));
        assert_eq!(clamp(-5.0, &[1.0, 3.0]), Some(1.0));
        assert_eq!(clamp(2.0, &[3.0, 1.0]), None);
        assert!(clamp(f64::NAN, &[1.0, 3.0]).is_some_and(f64::is_nan));
        assert!(clamp_min(1.0, &[f64::NAN]).is_some_and(f64::is_nan));
        assert_eq!((clamp_max(7.0, &[4.0]), clamp_min(f64::NEG_INFINITY, &[4.0])), (Some(4.0), Some(4.0)));
    }

    #[test]
    fn rounding_sends_ties_up() {
        let rounded = [(2.5, 3.0), (-2.5, -2.0), (2.4, 2.0)].map(|(x, want)| (round(x, &[]), Some(want)));
        assert!(rounded.iter().all(|(got, want)| got == want), "{rounded:?}");
        assert_eq!(round(7.0, &[5.0]), Some(5.0));
    }

    #[test]
    fn signs_and_roots_follow_ieee() {
        assert_eq!((sgn(-3.0, &[]), sgn(0.5, &[])), (Some(-1.0), Some(1.0)));
        assert!(sgn(-0.0, &[]).is_some_and(|x| x == 0.0 && x.is_sign_negative()));
        assert!(sqrt(-1.0, &[]).is_some_and(f64::is_nan) && ln(-1.0, &[]).is_some_and(f64::is_nan));
        assert_eq!((ln(0.0, &[]), ln(1.0, &[])), (Some(f64::NEG_INFINITY), Some(0.0)));
        assert_eq!(
            (log2(1024.0, &[]), log10(1000.0, &[]), exp(0.0, &[])),
            (Some(10.0), Some(3.0), Some(1.0))
        );
        assert_eq!((exp(710.0, &[]), exp(-746.0, &[])), (Some(f64::INFINITY), Some(0.0)));
        assert_eq!((abs(-2.0, &[]), negate(2.0, &[])), (Some(2.0), Some(-2.0)));
        assert_eq!((ceil(1.2, &[]), floor(-1.2, &[])), (Some(2.0), Some(-2.0)));
    }
}
