//! What NVIDIA's dcgm-exporter says of a node's GPUs.
//!
//! `DCGM_FI_DEV_GPU_UTIL` is NVML's `utilization.gpu`: the share of the last sample period, one second at most, during
//! which a kernel ran. The exporter reads it every `--collect-interval` (30 s; dcgm-exporter `pkg/cmd/app.go`) and shows
//! what it read last, so a scrape sees a second of the past that lies up to half a minute back. A kernel is taken to run
//! as long as a step does.
//!
//! Labels are those of dcgm-exporter until 4.5 (`internal/pkg/rendermetrics`, `internal/pkg/transformation`): a GPU that a
//! pod holds bears the pod's name, any other does not.

use super::exposition::Page;
use super::labels::Labels;
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::SimDuration;
use serde::Deserialize;

/// `[monitoring.dcgm]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DcgmSpec {
    /// `--collect-interval`, from one reading to the next; dcgm-exporter's 30 s when left out.
    pub collect_interval: Seconds,
    /// The time before a reading that it tells of; NVML's longest, 1 s, when left out.
    pub sample_period: Seconds,
    /// `honorLabels` of its ServiceMonitor: a GPU's series bear namespace, pod and container of the pod that holds it, and
    /// not the exporter's. True when left out; the exporter's own chart says false, and then the pod's are called
    /// `exported_namespace`, `exported_pod` and `exported_container`.
    pub honor_labels: bool,
}

impl Default for DcgmSpec {
    fn default() -> Self {
        DcgmSpec {
            collect_interval: Seconds(SimDuration::from_secs(30)),
            sample_period: Seconds(SimDuration::from_secs(1)),
            honor_labels: true,
        }
    }
}

/// DCGM takes no shorter one.
const COLLECT_INTERVAL_MIN: SimDuration = SimDuration::from_millis(100);

impl DcgmSpec {
    /// Refuses what cannot be, with keys relative to `monitoring.dcgm`.
    ///
    /// # Errors
    /// An interval that is too short, or a sample period of no time or longer than it.
    pub fn check(&self) -> Result<(), Problem> {
        if self.collect_interval.duration() < COLLECT_INTERVAL_MIN {
            let problem = Problem::key("collect_interval", "the exporter cannot read that often");
            return Err(problem.help("at least \"100ms\"; 30 seconds are usual"));
        }
        if self.sample_period.duration().is_zero() || self.sample_period > self.collect_interval {
            let problem =
                Problem::key("sample_period", "a reading tells of the time since the one before at most");
            return Err(problem.help("above 0, at most `collect_interval`"));
        }
        Ok(())
    }
}

/// One GPU of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu<'a> {
    /// The pod that holds it.
    pub pod: Option<&'a str>,
    /// Its utilization when it was last read, in percent; `None` before the first reading.
    pub utilization: Option<u32>,
}

/// The exporter of every node: what is the same on all of them.
#[derive(Clone, Debug)]
pub struct DcgmMetrics {
    namespace: String,
    container: String,
    model_name: String,
    honor_labels: bool,
}

/// Where the exporters run, as NVIDIA's GPU operator deploys them.
const NAMESPACE: &str = "gpu-operator";
const NAME: &str = "nvidia-dcgm-exporter";

impl DcgmMetrics {
    /// Exporters that see pods in `namespace` with one container of this name, on GPUs called `gpu`: `NVIDIA A100 80GB`.
    pub fn new(spec: &DcgmSpec, namespace: &str, container: &str, gpu: &str) -> Self {
        DcgmMetrics {
            namespace: namespace.to_owned(),
            container: container.to_owned(),
            model_name: gpu.to_owned(),
            honor_labels: spec.honor_labels,
        }
    }

    /// The labels of the target on this node, the `ordinal`th.
    pub fn target_labels(node: &str, ordinal: u32) -> Labels {
        let instance = format!("10.129.{}.{}:9400", ordinal / 250 % 256, ordinal % 250 + 2);
        Labels::new([
            ("namespace", NAMESPACE),
            ("job", NAME),
            ("service", NAME),
            ("pod", &format!("{NAME}-{node}")),
            ("container", NAME),
            ("endpoint", "gpu-metrics"),
            ("instance", &instance),
            ("node", node),
        ])
    }

    /// The page of the node, whose GPUs are in order of their index.
    pub fn page<'a>(&self, node: &str, gpus: impl IntoIterator<Item = Gpu<'a>>) -> Page {
        let mut page = Page::new();
        for (index, gpu) in gpus.into_iter().enumerate() {
            let Some(utilization) = gpu.utilization else { continue };
            let (number, device) = (index.to_string(), format!("nvidia{index}"));
            let uuid = format!("GPU-{node}-{index}");
            let mut labels = vec![
                ("gpu", number.as_str()),
                ("UUID", &uuid),
                ("device", &device),
                ("modelName", &self.model_name),
                ("Hostname", node),
            ];
            if let Some(pod) = gpu.pod {
                let [namespace, name, container] = self.pod_labels();
                labels.extend([
                    (namespace, self.namespace.as_str()),
                    (name, pod),
                    (container, &self.container),
                ]);
            }
            page.push("DCGM_FI_DEV_GPU_UTIL", &labels, utilization.into());
        }
        page
    }

    fn pod_labels(&self) -> [&'static str; 3] {
        if self.honor_labels {
            ["namespace", "pod", "container"]
        } else {
            ["exported_namespace", "exported_pod", "exported_container"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_bears_the_name_of_the_pod_that_holds_it() {
        let gpus = [
            Gpu { pod: Some("llama-0"), utilization: Some(97) },
            Gpu { pod: None, utilization: Some(0) },
            Gpu { pod: Some("llama-1"), utilization: None },
        ];
        for honor_labels in [true, false] {
            let spec = DcgmSpec { honor_labels, ..DcgmSpec::default() };
            let exporter = DcgmMetrics::new(&spec, "llm", "kserve-container", "NVIDIA A100");
            let page = exporter.page("gpu-0", gpus);
            let [(held, 97.0), (free, 0.0)] = page.series() else { panic!("{page:?}") };
            let target = DcgmMetrics::target_labels("gpu-0", 0);
            let (held, free) = (held.over(&target), free.over(&target));
            let names =
                if honor_labels { ["namespace", "pod"] } else { ["exported_namespace", "exported_pod"] };
            assert_eq!(names.map(|name| held.get(name)), ["llm", "llama-0"]);
            assert_eq!(
                (free.get("namespace"), free.get("pod"), free.get("gpu")),
                ("gpu-operator", "nvidia-dcgm-exporter-gpu-0", "1")
            );
        }
    }

    #[test]
    fn intervals_are_checked() {
        DcgmSpec::default().check().expect("the defaults");
        for (text, key) in [
            ("collect_interval = 0", "collect_interval"),
            ("sample_period = 0", "sample_period"),
            ("collect_interval = '1s'\nsample_period = '2s'", "sample_period"),
        ] {
            let spec: DcgmSpec = toml::from_str(text).expect(text);
            assert!(spec.check().expect_err(text).to_string().starts_with(key), "{text}");
        }
    }
}
