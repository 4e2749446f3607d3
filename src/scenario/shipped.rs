//! What is embedded in the program: it works in an empty directory.

use super::source_text::SourceText;
use std::sync::Arc;

/// A kind of file that ships, and the folder of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `policies/`.
    Policy,
    /// `experiments/`.
    Experiment,
    /// `models/`.
    Model,
}

/// Name without `.toml`, and text.
type Shipped = (&'static str, &'static str);

macro_rules! embed {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../", $folder, "/", $name, ".toml")))),*]
    };
}

const POLICIES: &[Shipped] = embed!("policies":
    "concurrency",
    "kv-cache-sum",
    "queue-threshold-2",
    "queue-with-behavior",
    "token-throughput",
    "ttft-p95",
);

const EXPERIMENTS: &[Shipped] = embed!("experiments": "default", "thresholds");

const MODELS: &[Shipped] = embed!("models":);

impl Kind {
    /// The folder of that kind.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Policy => "policies",
            Kind::Experiment => "experiments",
            Kind::Model => "models",
        }
    }

    /// What one such file is called.
    pub fn noun(self) -> &'static str {
        match self {
            Kind::Policy => "policy",
            Kind::Experiment => "experiment",
            Kind::Model => "model",
        }
    }

    fn all(self) -> &'static [Shipped] {
        match self {
            Kind::Policy => POLICIES,
            Kind::Experiment => EXPERIMENTS,
            Kind::Model => MODELS,
        }
    }

    /// The names that ship, sorted.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.all().iter().map(|(name, _)| *name)
    }

    /// The shipped text of `name`, which may be given with its folder and with `.toml`.
    pub fn shipped(self, name: &str) -> Option<Arc<SourceText>> {
        let bare = name.strip_prefix("./").unwrap_or(name);
        let bare = bare.strip_prefix(self.folder()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(bare);
        let bare = bare.strip_suffix(".toml").unwrap_or(bare);
        let (name, text) = self.all().iter().find(|(name, _)| *name == bare)?;
        Some(SourceText::new(format!("{}/{name}.toml", self.folder()), *text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folders_is_embedded() {
        for kind in [Kind::Policy, Kind::Experiment, Kind::Model] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind.folder());
            let mut files: Vec<String> = std::fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(kind.names().collect::<Vec<_>>(), files, "{}", kind.folder());
        }
    }

    #[test]
    fn a_shipped_file_is_found_by_each_of_its_names() {
        for name in ["concurrency", "concurrency.toml", "policies/concurrency", "./policies/concurrency.toml"] {
            assert_eq!(Kind::Policy.shipped(name).unwrap().name(), "policies/concurrency.toml", "{name}");
        }
        for name in ["", "Concurrency", "concurrency.yaml", "x/policies/concurrency", "experiments/concurrency"] {
            assert_eq!(Kind::Policy.shipped(name), None, "{name}");
        }
    }
}
