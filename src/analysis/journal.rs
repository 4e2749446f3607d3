//! What a sweep has finished, on disk as soon as it is: an interrupted sweep goes on from there.
//!
//! The first line names the sweep, each other line is a finished point: its name, its settings for whoever reads the
//! file, and its answer. Lines are only ever appended, so the worst that an interruption leaves is a last line without
//! its end, which is cut off.

use super::grid::{Plan, Point, PointId};
use super::repetition::Answer;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The journal of a sweep, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Points that it held when it was opened.
    held: BTreeMap<PointId, Answer>,
    finished: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    journal: String,
    sweep: String,
    points: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    settings: Map<String, Value>,
    answer: Value,
}

/// What every header says, so that no other file passes for a journal.
const JOURNAL: &str = "dryscale sweep 1";

impl Journal {
    /// Opens the journal at `path`, or begins one. With `resume`, points that it holds count as finished.
    ///
    /// # Errors
    /// The path cannot be written; another process writes it; it is the journal of another sweep, or no journal; it
    /// holds finished points and `resume` is false, because beginning anew would lose them.
    pub fn open(path: &Path, plan: &Plan, resume: bool) -> Result<Journal, Problem> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = file.map_err(|error| cannot("write", path, &error))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Problem::whole(format!("{} is being written by another sweep", path.display()))
                .help("wait for it to end, or choose another output"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| cannot("read", path, &error))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut journal = Journal { path: path.to_owned(), file, held: BTreeMap::new(), finished: 0 };
        if whole == 0 {
            // Only what begins like our header may be cut off: a file of another kind is not ours to empty.
            let header = header(plan);
            if !header.as_bytes().starts_with(&bytes) {
                return Err(not_a_journal(path));
            }
            journal.cut_to(0)?;
            journal.write(&header)?;
            return Ok(journal);
        }
        journal.read(&bytes[..whole], plan)?;
        if !resume && journal.finished > 0 {
            let (n, all) = (journal.finished, plan.points.len());
            return Err(Problem::whole(format!(
                "{} holds {n} of {all} points of this sweep",
                path.display()
            ))
            .help("go on with --resume, or remove the file to begin anew"));
        }
        journal.cut_to(whole as u64)?;
        Ok(journal)
    }

    /// How many points it holds.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Where the journal of a sweep lies whose results go to `output`: beside it, `results.csv.journal`.
    pub fn beside(output: &Path) -> PathBuf {
        let mut name = output.as_os_str().to_owned();
        name.push(".journal");
        PathBuf::from(name)
    }

    /// Removes the file, once the results stand elsewhere.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self) -> Result<(), Problem> {
        std::fs::remove_file(&self.path).map_err(|error| cannot("remove", &self.path, &error))
    }

    /// Takes out the answer of a point that the journal held when it was opened.
    pub(super) fn take(&mut self, id: &PointId) -> Option<Answer> {
        self.held.remove(id)
    }

    pub(super) fn append(&mut self, point: &Point, answer: &Answer) -> Result<(), Problem> {
        let settings = point.settings.iter().map(|s| (s.key.clone(), s.text().into())).collect();
        let line = Line { id: point.id.0.clone(), settings, answer: answer.json().clone() };
        self.write(&to_line(&line))?;
        self.finished += 1;
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], plan: &Plan) -> Result<(), Problem> {
        let text = std::str::from_utf8(bytes).map_err(|_| not_a_journal(&self.path))?;
        let mut lines = text.lines().enumerate();
        let header = lines.next().and_then(|(_, line)| serde_json::from_str::<Header>(line).ok());
        let Some(header) = header.filter(|header| header.journal == JOURNAL) else {
            return Err(not_a_journal(&self.path));
        };
        if header.sweep != plan.id() {
            let path = self.path.display();
            return Err(Problem::whole(format!("{path} is the journal of another sweep of {} points", header.points))
                .help("an input, a setting, the seed or dryscale's version has changed since: remove the file to begin \
                       anew, or choose another output"));
        }
        let points: BTreeSet<&PointId> = plan.points.iter().map(|point| &point.id).collect();
        for (i, text) in lines {
            let line = serde_json::from_str::<Line>(text).ok();
            let entry = line.and_then(|line| Some((PointId(line.id), Answer::from_json(line.answer)?)));
            let entry = entry.filter(|(id, _)| points.contains(id));
            let Some((id, answer)) = entry else {
                let shown: String = text.chars().take(80).collect();
                let message = format!("{} holds a line that no sweep wrote", self.path.display());
                return Err(Problem::line(i as u64 + 1, shown, message)
                    .help("remove the line to run its point again, or the file to begin anew"));
            };
            self.held.insert(id, answer);
        }
        self.finished = self.held.len();
        Ok(())
    }

    fn cut_to(&mut self, length: u64) -> Result<(), Problem> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.map(|_| ()).map_err(|error| cannot("write", &self.path, &error))
    }

    fn write(&mut self, line: &str) -> Result<(), Problem> {
        self.file.write_all(line.as_bytes()).map_err(|error| cannot("write", &self.path, &error))
    }
}

fn header(plan: &Plan) -> String {
    to_line(&Header { journal: JOURNAL.to_owned(), sweep: plan.id(), points: plan.points.len() })
}

fn to_line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("plain data with string keys");
    line.push('\n');
    line
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::whole(format!("cannot {what} {}: {error}", path.display())).help("choose another output")
}

fn not_a_journal(path: &Path) -> Problem {
    Problem::whole(format!("{} is not the journal of a sweep", path.display()))
        .help("remove the file, or choose another output")
}
