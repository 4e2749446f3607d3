//! The prometheus trigger: what its metadata say, and what an answer of Prometheus is worth
//! (`pkg/scalers/prometheus_scaler.go`, v2.20.2).

use super::metadata::Metadata;
use super::scaled_object::{MetricType, Trigger};
use super::version::{KedaVersion, Timeout};
use crate::autoscaling::go;
use crate::autoscaling::hpa::MetricTarget;
use crate::autoscaling::quantity::Quantity;
use crate::problem::Problem;
use crate::units::SimDuration;

/// A checked prometheus trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusTrigger {
    /// `query`: PromQL that must give at most one element. KEDA asks with `time=` cut to the whole second.
    pub query: String,
    /// `threshold`: the target of the HPA's metric, positive.
    pub threshold: f64,
    /// `activationThreshold`: active above it; 0 when left out.
    pub activation_threshold: f64,
    /// `ignoreNullValues`: no value counts as 0 instead of as an error; true when left out.
    pub ignore_null_values: bool,
    /// `namespace`: sent along with the query; Thanos Querier's tenancy port adds it to every selector.
    pub namespace: Option<String>,
    /// `metricType`: `AverageValue` when left out; never `Utilization`.
    pub metric_type: MetricType,
    /// `useCachedMetrics`: the HPA is served the last poll's record.
    pub use_cached_metrics: bool,
    /// `timeout`: how long KEDA waits for an answer; `KEDA_HTTP_DEFAULT_TIMEOUT`'s 3 s when left out or 0.
    pub timeout: SimDuration,
}

/// What Prometheus answered to an instant query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryOutcome {
    /// A vector: the values of its elements.
    Vector(Vec<f64>),
    /// A vector with one element whose value is `null`. Prometheus sends none, some compatible servers do.
    Null,
    /// A range vector with so many series: its elements have `values` but no `value`.
    Matrix(usize),
    /// A scalar, or a string: another shape of JSON.
    ScalarOrString,
    /// A refused query or an unreachable server.
    Error(String),
}

/// `KEDA_HTTP_DEFAULT_TIMEOUT` where nobody sets it.
const HTTP_DEFAULT_TIMEOUT: SimDuration = SimDuration::from_secs(3);

/// How a number is written.
const EXAMPLE: &str = "\"2\" or \"0.8\"";

/// Metadata keys that decide about scaling.
const DECIDING_KEYS: [&str; 5] =
    ["query", "threshold", "activationThreshold", "ignoreNullValues", "namespace"];

/// Metadata keys about how Prometheus is reached. They go to the export and have no effect on a run, but for `timeout` where
/// an experiment makes Prometheus slow; `metricName` has had none in KEDA since v2.12 either.
const TRANSPORT_KEYS: [&str; 17] = [
    "serverAddress",
    "metricName",
    "queryParameters",
    "customHeaders",
    "unsafeSsl",
    "timeout",
    "awsRegion",
    "identityOwner",
    "authModes",
    "authMode",
    "apiKey",
    "method",
    "keyParamName",
    "credentialsFromEnv",
    "credentialsFromEnvFile",
    "cloud",
    "azureManagedPrometheusResourceURL",
];

impl PrometheusTrigger {
    /// Reads a trigger of type `prometheus`.
    ///
    /// # Errors
    /// Every problem of its metadata, by keys relative to the trigger: an unknown key (KEDA would ignore it silently), a
    /// missing one, one that Go could not parse. `serverAddress` may be missing, since policies are written before
    /// there is a server.
    pub fn parse(trigger: &Trigger, version: KedaVersion) -> Result<Self, Vec<Problem>> {
        let mut metadata = Metadata::new("prometheus", trigger, &DECIDING_KEYS, &TRANSPORT_KEYS, version);
        metadata.check_transport();
        let parsed = PrometheusTrigger {
            query: metadata.required("query").to_owned(),
            threshold: metadata.threshold(),
            activation_threshold: metadata.number("activationThreshold", EXAMPLE).unwrap_or(0.0),
            ignore_null_values: metadata.boolean("ignoreNullValues").unwrap_or(true),
            namespace: metadata.text("namespace").map(str::to_owned),
            metric_type: metadata.metric_type(trigger),
            use_cached_metrics: trigger.use_cached_metrics.unwrap_or(false),
            timeout: metadata.timeout(),
        };
        metadata.finish(parsed)
    }

