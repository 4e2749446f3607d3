//! Whole services in small: requests, pods that take a while to start, and the autoscaler over them.

use super::decision::{Cause, Decision, ScaleTarget};
use super::kpa::{Kpa, PodReport, Start};
use super::pod_autoscaler::ActiveCondition;
use super::scaler::{Bound, ToZero};
use super::serverless_service::OperationMode;
use super::spec::{KnativeSpec, Metric};
use super::stat::{RequestStats, Route};
use crate::random::Streams;
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};
use proptest::prelude::*;

fn ms(ms: u64) -> SimDuration {
    SimDuration::from_millis(ms)
}

fn at(seconds: u64) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs(seconds)
}

fn spec(text: &str) -> KnativeSpec {
    let spec: KnativeSpec = toml::from_str(text).expect(text);
    assert_eq!(spec.problems(), [], "{text}");
    spec
}

/// A service in motion.
struct Rehearsal {
    kpa: Kpa,
    now: SimTime,
    replicas: Replicas,
    /// By age: when each is ready, and its queue-proxy.
    pods: Vec<(SimTime, RequestStats)>,
    startup: SimDuration,
    /// When each request arrives and how long it is in the service, by arrival; those to come.
    requests: Vec<(SimTime, SimDuration)>,
    /// When each ends and which way it came, those in flight.
    in_flight: Vec<(SimTime, Route)>,
    decisions: Vec<(SimTime, Decision)>,
}

impl Rehearsal {
    fn new(spec: &KnativeSpec, start: Start, programming_delay: SimDuration, startup: SimDuration) -> Self {
        let kpa = Kpa::new(spec, start, UnixMillis(1_700_000_000_250), programming_delay, &Streams::new(7));
        let (replicas, ready) = match start {
            Start::Restarted { ready_pods } => (ready_pods, ready_pods.get()),
            Start::Deployed => (Replicas(spec.initial_scale()), 0),
        };
        let mut rehearsal = Rehearsal {
            kpa,
            now: SimTime::ZERO,
            replicas,
            pods: vec![(SimTime::ZERO, RequestStats::new(SimTime::ZERO)); ready as usize],
            startup,
            requests: Vec::new(),
            in_flight: Vec::new(),
            decisions: Vec::new(),
        };
        rehearsal.resize();
        rehearsal
    }

    /// A restarted service, with an ingress that obeys at once and pods that start in 5 s.
    fn restarted(text: &str, ready_pods: i32) -> Self {
        let start = Start::Restarted { ready_pods: Replicas(ready_pods) };
        Rehearsal::new(&spec(text), start, SimDuration::ZERO, SimDuration::from_secs(5))
    }

    fn with_requests(mut self, mut requests: Vec<(SimTime, SimDuration)>) -> Self {
        requests.sort();
        self.requests = requests;
        self
    }

    fn ready_pods(&self) -> Replicas {
        Replicas(self.pods.iter().filter(|(ready, _)| *ready <= self.now).count() as i32)
    }

    /// Pods as the Deployment has them made or deleted, the newest first.
    fn resize(&mut self) {
        let ready = self.now + self.startup;
        self.pods.resize(self.replicas.get() as usize, (ready, RequestStats::new(ready)));
    }

    /// Runs to `end`, one event after the other.
    fn run(&mut self, end: SimTime) {
        loop {
            let arrival = self.requests.first().map(|(at, _)| *at);
            let departure = self.in_flight.iter().map(|(at, _)| *at).min();
            let readiness = self.pods.iter().map(|(ready, _)| *ready).filter(|ready| *ready > self.now).min();
            let event =
                [arrival, departure, readiness].into_iter().flatten().fold(self.kpa.due(), SimTime::min);
            if event > end {
                break;
            }
            self.now = event;
            self.depart();
            self.arrive();
            self.advance();
        }
        self.now = end;
    }

