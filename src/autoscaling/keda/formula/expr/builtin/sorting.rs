//! Sorting with an order that can fail.

use super::super::error::Failure;

/// The arrays that Go sorts by insertion; among their equal items the order stays, and NaN ends where it does there.
const INSERTION_MAX: usize = 12;

/// Sorts `items`. Up to twelve move exactly as Go's `sort.Sort` moves them. More are merged, and equal ones keep their
/// order, where Go's pattern-defeating quicksort may exchange them.
///
/// # Errors
/// The first of `less`.
pub(in super::super) fn sort<T: Clone>(
    items: &mut [T],
    mut less: impl FnMut(&T, &T) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    for run in items.chunks_mut(INSERTION_MAX) {
        for i in 1..run.len() {
            let mut j = i;
            while j > 0 && less(&run[j], &run[j - 1])? {
                run.swap(j, j - 1);
                j -= 1;
            }
        }
    }
    let mut width = INSERTION_MAX;
    while width < items.len() {
        for pair in items.chunks_mut(2 * width).filter(|pair| pair.len() > width) {
            let left = pair[..width].to_vec();
            merge(&left, pair, &mut less)?;
        }
        width *= 2;
    }
    Ok(())
}

/// Merges `left`, a copy of the front of `pair`, with the rest of it.
fn merge<T: Clone>(
    left: &[T],
    pair: &mut [T],
    less: &mut impl FnMut(&T, &T) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let (mut taken, mut right) = (0, left.len());
    for to in 0..pair.len() {
        let Some(next) = left.get(taken) else { break };
        if right < pair.len() && less(&pair[right], next)? {
            pair.swap(to, right);
            right += 1;
        } else {
            pair[to] = next.clone();
            taken += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arrays_are_sorted_and_equal_items_keep_their_order() {
        let mut items: Vec<(u32, u32)> = (0..1_000).map(|i| (i * 7_919 % 97, i)).collect();
        let mut expected = items.clone();
        expected.sort();
        sort(&mut items, |x, y| Ok(x.0 < y.0)).expect("no order fails");
        assert_eq!(items, expected);
    }

    #[test]
    fn the_first_error_ends_it() {
        assert!(sort(&mut [2, 1], |_, _| Err(Failure::bad("no order"))).is_err());
    }
}
