//! Reading a log back into a store. The file may have been cut, edited, or be something else: nothing in it is trusted.

use super::Header;
use super::line::{End, FORMAT, Line, Lost, Number, Page, Run, Samples, Target};
use crate::lines::Lines;
use crate::monitoring::Keep;
use crate::monitoring::labels::Labels;
use crate::monitoring::promql::{Features, QueryOptions, Release};
use crate::monitoring::series::{Database, GroupId, Retention};
use crate::monitoring::vllm_metrics::MetricsRelease;
use crate::problem::Problem;
use crate::units::{SimDuration, SimTime, UnixMillis};
use rustc_hash::FxHashMap;
use std::io::BufRead;
use std::sync::Arc;

/// The first millisecond of the year 9999: every run begins before.
const START_END_MS: i64 = 253_370_764_800_000;

/// What helps against a log that is not as it was written.
const HELP: &str = "the file must be as `dryscale simulate --out` wrote it; run the simulation again";

/// A log of which the first line has been read.
#[derive(Debug)]
pub struct Reader {
    lines: Lines,
    header: Header,
}

/// A log that was read to its end.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The series that were wanted, with all their samples.
    pub database: Database,
    /// When the run ended.
    pub end: SimTime,
    /// All that was there to be wanted.
    pub kinds: Vec<TargetKind>,
}

/// Targets that expose the same series.
#[derive(Clone, Debug)]
pub struct TargetKind {
    /// The series, without the targets' labels.
    pub columns: Arc<[Labels]>,
    /// The labels of each target.
    pub targets: Vec<Labels>,
}

impl Reader {
    /// Reads the first line of `source`, plain or gzipped.
    ///
    /// # Errors
    /// It is no log, or one that another version of dryscale wrote in another format; with its line.
    pub fn open(source: Box<dyn BufRead + Send>) -> Result<Reader, Problem> {
        let mut lines = Lines::new(source)?;
        let header = match lines.next_line()? {
            None => return Err(Problem::line(1, "", "the file is empty").help(HELP)),
            Some(line) => match line.json::<Line>() {
                Ok(Line::Run(run)) => header(&run).map_err(|why| line.problem(why)),
                Ok(_) => Err(line.problem("the log does not begin with the key `run`")),
                Err(problem) => Err(problem),
            },
        };
        Ok(Reader { header: header.map_err(with_help)?, lines })
    }

    /// What the run's queries were asked with.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the rest. Only samples of series that `keep` wants take memory.
    ///
    /// # Errors
    /// The first line that cannot be as it is, or that the log is cut short.
    pub fn read(mut self, keep: Keep) -> Result<Recorded, Problem> {
        let mut contents = Contents {
            start: self.header.start,
            database: Database::keeping(Retention::All, keep),
            kinds: Vec::new(),
            targets: Vec::new(),
            groups: FxHashMap::default(),
        };
        let mut last = 1;
        let mut end = None;
        while let Some(line) = self.lines.next_line()? {
            last = line.number;
            let taken = match line.json().map_err(with_help)? {
                _ if end.is_some() => Err("the log goes on after its end".to_owned()),
                Line::Run(_) => Err("the log begins a second time".to_owned()),
                Line::Page(page) => contents.page(page),
                Line::Target(target) => contents.target(target),
                Line::Samples(samples) => contents.samples(&samples),
                Line::Lost(Lost { t_s }) => contents.lost(t_s),
                Line::End(End { t_s }) => ending(t_s).map(|at| end = Some(at)),
            };
            taken.map_err(|why| with_help(line.problem(why)))?;
        }
        let cut = || Problem::line(last, "", "the log is cut short: its last line is not `end`").help(HELP);
        Ok(contents.ended(end.ok_or_else(cut)?))
    }
}

fn with_help(problem: Problem) -> Problem {
    if problem.help.is_some() { problem } else { problem.help(HELP) }
}

