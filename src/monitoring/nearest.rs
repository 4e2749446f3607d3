//! The name that a user may have meant.

/// The candidate most like `name`, if any is like it: at most a third of the letters differ.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let length = name.chars().count();
    candidates
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|&(edits, candidate)| edits * 3 <= length.max(candidate.chars().count()))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or replaced to make `b` of `a` (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let names = ["rate", "irate", "histogram_quantile"];
        assert_eq!(nearest("histogram_quantil", names.into_iter()), Some("histogram_quantile"));
        assert_eq!(nearest("raet", names.into_iter()), None);
        assert_eq!(nearest("rates", names.into_iter()), Some("rate"));
        assert_eq!(nearest("sorted", names.into_iter()), None);
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!((edits("kitten", "sitting"), edits("", "ab"), edits("same", "same")), (3, 2, 0));
    }
}
