//! Floats as Kubernetes quantities: what KEDA reports, what the HPA reads, and what a user may write.
//!
//! Sources: KEDA `pkg/scalers/scaler.go` (`GenerateMetricInMili`, `GetMetricTargetMili`) in v2.20.2 and v2.19, and
//! Kubernetes `apimachinery/pkg/api/resource/quantity.go` (v1.28) for the text and for `MilliValue`.

use super::go;
use super::keda::KedaVersion;
use crate::units::MilliValue;
use std::fmt;

/// A `resource.Quantity` as far as the controllers see it: its thousandths and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    milli: MilliValue,
    text: String,
}

impl Quantity {
    /// What KEDA makes of a metric value or of a threshold.
    ///
    /// Since v2.20 the float is written with three decimals, rounded from its exact binary value, and parsed again; NaN,
    /// infinities and negative values become 0. Before, `int64(value * 1000)` truncates, and NaN and what does not fit
    /// become the smallest integer (on amd64).
    pub fn from_float(value: f64, version: KedaVersion) -> Self {
        if !version.rounds_quantities() {
            return Self::from_milli(MilliValue(go::int64(value * 1000.0)));
        }
        if !value.is_finite() || value < 0.0 {
            return Self::from_milli(MilliValue(0));
        }
        let decimal = format!("{value:.3}");
        let Some((whole, thousandths)) = decimal.split_once('.') else {
            unreachable!("three decimals were asked for")
        };
        let digits = format!("{whole}{thousandths}");
        Quantity {
            milli: MilliValue(low_64_bits(&digits)),
            text: text_of_parsed(whole, thousandths, &digits),
        }
    }

    /// `resource.NewMilliQuantity(milli, resource.DecimalSI)`.
    pub fn from_milli(milli: MilliValue) -> Self {
        let digits = milli.get().unsigned_abs().to_string();
        let text = canonical(&digits, -3);
        Quantity { milli, text: if milli.get() < 0 { format!("-{text}") } else { text } }
    }

    /// A zero `resource.Quantity` after `SetMilli`, as KEDA makes the composite metric of a formula: it has no format, so
    /// its text has a decimal exponent, `1500e-3`.
    pub fn from_set_milli(milli: MilliValue) -> Self {
        let digits = milli.get().unsigned_abs().to_string();
        let sign = if milli.get() < 0 { "-" } else { "" };
        let text = match scientific(&digits, -3) {
            None => "0".to_owned(),
            Some((mantissa, 0)) => format!("{sign}{mantissa}"),
            Some((mantissa, exponent)) => format!("{sign}{mantissa}e{exponent}"),
        };
        Quantity { milli, text }
    }

    /// `Quantity.MilliValue()`: thousandths. It wraps silently past `i64`, as the real one does, so a value above
    /// 9.2e15 reaches the HPA as garbage, even negative.
    pub fn milli(&self) -> MilliValue {
        self.milli
    }
}

