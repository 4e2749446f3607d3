//! The two channels: data to stdout, talk to stderr.

use super::Failure;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes data to stdout, with a newline at its end.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{newline}").and_then(|()| out.flush()).map_err(|error| Failure::io("stdout", error))
}

/// Writes a line to stderr. Whoever closed it does not want to hear.
pub(super) fn talk(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// All of stdin, at most `limit` bytes.
pub(super) fn stdin_text(limit: u64) -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(limit).read_to_string(&mut text).map_err(|error| Failure::io("stdin", error))?;
    Ok(text)
}

/// Writes a whole file: to a temporary name beside it, then renamed, so that no reader sees half of it.
pub(super) fn file(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |error| Failure::io(path.display().to_string(), error);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp{}", std::process::id()));
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, text).map_err(fail)?;
    std::fs::rename(&temporary, path).map_err(fail)
}
