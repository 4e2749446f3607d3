//! `timeline.csv`, `pods.csv` and `requests.csv`, written while the run goes on.
//!
//! Times are seconds since the start of the run, exact to the picosecond; a cell is empty where there is nothing to say.

use crate::simulation::record::{PodRecord, Recorder, RequestRecord, TickRecord};
use crate::units::{DecimalSeconds, SimTime};
use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

/// A text as a cell that no spreadsheet takes for a formula: one that begins like a formula gets a `'` before it, as does
/// one that begins with `'`, so that [`bare`] gives the text back. Numbers stay as they are.
pub(super) fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) && text.parse::<f64>().is_err() {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text that [`cell`] was made of.
pub(super) fn bare(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// A CSV file that is written row by row and keeps the first error for the end.
#[derive(Debug)]
struct Rows<W: Write> {
    writer: csv::Writer<W>,
    written: csv::Result<()>,
    /// Room for a cell's text, used again and again.
    text: String,
}

impl<W: Write> Rows<W> {
    fn new(out: W, header: &[&str]) -> Self {
        let mut writer = csv::Writer::from_writer(out);
        let written = writer.write_record(header);
        Rows { writer, written, text: String::new() }
    }

    fn shown(&mut self, value: impl Display) -> &mut Self {
        use std::fmt::Write as _;
        self.text.clear();
        // Writing to a string fails only where a `Display` does, and ours do not.
        let _ = write!(self.text, "{value}");
        if self.written.is_ok() {
            self.written = self.writer.write_field(&self.text);
        }
        self
    }

    fn some(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.shown(value),
            None => self.shown(""),
        }
    }

    fn time(&mut self, at: Option<SimTime>) -> &mut Self {
        self.some(at.map(DecimalSeconds::from))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.shown(cell(text))
    }

    fn end(&mut self) {
        if self.written.is_ok() {
            self.written = self.writer.write_record(None::<&[u8]>);
        }
    }

    fn finish(self) -> io::Result<W> {
        self.written.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })?;
        self.writer.into_inner().map_err(|error| error.into_error())
    }
}

/// The world at each tick.
#[derive(Debug)]
pub struct TimelineCsv<W: Write>(Rows<W>);

impl<W: Write> TimelineCsv<W> {
    /// Writes the header to `out`, which need not be buffered.
    pub fn new(out: W) -> Self {
        TimelineCsv(Rows::new(
            out,
            &[
                "t_s",
                "arrived",
                "finished",
                "held",
                "waiting",
                "running",
                "replicas",
                "ready",
                "starting",
                "terminating",
                "gpus",
                "kv_usage_mean",
                "kv_usage_max",
            ],
        ))
    }

    /// Gives `out` back with everything written to it.
    ///
    /// # Errors
    /// The first error of writing; after it, nothing more was written.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Recorder for TimelineCsv<W> {
    fn tick(&mut self, tick: &TickRecord) {
        let row = self.0.time(Some(tick.at)).shown(tick.arrived).shown(tick.finished).shown(tick.held);
        let row = row.shown(tick.waiting).shown(tick.running).shown(tick.replicas).shown(tick.ready);
        let row = row.shown(tick.starting).shown(tick.terminating).shown(tick.gpus);
        row.shown(tick.kv_usage_mean).shown(tick.kv_usage_max).end();
    }
}

/// The life of each pod.
#[derive(Debug)]
pub struct PodsCsv<W: Write>(Rows<W>);

impl<W: Write> PodsCsv<W> {
    /// Writes the header to `out`, which need not be buffered.
    pub fn new(out: W) -> Self {
        PodsCsv(Rows::new(
            out,
            &[
                "ordinal",
                "name",
                "node",
                "created_s",
                "scheduled_s",
                "ready_s",
                "deleted_s",
                "exited_s",
                "finished",
                "killed",
                "steps",
                "preemptions",
            ],
        ))
    }

    /// Gives `out` back with everything written to it.
    ///
    /// # Errors
    /// The first error of writing; after it, nothing more was written.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Recorder for PodsCsv<W> {
    fn pod(&mut self, pod: &PodRecord) {
        let row = self.0.shown(pod.ordinal).text(&pod.name).text(pod.node.as_deref().unwrap_or(""));
        let row = row.time(Some(pod.created)).time(pod.scheduled).time(pod.ready);
        let row = row.time(pod.deleted).time(pod.exited);
        row.shown(pod.finished).shown(pod.killed).shown(pod.steps).shown(pod.preemptions).end();
    }
}

/// What the indices in records stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Sources, in the workload's order.
    pub sources: Vec<String>,
    /// Classes, in the workload's order.
    pub classes: Vec<String>,
}

/// Each request, in the order in which their fates came.
#[derive(Debug)]
pub struct RequestsCsv<W: Write> {
    rows: Rows<W>,
    names: Names,
}

impl<W: Write> RequestsCsv<W> {
    /// Writes the header to `out`, which need not be buffered. An index that has no name is written as a number.
    pub fn new(out: W, names: Names) -> Self {
        let rows = Rows::new(
            out,
            &[
                "ordinal",
                "source",
                "class",
                "due_s",
                "sent_s",
                "first_token_s",
                "ended_s",
                "ttft_s",
                "tpot_s",
                "e2e_s",
                "prompt_tokens",
                "output_tokens",
                "cached_tokens",
                "preemptions",
                "attempts",
                "pod",
                "fate",
                "reason",
                "measured",
            ],
        );
        RequestsCsv { rows, names }
    }

    /// Gives `out` back with everything written to it.
    ///
    /// # Errors
    /// The first error of writing; after it, nothing more was written.
    pub fn finish(self) -> io::Result<W> {
        self.rows.finish()
    }
}

impl<W: Write> Recorder for RequestsCsv<W> {
    fn request(&mut self, request: &RequestRecord) {
        let rows = &mut self.rows;
        rows.shown(request.ordinal);
        for (index, names) in [(request.source, &self.names.sources), (request.class, &self.names.classes)] {
            match names.get(usize::from(index)) {
                Some(name) => rows.text(name),
                None => rows.shown(index),
            };
        }
        let row =
            rows.time(Some(request.due)).time(request.sent).time(request.first_token).time(request.ended);
        let row =
            row.some(request.ttft().map(DecimalSeconds::from)).some(request.tpot().map(DecimalSeconds::from));
        let row = row.some(request.e2e().map(DecimalSeconds::from));
        let row = row.shown(request.prompt_tokens).shown(request.output_tokens).shown(request.cached_tokens);
        let row = row.shown(request.preemptions).shown(request.attempts).some(request.pod);
        row.shown(request.fate.name()).text(request.reason).shown(request.measured).end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_formula_and_every_text_comes_back() {
        for text in ["=1+1", "+x", "-x", "@x", "\tx", "'x", "'=x"] {
            assert_eq!(cell(text), format!("'{text}"));
            assert_eq!(bare(&cell(text)), text);
        }
        for text in ["", "2", "-2", "+1e3", "chat", "a=b", "a,b", "\"q\""] {
            assert_eq!(cell(text), text);
            assert_eq!(bare(&cell(text)), text);
        }
    }
}
