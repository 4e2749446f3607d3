//! The workload wing from outside: what a `[workload]` table sends.

mod arrivals;
mod common_random_numbers;
mod hostile;
mod replay;
mod streaming;
mod trace_stats;

use dryscale::problem::Problem;
use dryscale::random::Streams;
use dryscale::units::SimDuration;
use dryscale::workload::{Request, Workload, WorkloadSpec};
use std::io::{BufRead, Cursor};

/// The `[workload]` table `text`.
fn spec(text: &str) -> WorkloadSpec {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A workload whose every file holds `bytes`.
fn with_file(spec: &WorkloadSpec, seed: u64, secs: u64, bytes: &[u8]) -> Result<Workload, Problem> {
    Workload::new(spec, &Streams::new(seed), SimDuration::from_secs(secs), &mut |_| {
        Ok(Box::new(Cursor::new(bytes.to_vec())) as Box<dyn BufRead + Send>)
    })
}

/// All requests of a workload.
fn drain(mut workload: Workload) -> Result<Vec<Request>, Problem> {
    let mut requests = Vec::new();
    while let Some(request) = workload.next_request()? {
        requests.push(request);
    }
    Ok(requests)
}

/// All requests of the table `text`, which names no file, under seed 1.
fn requests(text: &str, secs: u64) -> Vec<Request> {
    with_file(&spec(text), 1, secs, b"").and_then(drain).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

/// All requests of a replay of `bytes` with further keys.
fn replayed(bytes: &[u8], keys: &str) -> Result<Vec<Request>, Problem> {
    let text = format!("[[source]]\nkind = 'replay'\nfile = 'trace'\n{keys}");
    with_file(&spec(&text), 1, 100 * 86_400, bytes).and_then(drain)
}
