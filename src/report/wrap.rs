//! Lines that fit.

/// The words of a sentence; a number and its unit are one.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_unit =
            matches!(word.trim_end_matches(['.', ',', ';', ')']), "ms" | "s" | "min" | "h" | "d" | "%" | "±");
        match words.last_mut() {
            Some(last) if is_unit || last.ends_with('±') => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Items joined by `between`, broken so that no line is longer than `width`; a longer item has a line to itself.
pub(super) fn wrap(width: usize, indent: &str, between: &str, items: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if length(line) + length(between) + length(item) <= width => {
                line.push_str(between);
                line.push_str(item);
            }
            _ => lines.push(format!("{indent}{item}")),
        }
    }
    lines
}

/// Characters: all that this wing writes of its own is one column wide.
pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_never_between_a_number_and_its_unit() {
        let words = words("it took 136 ± 12 s, or 2 min 16 s.");
        assert_eq!(words, ["it", "took", "136 ± 12 s,", "or", "2 min", "16 s."]);
        assert_eq!(
            wrap(14, "  ", " ", &words),
            ["  it took", "  136 ± 12 s,", "  or 2 min", "  16 s."].map(str::to_owned)
        );
    }

    #[test]
    fn what_is_too_long_has_a_line_to_itself() {
        let items = ["a", "longer than that", "b", "c"].map(str::to_owned);
        assert_eq!(wrap(8, "", " · ", &items), ["a", "longer than that", "b · c"].map(str::to_owned));
    }
}
