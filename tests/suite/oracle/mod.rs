//! Recordings of the real systems, replayed: `cargo test --release oracle`.
//!
//! Each kind reads its records from `$DRYSCALE_ORACLES` (laid out as `tests/oracles/`) or from the project's own copy,
//! goes on after a mismatch, prints the first three, and writes one line `oracle KIND: MATCHED/TOTAL`.

mod aibrix_timelines;
mod cron;
mod formula;
mod hpa_timelines;
mod keda_executor;
mod keda_fallback;
mod kpa_timelines;
mod kpa_windows;
mod pod_deletion;
mod promql;
mod quantity_milli;
mod vllm;

use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The folder of recordings.
pub(crate) fn root() -> PathBuf {
    std::env::var_os("DRYSCALE_ORACLES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles"), PathBuf::from)
}

/// The lines of `path` below the root, gzipped or not, or `None` where neither `path` nor `path.gz` exists.
pub(crate) fn lines(path: &str) -> Option<impl Iterator<Item = String>> {
    let plain = root().join(path);
    let zipped = root().join(format!("{path}.gz"));
    let reader: Box<dyn Read> = if zipped.exists() {
        Box::new(GzDecoder::new(File::open(&zipped).expect("recording opens")))
    } else if plain.exists() {
        Box::new(File::open(&plain).expect("recording opens"))
    } else {
        return None;
    };
    let lines = BufReader::new(reader).lines().map(|line| line.expect("recording is UTF-8 text"));
    Some(lines.filter(|line| !line.trim().is_empty()))
}

/// Counts the records of one kind and reports them when it is finished.
pub(crate) struct Tally {
    kind: &'static str,
    matched: usize,
    total: usize,
}

impl Tally {
    /// Nothing read yet.
    pub(crate) fn new(kind: &'static str) -> Self {
        Tally { kind, matched: 0, total: 0 }
    }

    /// Counts one record: `Ok` when all of it matched, else what differed first.
    pub(crate) fn record(&mut self, outcome: Result<(), String>) {
        self.total += 1;
        match outcome {
            Ok(()) => self.matched += 1,
            Err(why) if self.total - self.matched <= 3 => {
                say(&format!("oracle {} mismatch: {why}", self.kind))
            }
            Err(_) => {}
        }
    }

    /// Writes the line and fails unless every record matched.
    pub(crate) fn finish(self) {
        say(&format!("oracle {}: {}/{}", self.kind, self.matched, self.total));
        assert!(self.total > 0, "no record of kind {} was read", self.kind);
        assert_eq!(self.matched, self.total, "oracle {}: some records differ", self.kind);
    }
}

/// Says that this kind is not among the recordings.
pub(crate) fn absent(kind: &str) {
    say(&format!("oracle {kind}: absent"));
}

/// One line straight to the stdout handle: the test harness does not capture it.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("stdout takes a line");
}

/// A folder without any recording would let every kind pass as absent.
#[test]
fn some_recording_is_present() {
    let kinds = [
        "vllm/scheduler.jsonl",
        "hpa/hpa_timelines.jsonl",
        "hpa/hpa_timelines_v128.jsonl",
        "hpa/keda_executor.jsonl",
        "hpa/keda_fallback.jsonl",
        "hpa/quantity_milli.jsonl",
        "hpa/pod_deletion.jsonl",
        "aibrix/aibrix_timelines.jsonl",
        "cron/next.jsonl",
        "knative/kpa_timelines.jsonl",
        "knative/kpa_windows.jsonl",
        "formula/formula.jsonl",
    ];
    let any = kinds.iter().any(|kind| lines(kind).is_some()) || root().join("promql/queries").is_dir();
    assert!(any, "no recordings below {}", root().display());
}
