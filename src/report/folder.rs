//! The folder of a run: summary, timeline, decisions, pods, requests, series, and copies of the inputs.
//!
//! Everything is written to a folder with a temporary name beside the wanted one, which gets its name when all is there.
//! So a folder with the wanted name is whole, and an interrupted run leaves an earlier one as it was.

use super::csv::{Names, PodsCsv, RequestsCsv, TimelineCsv};
use super::json::{DecisionsJsonl, summary_json};
use super::replace::{cannot_write, partial};
use crate::analysis::Answer;
use crate::monitoring::wal;
use crate::problem::Problem;
use crate::simulation::record::{DecisionRecord, PodRecord, Recorder, RequestRecord, RunTotals, TickRecord};
use crate::units::SimTime;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const SUMMARY: &str = "summary.json";
const TIMELINE: &str = "timeline.csv";
const DECISIONS: &str = "decisions.jsonl";
const PODS: &str = "pods.csv";
const REQUESTS: &str = "requests.csv";
/// The file with all that Prometheus scraped.
pub const SERIES: &str = "series.jsonl";
const INPUTS: &str = "inputs";

/// A file that the run was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its key in the summary's `provenance.inputs`: `policy`, `experiment`. The copy has this name.
    pub role: String,
    /// The end of its name: `toml`, `yaml`.
    pub extension: String,
    /// Its content, as it was read.
    pub bytes: Vec<u8>,
}

/// Listens to a run and writes its folder.
#[derive(Debug)]
pub struct Folder {
    wanted: PathBuf,
    partial: Partial,
    timeline: TimelineCsv<File>,
    decisions: DecisionsJsonl<File>,
    pods: PodsCsv<File>,
    requests: Option<RequestsCsv<File>>,
    series: wal::Writer<File>,
    ended: SimTime,
}

/// The folder under its temporary name. It is gone when the run is, unless it has got its name by then.
#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    /// Begins the folder `wanted`: checks that it may be put there, and writes the copies of the inputs. `requests`
    /// says whether it gets `requests.csv`; `series` is how the log of the series begins.
    ///
    /// # Errors
    /// The place cannot be written, or holds something that is not the folder of an earlier run.
    pub fn create(
        wanted: &Path,
        inputs: &[Input],
        names: Names,
        requests: bool,
        series: &wal::Header,
    ) -> Result<Folder, Problem> {
        let wanted = place(wanted)?;
        let partial = Partial(partial(&wanted).map_err(|error| cannot_write(&wanted, &error))?);
        let create = || {
            if let Some(parent) = wanted.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::create_dir_all(parent)?;
            }
            fs::create_dir(&partial.0)?;
            fs::create_dir(partial.0.join(INPUTS))?;
            for input in inputs {
                let name = format!("{}.{}", input.role, input.extension);
                let mut copy = File::create_new(partial.0.join(INPUTS).join(name))?;
                copy.write_all(&input.bytes)?;
                copy.sync_all()?;
            }
            let file = |name: &str| File::create_new(partial.0.join(name));
            let requests = if requests { Some(RequestsCsv::new(file(REQUESTS)?, names)) } else { None };
            Ok((file(TIMELINE)?, file(DECISIONS)?, file(PODS)?, requests, file(SERIES)?))
        };
        let (timeline, decisions, pods, requests, log) =
            create().map_err(|error: io::Error| cannot_write(&wanted, &error))?;
        Ok(Folder {
            wanted,
            partial,
            timeline: TimelineCsv::new(timeline),
            decisions: DecisionsJsonl::new(decisions),
            pods: PodsCsv::new(pods),
            requests,
            series: wal::Writer::new(log, series),
            ended: SimTime::ZERO,
        })
    }

    /// Completes the folder with its summary and gives it its name, in place of the folder of an earlier run.
    ///
    /// # Errors
    /// Something could not be written, now or since the beginning. What was at the wanted place is still there.
    pub fn finish(self, answer: &Answer) -> Result<(), Problem> {
        let Folder { wanted, partial, timeline, decisions, pods, requests, series, ended } = self;
        let write = || {
            timeline.finish()?.sync_all()?;
            decisions.finish()?.sync_all()?;
            pods.finish()?.sync_all()?;
            if let Some(requests) = requests {
                requests.finish()?.sync_all()?;
            }
            series.finish(ended)?.sync_all()?;
            let mut summary = File::create_new(partial.0.join(SUMMARY))?;
            summary.write_all(summary_json(answer).as_bytes())?;
            summary.sync_all()
        };
        write().map_err(|error| cannot_write(&wanted, &error))?;
        // Looked at again: the run took time, and what came to this place since must not be lost.
        place(&wanted)?;
        put(&partial.0, &wanted).map_err(|error| cannot_write(&wanted, &error))
    }
}

