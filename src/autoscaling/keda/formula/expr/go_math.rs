//! `math.Pow` of Go (1.27) on amd64, bit for bit; its last bits differ from other libraries'.
//!
//! The algorithms are Go's `math/pow.go` (successive squaring), `math/log_amd64.s` (FreeBSD's `e_log.c`) and
//! `math/exp_amd64.s` (N. Shibata, SLEEF, with fused multiply-add, which every amd64 machine of the last decade has).

/// `math.Pow`.
pub(super) fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if y == 1.0 {
        return x;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == 0.0 {
        return match (y < 0.0, x.is_sign_negative() && is_odd(y)) {
            (true, true) => f64::NEG_INFINITY,
            (true, false) => f64::INFINITY,
            (false, true) => x,
            (false, false) => 0.0,
        };
    }
    if y.is_infinite() {
        return limit(x, y > 0.0);
    }
    if x.is_infinite() {
        return match (x < 0.0, y < 0.0) {
            (true, _) => pow(1.0 / x, -y),
            (false, true) => 0.0,
            (false, false) => f64::INFINITY,
        };
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    finite_pow(x, y)
}

/// A power with an infinite exponent, or with one that is too large for an integer and so is even.
fn limit(x: f64, towards_infinity: bool) -> f64 {
    if x == -1.0 {
        1.0
    } else if (x.abs() < 1.0) == towards_infinity {
        0.0
    } else {
        f64::INFINITY
    }
}

fn is_odd(x: f64) -> bool {
    // From 2^53 on every float is even.
    x.abs() < 9_007_199_254_740_992.0 && x.trunc() == x && (x as i64) & 1 == 1
}

/// `x^y` where both are finite and none is a special case.
fn finite_pow(x: f64, y: f64) -> f64 {
    const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
    const EXPONENT_MAX: i64 = 1 << 12;
    let mut whole = y.abs().trunc();
    let mut fraction = y.abs() - whole;
    if fraction != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= TWO_POW_63 {
        return limit(x, y > 0.0);
    }
    // The result is `mantissa * 2^exponent`.
    let (mut mantissa, mut exponent) = (1.0, 0_i64);
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            whole += 1.0;
        }
        mantissa = exp(fraction * ln(x));
    }
    let (mut square, mut square_exponent) = frexp(x);
    let mut bits = whole as i64;
    while bits != 0 {
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&square_exponent) {
            exponent += square_exponent;
            break;
        }
        if bits & 1 == 1 {
            mantissa *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        mantissa = 1.0 / mantissa;
        exponent = -exponent;
    }
    ldexp(mantissa, exponent)
}

/// `math.Log` of a finite `x` above 0.
fn ln(x: f64) -> f64 {
    const LN2_HI: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
    const LN2_LO: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);
    const L1: f64 = f64::from_bits(0x3FE5_5555_5555_5593);
    const L2: f64 = f64::from_bits(0x3FD9_9999_9997_FA04);
    const L3: f64 = f64::from_bits(0x3FD2_4924_9422_9359);
    const L4: f64 = f64::from_bits(0x3FCC_71C5_1D8E_78AF);
    const L5: f64 = f64::from_bits(0x3FC7_4664_96CB_03DE);
    const L6: f64 = f64::from_bits(0x3FC3_9A09_D078_C69F);
    const L7: f64 = f64::from_bits(0x3FC2_F112_DF3E_5244);
    // The exponent is taken from the bits, also of a subnormal number, whose mantissa has no leading one.
    let bits = x.to_bits();
    let mut fraction = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0.5_f64.to_bits());
    let mut k = ((bits >> 52) & 0x7FF) as f64 - 1022.0;
    if fraction <= std::f64::consts::FRAC_1_SQRT_2 {
        k -= 1.0;
        fraction *= 2.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let t1 = s2 * (L1 + s4 * (L3 + s4 * (L5 + s4 * L7)));
    let t2 = s4 * (L2 + s4 * (L4 + s4 * L6));
    let r = t1 + t2;
    let hfsq = 0.5 * f * f;
    k * LN2_HI - ((hfsq - (s * (hfsq + r) + k * LN2_LO)) - f)
}

