//! Traces of real requests, read one line at a time: memory does not grow with the trace.
//!
//! | format | lines | timestamp | prompt, output |
//! |---|---|---|---|
//! | `azure` | CSV with the header `TIMESTAMP,ContextTokens,GeneratedTokens` | date and time, 100 ns | as in the header |
//! | `mooncake` | JSON objects, as in the FAST25 release | milliseconds | `input_length`, `output_length`, and `hash_ids` |
//! | `csv` | CSV with the header `timestamp,prompt_tokens,output_tokens` | number of `time_unit` | as in the header |
//!
//! The columns of a table may stand in any order, and may be called otherwise where `columns` says how. Without it an unknown
//! column is refused: such a table may mean something else by the others, too. Timestamps must not decrease; equal ones keep
//! the order of the file. An output of 0 tokens is read as it is and becomes one of 1 token: vLLM always makes at least one
//! (a prompt of 0 tokens it refuses, and so does this module).

mod mooncake;
mod table;
mod timestamp;

pub(super) use table::column;
pub(super) use timestamp::TimeUnit;

use super::lengths::TOKENS_MAX;
use crate::lines::{Line, Lines};
use crate::problem::Problem;
use table::{Table, Timestamps};

/// The format of a trace file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// By its first line: a `{` begins a Mooncake trace, else the header decides.
    #[default]
    Auto,
    /// Azure's public LLM inference traces.
    Azure,
    /// Mooncake's traces.
    Mooncake,
    /// Plain CSV.
    Csv,
}

/// Names of the columns of a table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Columns {
    /// When the request was sent.
    pub(super) timestamp: String,
    /// Its prompt, in tokens.
    pub(super) prompt_tokens: String,
    /// The answer, in tokens.
    pub(super) output_tokens: String,
}

impl Columns {
    fn azure() -> Columns {
        Columns::named("TIMESTAMP", "ContextTokens", "GeneratedTokens")
    }

    fn csv() -> Columns {
        Columns::named("timestamp", "prompt_tokens", "output_tokens")
    }

    fn named(timestamp: &str, prompt_tokens: &str, output_tokens: &str) -> Columns {
        Columns {
            timestamp: timestamp.to_owned(),
            prompt_tokens: prompt_tokens.to_owned(),
            output_tokens: output_tokens.to_owned(),
        }
    }

    fn text(&self) -> String {
        format!("`{}`, `{}` and `{}`", self.timestamp, self.prompt_tokens, self.output_tokens)
    }
}

/// One request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its line, from 1.
    pub(super) line: u64,
    /// Its timestamp in picoseconds, from an origin that all records of the trace share.
    pub(super) at: u128,
    /// At least 1.
    pub(super) prompt_tokens: u32,
    /// May be 0.
    pub(super) output_tokens: u32,
    /// The blocks of the prompt, as far as the trace tells.
    pub(super) hash_ids: Vec<u64>,
}

/// A trace that is being read.
#[derive(Debug)]
pub(super) struct Trace {
    lines: Lines,
    rows: Rows,
    first: Option<Record>,
    /// Line and timestamp of the last record.
    last: (u64, u128),
}

#[derive(Debug)]
enum Rows {
    Table(Table),
    Mooncake,
}

