//! Rules of the Go language and library that decide outcomes of the real controllers.
//!
//! The recorded controllers ran on amd64. Go leaves a conversion of a float that does not fit to the machine; amd64's
//! `CVTTSD2S[LQ]` gives the smallest integer, for NaN too. Rust's `as` would saturate instead.

/// `int64(x)` of Go on amd64: truncated toward zero, `i64::MIN` where the result does not fit or `x` is NaN.
pub(crate) fn int64(x: f64) -> i64 {
    // 2^63 is exact in an `f64`; i64::MAX is not.
    if x >= -9_223_372_036_854_775_808.0 && x < 9_223_372_036_854_775_808.0 { x as i64 } else { i64::MIN }
}

/// `int32(x)` of Go on amd64: truncated toward zero, `i32::MIN` where the result does not fit or `x` is NaN.
pub(crate) fn int32(x: f64) -> i32 {
    if x > -2_147_483_649.0 && x < 2_147_483_648.0 { x as i32 } else { i32::MIN }
}

/// `strconv.ParseBool`: the twelve spellings that Go accepts, `None` for any other text.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_the_smallest_integer() {
        assert_eq!((int64(-1.9), int32(-1.9)), (-1, -1));
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e19, -1e19] {
            assert_eq!((int64(x), int32(x)), (i64::MIN, i32::MIN), "{x}");
        }
        assert_eq!((int32(2_147_483_647.9), int32(2_147_483_648.0)), (i32::MAX, i32::MIN));
        assert_eq!(int64(-9_223_372_036_854_775_808.0), i64::MIN);
    }

    #[test]
    fn booleans_have_twelve_spellings() {
        assert_eq!(parse_bool("T"), Some(true));
        assert_eq!(parse_bool("False"), Some(false));
        assert_eq!(parse_bool("yes"), None);
        assert_eq!(parse_bool(" true"), None);
    }
}
