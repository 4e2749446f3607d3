//! `dryscale query`: any PromQL over the series of a recorded run.

use super::moment::{Moment, Span};
use super::options::{Format, QueryOptions};
use super::{ExitStatus, Failure, output};
use crate::monitoring::Keep;
use crate::monitoring::never_match::{self, Exposed};
use crate::monitoring::promql::{Query, Value};
use crate::monitoring::wal::{Header, Reader, Recorded};
use crate::problem::Problem;
use crate::report::{self, SERIES};
use crate::scenario::{InputError, Origin, SourceText};
use crate::units::{SimDuration, SimTime, UnixMillis};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Runs the command.
pub(super) fn run(options: &QueryOptions) -> Result<ExitStatus, Failure> {
    let path = options.run.join(SERIES);
    let in_log = |problem: Problem| InputError::in_file(&path.display().to_string(), problem);
    let reader = Reader::open(open(&options.run, &path)?).map_err(in_log)?;
    let header = *reader.header();
    let expression = SourceText::new("query", options.expression.as_str());
    let mut query = Query::compile(&options.expression, header.options)
        .map_err(|problem| InputError::at(&Origin::whole(&expression), problem))?;
    let recorded = reader.read(Keep::read_by([&query])).map_err(in_log)?;
    let (value, at) = match &options.range {
        Some(span) => range(&mut query, *span, options, &header, &recorded)?,
        None => instant(&mut query, options, &header, &recorded)?,
    };
    warn_of_dead_selectors(&query, &header, &recorded);
    match options.format {
        Format::Json => output::data(&report::query_json(&value, at))?,
        Format::Text if is_empty(&value) => {}
        Format::Text => output::data(&report::query_text(&value, at))?,
    }
    Ok(ExitStatus::Done)
}

/// Opens the log of the run in `folder`.
fn open(folder: &Path, log: &Path) -> Result<Box<BufReader<File>>, Failure> {
    let refuse = |name: &Path, message: String| {
        let problem = Problem::whole(message).help("give the folder that `dryscale simulate --out` wrote");
        Failure::from(InputError::in_file(&name.display().to_string(), problem))
    };
    if !folder.is_dir() {
        return Err(refuse(folder, "there is no such folder".to_owned()));
    }
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    if !log.is_file() {
        return Err(refuse(folder, format!("this is no folder of a run: it holds no {SERIES}")));
    }
    let file = File::open(log).map_err(|error| refuse(log, format!("the file cannot be opened: {error}")))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// What the query gives at one instant.
fn instant(
    query: &mut Query,
    options: &QueryOptions,
    header: &Header,
    recorded: &Recorded,
) -> Result<(Value, UnixMillis), Failure> {
    let moment = options.at.unwrap_or(Moment::Since(recorded.end));
    let now = within(moment, "--at", header, recorded)?;
    let (mut at, mut seen) = (header.start.at(now), SimTime::NEVER);
    if !options.replay {
        // KEDA asks at `now` for the value at the whole second before.
        (at, seen) = (at.whole_second(), now);
    }
    let value = query.evaluate(&recorded.database, at, seen);
    Ok((value.map_err(execution)?, at))
}

/// What the query gives at each step of a range.
fn range(
    query: &mut Query,
    span: Span,
    options: &QueryOptions,
    header: &Header,
    recorded: &Recorded,
) -> Result<(Value, UnixMillis), Failure> {
    let end_of = |moment: Option<Moment>, otherwise: SimTime| {
        within(moment.unwrap_or(Moment::Since(otherwise)), "--range", header, recorded)
    };
    let (from, to) = (end_of(span.from, SimTime::ZERO)?, end_of(span.to, recorded.end)?);
    let step = options.step.unwrap_or_else(|| usual_step(to.since(from)));
    let (start, end) = (header.start.at(from), header.start.at(to));
    let mut seen = |at: UnixMillis| {
        let since = u64::try_from(at.0 - header.start.0).map_or(SimDuration::ZERO, SimDuration::from_millis);
        if options.replay { SimTime::NEVER } else { SimTime::ZERO + since }
    };
    let series = query.evaluate_range(&recorded.database, start, end, step, &mut seen);
    Ok((Value::Matrix(series.map_err(execution)?), end))
}

/// The step that `promtool query range` takes where none is given: some 250 of them, of whole seconds.
fn usual_step(length: SimDuration) -> SimDuration {
    SimDuration::from_secs((length.as_millis() / 1000 / 250).max(1))
}

fn within(moment: Moment, flag: &str, header: &Header, recorded: &Recorded) -> Result<SimTime, InputError> {
    moment.within(header.start, recorded.end).map_err(|problem| InputError::in_file(flag, problem))
}

/// A query that failed over these series: in Prometheus' words.
fn execution(error: impl std::fmt::Display) -> Failure {
    Failure::Problem(Problem::whole(format!("execution: {error}")))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Vector(elements) => elements.is_empty(),
        Value::Matrix(series) => series.is_empty(),
        Value::Scalar(_) | Value::String(_) => false,
    }
}

/// Says on stderr which selectors nothing in the run can ever match: an answer without them is easily taken for one with
/// them.
fn warn_of_dead_selectors(query: &Query, header: &Header, recorded: &Recorded) {
    let world: Vec<Exposed<'_>> = recorded
        .kinds
        .iter()
        .map(|kind| Exposed {
            columns: &kind.columns,
            targets: kind.targets.clone(),
            // All of them are known, but there may be hundreds of pods.
            examples: &["pod", "instance"],
        })
        .collect();
    match never_match::check(query, &world, &[], header.metrics) {
        Ok(warnings) => warnings.iter().for_each(|warning| output::talk(&format!("note: {warning}"))),
        Err(problem) => output::talk(&format!("note: {problem}")),
    }
}
