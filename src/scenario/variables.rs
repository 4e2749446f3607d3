//! `$namespace`, `$deployment` and `$model` in a policy: what a shipped query needs to find its own pods.

use super::experiment::Target;
use crate::problem::{Place, Problem};
use std::ops::Range;

/// A text with its variables replaced, which remembers where each part came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The text after replacement.
    pub(super) text: String,
    /// Bytes of the original and of `text` that correspond, in order.
    parts: Vec<(Range<usize>, Range<usize>)>,
}

impl Target {
    /// Replaces every `$namespace`, `$deployment` and `$model` of `text`.
    ///
    /// A `$` that no letter follows stays: it ends a regular expression.
    ///
    /// # Errors
    /// Any other `$word`, which no query language would understand.
    pub(super) fn resolve(&self, text: &str) -> Result<Resolved, Problem> {
        let mut resolved = Resolved { text: String::with_capacity(text.len()), parts: Vec::new() };
        let mut at = 0;
        while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
            let word_len =
                text[dollar + 1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            let end = dollar + 1 + word_len;
            let value = match &text[dollar + 1..end] {
                "namespace" => &self.namespace,
                "deployment" => &self.deployment,
                "model" => &self.model,
                word if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                    let problem = Problem::text(text, (dollar, end), format!("`${word}` is not a variable"));
                    return Err(
                        problem.help("known are $namespace, $deployment and $model, which `[target]` sets")
                    );
                }
                _ => {
                    resolved.push(text, at..dollar + 1, None);
                    at = dollar + 1;
                    continue;
                }
            };
            resolved.push(text, at..dollar, None);
            resolved.push(text, dollar..end, Some(value));
            at = end;
        }
        resolved.push(text, at..text.len(), None);
        Ok(resolved)
    }

    /// A problem with a text whose variables were replaced, as one with the text `written` that the user wrote.
    pub(super) fn in_written_text(&self, written: Option<&str>, mut problem: Problem) -> Problem {
        if let Place::Text { text, span } = &mut problem.place
            && let Some(written) = written
            && let Ok(resolved) = self.resolve(written)
            && resolved.text == *text
        {
            *span = resolved.original(*span);
            written.clone_into(text);
        }
        problem
    }
}

impl Resolved {
    fn push(&mut self, original: &str, range: Range<usize>, value: Option<&str>) {
        let start = self.text.len();
        self.text.push_str(value.unwrap_or(&original[range.clone()]));
        self.parts.push((range, start..self.text.len()));
    }

    /// The bytes of the original text that became the bytes `span` of the resolved one; a part of a variable's value is
    /// the whole variable.
    pub(super) fn original(&self, span: (usize, usize)) -> (usize, usize) {
        let point = |at: usize, end: bool| {
            let part = self.parts.iter().find(|(_, new)| if end { at <= new.end } else { at < new.end });
            match part {
                Some((old, new)) if old.len() == new.len() => old.start + at.saturating_sub(new.start),
                Some((old, _)) if end => old.end,
                Some((old, _)) => old.start,
                None => self.parts.last().map_or(0, |(old, _)| old.end),
            }
        };
        (point(span.0, false), point(span.1, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            namespace: "ns".to_owned(),
            deployment: "llama-32".to_owned(),
            model: "$namespace/m".to_owned(),
        }
    }

    #[test]
    fn variables_are_replaced_once_and_other_dollars_stay() {
        let text = r#"sum(a{namespace="$namespace", pod=~"$deployment.*$", m="$model", v="$1$"})"#;
        let resolved = target().resolve(text).unwrap();
        assert_eq!(resolved.text, r#"sum(a{namespace="ns", pod=~"llama-32.*$", m="$namespace/m", v="$1$"})"#);
    }

    #[test]
    fn unknown_variables_are_refused_where_they_stand() {
        for (text, word) in
            [("rate(a[$__rate_interval])", "$__rate_interval"), ("é $namespaces", "$namespaces")]
        {
            let problem = target().resolve(text).unwrap_err();
            let crate::problem::Place::Text { span, .. } = problem.place else { panic!() };
            assert_eq!(&text[span.0..span.1], word);
        }
    }

    #[test]
    fn places_lead_back_to_the_text_as_it_was_written() {
        let text = r#"a{n="$namespace"} + foo"#;
        let resolved = target().resolve(text).unwrap();
        let back = |part: &str| {
            let start = resolved.text.find(part).unwrap();
            let (from, to) = resolved.original((start, start + part.len()));
            &text[from..to]
        };
        assert_eq!(back("foo"), "foo");
        assert_eq!(back("ns"), "$namespace");
        assert_eq!(back("\"ns\""), "\"$namespace\"");
        assert_eq!(resolved.original((resolved.text.len(), resolved.text.len())), (text.len(), text.len()));
    }
}