    fn depart(&mut self) {
        let now = self.now;
        let (gone, left) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= now);
        self.in_flight = left;
        for (_, route) in gone {
            self.tell(route, false);
        }
    }

    fn arrive(&mut self) {
        while self.requests.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, duration) = self.requests.remove(0);
            let route = self.kpa.route(self.now);
            self.in_flight.push((self.now + duration, route));
            self.tell(route, true);
        }
    }

    /// The first pod serves what comes directly. What comes through the activator, pods report as such, so that it makes no
    /// difference to the autoscaler where it is.
    fn tell(&mut self, route: Route, arrives: bool) {
        match (route, arrives) {
            (Route::Activator, true) => {
                self.kpa.activator_in(self.now);
            }
            (Route::Activator, false) => self.kpa.activator_out(self.now),
            (Route::Direct, true) => {
                if let Some((_, stats)) = self.pods.first_mut() {
                    stats.request_in(self.now, route);
                }
            }
            (Route::Direct, false) => {
                if let Some((_, stats)) = self.pods.first_mut() {
                    stats.request_out(self.now, route);
                }
            }
        }
    }

    fn advance(&mut self) {
        let target = ScaleTarget { spec_replicas: self.replicas, ready_pods: self.ready_pods() };
        let (now, startup, pods) = (self.now, self.startup, &mut self.pods);
        let mut reports = || {
            let ready = pods.iter_mut().filter(|(ready, _)| *ready <= now);
            ready
                .map(|(ready, stats)| PodReport {
                    started: SimTime::ZERO + ready.since(SimTime::ZERO + startup),
                    stat: stats.report(now),
                })
                .collect()
        };
        let Some(decision) = self.kpa.advance(now, target, &mut reports) else { return };
        if let Some(replicas) = decision.replicas {
            self.replicas = replicas;
            self.resize();
        }
        self.decisions.push((now, decision));
    }

    /// When the size changed and to what.
    fn sizes(&self) -> Vec<(u64, i32)> {
        let size = |(at, decision): &(SimTime, Decision)| {
            decision.replicas.map(|replicas| (at.as_millis() / 1000, replicas.get()))
        };
        self.decisions.iter().filter_map(size).collect()
    }

    /// The rule about the last pod of the last round of each reconcile that had one, without repetitions.
    fn rules(&self) -> Vec<ToZero> {
        let rounds = self.decisions.iter().flat_map(|(_, decision)| &decision.reconciles);
        let mut rules: Vec<ToZero> = rounds.filter_map(|round| round.to_zero).collect();
        rules.dedup();
        rules
    }
}

#[test]
fn an_idle_service_that_is_proxied_anyway_goes_to_zero_when_its_windows_are_empty() {
    // Four pods take 40 requests, far from a burst of 211.
    let mut service = Rehearsal::restarted("target = 10", 4);
    service.run(at(200));
    let sizes = service.sizes();
    // Panic keeps the size for a window; then it halves.
    let [(first, 2), (second, 1), (third, 0)] = sizes[..] else { panic!("{sizes:?}") };
    assert!((60..=62).contains(&first) && second == first + 2 && third == second + 2, "{sizes:?}");
    assert_eq!(service.rules(), [ToZero::Deactivated, ToZero::ProxiedLongEnough]);
    let (_, last) = service.decisions.iter().rfind(|(_, decision)| decision.replicas.is_some()).expect("one");
    let json = serde_json::to_value(last).expect("it serializes");
    assert_eq!((&json["cause"], &json["replicas"]), (&"tick".into(), &0.into()));
    assert_eq!(json["scale"]["shaped_by"], "stable_window");
    assert_eq!(json["reconciles"][0]["to_zero"], "deactivated");
    assert_eq!(json["reconciles"][0]["active"], "False/NoTraffic");
}

#[test]
fn a_service_off_the_activator_waits_for_it_and_for_the_grace_period() {
    let start = Start::Restarted { ready_pods: Replicas(1) };
    let mut service = Rehearsal::new(&spec("target_burst_capacity = 0"), start, ms(2500), ms(5000))
        .with_requests(vec![(at(0), SimDuration::from_secs(20))]);
    // Through the activator until the first decision has come and the ingress has heard of it.
    assert_eq!(service.kpa.route(at(0)), Route::Activator);
    service.run(at(60));
    assert_eq!(service.kpa.route(at(60)), Route::Direct);
    service.run(at(200));
    let sizes = service.sizes();
    let [(gone, 0)] = sizes[..] else { panic!("{sizes:?}") };
    // 20 s with the request, a stable window until it is forgotten, and the grace period.
    assert!((109..=113).contains(&gone), "{sizes:?}");
    assert_eq!(
        service.rules(),
        [ToZero::Deactivated, ToZero::ActivatorNotProbed, ToZero::GracePeriod, ToZero::InactiveLongEnough]
    );
    assert_eq!(service.kpa.route(at(200)), Route::Activator);
}

