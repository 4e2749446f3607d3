//! The autoscaler of one revision, with all its loops: what a simulation drives.

use super::activator::ConcurrencyReporter;
use super::autoscaler::{Autoscaler, InvalidScale, ScaleResult, TICK_INTERVAL};
use super::collection::{Collection, MetricSpec};
use super::decider::DeciderSpec;
use super::decision::{Cause, Decision, Reconcile, ScaleTarget};
use super::pod_autoscaler::PodAutoscaler;
use super::scaler::{self, ScalerSettings, Sight, ToZero};
use super::serverless_service::{OperationMode, ServerlessService};
use super::spec::KnativeSpec;
use super::stat::{Route, Stat};
use super::stats_scraper::{self, PodStat};
use super::wall_time::WallTime;
use crate::autoscaling::go;
use crate::random::{Stream, Streams};
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};

/// `scrapeTickInterval` of `pkg/autoscaler/metrics/collector.go`.
const SCRAPE_INTERVAL: SimDuration = SimDuration::from_secs(1);
/// `reportInterval` of `pkg/activator/handler/concurrency_reporter.go`.
const REPORT_INTERVAL: SimDuration = SimDuration::from_secs(1);
/// `probePeriod` and `probeTimeout` of the activator's probe.
const PROBE_PERIOD: SimDuration = SimDuration::from_secs(1);
const PROBE_TIMEOUT: SimDuration = SimDuration::from_secs(45);
/// `reenqeuePeriod`: from the end of the probe to the next reconcile.
const REQUEUE_AFTER_PROBE: SimDuration = SimDuration::from_secs(1);
/// `minActivators`.
const MIN_ACTIVATORS: f64 = 2.0;
/// A reconcile settles in three rounds at most: one deactivates, one scales to zero, one finds nothing to do.
const ROUNDS_MAX: usize = 8;

/// What there is when the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A service that has been running for long, whose controller starts anew: it knows no samples, keeps the size for a
    /// stable window if that is above 1, and has the activator in the path of requests until its first decision.
    Restarted {
        /// Its ready pods, which are all that it is to have.
        ready_pods: Replicas,
    },
    /// A new revision without a ready pod, which is to reach its initial scale first.
    Deployed,
}

/// What the queue-proxy of a ready pod reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PodReport {
    /// `status.startTime` of the pod: when the kubelet took it up, before it pulled any image.
    pub started: SimTime,
    /// Requests since the last report, a second ago.
    pub stat: Stat,
}

/// The autoscaler of one revision: scrapes, windows, decider, bounds, and the way to zero and back.
///
/// ```text
///   queue-proxies ──scrape, 1 s──► windows ──tick, 2 s──► decider ──► bounds, last pod ──► spec.replicas
///   activator ──report, 1 s─────────▲  └──first request: poke──►          │
///       ▲                                                                  ▼
///       └──────────────── requests ◄── ingress ◄── ServerlessService: activator in the path, or not
/// ```
///
/// The simulation asks [`due`](Self::due) when to call [`advance`](Self::advance), calls it also when the number of ready
/// pods changed, and tells the activator of each request that [`route`](Self::route) sends through it.
#[derive(Clone, Debug)]
pub struct Kpa {
    /// The wall clock at the start of the run.
    epoch: UnixMillis,
    settings: ScalerSettings,
    decider: Autoscaler,
    status: DeciderStatus,
    collection: Collection,
    stable_window: SimDuration,
    activator: ConcurrencyReporter,
    pa: PodAutoscaler,
    sks: ServerlessService,
    scrape_sample: Stream,
    /// `None` where nothing is scraped.
    next_scrape: Option<SimTime>,
    next_report: SimTime,
    next_tick: SimTime,
    poked: Option<SimTime>,
    /// The earliest wish of reconciles; as in a Kubernetes work queue, an earlier one replaces a later one.
    requeue: Option<SimTime>,
    /// End of the activator's probe that is under way.
    probing_until: Option<SimTime>,
    /// Ready pods at the last reconcile.
    seen_ready: Option<Replicas>,
}

