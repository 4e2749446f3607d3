//! Where a number comes from.

use crate::problem::Problem;

/// Where the numbers of one table of a model file come from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// How they are known.
    pub kind: Knowledge,
    /// When they were taken from the source: `2026-11-23`.
    pub date: String,
    /// The source: a project with its version, a paper, a log.
    pub source: String,
}

/// How a number is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowledge {
    /// Read off a run, a log or a published configuration.
    Measured,
    /// Chosen so that a form reproduces measurements.
    Fitted,
    /// Neither: a datasheet's peak, a list price, a plausible value.
    Assumed,
}

impl Knowledge {
    /// The word of the files.
    pub const fn word(self) -> &'static str {
        match self {
            Knowledge::Measured => "measured",
            Knowledge::Fitted => "fitted",
            Knowledge::Assumed => "assumed",
        }
    }
}

impl Provenance {
    /// Refuses an empty source and a date that is none, with keys relative to the table that holds it.
    ///
    /// # Errors
    /// A problem with `provenance.source` or `provenance.date`.
    pub fn check(&self) -> Result<(), Problem> {
        if self.source.trim().is_empty() {
            return Err(Problem::key("provenance.source", "the source is empty")
                .help("name the project and version, paper or log that the numbers come from"));
        }
        if !is_date(&self.date) {
            return Err(Problem::key("provenance.date", format!("`{}` is no date", self.date))
                .help("write it as \"2026-11-23\""));
        }
        Ok(())
    }
}

/// Year, month and day in digits, with month and day in their ranges.
fn is_date(text: &str) -> bool {
    let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let within = |part: &str, most: u32| part.parse::<u32>().is_ok_and(|n| (1..=most).contains(&n));
    digits(year, 4) && digits(month, 2) && digits(day, 2) && within(month, 12) && within(day, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_and_a_date_are_needed() {
        let known = |date: &str, source: &str| Provenance {
            kind: Knowledge::Measured,
            date: date.to_owned(),
            source: source.to_owned(),
        };
        assert_eq!(known("2026-11-23", "a log").check(), Ok(()));
        for date in
            ["", "2026", "2026-13-01", "2026-00-10", "2026-1-1", "23-11-2026", "2026-11-32", "2026-11-+1"]
        {
            let problem = known(date, "a log").check().expect_err(date);
            assert!(problem.to_string().starts_with("provenance.date"), "{problem}");
        }
        assert!(known("2026-11-23", " ").check().is_err());
    }
}
