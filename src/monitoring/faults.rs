//! Faults that an experiment injects between two instants, to rehearse what a policy does without its sensor.
//!
//! | `kind` | what happens |
//! |---|---|
//! | `prometheus_down` | no query is answered, nothing is scraped, no rule is evaluated; afterwards the head is what the write-ahead log holds |
//! | `prometheus_slow` | each query takes `latency`; KEDA gives up after its timeout |
//! | `scrape_failing` | scrapes of some targets fail, at once or by timeout |
//! | `series_vanish` | pages lack some series |
//! | `target_frozen` | some targets show the page that they showed first |
//! | `metrics_adapter_down` | the HPA gets no answer; KEDA's polls go on |

use super::labels::Labels;
use super::promql::{Matcher, Query, QueryOptions};
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::{SimDuration, SimTime};
use serde::Deserialize;

/// `[[monitoring.fault]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What is wrong.
    pub kind: FaultKind,
    /// When it begins, since the start of the run.
    pub from: Seconds,
    /// When it ends: at this instant all is well again.
    pub to: Seconds,
    /// `scrape_failing` and `target_frozen`: the targets, by a selector of their labels such as `{job="kube-state-metrics"}`;
    /// the pods when left out.
    #[serde(default)]
    pub target: Option<String>,
    /// `series_vanish`: the series, by a selector.
    #[serde(default)]
    pub series: Option<String>,
    /// `prometheus_slow`: how long a query takes.
    #[serde(default)]
    pub latency: Option<Seconds>,
    /// `scrape_failing`: a scrape fails by `scrape_timeout`, and is seen to have failed only then; at once when left out.
    #[serde(default)]
    pub times_out: Option<bool>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The server is gone.
    PrometheusDown,
    /// The server answers late.
    PrometheusSlow,
    /// Targets do not answer.
    ScrapeFailing,
    /// Targets answer without some series.
    SeriesVanish,
    /// Targets answer what they answered before.
    TargetFrozen,
    /// `external.metrics.k8s.io` (or `custom.metrics.k8s.io`) is not served.
    MetricsAdapterDown,
}

/// No query that anybody waits for takes longer.
const LATENCY_MAX: SimDuration = SimDuration::from_secs(3600);

impl FaultKind {
    /// Its name in an experiment.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::PrometheusDown => "prometheus_down",
            FaultKind::PrometheusSlow => "prometheus_slow",
            FaultKind::ScrapeFailing => "scrape_failing",
            FaultKind::SeriesVanish => "series_vanish",
            FaultKind::TargetFrozen => "target_frozen",
            FaultKind::MetricsAdapterDown => "metrics_adapter_down",
        }
    }
}

