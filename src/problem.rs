//! What is wrong with something a user gave, where it is, and what would be right.
//!
//! Every wing checks its own settings and reports a [`Problem`] by key or by line; it never knows the file. The
//! `scenario` wing, which read the file, turns the key into a line, a column and a caret.

use std::fmt;

/// Where in the input the problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A setting, by its absolute or wing-relative key: `workload.source.0.arrival.cv`.
    Key(String),
    /// A line of a data file; both count from 1. `text` is the line, cut to a screen's width.
    Line {
        /// Counts from 1.
        line: u64,
        /// Counts characters from 1, where it is known.
        column: Option<usize>,
        /// The line itself, for the caret.
        text: String,
    },
    /// A byte range of a text that a user wrote, such as a query, with that text.
    Text {
        /// The text.
        text: String,
        /// Start and end, bytes.
        span: (usize, usize),
    },
    /// The input as a whole.
    Whole,
}

/// One thing that cannot be as the user gave it: exit code 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong, a clause without a full stop: "`min_replica_count` 5 is above `max_replica_count` 3".
    pub message: String,
    /// What would be right, where that can be said.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with the setting `key`.
    pub fn key(key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { place: Place::Key(key.into()), message: message.into(), help: None }
    }
    /// A problem with line `line` (from 1) of a data file.
    pub fn line(line: u64, text: impl Into<String>, message: impl Into<String>) -> Self {
        Problem {
            place: Place::Line { line, column: None, text: text.into() },
            message: message.into(),
            help: None,
        }
    }
    /// A problem with part of a text.
    pub fn text(text: impl Into<String>, span: (usize, usize), message: impl Into<String>) -> Self {
        Problem { place: Place::Text { text: text.into(), span }, message: message.into(), help: None }
    }
    /// A problem with the input as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Problem { place: Place::Whole, message: message.into(), help: None }
    }
    /// Says what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// Puts `prefix.` before the key, as a wing's key becomes part of the whole file's.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        if let Place::Key(key) = &mut self.place {
            *key = if key.is_empty() { prefix.to_owned() } else { format!("{prefix}.{key}") };
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Key(key) => write!(f, "{key}: {}", self.message)?,
            Place::Line { line, .. } => write!(f, "line {line}: {}", self.message)?,
            Place::Text { .. } | Place::Whole => f.write_str(&self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
