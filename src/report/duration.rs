//! Lengths of time as people read them.

/// A unit of time and how a number of it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    seconds: f64,
    digits: usize,
    name: &'static str,
}

impl Unit {
    /// The unit in which `seconds` reads best: two or three digits that matter.
    pub(super) fn of(seconds: f64) -> Unit {
        let unit = |of: f64, digits, name| Unit { seconds: of, digits, name };
        // Bounds lie where rounding would give one digit more: 0.0996 s is 0.10 s, not 100 ms.
        match seconds.abs() {
            s if s < 0.000_000_5 => unit(1.0, 0, "s"),
            s if s < 0.009_95 => unit(0.001, 1, "ms"),
            s if s < 0.099_5 => unit(0.001, 0, "ms"),
            s if s < 0.995 => unit(1.0, 2, "s"),
            s if s < 9.95 => unit(1.0, 1, "s"),
            s if s < 999.5 => unit(1.0, 0, "s"),
            s if s < 7_200.0 => unit(60.0, 0, "min"),
            s if s < 172_800.0 => unit(3_600.0, 1, "h"),
            _ => unit(86_400.0, 1, "d"),
        }
    }

    /// `seconds` in this unit, without its name.
    pub(super) fn number(self, seconds: f64) -> String {
        format!("{:.*}", self.digits, seconds / self.seconds)
    }

    pub(super) fn name(self) -> &'static str {
        self.name
    }
}

/// A measured length of time, to two or three digits.
///
/// ```
/// use dryscale::report::humane;
/// assert_eq!([0.011, 0.2134, 136.4, 1200.0].map(humane), ["11 ms", "0.21 s", "136 s", "20 min"]);
/// ```
pub fn humane(seconds: f64) -> String {
    let unit = Unit::of(seconds);
    format!("{} {}", unit.number(seconds), unit.name)
}

/// A length of time in a sentence, rounded to the second, or to the minute from five minutes on: `45 s`, `2 min 16 s`,
/// `1 h 5 min`.
pub fn spoken(seconds: f64) -> String {
    let step = if seconds < 300.0 { 1.0 } else { 60.0 };
    let parts = parts(libm::round(seconds / step) as u64 * step as u64);
    let named = parts.iter().map(|(n, unit)| match *unit {
        "m" => format!("{n} min"),
        unit => format!("{n} {unit}"),
    });
    named.take(2).collect::<Vec<_>>().join(" ")
}

/// A length of time in the least room, rounded to the second: `30m`, `1h30m`, `2h`, as flags take it.
pub fn compact(seconds: f64) -> String {
    parts(libm::round(seconds) as u64).iter().map(|(n, unit)| format!("{n}{unit}")).collect()
}

/// Days, hours, minutes and seconds, those that are not zero; `0 s` for nothing.
fn parts(seconds: u64) -> Vec<(u64, &'static str)> {
    let all =
        [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let some: Vec<_> = all.into_iter().filter(|&(n, _)| n > 0).collect();
    if some.is_empty() { vec![(0, "s")] } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_times_have_two_or_three_digits() {
        let cases = [
            (0.0, "0 s"),
            (0.0004, "0.4 ms"),
            (0.00994, "9.9 ms"),
            (0.00996, "10 ms"),
            (0.011, "11 ms"),
            (0.0996, "0.10 s"),
            (0.21, "0.21 s"),
            (0.996, "1.0 s"),
            (2.94, "2.9 s"),
            (9.96, "10 s"),
            (136.4, "136 s"),
            (999.4, "999 s"),
            (1000.0, "17 min"),
            (7200.0, "2.0 h"),
            (250_000.0, "2.9 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(humane(seconds), text);
        }
    }

    #[test]
    fn sentences_and_axes_name_their_units() {
        let cases = [
            (0.2, "0 s", "0s"),
            (45.0, "45 s", "45s"),
            (136.4, "2 min 16 s", "2m16s"),
            (300.0, "5 min", "5m"),
            (3599.6, "1 h", "1h"),
            (3900.0, "1 h 5 min", "1h5m"),
            (5400.0, "1 h 30 min", "1h30m"),
            (90_061.0, "1 d 1 h", "1d1h1m1s"),
        ];
        for (seconds, sentence, axis) in cases {
            assert_eq!((spoken(seconds).as_str(), compact(seconds).as_str()), (sentence, axis));
        }
    }
}
