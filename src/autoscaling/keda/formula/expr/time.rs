//! Instants and durations as the language's `date` and `duration` make them (Go's package `time`).

use super::error::{Class, Failure};
use crate::autoscaling::go::duration_unit_ns;
use std::cmp::Ordering;

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// An instant, and the zone in which it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// Seconds since 1970 in UTC.
    unix_s: i64,
    ns: u32,
    /// Seconds east of UTC.
    offset_s: i64,
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.unix_s, self.ns).cmp(&(other.unix_s, other.ns))
    }
}

impl Time {
    /// `date(text)` for the first four of its layouts: a day, a time of day, both with a space between, RFC 3339.
    ///
    /// The other three of the language (RFC 822, 850 and 1123) name weekdays, months and zones; they are not read.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let invalid = || Failure::new(Class::BadArgument, format!("invalid date {text}"));
        let read = |layout: fn(&mut Reader<'_>) -> Option<Time>| {
            let mut reader = Reader { rest: text };
            layout(&mut reader).filter(|_| reader.rest.is_empty())
        };
        let layouts: [fn(&mut Reader<'_>) -> Option<Time>; 4] = [
            |reader| Some(reader.day()?.at(0, 0, 0)),
            |reader| Some(reader.clock()?.at_start_of(0, 1, 1, 0)),
            |reader| {
                let day = reader.day()?;
                reader.literal(' ')?;
                // One space of the layout stands for any number of them.
                reader.rest = reader.rest.trim_start_matches(' ');
                Some(reader.clock()?.on(day, 0))
            },
            |reader| {
                let day = reader.day()?;
                reader.literal('T')?;
                let clock = reader.clock()?;
                Some(clock.on(day, reader.zone()?))
            },
        ];
        layouts.into_iter().find_map(read).ok_or_else(invalid)
    }

    /// Nanoseconds later.
    pub(super) fn plus(self, ns: i64) -> Self {
        let total = i64::from(self.ns) + ns % NS_PER_SECOND;
        let unix_s =
            self.unix_s.wrapping_add(ns / NS_PER_SECOND).wrapping_add(total.div_euclid(NS_PER_SECOND));
        Time { unix_s, ns: total.rem_euclid(NS_PER_SECOND) as u32, ..self }
    }

    /// Nanoseconds since `other`, cut to what a duration can hold.
    pub(super) fn minus(self, other: Self) -> i64 {
        let ns = self.unix_ns() - other.unix_ns();
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    fn unix_ns(self) -> i128 {
        i128::from(self.unix_s) * i128::from(NS_PER_SECOND) + i128::from(self.ns)
    }

    /// Whole units of so many nanoseconds since 1970, wrapped to 64 bits.
    pub(super) fn unix(self, unit_ns: i64) -> i64 {
        self.unix_ns().div_euclid(i128::from(unit_ns)) as i64
    }

    /// The same instant shown in UTC.
    pub(super) fn utc(self) -> Self {
        Time { offset_s: 0, ..self }
    }

    /// Year, month, day.
    pub(super) fn date(self) -> (i64, u8, u8) {
        civil(self.days())
    }

    /// Hour, minute, second, nanosecond.
    pub(super) fn clock(self) -> (i64, i64, i64, i64) {
        let second = self.shown_s().rem_euclid(SECONDS_PER_DAY);
        (second / 3600, second / 60 % 60, second % 60, i64::from(self.ns))
    }

    /// 0 for a Sunday.
    pub(super) fn weekday(self) -> u8 {
        // The first day of 1970 was a Thursday.
        (self.days() + 4).rem_euclid(7) as u8
    }

    /// 1 for the first of January.
    pub(super) fn year_day(self) -> i64 {
        self.days() - days(self.date().0, 1, 1) + 1
    }

    /// Whether it is the first instant of the year 1.
    pub(super) fn is_zero(self) -> bool {
        self.unix_s == days(1, 1, 1) * SECONDS_PER_DAY && self.ns == 0
    }

    fn shown_s(self) -> i64 {
        self.unix_s + self.offset_s
    }

    fn days(self) -> i64 {
        self.shown_s().div_euclid(SECONDS_PER_DAY)
    }
}

/// Days since 1970 of a date in the Gregorian calendar (H. Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a number of days since 1970 (`civil_from_days`).
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u8, day as u8)
}

struct Day(i64);

impl Day {
    fn at(&self, second: i64, ns: u32, offset_s: i64) -> Time {
        Time { unix_s: self.0 * SECONDS_PER_DAY + second - offset_s, ns, offset_s }
    }
}

struct Clock {
    second: i64,
    ns: u32,
}

impl Clock {
    fn on(&self, day: Day, offset_s: i64) -> Time {
        day.at(self.second, self.ns, offset_s)
    }

    fn at_start_of(&self, year: i64, month: i64, day: i64, offset_s: i64) -> Time {
        self.on(Day(days(year, month, day)), offset_s)
    }
}

