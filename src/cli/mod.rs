//! The command line: one file a subcommand; the only code that prints or exits.
//!
//! stdout is data, stderr is talk.

mod assertions;
mod compare;
mod export;
mod interrupt;
mod moment;
mod options;
mod output;
mod progress;
mod query;
mod simulate;
mod sweep;
mod worlds;

pub use moment::{Moment, Span};
pub use options::{Cli, Command};

use crate::problem::Problem;
use crate::scenario::InputError;
use std::fmt;
use std::io;

/// How a command ended: the exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done.
    Done,
    /// An assertion or gate failed.
    Failed,
    /// Wrong usage.
    Usage,
    /// Bad input; nothing was written.
    BadInput,
}

impl ExitStatus {
    /// The process' exit code.
    pub fn code(self) -> u8 {
        match self {
            ExitStatus::Done => 0,
            ExitStatus::Failed => 1,
            ExitStatus::Usage => 2,
            ExitStatus::BadInput => 3,
        }
    }
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Failure {
    /// Flags that contradict each other.
    Usage(String),
    /// A file, policy, query or trace that cannot be as it is.
    Input(Box<InputError>),
    /// Likewise, where no place in a file can be shown.
    Problem(Problem),
    /// A mistake of ours, with the command that replays it.
    Bug(String),
    /// Reading or writing failed.
    Io {
        /// What was read or written.
        what: String,
        /// Why it failed.
        error: io::Error,
    },
}

impl Failure {
    fn io(what: impl Into<String>, error: io::Error) -> Self {
        Failure::Io { what: what.into(), error }
    }
    fn status(&self) -> ExitStatus {
        match self {
            Failure::Usage(_) => ExitStatus::Usage,
            Failure::Input(_) | Failure::Problem(_) | Failure::Bug(_) | Failure::Io { .. } => {
                ExitStatus::BadInput
            }
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Failure::Input(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) => write!(f, "error: {message}"),
            Failure::Input(error) => write!(f, "{error}"),
            Failure::Problem(problem) => {
                write!(f, "error: {}", problem.message)?;
                problem.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
            }
            Failure::Bug(report) => write!(f, "error: {report}"),
            Failure::Io { what, error } => write!(f, "error: {what}: {error}"),
        }
    }
}

/// Runs a command.
///
/// # Errors
/// A [`Failure`] that [`report_failure`] turns into text and a status.
pub fn run(cli: Cli) -> Result<ExitStatus, Failure> {
    match cli.command {
        Command::Simulate(options) => simulate::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Query(options) => query::run(&options),
    }
}

/// Says on stderr why a command failed. A reader that went away (`dryscale … | head`) is no failure.
pub fn report_failure(failure: &Failure) -> ExitStatus {
    if let Failure::Io { error, .. } = failure
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitStatus::Done;
    }
    output::talk(&failure.to_string());
    failure.status()
}
