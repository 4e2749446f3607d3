//! Regular expressions in Go's dialect (RE2), for `matches`.
//!
//! The crate `regex` has the same language and the same linear time. What it reads otherwise is rewritten or refused
//! here: its classes of digits, letters and spaces take all of Unicode where Go's take ASCII, in brackets it knows
//! operators, and it repeats a repetition.

use super::error::{Class, Failure};
use regex::RegexBuilder;

/// The largest count in braces that Go takes.
const REPEAT_MAX: u32 = 1_000;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Regexp(regex::Regex);

impl Regexp {
    /// Compiles `pattern` (`regexp.Compile`).
    ///
    /// # Errors
    /// What Go would not take.
    pub(super) fn new(pattern: &str) -> Result<Self, Failure> {
        let refused = |why: String| Failure::new(Class::ConstFold, format!("error parsing regexp: {why}"));
        let rewritten = rewrite(pattern).map_err(refused)?;
        let compiled = RegexBuilder::new(&rewritten).size_limit(1 << 20).build();
        compiled.map(Regexp).map_err(|error| refused(reason(&error, pattern)))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Go's words for the mistakes that it shares with the crate.
fn reason(error: &regex::Error, pattern: &str) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    if last.contains("unclosed character class") {
        let from = pattern.find('[').unwrap_or(0);
        return format!("missing closing ]: `{}`", &pattern[from..]);
    }
    if last.contains("unclosed group") {
        return format!("missing closing ): `{pattern}`");
    }
    if last.contains("unopened group") {
        return format!("unexpected ): `{pattern}`");
    }
    format!("`{pattern}`: {last}")
}

fn rewrite(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern.chars();
    let mut in_class = false;
    let mut repeated = false;
    while let Some(c) = rest.next() {
        let was_repeated = std::mem::take(&mut repeated);
        match c {
            '\\' => match rest.next() {
                Some('Q') if !in_class => {
                    let quoted = rest.as_str();
                    let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                    out.push_str(&regex::escape(literal));
                    rest = after.chars();
                }
                Some('C') => return Err("invalid escape sequence: `\\C`".to_owned()),
                Some(class) => match ascii_class(class) {
                    Some((ranges, true)) => out.push_str(&format!("[^{ranges}]")),
                    Some((ranges, false)) if in_class => out.push_str(ranges),
                    Some((ranges, false)) => out.push_str(&format!("[{ranges}]")),
                    None if matches!(class, 'b' | 'B') && !in_class => {
                        out.push_str(&format!("(?-u:\\{class})"));
                    }
                    None => out.extend(['\\', class]),
                },
                None => return Err("trailing backslash at end of expression: ``".to_owned()),
            },
            '[' if in_class && !rest.as_str().starts_with(':') => out.push_str("\\["),
            '[' => {
                out.push('[');
                if in_class {
                    // A named class such as `[:digit:]`.
                    let Some((name, after)) = rest.as_str().split_once(":]") else {
                        return Err(format!("missing closing ]: `{pattern}`"));
                    };
                    out.push_str(name);
                    out.push_str(":]");
                    rest = after.chars();
                    continue;
                }
                in_class = true;
                if let Some(after) = rest.as_str().strip_prefix('^') {
                    out.push('^');
                    rest = after.chars();
                }
                // A bracket that comes first is one of the class.
                if let Some(after) = rest.as_str().strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after.chars();
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && rest.as_str().starts_with('-') => out.push_str("\\-"),
            '*' | '+' if !in_class => {
                if was_repeated {
                    return Err(format!("invalid nested repetition operator: `{c}`"));
                }
                repeated = true;
                out.push(c);
                // A `?` after it makes it reluctant.
                if let Some(after) = rest.as_str().strip_prefix('?') {
                    out.push('?');
                    rest = after.chars();
                }
            }
            '?' if !in_class => {
                if was_repeated {
                    return Err("invalid nested repetition operator: `?`".to_owned());
                }
                repeated = true;
                out.push('?');
                if let Some(after) = rest.as_str().strip_prefix('?') {
                    out.push('?');
                    rest = after.chars();
                }
            }
            '{' if !in_class => match counted(rest.as_str()) {
                Some((count, after)) => {
                    if was_repeated {
                        return Err(format!("invalid nested repetition operator: `{{{count}}}`"));
                    }
                    let counts = count.split(',').filter(|count| !count.is_empty());
                    if counts.flat_map(str::parse::<u32>).any(|count| count > REPEAT_MAX) {
                        return Err(format!("invalid repeat count: `{{{count}}}`"));
                    }
                    repeated = true;
                    out.push_str(&format!("{{{count}}}"));
                    rest = after.chars();
                }
                // A brace that counts nothing stands for itself.
                None => out.push_str("\\{"),
            },
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// `\d`, `\s`, `\w` and their opposites: the ranges, and whether they are excluded.
fn ascii_class(c: char) -> Option<(&'static str, bool)> {
    let ranges = match c.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\f\\r ",
        'w' => "0-9A-Za-z_",
        _ => return None,
    };
    Some((ranges, c.is_ascii_uppercase()))
}

/// `2}`, `2,}` or `2,5}`: the counts, and what follows.
fn counted(rest: &str) -> Option<(&str, &str)> {
    let (count, after) = rest.split_once('}')?;
    let (least, most) = count.split_once(',').unwrap_or((count, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    (!least.is_empty() && least.len() < 9 && most.len() < 9 && digits(least) && digits(most))
        .then_some((count, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_is_gos() {
        for (pattern, text, matches) in [
            (r"^\d+$", "123", true),
            (r"^\d+$", "\u{663}", false),
            (r"^[\W]$", "é", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[]a]$", "]", true),
            (r"\Qa.b\E", "axb", false),
            ("a{,2}", "a{,2}", true),
            ("[[:digit:]x]", "x", true),
            (r"\bfoo\b", "a foo", true),
        ] {
            let compiled = Regexp::new(pattern).expect("Go takes it");
            assert_eq!(compiled.is_match(text), matches, "{pattern} on {text}");
        }
        for pattern in ["[", "a**", "a{1001}", "(", ")", r"\C", "\\", "a{2}{3}"] {
            assert!(Regexp::new(pattern).is_err(), "{pattern}");
        }
        let unclosed = Regexp::new("[").expect_err("unclosed");
        assert_eq!(unclosed.message, "error parsing regexp: missing closing ]: `[`");
    }
}
