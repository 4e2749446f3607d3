//! `[monitoring]`: the Prometheus that watches the service.

use super::dcgm::DcgmSpec;
use super::faults::FaultSpec;
use super::promql::{Features, QueryOptions, Release};
use super::rules::{self, RuleGroupSpec};
use crate::problem::{Place, Problem};
use crate::random::distribution::Seconds;
use crate::units::SimDuration;
use serde::Deserialize;
use serde::de::Error;

/// `[monitoring]` of an experiment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MonitoringSpec {
    /// The Prometheus whose semantics hold: `"3.5"` when left out.
    #[serde(deserialize_with = "release")]
    pub prometheus: Release,
    /// What `--enable-feature` turns on of PromQL: `"promql-experimental-functions"`, `"promql-duration-expr"`. Nothing when
    /// left out.
    pub enable_features: Vec<String>,
    /// Between two scrapes of a target; 30 s when left out, as the Prometheus Operator and OpenShift set it.
    pub scrape_interval: Seconds,
    /// `scrape_timeout`: a scrape that takes longer fails; Prometheus' 10 s when left out, and never above the interval.
    pub scrape_timeout: Seconds,
    /// How long a scrape of `/metrics` takes: its samples can be seen when it has finished. 20 ms when left out (assumed).
    pub scrape_duration: Seconds,
    /// `evaluation_interval`: of rule groups that name none, and the step of a subquery that names none; 30 s when left out,
    /// as the Prometheus Operator sets it.
    pub evaluation_interval: Seconds,
    /// How long Prometheus takes for one recording rule: its samples can be seen so long after the rule began. 5 ms when left
    /// out (assumed).
    pub evaluation_duration: Seconds,
    /// How targets are found.
    pub discovery: Discovery,
    /// How often service discovery sends what it found; 5 s when left out (Prometheus `discovery/manager.go`). So a new
    /// pod's first scrape waits up to this, and then for the target's offset within the scrape interval.
    pub discovery_interval: Seconds,
    /// How long one query of KEDA takes, from the operator and back; 50 ms when left out (assumed). The HPA's syncs drift
    /// by it.
    pub query_latency: Seconds,
    /// The vLLM release whose metric names are exposed, where it is not the engine's own.
    pub metrics_version: Option<String>,
    /// `[[monitoring.rule_group]]`: recording rules, beside those that the policy brings.
    pub rule_group: Vec<RuleGroupSpec>,
    /// `[[monitoring.fault]]`: what goes wrong, and when.
    pub fault: Vec<FaultSpec>,
    /// `[monitoring.dcgm]`: the exporter of the GPUs.
    pub dcgm: DcgmSpec,
}

/// When a terminating pod leaves service discovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// Role `pod` (a PodMonitor): when its container has exited.
    #[default]
    Pod,
    /// Role `endpoints` (a ServiceMonitor): when the endpoint controller has heard of its deletion.
    Endpoints,
}

impl Default for MonitoringSpec {
    fn default() -> Self {
        MonitoringSpec {
            prometheus: Release::default(),
            enable_features: Vec::new(),
            scrape_interval: Seconds(SimDuration::from_secs(30)),
            scrape_timeout: Seconds(SimDuration::from_secs(10)),
            scrape_duration: Seconds(SimDuration::from_millis(20)),
            evaluation_interval: Seconds(SimDuration::from_secs(30)),
            evaluation_duration: Seconds(SimDuration::from_millis(5)),
            discovery: Discovery::default(),
            discovery_interval: Seconds(SimDuration::from_secs(5)),
            query_latency: Seconds(SimDuration::from_millis(50)),
            metrics_version: None,
            rule_group: Vec::new(),
            fault: Vec::new(),
            dcgm: DcgmSpec::default(),
        }
    }
}

fn release<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Release, D::Error> {
    let name = String::deserialize(deserializer)?;
    Release::named(&name).ok_or_else(|| {
        let known: Vec<&str> = Release::ALL.iter().map(|release| release.name()).collect();
        D::Error::custom(format!("Prometheus {name:?} is not known; one of {}", known.join(", ")))
    })
}

/// Prometheus keeps milliseconds, and nobody scrapes more often than ten times a second.
const SCRAPE_INTERVAL_MIN: SimDuration = SimDuration::from_millis(100);

