//! A finite table of values with weights: histograms and Zipf's law.

use crate::random::Stream;
use rand_distr::Distribution as _;
use rand_distr::weighted::WeightedAliasIndex;
use std::convert::Infallible;

/// Values with their probabilities, sorted by value.
#[derive(Clone, Debug)]
pub(super) struct Table {
    values: Vec<f64>,
    /// `cumulative[i]`: the probability of `values[..=i]`; its last entry is 1.
    cumulative: Vec<f64>,
    pick: Pick,
}

/// Draws an index with a probability proportional to its weight, in constant time.
///
/// The alias table of `rand_distr` adds, multiplies and compares, nothing else: its bits do not depend on the platform's
/// mathematics library, which is why it may be used here where the crate's other distributions may not.
#[derive(Clone, Debug)]
pub(super) struct Pick(WeightedAliasIndex<f64>);

impl Pick {
    /// `None` when no weight is positive, or one is negative or not finite.
    pub(super) fn new(weights: &[f64]) -> Option<Pick> {
        WeightedAliasIndex::new(weights.to_vec()).ok().map(Pick)
    }

    /// Two draws, and more only where an unbiased index has to be redrawn.
    pub(super) fn draw(&self, stream: &mut Stream) -> usize {
        self.0.sample(&mut Bits(stream))
    }
}

impl Table {
    /// `None` when no weight is positive, or one is negative or not finite. `values` and `weights` are equally long.
    pub(super) fn new(values: impl IntoIterator<Item = f64>, weights: &[f64]) -> Option<Table> {
        let mut entries: Vec<(f64, f64)> =
            values.into_iter().zip(weights.iter().copied()).filter(|(_, weight)| *weight != 0.0).collect();
        entries.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (values, weights): (Vec<f64>, Vec<f64>) = entries.into_iter().unzip();
        let pick = Pick::new(&weights)?;
        let mut cumulative: Vec<f64> = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let total = *cumulative.last()?;
        cumulative.iter_mut().for_each(|sum| *sum /= total);
        Some(Table { values, cumulative, pick })
    }

    /// One of the values.
    pub(super) fn draw(&self, stream: &mut Stream) -> f64 {
        self.values[self.pick.draw(stream)]
    }

    /// The probability of all values that are `inside`, which must hold for a first part of the sorted values only.
    pub(super) fn cumulative(&self, inside: impl Fn(f64) -> bool) -> f64 {
        match self.values.partition_point(|value| inside(*value)) {
            0 => 0.0,
            n => self.cumulative[n - 1],
        }
    }

    /// The smallest value up to which at least `u` of the probability lies.
    pub(super) fn quantile(&self, u: f64) -> f64 {
        let i = self.cumulative.partition_point(|sum| *sum < u);
        self.values[i.min(self.values.len() - 1)]
    }
}

/// A [`Stream`] as `rand_distr` wants to see it.
struct Bits<'a>(&'a mut Stream);

impl rand::TryRng for Bits<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.bits() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.bits())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.bits().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn draws_follow_the_weights_and_never_give_a_value_of_weight_zero() {
        let table = Table::new([5.0, 1.0, 9.0], &[1.0, 3.0, 0.0]).expect("weights are good");
        let mut stream = Streams::new(1).stream("table");
        let ones = (0..40_000).filter(|_| {
            let value = table.draw(&mut stream);
            assert!(value == 1.0 || value == 5.0);
            value == 1.0
        });
        let ones = ones.count();
        assert!((29_500..30_500).contains(&ones), "{ones} of 40,000 where 30,000 are expected");
        assert_eq!((table.quantile(0.75), table.quantile(0.751)), (1.0, 5.0));
        assert_eq!((table.cumulative(|v| v <= 1.0), table.cumulative(|v| v < 1.0)), (0.75, 0.0));
    }

    #[test]
    fn weights_that_are_no_weights_are_refused() {
        for weights in [&[0.0, 0.0], &[1.0, -1.0], &[1.0, f64::NAN], &[f64::INFINITY, 1.0]] {
            assert!(Table::new([1.0, 2.0], weights).is_none(), "{weights:?}");
        }
        assert!(Table::new([], &[]).is_none());
    }
}
