//! When a cron expression comes next (`parser.go` and `spec.go` of `github.com/robfig/cron/v3`, v3.0.1).

use super::fields::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH};
use super::location::{Clock, Location};
use jiff::civil::DateTime;

/// A cron expression of five fields: minute, hour, day of the month, month, day of the week.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    minute: Field,
    hour: Field,
    day_of_month: Field,
    month: Field,
    day_of_week: Field,
    /// `TZ=...` or `CRON_TZ=...` before the fields, in place of the trigger's own zone.
    location: Option<Location>,
}

const MINUTES: i64 = 60;
const HOURS: i64 = 3_600;

impl Schedule {
    /// Reads an expression as KEDA's parser does: `Minute | Hour | Dom | Month | Dow`, so no seconds, no optional fields and
    /// no descriptors such as `@daily`.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (location, text) = Self::zone(text)?;
        if text.starts_with('@') {
            return Err(format!("KEDA's cron trigger takes no descriptors such as `{text}`"));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(format!("`{text}` has {} fields, not 5", fields.len()));
        };
        Ok(Schedule {
            minute: Field::parse(minute, MINUTE)?,
            hour: Field::parse(hour, HOUR)?,
            day_of_month: Field::parse(day_of_month, DAY_OF_MONTH)?,
            month: Field::parse(month, MONTH)?,
            day_of_week: Field::parse(day_of_week, DAY_OF_WEEK)?,
            location,
        })
    }

    /// The zone that an expression brings along, and its fields. `Local` there is no zone of its own.
    fn zone(text: &str) -> Result<(Option<Location>, &str), String> {
        let Some(rest) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) else {
            return Ok((None, text));
        };
        // robfig's parser panics without a blank.
        let Some((name, fields)) = rest.split_once(' ') else {
            return Err(format!("`{text}` has no fields after its time zone"));
        };
        if name == "Local" {
            return Ok((None, fields.trim()));
        }
        Ok((Some(Location::load(name).map_err(|problem| problem.to_string())?), fields.trim()))
    }

    /// The first instant after `now` that the expression names, in Unix seconds; `None` where there is none in this year and
    /// the next five. `location` is the trigger's zone.
    ///
    /// The steps are robfig's: each field is brought to a value that it names, from the coarsest to the finest, and what
    /// wraps around begins again. So around a change of the clocks the result is theirs too.
    pub fn next(&self, now: i64, location: &Location) -> Option<i64> {
        let fields = [self.minute, self.hour, self.day_of_month, self.month, self.day_of_week];
        if fields.into_iter().any(Field::is_empty) {
            return None;
        }
        let mut walk = Walk::new(now + 1, self.location.as_ref().unwrap_or(location))?;
        let last_year = walk.shown.year() + 5;
        while walk.shown.year() <= last_year {
            if self.reach_month(&mut walk)?
                && self.reach_day(&mut walk)?
                && self.reach_hour(&mut walk)?
                && self.reach_minute(&mut walk)?
                && walk.reach_whole_minute()?
            {
                return Some(walk.unix);
            }
        }
        None
    }

    // Each step gives false where it wrapped around, and `None` at the end of the calendar.

    fn reach_month(&self, walk: &mut Walk<'_>) -> Option<bool> {
        while !self.month.has(walk.shown.month()) {
            if walk.begins_to_move() {
                walk.go_to_date(walk.shown.month(), 1, 0)?;
            }
            walk.go_to_date(walk.shown.month() + 1, walk.shown.day(), walk.seconds_of_day())?;
            if walk.shown.month() == 1 {
                return Some(false);
            }
        }
        Some(true)
    }

    fn reach_day(&self, walk: &mut Walk<'_>) -> Option<bool> {
        while !self.has_day(walk.shown) {
            if walk.begins_to_move() {
                walk.go_to_date(walk.shown.month(), walk.shown.day(), 0)?;
            }
            walk.go_to_date(walk.shown.month(), walk.shown.day() + 1, walk.seconds_of_day())?;
            // Where the clocks change at midnight.
            match i64::from(walk.shown.hour()) {
                0 => {}
                late @ 13.. => walk.go_to(walk.unix + (24 - late) * HOURS)?,
                early => walk.go_to(walk.unix - early * HOURS)?,
            }
            if walk.shown.day() == 1 {
                return Some(false);
            }
        }
        Some(true)
    }

    fn reach_hour(&self, walk: &mut Walk<'_>) -> Option<bool> {
        while !self.hour.has(walk.shown.hour()) {
            if walk.begins_to_move() {
                let hour = i64::from(walk.shown.hour());
                walk.go_to_date(walk.shown.month(), walk.shown.day(), hour * HOURS)?;
            }
            walk.go_to(walk.unix + HOURS)?;
            if walk.shown.hour() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    fn reach_minute(&self, walk: &mut Walk<'_>) -> Option<bool> {
        while !self.minute.has(walk.shown.minute()) {
            if walk.begins_to_move() {
                walk.go_to(walk.unix - walk.unix.rem_euclid(MINUTES))?;
            }
            walk.go_to(walk.unix + MINUTES)?;
            if walk.shown.minute() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Both fields must have the day where one of them is a star, else one is enough.
    fn has_day(&self, shown: DateTime) -> bool {
        let of_month = self.day_of_month.has(shown.day());
        let of_week = self.day_of_week.has(shown.weekday().to_sunday_zero_offset());
        if self.day_of_month.is_star() || self.day_of_week.is_star() {
            of_month && of_week
        } else {
            of_month || of_week
        }
    }
}

/// An instant on its way to the next that a schedule names.
struct Walk<'a> {
    clock: Clock<'a>,
    /// Unix seconds.
    unix: i64,
    /// What the clocks show then.
    shown: DateTime,
    moved: bool,
}

impl<'a> Walk<'a> {
    fn new(unix: i64, location: &'a Location) -> Option<Self> {
        let mut clock = location.clock();
        let shown = clock.wall(unix)?;
        Some(Walk { clock, unix, shown, moved: false })
    }

    /// True once: before the first move all that is finer than the field is brought to its beginning.
    fn begins_to_move(&mut self) -> bool {
        !std::mem::replace(&mut self.moved, true)
    }

    fn go_to(&mut self, unix: i64) -> Option<()> {
        self.unix = unix;
        self.shown = self.clock.wall(unix)?;
        Some(())
    }

    /// Goes to a date of the year that the clocks show.
    fn go_to_date(&mut self, month: i8, day: i8, seconds_of_day: i64) -> Option<()> {
        let unix = self.clock.date(self.shown.year(), month, day, seconds_of_day)?;
        self.go_to(unix)
    }

    fn seconds_of_day(&self) -> i64 {
        let shown = self.shown;
        i64::from(shown.hour()) * HOURS + i64::from(shown.minute()) * MINUTES + i64::from(shown.second())
    }

    fn reach_whole_minute(&mut self) -> Option<bool> {
        while self.shown.second() != 0 {
            self.moved = true;
            self.go_to(self.unix + 1)?;
            if self.shown.second() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().expect("a timestamp").as_second()
    }

    fn next(spec: &str, zone: &str, now: &str) -> Option<String> {
        let schedule = Schedule::parse(spec).expect("a schedule");
        let location = Location::load(zone).expect("a zone");
        let next = schedule.next(unix(now), &location)?;
        Some(jiff::Timestamp::from_second(next).expect("in range").to_string())
    }

    fn comes(spec: &str, zone: &str, now: &str, wanted: &str) {
        assert_eq!(next(spec, zone, now).as_deref(), Some(wanted), "{spec} in {zone} after {now}");
    }

    #[test]
    fn the_next_instant_is_after_now() {
        comes("0 8 * * *", "UTC", "2026-01-05T07:59:59Z", "2026-01-05T08:00:00Z");
        comes("0 8 * * *", "UTC", "2026-01-05T08:00:00Z", "2026-01-06T08:00:00Z");
        comes("*/15 9-17 * * Mon-Fri", "Europe/Berlin", "2026-01-09T16:45:00Z", "2026-01-12T08:00:00Z");
        comes("0 0 29 2 *", "UTC", "2026-01-05T08:00:00Z", "2028-02-29T00:00:00Z");
        comes("30 6 1 1 *", "Asia/Kolkata", "2026-06-01T00:00:00Z", "2027-01-01T01:00:00Z");
    }

    #[test]
    fn days_of_month_and_week_are_alternatives_unless_one_is_a_star() {
        // The 13th is a Tuesday, the 9th a Friday.
        comes("0 0 13 * Fri", "UTC", "2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z");
        comes("0 0 13 * Fri", "UTC", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z");
        comes("0 0 */2 * Fri", "UTC", "2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z");
        comes("0 0 * * Fri", "UTC", "2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z");
    }

    #[test]
    fn a_zone_of_its_own_goes_before_the_triggers() {
        comes("TZ=Asia/Tokyo 0 9 * * *", "Europe/Berlin", "2026-01-05T01:00:00Z", "2026-01-06T00:00:00Z");
        comes("CRON_TZ=Local 0 9 * * *", "Europe/Berlin", "2026-01-05T01:00:00Z", "2026-01-05T08:00:00Z");
    }

    #[test]
    fn what_never_comes_is_none() {
        assert_eq!(next("0 0 31 2 *", "UTC", "2026-01-05T00:00:00Z"), None);
        assert_eq!(next(", 0 1 1 *", "UTC", "2026-01-05T00:00:00Z"), None);
        assert_eq!(next("0 0 1 1 *", "UTC", "9999-06-01T00:00:00Z"), None);
    }

    #[test]
    fn expressions_that_keda_refuses() {
        for text in [
            "",
            "0 8 * *",
            "0 8 * * * *",
            "@daily",
            "@every 1h",
            "TZ=UTC",
            "TZ=Nowhere 0 8 * * *",
            "61 * * * *",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
