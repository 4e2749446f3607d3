//! `strconv.ParseFloat(text, 64)`.

use std::fmt;

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumError {
    /// It does not read as one.
    Syntax,
    /// It is too large.
    Range,
}

impl fmt::Display for NumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NumError::Syntax => "invalid syntax",
            NumError::Range => "value out of range",
        })
    }
}

/// A float as Go reads it: decimal, hexadecimal with a binary exponent (`0x1p-2`), infinite or NaN, with single `_`
/// between digits. No space is allowed.
pub(crate) fn parse_float(text: &str) -> Result<f64, NumError> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Ok(sign * f64::INFINITY),
        // It takes no sign.
        "nan" if unsigned.len() == text.len() => return Ok(f64::NAN),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !underscores_are_ok(unsigned) {
        return Err(NumError::Syntax);
    }
    let digits = unsigned.replace('_', "");
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => hexadecimal_float(hexadecimal)?,
        None => digits.parse().map_err(|_| NumError::Syntax)?,
    };
    if value.is_finite() { Ok(sign * value) } else { Err(NumError::Range) }
}

/// `underscoreOK`: each lies between digits, or after the prefix of a base.
fn underscores_are_ok(unsigned: &str) -> bool {
    let lower = unsigned.to_ascii_lowercase();
    let hexadecimal = lower.starts_with("0x");
    let prefixed = hexadecimal || lower.starts_with("0b") || lower.starts_with("0o");
    let is_digit = |c: char| c.is_ascii_digit() || (hexadecimal && c.is_ascii_hexdigit());
    let mut previous = if prefixed { '0' } else { '^' };
    for c in lower.chars().skip(if prefixed { 2 } else { 0 }) {
        let kind = if is_digit(c) { '0' } else { c };
        if (kind == '_' && previous != '0') || (previous == '_' && kind != '0') {
            return false;
        }
        previous = kind;
    }
    previous != '_'
}

/// `1.8p3`: the exponent must be there, the digits may be of any number.
fn hexadecimal_float(digits: &str) -> Result<f64, NumError> {
    /// Digits that fit the mantissa; the rest only decides about rounding.
    const MANTISSA_DIGITS: u32 = 28;
    let (mantissa, exponent) = digits.split_once(['p', 'P']).ok_or(NumError::Syntax)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let signless = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if whole.len() + fraction.len() == 0
        || !signless.bytes().all(|c| c.is_ascii_digit())
        || signless.is_empty()
    {
        return Err(NumError::Syntax);
    }
    let mut value: u128 = 0;
    let mut scale: i32 =
        exponent.parse().unwrap_or(if exponent.starts_with('-') { -100_000 } else { 100_000 });
    let mut kept = 0;
    for (digit, is_fraction) in whole.chars().map(|c| (c, false)).chain(fraction.chars().map(|c| (c, true))) {
        let digit = digit.to_digit(16).ok_or(NumError::Syntax)?;
        if kept < MANTISSA_DIGITS {
            value = value << 4 | u128::from(digit);
            kept += u32::from(value > 0);
            scale = scale.saturating_sub(if is_fraction { 4 } else { 0 });
        } else {
            value |= u128::from(digit > 0);
            scale = scale.saturating_add(if is_fraction { 0 } else { 4 });
        }
    }
    Ok(libm::scalbn(value as f64, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_go_reads_them() {
        for (text, value) in [
            ("5.5", 5.5),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+1", 1.0),
            ("1_000", 1000.0),
            ("0x1.8p1", 3.0),
            ("-0x_1p-2", -0.25),
            ("iNf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e-400", 0.0),
        ] {
            assert_eq!(parse_float(text), Ok(value), "{text}");
        }
        assert!(parse_float("nan").is_ok_and(f64::is_nan));
        for text in ["", " 5", "5 ", "0x10", "1e", "_1", "1__0", "1_", "+nan", "1_.5", "0b1", "e5", "."] {
            assert_eq!(parse_float(text), Err(NumError::Syntax), "{text}");
        }
        assert_eq!(parse_float("1e400"), Err(NumError::Range));
    }
}
