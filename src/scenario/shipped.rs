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
    "aibrix-apa",
    "aibrix-kpa",
    "batch-occupancy",
    "concurrency",
    "e2e-p95-and-queue",
    "gateway-queue-and-running",
    "gpu-utilization",
    "keepalive-scale-to-zero",
    "knative-kpa",
    "kserve-running-raw",
    "kthena-decode",
    "kthena-prefill",
    "kv-cache-avg",
    "kv-cache-avg-80",
    "kv-cache-sum",
    "pending-discount",
    "plain-hpa-pods",
    "pool-saturation",
    "queue-avg",
    "queue-raw",
    "queue-threshold-2",
    "queue-with-behavior",
    "request-rate",
    "running-per-replica",
    "scheduled-bounds",
    "slo-saturation",
    "token-backlog",
    "token-throughput",
    "tpot-p95",
    "ttft-mean",
    "ttft-p95",
    "ttft-p99-average",
    "weighted-queue",
    "wva",
    "wva-keda",
);

const EXPERIMENTS: &[Shipped] = embed!("experiments": "default", "thresholds");

const MODELS: &[Shipped] = embed!("models":
    "gpt-oss-120b-h100-80gb-tp1",
    "gpt-oss-120b-h200-tp1",
    "gpt-oss-120b-l40s-tp1",
    "gpt-oss-20b-h200-tp1",
    "llama-3.1-8b-a100-80gb-tp1",
    "llama-3.1-8b-a100-80gb-tp2",
    "llama-3.1-8b-a100-80gb-tp4",
    "llama-3.1-8b-b200-tp1",
    "llama-3.1-8b-b200-tp2",
    "llama-3.1-8b-b200-tp4",
    "llama-3.1-8b-h100-80gb-tp1",
    "llama-3.1-8b-h100-80gb-tp4",
    "llama-3.1-8b-h200-tp2",
    "llama-3.1-8b-l40s-tp2",
    "llama-3.1-8b-l40s-tp4",
    "llama-3.2-3b-a100-80gb-tp1",
    "llama-3.2-3b-h100-80gb-tp1",
    "llama-3.3-70b-a100-80gb-tp8",
    "llama-3.3-70b-b200-tp2",
    "llama-3.3-70b-fp8-b200-tp2",
    "llama-3.3-70b-fp8-b200-tp4",
    "llama-3.3-70b-fp8-h100-80gb-tp2",
    "llama-3.3-70b-fp8-h100-80gb-tp4",
    "llama-3.3-70b-fp8-h200-tp4",
    "llama-3.3-70b-fp8-l40s-tp2",
    "llama-3.3-70b-h100-80gb-tp2",
    "llama-3.3-70b-h100-80gb-tp8",
    "llama-3.3-70b-h200-tp4",
    "llama-3.3-70b-l40s-tp4",
    "llama-3.3-70b-l40s-tp8",
    "qwen3-14b-a100-80gb-tp2",
    "qwen3-14b-b200-tp1",
    "qwen3-14b-h100-80gb-tp1",
    "qwen3-14b-h200-tp1",
    "qwen3-14b-h200-tp2",
    "qwen3-14b-l40s-tp1",
    "qwen3-30b-a3b-a100-80gb-tp1",
    "qwen3-30b-a3b-a100-80gb-tp2",
    "qwen3-30b-a3b-b200-tp2",
    "qwen3-30b-a3b-h100-80gb-tp2",
    "qwen3-30b-a3b-h200-tp1",
    "qwen3-30b-a3b-h200-tp2",
    "qwen3-30b-a3b-l40s-tp2",
    "qwen3-32b-a100-80gb-tp1",
    "qwen3-32b-a100-80gb-tp2",
    "qwen3-32b-a100-80gb-tp4",
    "qwen3-32b-b200-tp1",
    "qwen3-32b-b200-tp2",
    "qwen3-32b-b200-tp4",
    "qwen3-32b-fp8-b200-tp1",
    "qwen3-32b-h100-80gb-tp1",
    "qwen3-32b-h100-80gb-tp2",
    "qwen3-32b-h100-80gb-tp4",
    "qwen3-32b-h200-tp4",
    "qwen3-32b-l40s-tp2",
    "qwen3-32b-l40s-tp4",
    "qwen3-8b-a100-80gb-tp2",
    "qwen3-8b-h100-80gb-tp1",
    "qwen3-8b-h100-80gb-tp2",
    "qwen3-8b-h200-tp1",
    "qwen3-8b-h200-tp2",
    "qwen3-8b-l40s-tp2",
);

/// GPUs that model files name.
const GPUS: &str = include_str!("../../models/gpus.toml");
/// Architectures that model files name.
const ARCHITECTURES: &str = include_str!("../../models/architectures.toml");

impl Kind {
    /// The folder of that kind.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Policy => "policies",
            Kind::Experiment => "experiments",
            Kind::Model => "models",
        }
    }

    /// The page of the reference that lists what ships.
    pub fn page(self) -> &'static str {
        match self {
            Kind::Policy => "docs/policy.md",
            Kind::Experiment => "docs/experiment.md",
            Kind::Model => "docs/models.md",
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

/// `models/gpus.toml`.
pub(super) fn gpus() -> Arc<SourceText> {
    SourceText::new("models/gpus.toml", GPUS)
}

/// `models/architectures.toml`.
pub(super) fn architectures() -> Arc<SourceText> {
    SourceText::new("models/architectures.toml", ARCHITECTURES)
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
                // What models are made of, embedded by themselves.
                .filter(|name| kind != Kind::Model || !["gpus", "architectures"].contains(&name.as_str()))
                .collect();
            files.sort();
            assert_eq!(kind.names().collect::<Vec<_>>(), files, "{}", kind.folder());
        }
    }

    #[test]
    fn a_shipped_file_is_found_by_each_of_its_names() {
        for name in ["concurrency", "concurrency.toml", "policies/concurrency", "./policies/concurrency.toml"]
        {
            assert_eq!(Kind::Policy.shipped(name).unwrap().name(), "policies/concurrency.toml", "{name}");
        }
        for name in
            ["", "Concurrency", "concurrency.yaml", "x/policies/concurrency", "experiments/concurrency"]
        {
            assert_eq!(Kind::Policy.shipped(name), None, "{name}");
        }
    }
}
