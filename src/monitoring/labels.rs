//! Label sets: what a series is called.

use std::fmt;
use std::sync::Arc;

/// The label that holds the metric's name (Prometheus, model/labels/labels.go).
pub const METRIC_NAME: &str = "__name__";

/// The label that holds a classic histogram bucket's upper bound.
pub const BUCKET_LABEL: &str = "le";

/// A bound as the Prometheus client for Python writes it (`prometheus_client/utils.py`, `floatToGoString`), which is
/// what Prometheus 3 makes of it too: `1.0`, `0.005`, `1e+06`, `+Inf`.
pub(super) fn bucket_bound(bound: f64) -> String {
    if bound.is_infinite() {
        return "+Inf".to_owned();
    }
    if bound < 1e6 {
        return format!("{bound:?}");
    }
    // Rust writes 1e6 where Go writes 1e+06.
    let text = format!("{bound:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa}e+{exponent:0>2}"),
        None => text,
    }
}

/// One label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Its name.
    pub name: Arc<str>,
    /// Its value, never empty: a label with an empty value is a label that is absent.
    pub value: Arc<str>,
}

/// The labels of a series: sorted by name, each name once, no empty value. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// The labels of these pairs; a later pair replaces an earlier one of the same name, an empty value removes it.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut labels = LabelsBuilder::default();
        for (name, value) in pairs {
            labels.set(&name.into(), value.into());
        }
        labels.finish()
    }

    /// A metric of this name and nothing else.
    pub fn metric(name: &str) -> Self {
        Labels::new([(METRIC_NAME, name)])
    }

    /// The value of `name`; empty where there is no such label, which to PromQL is the same.
    pub fn get(&self, name: &str) -> &str {
        match self.0.binary_search_by(|label| (*label.name).cmp(name)) {
            Ok(at) => &self.0[at].value,
            Err(_) => "",
        }
    }

    /// The labels in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|label| (&*label.name, &*label.value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels with those of `below` added where these have none of the name.
    ///
    /// So a scraped series keeps its own labels before its target's: `honor_labels: true`, which the Prometheus
    /// Operator's monitors for kube-state-metrics set, and which changes nothing for vLLM, whose labels clash with none.
    #[must_use]
    pub fn over(&self, below: &Labels) -> Labels {
        let mut labels = LabelsBuilder::from(below);
        for label in self.0.iter() {
            labels.set(&label.name, label.value.clone());
        }
        labels.finish()
    }

    /// These labels without those called one of `names`.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Labels {
        Labels(self.0.iter().filter(|label| !names.contains(&&*label.name)).cloned().collect())
    }

    /// Only those of these labels that are called one of `names`.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Labels {
        Labels(self.0.iter().filter(|label| names.contains(&&*label.name)).cloned().collect())
    }
}

impl fmt::Display for Labels {
    /// `{__name__="up", job="vllm"}`, as Prometheus writes label sets in its error texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// A JSON object of names and values, sorted by name.
impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> serde::Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(Labels::new(pairs))
    }
}

/// Labels while they change.
#[derive(Debug, Default)]
pub struct LabelsBuilder(Vec<Label>);

impl LabelsBuilder {
    /// Gives `name` this value; an empty one removes the label.
    pub fn set(&mut self, name: &str, value: impl Into<Arc<str>>) {
        let value = value.into();
        match self.0.binary_search_by(|label| (*label.name).cmp(name)) {
            Ok(at) if value.is_empty() => drop(self.0.remove(at)),
            Ok(at) => self.0[at].value = value,
            Err(_) if value.is_empty() => {}
            Err(at) => self.0.insert(at, Label { name: name.into(), value }),
        }
    }

    /// The labels as they are now.
    pub fn finish(self) -> Labels {
        Labels(self.0.into())
    }
}

impl From<&Labels> for LabelsBuilder {
    fn from(labels: &Labels) -> Self {
        LabelsBuilder(labels.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_unique_and_never_empty() {
        let labels =
            Labels::new([("pod", "a"), (METRIC_NAME, "up"), ("pod", "b"), ("job", "x"), ("job", "")]);
        assert_eq!(labels.to_string(), r#"{__name__="up", pod="b"}"#);
        assert_eq!((labels.get("pod"), labels.get("job")), ("b", ""));
        assert_eq!(labels, Labels::new([(METRIC_NAME, "up"), ("pod", "b")]));
    }

    #[test]
    fn a_series_keeps_its_own_labels_before_its_targets() {
        let series = Labels::new([(METRIC_NAME, "kube_deployment_spec_replicas"), ("namespace", "prod")]);
        let target = Labels::new([("job", "kube-state-metrics"), ("namespace", "monitoring")]);
        let both = series.over(&target);
        assert_eq!((both.get("namespace"), both.get("job")), ("prod", "kube-state-metrics"));
    }

    #[test]
    fn bounds_are_written_as_the_client_writes_them() {
        let texts = [0.001, 0.3, 1.0, 7680.0, 100_000.0, 1e6, 2e6, 5e6, 1e7, f64::INFINITY].map(bucket_bound);
        assert_eq!(
            texts,
            ["0.001", "0.3", "1.0", "7680.0", "100000.0", "1e+06", "2e+06", "5e+06", "1e+07", "+Inf"]
        );
    }

    #[test]
    fn keeping_and_dropping_are_complements() {
        let labels = Labels::new([("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(labels.only(&["c", "a"]), Labels::new([("a", "1"), ("c", "3")]));
        assert_eq!(labels.without(&["c", "a", "z"]), Labels::new([("b", "2")]));
    }
}
