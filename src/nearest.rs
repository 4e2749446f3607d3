//! The accepted word nearest to one that is not accepted: "did you mean". A remedy in many a problem, of every wing.

/// The one of `accepted` that a user most likely meant by `word`, if any is near.
///
/// Case and the signs `-` and `_` do not count, so that `maxReplicaCount` finds `max_replica_count`; beyond that one
/// letter in three may be wrong, missing, too many or swapped with its neighbour. The first of several equally near
/// ones is taken.
pub fn nearest<'a>(word: &str, accepted: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    let (distance, best) = accepted
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / 3).max(1)).then_some(best)
}

/// The accepted words, nearest first, however far they are; equally near ones in the given order.
pub fn by_distance<'a>(word: &str, accepted: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = plain(word);
    let mut ranked: Vec<(usize, &str)> =
        accepted.into_iter().map(|candidate| (distance(&word, &plain(candidate)), candidate)).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}

/// A word without what does not count; a longer one is no slip of the pen, and its length bounds the work.
fn plain(text: &str) -> Vec<char> {
    text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).take(64).collect()
}

/// "did you mean `x`?", or else the whole list if it is short enough to read.
pub fn suggestion(word: &str, accepted: &[&str]) -> Option<String> {
    if let Some(near) = nearest(word, accepted.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match accepted {
        [] => None,
        [one] => Some(format!("only `{one}` is accepted here")),
        _ => Some(format!("accepted here: {}", accepted.join(", "))),
    }
}

/// Edits that turn `a` into `b`: a letter replaced, inserted, deleted, or two neighbours swapped.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let accepted = ["polling_interval", "cooldown_period", "min_replica_count", "max_replica_count"];
        for (word, expected) in [
            ("polling_intervall", Some("polling_interval")),
            ("pollingInterval", Some("polling_interval")),
            ("cooldwon_period", Some("cooldown_period")),
            ("maxreplicas", None),
            ("max_replica_cuont", Some("max_replica_count")),
            ("threshold", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, accepted), expected, "{word}");
        }
        assert_eq!(suggestion("x", &["a1", "b1"]).unwrap(), "accepted here: a1, b1");
        assert_eq!(suggestion("x", &[]), None);
    }

    #[test]
    fn all_words_can_be_ranked() {
        assert_eq!(by_distance("a101", ["h200", "a100", "l40s"]), ["a100", "h200", "l40s"]);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
    }
}