#[test]
fn the_end_of_a_probe_is_heard_of_even_after_an_earlier_requeue() {
    let text = "target = 3\ntarget_burst_capacity = 0\nwindow = '6s'\nscale_to_zero_pod_retention_period = '39s'\n\
                config.scale_to_zero_grace_period = '1s'";
    // The wish of the retention after the first request comes true in the middle of the probe after the second.
    for gap_ms in (36_000..40_000).step_by(250) {
        let request = |sent| (SimTime::ZERO + ms(sent), ms(20_000));
        let start = Start::Restarted { ready_pods: Replicas::ZERO };
        let mut service = Rehearsal::new(&spec(text), start, ms(900), ms(1))
            .with_requests(vec![request(5_000), request(5_000 + gap_ms)]);
        service.run(at(150));
        assert_eq!(service.replicas, Replicas::ZERO, "{gap_ms}: {:?}", service.sizes());
    }
}

#[test]
fn a_request_to_a_service_at_zero_pokes_it() {
    for text in ["target = 10", "target = 10\ntarget_burst_capacity = -1", "metric = 'rps'"] {
        let first = SimTime::ZERO + ms(100_900);
        let requests = vec![(at(1), ms(500)), (first, ms(15_000)), (first + ms(100), ms(15_000))];
        let mut service = Rehearsal::restarted(text, 0).with_requests(requests);
        service.run(at(300));
        let sizes = service.sizes();
        let poke = service.decisions.iter().find(|(at, _)| *at == first).expect("a decision at once");
        assert_eq!((poke.1.cause, poke.1.replicas), (Cause::Poke, Some(Replicas(1))), "{text}");
        assert_eq!(poke.1.reconciles[0].active, ActiveCondition::Activating);
        assert_eq!(sizes.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [1, 0, 1, 0], "{text} {sizes:?}");
        let ready = first + service.startup;
        let active = service.decisions.iter().find(|(at, _)| *at == ready).expect("it hears of the pod");
        assert_eq!((active.1.cause, active.1.reconciles[0].active), (Cause::Pods, ActiveCondition::Active));
    }
}

#[test]
fn a_service_whose_pods_never_come_is_given_up() {
    let start = Start::Restarted { ready_pods: Replicas::ZERO };
    let mut service =
        Rehearsal::new(&spec("progress_deadline = '90s'"), start, ms(0), SimDuration::from_secs(1_000_000))
            .with_requests(vec![(at(10), SimDuration::from_secs(1))]);
    service.run(at(400));
    let sizes = service.sizes();
    let [(up, 1), (down, 0)] = sizes[..] else { panic!("{sizes:?}") };
    // Nothing is wanted once the window has forgotten the request; then the deadline and 30 s pass.
    assert!((10..=12).contains(&up) && (189..=195).contains(&down), "{sizes:?}");
    assert_eq!(service.rules(), [ToZero::Activating, ToZero::ActivationTimedOut, ToZero::ProxiedLongEnough]);
}

#[test]
fn a_restarted_service_with_too_few_pods_gets_them() {
    for (ready, after) in [(0, vec![(0, 2)]), (1, vec![(0, 2)]), (2, vec![])] {
        let mut service = Rehearsal::restarted("min_scale = 2", ready);
        service.run(at(300));
        assert_eq!(service.sizes(), after, "{ready}");
    }
}

#[test]
fn a_new_revision_starts_at_its_initial_scale() {
    let text = "initial_scale = 3\nmax_scale = 5\ntarget = 10";
    let mut service = Rehearsal::new(&spec(text), Start::Deployed, ms(0), ms(8000));
    service.run(at(7));
    let rounds: Vec<_> = service.decisions.iter().flat_map(|(_, decision)| &decision.reconciles).collect();
    assert!(rounds.iter().all(|round| round.limited_by == Some(Bound::InitialScale)), "{rounds:?}");
    service.run(at(20));
    // Without traffic all go but the one that stays until the revision has been active for a window.
    let last = service.decisions.last().and_then(|(_, decision)| decision.desired_scale);
    assert_eq!((last, service.ready_pods()), (Some(Replicas::ZERO), Replicas(1)), "{:?}", service.sizes());
}

