//! Linear interpolation between knots: how step times depend on the number of tokens or requests.

use crate::problem::Problem;

/// A function given by its values at knots, linear between them.
///
/// Below the first knot it has the first value; beyond the last it goes on with the slope of the last segment. A table
/// with one knot is a constant. The same bits on every machine: only `+`, `-`, `*` and `/` of `f64` are used.
#[derive(Clone, Debug, PartialEq)]
pub struct Piecewise {
    at: Vec<u64>,
    value: Vec<f64>,
}

impl Piecewise {
    /// The largest value that a table may hold; with it no sum or product of the step-time form leaves `f64`.
    pub const VALUE_MAX: f64 = 1e9;

    /// The function through the points (`at[i]`, `value[i]`).
    ///
    /// # Errors
    /// A problem with `at_key` or `value_key`: no knots, lists of different lengths, knots that do not ascend, a value that is
    /// negative, no number or above [`Piecewise::VALUE_MAX`], or a last segment that falls (it would cross zero in the end).
    pub fn new(at: &[u32], at_key: &str, value: &[f64], value_key: &str) -> Result<Piecewise, Problem> {
        if at.is_empty() {
            return Err(Problem::key(at_key, "the table has no knots").help("give at least one"));
        }
        if at.len() != value.len() {
            let message = format!("{} values, but {} knots in `{at_key}`", value.len(), at.len());
            return Err(Problem::key(value_key, message).help("give each knot its value"));
        }
        if let Some(i) = (1..at.len()).find(|i| at[*i] <= at[*i - 1]) {
            return Err(Problem::key(
                format!("{at_key}.{i}"),
                format!("{} does not lie above {}, the knot before it", at[i], at[i - 1]),
            )
            .help("knots ascend"));
        }
        for (i, v) in value.iter().enumerate() {
            number(&format!("{value_key}.{i}"), *v)?;
        }
        if let [.., before, last] = value
            && last < before
        {
            return Err(Problem::key(
                format!("{value_key}.{}", value.len() - 1),
                format!("the last value {last} lies below {before}, the one before it"),
            )
            .help("the last segment's slope holds beyond the last knot, so it must not fall"));
        }
        Ok(Piecewise { at: at.iter().copied().map(u64::from).collect(), value: value.to_vec() })
    }

    /// The value at `x`. O(log knots), no allocation.
    pub fn value(&self, x: u64) -> f64 {
        let above = self.at.partition_point(|knot| *knot <= x);
        if above == 0 || self.at.len() == 1 {
            return self.value[0];
        }
        // Beyond the last knot, the segment that ends there.
        let right = above.min(self.at.len() - 1);
        let left = right - 1;
        if self.at[left] == x {
            return self.value[left];
        }
        let slope = (self.value[right] - self.value[left]) / (self.at[right] - self.at[left]) as f64;
        // From the knot that is nearer in the sense of the table, so that knots themselves are exact.
        let from = if above > right { right } else { left };
        self.value[from] + slope * (x - self.at[from]) as f64
    }

    /// The last knot.
    pub fn last(&self) -> u64 {
        self.at[self.at.len() - 1]
    }
}

/// Refuses what is no coefficient of the step-time form: negative, no number, or too large to be a time in ms.
///
/// # Errors
/// A problem with `key`.
pub(super) fn number(key: &str, value: f64) -> Result<(), Problem> {
    // Written so that NaN is refused too.
    if (0.0..=Piecewise::VALUE_MAX).contains(&value) {
        return Ok(());
    }
    Err(Problem::key(key, format!("{value} is not possible here")).help("a number from 0 to 1e9"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(at: &[u32], value: &[f64]) -> Result<Piecewise, Problem> {
        Piecewise::new(at, "tokens", value, "ms")
    }

    #[test]
    fn values_between_at_and_beyond_the_knots() {
        let steps = table(&[1, 128, 129, 256], &[5.0, 6.0, 7.0, 9.54]).expect("a good table");
        let slope = 2.54 / 127.0;
        for (x, y) in [(0, 5.0), (1, 5.0), (128, 6.0), (129, 7.0), (256, 9.54), (257, 9.54 + slope)] {
            assert!((steps.value(x) - y).abs() < 1e-12, "{x}: {}", steps.value(x));
        }
        assert_eq!(
            [steps.value(128), steps.value(129), steps.value(256)],
            [6.0, 7.0, 9.54],
            "knots are exact"
        );
        assert!((steps.value(2) - (5.0 + 1.0 / 127.0)).abs() < 1e-12);
        assert!(steps.value(u64::MAX).is_finite());
        assert_eq!(steps.last(), 256);
    }

    #[test]
    fn one_knot_is_a_constant() {
        let flat = table(&[1], &[3.0]).expect("a constant");
        assert_eq!([0, 1, 1000].map(|x| flat.value(x)), [3.0; 3]);
    }

    #[test]
    fn a_table_that_is_none_is_refused_at_its_key() {
        let cases: [(&[u32], &[f64], &str); 8] = [
            (&[], &[], "tokens"),
            (&[1, 2], &[1.0], "ms"),
            (&[1, 1], &[1.0, 2.0], "tokens.1"),
            (&[1, 3, 2], &[1.0, 2.0, 3.0], "tokens.2"),
            (&[1, 2], &[1.0, f64::NAN], "ms.1"),
            (&[1, 2], &[-1.0, 2.0], "ms.0"),
            (&[1, 2], &[1.0, 1e10], "ms.1"),
            (&[1, 2], &[2.0, 1.0], "ms.1"),
        ];
        for (at, value, key) in cases {
            let problem = table(at, value).expect_err(key);
            assert_eq!(problem.place, crate::problem::Place::Key(key.to_owned()), "{at:?} {value:?}");
            assert!(problem.help.is_some(), "{problem}: no remedy");
        }
    }
}
