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
    if last.contains("unclosed group") {
        return format!("missing closing ): `{pattern}`");
    }
    if last.contains("unopened group") {
        return format!("unexpected ): `{pattern}`");
    }
    format!("`{pattern}`: {last}")
}

/// The pattern in the crate's dialect, or what Go says of it.
fn rewrite(pattern: &str) -> Result<String, String> {
    let mut rewriter = Rewriter { pattern, rest: pattern, out: String::new() };
    rewriter.all()?;
    Ok(rewriter.out)
}

struct Rewriter<'a> {
    pattern: &'a str,
    rest: &'a str,
    out: String,
}

impl<'a> Rewriter<'a> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// Steps over `text` where it comes next.
    fn skip(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn all(&mut self) -> Result<(), String> {
        let mut repeated = false;
        while let Some(c) = self.next() {
            let was_repeated = std::mem::take(&mut repeated);
            let repetition = match c {
                '*' | '+' | '?' => Some(c.to_string()),
                '{' => self.counts()?,
                _ => None,
            };
            if let Some(repetition) = repetition {
                if was_repeated {
                    return Err(format!("invalid nested repetition operator: `{repetition}`"));
                }
                repeated = true;
                self.out.push_str(&repetition);
                // A `?` after it makes it reluctant.
                if self.skip("?") {
                    self.out.push('?');
                }
                continue;
            }
            match c {
                '\\' if self.skip("Q") => {
                    let (literal, after) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                    self.rest = after;
                    self.out.push_str(&regex::escape(literal));
                }
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                // A brace that counts nothing stands for itself.
                '{' => self.out.push_str("\\{"),
                _ => self.out.push(c),
            }
        }
        Ok(())
    }

    /// The counts after an opening brace, `{2}`, `{2,}` or `{2,5}`, if they are some.
    fn counts(&mut self) -> Result<Option<String>, String> {
        let Some((counts, after)) = counted(self.rest) else { return Ok(None) };
        self.rest = after;
        let shown = format!("{{{counts}}}");
        let counts = counts.split(',').filter(|count| !count.is_empty());
        if counts.flat_map(str::parse::<u32>).any(|count| count > REPEAT_MAX) {
            return Err(format!("invalid repeat count: `{shown}`"));
        }
        Ok(Some(shown))
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let c = self.next().ok_or("trailing backslash at end of expression: ``")?;
        match (c, ascii_class(c)) {
            ('C', _) => return Err("invalid escape sequence: `\\C`".to_owned()),
            (_, Some((ranges, true))) => self.out.push_str(&format!("[^{ranges}]")),
            (_, Some((ranges, false))) if in_class => self.out.push_str(ranges),
            (_, Some((ranges, false))) => self.out.push_str(&format!("[{ranges}]")),
            ('b' | 'B', None) if !in_class => self.out.push_str(&format!("(?-u:\\{c})")),
            (_, None) => self.out.extend(['\\', c]),
        }
        Ok(())
    }

    /// From after the opening bracket of a class to its end. Two of the crate's operators are one of the class in Go.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        // A bracket that comes first is one of the class.
        if self.skip("]") {
            self.out.push_str("\\]");
        }
        while let Some(c) = self.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' if self.rest.starts_with(':') => {
                    let (name, after) = self.rest.split_once(":]").ok_or_else(|| self.unclosed())?;
                    self.rest = after;
                    self.out.push_str(&format!("[{name}:]"));
                }
                '[' | '&' | '~' => self.out.extend(['\\', c]),
                '-' if self.rest.starts_with('-') => self.out.push_str("\\-"),
                _ => self.out.push(c),
            }
        }
        Err(self.unclosed())
    }

    fn unclosed(&self) -> String {
        let from = self.pattern.find('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &self.pattern[from..])
    }
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