/// The decider was asked.
struct Tick {
    cause: Cause,
    result: Result<ScaleResult, InvalidScale>,
    /// Whether the PodAutoscaler has to hear of the answer.
    changed: bool,
}

/// `status` of a decider (`pkg/autoscaler/scaling/multiscaler.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeciderStatus {
    desired_scale: Option<Replicas>,
    excess_burst_capacity: i32,
}

impl DeciderStatus {
    /// Before the first decision the initial scale is asked whether it can take the burst.
    fn new(spec: &DeciderSpec) -> Self {
        let burst = spec.target_burst_capacity;
        let excess_burst_capacity = if burst == -1.0 || burst == 0.0 {
            go::int32(burst)
        } else {
            go::int32(f64::from(spec.initial_scale.get()) * spec.total_value - burst)
        };
        DeciderStatus { desired_scale: None, excess_burst_capacity }
    }

    /// Takes a decision; true where the PodAutoscaler has to hear of it: of another size, or of another sign of the excess.
    fn update(&mut self, result: &ScaleResult) -> bool {
        // An overflow is as good as unknown, also upstream.
        let desired = Some(result.desired_pod_count).filter(|&desired| desired >= Replicas::ZERO);
        let changed = self.desired_scale != desired
            || (self.excess_burst_capacity < 0) != (result.excess_burst_capacity < 0);
        self.desired_scale = desired;
        self.excess_burst_capacity = result.excess_burst_capacity;
        changed
    }
}

impl Kpa {
    /// The autoscaler of a revision with `spec`, which has no [`problems`](KnativeSpec::problems), in a run that begins at
    /// `epoch` on the wall clock.
    ///
    /// `programming_delay` is the time from a change of the service's endpoints until the ingress obeys. Each loop
    /// is first due within its first period, at a phase from `streams`, which also choose the pods that a scrape samples. A route refers to the revision.
    pub fn new(
        spec: &KnativeSpec,
        start: Start,
        epoch: UnixMillis,
        programming_delay: SimDuration,
        streams: &Streams,
    ) -> Self {
        let wall = WallTime::of(epoch, SimTime::ZERO);
        let settings = ScalerSettings::of(spec, true);
        let (ready, pa) = match start {
            Start::Restarted { ready_pods } => {
                (ready_pods, PodAutoscaler::restarted(ready_pods, settings.min_scale, wall))
            }
            Start::Deployed => (Replicas::ZERO, PodAutoscaler::new(wall)),
        };
        let proxied_since = if pa.active().is_inactive() { WallTime::LONG_AGO } else { wall };
        let metric = MetricSpec::of(spec);
        let decider_spec = DeciderSpec::of(spec, true);
        let phase = |name: &str, period: SimDuration| {
            SimTime::ZERO + SimDuration::from_ps(streams.stream(name).below(period.as_ps()))
        };
        Kpa {
            epoch,
            settings,
            status: DeciderStatus::new(&decider_spec),
            decider: Autoscaler::new(decider_spec, Ok(ready), epoch, SimTime::ZERO),
            collection: Collection::new(&metric),
            stable_window: metric.stable_window,
            activator: ConcurrencyReporter::default(),
            pa,
            sks: ServerlessService::proxying(proxied_since, programming_delay),
            scrape_sample: streams.stream("knative/scrape-sample"),
            next_scrape: metric.scraped.then(|| phase("knative/scrape-phase", SCRAPE_INTERVAL)),
            next_report: phase("knative/report-phase", REPORT_INTERVAL),
            next_tick: phase("knative/tick-phase", TICK_INTERVAL),
            poked: None,
            requeue: Some(SimTime::ZERO),
            probing_until: None,
            seen_ready: None,
        }
    }

    /// When [`advance`](Self::advance) is due next. A request that comes through the activator may make it earlier.
    pub fn due(&self) -> SimTime {
        let optional = [self.next_scrape, self.poked, self.requeue, self.probing_until];
        let report = if self.activator.is_idle() { SimTime::NEVER } else { self.next_report };
        optional.into_iter().flatten().fold(self.next_tick.min(report), SimTime::min)
    }