/// `math.Exp` of an `x` in (-400, 400), where nothing overflows: a power's fraction is at most a half, and the
/// logarithm of a float at most 745.
fn exp(x: f64) -> f64 {
    const LN2_UPPER: f64 = f64::from_bits(0x3FE6_2E42_FEFA_3000);
    const LN2_LOWER: f64 = f64::from_bits(0x3D53_DE6A_F278_ECE6);
    // 1/8!, 1/7!, ... 1/1!.
    const TAYLOR: [f64; 8] =
        [1.0 / 40_320.0, 1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    let exponent = (std::f64::consts::LOG2_E * x).round_ties_even();
    let x = exponent.mul_add(-LN2_UPPER, x);
    let x = exponent.mul_add(-LN2_LOWER, x) * 0.0625;
    let [first, rest @ ..] = TAYLOR;
    let series = rest.into_iter().fold(first, |series, coefficient| series.mul_add(x, coefficient));
    // e^(x/16) - 1, squared four times.
    let mut power = series * x;
    for _ in 0..3 {
        power *= power + 2.0;
    }
    let power = power.mul_add(power + 2.0, 1.0);
    power * f64::from_bits(((exponent as i64 + 1023) as u64) << 52)
}

/// A fraction in [0.5, 1) and a power of two that make `x`, which is finite and not 0.
fn frexp(x: f64) -> (f64, i64) {
    let (x, shift) = normalized(x);
    let exponent = ((x.to_bits() >> 52) & 0x7FF) as i64 - 1022;
    let fraction = f64::from_bits(x.to_bits() & !(0x7FF << 52) | (1022 << 52));
    (fraction, exponent + shift)
}

/// `math.Ldexp`: `fraction * 2^exponent`.
fn ldexp(fraction: f64, exponent: i64) -> f64 {
    if fraction == 0.0 || !fraction.is_finite() {
        return fraction;
    }
    let (x, shift) = normalized(fraction);
    let mut exponent = exponent + shift + ((x.to_bits() >> 52) & 0x7FF) as i64 - 1023;
    if exponent < -1075 {
        return 0.0_f64.copysign(fraction);
    }
    if exponent > 1023 {
        return f64::INFINITY.copysign(fraction);
    }
    let mut scale = 1.0;
    if exponent < -1022 {
        exponent += 53;
        scale = 1.0 / (1_u64 << 53) as f64;
    }
    scale * f64::from_bits(x.to_bits() & !(0x7FF << 52) | ((exponent + 1023) as u64) << 52)
}

/// `x` without a subnormal mantissa, and the power of two that was taken from it.
fn normalized(x: f64) -> (f64, i64) {
    if x.abs() < f64::MIN_POSITIVE { (x * (1_u64 << 52) as f64, -52) } else { (x, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Go 1.27.3 on amd64.
    const POWERS: [(f64, f64, u64); 10] = [
        (2.0, 0.3, 0x3FF3_B2C4_7BFF_8329),
        (10.0, -3.7, 0x3F2A_26FD_4727_80C1),
        (1.1, 100.5, 0x40CC_3A9D_3430_9B66),
        (0.7, 12.25, 0x3F89_EDC0_106D_A41B),
        (1234.5678, 1.5, 0x40E5_2E49_3FD6_581E),
        (5e-324, 0.25, 0x2FF3_06FE_0A31_B6EB),
        (1e300, 1.01, 0x7ED7_54E3_1CD0_7302),
        (3.0, 40.0, 0x43E5_1716_8A45_23FD),
        (0.1, -7.0, 0x4163_12CF_FFFF_FFFC),
        (-1.5, 7.0, 0xC031_1600_0000_0000),
    ];

    #[test]
    fn powers_have_gos_last_bits() {
        for (x, y, bits) in POWERS {
            assert_eq!(pow(x, y).to_bits(), bits, "{x} ^ {y}");
        }
    }

    #[test]
    fn special_cases_are_ieee_754s() {
        for (x, y, power) in [
            (0.0, -1.0, f64::INFINITY),
            (-0.0, -1.0, f64::NEG_INFINITY),
            (-0.0, 3.0, -0.0),
            (-1.0, f64::INFINITY, 1.0),
            (2.0, f64::NEG_INFINITY, 0.0),
            (f64::NEG_INFINITY, 3.0, f64::NEG_INFINITY),
            (0.5, 1e300, 0.0),
            (-2.0, -3.0, -0.125),
            (5e-324, 2.0, 0.0),
        ] {
            assert_eq!(pow(x, y).to_bits(), f64::to_bits(power), "{x} ^ {y}");
        }
        assert!(pow(-2.0, 0.5).is_nan() && pow(f64::NAN, 2.0).is_nan());
        assert_eq!((pow(f64::NAN, 0.0), pow(1.0, f64::NAN)), (1.0, 1.0));
    }
}