impl FaultSpec {
    /// Refuses what cannot be in a run of this length, with keys relative to the fault.
    ///
    /// # Errors
    /// A fault that ends before it begins or begins after the run, a key that its kind needs and lacks, or has no use for.
    pub fn check(&self, duration: SimDuration) -> Result<(), Problem> {
        if self.from >= self.to {
            let problem = Problem::key("to", "the fault ends before it has begun");
            return Err(problem.help("`from` is below `to`, both since the start of the run"));
        }
        if self.from.duration() >= duration {
            let problem = Problem::key("from", "the fault begins when the run is over");
            return Err(problem.help("below `duration`"));
        }
        let (kind, name) = (self.kind, self.kind.name());
        let keys = [
            (
                "target",
                self.target.is_some(),
                matches!(kind, FaultKind::ScrapeFailing | FaultKind::TargetFrozen),
            ),
            ("series", self.series.is_some(), kind == FaultKind::SeriesVanish),
            ("latency", self.latency.is_some(), kind == FaultKind::PrometheusSlow),
            ("times_out", self.times_out.is_some(), kind == FaultKind::ScrapeFailing),
        ];
        if let Some((key, ..)) = keys.iter().find(|(_, given, useful)| *given && !useful) {
            return Err(
                Problem::key(*key, format!("a fault of kind `{name}` has no `{key}`")).help("leave it out")
            );
        }
        match kind {
            FaultKind::SeriesVanish if self.series.is_none() => {
                let problem = Problem::key("kind", "a fault of kind `series_vanish` needs `series`");
                Err(problem.help("a selector such as 'vllm:num_requests_waiting{namespace=\"$namespace\"}'"))
            }
            FaultKind::PrometheusSlow => match self.latency.map(Seconds::duration) {
                None => Err(Problem::key("kind", "a fault of kind `prometheus_slow` needs `latency`")
                    .help("how long a query takes, such as \"5s\"")),
                Some(latency) if latency.is_zero() || latency > LATENCY_MAX => {
                    Err(Problem::key("latency", "no query takes so long").help("above 0, at most \"1h\""))
                }
                Some(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The fault with its selectors read.
    ///
    /// # Errors
    /// A selector that is none, with the key of its text.
    pub fn compile(&self, options: QueryOptions) -> Result<Fault, (&'static str, Problem)> {
        let selector = |key: &'static str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| selector(text, options)).transpose().map_err(|problem| (key, problem))
        };
        let zero = SimTime::ZERO;
        Ok(Fault {
            kind: self.kind,
            from: zero + self.from.duration(),
            to: zero + self.to.duration(),
            target: selector("target", &self.target)?,
            series: selector("series", &self.series)?.unwrap_or_default(),
            latency: self.latency.unwrap_or_default().duration(),
            times_out: self.times_out.unwrap_or(false),
        })
    }
}

/// The matchers of a text that is one selector and nothing else.
fn selector(text: &str, options: QueryOptions) -> Result<Vec<Matcher>, Problem> {
    let query = Query::compile(text, options)?;
    match query.selector() {
        Some(read) => Ok(read.matchers.clone()),
        None => {
            let problem = Problem::text(text, (0, text.len()), "this is not a selector of series alone");
            Err(problem.help("a metric with or without `{label=\"value\"}`, or only the latter"))
        }
    }
}

/// A fault, ready to happen.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    from: SimTime,
    to: SimTime,
    /// `None`: the pods.
    target: Option<Vec<Matcher>>,
    series: Vec<Matcher>,
    latency: SimDuration,
    times_out: bool,
}

impl Fault {
    fn acts(&self, kind: FaultKind, now: SimTime) -> bool {
        self.kind == kind && self.from <= now && now < self.to
    }

    /// Whether it is about the target with these labels, which may be a pod's.
    pub fn is_about(&self, target: &Labels, is_pod: bool) -> bool {
        let up = Labels::metric("up");
        match &self.target {
            None => is_pod,
            Some(matchers) => matchers.iter().all(|matcher| matcher.passes(&up, target)),
        }
    }
}

/// What a scrape meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeFault {
    /// No answer: refused, or none in time.
    Fails {
        /// None in time.
        times_out: bool,
    },
    /// The page that was shown first since this fault, by its number, began.
    Frozen(usize),
}

/// All faults of a run.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// These faults; they may overlap.
    pub fn new(faults: Vec<Fault>) -> Self {
        Faults(faults)
    }

    fn acting(&self, kind: FaultKind, now: SimTime) -> impl Iterator<Item = (usize, &Fault)> {
        self.0.iter().enumerate().filter(move |(_, fault)| fault.acts(kind, now))
    }

    /// Whether there is no Prometheus.
    pub fn prometheus_is_down(&self, now: SimTime) -> bool {
        self.acting(FaultKind::PrometheusDown, now).next().is_some()
    }

    /// How long a query takes, where one takes longer than usual.
    pub fn query_latency(&self, now: SimTime) -> Option<SimDuration> {
        self.acting(FaultKind::PrometheusSlow, now).map(|(_, fault)| fault.latency).max()
    }

    /// Whether the HPA's requests for metrics are not served.
    pub fn metrics_adapter_is_down(&self, now: SimTime) -> bool {
        self.acting(FaultKind::MetricsAdapterDown, now).next().is_some()
    }

    /// What a scrape of the target with these labels meets.
    pub fn scrape(&self, now: SimTime, target: &Labels, is_pod: bool) -> Option<ScrapeFault> {
        let about = |fault: &Fault| fault.is_about(target, is_pod);
        let mut failing =
            self.acting(FaultKind::ScrapeFailing, now).filter(|(_, fault)| about(fault)).peekable();
        if failing.peek().is_some() {
            // One refusal is quicker than any timeout.
            return Some(ScrapeFault::Fails { times_out: failing.all(|(_, fault)| fault.times_out) });
        }
        let mut frozen = self.acting(FaultKind::TargetFrozen, now).filter(|(_, fault)| about(fault));
        frozen.next().map(|(number, _)| ScrapeFault::Frozen(number))
    }

    /// Whether pages lack any series.
    pub fn hides_series(&self, now: SimTime) -> bool {
        self.acting(FaultKind::SeriesVanish, now).next().is_some()
    }

    /// Whether the page of a target with these labels lacks this series.
    pub fn hides(&self, now: SimTime, column: &Labels, target: &Labels) -> bool {
        let mut hidden = self.acting(FaultKind::SeriesVanish, now);
        hidden.any(|(_, fault)| fault.series.iter().all(|matcher| matcher.passes(column, target)))
    }

