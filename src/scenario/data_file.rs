//! Files that a workload names: traces and tables. They are opened as they are needed and never kept.

use super::source_text::sha256_of;
use crate::problem::Problem;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Finds, opens and hashes data files; a file is hashed once, however many worlds use it.
#[derive(Debug)]
pub(super) struct DataFiles {
    /// The experiment's folder, where names are looked for before the folder in which the program runs.
    folder: Option<PathBuf>,
    hashes: Mutex<BTreeMap<PathBuf, String>>,
}

impl DataFiles {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        DataFiles { folder, hashes: Mutex::new(BTreeMap::new()) }
    }

    /// Opens the file called `name`.
    pub(super) fn open(&self, name: &str) -> Result<Box<dyn BufRead + Send>, Problem> {
        let path = self.path(name);
        // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Problem::whole(format!("`{name}` is a directory, not a file")));
            }
            Ok(metadata) if !metadata.is_file() => {
                let problem = Problem::whole(format!("`{name}` is a pipe or a device, not a file"));
                return Err(problem.help("write it to a file first: it is read several times"));
            }
            // Opening says why.
            Ok(_) | Err(_) => {}
        }
        match File::open(&path) {
            Ok(file) => Ok(Box::new(BufReader::with_capacity(1 << 16, file))),
            Err(error) => Err(Problem::whole(format!("`{name}` cannot be opened: {error}"))),
        }
    }

    /// SHA-256 of the file called `name`.
    pub(super) fn sha256(&self, name: &str) -> Result<String, Problem> {
        let path = self.path(name);
        let known = self.hashes.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
        if let Some(hash) = known {
            return Ok(hash);
        }
        let hash = File::open(&path).and_then(sha256_of);
        let hash = hash.map_err(|error| Problem::whole(format!("`{name}` cannot be read: {error}")))?;
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).insert(path, hash.clone());
        Ok(hash)
    }

    fn path(&self, name: &str) -> PathBuf {
        let beside = self.folder.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists());
        beside.unwrap_or_else(|| PathBuf::from(name))
    }
}
