//! Tables in Markdown, of a number that several seeds gave.

use std::fmt;

/// What the seeds gave: the mean of those that have a number, and the least and the most where they differ.
pub(crate) struct Spread {
    values: Vec<f64>,
    seeds: usize,
}

impl Spread {
    /// One value a seed; NaN where there is none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let all: Vec<f64> = values.into_iter().collect();
        Spread { seeds: all.len(), values: all.into_iter().filter(|value| value.is_finite()).collect() }
    }

    /// The mean; NaN without a value.
    pub(crate) fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.values.iter().copied().min_by(f64::total_cmp).map(short);
        let most = self.values.iter().copied().max_by(f64::total_cmp).map(short);
        match (least, most) {
            (Some(least), Some(most)) if least == most => f.write_str(&least)?,
            (Some(least), Some(most)) => write!(f, "{} ({least} to {most})", short(self.mean()))?,
            _ => return f.write_str("never"),
        }
        if self.values.len() < self.seeds {
            write!(f, " in {} of {}", self.values.len(), self.seeds)?;
        }
        Ok(())
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