#[test]
fn enough_capacity_takes_the_activator_out_of_the_way() {
    let text = "target = 100\ntarget_burst_capacity = 150\nmin_scale = 2";
    let mut service = Rehearsal::restarted(text, 2);
    service.run(at(3));
    let modes = |service: &Rehearsal| {
        let mut modes: Vec<_> = service
            .decisions
            .iter()
            .flat_map(|(_, decision)| &decision.reconciles)
            .map(|round| (round.mode, round.activators))
            .collect();
        modes.dedup();
        modes
    };
    assert_eq!(modes(&service), [(OperationMode::Proxy, 4), (OperationMode::Serve, 4)]);
    // 60 in flight are more than 200 - 150.
    service = service.with_requests(vec![(at(3), SimDuration::from_secs(30)); 60]);
    service.run(at(60));
    assert_eq!(
        modes(&service),
        [
            (OperationMode::Proxy, 4),
            (OperationMode::Serve, 4),
            (OperationMode::Proxy, 4),
            (OperationMode::Serve, 4)
        ]
    );
}

fn any_spec() -> impl Strategy<Value = (String, u64)> {
    let burst = prop_oneof![Just(-1.0), Just(0.0), Just(5.0), Just(211.0)];
    let algorithm = prop_oneof![Just("linear"), Just("weighted-exponential")];
    let window = prop_oneof![Just(6), Just(20), Just(60)];
    let metric = prop_oneof![Just("concurrency"), Just("rps")];
    let rest = (0..30_u64, 0..40_u64, 1..40_u64);
    (metric, burst, algorithm, window, 0..3_i32, 3..7_i32, rest).prop_map(
        |(metric, burst, algorithm, window, min, max, (delay, retention, grace))| {
            let text = format!(
                "metric = '{metric}'\ntarget = 3\ntarget_burst_capacity = {burst:?}\nwindow = '{window}s'\n\
                 metric_aggregation_algorithm = '{algorithm}'\nmin_scale = {min}\nmax_scale = {max}\n\
                 scale_down_delay = '{delay}s'\nscale_to_zero_pod_retention_period = '{retention}s'\n\
                 config.scale_to_zero_grace_period = '{grace}s'"
            );
            // From the last sample on: the window, panic and its end, the delay, activity for a window, the last pod's stay,
            // and what is rounded.
            let idle_s = 3 * window + delay + retention.max(grace) + 60;
            (text, idle_s)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sizes_stay_within_bounds_and_zero_comes_after_silence_and_surely(
        (text, idle_s) in any_spec(),
        ready in 0..5_i32,
        delay_ms in 0..3_000_u64,
        startup_ms in 1..20_000_u64,
        requests in proptest::collection::vec((0..240_000_u64, 100..30_000_u64), 0..40),
    ) {
        let spec = spec(&text);
        let (min, max) = (spec.min_scale(), spec.max_scale());
        let requests: Vec<_> =
            requests.into_iter().map(|(sent, takes)| (SimTime::ZERO + ms(sent), ms(takes))).collect();
        let start = Start::Restarted { ready_pods: Replicas(ready) };
        let run = |end| {
            let mut service =
                Rehearsal::new(&spec, start, ms(delay_ms), ms(startup_ms)).with_requests(requests.clone());
            service.run(end);
            service
        };
        let end = requests.iter().map(|(sent, takes)| *sent + *takes).fold(at(0), SimTime::max)
            + SimDuration::from_secs(idle_s);
        let service = run(end);
        let window = spec.stable_window().duration();
        for (now, decision) in &service.decisions {
            let Some(replicas) = decision.replicas else { continue };
            prop_assert!((min..=max).contains(&replicas.get()), "{replicas} at {now}");
            if replicas == Replicas::ZERO {
                // What came in the last second may not have been reported yet; buckets are whole seconds.
                let heard = requests.iter().filter(|(sent, _)| now.since(*sent) > ms(1000));
                let counted = heard.map(|(sent, takes)| match spec.metric() {
                    Metric::Concurrency => (*sent + *takes).min(*now),
                    Metric::Rps => *sent,
                });
                let last = counted.max();
                prop_assert!(
                    last.is_none_or(|last| now.since(last) + ms(1001) >= window),
                    "zero at {now}, the last request counted until {last:?}"
                );
            }
        }
        prop_assert_eq!(service.replicas.get(), min, "after {} idle seconds: {:?}", idle_s, service.sizes());
        prop_assert_eq!(run(end).decisions, service.decisions);
    }
}
