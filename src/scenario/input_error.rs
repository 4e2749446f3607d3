//! A [`Problem`] with its place in what the user gave: file, line, column, the line itself and a caret.

use super::source_text::{Origin, Position, SourceText};
use crate::problem::{Place, Problem};
use annotate_snippets::{AnnotationKind, Group, Level, Origin as Header, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// Something that cannot be as the user gave it, ready to be shown. The command line prints it and exits with 3.
///
/// `Display` is the rendering without colour.
#[derive(Clone, Debug, PartialEq)]
pub struct InputError(Box<Shown>);

#[derive(Clone, Debug, PartialEq)]
struct Shown {
    message: String,
    help: Option<String>,
    file: String,
    position: Option<Position>,
    excerpt: Option<Excerpt>,
    /// A text that the file holds behind quoting or substitution, as it reads without them.
    unquoted: Option<Excerpt>,
    note: Option<String>,
}

/// A line, and the bytes of it that the caret marks.
#[derive(Clone, Debug, PartialEq)]
struct Excerpt {
    text: String,
    line: usize,
    span: Range<usize>,
}

impl InputError {
    /// `problem` at `origin`. A [`Place::Text`] inside the origin's text gets its own caret there; where escapes or
    /// line breaks stand between the file and that text, the text is shown too.
    pub fn at(origin: &Origin, problem: Problem) -> Self {
        let source = &origin.source;
        let mut shown = Shown::new(source.name(), problem.message, problem.help);
        let mut span = origin.span.clone();
        if let Place::Text { text, span: part } = problem.place {
            match verbatim(origin, &text, part) {
                Some(inside) => span = inside,
                None => shown.unquoted = Some(Excerpt::of(&SourceText::new("", text), part.0..part.1)),
            }
        }
        if !source.text().is_empty() {
            shown.position = Some(source.position(span.start));
            shown.excerpt = Some(Excerpt::of(source, span));
        }
        InputError(Box::new(shown))
    }

    /// `problem` in the file or argument called `name`, whose text is not kept: a data file, or one that cannot be read.
    pub fn in_file(name: &str, problem: Problem) -> Self {
        let mut shown = Shown::new(name, problem.message, problem.help);
        match problem.place {
            Place::Line { line, column, text } => {
                let line = usize::try_from(line).unwrap_or(usize::MAX);
                shown.position = Some(Position { line, column: column.unwrap_or(1) });
                let byte =
                    |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(offset, _)| offset);
                let span = match column {
                    Some(column) => byte(column.saturating_sub(1))..byte(column),
                    None => 0..text.len(),
                };
                // Who found the problem may know the line's number alone.
                if !text.is_empty() {
                    let excerpt = Excerpt::of(&SourceText::new("", text.as_str()), span);
                    shown.excerpt = Some(Excerpt { line, ..excerpt });
                }
            }
            Place::Text { text, span } => {
                shown.unquoted = Some(Excerpt::of(&SourceText::new("", text), span.0..span.1));
            }
            Place::Key(key) if !key.is_empty() => shown.message = format!("{key}: {}", shown.message),
            Place::Key(_) | Place::Whole => {}
        }
        InputError(Box::new(shown))
    }

    /// Adds a sentence that is shown below the caret.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.note = Some(note.into());
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would be right, where that can be said.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The name of the file or argument.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Line and column, where they are known.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// The error as it is shown, without a newline at its end; `colour` adds ANSI escapes.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let shown = &*self.0;
        let mut group = Group::with_title(Level::ERROR.primary_title(shown.message.as_str()));
        group = match &shown.excerpt {
            Some(excerpt) => group.element(excerpt.snippet().path(shown.file.as_str())),
            None => {
                let file = Header::path(shown.file.as_str());
                group.element(match shown.position {
                    Some(at) => file.line(at.line).char_column(at.column),
                    None => file,
                })
            }
        };
        let mut groups = Vec::new();
        if let Some(unquoted) = &shown.unquoted {
            groups.push(group);
            group =
                Group::with_title(Level::NOTE.secondary_title("the text reads")).element(unquoted.snippet());
        }
        if let Some(note) = &shown.note {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        if let Some(help) = &shown.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        groups.push(group);
        renderer.render(&groups)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for InputError {}

impl Shown {
    fn new(file: &str, message: String, help: Option<String>) -> Self {
        Shown {
            message: cut(message),
            help: help.map(cut),
            file: file.to_owned(),
            position: None,
            excerpt: None,
            unquoted: None,
            note: None,
        }
    }
}

/// The longest message that is shown whole, in bytes.
const MESSAGE_MAX: usize = 1_500;

/// A message may quote what the user wrote, which may be as long as a file: its end is left out then.
fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_MAX {
        message.truncate(floor(&message, MESSAGE_MAX));
        message.push_str(" ...");
    }
    message
}

impl Excerpt {
    /// The line of `source` on which `span` starts, with the part of `span` that is on it.
    fn of(source: &SourceText, span: Range<usize>) -> Self {
        let line = source.line_span(span.start);
        let text = source.slice(line.clone());
        let start = span.start.clamp(line.start, line.end) - line.start;
        let end = span.end.clamp(line.start + start, line.end) - line.start;
        Excerpt {
            text: text.to_owned(),
            line: source.position(span.start).line,
            span: floor(text, start)..floor(text, end),
        }
    }

    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let caret = AnnotationKind::Primary.span(self.span.clone());
        Snippet::source(self.text.as_str()).line_start(self.line).annotation(caret)
    }
}