    /// The way of a request that arrives at `now`: through the activator, which holds it while no pod is ready, or straight
    /// to a pod. A request keeps its way to its end.
    pub fn route(&self, now: SimTime) -> Route {
        self.sks.route(now)
    }

    /// A request arrives at the activator. True where this makes [`advance`](Self::advance) due at once: it is the first
    /// one of a service at zero.
    pub fn activator_in(&mut self, now: SimTime) -> bool {
        if let Some(stat) = self.activator.request_in(now) {
            self.take_activator_stat(now, stat);
        }
        self.poked.is_some()
    }

    /// A request that came through the activator is done, whatever its fate.
    pub fn activator_out(&mut self, now: SimTime) {
        self.activator.request_out(now);
    }

    /// Runs every loop that is due at `now` and reconciles where there is a reason to. `pods` gives the reports of all ready
    /// pods, in any fixed order; it is asked at scrapes only. `None` where nothing was decided or reconciled.
    pub fn advance(
        &mut self,
        now: SimTime,
        target: ScaleTarget,
        pods: &mut dyn FnMut() -> Vec<PodReport>,
    ) -> Option<Decision> {
        self.scrape(now, pods);
        self.report(now);
        if self.probing_until.take_if(|until| *until <= now).is_some() {
            // A reason to look again whether it succeeded or ran out of time.
            self.requeue_after(now, REQUEUE_AFTER_PROBE);
        }
        let tick = self.tick(now, target.ready_pods);
        let requeued = self.requeue.take_if(|at| *at <= now).is_some();
        let pods_changed = self.seen_ready != Some(target.ready_pods);
        let cause = match &tick {
            _ if self.seen_ready.is_none() => Cause::Created,
            Some(tick) => tick.cause,
            None if requeued => Cause::Requeue,
            None if pods_changed => Cause::Pods,
            None => return None,
        };
        let changed = tick.as_ref().is_some_and(|tick| tick.changed);
        let (scale, invalid) = match tick.map(|tick| tick.result) {
            Some(Ok(scale)) => (Some(scale), None),
            Some(Err(invalid)) => (None, Some(invalid)),
            None => (None, None),
        };
        let mut decision = Decision {
            cause,
            target,
            replicas: None,
            scale,
            invalid,
            desired_scale: self.status.desired_scale,
            reconciles: Vec::new(),
        };
        if changed || requeued || pods_changed {
            self.reconcile(now, target, &mut decision);
        }
        Some(decision)
    }

    /// Scrapes the queue-proxies, if it is time.
    fn scrape(&mut self, now: SimTime, pods: &mut dyn FnMut() -> Vec<PodReport>) {
        if !passed(self.next_scrape.as_mut(), SCRAPE_INTERVAL, now) {
            return;
        }
        let wall = WallTime::of(self.epoch, now);
        let old = |report: &PodReport| {
            wall.since(WallTime::of(self.epoch, report.started).whole_second()) >= self.stable_window
        };
        let stats: Vec<PodStat> =
            pods().iter().map(|report| PodStat { old: old(report), stat: report.stat }).collect();
        if let Some(stat) = stats_scraper::scrape(&stats, &mut self.scrape_sample) {
            self.collection.record(self.epoch.at(now), stat);
        }
    }

    /// The activator reports, if it is time and it has seen requests.
    fn report(&mut self, now: SimTime) {
        if passed(Some(&mut self.next_report), REPORT_INTERVAL, now)
            && let Some(stat) = self.activator.report(now)
        {
            self.take_activator_stat(now, stat);
        }
    }

    fn take_activator_stat(&mut self, now: SimTime, stat: Stat) {
        self.collection.record(self.epoch.at(now), stat);
        if self.status.desired_scale == Some(Replicas::ZERO) && stat.average_concurrent_requests != 0.0 {
            self.poked = Some(now);
        }
    }

