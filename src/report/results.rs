//! `results.csv` of a sweep: one row a point, written and read back.
//!
//! Columns: `id`, the settings by their keys (empty where a point's grid does not have the key), `repetitions`, `policy_name`, the summary's numbers by dotted key (with
//! `.low` and `.high` beside where points were repeated), `slo.met`, the number of `warnings`, and `error` for a point
//! whose run failed. Numbers are written with the fewest digits that read back as the same number.

use super::csv::{bare, cell};
use super::replace::cannot_write;
use crate::analysis::{Answer, Plan, Setting, Standing, Swept};
use crate::problem::Problem;
use indexmap::{IndexMap, IndexSet};
use std::fs;
use std::path::Path;

/// The first column after the settings.
const REPETITIONS: &str = "repetitions";
const POLICY: &str = "policy_name";
const MET: &str = "slo.met";
const WARNINGS: &str = "warnings";
const ERROR: &str = "error";

/// The text of `results.csv`, a row for each point that was run, in the plan's order.
pub fn write(plan: &Plan, swept: &Swept) -> String {
    let repeated = plan.seeds.len() > 1;
    let answers = || swept.results.iter().filter_map(|result| result.outcome.as_ref().ok());
    // Points whose workloads have other classes have other keys.
    let keys: IndexSet<String> = answers().flat_map(Answer::numbers).map(|(key, _)| key).collect();
    let mut header = vec!["id".to_owned()];
    let settings = plan.keys();
    header.extend(settings.iter().map(|key| cell(key).into_owned()));
    header.extend([REPETITIONS, POLICY].map(str::to_owned));
    for key in &keys {
        header.push(cell(key).into_owned());
        if repeated {
            header.extend([format!("{key}.low"), format!("{key}.high")].map(|key| cell(&key).into_owned()));
        }
    }
    header.extend([MET, WARNINGS, ERROR].map(str::to_owned));

    let mut rows = vec![header];
    for result in &swept.results {
        let point = &plan.points[result.point];
        let mut row = vec![point.id.to_string()];
        row.extend(settings.iter().map(|key| point.setting(key).map_or(String::new(), setting_cell)));
        row.push(plan.seeds.len().to_string());
        match &result.outcome {
            Ok(answer) => {
                row.push(cell(answer.text("policy")).into_owned());
                row.extend(numbers(answer, &keys, repeated));
                row.push(answer.truth(MET).map_or(String::new(), |met| met.to_string()));
                row.extend([answer.warnings().count().to_string(), String::new()]);
            }
            Err(bug) => {
                row.resize(rows[0].len() - 1, String::new());
                row.push(cell(&bug.to_string()).into_owned());
            }
        }
        rows.push(row);
    }
    to_csv(&rows)
}

/// A setting's value. An empty text is a lone `'`, because an empty cell says that the point does not set the key.
fn setting_cell(setting: &Setting) -> String {
    let text = setting.text();
    if text.is_empty() { "'".to_owned() } else { cell(&text).into_owned() }
}

/// The cells of a point's numbers, in the order of `keys`.
fn numbers<'a>(
    answer: &'a Answer,
    keys: &'a IndexSet<String>,
    repeated: bool,
) -> impl Iterator<Item = String> + 'a {
    let numbers: IndexMap<String, Option<f64>> = answer.numbers().into_iter().collect();
    keys.iter().flat_map(move |key| {
        let interval = answer.interval(key);
        let bounds = [interval.and_then(|i| i.low), interval.and_then(|i| i.high)];
        let mean = numbers.get(key).copied().flatten();
        let cells = std::iter::once(mean).chain(bounds.into_iter().filter(move |_| repeated));
        cells.map(|number| number.map_or(String::new(), |number| number.to_string()))
    })
}

fn to_csv(rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).expect("memory takes rows of equal length");
    }
    let bytes = writer.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("CSV of text is text")
}

/// A row as it was read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The point's name.
    pub id: String,
    /// Keys and values as text, as `--set` takes them.
    pub settings: Vec<(String, String)>,
    /// Name of the policy.
    pub policy: String,
    /// The summary's numbers by dotted key.
    pub numbers: IndexMap<String, Option<f64>>,
    /// Whether the SLO was met.
    pub met: Option<bool>,
    /// Why the point has no numbers.
    pub error: Option<String>,
}

impl Row {
    /// What it is ranked by.
    pub fn standing(&self) -> Standing {
        let number = |key: &str| self.numbers.get(key).copied().flatten();
        Standing { met: self.met, attainment: number("slo.attainment"), cost: number("cost") }
    }
}

/// Reads `results.csv`.
///
/// # Errors
/// It is not a file that [`write()`] wrote, or holds no point; with the line.
pub fn read(text: &str) -> Result<Vec<Row>, Problem> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| malformed(&error))?.clone();
    let foreign = || {
        Problem::line(
            1,
            header.iter().take(3).collect::<Vec<_>>().join(","),
            "this is not the header of a sweep's results",
        )
        .help("give the results.csv that `dryscale sweep` wrote")
    };
    let column = |name: &str| header.iter().position(|cell| cell == name).ok_or_else(foreign);
    let (settings_end, policy, met) = (column(REPETITIONS)?, column(POLICY)?, column(MET)?);
    let error = column(ERROR)?;
    if header.get(0) != Some("id") {
        return Err(foreign());
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| malformed(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |i: usize| bare(record.get(i).unwrap_or_default());
        let named = |i: usize| bare(header.get(i).unwrap_or_default()).to_owned();
        let numbers = (policy + 1..met).map(|i| match text(i) {
            "" => Ok((named(i), None)),
            number => match number.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok((named(i), Some(number))),
                _ => Err(Problem::line(line, number, format!("`{}` is not a number", named(i)))
                    .help("give the results.csv as `dryscale sweep` wrote it")),
            },
        });
        rows.push(Row {
            id: text(0).to_owned(),
            settings: (1..settings_end)
                .filter(|&i| record.get(i) != Some(""))
                .map(|i| (named(i), text(i).to_owned()))
                .collect(),
            policy: text(policy).to_owned(),
            numbers: numbers.collect::<Result<_, Problem>>()?,
            met: text(met).parse().ok(),
            error: Some(text(error).to_owned()).filter(|error| !error.is_empty()),
        });
    }
    if rows.is_empty() {
        return Err(Problem::whole("the results hold no point").help("run `dryscale sweep` to its end"));
    }
    Ok(rows)
}

fn malformed(error: &csv::Error) -> Problem {
    let line = error.position().map_or(1, csv::Position::line);
    Problem::line(line, "", format!("this is not CSV: {error}"))
        .help("give the results.csv that `dryscale sweep` wrote")
}

/// Whether results may go to `path`: where nothing is, or results of a sweep are.
///
/// # Errors
/// Something else is there, which would be lost.
pub fn may_replace(path: &Path) -> Result<(), Problem> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(text) if read(&text).is_ok() => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::InvalidData => Err(cannot_write(path, &error)),
        _ => Err(Problem::whole(format!("{} is there and holds no results of a sweep", path.display()))
            .help("choose another output, or move the file away")),
    }
}