    /// When Prometheus goes and comes back, in no order; where two such faults overlap it is down from the first to the last.
    pub fn prometheus_edges(&self) -> impl Iterator<Item = SimTime> {
        let down = self.0.iter().filter(|fault| fault.kind == FaultKind::PrometheusDown);
        down.flat_map(|fault| [fault.from, fault.to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> FaultSpec {
        toml::from_str(&format!("from = 60\nto = 120\n{text}")).expect(text)
    }

    fn faults(texts: &[&str]) -> Faults {
        let compiled = texts.iter().map(|text| spec(text).compile(QueryOptions::default()).expect(text));
        Faults::new(compiled.collect())
    }

    fn at(s: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(s)
    }

    #[test]
    fn a_fault_acts_from_its_beginning_to_its_end() {
        let down = faults(&["kind = 'prometheus_down'", "kind = 'prometheus_slow'\nlatency = 2"]);
        let during =
            [59, 60, 119, 120].map(|s| (down.prometheus_is_down(at(s)), down.query_latency(at(s)).is_some()));
        assert_eq!(during, [(false, false), (true, true), (true, true), (false, false)]);
        assert_eq!(down.prometheus_edges().collect::<Vec<_>>(), [at(60), at(120)]);
        assert!(
            !down.metrics_adapter_is_down(at(60))
                && faults(&["kind = 'metrics_adapter_down'"]).metrics_adapter_is_down(at(60))
        );
    }

    #[test]
    fn targets_are_the_pods_or_what_a_selector_matches() {
        let (pod, other) = (
            Labels::new([("job", "llama"), ("pod", "llama-x")]),
            Labels::new([("job", "kube-state-metrics")]),
        );
        let fails = |times_out| Some(ScrapeFault::Fails { times_out });
        for (text, of_pod, of_other) in [
            ("kind = 'scrape_failing'", fails(false), None),
            ("kind = 'scrape_failing'\ntimes_out = true\ntarget = '{job=~\".*\"}'", None, None),
            ("kind = 'scrape_failing'\ntimes_out = true\ntarget = '{job=~\".+\"}'", fails(true), fails(true)),
            (
                "kind = 'target_frozen'\ntarget = 'up{job=\"kube-state-metrics\"}'",
                None,
                Some(ScrapeFault::Frozen(0)),
            ),
        ] {
            let Ok(compiled) = spec(text).compile(QueryOptions::default()) else {
                assert!(text.contains(".*"), "{text}");
                continue;
            };
            let faults = Faults::new(vec![compiled]);
            assert_eq!(
                (faults.scrape(at(60), &pod, true), faults.scrape(at(60), &other, false)),
                (of_pod, of_other),
                "{text}"
            );
        }
        let both = faults(&[
            "kind = 'target_frozen'",
            "kind = 'scrape_failing'\ntimes_out = true",
            "kind = 'scrape_failing'",
        ]);
        assert_eq!(both.scrape(at(60), &pod, true), fails(false));
    }

    #[test]
    fn series_are_hidden_by_name_and_labels() {
        let faults = faults(&["kind = 'series_vanish'\nseries = '{__name__=~\"vllm:num_.*\", pod=\"a\"}'"]);
        let hides =
            |s, metric, pod| faults.hides(at(s), &Labels::metric(metric), &Labels::new([("pod", pod)]));
        assert!(hides(60, "vllm:num_requests_waiting", "a"));
        assert!(
            !hides(60, "vllm:num_requests_waiting", "b")
                && !hides(60, "vllm:kv", "a")
                && !hides(59, "vllm:num_x", "a")
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let hour = SimDuration::from_secs(3600);
        for (text, key) in [
            ("kind = 'prometheus_down'\nfrom = 9\nto = 9", "to"),
            ("kind = 'prometheus_down'\nfrom = 3600\nto = 9000", "from"),
            ("kind = 'prometheus_down'\nfrom = 1\nto = 9\nlatency = 3", "latency"),
            ("kind = 'prometheus_slow'\nfrom = 1\nto = 9", "kind"),
            ("kind = 'prometheus_slow'\nfrom = 1\nto = 9\nlatency = 0", "latency"),
            ("kind = 'series_vanish'\nfrom = 1\nto = 9", "kind"),
            ("kind = 'series_vanish'\nfrom = 1\nto = 9\nseries = 'up'\ntarget = '{a=\"b\"}'", "target"),
            ("kind = 'target_frozen'\nfrom = 1\nto = 9\ntimes_out = true", "times_out"),
        ] {
            let spec: FaultSpec = toml::from_str(text).expect(text);
            let problem = spec.check(hour).expect_err(text);
            assert!(problem.to_string().starts_with(&format!("{key}: ")), "{text}: {problem}");
        }
        for text in ["sum(up)", "up[5m]", "1", "{}", "up{"] {
            let spec = FaultSpec { target: Some(text.to_owned()), ..spec("kind = 'scrape_failing'") };
            assert_eq!(
                spec.compile(QueryOptions::default()).err().map(|(key, _)| key),
                Some("target"),
                "{text}"
            );
        }
    }
}
