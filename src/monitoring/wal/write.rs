//! Writing the log while the run goes on.

use super::line::{End, FORMAT, Line, Lost, Number, Page, Rows, Run, Samples, Target, Values};
use super::{Header, Record};
use crate::monitoring::labels::Labels;
use crate::units::{DecimalSeconds, SimDuration, SimTime, UnixMillis};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

/// Writes a log line by line, and keeps the first error for the end.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    start: UnixMillis,
    /// What targets were found to expose; few, because pods are alike.
    pages: Vec<Arc<[Labels]>>,
    /// The samples of one scrape or rule, which are written together.
    together: Together,
    written: io::Result<()>,
}

/// Rows with the same times.
#[derive(Debug, Default)]
struct Together {
    t: UnixMillis,
    visible_from: SimTime,
    rows: Rows,
}

impl<W: Write> Writer<W> {
    /// Begins a log in `out`, which need not be buffered.
    pub fn new(out: W, header: &Header) -> Self {
        let mut writer = Writer {
            out: BufWriter::new(out),
            start: header.start,
            pages: Vec::new(),
            together: Together::default(),
            written: Ok(()),
        };
        writer.line(&Line::Run(Run {
            format: FORMAT,
            start_ms: header.start.0,
            prometheus: header.options.release.name().to_owned(),
            evaluation_interval_s: Number(header.options.evaluation_interval.into()),
            enable_features: header.options.features.names().map(str::to_owned).collect(),
            metrics_version: header.metrics.to_string(),
        }));
        writer
    }

    /// Adds one record.
    pub fn write(&mut self, record: &Record) {
        match record {
            Record::Series { group, target, columns } => {
                let page = self.page(columns);
                self.line(&Line::Target(Target { id: group.ordinal(), page, labels: target.clone() }));
            }
            Record::Samples { group, t, visible_from, values } => {
                if (self.together.t, self.together.visible_from) != (*t, *visible_from) {
                    self.write_together();
                    (self.together.t, self.together.visible_from) = (*t, *visible_from);
                }
                self.together.rows.0.push((group.ordinal(), Values(values.clone())));
            }
            Record::Lost { at } => {
                self.write_together();
                self.line(&Line::Lost(Lost { t_s: Number(DecimalSeconds::from(*at)) }));
            }
        }
    }

    /// Ends the log of a run that ended at `ended`, and gives `out` back with everything written to it.
    ///
    /// # Errors
    /// The first error of writing; after it, nothing more was written.
    pub fn finish(mut self, ended: SimTime) -> io::Result<W> {
        self.write_together();
        self.line(&Line::End(End { t_s: Number(DecimalSeconds::from(ended)) }));
        self.written?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    /// Writes the rows that were put together, and begins anew.
    fn write_together(&mut self) {
        let Together { t, visible_from, rows } = std::mem::take(&mut self.together);
        if rows.0.is_empty() {
            return;
        }
        let since_start = SimDuration::from_millis(u64::try_from(t.0 - self.start.0).unwrap_or_default());
        self.line(&Line::Samples(Samples {
            t_s: Number(since_start.into()),
            visible_from_s: Number(visible_from.into()),
            values: rows,
        }));
    }

    /// The number of this page, which is written where it is new.
    fn page(&mut self, columns: &Arc<[Labels]>) -> u32 {
        if let Some(known) = self.pages.iter().position(|page| page == columns) {
            return known as u32;
        }
        let id = self.pages.len() as u32;
        self.line(&Line::Page(Page { id, series: Arc::clone(columns) }));
        self.pages.push(Arc::clone(columns));
        id
    }

    fn line(&mut self, line: &Line) {
        if self.written.is_ok() {
            let json = serde_json::to_writer(&mut self.out, line).map_err(io::Error::from);
            self.written = json.and_then(|()| self.out.write_all(b"\n"));
        }
    }
}
