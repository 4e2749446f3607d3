//! What llm-d's Workload Variant Autoscaler says at `/metrics` (llm-d/llm-d-workload-variant-autoscaler v0.5.1,
//! `internal/constants/metrics.go`, `internal/metrics/metrics.go`).

use super::exposition::Page;
use super::labels::Labels;
use crate::units::Replicas;

/// The gauge that an HPA or KEDA follows.
const DESIRED_REPLICAS: &str = "wva_desired_replicas";
const CURRENT_REPLICAS: &str = "wva_current_replicas";
const DESIRED_RATIO: &str = "wva_desired_ratio";

/// The WVA's exporter, for one variant: the Deployment.
#[derive(Clone, Debug)]
pub struct WvaMetrics {
    namespace: String,
    deployment: String,
    accelerator: String,
}

impl WvaMetrics {
    /// The exporter for the Deployment, whose pods run on `accelerator`.
    pub fn new(namespace: &str, deployment: &str, accelerator: &str) -> Self {
        let [namespace, deployment, accelerator] = [namespace, deployment, accelerator].map(str::to_owned);
        WvaMetrics { namespace, deployment, accelerator }
    }

    /// The labels of the WVA's own target, as its chart deploys it.
    pub fn target_labels() -> Labels {
        let service = "workload-variant-autoscaler-controller-manager-metrics-service";
        Labels::new([
            ("namespace", "workload-variant-autoscaler-system"),
            ("job", service),
            ("service", service),
            ("pod", "workload-variant-autoscaler-controller-manager-0"),
            ("container", "manager"),
            ("endpoint", "https"),
            ("instance", "10.0.0.6:8443"),
        ])
    }

    /// The page: nothing before the first size was asked for. Its own label `namespace` gives way to the target's and becomes
    /// `exported_namespace`.
    pub fn page(&self, desired: Option<Replicas>, current: Replicas) -> Page {
        let mut page = Page::new();
        let Some(desired) = desired.map(|replicas| f64::from(replicas.get())) else { return page };
        let current = f64::from(current.get());
        let labels = [
            ("variant_name", self.deployment.as_str()),
            ("exported_namespace", self.namespace.as_str()),
            ("accelerator_type", self.accelerator.as_str()),
        ];
        page.push(DESIRED_REPLICAS, &labels, desired);
        page.push(CURRENT_REPLICAS, &labels, current);
        // Of no replicas the ratio is the size itself.
        page.push(DESIRED_RATIO, &labels, if current == 0.0 { desired } else { desired / current });
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_bears_variant_and_namespace_once_it_is_set() {
        let metrics = WvaMetrics::new("llm", "llama", "A100");
        assert!(metrics.page(None, Replicas(2)).series().is_empty());
        let page = metrics.page(Some(Replicas(3)), Replicas(2));
        let (labels, value) = &page.series()[0];
        assert_eq!(
            (labels.get("variant_name"), labels.get("exported_namespace"), *value),
            ("llama", "llm", 3.0)
        );
        assert_eq!(page.series()[2].1, 1.5);
        assert_eq!(metrics.page(Some(Replicas(1)), Replicas(0)).series()[2].1, 1.0);
    }
}
