//! An instant of a run, as it is typed.

use crate::problem::Problem;
use crate::report::compact;
use crate::units::{DecimalSeconds, SimDuration, SimTime, UnixMillis};
use std::str::FromStr;
use std::time::UNIX_EPOCH;

/// How an instant may be typed, for messages.
const FORMS: &str =
    "such as `12m30s` or `750.25s` since the start of the run, `2026-01-05T08:12:30Z`, or seconds since 1970";

/// An instant of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long after the start of the run.
    Since(SimTime),
    /// By the wall clock of the run.
    Wall(UnixMillis),
}

/// The instants between two of a run, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// `None`: the start of the run.
    pub from: Option<Moment>,
    /// `None`: its end.
    pub to: Option<Moment>,
}

impl Moment {
    /// The instant in a run that began at `start` and ended at `end`.
    ///
    /// # Errors
    /// It is before or after the run, of which nothing was recorded there.
    pub fn within(self, start: UnixMillis, end: SimTime) -> Result<SimTime, Problem> {
        let outside = |why: &str| {
            let lasted = compact(end.as_secs_f64());
            let from = humantime::format_rfc3339_millis(
                UNIX_EPOCH + std::time::Duration::from_millis(start.0.unsigned_abs()),
            );
            Problem::whole(format!("the instant is {why}"))
                .help(format!("the run began at {from} and lasted {lasted}; {FORMS}"))
        };
        let at = match self {
            Moment::Since(at) => at,
            Moment::Wall(at) => {
                let ms = u64::try_from(at.0 - start.0).map_err(|_| {
                    match SimDuration::from_millis(1).checked_mul(at.0.unsigned_abs()) {
                        // A number without a unit, of someone who counts from the start of the run.
                        Some(since) if SimTime::ZERO + since <= end => outside(&format!(
                            "before the run began; did you mean `{}s`?",
                            at.0 as f64 / 1000.0
                        )),
                        _ => outside("before the run began"),
                    }
                })?;
                let since = SimDuration::from_millis(1).checked_mul(ms);
                SimTime::ZERO.checked_add(since.unwrap_or(SimDuration::MAX)).unwrap_or(SimTime::NEVER)
            }
        };
        if at > end { Err(outside("after the run ended")) } else { Ok(at) }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // As times stand in the files of a run: exact, or rounded to a float in decisions.jsonl.
        if let Some(text) = text.strip_suffix('s') {
            let exact = || DecimalSeconds::parse(text).map(SimDuration::from);
            let rounded = || text.parse().ok().and_then(SimDuration::from_secs_f64);
            if let Some(since) = exact().or_else(rounded) {
                return Ok(Moment::Since(SimTime::ZERO + since));
            }
        }
        if let Ok(seconds) = text.parse::<f64>() {
            let ms = libm::round(seconds * 1000.0);
            // RFC 3339 ends with the year 9999.
            return if (0.0..253_402_300_800_000.0).contains(&ms) {
                Ok(Moment::Wall(UnixMillis(ms as i64)))
            } else {
                Err(format!("{text} is no time that a run can have, {FORMS}"))
            };
        }
        if let Ok(time) = humantime::parse_rfc3339_weak(text)
            && let Ok(since) = time.duration_since(UNIX_EPOCH)
            && let Ok(ms) = i64::try_from(since.as_millis())
        {
            return Ok(Moment::Wall(UnixMillis(ms)));
        }
        let since = humantime::parse_duration(text).ok();
        let ps = since.and_then(|since| u64::try_from(since.as_nanos().checked_mul(1000)?).ok());
        ps.map(|ps| Moment::Since(SimTime::from_ps(ps))).ok_or_else(|| format!("a time is {FORMS}"))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) =
            text.split_once("..").ok_or("a range is written `A..B`, such as `10m..20m`".to_owned())?;
        let moment = |text: &str| (!text.is_empty()).then(|| text.parse()).transpose();
        Ok(Span { from: moment(from)?, to: moment(to)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_767_600_000_000);

    fn at(text: &str) -> Result<SimTime, String> {
        let end = SimTime::ZERO + SimDuration::from_secs(7200);
        text.parse::<Moment>()?.within(START, end).map_err(|problem| problem.to_string())
    }

    #[test]
    fn an_instant_may_be_typed_in_four_ways() {
        for (text, ms) in [
            ("12m30s", 750_000),
            ("1h 30m", 5_400_000),
            ("750.25s", 750_250),
            ("0s", 0),
            ("2h", 7_200_000),
            ("2026-01-05T08:12:30Z", 750_000),
            ("2026-01-05 08:12:30.5", 750_500),
            ("1767600750", 750_000),
            ("1767600750.5", 750_500),
            ("1.76760075e9", 750_000),
        ] {
            assert_eq!(at(text), Ok(SimTime::ZERO + SimDuration::from_millis(ms)), "{text}");
        }
        let ps = Ok(SimTime::from_ps(4_345_678_901_234_567));
        assert_eq!(
            (at("4345.678901234567s"), at("4345.6789012345671s")),
            (ps.clone(), ps),
            "as files have it"
        );
    }

    #[test]
    fn what_is_no_instant_of_the_run_is_refused_with_its_bounds() {
        for (text, says) in [
            ("", "a time is"),
            ("soon", "a time is"),
            ("-5s", "a time is"),
            ("1e99", "no time"),
            ("NaN", "no time"),
            ("-3", "no time"),
            (
                "750",
                "before the run began; did you mean `750s`? (the run began at 2026-01-05T08:00:00.000Z and lasted 2h",
            ),
            ("7201", "before the run began (the run"),
            ("2h1s", "after the run ended"),
            ("9999-12-31T23:59:59Z", "after the run ended"),
            ("99999999999999999999s", "a time is"),
            ("500000y", "a time is"),
        ] {
            let error = at(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_span_may_be_open_at_either_end() {
        let (ten, twenty) = (SimDuration::from_secs(600), SimDuration::from_secs(1200));
        let moment = |after| Some(Moment::Since(SimTime::ZERO + after));
        for (text, from, to) in [
            ("10m..20m", moment(ten), moment(twenty)),
            ("10m..", moment(ten), None),
            ("..20m", None, moment(twenty)),
            ("..", None, None),
            ("600.0s..1200.0s", moment(ten), moment(twenty)),
        ] {
            assert_eq!(text.parse(), Ok(Span { from, to }), "{text}");
        }
        for wrong in ["10m", "10m-20m", "x..y", ""] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
