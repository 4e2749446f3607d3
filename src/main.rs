//! The `dryscale` command: parse, run, and turn the outcome into text and an exit code.

use clap::Parser;
use dryscale::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    let status = match cli::run(Cli::parse()) {
        Ok(status) => status,
        Err(failure) => cli::report_failure(&failure),
    };
    ExitCode::from(status.code())
}