    /// The value of an answer (`ExecutePromQuery`), or KEDA's error.
    ///
    /// No element, NaN and infinities are 0 with `ignoreNullValues` and errors without; more than one element is always
    /// an error. KEDA rebuilds the scaler and asks once more after an error, within the same evaluation, so an error
    /// costs two queries and counts as one failure.
    pub fn read(&self, outcome: &QueryOutcome, version: KedaVersion) -> Result<f64, String> {
        let no_value = |why: &str| if self.ignore_null_values { Ok(0.0) } else { Err(why.to_owned()) };
        let value = match outcome {
            QueryOutcome::Error(why) => return Err(why.clone()),
            QueryOutcome::ScalarOrString => {
                return Err(
                    "json: cannot unmarshal a scalar or string into a vector; wrap it in vector()".to_owned()
                );
            }
            QueryOutcome::Vector(values) if values.len() > 1 => return Err(self.multiple_elements()),
            QueryOutcome::Matrix(series) if *series > 1 => return Err(self.multiple_elements()),
            QueryOutcome::Matrix(0) => {
                return no_value("prometheus metrics 'prometheus' target may be lost, the result is empty");
            }
            QueryOutcome::Matrix(_) => {
                return no_value(
                    "prometheus metrics 'prometheus' target may be lost, the value list is empty",
                );
            }
            QueryOutcome::Null => -1.0,
            QueryOutcome::Vector(values) => match values.first() {
                Some(value) => *value,
                None => {
                    return no_value(
                        "prometheus metrics 'prometheus' target may be lost, the result is empty",
                    );
                }
            },
        };
        if value.is_infinite() || (value.is_nan() && version.nan_is_no_value()) {
            return no_value(&format!("prometheus query returns {value}"));
        }
        Ok(value)
    }

    /// Whether `value` makes the trigger active: strictly above the activation threshold, before any rounding.
    pub fn is_active(&self, value: f64) -> bool {
        value > self.activation_threshold
    }

    /// The target of the HPA's metric (`GetMetricTargetMili`).
    pub fn target(&self, version: KedaVersion) -> MetricTarget {
        self.metric_type.target(Quantity::from_float(self.threshold, version).milli())
    }

    fn multiple_elements(&self) -> String {
        format!("prometheus query {} returned multiple elements", self.query)
    }
}

