//! Parts of a date in UTC, of seconds since 1970 (promql/functions.go, `dateWrapper`).

const SECONDS_PER_DAY: u64 = 86_400;

/// Where Go's time package counts from, in days before 1970, so that all it holds lies after it (`absoluteZeroYear`).
const GO_ZERO_DAYS: i64 = 106_751_991_073_094;

/// `hour(v)`: 0..=23.
pub(in super::super) fn hour(seconds: f64, _: &[f64]) -> Option<f64> {
    Some((Instant::of(seconds).second_of_day / 3600) as f64)
}

/// `minute(v)`: 0..=59.
pub(in super::super) fn minute(seconds: f64, _: &[f64]) -> Option<f64> {
    Some((Instant::of(seconds).second_of_day / 60 % 60) as f64)
}

/// `day_of_week(v)`: 0 is Sunday.
pub(in super::super) fn day_of_week(seconds: f64, _: &[f64]) -> Option<f64> {
    // 1970 began on a Thursday.
    Some((Instant::of(seconds).day + 4).rem_euclid(7) as f64)
}

/// `day_of_month(v)`: 1..=31.
pub(in super::super) fn day_of_month(seconds: f64, _: &[f64]) -> Option<f64> {
    Some(Date::of(seconds).day as f64)
}

/// `day_of_year(v)`: 1..=366.
pub(in super::super) fn day_of_year(seconds: f64, _: &[f64]) -> Option<f64> {
    let date = Date::of(seconds);
    Some((Instant::of(seconds).day - days_before(date.year, 1) + 1) as f64)
}

/// `days_in_month(v)`: 28..=31.
pub(in super::super) fn days_in_month(seconds: f64, _: &[f64]) -> Option<f64> {
    let Date { year, month, .. } = Date::of(seconds);
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    Some((days_before(next_year, next_month) - days_before(year, month)) as f64)
}

/// `month(v)`: 1..=12.
pub(in super::super) fn month(seconds: f64, _: &[f64]) -> Option<f64> {
    Some(Date::of(seconds).month as f64)
}

/// `year(v)`.
pub(in super::super) fn year(seconds: f64, _: &[f64]) -> Option<f64> {
    Some(Date::of(seconds).year as f64)
}

/// A whole second of UTC.
struct Instant {
    /// Days since 1970.
    day: i64,
    second_of_day: u64,
}

impl Instant {
    fn of(seconds: f64) -> Self {
        // Go's conversion truncates towards zero, and on amd64 gives the least integer for what fits none, NaN included.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        let whole = if (-LIMIT..LIMIT).contains(&seconds) { seconds as i64 } else { i64::MIN };
        let since_zero = whole.wrapping_add(GO_ZERO_DAYS * SECONDS_PER_DAY as i64) as u64;
        let day = (since_zero / SECONDS_PER_DAY) as i64 - GO_ZERO_DAYS;
        Instant { day, second_of_day: since_zero % SECONDS_PER_DAY }
    }
}

/// A day of the proleptic Gregorian calendar.
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
}

impl Date {
    fn of(seconds: f64) -> Self {
        let days = Instant::of(seconds).day;
        // Years of 365.2425 days on the mean: the guess is off by one at most.
        let mut year = 1970 + (days as i128 * 10_000 / 3_652_425) as i64;
        while days_before(year, 1) > days {
            year -= 1;
        }
        while days_before(year + 1, 1) <= days {
            year += 1;
        }
        let month = (1..=12).rev().find(|&month| days_before(year, month) <= days).unwrap_or(1);
        Date { year, month, day: days - days_before(year, month) + 1 }
    }
}

/// Days from 1970 to the first of `month` in `year`; negative before.
fn days_before(year: i64, month: i64) -> i64 {
    const IN_A_COMMON_YEAR: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let leap_day = i64::from(month > 2 && leaps(year) > leaps(year - 1));
    let years = 365 * (year - 1970) + leaps(year - 1) - leaps(1969);
    years + IN_A_COMMON_YEAR[month as usize - 1] + leap_day
}

#[cfg(test)]
mod tests {
    use super::super::SampleFunction;
    use super::*;

    const ALL: [SampleFunction; 8] =
        [year, month, day_of_month, day_of_week, day_of_year, days_in_month, hour, minute];

    fn parts(seconds: f64) -> Vec<f64> {
        ALL.iter().map(|part| part(seconds, &[]).expect("a value")).collect()
    }

    #[test]
    fn dates_are_those_of_utc_also_before_1970() {
        assert_eq!(parts(0.0), [1970.0, 1.0, 1.0, 4.0, 1.0, 31.0, 0.0, 0.0]);
        assert_eq!(parts(1_700_000_000.9), [2023.0, 11.0, 14.0, 2.0, 318.0, 30.0, 22.0, 13.0]);
        assert_eq!(parts(-1.0), [1969.0, 12.0, 31.0, 3.0, 365.0, 31.0, 23.0, 59.0]);
        assert_eq!(parts(-0.5)[0], 1970.0, "fractions are cut off towards 1970");
        // The last of February of a leap year, and the end of that year.
        assert_eq!(parts(1_709_164_800.0), [2024.0, 2.0, 29.0, 4.0, 60.0, 29.0, 0.0, 0.0]);
        assert_eq!(parts(1_735_689_599.0), [2024.0, 12.0, 31.0, 2.0, 366.0, 31.0, 23.0, 59.0]);
        assert_eq!(parts(-2_203_891_200.0)[..3], [1900.0, 3.0, 1.0], "1900 was no leap year");
        assert_eq!(parts(951_782_400.0)[..3], [2000.0, 2.0, 29.0]);
    }

    #[test]
    fn what_no_date_holds_is_the_date_that_go_gives() {
        let last = parts(f64::NAN);
        assert_eq!(last[0], 292_277_026_596.0);
        assert_eq!(parts(f64::INFINITY), last);
        assert_eq!(parts(1e300), last);
    }
}
