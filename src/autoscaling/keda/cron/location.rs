//! Time zones as Go's `time.Location` applies them, over the data that this program brings along: a run does not depend
//! on the machine's zones.

use crate::nearest::nearest;
use crate::problem::Problem;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// A time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    zone: TimeZone,
}

/// A reader of the clocks of a location, fast for instants that follow each other.
#[derive(Debug)]
pub(super) struct Clock<'a> {
    location: &'a Location,
    /// Unix seconds from and before which `offset` holds.
    known: (i64, i64),
    /// Seconds east of UTC.
    offset: i64,
}

impl Location {
    /// The zone with this name of the IANA database, in its spelling (`time.LoadLocation`). The empty name and `UTC` are
    /// UTC; so is `Local`, as in KEDA's container.
    ///
    /// # Errors
    /// A [`Problem`] without a place where there is no such zone.
    pub fn load(name: &str) -> Result<Self, Problem> {
        if matches!(name, "" | "UTC" | "Local") {
            return Ok(Location { zone: TimeZone::UTC });
        }
        let database = TimeZoneDatabase::bundled();
        match database.get(name) {
            // Files are found by their exact names where KEDA runs.
            Ok(zone) if zone.iana_name() == Some(name) => Ok(Location { zone }),
            _ => {
                let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
                let near = nearest(name, names.iter().map(String::as_str));
                let help = near.map_or_else(
                    || "use a name of the IANA database, such as `Europe/Berlin` or `Etc/UTC`".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                Err(Problem::whole(format!("there is no time zone `{name}`")).help(help))
            }
        }
    }

    pub(super) fn clock(&self) -> Clock<'_> {
        Clock { location: self, known: (0, 0), offset: 0 }
    }
}

impl Clock<'_> {
    /// What the clocks show at `unix` seconds; `None` outside the years -9999 to 9999.
    pub(super) fn wall(&mut self, unix: i64) -> Option<DateTime> {
        let shown = Timestamp::from_second(unix + self.offset(unix)?).ok()?;
        Some(Offset::UTC.to_datetime(shown))
    }

    /// The Unix seconds at which the clocks show this (`time.Date`), months and days past the end of their year or month
    /// taken as those of the next.
    ///
    /// Where the clocks skip it or show it twice, Go takes the offset that holds at the instant with the offset that would
    /// hold if the clocks showed UTC.
    pub(super) fn date(&mut self, year: i16, month: i8, day: i8, seconds_of_day: i64) -> Option<i64> {
        let months = i32::from(year) * 12 + i32::from(month) - 1;
        let first =
            Date::new(i16::try_from(months.div_euclid(12)).ok()?, (months.rem_euclid(12) + 1) as i8, 1)
                .ok()?;
        let midnight = Offset::UTC.to_timestamp(first.at(0, 0, 0, 0)).ok()?.as_second();
        let shown = midnight + i64::from(day - 1) * 86_400 + seconds_of_day;
        match self.offset(shown)? {
            0 => Some(shown),
            offset => Some(shown - self.offset(shown - offset)?),
        }
    }

    fn offset(&mut self, unix: i64) -> Option<i64> {
        if !(self.known.0..self.known.1).contains(&unix) {
            let at = Timestamp::from_second(unix).ok()?;
            let zone = &self.location.zone;
            self.offset = i64::from(zone.to_offset(at).seconds());
            let change = zone.following(at).next();
            self.known = (unix, change.map_or(i64::MAX, |change| change.timestamp().as_second()));
        }
        Some(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str, text: &str) -> i64 {
        let shown: DateTime = text.parse().expect("a date and time");
        let location = Location::load(zone).expect("a zone");
        let seconds = i64::from(shown.hour()) * 3600 + i64::from(shown.minute()) * 60;
        location.clock().date(shown.year(), shown.month(), shown.day(), seconds).expect("in range")
    }

    fn wall(zone: &str, unix: i64) -> String {
        Location::load(zone).expect("a zone").clock().wall(unix).expect("in range").to_string()
    }

    #[test]
    fn zones_have_exact_names() {
        for name in ["", "UTC", "Local", "Etc/UTC", "Asia/Kolkata", "EST5EDT"] {
            assert!(Location::load(name).is_ok(), "{name}");
        }
        let problem = Location::load("Europe/Berln").expect_err("no zone").to_string();
        assert_eq!(problem, "there is no time zone `Europe/Berln` (did you mean `Europe/Berlin`?)");
        assert!(Location::load("europe/berlin").is_err() && Location::load("../UTC").is_err());
    }

    #[test]
    fn clocks_follow_their_zone() {
        assert_eq!(wall("Asia/Kolkata", 0), "1970-01-01T05:30:00");
        assert_eq!(wall("Europe/Berlin", at("Europe/Berlin", "2026-07-01T08:00:00")), "2026-07-01T08:00:00");
        assert_eq!(at("Europe/Berlin", "2026-07-01T08:00:00"), at("UTC", "2026-07-01T06:00:00"));
    }

    #[test]
    fn skipped_and_repeated_hours_resolve_as_in_go() {
        // 2026-03-29 02:30 is skipped in Berlin, 2026-10-25 02:30 comes twice: Go takes the second.
        assert_eq!(at("Europe/Berlin", "2026-03-29T02:30:00"), at("UTC", "2026-03-29T01:30:00"));
        assert_eq!(at("Europe/Berlin", "2026-10-25T02:30:00"), at("UTC", "2026-10-25T01:30:00"));
    }

    #[test]
    fn the_end_of_the_calendar_is_no_date() {
        let utc = Location::load("UTC").expect("a zone");
        assert_eq!(utc.clock().date(9999, 13, 1, 0), None);
        assert_eq!(utc.clock().wall(i64::from(i32::MAX) * 1000), None);
        assert_eq!(utc.clock().date(2026, 13, 32, 0), Some(at("UTC", "2027-02-01T00:00:00")));
    }
}
