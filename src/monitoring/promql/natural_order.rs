//! Natural order: `pod-2` before `pod-10`, as `sort_by_label` sorts (github.com/facette/natsort, `Compare`).

/// True where `a` comes before `b`. Of texts that are equal as far as the shorter goes, the shorter comes first, and equal
/// ones come before each other.
pub(super) fn precedes(a: &str, b: &str) -> bool {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let (chunk_a, after_a) = chunk(rest_a);
        let (chunk_b, after_b) = chunk(rest_b);
        if chunk_a.is_empty() || chunk_b.is_empty() {
            return false;
        }
        // Digits that no integer holds are compared as texts.
        match (chunk_a.parse::<i64>(), chunk_b.parse::<i64>()) {
            (Ok(a), Ok(b)) if a != b => return a < b,
            (Ok(_), Ok(_)) => {}
            _ if chunk_a != chunk_b => return chunk_a < chunk_b,
            _ => {}
        }
        match (after_a.is_empty(), after_b.is_empty()) {
            (true, _) => return true,
            (false, true) => return false,
            (false, false) => (rest_a, rest_b) = (after_a, after_b),
        }
    }
}

/// The longest beginning that is all digits or has none, and what follows it.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::precedes;

    #[test]
    fn numbers_in_texts_count_as_numbers() {
        for (a, b) in [
            ("pod-2", "pod-10"),
            ("2", "10"),
            ("a", "b"),
            ("pod", "pod-1"),
            ("10", "a"),
            ("x1y2", "x1y10"),
            ("007", "8"),
            ("99999999999999999999", "aa"),
        ] {
            assert!(precedes(a, b) && !precedes(b, a), "{a} {b}");
        }
        assert!(!precedes("", "a") && !precedes("a", ""));
    }
}
