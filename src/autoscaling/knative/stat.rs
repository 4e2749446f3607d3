//! What queue-proxies and the activator report about requests.

use crate::units::{SimDuration, SimTime};
use serde::Serialize;

/// One report of requests over about a second (`pkg/autoscaler/metrics/stat.proto`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stat {
    /// Requests in flight, on average over the time of the report.
    pub average_concurrent_requests: f64,
    /// Of these, those that came through an activator, which reports them itself.
    pub average_proxied_concurrent_requests: f64,
    /// Requests that began.
    pub request_count: f64,
    /// Of these, those that came through an activator.
    pub proxied_request_count: f64,
}

impl Stat {
    /// Adds another pod's report.
    pub(super) fn add(&mut self, other: Stat) {
        self.average_concurrent_requests += other.average_concurrent_requests;
        self.average_proxied_concurrent_requests += other.average_proxied_concurrent_requests;
        self.request_count += other.request_count;
        self.proxied_request_count += other.proxied_request_count;
    }

    /// The sum over `sample` pods as one over `total` pods of the same kind.
    pub(super) fn extrapolated(self, sample: usize, total: usize) -> Stat {
        let whole = |value: f64| value / sample as f64 * total as f64;
        Stat {
            average_concurrent_requests: whole(self.average_concurrent_requests),
            average_proxied_concurrent_requests: whole(self.average_proxied_concurrent_requests),
            request_count: whole(self.request_count),
            proxied_request_count: whole(self.proxied_request_count),
        }
    }
}

/// The way of a request into a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Through an activator, which holds it while no pod is ready.
    Activator,
    /// From the ingress straight to a pod.
    Direct,
}

/// Counts the requests in flight at one place, a queue-proxy or an activator, and reports their average
/// (`knative.dev/networking/pkg/http/stats/request.go`).
///
/// Request times are summed in integers, so a report is exact up to its final division.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestStats {
    all: Count,
    proxied: Count,
    last_change: SimTime,
    /// Time since the last report.
    in_use: SimDuration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    in_flight: u64,
    /// Requests that began since the last report.
    begun: u64,
    /// Requests x picoseconds since the last report.
    busy: u128,
}

impl Count {
    fn begin(&mut self) {
        self.in_flight += 1;
        self.begun += 1;
    }

    /// Average and number of requests of the report that ends now.
    fn report(&mut self, in_use: SimDuration) -> (f64, f64) {
        let (busy, begun) = (std::mem::take(&mut self.busy), std::mem::take(&mut self.begun));
        let average = if in_use.is_zero() { 0.0 } else { busy as f64 / in_use.as_ps() as f64 };
        (average, begun as f64)
    }
}

impl RequestStats {
    /// Nothing in flight; the first report covers the time from `started` on.
    pub fn new(started: SimTime) -> Self {
        RequestStats {
            all: Count::default(),
            proxied: Count::default(),
            last_change: started,
            in_use: SimDuration::ZERO,
        }
    }

    /// A request comes in by `route`.
    pub fn request_in(&mut self, now: SimTime, route: Route) {
        self.account(now);
        self.all.begin();
        if route == Route::Activator {
            self.proxied.begin();
        }
    }

    /// A request that came in by `route` is done, whatever its fate.
    pub fn request_out(&mut self, now: SimTime, route: Route) {
        self.account(now);
        self.all.in_flight = self.all.in_flight.saturating_sub(1);
        if route == Route::Activator {
            self.proxied.in_flight = self.proxied.in_flight.saturating_sub(1);
        }
    }

    /// The report from the last one until `now`.
    pub fn report(&mut self, now: SimTime) -> Stat {
        self.account(now);
        let in_use = std::mem::take(&mut self.in_use);
        let (average_concurrent_requests, request_count) = self.all.report(in_use);
        let (average_proxied_concurrent_requests, proxied_request_count) = self.proxied.report(in_use);
        Stat {
            average_concurrent_requests,
            average_proxied_concurrent_requests,
            request_count,
            proxied_request_count,
        }
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> u64 {
        self.all.in_flight
    }

    fn account(&mut self, now: SimTime) {
        let elapsed = now.since(self.last_change);
        for count in [&mut self.all, &mut self.proxied] {
            count.busy += u128::from(count.in_flight) * u128::from(elapsed.as_ps());
        }
        self.in_use += elapsed;
        self.last_change = self.last_change.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    #[test]
    fn a_report_is_the_average_since_the_last_one() {
        let mut stats = RequestStats::new(at(500));
        stats.request_in(at(500), Route::Direct);
        stats.request_in(at(1000), Route::Activator);
        stats.request_out(at(1250), Route::Activator);
        let report = stats.report(at(1500));
        assert_eq!(report.average_concurrent_requests, 1.25);
        assert_eq!(report.average_proxied_concurrent_requests, 0.25);
        assert_eq!((report.request_count, report.proxied_request_count), (2.0, 1.0));
        // The one in flight stays, what was counted does not.
        let report = stats.report(at(2500));
        assert_eq!((report.average_concurrent_requests, report.request_count), (1.0, 0.0));
        assert_eq!(stats.report(at(2500)), Stat::default());
        assert_eq!(stats.in_flight(), 1);
    }
}
