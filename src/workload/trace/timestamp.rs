//! Timestamps of traces, exactly: picoseconds as integers, never through a float.

/// What a bare number of a timestamp column counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::workload) enum TimeUnit {
    /// Seconds.
    #[default]
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    /// Decimal places from this unit to picoseconds.
    const fn places(self) -> u32 {
        match self {
            TimeUnit::S => 12,
            TimeUnit::Ms => 9,
            TimeUnit::Us => 6,
            TimeUnit::Ns => 3,
        }
    }
}

/// Picoseconds of a decimal number such as `12`, `0.25` or `1.7e9`; digits below a picosecond are cut off. The error is a
/// clause.
pub(super) fn decimal(text: &str, unit: TimeUnit) -> Result<u128, String> {
    match plain_decimal(text, unit) {
        Some(ps) => Ok(ps),
        None => any_decimal(text, unit),
    }
}

/// What nearly all timestamps are: digits with or without a point. `None`: whatever is not so simple.
fn plain_decimal(text: &str, unit: TimeUnit) -> Option<u128> {
    let (mut number, mut digits, mut fraction) = (0u64, 0u32, None);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            }
            b'.' if fraction.is_none() => fraction = Some(digits),
            _ => return None,
        }
    }
    let places = fraction.map_or(0, |whole| digits - whole);
    // 19 digits fit into 64 bits, and 12 more into 128.
    ((1..=19).contains(&digits) && places <= unit.places())
        .then(|| u128::from(number) * u128::from(10u64.pow(unit.places() - places)))
}

fn any_decimal(text: &str, unit: TimeUnit) -> Result<u128, String> {
    let refused = || format!("{text:?} is not a timestamp");
    if text.starts_with('-') {
        return Err(format!("the timestamp {text} is negative"));
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| refused())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().count() == 0 || !digits().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let too_late = || format!("the timestamp {text} is beyond any time a run can hold");
    // How many of the digits stand before the decimal point once the number counts picoseconds.
    let kept = whole.len() as i64 + i64::from(exponent) + i64::from(unit.places());
    let mut ps: u128 = 0;
    for (i, byte) in digits().enumerate() {
        if i as i64 >= kept {
            break;
        }
        ps =
            ps.checked_mul(10).and_then(|ps| ps.checked_add(u128::from(byte - b'0'))).ok_or_else(too_late)?;
    }
    let missing = kept - digits().count() as i64;
    match u32::try_from(missing) {
        _ if missing <= 0 || ps == 0 => Ok(ps),
        Ok(zeros) => 10u128.checked_pow(zeros).and_then(|power| ps.checked_mul(power)).ok_or_else(too_late),
        Err(_) => Err(too_late()),
    }
}

/// Picoseconds since 0001-01-01 of `YYYY-MM-DD HH:MM:SS`, with a fraction of any length and optionally a zone (`Z`,
/// `+00:00`); `T` may stand for the space. Without a zone it is taken as UTC: only differences count. The error is a clause.
pub(super) fn date_time(text: &str) -> Result<u128, String> {
    parse_date_time(text).ok_or_else(|| format!("{text:?} is not a time such as 2023-11-16 18:15:46.6805900"))
}

fn parse_date_time(text: &str) -> Option<u128> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let (clock, zone_seconds) = zone(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let in_range = year >= 1 && hour < 24 && minute < 60 && second < 60;
    if !in_range || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    // A zone may move the first day of the era before it.
    let seconds = u128::try_from(seconds - zone_seconds).ok()?;
    Some(seconds * 1_000_000_000_000 + decimal(&format!("0.{fraction}"), TimeUnit::S).ok()?)
}

/// The clock without its zone, and the zone's seconds east of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let [hours, minutes] = numbers(&time[at + 1..], ':', [2, 2])?;
    let seconds = hours * 3_600 + minutes * 60;
    Some((&time[..at], if time[at..].starts_with('-') { -seconds } else { seconds }))
}

/// Exactly N numbers of the given widths.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in out.iter_mut().zip(widths) {
        let part =
            parts.next().filter(|part| part.len() == width && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0001-01-01 in the Gregorian calendar.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let years = year - 1;
    let leap_days = years / 4 - years / 100 + years / 400;
    years * 365 + leap_days + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        let cases = [
            ("0", TimeUnit::S, 0),
            ("12", TimeUnit::S, 12_000_000_000_000),
            ("0.1", TimeUnit::S, 100_000_000_000),
            ("3501.721937", TimeUnit::S, 3_501_721_937_000_000),
            ("27482", TimeUnit::Ms, 27_482_000_000_000),
            (".5", TimeUnit::Ns, 500),
            ("1.7000000005e9", TimeUnit::S, 1_700_000_000_500_000_000_000),
            ("25e-3", TimeUnit::S, 25_000_000_000),
            ("1.0000000000019", TimeUnit::S, 1_000_000_000_001),
            ("0e99999", TimeUnit::S, 0),
        ];
        for (text, unit, ps) in cases {
            assert_eq!(decimal(text, unit), Ok(ps), "{text}");
        }
        for text in ["", ".", "-1", "1,5", "NaN", "inf", "1e", "0x10", "1e99999", "9e40", " 1", "1_0", "e5"] {
            assert!(decimal(text, TimeUnit::S).is_err(), "{text}");
        }
    }

    #[test]
    fn the_short_way_to_read_a_decimal_gives_what_the_long_one_does() {
        let mut short = 0;
        for whole in ["", "0", "7", "12", "0012", "9999999", "9999999999999999999", "18446744073709551616"] {
            for rest in ["", ".", ".0", ".000001", ".123456789012", ".1234567890123", "e3", ".5.5", ".x", " "]
            {
                let text = format!("{whole}{rest}");
                for unit in [TimeUnit::S, TimeUnit::Ms, TimeUnit::Us, TimeUnit::Ns] {
                    if let Some(ps) = plain_decimal(&text, unit) {
                        short += 1;
                        assert_eq!(any_decimal(&text, unit), Ok(ps), "{text}");
                    }
                }
            }
        }
        assert!(short > 90, "{short}");
    }

    #[test]
    fn date_times_are_read_exactly() {
        let at = |text: &str| date_time(text).expect(text);
        assert_eq!(at("2023-11-16 18:15:50.9951690") - at("2023-11-16 18:15:46.6805900"), 4_314_579_000_000);
        assert_eq!(at("2024-03-01 00:00:00") - at("2024-02-28 23:59:59"), 86_401_000_000_000_000);
        assert_eq!(at("2024-05-10T02:00:00.5+02:00"), at("2024-05-10 00:00:00.500Z"));
        // Days from 0001-01-01 to 1970-01-01, as in Python's `date.toordinal`.
        assert_eq!(at("1970-01-01 00:00:00"), 719_162 * 86_400_000_000_000_000);
        for text in [
            "",
            "2023-11-16",
            "18:15:46",
            "2023-02-29 00:00:00",
            "2023-13-01 00:00:00",
            "2023-11-16 24:00:00",
            "2023-11-16 18:15",
            "23-11-16 18:15:46",
            "2023-11-16 18:15:46.x",
            "2023-11-16 18:15:46 CET",
            "-1",
        ] {
            assert!(date_time(text).is_err(), "{text}");
        }
    }
}
