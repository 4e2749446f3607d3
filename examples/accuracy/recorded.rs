//! Recorded runs: `e2e_req_<GPU>_<model>_<vLLM>_<run>.csv.gz`, one line a request.

use super::latencies::Latencies;
use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The runs that there are have one GPU, model and release.
const PREFIX: &str = "e2e_req_h100_qwen3-14b_vllm0.23_";
const SUFFIX: &str = ".csv.gz";

/// A request as its client recorded it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Recorded {
    /// When the load generator had it ready, in seconds.
    #[serde(rename = "sched_arrival_s")]
    pub(crate) ready_s: f64,
    /// Prompt length, by the server's count.
    pub(crate) input_tokens: u32,
    /// Length of the answer.
    pub(crate) output_tokens: u32,
    /// From the send to the first token.
    ttft_ms: f64,
    /// From the send to the last token.
    e2e_ms: f64,
}

/// One run.
pub(crate) struct Recording {
    /// Its name: `w5_sweep_agg18`.
    pub(crate) run: String,
    /// Its requests in the order in which they were ready.
    pub(crate) requests: Vec<Recorded>,
}

impl Recording {
    /// The runs of `folder`, by name.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Recording>> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
        let mut runs: Vec<(String, PathBuf)> =
            paths.into_iter().filter_map(|path| Some((run_of(&path)?, path))).collect();
        runs.sort();
        runs.into_iter()
            .map(|(run, path)| {
                Recording::read(run, &path).with_context(|| format!("cannot read {}", path.display()))
            })
            .collect()
    }

    /// What was measured.
    pub(crate) fn latencies(&self) -> Latencies {
        let mut latencies = Latencies::default();
        for request in &self.requests {
            latencies.push(request.ttft_ms, request.e2e_ms, request.output_tokens);
        }
        latencies
    }

    fn read(run: String, path: &Path) -> Result<Recording> {
        let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path)?));
        let mut requests = reader.deserialize().collect::<Result<Vec<Recorded>, csv::Error>>()?;
        // The file lists them in order of their sends, which a cap on requests in flight can exchange.
        requests.sort_by(|a, b| a.ready_s.total_cmp(&b.ready_s));
        Ok(Recording { run, requests })
    }
}

fn run_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.to_owned())
}