impl Recorder for Folder {
    fn request(&mut self, record: &RequestRecord) {
        if let Some(requests) = &mut self.requests {
            requests.request(record);
        }
    }
    fn decision(&mut self, record: &DecisionRecord) {
        self.decisions.decision(record);
    }
    fn tick(&mut self, record: &TickRecord) {
        self.timeline.tick(record);
    }
    fn pod(&mut self, record: &PodRecord) {
        self.pods.pod(record);
    }
    fn series(&mut self, record: &wal::Record) {
        self.series.write(record);
    }
    fn end(&mut self, totals: &RunTotals) {
        self.ended = totals.ended;
    }
    fn wants_decisions(&self) -> bool {
        true
    }
    fn wants_series(&self) -> bool {
        true
    }
}

/// Moves `partial` to `wanted`, where nothing, an empty folder or an earlier run is.
fn put(partial: &Path, wanted: &Path) -> io::Result<()> {
    if !wanted.exists() || fs::read_dir(wanted)?.next().is_none() {
        return fs::rename(partial, wanted);
    }
    let mut earlier = partial.as_os_str().to_owned();
    earlier.push("-earlier");
    let earlier = PathBuf::from(earlier);
    fs::rename(wanted, &earlier)?;
    if let Err(error) = fs::rename(partial, wanted) {
        fs::rename(&earlier, wanted)?;
        return Err(error);
    }
    fs::remove_dir_all(earlier)
}

/// Where the folder really goes, if it may go there.
fn place(wanted: &Path) -> Result<PathBuf, Problem> {
    let refuse =
        |why: String| Err(Problem::whole(format!("{} {why}", wanted.display())).help("choose another --out"));
    if wanted.file_name().is_none() {
        return refuse("is not the name of a folder".to_owned());
    }
    match fs::symlink_metadata(wanted) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(wanted.to_owned()),
        Err(error) => return Err(cannot_write(wanted, &error)),
        Ok(_) => {}
    }
    // A link to a folder stays a link: its target is what is replaced.
    let real = fs::canonicalize(wanted).map_err(|error| cannot_write(wanted, &error))?;
    if !real.is_dir() {
        return refuse("is there and is not a folder".to_owned());
    }
    match stranger(&real) {
        Ok(None) => Ok(real),
        Ok(Some(name)) => refuse(format!("holds {name}, which no run wrote there")),
        Err(error) => Err(cannot_write(wanted, &error)),
    }
}

/// Something in `folder` that is not of an earlier run. Only what a run wrote may be replaced by the next one, so a
/// folder without a run's summary has nothing else either, and `inputs` has only what the summary names.
fn stranger(folder: &Path) -> io::Result<Option<String>> {
    let summary: Option<Value> =
        fs::read(folder.join(SUMMARY)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let provenance = summary.as_ref().and_then(|summary| summary.get("provenance"));
    let is_ours = provenance.is_some_and(|p| p.get("version").is_some_and(Value::is_string));
    for name in names(folder)? {
        let known = [SUMMARY, TIMELINE, DECISIONS, PODS, REQUESTS, SERIES, INPUTS].contains(&name.as_str());
        if !is_ours || !known {
            return Ok(Some(name));
        }
    }
    if !folder.join(INPUTS).exists() {
        return Ok(None);
    }
    let roles = provenance.and_then(|p| p.get("inputs"));
    let is_input = |name: &str| {
        let role = Path::new(name).file_stem().and_then(|stem| stem.to_str());
        role.is_some_and(|role| roles.is_some_and(|roles| roles.get(role).is_some()))
    };
    Ok(names(&folder.join(INPUTS))?
        .into_iter()
        .find(|name| !is_input(name))
        .map(|name| format!("{INPUTS}/{name}")))
}

/// What is in `folder`, sorted.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}
