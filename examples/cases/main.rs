//! Simulates the published autoscaling experiments of `experiments/cases/` and prints them beside what was published.
//!
//! ```text
//! cargo run --release --example cases                 # reads ../shared/cases
//! cargo run --release --example cases -- FOLDER
//! ```
//!
//! Numbers are means over seeds, with the least and the most of them. Where a file is not there, it says so and goes on. The
//! exit code is 3 where one cannot be read or simulated. docs/accuracy.md discusses the tables.

mod burst;
mod ranks;
mod table;
mod token_aware;
mod world;

use anyhow::{Context, Result};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cases() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done where stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn cases() -> Result<()> {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases"),
    };
    let published = |name: &str| read(&folder.join(name));
    let mut stdout = std::io::stdout();
    writeln!(stdout, "token-aware\n{}", token_aware::tables(published)?)?;
    if let Some(case) = published("case_ai_on_openshift_keda.json")? {
        writeln!(stdout, "ai-on-openshift\n\n{}", burst::table(&case)?)?;
    }
    if let Some(case) = published("case_aibrix_v100.json")? {
        // The experiment names the trace by its place beside the repository, whatever the folder of the others is.
        let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases/aibrix_8min_lengths.csv");
        if !trace.is_file() {
            skipped(&trace)?;
        }
        writeln!(stdout, "aibrix\n\n{}", ranks::table(&case, trace.is_file())?)?;
    }
    Ok(())
}

/// What was published; `None` where the file is not there.
fn read(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        skipped(path)?;
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
}

fn skipped(path: &Path) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "skipped: {}", path.display())?)
}
