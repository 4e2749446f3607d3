//! The activator's reports of the requests that pass through it (`pkg/activator/handler/concurrency_reporter.go`).

use super::stat::{RequestStats, Route, Stat};
use crate::units::SimTime;

/// Counts the requests that are in the activator or went through it and have no answer yet, and reports every second.
///
/// The first request after a second without any is reported at once, as a concurrency of 1, so that a service at zero
/// need not wait; the next report is that much lower. Several activators count as one here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ConcurrencyReporter {
    seen: Option<Seen>,
}

/// What is known of a revision from its first request to the end of a report without any.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    stats: RequestStats,
    /// What was reported ahead.
    first_request: f64,
}

impl ConcurrencyReporter {
    /// A request arrives. The stat is what is reported at once.
    pub(super) fn request_in(&mut self, now: SimTime) -> Option<Stat> {
        let reported = match self.seen {
            Some(_) => None,
            None => Some(Stat { average_concurrent_requests: 1.0, request_count: 1.0, ..Stat::default() }),
        };
        let seen =
            self.seen.get_or_insert_with(|| Seen { stats: RequestStats::new(now), first_request: 1.0 });
        // Not as proxied: that is what queue-proxies see of it.
        seen.stats.request_in(now, Route::Direct);
        reported
    }

    /// A request is done, whatever its fate.
    pub(super) fn request_out(&mut self, now: SimTime) {
        if let Some(seen) = &mut self.seen {
            seen.stats.request_out(now, Route::Direct);
        }
    }

    /// Whether there is anything to report.
    pub(super) fn is_idle(&self) -> bool {
        self.seen.is_none()
    }

    /// The report of the second that ends at `now`, if there was any request in it or in the one before.
    pub(super) fn report(&mut self, now: SimTime) -> Option<Stat> {
        let seen = self.seen.as_mut()?;
        let report = seen.stats.report(now);
        let ahead = std::mem::take(&mut seen.first_request);
        if report.average_concurrent_requests == 0.0 && seen.stats.in_flight() == 0 {
            self.seen = None;
        }
        Some(Stat {
            // Over the second the average may be below the 1 that was reported.
            average_concurrent_requests: (report.average_concurrent_requests - ahead).max(0.0),
            request_count: report.request_count - ahead,
            ..Stat::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimDuration;

    fn at(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    #[test]
    fn the_first_request_is_reported_ahead_and_taken_off_the_next_report() {
        let mut activator = ConcurrencyReporter::default();
        let ahead = activator.request_in(at(0)).expect("it is the first");
        assert_eq!((ahead.average_concurrent_requests, ahead.request_count), (1.0, 1.0));
        assert_eq!(activator.request_in(at(250)), None);
        let report = activator.report(at(1000)).expect("there are requests");
        assert_eq!((report.average_concurrent_requests, report.request_count), (0.75, 1.0));
        activator.request_out(at(1000));
        activator.request_out(at(1500));
        let report = activator.report(at(2000)).expect("one was there");
        assert_eq!((report.average_concurrent_requests, report.request_count), (0.5, 0.0));
        // A zero is reported once, then the revision is forgotten.
        assert_eq!(activator.report(at(3000)), Some(Stat::default()));
        assert!(activator.is_idle() && activator.report(at(4000)).is_none());
        assert!(activator.request_in(at(4000)).is_some());
    }

    #[test]
    fn a_request_shorter_than_the_second_reports_no_less_than_nothing() {
        let mut activator = ConcurrencyReporter::default();
        assert!(activator.request_in(at(100)).is_some());
        activator.request_out(at(200));
        let report = activator.report(at(1000)).expect("there was one");
        assert_eq!((report.average_concurrent_requests, report.request_count), (0.0, 0.0));
    }
}
