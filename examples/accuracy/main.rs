//! Replays public runs of a real vLLM server through the path of `dryscale simulate`, and prints how far the simulation
//! is off: mean, p90 and p99 of TTFT, TPOT and E2E, each in per cent of what was measured.
//!
//! ```text
//! cargo run --release --example accuracy                 # reads ../shared/data/runs/e2e_req_*.csv.gz
//! cargo run --release --example accuracy -- FOLDER
//! ```
//!
//! All runs have one setting, written out in [`replay::experiment`], and the shipped model file as it is. The exit code is
//! 1 where the [targets](TARGETS) are missed, 3 where a run cannot be read or replayed. docs/accuracy.md discusses the
//! table.

mod latencies;
mod recorded;
mod replay;

use anyhow::{Context, Result, bail};
use latencies::Latencies;
use rayon::prelude::*;
use recorded::Recording;
use std::fmt::Write;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The runs that the targets are about: a prototype's errors on these were published before this program was written.
const TARGET_RUNS: [&str; 8] = [
    "sweep_rate_agg_2rps_vanilla",
    "sweep_rate_agg_6rps_vanilla",
    "sweep_rate_agg_8rps_vanilla",
    "w5_sweep_agg6",
    "w5_sweep_agg18",
    "w5_sweep_agg30",
    "w7_sweep_agg12",
    "w7_sweep_agg24",
];

/// Absolute error of the mean over the target runs, in per cent: metric, median at most, worst at most.
const TARGETS: [(&str, f64, f64); 3] = [("TTFT", 3.0, f64::INFINITY), ("TPOT", 3.0, 5.5), ("E2E", 2.5, 5.0)];

/// A run as it was and as it is simulated.
struct Comparison {
    run: String,
    real: Latencies,
    simulated: Latencies,
}

fn main() -> ExitCode {
    match accuracy() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nothing is left to be done where stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Whether the targets are met; data that is absent misses none, unless `DRYSCALE_REQUIRE_DATA` is set.
fn accuracy() -> Result<bool> {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/runs"),
    };
    let mut stdout = std::io::stdout();
    if !folder.is_dir() {
        if std::env::var_os("DRYSCALE_REQUIRE_DATA").is_some() {
            bail!("{} is absent", folder.display());
        }
        writeln!(stdout, "skipped: {}", folder.display())?;
        return Ok(true);
    }
    let recordings = Recording::all(&folder)?;
    if recordings.is_empty() {
        bail!("{} holds no e2e_req_*.csv.gz", folder.display());
    }
    let compare = |recording: &Recording| -> Result<Comparison> {
        let simulated = replay::replay(recording).with_context(|| recording.run.clone())?;
        Ok(Comparison { run: recording.run.clone(), real: recording.latencies(), simulated })
    };
    // In order of the runs, whatever order they are done in.
    let comparisons: Vec<Comparison> = recordings.par_iter().map(compare).collect::<Result<_>>()?;
    let (verdicts, met) = judge(&comparisons);
    writeln!(stdout, "{}\n{verdicts}", table(&comparisons)?)?;
    Ok(met)
}

/// One line a run: the real mean in ms, then errors of mean, p90 and p99 in per cent, for each metric.
fn table(comparisons: &[Comparison]) -> Result<String> {
    let mut text = String::from(
        "| run | requests | TTFT ms | mean | p90 | p99 | TPOT ms | mean | p90 | p99 | E2E ms | mean | p90 | p99 |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for comparison in comparisons {
        write!(text, "| {} | {} |", comparison.run, comparison.real.requests())?;
        for (real, simulated) in comparison.real.metrics().iter().zip(comparison.simulated.metrics()) {
            let [mean, p90, p99] = real.errors_percent(&simulated);
            write!(text, " {:.2} | {mean:+.2} | {p90:+.2} | {p99:+.2} |", real.mean)?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// A sentence for each target, and whether all are met. Without the target runs nothing is judged.
fn judge(comparisons: &[Comparison]) -> (String, bool) {
    let judged: Vec<&Comparison> =
        comparisons.iter().filter(|comparison| TARGET_RUNS.contains(&comparison.run.as_str())).collect();
    if judged.len() < TARGET_RUNS.len() {
        return (
            format!("not judged: {} of the {} target runs are here", judged.len(), TARGET_RUNS.len()),
            true,
        );
    }
    let mut lines = Vec::new();
    let mut met = true;
    for (metric, (name, median_max, worst_max)) in TARGETS.into_iter().enumerate() {
        let error = |comparison: &&Comparison| {
            let (real, simulated) = (comparison.real.metrics(), comparison.simulated.metrics());
            real[metric].errors_percent(&simulated[metric])[0].abs()
        };
        let mut errors: Vec<f64> = judged.iter().map(error).collect();
        errors.sort_by(f64::total_cmp);
        let median = (errors[errors.len() / 2] + errors[(errors.len() - 1) / 2]) / 2.0;
        let worst = errors[errors.len() - 1];
        let meets = median <= median_max && worst <= worst_max;
        let limit = if worst_max.is_finite() { format!(" of {worst_max}") } else { String::new() };
        let verdict = if meets { "met" } else { "MISSED" };
        lines.push(format!(
            "mean {name}: median {median:.2} % of {median_max}, worst {worst:.2} %{limit}: {verdict}"
        ));
        met &= meets;
    }
    (lines.join("\n"), met)
}
