//! Files that are there whole or not at all.

use crate::problem::Problem;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to a temporary name beside `path` and renames it, so that `path` holds its old content or the new one,
/// whatever happens in between.
///
/// # Errors
/// The folder of `path` does not exist or cannot be written, or the disk is full; `path` is then as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let partial = partial(path).map_err(|error| cannot_write(path, &error))?;
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        // A full disk may show only here, and the rename must not come before the content.
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&partial);
        cannot_write(path, &error)
    })
}

/// A name beside `path` that no other process uses.
pub(super) fn partial(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a name"))?;
    let name = format!(".{}.partial-{}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Problem {
    Problem::whole(format!("cannot write {}: {error}", path.display())).help("choose another output")
}
