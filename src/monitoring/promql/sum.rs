//! Sums that keep what floating point would lose, and the quantile that aggregations and ranges share.

/// A sum with its compensating term: Kahan's algorithm with Neumaier's improvement (promql/functions.go,
/// `kahanSumInc`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compensated {
    sum: f64,
    compensation: f64,
}

impl Compensated {
    pub(super) fn starting_at(sum: f64) -> Self {
        Compensated { sum, compensation: 0.0 }
    }

    /// The sum with one more term.
    #[inline]
    pub(super) fn plus(self, term: f64) -> Self {
        let sum = self.sum + term;
        let compensation = if sum.is_infinite() {
            // Nothing is left to compensate, and infinity minus infinity would make the term NaN.
            0.0
        } else if self.sum.abs() >= term.abs() {
            self.compensation + ((self.sum - sum) + term)
        } else {
            self.compensation + ((term - sum) + self.sum)
        };
        Compensated { sum, compensation }
    }

    /// Adds one more term.
    #[inline]
    pub(super) fn add(&mut self, term: f64) {
        *self = self.plus(term);
    }

    /// The sum as it is known best.
    pub(super) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }

    fn scaled(self, factor: f64) -> Self {
        Compensated { sum: self.sum * factor, compensation: self.compensation * factor }
    }
}

/// A mean that takes one value after the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mean {
    /// The sum so far (3.x).
    Direct { sum: Compensated, count: f64 },
    /// The mean so far, where the sum would overflow (3.x).
    Incremental { mean: Compensated, count: f64 },
    /// The mean so far (2.x); `compensates` in `avg_over_time`, not in `avg`.
    Plain { mean: Compensated, count: f64, compensates: bool },
}

impl Mean {
    pub(super) fn starting_at(first: f64, compensated_sum: bool, over_time: bool) -> Self {
        let (sum, count) = (Compensated::starting_at(first), 1.0);
        if compensated_sum {
            Mean::Direct { sum, count }
        } else {
            Mean::Plain { mean: sum, count, compensates: over_time }
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        match self {
            Mean::Direct { sum, count } => {
                let before = *sum;
                sum.add(value);
                if sum.sum.is_infinite() {
                    let mut incremental =
                        Mean::Incremental { mean: before.scaled(1.0 / *count), count: *count };
                    incremental.add(value);
                    *self = incremental;
                } else {
                    *count += 1.0;
                }
            }
            Mean::Incremental { mean, count } => {
                *count += 1.0;
                *mean = mean.scaled((*count - 1.0) / *count);
                mean.add(value / *count);
            }
            Mean::Plain { mean, count, compensates } => {
                *count += 1.0;
                // An infinite mean stays: taking it away from a number would leave NaN.
                let same_infinity = value.is_infinite() && (mean.sum > 0.0) == (value > 0.0);
                if mean.sum.is_infinite() && (value.is_finite() || same_infinity) {
                    return;
                }
                let step = value / *count - mean.sum / *count;
                if *compensates {
                    mean.add(step);
                } else {
                    mean.sum += step;
                }
            }
        }
    }

    pub(super) fn total(self) -> f64 {
        match self {
            Mean::Direct { sum, count } => sum.sum / count + sum.compensation / count,
            Mean::Incremental { mean, .. } => mean.sum + mean.compensation,
            Mean::Plain { mean, .. } => mean.total(),
        }
    }
}

/// The mean of `values`; none has none.
pub(super) fn mean(
    mut values: impl Iterator<Item = f64>,
    compensated_sum: bool,
    over_time: bool,
) -> Option<f64> {
    let first = values.next()?;
    let mut mean = Mean::starting_at(first, compensated_sum, over_time);
    if compensated_sum {
        // The usual case in a loop of its own: the sum stays finite.
        let (mut sum, mut count, mut overflowing) = (Compensated::starting_at(first), 1_u32, None);
        for value in values.by_ref() {
            let next = sum.plus(value);
            if next.sum.is_infinite() {
                overflowing = Some(value);
                break;
            }
            sum = next;
            count += 1;
        }
        mean = Mean::Direct { sum, count: f64::from(count) };
        overflowing.into_iter().for_each(|value| mean.add(value));
    }
    values.for_each(|value| mean.add(value));
    Some(mean.total())
}

/// The `q`-quantile of `values`, between neighbours by linear interpolation; NaN sorts first (promql/quantile.go,
/// `quantile`). `values` are sorted on return.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| {
        b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let rank = q * (values.len() - 1) as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[below] * (1.0 - weight) + values[above] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], compensated_sum: bool, over_time: bool) -> f64 {
        mean(values.iter().copied(), compensated_sum, over_time).expect("there are values")
    }

    #[test]
    fn a_mean_that_would_overflow_turns_incremental() {
        let overflowing = of(&[1.7e308, 1.7e308, -1.7e308], true, true);
        assert!((overflowing / (1.7e308 / 3.0) - 1.0).abs() < 1e-12, "{overflowing}");
        assert_eq!(of(&[1.0, 2.0, 6.0], true, false), 3.0);
        assert_eq!(of(&[f64::INFINITY, 5.0], true, false), f64::INFINITY);
        assert!(of(&[f64::INFINITY, f64::NEG_INFINITY], true, false).is_nan());
    }

    #[test]
    fn the_plain_mean_of_2_keeps_an_infinity() {
        for over_time in [false, true] {
            assert_eq!(of(&[1.0, f64::INFINITY, 5.0], false, over_time), f64::INFINITY);
            assert!(of(&[f64::INFINITY, f64::NEG_INFINITY], false, over_time).is_nan());
            assert_eq!(of(&[1.0, 2.0, 6.0], false, over_time), 3.0);
        }
    }

    #[test]
    fn nan_sorts_before_every_number() {
        let mut values = [3.0, f64::NAN, 1.0];
        assert!(quantile(0.0, &mut values).is_nan());
        assert_eq!(quantile(1.0, &mut values), 3.0);
        assert_eq!(quantile(0.75, &mut values), 2.0);
    }
}
