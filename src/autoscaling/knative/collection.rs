//! The two windows of a revision's scaling metric (`pkg/autoscaler/metrics/collector.go`).

use super::aggregation::{TimedFloat64Buckets, WeightedFloat64Buckets};
use super::spec::{Metric, MetricAggregationAlgorithm};
use super::stat::Stat;
use crate::units::{SimDuration, UnixMillis};
use serde::Serialize;
use std::fmt;

/// `BucketSize`: every scrape has a bucket of its own.
const BUCKET_SIZE: SimDuration = SimDuration::from_secs(1);

/// What the windows say at one instant: totals over all pods, in requests in flight or requests per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Observed {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricError {
    /// Nothing was reported for longer than the window (`ErrNoData`).
    NoData,
    /// The metric is not being collected (`ErrNotCollecting`).
    NotCollecting,
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MetricError::NoData => "no data available",
            MetricError::NotCollecting => "no metrics are being collected for the requested resource",
        })
    }
}

/// What is collected of one revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Collection {
    metric: Metric,
    /// Whether queue-proxies are scraped; else the activator alone reports.
    scraped: bool,
    stable: Window,
    panic: Window,
}

/// A window by either algorithm.
#[derive(Clone, Debug, PartialEq)]
enum Window {
    Linear(TimedFloat64Buckets),
    WeightedExponential(WeightedFloat64Buckets),
}

impl Window {
    fn new(algorithm: MetricAggregationAlgorithm, window: SimDuration) -> Self {
        match algorithm {
            MetricAggregationAlgorithm::Linear => {
                Window::Linear(TimedFloat64Buckets::new(window, BUCKET_SIZE))
            }
            MetricAggregationAlgorithm::WeightedExponential => {
                Window::WeightedExponential(WeightedFloat64Buckets::new(window, BUCKET_SIZE))
            }
        }
    }

    fn record(&mut self, at: UnixMillis, value: f64) {
        match self {
            Window::Linear(buckets) => buckets.record(at, value),
            Window::WeightedExponential(buckets) => buckets.record(at, value),
        }
    }

    fn average(&self, now: UnixMillis) -> f64 {
        match self {
            Window::Linear(buckets) => buckets.window_average(now),
            Window::WeightedExponential(buckets) => buckets.window_average(now),
        }
    }

    fn is_empty(&self, now: UnixMillis) -> bool {
        match self {
            Window::Linear(buckets) => buckets.is_empty(now),
            Window::WeightedExponential(buckets) => buckets.is_empty(now),
        }
    }
}

/// What to collect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MetricSpec {
    pub(super) metric: Metric,
    pub(super) algorithm: MetricAggregationAlgorithm,
    pub(super) stable_window: SimDuration,
    pub(super) panic_window: SimDuration,
    /// `scrapeTarget` is not empty.
    pub(super) scraped: bool,
}

impl Collection {
    /// Nothing recorded yet.
    pub(super) fn new(spec: &MetricSpec) -> Self {
        Collection {
            metric: spec.metric,
            scraped: spec.scraped,
            stable: Window::new(spec.algorithm, spec.stable_window),
            panic: Window::new(spec.algorithm, spec.panic_window),
        }
    }

    /// Takes a report. What came through the activator is in the activator's own reports.
    pub(super) fn record(&mut self, at: UnixMillis, stat: Stat) {
        let value = match self.metric {
            Metric::Concurrency => {
                stat.average_concurrent_requests - stat.average_proxied_concurrent_requests
            }
            Metric::Rps => stat.request_count - stat.proxied_request_count,
        };
        self.stable.record(at, value);
        self.panic.record(at, value);
    }

    /// The values at `now` (`StableAndPanicConcurrency`, `StableAndPanicRPS`). Where nothing is scraped, no report means
    /// no request.
    pub(super) fn stable_and_panic(&self, now: UnixMillis) -> Result<Observed, MetricError> {
        if self.scraped && self.stable.is_empty(now) {
            return Err(MetricError::NoData);
        }
        Ok(Observed { stable: self.stable.average(now), panic: self.panic.average(now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> UnixMillis {
        UnixMillis(s * 1000)
    }

    fn spec() -> MetricSpec {
        MetricSpec {
            metric: Metric::Concurrency,
            algorithm: MetricAggregationAlgorithm::Linear,
            stable_window: SimDuration::from_secs(60),
            panic_window: SimDuration::from_secs(6),
            scraped: true,
        }
    }

    #[test]
    fn proxied_requests_are_the_activators() {
        let stat = Stat {
            average_concurrent_requests: 5.0,
            average_proxied_concurrent_requests: 2.0,
            request_count: 9.0,
            proxied_request_count: 8.0,
        };
        for (metric, value) in [(Metric::Concurrency, 3.0), (Metric::Rps, 1.0)] {
            let mut collection = Collection::new(&MetricSpec { metric, ..spec() });
            collection.record(at(1), stat);
            let observed = Observed { stable: value, panic: value };
            assert_eq!(collection.stable_and_panic(at(1)), Ok(observed), "{metric:?}");
        }
    }

    #[test]
    fn no_report_is_no_data_only_where_pods_are_scraped() {
        let mut collection = Collection::new(&spec());
        assert_eq!(collection.stable_and_panic(at(1)), Err(MetricError::NoData));
        collection.record(at(1), Stat { average_concurrent_requests: 6.0, ..Stat::default() });
        assert_eq!(collection.stable_and_panic(at(7)), Ok(Observed { stable: 6.0, panic: 0.0 }));
        assert_eq!(collection.stable_and_panic(at(61)), Ok(Observed { stable: 0.0, panic: 0.0 }));
        assert_eq!(collection.stable_and_panic(at(62)), Err(MetricError::NoData));
        let algorithm = MetricAggregationAlgorithm::WeightedExponential;
        let collection = Collection::new(&MetricSpec { scraped: false, algorithm, ..spec() });
        assert_eq!(collection.stable_and_panic(at(1)), Ok(Observed { stable: 0.0, panic: 0.0 }));
    }
}
