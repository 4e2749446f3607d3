//! A trigger's metadata being read, as `pkg/scalers/scalersconfig/typed_config.go` (v2.20.2) reads them: trimmed, and empty
//! is missing.

use super::scaled_object::{MetricType, Trigger};
use super::version::KedaVersion;
use crate::autoscaling::go;
use crate::nearest::nearest;
use crate::problem::Problem;
use indexmap::IndexMap;

/// The metadata of one trigger, and what is wrong with them.
pub(super) struct Metadata<'a> {
    scaler: &'static str,
    given: &'a IndexMap<String, String>,
    pub(super) version: KedaVersion,
    problems: Vec<Problem>,
}

impl<'a> Metadata<'a> {
    /// The metadata of a trigger of type `scaler`; a key that is neither among `deciding` nor among `others` is a problem,
    /// since KEDA would ignore it silently.
    pub(super) fn new(
        scaler: &'static str,
        trigger: &'a Trigger,
        deciding: &[&str],
        others: &[&str],
        version: KedaVersion,
    ) -> Self {
        let mut metadata = Metadata { scaler, given: &trigger.metadata, version, problems: Vec::new() };
        let known = || deciding.iter().chain(others).copied();
        for key in trigger.metadata.keys().filter(|key| !known().any(|name| name == *key)) {
            let help = match nearest(key, known()) {
                Some(name) => format!("KEDA ignores it; did you mean `{name}`?"),
                None => format!("KEDA ignores it; the keys that decide are {}", deciding.join(", ")),
            };
            metadata.problem(key, format!("the {scaler} trigger has no `{key}`"), &help);
        }
        metadata
    }

    pub(super) fn problem(&mut self, key: &str, message: String, help: &str) {
        self.problems.push(Problem::key(format!("metadata.{key}"), message).help(help));
    }

    /// `value` if nothing is wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.given.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, key: &str) -> &'a str {
        self.text(key).unwrap_or_else(|| {
            let message = format!("the {} trigger needs `{key}`", self.scaler);
            self.problem(key, message, "add it to the trigger's metadata");
            ""
        })
    }

    /// KEDA reads numbers as JSON, so `.5`, `+1` and `NaN` are none.
    pub(super) fn number<T: serde::de::DeserializeOwned>(&mut self, key: &str, example: &str) -> Option<T> {
        let text = self.text(key)?;
        let number = serde_json::from_str(text).ok();
        if number.is_none() {
            self.problem(key, format!("`{text}` is no number"), &format!("write it as {example}"));
        }
        number
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        let boolean = go::parse_bool(text);
        let understood = self.version.reads_booleans_as_go() || matches!(text, "true" | "false");
        if boolean.is_none() || !understood {
            self.problem(key, format!("`{text}` is neither true nor false"), "write \"true\" or \"false\"");
        }
        boolean
    }

    /// `metricType` of the trigger; `AverageValue` when left out, never `Utilization` (`GetMetricTargetType`).
    pub(super) fn metric_type(&mut self, trigger: &Trigger) -> MetricType {
        let metric_type = trigger.metric_type.unwrap_or_default();
        if metric_type == MetricType::Utilization {
            let message = "metric type `Utilization` is for cpu and memory alone";
            self.problems.push(Problem::key("metric_type", message).help("use `AverageValue` or `Value`"));
        }
        metric_type
    }
}
