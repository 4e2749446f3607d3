//! `summary.json`, `decisions.jsonl`, and a sweep as JSON.

use crate::analysis::{Answer, Plan, Ranking, Swept};
use crate::simulation::record::{DecisionRecord, Recorder};
use serde_json::{Map, Value, json};
use std::io::{self, BufWriter, Write};

/// What `simulate --format json` prints and `summary.json` holds: one object, indented, with a line end.
pub fn summary_json(answer: &Answer) -> String {
    format!("{:#}\n", answer.json())
}

/// What `sweep --format json` prints: every point with its id, settings and summary (`null` and an `error` where its run
/// failed), and the ids of the best and of its runner-up.
pub fn sweep_json(plan: &Plan, swept: &Swept, ranking: &Ranking) -> String {
    let points = swept.results.iter().map(|result| {
        let point = &plan.points[result.point];
        let settings = point.settings.iter().map(|setting| {
            let value = serde_json::to_value(&setting.value).unwrap_or_else(|_| setting.text().into());
            (setting.key.clone(), value)
        });
        json!({
            "id": point.id,
            "settings": settings.collect::<Map<String, Value>>(),
            "summary": result.outcome.as_ref().ok().map(Answer::json),
            "error": result.outcome.as_ref().err().map(ToString::to_string),
        })
    });
    let id = |i: Option<usize>| i.map(|i| &plan.points[swept.results[i].point].id);
    let all = json!({
        "points": points.collect::<Vec<Value>>(),
        "best": id(ranking.best()),
        "runner_up": id(ranking.runner_up()),
        "stopped": swept.stopped,
    });
    format!("{all:#}\n")
}

/// Writes every poll and sync as a line of JSON, as they happen.
#[derive(Debug)]
pub struct DecisionsJsonl<W: Write> {
    out: BufWriter<W>,
    written: io::Result<()>,
}

impl<W: Write> DecisionsJsonl<W> {
    /// Writes to `out`, which need not be buffered.
    pub fn new(out: W) -> Self {
        DecisionsJsonl { out: BufWriter::new(out), written: Ok(()) }
    }

    /// Gives `out` back with everything written to it.
    ///
    /// # Errors
    /// The first error of writing; after it, nothing more was written.
    pub fn finish(self) -> io::Result<W> {
        self.written?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl<W: Write> Recorder for DecisionsJsonl<W> {
    fn decision(&mut self, record: &DecisionRecord) {
        if self.written.is_ok() {
            let line = serde_json::to_writer(&mut self.out, record).map_err(io::Error::from);
            self.written = line.and_then(|()| self.out.write_all(b"\n"));
        }
    }
}
