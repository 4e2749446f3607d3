//! Tables: comma-separated values with a header, as traces and as columns of numbers.

use super::timestamp::{TimeUnit, date_time, decimal};
use super::{Columns, Record, token_count};
use crate::lines::{Line, Lines};
use crate::problem::Problem;
use std::borrow::Cow;

/// How a table writes its timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timestamps {
    /// `2023-11-16 18:15:46.6805900`.
    DateTime,
    /// A number of this unit.
    Number(TimeUnit),
}

/// A trace as a table: where its three columns are, and how its timestamps are written.
#[derive(Clone, Debug)]
pub(super) struct Table {
    names: Columns,
    /// Of the timestamp, the prompt and the output.
    places: [usize; 3],
    width: usize,
    timestamps: Timestamps,
}

impl Table {
    /// Reads the header. Where `strict`, a column that is not asked for is refused: a table that has more is not the format
    /// it was taken for.
    pub(super) fn new(
        header: Line<'_>,
        names: Columns,
        strict: bool,
        timestamps: Timestamps,
    ) -> Result<Table, Problem> {
        let fields = fields(header.text).map_err(|why| header.problem(why))?;
        let place = |name: &str| {
            place(&header, &fields, name).map_err(|problem| {
                problem.help(format!(
                    "the header needs {}; to use other columns, name them: `columns = {{ timestamp = .., \
                     prompt_tokens = .., output_tokens = .. }}`",
                    names.text()
                ))
            })
        };
        let places = [place(&names.timestamp)?, place(&names.prompt_tokens)?, place(&names.output_tokens)?];
        if let Some((_, foreign)) = fields.iter().enumerate().find(|(i, _)| strict && !places.contains(i)) {
            return Err(header.problem(format!("the column `{foreign}` is not known")).help(
                "to leave columns out, name those to use: `columns = { timestamp = .., prompt_tokens = .., output_tokens = .. }`",
            ));
        }
        Ok(Table { width: fields.len(), names, places, timestamps })
    }

    /// The request in a line.
    pub(super) fn record(&self, line: &Line<'_>) -> Result<Record, Problem> {
        if let Some(fields) = self.plain_fields(line.text) {
            return self.record_of(line, fields);
        }
        let fields = fields(line.text).map_err(|why| line.problem(why))?;
        check_width(line, fields.len(), self.width)?;
        self.record_of(line, self.places.map(|place| fields[place].as_ref()))
    }

    /// The three fields of a line without quotes that has as many as it should; `None` for every other line.
    fn plain_fields<'l>(&self, text: &'l str) -> Option<[&'l str; 3]> {
        let (mut found, mut width, mut start) = ([""; 3], 0, 0);
        let mut field = |start: usize, end: usize| {
            for (place, found) in self.places.iter().zip(&mut found) {
                if *place == width {
                    *found = text[start..end].trim();
                }
            }
            width += 1;
        };
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'"' => return None,
                b',' => {
                    field(start, at);
                    start = at + 1;
                }
                _ => {}
            }
        }
        field(start, text.len());
        (width == self.width).then_some(found)
    }

    fn record_of(&self, line: &Line<'_>, fields: [&str; 3]) -> Result<Record, Problem> {
        let [timestamp, prompt, output] = fields;
        let at = match self.timestamps {
            Timestamps::DateTime => date_time(timestamp).map_err(|why| {
                line.problem(why).help("write date and time of day; for a number of seconds use `format = \"csv\"` with `columns`")
            }),
            Timestamps::Number(unit) => decimal(timestamp, unit).map_err(|why| {
                line.problem(why).help(
                    "a timestamp is a number of seconds; for dates use `format = \"azure\"` with `columns`",
                )
            }),
        };
        let tokens = |name: &str, text: &str, least: u32| {
            token_count(name, text, least).map_err(|(why, help)| line.problem(why).help(help))
        };
        Ok(Record {
            line: line.number,
            at: at?,
            prompt_tokens: tokens(&self.names.prompt_tokens, prompt, 1)?,
            output_tokens: tokens(&self.names.output_tokens, output, 0)?,
            hash_ids: Vec::new(),
        })
    }
}

/// The numbers in one column of a table. The whole column is kept: eight bytes a row.
pub(in crate::workload) fn column(mut lines: Lines, name: &str) -> Result<Vec<f64>, Problem> {
    let Some(header) = lines.next_line()? else {
        return Err(Problem::whole("the file is empty").help("it needs a header and rows"));
    };
    let names = fields(header.text).map_err(|why| header.problem(why))?;
    let at = place(&header, &names, name).map_err(|problem| {
        problem.help(format!(
            "the columns are {}",
            names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        ))
    })?;
    let width = names.len();
    let mut values = Vec::new();
    while let Some(line) = lines.next_line()? {
        let fields = fields(line.text).map_err(|why| line.problem(why))?;
        check_width(&line, fields.len(), width)?;
        match fields[at].parse::<f64>() {
            Ok(value) if value.is_finite() => values.push(value),
            _ => {
                let problem = line.problem(format!("`{name}` is {:?}, not a number", fields[at]));
                return Err(problem.help("each row needs a finite number in this column"));
            }
        }
    }
    Ok(values)
}

fn place(header: &Line<'_>, fields: &[Cow<'_, str>], name: &str) -> Result<usize, Problem> {
    let mut places = fields.iter().enumerate().filter(|(_, field)| *field == name).map(|(i, _)| i);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (None, _) => Err(header.problem(format!("there is no column `{name}`"))),
        (Some(_), Some(_)) => Err(header.problem(format!("the column `{name}` is there twice"))),
    }
}

fn check_width(line: &Line<'_>, found: usize, expected: usize) -> Result<(), Problem> {
    if found == expected {
        return Ok(());
    }
    Err(line
        .problem(format!("the line has {found} fields, the header has {expected}"))
        .help("each line has one field a column; is the file cut short?"))
}

/// The fields of a line, blanks around them removed. Quoted fields are read as RFC 4180 has them, within one line.
fn fields(text: &str) -> Result<Vec<Cow<'_, str>>, String> {
    if !text.contains('"') {
        return Ok(text.split(',').map(|field| Cow::Borrowed(field.trim())).collect());
    }
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => Ok(record.iter().map(|field| Cow::Owned(field.to_owned())).collect()),
        Ok(false) => Ok(Vec::new()),
        Err(error) => Err(format!("the line is not comma-separated text: {error}")),
    }
}
