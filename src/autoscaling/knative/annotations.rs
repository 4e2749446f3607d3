//! A revision's annotations `autoscaling.knative.dev/...`, as manifests carry them (`pkg/apis/autoscaling/register.go`).

use super::config::KPA_CLASS;
use super::go_duration::GoDuration;
use super::spec::{KnativeSpec, Metric, MetricAggregationAlgorithm};
use crate::autoscaling::go;
use crate::nearest::suggestion;
use crate::problem::Problem;
use indexmap::IndexMap;
use std::str::FromStr;

/// The prefix of the autoscaler's annotations.
const GROUP: &str = "autoscaling.knative.dev/";

/// The one that concerns the Deployment, too.
const PROGRESS_DEADLINE: &str = "serving.knative.dev/progress-deadline";

/// Names without their prefix, those of Knative's own spelling; some have an older one in camelCase.
const NAMES: [&str; 15] = [
    "class",
    "metric",
    "target",
    "target-utilization-percentage",
    "min-scale",
    "max-scale",
    "initial-scale",
    "activation-scale",
    "window",
    "panic-window-percentage",
    "panic-threshold-percentage",
    "target-burst-capacity",
    "scale-down-delay",
    "scale-to-zero-pod-retention-period",
    "metric-aggregation-algorithm",
];

/// Those that never had another spelling.
const KEBAB_CASE_ONLY: [&str; 5] = ["class", "metric", "target", "activation-scale", "window"];

impl KnativeSpec {
    /// Reads the annotations of a revision; those of others do not matter. The rest of the spec is left out.
    ///
    /// # Errors
    /// Every annotation of this group that is not one of Knative's, or whose text it could not read; keys are
    /// `annotations.autoscaling.knative.dev/...`.
    pub fn from_annotations(annotations: &IndexMap<String, String>) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { annotations, problems: Vec::new() };
        reader.refuse_unknown();
        reader.refuse_other_classes();
        let spec = KnativeSpec {
            metric: reader.read("metric", metric, "`concurrency` or `rps`"),
            target: reader.number("target"),
            target_utilization_percentage: reader.number("target-utilization-percentage"),
            min_scale: reader.scale("min-scale"),
            max_scale: reader.scale("max-scale"),
            initial_scale: reader.scale("initial-scale"),
            activation_scale: reader.scale("activation-scale"),
            window: reader.duration("window"),
            panic_window_percentage: reader.number("panic-window-percentage"),
            panic_threshold_percentage: reader.number("panic-threshold-percentage"),
            target_burst_capacity: reader.number("target-burst-capacity"),
            scale_down_delay: reader.duration("scale-down-delay"),
            scale_to_zero_pod_retention_period: reader.duration("scale-to-zero-pod-retention-period"),
            metric_aggregation_algorithm: reader.read(
                "metric-aggregation-algorithm",
                algorithm,
                "`linear` or `weighted-exponential`",
            ),
            progress_deadline: reader.progress_deadline(),
            ..KnativeSpec::default()
        };
        if reader.problems.is_empty() { Ok(spec) } else { Err(reader.problems) }
    }
}

/// Reads one annotation after the other.
struct Reader<'a> {
    annotations: &'a IndexMap<String, String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Key and text of an annotation. The newer spelling goes before the older one.
    fn get(&self, name: &str) -> Option<(String, &'a str)> {
        let keys = [name.to_owned(), camel_case(name)].map(|spelling| format!("{GROUP}{spelling}"));
        let count = if KEBAB_CASE_ONLY.contains(&name) { 1 } else { 2 };
        keys.into_iter()
            .take(count)
            .find_map(|key| self.annotations.get(&key).map(|text| (key.clone(), text.as_str())))
    }

    fn refuse(&mut self, key: &str, message: String, help: Option<String>) {
        let mut problem = Problem::key(format!("annotations.{key}"), message);
        problem.help = help;
        self.problems.push(problem);
    }

    fn refuse_unknown(&mut self) {
        for key in self.annotations.keys() {
            let Some(name) = key.strip_prefix(GROUP) else { continue };
            let older = |known: &&str| !KEBAB_CASE_ONLY.contains(known) && camel_case(known) == name;
            if !NAMES.contains(&name) && !NAMES.iter().any(older) {
                let message = format!("Knative has no annotation `{key}` and would ignore it");
                self.refuse(key, message, suggestion(name, &NAMES));
            }
        }
    }

    fn refuse_other_classes(&mut self) {
        if let Some((key, class)) = self.get("class").filter(|(_, class)| *class != KPA_CLASS) {
            let message = format!("the autoscaler `{class}` is not simulated here");
            self.refuse(&key, message, Some(format!("only `{KPA_CLASS}` is")));
        }
    }

    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>, wanted: &str) -> Option<T> {
        let (key, text) = self.get(name)?;
        let value = parse(text);
        if value.is_none() {
            self.refuse(&key, format!("`{text}` is not {wanted}"), Some(format!("give {wanted}")));
        }
        value
    }

    fn number(&mut self, name: &str) -> Option<f64> {
        self.read(name, |text| f64::from_str(text).ok(), "a number")
    }

    fn scale(&mut self, name: &str) -> Option<i32> {
        self.read(name, |text| i32::from_str(text).ok(), "a number of pods")
    }

    fn duration(&mut self, name: &str) -> Option<GoDuration> {
        self.read(name, duration, "a length of time such as `60s` or `1m30s`")
    }

    fn progress_deadline(&mut self) -> Option<GoDuration> {
        // An empty text counts as none.
        let text = self.annotations.get(PROGRESS_DEADLINE).filter(|text| !text.is_empty())?;
        let deadline = duration(text);
        if deadline.is_none() {
            let message = format!("`{text}` is not a length of time");
            self.refuse(PROGRESS_DEADLINE, message, Some("such as `600s`".to_owned()));
        }
        deadline
    }
}