/// Where in the file the bytes `part` of `text` are, if the file holds that line of `text` character by character, and
/// once: it does between single quotes and in a block of lines, not behind escapes or folded.
fn verbatim(origin: &Origin, text: &str, part: (usize, usize)) -> Option<Range<usize>> {
    let start = text.get(..part.0)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let mut places = origin.text().match_indices(line);
    let (Some((place, _)), None, false) = (places.next(), places.next(), line.is_empty()) else {
        return None;
    };
    // A part that goes on in the next line is marked to the end of its first.
    let end = part.1.min(start + line.len()).max(part.0);
    let from = origin.span.start + place;
    Some(from + (part.0 - start)..from + (end - start))
}

/// `offset`, moved back to the nearest start of a character of `text`.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_line_and_a_caret() {
        let source = SourceText::new("policies/x.toml", "name = \"x\"\nfoo = 1\n");
        let origin = Origin { source, span: 11..14 };
        let error =
            InputError::at(&origin, Problem::key("foo", "unknown key `foo`").help("did you mean `name`?"));
        insta::assert_snapshot!(error, @r"
        error: unknown key `foo`
         --> policies/x.toml:2:1
          |
        2 | foo = 1
          | ^^^
          |
          = help: did you mean `name`?
        ");
    }

    #[test]
    fn a_part_of_a_query_gets_its_caret_inside_the_file() {
        let source = SourceText::new("p.toml", "query = 'sum(foo)'\n");
        let origin = Origin { source, span: 8..18 };
        let error = InputError::at(&origin, Problem::text("sum(foo)", (4, 7), "there is no metric `foo`"));
        insta::assert_snapshot!(error, @r"
        error: there is no metric `foo`
         --> p.toml:1:14
          |
        1 | query = 'sum(foo)'
          |              ^^^
        ");
    }

    #[test]
    fn a_query_behind_escapes_is_shown_as_it_is_sent() {
        let source = SourceText::new("p.toml", "query = \"foo{a=\\\"b\\\"}\"\n");
        let origin = Origin { source, span: 8..22 };
        let error = InputError::at(&origin, Problem::text("foo{a=\"b\"}", (4, 5), "no label `a`"));
        insta::assert_snapshot!(error, @r#"
        error: no label `a`
         --> p.toml:1:9
          |
        1 | query = "foo{a=\"b\"}"
          |         ^^^^^^^^^^^^^^
          |
        note: the text reads
          |
        1 | foo{a="b"}
          |     ^
        "#);
    }

    #[test]
    fn a_line_of_a_data_file_is_shown_without_the_file() {
        let place = Place::Line { line: 12, column: Some(3), text: "1,-5,7".to_owned() };
        let problem = Problem { place, message: "a token count is negative".to_owned(), help: None };
        insta::assert_snapshot!(InputError::in_file("trace.csv", problem), @r"
        error: a token count is negative
          --> trace.csv:12:3
           |
        12 | 1,-5,7
           |   ^
        ");
    }

    #[test]
    fn an_endless_line_is_cut_around_the_caret() {
        let source = SourceText::new("p.toml", format!("{}é{}", "x".repeat(100_000), "y".repeat(100_000)));
        let origin = Origin { source, span: 100_000..100_002 };
        let text = InputError::at(&origin, Problem::whole("no")).to_string();
        assert!(text.len() < 2_000 && text.contains("p.toml:1:100001"), "{text}");
    }
}