impl fmt::Display for Quantity {
    /// The text of the real quantity, such as `1500m`, `97.722` or `1k`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// `Quantity.AsApproximateFloat64()` of a quantity in thousandths: a float product, so not always the nearest float.
pub(crate) fn approximate_float(milli: MilliValue) -> f64 {
    milli.get() as f64 * 0.001
}

/// The text of a quantity that was parsed from `whole.thousandths`: the given text is kept where it starts with a
/// non-zero digit, does not end in `000` and has at most 18 digits (`ParseQuantity` takes it for canonical, although
/// it has a point), else it is made canonical.
fn text_of_parsed(whole: &str, thousandths: &str, digits: &str) -> String {
    const INT64_DIGITS: usize = 18;
    if digits.len() <= INT64_DIGITS && !digits.starts_with('0') && thousandths != "000" {
        return format!("{whole}.{thousandths}");
    }
    canonical(digits, -3)
}

/// `digits` times 10^`exponent` in canonical form: no point, the largest exponent that is a multiple of 3, and its
/// suffix. Exponents without a suffix print none, so 1e21 prints `1`.
fn canonical(digits: &str, exponent: i32) -> String {
    let Some((mantissa, exponent)) = scientific(digits, exponent) else { return "0".to_owned() };
    let suffix = match exponent {
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    };
    format!("{mantissa}{suffix}")
}

/// `digits` times 10^`exponent` as an integer times the largest power of 1000; `None` of zero.
fn scientific(digits: &str, exponent: i32) -> Option<(String, i32)> {
    let significant = digits.trim_start_matches('0');
    let mantissa = significant.trim_end_matches('0');
    if mantissa.is_empty() {
        return None;
    }
    let exponent = exponent + (significant.len() - mantissa.len()) as i32;
    let zeros = exponent.rem_euclid(3);
    Some((format!("{mantissa}{}", &"00"[..zeros as usize]), exponent - zeros))
}

/// The low 64 bits of a decimal integer of any size, as Go's `big.Int.Int64()` gives them.
fn low_64_bits(digits: &str) -> i64 {
    digits.bytes().fold(0_i64, |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')))
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with an optional suffix.
    #[error("is no Kubernetes quantity")]
    Format,
    /// The suffix is none of Kubernetes'.
    #[error("has a suffix that Kubernetes does not know")]
    Suffix,
    /// Its thousandths do not fit into `i64`.
    #[error("is too large")]
    TooLarge,
}

/// `resource.ParseQuantity(text)` and then `AsApproximateFloat64()`: how the HPA reads `behavior.*.tolerance`.
///
/// Accepts a sign, decimals, and a decimal (`n u m k M G T P E`), binary (`Ki` ... `Ei`) or exponent (`e-3`) suffix.
/// Digits finer than 1e-9, which the real one rounds up to 1e-9, are kept.
pub fn parse_float(text: &str) -> Result<f64, QuantityError> {
    let Parts { negative, digits, factor, exponent } = Parts::of(text)?;
    let unscaled = digits.parse::<f64>().map_err(|_| QuantityError::Format)? * factor as f64;
    // Go multiplies by a power of ten from a table of nearest floats, so this is two roundings there as well.
    let value = if exponent == 0 { unscaled } else { unscaled * power_of_ten(exponent) };
    Ok(if negative { -value } else { value })
}

/// `resource.ParseQuantity(text)` and then `MilliValue()`: how the HPA reads a target, which is above 0. Thousandths that are
/// not whole are rounded up.
pub fn parse_milli(text: &str) -> Result<MilliValue, QuantityError> {
    let Parts { negative, digits, factor, exponent } = Parts::of(text)?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(MilliValue(0));
    }
    let unscaled: u128 = digits.parse().map_err(|_| QuantityError::TooLarge)?;
    let unscaled = unscaled.checked_mul(u128::from(factor)).ok_or(QuantityError::TooLarge)?;
    let thousandths = exponent + 3;
    let power = 10_u128.checked_pow(thousandths.unsigned_abs());
    let magnitude = if thousandths < 0 {
        power.map_or(1, |power| unscaled.div_ceil(power))
    } else {
        power.and_then(|power| unscaled.checked_mul(power)).ok_or(QuantityError::TooLarge)?
    };
    let milli = i64::try_from(magnitude).map_err(|_| QuantityError::TooLarge)?;
    Ok(MilliValue(if negative { -milli } else { milli }))
}

/// A quantity's text: `digits` times `factor` times 10^`exponent`.
struct Parts {
    negative: bool,
    /// All digits, at least one, without the point.
    digits: String,
    /// What a binary suffix stands for.
    factor: u64,
    exponent: i32,
}

impl Parts {
    fn of(text: &str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        if number.is_empty() || number == "." || decimals.contains('.') {
            return Err(QuantityError::Format);
        }
        let (factor, exponent) = suffix_value(suffix)?;
        Ok(Parts {
            negative: text.starts_with('-'),
            digits: format!("{whole}{decimals}"),
            factor,
            exponent: exponent - decimals.len() as i32,
        })
    }
}

/// The nearest float to 10^`exponent`.
fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(f64::NAN)
}