fn metric(text: &str) -> Option<Metric> {
    match text {
        "concurrency" => Some(Metric::Concurrency),
        "rps" => Some(Metric::Rps),
        _ => None,
    }
}

fn algorithm(text: &str) -> Option<MetricAggregationAlgorithm> {
    match text {
        "" | "linear" => Some(MetricAggregationAlgorithm::Linear),
        "weighted-exponential" | "weightedExponential" => {
            Some(MetricAggregationAlgorithm::WeightedExponential)
        }
        _ => None,
    }
}

fn duration(text: &str) -> Option<GoDuration> {
    go::parse_duration(text).map(GoDuration)
}

/// `min-scale` as `minScale`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('-');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<KnativeSpec, Vec<String>> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        KnativeSpec::from_annotations(&pairs.iter().map(pair).collect())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn both_spellings_are_read_and_the_newer_goes_first() {
        let spec = read(&[
            ("autoscaling.knative.dev/class", "kpa.autoscaling.knative.dev"),
            ("autoscaling.knative.dev/metric", "rps"),
            ("autoscaling.knative.dev/target", "7.5"),
            ("autoscaling.knative.dev/minScale", "2"),
            ("autoscaling.knative.dev/maxScale", "4"),
            ("autoscaling.knative.dev/max-scale", "5"),
            ("autoscaling.knative.dev/panicThresholdPercentage", "150.0"),
            ("autoscaling.knative.dev/window", "1m30s"),
            ("autoscaling.knative.dev/metricAggregationAlgorithm", "weightedExponential"),
            ("serving.knative.dev/progress-deadline", "20m"),
            ("prometheus.io/scrape", "true"),
        ]);
        let expected = KnativeSpec {
            metric: Some(Metric::Rps),
            target: Some(7.5),
            min_scale: Some(2),
            max_scale: Some(5),
            panic_threshold_percentage: Some(150.0),
            window: Some(GoDuration::from_secs(90)),
            metric_aggregation_algorithm: Some(MetricAggregationAlgorithm::WeightedExponential),
            progress_deadline: Some(GoDuration::from_secs(1200)),
            ..KnativeSpec::default()
        };
        assert_eq!(spec, Ok(expected));
    }

    #[test]
    fn what_knative_would_ignore_or_could_not_read_is_refused() {
        for (key, value, start) in [
            ("autoscaling.knative.dev/targt", "7", "annotations.autoscaling.knative.dev/targt: "),
            (
                "autoscaling.knative.dev/activationScale",
                "7",
                "annotations.autoscaling.knative.dev/activationS",
            ),
            ("autoscaling.knative.dev/class", "hpa.autoscaling.knative.dev", "annotations.autoscaling"),
            ("autoscaling.knative.dev/metric", "cpu", "annotations.autoscaling.knative.dev/metric: `cpu`"),
            ("autoscaling.knative.dev/minScale", "1.5", "annotations.autoscaling.knative.dev/minScale: "),
            ("autoscaling.knative.dev/window", "60", "annotations.autoscaling.knative.dev/window: `60`"),
            ("autoscaling.knative.dev/target", "", "annotations.autoscaling.knative.dev/target: "),
            ("serving.knative.dev/progress-deadline", "soon", "annotations.serving.knative.dev/progress"),
        ] {
            let found = read(&[(key, value)]).expect_err(key);
            assert!(found.len() == 1 && found[0].starts_with(start), "{key}: {found:?}");
        }
    }
}