impl Trace {
    /// Reads up to the first request, so that a file without one is refused here.
    ///
    /// # Errors
    /// A [`Problem`] with the line at fault; one of the file as a whole if it is empty.
    pub(super) fn open(
        mut lines: Lines,
        format: Format,
        columns: Option<&Columns>,
        unit: TimeUnit,
    ) -> Result<Trace, Problem> {
        let Some(head) = lines.next_line()? else {
            return Err(Problem::whole("the file is empty")
                .help("a trace needs a header, or JSON lines, and requests"));
        };
        let (format, json) = (found(format, &head, columns)?, head.text.trim_start().starts_with('{'));
        let rows = match format {
            Format::Mooncake => Rows::Mooncake,
            _ if json => {
                return Err(head
                    .problem("the file holds JSON lines, not a table")
                    .help("use `format = \"mooncake\"`"));
            }
            Format::Azure => {
                let names = columns.cloned().unwrap_or_else(Columns::azure);
                Rows::Table(Table::new(head, names, columns.is_none(), Timestamps::DateTime)?)
            }
            Format::Csv | Format::Auto => {
                let names = columns.cloned().unwrap_or_else(Columns::csv);
                Rows::Table(Table::new(head, names, columns.is_none(), Timestamps::Number(unit))?)
            }
        };
        let first = match &rows {
            Rows::Mooncake => mooncake::record(&head)?,
            Rows::Table(table) => match lines.next_line()? {
                Some(line) => table.record(&line)?,
                None => {
                    return Err(
                        Problem::whole("there is a header and no request").help("a trace needs a request")
                    );
                }
            },
        };
        Ok(Trace { lines, rows, last: (first.line, first.at), first: Some(first) })
    }

    /// The next request in the order of the file, or `None` at its end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Problem> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        let record = match &self.rows {
            Rows::Table(table) => table.record(&line)?,
            Rows::Mooncake => mooncake::record(&line)?,
        };
        let (before, at) = self.last;
        if record.at < at {
            let message =
                format!("the timestamp of line {} is earlier than that of line {before}", line.number);
            return Err(line.problem(message).help("sort the trace by its timestamps"));
        }
        self.last = (record.line, record.at);
        Ok(Some(record))
    }
}

/// The format that `auto` stands for. Named columns belong to a plain table.
fn found(format: Format, head: &Line<'_>, columns: Option<&Columns>) -> Result<Format, Problem> {
    let named = columns.is_some();
    match format {
        Format::Mooncake if named => Err(Problem::key("columns", "a Mooncake trace has no columns")
            .help("remove `columns`, or use `format = \"csv\"`")),
        Format::Auto if head.text.trim_start().starts_with('{') => found(Format::Mooncake, head, columns),
        Format::Auto if named => Ok(Format::Csv),
        Format::Auto if head.text.contains("ContextTokens") => Ok(Format::Azure),
        Format::Auto if head.text.contains("prompt_tokens") => Ok(Format::Csv),
        Format::Auto => Err(head.problem("the format of the trace cannot be told from its first line").help(format!(
            "the header of an Azure trace has {}, that of a plain one {}; a Mooncake trace is JSON lines; for another \
             header name its `columns`",
            Columns::azure().text(),
            Columns::csv().text()
        ))),
        format => Ok(format),
    }
}

/// A number of tokens from `least` to 2^31 - 1. The error is a clause and a remedy.
fn token_count(name: &str, text: &str, least: u32) -> Result<u32, (String, String)> {
    // What nearly all are: few digits, which no float is needed for.
    if text.len() <= 9
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && let Some(tokens) = text.parse().ok().filter(|tokens| *tokens >= least)
    {
        return Ok(tokens);
    }
    let refused =
        |what: String| Err((what, format!("a number of tokens is whole, from {least} to {TOKENS_MAX}")));
    if text.is_empty() {
        return refused(format!("`{name}` is empty"));
    }
    match text.parse::<f64>() {
        Err(_) => refused(format!("`{name}` is {text:?}, not a number")),
        Ok(x) if !x.is_finite() => refused(format!("`{name}` is {text}, not a number of tokens")),
        Ok(x) if x < 0.0 => refused(format!("`{name}` is {text}, which is negative")),
        Ok(x) if x != libm::trunc(x) => refused(format!("`{name}` is {text}, which is not whole")),
        Ok(x) if x < f64::from(least) => refused(format!("`{name}` is {text}")),
        Ok(x) if x > f64::from(TOKENS_MAX) => {
            refused(format!("`{name}` is {text}, more than any model takes"))
        }
        Ok(x) => Ok(x as u32),
    }
}
