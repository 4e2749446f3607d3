//! The two channels: data to stdout, talk to stderr.

use super::Failure;
use std::io::{self, Read, Write};

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
pub(super) fn stdin_bytes(limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| Failure::io("stdin", error))?;
    Ok(bytes)
}