/// Reads a date from the front of a text.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn literal(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// A number of so many digits, at most `max`.
    fn number(&mut self, digits: usize, max: i64) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        let number: i64 = number.bytes().all(|c| c.is_ascii_digit()).then(|| number.parse().ok())??;
        (number <= max).then_some(number)
    }

    fn day(&mut self) -> Option<Day> {
        let year = self.number(4, 9999)?;
        self.literal('-')?;
        let month = self.number(2, 12).filter(|&month| month > 0)?;
        self.literal('-')?;
        let day = self.number(2, 31).filter(|&day| day > 0)?;
        let number = days(year, month, day);
        (civil(number).1 == month as u8).then_some(Day(number))
    }

    /// The hour may have one digit, and the second a fraction.
    fn clock(&mut self) -> Option<Clock> {
        let hour_digits = if self.rest.as_bytes().get(1) == Some(&b':') { 1 } else { 2 };
        let hour = self.number(hour_digits, 23)?;
        self.literal(':')?;
        let minute = self.number(2, 59)?;
        self.literal(':')?;
        let second = self.number(2, 59)?;
        let mut ns = 0;
        if let Some(fraction) = self.rest.strip_prefix(['.', ',']) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = fraction.split_at(digits);
            if digits.is_empty() {
                return None;
            }
            let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
            ns = nine.parse().ok()?;
            self.rest = rest;
        }
        Some(Clock { second: hour * 3600 + minute * 60 + second, ns })
    }

    /// `Z` or an offset such as `+02:00`.
    fn zone(&mut self) -> Option<i64> {
        if self.literal('Z').is_some() {
            return Some(0);
        }
        let sign = if self.literal('-').is_some() {
            -1
        } else {
            self.literal('+')?;
            1
        };
        let hours = self.number(2, 24)?;
        self.literal(':')?;
        let minutes = self.number(2, 60)?;
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

/// `time.ParseDuration`: nanoseconds.
pub(super) fn parse_duration(text: &str) -> Result<i64, Failure> {
    let shown = quoted_bytes(text);
    let bad = |why: &str| Failure::new(Class::BadArgument, format!("time: {why}duration {shown}"));
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad("invalid "));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(bad("invalid "));
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if unit.is_empty() {
            return Err(bad("missing unit in "));
        }
        let Some(unit_ns) = duration_unit_ns(unit) else {
            return Err(bad(&format!("unknown unit {} in ", quoted_bytes(unit))));
        };
        let part = whole_part(whole)
            .and_then(|whole| whole.checked_mul(unit_ns))
            .and_then(|whole| whole.checked_add(fraction_ns(fraction, unit_ns)))
            .filter(|&part| part <= 1 << 63);
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|&total| total <= 1 << 63)
            .ok_or_else(|| bad("invalid "))?;
        rest = tail;
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| bad("invalid "))
}

/// A text in quotes as the package `time` prints it: what is not ASCII byte by byte.
fn quoted_bytes(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..0x80 => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn whole_part(digits: &str) -> Option<u64> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|&whole| whole <= 1 << 63) }
}

/// The digits after the point, computed in floats as the real one does.
fn fraction_ns(digits: &str, unit_ns: u64) -> u64 {
    let (mut value, mut scale) = (0_u64, 1.0_f64);
    for digit in digits.bytes() {
        match value.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0'))) {
            Some(next) if next <= 1 << 63 => (value, scale) = (next, scale * 10.0),
            _ => break,
        }
    }
    (value as f64 * (unit_ns as f64 / scale)) as u64
}

/// `Duration.String`.
pub(super) fn duration_text(ns: i64) -> String {
    let total = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    let decimal = |whole: u64, fraction: u64, digits: usize| {
        let fraction = format!("{fraction:0digits$}");
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}\u{b5}s", decimal(total / 1_000, total % 1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{sign}{}ms", decimal(total / 1_000_000, total % 1_000_000, 6))
        }
        _ => {
            let seconds = total / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let seconds = decimal(seconds % 60, total % 1_000_000_000, 9);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `Duration.Round`: to the nearest multiple of `unit`, halves away from zero; `Duration.Truncate` is `cut`.
pub(super) fn round_duration(ns: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return ns;
    }
    let rest = ns % unit;
    let cut = ns - rest;
    if rest.unsigned_abs() < unit.unsigned_abs().div_ceil(2) {
        return cut;
    }
    if ns < 0 { cut.saturating_sub(unit) } else { cut.saturating_add(unit) }
}

/// `Duration.Truncate`.
pub(super) fn truncate_duration(ns: i64, unit: i64) -> i64 {
    if unit <= 0 { ns } else { ns - ns % unit }
}

/// Names of the months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Names of the days of the week.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_four_layouts() {
        let unix = |text: &str| Time::parse(text).map(|time| time.unix(NS_PER_SECOND));
        assert_eq!(unix("2024-02-29"), Ok(1_709_164_800));
        assert_eq!(unix("2024-02-29 1:02:03.5"), Ok(1_709_168_523));
        assert_eq!(unix("2024-02-29T01:02:03+01:00"), Ok(1_709_164_923));
        assert_eq!(unix("00:00:01"), Ok(-62_167_219_199));
        for text in ["2023-02-29", "2024-1-1", "24:00:00", "2024-01-01T00:00:00", "now"] {
            assert!(unix(text).is_err(), "{text}");
        }
        let time = Time::parse("2024-12-31T23:30:00-02:00").expect("a date");
        assert_eq!((time.date(), time.weekday(), time.year_day()), ((2024, 12, 31), 2, 366));
        assert_eq!((time.utc().date(), time.utc().clock()), ((2025, 1, 1), (1, 30, 0, 0)));
    }

    #[test]
    fn durations_in_and_out() {
        for (text, ns, shown) in [
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("-1.5s", -1_500_000_000, "-1.5s"),
            ("1m1ms", 60_001_000_000, "1m0.001s"),
            ("1.5us", 1_500, "1.5\u{b5}s"),
            ("0", 0, "0s"),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(
                parse_duration(text).map(|ns| (ns, duration_text(ns))),
                Ok((ns, shown.to_owned())),
                "{text}"
            );
        }
        for text in ["", "1", "1x", ".s", "9223372036854775808ns", "1.2.3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(
            (round_duration(-15, 10), round_duration(14, 10), truncate_duration(-15, 10)),
            (-20, 10, -10)
        );
    }
}
