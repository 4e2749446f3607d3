//! The heap that `topk` and `bottomk` keep, as Go's container/heap moves it: which of equal elements is left out depends on
//! its moves.

use super::value::Sample;

/// The best elements so far, at most `limit`, the worst of them first.
#[derive(Debug)]
pub(super) struct Heap {
    samples: Vec<Sample>,
    limit: usize,
    /// The greatest are the best, not the least.
    keeps_greatest: bool,
    /// A full heap whose worst is NaN takes any element instead, NaN too.
    replaces_nan_by_nan: bool,
}

impl Heap {
    /// An empty heap; `limit` is at least one.
    pub(super) fn new(limit: usize, keeps_greatest: bool, replaces_nan_by_nan: bool) -> Self {
        Heap { samples: Vec::with_capacity(limit), limit, keeps_greatest, replaces_nan_by_nan }
    }

    /// Takes the element, unless all that are kept are as good (promql/engine.go, `aggregationK`).
    pub(super) fn offer(&mut self, sample: Sample) {
        if self.samples.len() < self.limit {
            return self.push(sample);
        }
        let worst = self.samples[0].value;
        let is_better = if self.keeps_greatest { worst < sample.value } else { worst > sample.value };
        if self.replaces_nan_by_nan && (is_better || worst.is_nan()) {
            // Until 2.43 the worst was taken out before the new one came in.
            let last = self.samples.len() - 1;
            self.samples.swap(0, last);
            self.samples.truncate(last);
            self.down();
            self.push(sample);
        } else if is_better || worst.is_nan() && !sample.value.is_nan() {
            self.samples[0] = sample;
            self.down();
        }
    }

    /// The elements from the best to the worst.
    pub(super) fn into_sorted(mut self) -> Vec<Sample> {
        // Go sorts so few by insertion. Of more, only the order of equal ones could differ.
        for end in 1..self.samples.len() {
            let mut at = end;
            while at > 0 && self.is_worse(at - 1, at) {
                self.samples.swap(at - 1, at);
                at -= 1;
            }
        }
        self.samples
    }

    fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
        let mut at = self.samples.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.is_worse(at, parent) {
                break;
            }
            self.samples.swap(at, parent);
            at = parent;
        }
    }

    /// Lets the first sink to its place.
    fn down(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.samples.len() {
                break;
            }
            let is_right = right < self.samples.len() && self.is_worse(right, left);
            let child = if is_right { right } else { left };
            if !self.is_worse(child, at) {
                break;
            }
            self.samples.swap(child, at);
            at = child;
        }
    }

    /// NaN is worse than all, NaN included (`vectorByValueHeap`).
    fn is_worse(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.samples[a].value, self.samples[b].value);
        a.is_nan() || if self.keeps_greatest { a < b } else { a > b }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::LabelTable;
    use super::*;
    use crate::monitoring::labels::Labels;

    /// The places of the chosen ones among `values`, best first.
    fn chosen(values: &[f64], limit: usize, keeps_greatest: bool, replaces_nan_by_nan: bool) -> Vec<usize> {
        let mut table = LabelTable::new();
        let mut heap = Heap::new(limit, keeps_greatest, replaces_nan_by_nan);
        let ids: Vec<_> =
            (0..values.len()).map(|i| table.intern(Labels::new([("i", i.to_string())]))).collect();
        for (&value, &labels) in values.iter().zip(&ids) {
            heap.offer(Sample { labels, value });
        }
        let place = |sample: &Sample| ids.iter().position(|id| *id == sample.labels).expect("one of them");
        heap.into_sorted().iter().map(place).collect()
    }

    #[test]
    fn the_best_are_kept_in_order() {
        let values = [3.0, f64::NAN, 5.0, 1.0, 4.0, f64::NEG_INFINITY];
        assert_eq!(chosen(&values, 3, true, false), [2, 4, 0]);
        assert_eq!(chosen(&values, 3, false, false), [5, 3, 0]);
        assert_eq!(chosen(&values, 6, true, false), [2, 4, 0, 3, 5, 1]);
    }

    #[test]
    fn a_better_one_pushes_out_the_first_of_equals_and_an_equal_one_none() {
        assert_eq!(chosen(&[1.0, 1.0, 2.0], 2, true, false), [2, 1]);
        assert_eq!(chosen(&[1.0, 1.0, 1.0], 2, true, false), [0, 1]);
        assert_eq!(chosen(&[1.0, 1.0], 1, true, false), [0]);
    }

    #[test]
    fn nan_gives_way_to_numbers_and_once_to_nan() {
        let values = [f64::NAN, f64::NAN, 1.0, f64::NAN];
        assert_eq!(chosen(&values, 1, true, false), [2]);
        assert_eq!(chosen(&values, 2, true, false), [2, 0]);
        assert_eq!(chosen(&values, 2, true, true), [2, 3]);
    }
}
