//! Injected faults in motion: what becomes of scrapes and of queries while one acts.

use super::event::Event;
use super::telemetry::{Owner, Sensor};
use super::world::World;
use crate::monitoring::exposition::Page;
use crate::monitoring::faults::{Faults, ScrapeFault};
use crate::monitoring::labels::Labels;
use crate::monitoring::scrape::{Scraped, TargetId};
use crate::monitoring::series::ABSENT;
use crate::units::{SimDuration, SimTime};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What a target would show a scrape.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// The values of its columns.
    Values(Vec<f64>),
    /// An exporter's page.
    Series(Page),
    /// Nothing: it refuses.
    Refused,
    /// Nothing within the timeout.
    TimedOut,
}

/// The answer to a query, and how much later than usual it came.
#[derive(Clone, Debug)]
pub(super) struct Asked<T> {
    pub(super) answer: T,
    pub(super) delay: SimDuration,
}

/// The faults of a run, and the pages that stand still.
#[derive(Debug, Default)]
pub(super) struct FaultsInMotion {
    faults: Faults,
    /// By fault and target.
    frozen: FxHashMap<(usize, TargetId), Shown>,
}

impl Shown {
    pub(super) fn scraped(&self) -> Scraped<'_> {
        match self {
            Shown::Values(values) => Scraped::Page(values),
            Shown::Series(page) => Scraped::Series(page.series()),
            Shown::Refused => Scraped::Refused,
            Shown::TimedOut => Scraped::TimedOut,
        }
    }
}

impl FaultsInMotion {
    pub(super) fn new(faults: Faults) -> Self {
        FaultsInMotion { faults, frozen: FxHashMap::default() }
    }

    /// What a scrape of the target gets of what it would be shown.
    pub(super) fn scrape(&mut self, now: SimTime, target: &Scrape<'_>, shown: Shown) -> Shown {
        let shown = match self.faults.scrape(now, target.labels, target.is_pod) {
            None => shown,
            Some(ScrapeFault::Fails { times_out: false }) => return Shown::Refused,
            Some(ScrapeFault::Fails { times_out: true }) => return Shown::TimedOut,
            // A target that shows nothing yet has nothing to stand still.
            Some(ScrapeFault::Frozen(_)) if matches!(shown, Shown::Refused) => shown,
            Some(ScrapeFault::Frozen(fault)) => {
                self.frozen.entry((fault, target.id)).or_insert(shown).clone()
            }
        };
        if self.faults.hides_series(now) { self.without_hidden(now, target, shown) } else { shown }
    }

    fn without_hidden(&self, now: SimTime, target: &Scrape<'_>, mut shown: Shown) -> Shown {
        let hides = |labels: &Labels| self.faults.hides(now, labels, target.labels);
        match &mut shown {
            Shown::Values(values) => {
                let hidden = values.iter_mut().zip(target.columns.iter()).filter(|(_, column)| hides(column));
                hidden.for_each(|(value, _)| *value = ABSENT);
            }
            Shown::Series(page) => page.retain(|labels| !hides(labels)),
            Shown::Refused | Shown::TimedOut => {}
        }
        shown
    }
}

/// A target that is scraped.
pub(super) struct Scrape<'a> {
    pub(super) id: TargetId,
    pub(super) labels: &'a Labels,
    /// Where its page has fixed ones.
    pub(super) columns: &'a Arc<[Labels]>,
    pub(super) is_pod: bool,
}

impl Sensor {
    /// Why no query is answered at `now`, and how much later than `usual` one that waits for `timeout` at most comes back.
    ///
    /// A server that is gone refuses the connection at once: the Service has no endpoint. KEDA asks once more where it got
    /// an error, so a timeout costs it two.
    pub(super) fn reach(&self, now: SimTime, timeout: Option<SimDuration>) -> Asked<Result<(), String>> {
        let faults = &self.faults.faults;
        if faults.prometheus_is_down(now) {
            let refused = "dial tcp: connect: connection refused (Prometheus is down)";
            return Asked { answer: Err(refused.to_owned()), delay: SimDuration::ZERO };
        }
        let Some(latency) = faults.query_latency(now) else {
            return Asked { answer: Ok(()), delay: SimDuration::ZERO };
        };
        let beyond_usual = |took: SimDuration| took - took.min(self.query_latency);
        match timeout.filter(|timeout| *timeout < latency) {
            None => Asked { answer: Ok(()), delay: beyond_usual(latency) },
            Some(timeout) => {
                let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
                Asked { answer: Err(late.to_owned()), delay: beyond_usual(timeout + timeout) }
            }
        }
    }

    /// Why the HPA gets no metrics at `now`, of KEDA or of prometheus-adapter.
    pub(super) fn metrics_api_error(&self, now: SimTime) -> Option<String> {
        let down = self.faults.faults.metrics_adapter_is_down(now);
        down.then(|| "the server is currently unable to handle the request".to_owned())
    }
}

impl World<'_> {
    /// Schedules the instants at which Prometheus goes and comes back.
    pub(super) fn start_faults(&mut self) {
        for at in self.sensor.faults.faults.prometheus_edges() {
            self.queue.push(at, Event::PrometheusEdge);
        }
    }

    /// Prometheus may go, or be back.
    pub(super) fn prometheus_edge(&mut self) {
        let now = self.now;
        let Sensor { prometheus, rules, faults, .. } = &mut self.sensor;
        match (prometheus.is_down(), faults.faults.prometheus_is_down(now)) {
            (false, true) => prometheus.stop(now),
            (true, false) => {
                prometheus.start(now);
                rules.restart(prometheus.database_mut(), now);
                for id in prometheus.targets() {
                    if let Some(at) = prometheus.next_scrape(id) {
                        self.queue.push(at, Event::Scrape(id.0));
                    }
                }
                for (group, at) in (0..).zip(rules.next_evaluations()) {
                    self.queue.push(at, Event::Rules(group));
                }
            }
            (true, true) | (false, false) => {}
        }
    }
}

impl Owner {
    pub(super) fn is_pod(self) -> bool {
        matches!(self, Owner::Pod(_))
    }
}
