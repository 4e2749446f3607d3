//! Tables in Markdown, of a number that several seeds gave.

use std::fmt;

/// What the seeds gave: their mean, and the least and the most where they differ.
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// One value a seed; those that are no number are left out.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        Spread(values.into_iter().filter(|value| value.is_finite()).collect())
    }

    /// The mean; NaN without a value.
    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.0.iter().copied().min_by(f64::total_cmp).map(short);
        let most = self.0.iter().copied().max_by(f64::total_cmp).map(short);
        match (least, most) {
            (Some(least), Some(most)) if least == most => f.write_str(&least),
            (Some(least), Some(most)) => write!(f, "{} ({least} to {most})", short(self.mean())),
            _ => f.write_str("never"),
        }
    }
}

/// Three digits, or all of a large number's whole part.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// One line of a table.
pub(crate) fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Heading and the line below it.
pub(crate) fn heading(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    let rule = "|---".repeat(cells.len());
    format!("{}{rule}|\n", row(cells))
}
