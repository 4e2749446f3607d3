//! What kube-state-metrics says about the Deployment (kubernetes/kube-state-metrics `internal/store/deployment.go`).

use super::labels::{Labels, METRIC_NAME};
use crate::units::Replicas;

/// The Deployment's numbers, as the API server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// `spec.replicas`.
    pub spec_replicas: Replicas,
    /// `status.replicas`.
    pub status_replicas: Replicas,
    /// `status.readyReplicas`.
    pub ready_replicas: Replicas,
}

/// The families, in the order of [`page`].
const FAMILIES: [&str; 6] = [
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas",
    "kube_deployment_status_replicas_ready",
    "kube_deployment_status_replicas_available",
    "kube_deployment_status_replicas_unavailable",
    "kube_deployment_status_replicas_updated",
];

/// The series about one Deployment, without the target's labels.
pub fn columns(namespace: &str, deployment: &str) -> Vec<Labels> {
    let column = |family: &str| {
        Labels::new([(METRIC_NAME, family), ("namespace", namespace), ("deployment", deployment)])
    };
    FAMILIES.iter().map(|family| column(family)).collect()
}

/// The labels of the kube-state-metrics target itself, as kube-prometheus-stack deploys it.
pub fn target_labels() -> Labels {
    Labels::new([
        ("job", "kube-state-metrics"),
        ("endpoint", "http"),
        ("service", "kube-state-metrics"),
        ("container", "kube-state-metrics"),
        ("pod", "kube-state-metrics-0"),
        ("instance", "10.0.0.2:8080"),
    ])
}

/// The values, in the order of [`columns`].
///
/// Without `minReadySeconds` a ready pod is available, and what its ReplicaSet should have beyond that is unavailable
/// (Kubernetes `pkg/controller/deployment/sync.go`, `calculateStatus`). Without a rollout every pod is of the latest
/// template.
pub fn page(status: DeploymentStatus) -> [f64; 6] {
    let DeploymentStatus { spec_replicas: spec, status_replicas, ready_replicas: ready } = status;
    let unavailable = (spec - ready.min(spec)).max(Replicas::ZERO);
    [spec, status_replicas, ready, ready, unavailable, status_replicas]
        .map(|replicas| f64::from(replicas.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_series_a_family_with_the_deployments_labels() {
        let columns = columns("llm", "llama");
        let status = DeploymentStatus {
            spec_replicas: Replicas(3),
            status_replicas: Replicas(2),
            ready_replicas: Replicas(1),
        };
        assert_eq!(columns.len(), page(status).len());
        assert_eq!(columns[1].get(METRIC_NAME), "kube_deployment_status_replicas");
        assert!(
            columns
                .iter()
                .all(|labels| labels.get("deployment") == "llama" && labels.get("namespace") == "llm")
        );
        assert_eq!(page(status), [3.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
