//! Classes of characters as Go's package `unicode` has them; the standard library's are wider.

use regex::Regex;
use std::sync::LazyLock;

/// A letter (category L), a digit (category Nd), `_` or `$`.
pub(super) fn is_alphanumeric(c: char) -> bool {
    static LETTER_OR_DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{Nd}]").ok());
    is_in(c, c.is_ascii_alphanumeric() || c == '_' || c == '$', &LETTER_OR_DIGIT)
}

/// A letter (category L), `_` or `$`.
pub(super) fn is_alphabetic(c: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}").ok());
    is_in(c, c.is_ascii_alphabetic() || c == '_' || c == '$', &LETTER)
}

/// A character that Go prints as it is: a letter, mark, number, punctuation, symbol or the space.
pub(super) fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]").ok());
    is_in(c, c == ' ' || c.is_ascii_graphic(), &PRINTABLE)
}

/// ASCII is decided by `ascii`, the rest by `class`.
fn is_in(c: char, ascii: bool, class: &Option<Regex>) -> bool {
    if c.is_ascii() {
        return ascii;
    }
    class.as_ref().is_some_and(|class| class.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Whether `name` is a name: a letter, then letters and digits.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(is_alphabetic) && name.chars().all(is_alphanumeric)
}