    /// Asks the decider, if it is time or it was poked.
    fn tick(&mut self, now: SimTime, ready: Replicas) -> Option<Tick> {
        let poked = self.poked.take().is_some();
        let cause = match (passed(Some(&mut self.next_tick), TICK_INTERVAL, now), poked) {
            (_, true) => Cause::Poke,
            (true, false) => Cause::Tick,
            (false, false) => return None,
        };
        let observed = self.collection.stable_and_panic(self.epoch.at(now));
        let result = self.decider.scale(now, Ok(ready), observed);
        let changed = result.as_ref().is_ok_and(|result| self.status.update(result));
        Some(Tick { cause, result, changed })
    }

    /// Reconciles until nothing changes any more.
    fn reconcile(&mut self, now: SimTime, target: ScaleTarget, decision: &mut Decision) {
        self.seen_ready = Some(target.ready_pods);
        let mut replicas = target.spec_replicas;
        for _ in 0..ROUNDS_MAX {
            let pa_before = self.pa;
            let (round, sks_changed) = self.reconcile_once(now, target.ready_pods);
            decision.reconciles.push(round);
            if let Some(want) = round.want.filter(|_| round.applied) {
                replicas = want;
            }
            if self.pa == pa_before && !sks_changed {
                break;
            }
        }
        decision.replicas = Some(replicas).filter(|&replicas| replicas != target.spec_replicas);
    }

    /// One round of `ReconcileKind` (`pkg/reconciler/autoscaling/kpa/kpa.go`). The flag says whether the ServerlessService
    /// changed.
    fn reconcile_once(&mut self, now: SimTime, ready: Replicas) -> (Reconcile, bool) {
        let wall = WallTime::of(self.epoch, now);
        let activator_answers = self.sks.route(now) == Route::Activator;
        let sight = Sight { pa: &self.pa, sks: &self.sks, activator_answers, now: wall };
        let scaled = scaler::scale(&self.settings, self.status.desired_scale, sight);
        if let Some(after) = scaled.requeue {
            self.requeue_after(now, after);
        }
        if scaled.to_zero == Some(ToZero::ActivatorNotProbed) {
            self.probe(now);
        }
        let wanted = scaled.want.is_some_and(|want| want > Replicas::ZERO);
        let mode = if wanted && self.status.excess_burst_capacity >= 0 {
            OperationMode::Serve
        } else {
            OperationMode::Proxy
        };
        let sks_changed = self.sks.reconcile(mode, ready, now, wall);
        let (min_scale, initial_scale) = (self.settings.min_scale, self.settings.initial_scale);
        self.pa.compute_active_condition(scaled.want, ready, min_scale, initial_scale, wall);
        let round = Reconcile {
            want: scaled.want,
            applied: scaled.applied,
            limited_by: scaled.limited_by,
            to_zero: scaled.to_zero,
            active: self.pa.active(),
            mode,
            activators: self.activators(ready),
        };
        (round, sks_changed)
    }

    /// Starts the probe that waits for the activator, unless one is under way.
    fn probe(&mut self, now: SimTime) {
        let timeout = now + PROBE_TIMEOUT;
        let success = self.sks.probe_success(now, PROBE_PERIOD);
        self.probing_until.get_or_insert(success.map_or(timeout, |success| success.min(timeout)));
    }

    fn requeue_after(&mut self, now: SimTime, after: SimDuration) {
        let at = now.checked_add(after).unwrap_or(SimTime::NEVER);
        self.requeue = Some(self.requeue.map_or(at, |earlier| earlier.min(at)));
    }

    /// How many activators are to be in the path of requests (`computeNumActivators`).
    fn activators(&self, ready: Replicas) -> i32 {
        let spec = self.decider.spec();
        let needed = if spec.target_burst_capacity == 0.0 {
            MIN_ACTIVATORS
        } else {
            let capacity = f64::from(ready.get()) * spec.total_value + spec.target_burst_capacity.max(0.0);
            (capacity / spec.activator_capacity).ceil().max(MIN_ACTIVATORS)
        };
        go::int32(needed)
    }
}

/// Whether `next` has come; then it is set to the next time after `now`.
fn passed(next: Option<&mut SimTime>, interval: SimDuration, now: SimTime) -> bool {
    let Some(next) = next.filter(|next| **next <= now) else { return false };
    while *next <= now {
        *next += interval;
    }
    true
}
