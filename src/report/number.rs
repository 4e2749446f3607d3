//! Numbers as people read them.

/// A count, or the mean of counts, rounded to a whole: `1,204`.
pub(super) fn count(n: f64) -> String {
    let digits = format!("{:.0}", n.abs());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    let sign = if n <= -0.5 { "-" } else { "" };
    format!("{sign}{}", groups.join(","))
}

/// A count and what it counts: `1 change`, `23 changes`.
pub(super) fn counted(n: f64, one: &str, many: &str) -> String {
    let n = count(n);
    if n == "1" { format!("1 {one}") } else { format!("{n} {many}") }
}

/// To one decimal: `4.8`, `3.0`; large numbers as counts.
pub(super) fn tenths(x: f64) -> String {
    if x >= 1000.0 { count(x) } else { format!("{x:.1}") }
}

/// To one decimal, without one where it is zero: `4.8`, `25`; large numbers as counts.
pub(super) fn short(x: f64) -> String {
    let text = tenths(x);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A share in per cent to one decimal, rounded down: what misses 95 % by a hair must not read `95.0 %`.
pub(super) fn percent(share: f64) -> String {
    // A decimal share has no exact binary form: 0.57 * 1000 is 569.9999...
    format!("{:.1} %", libm::floor(share * 1000.0 + 1e-6) / 10.0)
}

/// A share that was given, as short as it is exact: `95 %`, `99.9 %`.
pub(super) fn given_percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// An amount of money: `$14.40`, `$1,204`.
pub(super) fn money(currency: &str, amount: f64) -> String {
    if amount.abs() < 1000.0 {
        format!("{currency}{amount:.2}")
    } else {
        format!("{currency}{}", count(amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        let cases = [
            (0.0, "0"),
            (0.4, "0"),
            (999.0, "999"),
            (1204.0, "1,204"),
            (1_234_567.5, "1,234,568"),
            (-1204.0, "-1,204"),
        ];
        for (n, text) in cases {
            assert_eq!(count(n), text);
        }
        assert_eq!(counted(1.0, "change", "changes"), "1 change");
        assert_eq!(counted(0.0, "change", "changes"), "0 changes");
        assert_eq!((short(4.83), short(25.0), short(1234.56)), ("4.8".into(), "25".into(), "1,235".into()));
    }

    #[test]
    fn a_near_miss_does_not_read_as_met() {
        assert_eq!(percent(0.949_99), "94.9 %");
        assert_eq!(percent(0.999_96), "99.9 %");
        assert_eq!(percent(0.57), "57.0 %");
        assert_eq!(percent(1.0), "100.0 %");
        assert_eq!(
            (given_percent(0.95), given_percent(0.999), given_percent(1.0)),
            ("95 %".into(), "99.9 %".into(), "100 %".into())
        );
    }

    #[test]
    fn money_has_cents_while_they_matter() {
        assert_eq!((money("$", 14.4), money("$", 12_345.6)), ("$14.40".into(), "$12,346".into()));
    }
}