fn header(run: &Run) -> Result<Header, String> {
    if run.format != FORMAT {
        return Err(format!("the log has format {}; this version reads format {FORMAT}", run.format));
    }
    if !(0..START_END_MS).contains(&run.start_ms) {
        return Err("`start_ms` is not in the years 1970 to 9998".to_owned());
    }
    let release = Release::named(&run.prometheus)
        .ok_or_else(|| format!("Prometheus {:?} is not known", run.prometheus))?;
    let evaluation_interval = SimDuration::from(run.evaluation_interval_s.0);
    if evaluation_interval < SimDuration::from_millis(1) {
        return Err("`evaluation_interval_s` is below a millisecond".to_owned());
    }
    let features = Features::named(run.enable_features.iter().map(String::as_str), release);
    let features = features.map_err(|problem| problem.message)?;
    Ok(Header {
        start: UnixMillis(run.start_ms),
        options: QueryOptions { release, evaluation_interval, features },
        metrics: MetricsRelease::parse(&run.metrics_version).map_err(|problem| problem.message)?,
    })
}

/// What has been read so far.
struct Contents {
    start: UnixMillis,
    database: Database,
    /// By page.
    kinds: Vec<TargetKind>,
    /// By target.
    targets: Vec<Source>,
    /// The groups by the targets' pages and labels.
    groups: FxHashMap<(usize, Labels), GroupId>,
}

/// A target, and how far its rows have been read.
struct Source {
    page: usize,
    group: GroupId,
    seen: SimTime,
}

impl Contents {
    fn page(&mut self, page: Page) -> Result<(), String> {
        in_turn("page", page.id, self.kinds.len())?;
        self.kinds.push(TargetKind { columns: page.series, targets: Vec::new() });
        Ok(())
    }

    fn target(&mut self, target: Target) -> Result<(), String> {
        in_turn("target", target.id, self.targets.len())?;
        let at = target.page as usize;
        let kind = self.kinds.get_mut(at).ok_or_else(|| format!("there is no page {at} before this line"))?;
        // A series that returns after the run had forgotten it is a new target there. Here the old one is known, and is the
        // same series.
        let group = *self.groups.entry((at, target.labels)).or_insert_with_key(|(_, labels)| {
            kind.targets.push(labels.clone());
            self.database.open(labels.clone(), Arc::clone(&kind.columns))
        });
        self.targets.push(Source { page: at, group, seen: SimTime::ZERO });
        Ok(())
    }

    fn samples(&mut self, samples: &Samples) -> Result<(), String> {
        let since_start = SimDuration::from(samples.t_s.0);
        if since_start.rem(SimDuration::from_millis(1)) > SimDuration::ZERO {
            return Err("`t_s` is not a whole number of milliseconds".to_owned());
        }
        let t = UnixMillis(self.start.0 + since_start.as_millis() as i64);
        let visible_from = SimTime::from(samples.visible_from_s.0);
        samples.values.0.iter().try_for_each(|(target, values)| self.row(*target, t, visible_from, &values.0))
    }

    fn row(&mut self, id: u32, t: UnixMillis, visible_from: SimTime, values: &[f64]) -> Result<(), String> {
        let target = self.targets.get_mut(id as usize);
        let target = target.ok_or_else(|| format!("there is no target {id} before this line"))?;
        let columns = self.kinds[target.page].columns.len();
        if values.len() != columns {
            return Err(format!("{} values, but page {} has {columns} series", values.len(), target.page));
        }
        if visible_from < target.seen {
            return Err(format!("`visible_from_s` is before that of target {id}'s row before"));
        }
        target.seen = visible_from;
        if self.database.append(target.group, t, visible_from, values) {
            Ok(())
        } else {
            Err(format!("`t_s` is not after that of target {id}'s row before"))
        }
    }

    fn lost(&mut self, t: Number) -> Result<(), String> {
        let at = ending(t)?;
        self.database.lose_unseen(at);
        // What comes next may be seen before what is gone would have been.
        self.targets.iter_mut().for_each(|target| target.seen = target.seen.min(at));
        Ok(())
    }

    fn ended(self, end: SimTime) -> Recorded {
        Recorded { database: self.database, end, kinds: self.kinds }
    }
}

fn ending(t: Number) -> Result<SimTime, String> {
    let end = SimTime::from(t.0);
    if end <= SimTime::HORIZON { Ok(end) } else { Err("no run ends that late".to_owned()) }
}

/// Refuses an `id` that is not the next.
fn in_turn(what: &str, id: u32, next: usize) -> Result<(), String> {
    if id as usize == next { Ok(()) } else { Err(format!("{what} {id} comes where {what} {next} should")) }
}