/// A suffix as a binary factor and a power of ten.
fn suffix_value(suffix: &str) -> Result<(u64, i32), QuantityError> {
    const DECIMAL: [(&str, i32); 10] = [
        ("", 0),
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((1, *exponent));
    }
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((1 << bits, 0));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let exponent: i16 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((1, i32::from(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(value: f64) -> (i64, String) {
        let quantity = Quantity::from_float(value, KedaVersion::V2_20);
        (quantity.milli().get(), quantity.to_string())
    }

    #[test]
    fn ties_of_the_exact_binary_value_go_to_the_even_digit() {
        assert_eq!(rounded(0.0625), (62, "62m".to_owned()));
        assert_eq!(rounded(0.1875), (188, "188m".to_owned()));
        // 1.0005 lies below the tie in binary, 64.1 above 64.099.
        assert_eq!(rounded(1.0005).0, 1000);
        assert_eq!(rounded(64.1).0, 64100);
    }

    #[test]
    fn before_2_20_thousandths_are_cut_and_nan_is_the_smallest_integer() {
        let cut = |value| Quantity::from_float(value, KedaVersion::V2_19).milli().get();
        assert_eq!((cut(64.1), cut(1.005), cut(-1.5)), (64099, 1004, -1500));
        assert_eq!((cut(f64::NAN), cut(1e16)), (i64::MIN, i64::MIN));
    }

    #[test]
    fn text_is_kept_or_made_canonical_as_kubernetes_does() {
        for (value, text) in
            [(1.005, "1.005"), (0.005, "5m"), (1e3, "1k"), (1e21, "1"), (1.5e4, "15k"), (1912.61, "1912.610")]
        {
            assert_eq!(rounded(value).1, text, "{value}");
        }
        assert_eq!(Quantity::from_milli(MilliValue(-1_500)).to_string(), "-1500m");
        assert_eq!(Quantity::from_milli(MilliValue(0)).to_string(), "0");
        for (milli, text) in
            [(0, "0"), (1_500, "1500e-3"), (2_000, "2"), (12_000_000, "12e3"), (-1_000, "-1")]
        {
            assert_eq!(Quantity::from_set_milli(MilliValue(milli)).to_string(), text);
        }
        assert_eq!(Quantity::from_milli(MilliValue(i64::MIN)).to_string(), "-9223372036854775808m");
    }

    #[test]
    fn quantities_that_users_write() {
        for (text, value) in [
            ("50m", 0.05),
            ("0.1", 0.1),
            ("+1", 1.0),
            ("-2", -2.0),
            ("1e-2", 0.01),
            ("2Ki", 2048.0),
            ("1.", 1.0),
        ] {
            assert_eq!(parse_float(text), Ok(value), "{text}");
        }
        for text in ["", ".", "m", "1.2.3", "--1"] {
            assert!(parse_float(text).is_err(), "{text}");
        }
        assert_eq!(parse_float("5%"), Err(QuantityError::Suffix));
        assert_eq!(parse_float("1ee5"), Err(QuantityError::Suffix));
    }

    #[test]
    fn targets_are_whole_thousandths_rounded_up() {
        for (text, milli) in [
            ("5", 5_000),
            ("0.7", 700),
            ("500m", 500),
            ("0.0001", 1),
            ("1.0001", 1_001),
            ("1n", 1),
            ("-0.0001", -1),
            ("2Ki", 2_048_000),
            ("1.5k", 1_500_000),
            ("1e3", 1_000_000),
            ("1e-30", 1),
            ("0e999", 0),
            ("000000000000000000000000000000000000000000000.5", 500),
        ] {
            assert_eq!(parse_milli(text), Ok(MilliValue(milli)), "{text}");
        }
        for text in ["1e16", "1E", "8Ei", "1e999", "99999999999999999999999999999999999999999999"] {
            assert_eq!(parse_milli(text).ok(), None, "{text}");
        }
        assert_eq!(parse_milli("9223372036854775807m"), Ok(MilliValue(i64::MAX)));
        assert_eq!(parse_milli("5x"), Err(QuantityError::Suffix));
    }
}
