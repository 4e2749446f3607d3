//! The fields of a cron expression (`parser.go` of `github.com/robfig/cron/v3`, v3.0.1).

/// The values that a field names, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field(u64);

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    name: &'static str,
    least: u64,
    most: u64,
    /// Names of values, the first of which is `least`.
    names: &'static [&'static str],
}

/// Minute of the hour.
pub(super) const MINUTE: Bounds = Bounds { name: "minute", least: 0, most: 59, names: &[] };
/// Hour of the day.
pub(super) const HOUR: Bounds = Bounds { name: "hour", least: 0, most: 23, names: &[] };
/// Day of the month.
pub(super) const DAY_OF_MONTH: Bounds = Bounds { name: "day of the month", least: 1, most: 31, names: &[] };
/// Month of the year.
pub(super) const MONTH: Bounds = Bounds {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// Day of the week, from Sunday; 7 is none.
pub(super) const DAY_OF_WEEK: Bounds = Bounds {
    name: "day of the week",
    least: 0,
    most: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// Set where a field has a star, or `?`, without a step above 1.
const STAR: u64 = 1 << 63;

impl Field {
    /// Reads a list of ranges, `1,10-20/5,*/15`. Empty entries of a list name nothing.
    ///
    /// # Errors
    /// A clause about the first entry that is no range within the bounds.
    pub(super) fn parse(text: &str, bounds: Bounds) -> Result<Self, String> {
        let ranges = text.split(',').filter(|range| !range.is_empty());
        let bits = ranges.map(|range| bounds.range(range));
        Ok(Field(bits.collect::<Result<Vec<u64>, String>>()?.into_iter().fold(0, |all, bits| all | bits)))
    }

    /// Whether the field names this value.
    pub(super) fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.0 & 1_u64.wrapping_shl(value) != 0)
    }

    /// Whether the field restricts nothing, as far as days are concerned.
    pub(super) fn is_star(self) -> bool {
        self.0 & STAR != 0
    }

    /// Whether the field names nothing: `,` alone.
    pub(super) fn is_empty(self) -> bool {
        self.0 & !STAR == 0
    }
}

impl Bounds {
    /// One range: a value, `a-b`, a star or `?`, each with an optional `/step`. A value with a step runs to the end.
    fn range(self, text: &str) -> Result<u64, String> {
        let wrong = |why: &str| format!("`{text}` is no {}: {why}", self.name);
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((_, step)) if step.contains('/') => return Err(wrong("it has two slashes")),
            Some((range, step)) => (range, Some(self.number(step, text)?)),
        };
        let (low, high) = match range.split_once('-') {
            None => (range, None),
            Some((low, high)) => (low, Some(high)),
        };
        let mut star = 0;
        let (first, last) = if low == "*" || low == "?" {
            // What follows a hyphen after a star is not looked at.
            star = if step.unwrap_or(1) > 1 { 0 } else { STAR };
            (self.least, self.most)
        } else {
            let first = self.value(low, text)?;
            match high {
                Some(high) if high.contains('-') => return Err(wrong("it has two hyphens")),
                Some(high) => (first, self.value(high, text)?),
                None if step.is_some() => (first, self.most),
                None => (first, first),
            }
        };
        if first < self.least || last > self.most {
            return Err(wrong(&format!("it goes from {} to {}", self.least, self.most)));
        }
        if first > last {
            return Err(wrong("its beginning is after its end"));
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(wrong("a step of 0 leads nowhere"));
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        Ok((first..=last).step_by(step).fold(star, |bits, value| bits | 1 << value))
    }

    /// A value by its name or number.
    fn value(self, text: &str, range: &str) -> Result<u64, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        named.map_or_else(|| self.number(text, range), |index| Ok(self.least + index as u64))
    }

    fn number(self, text: &str, range: &str) -> Result<u64, String> {
        // As Go's `strconv.Atoi`: digits with an optional sign.
        let number = text.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| format!("`{range}` is no {}: `{text}` is no number of 0 or more", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, bounds: Bounds) -> Vec<i8> {
        let field = Field::parse(text, bounds).expect("a field");
        (0..60).filter(|&value| field.has(value)).collect()
    }

    #[test]
    fn ranges_steps_and_names_are_values() {
        assert_eq!(values("5", MINUTE), [5]);
        assert_eq!(values("50/4", MINUTE), [50, 54, 58], "a value with a step runs to the end");
        assert_eq!(values("1-23/8,2", HOUR), [1, 2, 9, 17]);
        assert_eq!(values("*/5", MONTH), [1, 6, 11], "steps count from the least value");
        assert_eq!(values("Mon-fri", DAY_OF_WEEK), [1, 2, 3, 4, 5]);
        assert_eq!(values("?", DAY_OF_WEEK).len(), 7);
        assert_eq!(values("+7", HOUR), [7], "as Go reads integers");
        assert_eq!(values(",", HOUR), [0_i8; 0]);
        assert_eq!(values("1,,2", HOUR), [1, 2]);
    }

    #[test]
    fn a_star_is_remembered_unless_it_steps() {
        let star = |text| Field::parse(text, DAY_OF_MONTH).map(Field::is_star);
        for (text, wanted) in
            [("*", true), ("?", true), ("*/1", true), ("*/2", false), ("1-31", false), ("3,*", true)]
        {
            assert_eq!(star(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_robfig_refuses_is_refused() {
        for text in [
            "60",
            "-30",
            "5-",
            "5-3",
            "1-2-3",
            "*/0",
            "1/2/3",
            "x",
            "1.5",
            "mon",
            "*/x",
            "9999999999999999999",
        ] {
            assert!(Field::parse(text, MINUTE).is_err(), "{text}");
        }
        assert!(Field::parse("7", DAY_OF_WEEK).is_err() && Field::parse("0", DAY_OF_MONTH).is_err());
    }
}