impl Metadata<'_> {
    /// KEDA takes any number; Kubernetes refuses an HPA whose target is not positive.
    fn threshold(&mut self) -> f64 {
        self.required("threshold");
        let threshold = self.number("threshold", EXAMPLE).unwrap_or(f64::NAN);
        if !threshold.is_nan() && Quantity::from_float(threshold, self.version).milli().get() <= 0 {
            let message = format!("a threshold of {threshold} is not above 0 in thousandths");
            self.problem("threshold", message, "Kubernetes refuses an HPA whose target is not positive");
        }
        threshold
    }

    /// Settings without effect here that would keep KEDA from building the scaler.
    fn check_transport(&mut self) {
        self.boolean("unsafeSsl");
        for key in ["queryParameters", "customHeaders"] {
            let text = self.text(key).unwrap_or_default();
            if !text.is_empty() && text.split(',').any(|pair| pair.split('=').count() != 2) {
                self.problem(
                    key,
                    format!("`{text}` is no list of pairs"),
                    "write it as \"key1=value1,key2=value2\"",
                );
            }
        }
        const MODES: [&str; 6] = ["apiKey", "basic", "tls", "bearer", "custom", "oauth"];
        for key in ["authModes", "authMode"] {
            for mode in
                self.text(key).unwrap_or_default().split(',').map(str::trim).filter(|mode| !mode.is_empty())
            {
                if !MODES.contains(&mode) {
                    self.problem(
                        key,
                        format!("there is no mode `{mode}`"),
                        &format!("use one of {}", MODES.join(", ")),
                    );
                }
            }
        }
    }

    fn timeout(&mut self) -> SimDuration {
        let Some(text) = self.text("timeout") else { return HTTP_DEFAULT_TIMEOUT };
        let milliseconds = || Some(SimDuration::from_millis(text.parse::<u32>().ok()?.into()));
        let (timeout, wrong, help) = match self.version.timeout() {
            Timeout::Unknown => return HTTP_DEFAULT_TIMEOUT,
            Timeout::Milliseconds => (milliseconds(), "number", "write \"3000\" for three seconds"),
            Timeout::Duration => {
                let timeout = milliseconds().or_else(|| go::parse_duration(text));
                (timeout, "duration", "write \"3s\", or \"3000\" for milliseconds")
            }
        };
        if timeout.is_none() {
            self.problem("timeout", format!("`{text}` is no {wrong}"), help);
        }
        timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(HTTP_DEFAULT_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(metadata: &[(&str, &str)]) -> Trigger {
        let metadata = metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Trigger { kind: "prometheus".to_owned(), metadata, ..Trigger::default() }
    }

    fn problems(metadata: &[(&str, &str)]) -> Vec<String> {
        let parsed = PrometheusTrigger::parse(&trigger(metadata), KedaVersion::V2_20);
        parsed.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    fn parsed(extra: &[(&str, &str)]) -> PrometheusTrigger {
        let all = [&[("query", "up"), ("threshold", "2")], extra].concat();
        PrometheusTrigger::parse(&trigger(&all), KedaVersion::V2_20).expect("valid")
    }

    #[test]
    fn metadata_without_effect_are_accepted_and_unknown_ones_refused() {
        let seed = [
            ("serverAddress", "https://thanos:9092"),
            ("authModes", "bearer"),
            ("namespace", "keda"),
            ("metricName", "x"),
        ];
        assert_eq!(parsed(&seed).namespace.as_deref(), Some("keda"));
        let found = problems(&[("query", "up"), ("Threshold", "2"), ("threshold", "2"), ("thresh", "1")]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("did you mean `threshold`?") && found[1].contains("the keys that decide"));
    }

    #[test]
    fn what_go_cannot_parse_is_a_problem_with_its_key() {
        for (key, value) in [
            ("threshold", "one"),
            ("threshold", ".5"),
            ("threshold", "NaN"),
            ("threshold", "0.0004"),
            ("threshold", "-1"),
            ("activationThreshold", "one"),
            ("ignoreNullValues", "xxxx"),
            ("unsafeSsl", "maybe"),
            ("customHeaders", "key1=value1,key2"),
            ("queryParameters", "key1"),
            ("timeout", "-1"),
            ("timeout", "a"),
            ("authModes", "basic,magic"),
        ] {
            let found: Vec<_> =
                [("query", "up"), ("threshold", "2")].into_iter().filter(|(k, _)| *k != key).collect();
            let found = problems(&[found.as_slice(), &[(key, value)]].concat());
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("metadata.{key}:")),
                "{key}={value}: {found:?}"
            );
        }
        assert_eq!(problems(&[("query", " ")]).len(), 2, "both required keys are missing");
        assert_eq!(
            problems(&[("query", "up"), ("threshold", "1e3"), ("timeout", "1000")]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_timeout_is_read_as_the_release_reads_it() {
        for (version, text, ms) in [
            (KedaVersion::V2_20, "", 3000),
            (KedaVersion::V2_20, "0", 3000),
            (KedaVersion::V2_20, "1500", 1500),
            (KedaVersion::V2_20, "1m", 60_000),
            (KedaVersion::V2_17, "1500", 1500),
            (KedaVersion::V2_16, "1500", 3000),
        ] {
            let trigger = trigger(&[("query", "up"), ("threshold", "2"), ("timeout", text)]);
            let parsed = PrometheusTrigger::parse(&trigger, version).expect(text);
            assert_eq!(parsed.timeout, SimDuration::from_millis(ms), "{text} in {version}");
        }
    }

    #[test]
    fn utilization_is_refused() {
        let mut trigger = trigger(&[("query", "up"), ("threshold", "2")]);
        trigger.metric_type = Some(MetricType::Utilization);
        assert!(PrometheusTrigger::parse(&trigger, KedaVersion::V2_20).is_err());
    }

    #[test]
    fn answers_are_values_nothing_or_errors() {
        let lenient = parsed(&[]);
        let strict = parsed(&[("ignoreNullValues", "false")]);
        let new = KedaVersion::V2_20;
        assert_eq!(lenient.read(&QueryOutcome::Vector(vec![4.5]), new), Ok(4.5));
        assert_eq!(lenient.read(&QueryOutcome::Null, new), Ok(-1.0));
        let nothing =
            [vec![], vec![f64::NAN], vec![f64::INFINITY], vec![f64::NEG_INFINITY]].map(QueryOutcome::Vector);
        for outcome in nothing.iter().chain(&[QueryOutcome::Matrix(0), QueryOutcome::Matrix(1)]) {
            assert_eq!(lenient.read(outcome, new), Ok(0.0), "{outcome:?}");
            assert!(strict.read(outcome, new).is_err(), "{outcome:?}");
        }
        for outcome in [
            QueryOutcome::Vector(vec![1.0, 1.0]),
            QueryOutcome::Matrix(2),
            QueryOutcome::ScalarOrString,
            QueryOutcome::Error("503".to_owned()),
        ] {
            assert!(lenient.read(&outcome, new).is_err(), "{outcome:?}");
        }
        let nan =
            lenient.read(&QueryOutcome::Vector(vec![f64::NAN]), KedaVersion::V2_19).expect("passes through");
        assert!(nan.is_nan() && !lenient.is_active(nan));
    }

    #[test]
    fn activity_is_strict_and_before_rounding() {
        let trigger = parsed(&[("activationThreshold", "1")]);
        assert!(!trigger.is_active(1.0) && trigger.is_active(1.000_000_1));
        assert!(parsed(&[]).is_active(1e-9));
        assert_eq!(
            trigger.target(KedaVersion::V2_20),
            MetricTarget::AverageValue(crate::units::MilliValue(2000))
        );
    }
}
