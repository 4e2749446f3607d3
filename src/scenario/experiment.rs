//! An experiment.

/// Which workload is scaled, and under which names its series are found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Namespace of the pods.
    pub namespace: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// vLLM's `--served-model-name`: the `model_name` label.
    pub model: String,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            namespace: "llm".to_owned(),
            deployment: "llama-32-3b-predictor".to_owned(),
            model: "meta-llama/Llama-3.2-3B".to_owned(),
        }
    }
}
