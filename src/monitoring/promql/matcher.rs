//! Label matchers: `name="value"` and its three relatives.

use super::semantics::Semantics;
use crate::monitoring::labels::Labels;
use promql_parser::label as parsed;
use regex::Regex;
use std::fmt;

/// One condition on one label. A label that is absent has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// How it is compared.
    pub op: MatchOp,
    /// With what: a text, or a regular expression that must match the whole of the label's value.
    pub value: String,
    regex: Option<Regex>,
}

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

impl Matcher {
    /// The matcher that the parser read.
    pub(super) fn new(read: &parsed::Matcher, rules: &Semantics) -> Result<Self, regex::Error> {
        let (op, pattern) = match &read.op {
            parsed::MatchOp::Equal => (MatchOp::Equal, None),
            parsed::MatchOp::NotEqual => (MatchOp::NotEqual, None),
            parsed::MatchOp::Re(regex) => (MatchOp::Matches, Some(regex)),
            parsed::MatchOp::NotRe(regex) => (MatchOp::MatchesNot, Some(regex)),
        };
        let regex = pattern.map(|pattern| anchored(pattern.as_str(), rules)).transpose()?;
        Ok(Matcher { name: read.name.clone(), op, value: read.value.clone(), regex })
    }

    /// The matcher that only the metric of this name passes.
    pub(super) fn metric(name: &str) -> Self {
        Matcher {
            name: crate::monitoring::labels::METRIC_NAME.to_owned(),
            op: MatchOp::Equal,
            value: name.to_owned(),
            regex: None,
        }
    }

    /// True where a label of this value passes.
    pub fn matches(&self, value: &str) -> bool {
        let found = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        found == matches!(self.op, MatchOp::Equal | MatchOp::Matches)
    }

    /// True where a series passes whose labels are `column` over `target`.
    pub fn passes(&self, column: &Labels, target: &Labels) -> bool {
        let own = column.get(&self.name);
        self.matches(if own.is_empty() { target.get(&self.name) } else { own })
    }
}

/// The parser anchors a pattern as `^(?:…)$`, in Rust's dialect where Go's needed escaping; the group takes the flag.
fn anchored(pattern: &str, rules: &Semantics) -> Result<Regex, regex::Error> {
    match pattern.strip_prefix("^(?:") {
        Some(rest) if rules.dot_matches_newline => Regex::new(&format!("^(?s:{rest}")),
        _ => Regex::new(pattern),
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Matches => "=~",
            MatchOp::MatchesNot => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::semantics::Release;
    use super::*;

    fn matcher(op: parsed::MatchOp, value: &str, release: Release) -> Matcher {
        Matcher::new(&parsed::Matcher::new(op, "pod", value), &release.semantics()).expect("it compiles")
    }

    fn regex(pattern: &str, release: Release) -> Matcher {
        let read = Regex::new(&format!("^(?:{pattern})$")).expect("it compiles");
        matcher(parsed::MatchOp::Re(read), pattern, release)
    }

    #[test]
    fn patterns_match_the_whole_value() {
        let m = regex("vllm|a.c", Release::V3_5);
        assert!(m.matches("vllm") && m.matches("abc"));
        assert!(!m.matches("vllm-0") && !m.matches("xabc") && !m.matches(""));
    }

    #[test]
    fn a_dot_matches_a_newline_only_since_3() {
        assert!(regex("a.b", Release::V3_5).matches("a\nb"));
        assert!(!regex("a.b", Release::V2_53).matches("a\nb"));
    }

    #[test]
    fn an_absent_label_is_the_empty_text() {
        assert!(matcher(parsed::MatchOp::Equal, "", Release::V3_5).matches(""));
        assert!(matcher(parsed::MatchOp::NotEqual, "x", Release::V3_5).matches(""));
    }

    #[test]
    fn a_series_own_label_goes_before_its_targets() {
        let m = matcher(parsed::MatchOp::Equal, "a", Release::V3_5);
        let (a, b) = (Labels::new([("pod", "a")]), Labels::new([("pod", "b")]));
        assert!(m.passes(&a, &b) && !m.passes(&b, &a) && m.passes(&Labels::default(), &a));
    }
}