impl MonitoringSpec {
    /// Refuses what cannot be, with keys relative to `monitoring`.
    ///
    /// # Errors
    /// Intervals of (almost) zero, a scrape that never finishes in time, or a feature that this release does not have.
    pub fn check(&self) -> Result<(), Problem> {
        if self.scrape_interval.duration() < SCRAPE_INTERVAL_MIN {
            let problem = Problem::key("scrape_interval", "Prometheus cannot scrape that often");
            return Err(problem.help("at least \"100ms\"; 15 or 30 seconds are usual"));
        }
        if self.scrape_duration > self.timeout() {
            let problem = Problem::key("scrape_duration", "every scrape would run into its timeout and fail");
            return Err(problem.help("below `scrape_timeout` and `scrape_interval`"));
        }
        for (key, interval) in [
            ("evaluation_interval", self.evaluation_interval),
            ("discovery_interval", self.discovery_interval),
        ] {
            if interval.duration() < SimDuration::from_millis(1) {
                return Err(Problem::key(key, "the interval is below a millisecond").help("such as \"5s\""));
            }
        }
        self.check_rules(&self.rule_group).map_err(|problem| problem.under("rule_group"))?;
        self.features()
            .map_err(|problem| Problem { place: Place::Key("enable_features".to_owned()), ..problem })?;
        self.dcgm.check().map_err(|problem| problem.under("dcgm"))
    }

    /// Refuses faults that cannot be in a run of this length, with keys relative to `monitoring`.
    ///
    /// # Errors
    /// As [`FaultSpec::check`].
    pub fn check_faults(&self, duration: SimDuration) -> Result<(), Problem> {
        let mut faults = self.fault.iter().enumerate();
        faults.try_for_each(|(index, fault)| {
            fault.check(duration).map_err(|problem| problem.under(&format!("fault.{index}")))
        })
    }

    /// Refuses rule groups that this Prometheus would not load, with keys relative to their list.
    ///
    /// # Errors
    /// As [`rules::check`].
    pub fn check_rules(&self, groups: &[RuleGroupSpec]) -> Result<(), Problem> {
        rules::check(groups, self.evaluation_interval.duration(), self.evaluation_duration.duration())
    }

    /// What queries to this Prometheus mean beside their texts; [`MonitoringSpec::check`] has refused features that are none.
    pub fn query_options(&self) -> QueryOptions {
        QueryOptions {
            release: self.prometheus,
            evaluation_interval: self.evaluation_interval.duration(),
            features: self.features().unwrap_or_default(),
        }
    }

    fn features(&self) -> Result<Features, Problem> {
        Features::named(self.enable_features.iter().map(String::as_str), self.prometheus)
    }

    /// `scrape_timeout`, which Prometheus bounds by the interval.
    pub fn timeout(&self) -> Seconds {
        self.scrape_timeout.min(self.scrape_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_fine_and_nonsense_is_refused_with_its_key() {
        MonitoringSpec::default().check().expect("the defaults");
        for (text, key) in [
            ("scrape_interval = 0", "scrape_interval"),
            ("scrape_duration = '11s'", "scrape_duration"),
            ("scrape_interval = '1s'\nscrape_duration = '2s'", "scrape_duration"),
            ("discovery_interval = 0", "discovery_interval"),
            ("enable_features = ['exemplar-storage']", "enable_features"),
            ("enable_features = ['promql-duration-expr']\nprometheus = '2.53'", "enable_features"),
            ("[dcgm]\nsample_period = 0", "dcgm.sample_period"),
            ("[[rule_group]]\nname = ''\nrules = []", "rule_group.0.name"),
        ] {
            let spec: MonitoringSpec = toml::from_str(text).expect(text);
            assert!(spec.check().expect_err(text).to_string().starts_with(key), "{text}");
        }
        assert!(toml::from_str::<MonitoringSpec>("scrape = '1s'").is_err());
        let text = "enable_features = ['promql-experimental-functions']";
        let spec: MonitoringSpec = toml::from_str(text).expect(text);
        assert!(spec.check().is_ok() && spec.query_options().features.experimental_functions);
    }
}
