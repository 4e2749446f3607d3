//! From what a user names (a file, a shipped name, stdin) to its text.

use super::input_error::InputError;
use super::shipped::Kind;
use super::source_text::SourceText;
use crate::nearest::nearest;
use crate::problem::Problem;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where to look.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// What came on stdin, for `-`.
    pub(super) stdin: Option<Arc<SourceText>>,
    /// The folder of the file that names other files; they are looked for there first, then where the program runs.
    pub(super) folder: Option<PathBuf>,
    /// Files that were read, so that each is read once, however many scenarios it is part of: all of them are of the same
    /// text, and a pipe, as `<(command)` is one, has its text only once.
    pub(super) read: Arc<Mutex<BTreeMap<PathBuf, Arc<SourceText>>>>,
}

impl Places {
    /// The text that `reference` names: a file, else something that ships. A file of that path wins.
    ///
    /// # Errors
    /// A file that cannot be read, or a name of neither; the nearest shipped name is offered.
    pub(super) fn text(&self, kind: Kind, reference: &str) -> Result<Arc<SourceText>, Box<Unfound>> {
        if reference == "-" {
            return self.stdin.clone().ok_or_else(|| {
                let problem = Problem::whole("there is nothing on stdin to read");
                Box::new(Unfound::Problem(problem))
            });
        }
        if let Some(path) = self.path(reference) {
            return self.read(path).map_err(|error| Box::new(Unfound::Error(error)));
        }
        kind.shipped(reference).ok_or_else(|| Box::new(Unfound::Problem(nothing_called(kind, reference))))
    }

    fn read(&self, path: PathBuf) -> Result<Arc<SourceText>, InputError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = read.get(&path) {
            return Ok(Arc::clone(text));
        }
        let text = SourceText::read(&path)?;
        read.insert(path, Arc::clone(&text));
        Ok(text)
    }

    /// The file that `reference` names, if there is one.
    pub(super) fn path(&self, reference: &str) -> Option<PathBuf> {
        let beside = self.folder.as_ref().map(|folder| folder.join(reference));
        beside.into_iter().chain([PathBuf::from(reference)]).find(|path| is_file(path))
    }
}

/// Why there is no text.
#[derive(Debug)]
pub(super) enum Unfound {
    /// A file that cannot be read: the error has its place.
    Error(InputError),
    /// A name that leads nowhere: the place is where the name was written.
    Problem(Problem),
}

impl Unfound {
    /// The error; a problem is put where `place` says.
    pub(super) fn at(self, place: impl FnOnce(Problem) -> InputError) -> InputError {
        match self {
            Unfound::Error(error) => error,
            Unfound::Problem(problem) => place(problem),
        }
    }
}

/// Whether something that can be read is there; pipes and devices too, as `<(command)` is one.
fn is_file(path: &Path) -> bool {
    !path.as_os_str().is_empty() && path.metadata().is_ok_and(|metadata| !metadata.is_dir())
}

fn nothing_called(kind: Kind, reference: &str) -> Problem {
    let noun = kind.noun();
    if !reference.is_empty() && Path::new(reference).is_dir() {
        let problem = Problem::whole(format!("`{reference}` is a directory, not a file"));
        return problem.help(format!("name the {noun}'s file"));
    }
    let problem =
        Problem::whole(format!("there is no file `{reference}` and no shipped {noun} of that name"));
    let bare = Path::new(reference).file_stem().and_then(|stem| stem.to_str()).unwrap_or(reference);
    let names: Vec<&str> = kind.names().collect();
    match nearest(bare, names.iter().copied()) {
        Some(near) => problem.help(format!("did you mean the shipped {noun} `{near}`?")),
        // All names of a short list; a long one would hide the message.
        None if names.len() <= 12 => problem.help(format!("shipped: {}", names.join(", "))),
        None => problem.help(format!("{} lists those that ship", kind.page())),
    }
}
