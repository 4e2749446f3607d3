//! One run: the state of everything, and the loop that moves it.

use super::checkers;
use super::clients::Clients;
use super::control::{ControlLoops, Wva};
use super::event::{Event, EventQueue};
use super::fleet::Fleet;
use super::record::{Controller, Recorder};
use super::setup::Setup;
use super::telemetry::Sensor;
use super::timeline::Timeline;
use super::totals::Totals;
use super::traffic::Ingress;
use crate::problem::Problem;
use crate::random::Streams;
use crate::serving::engine::Output;
use crate::serving::gateway::Gateway;
use crate::serving::router::Router;
use crate::units::{Replicas, SimTime};
use std::ops::ControlFlow;

/// `progress` is asked at least once in so many events.
const EVENTS_UNHEARD_MAX: u32 = 1 << 16;

/// A world in motion. [`World::run`] takes it from the start to the end; the recorder hears what happens.
///
/// Its fields are in the order of the loop: requests come from clients through the ingress to the fleet, which the sensor
/// watches and the controllers resize.
pub struct World<'a> {
    pub(super) now: SimTime,
    /// Requests due after this instant do not exist.
    pub(super) end: SimTime,
    drain: bool,
    pub(super) queue: EventQueue,

    pub(super) clients: Clients,
    pub(super) ingress: Ingress,
    pub(super) fleet: Fleet,
    pub(super) sensor: Sensor,
    /// Says what it wants as a metric, which the controller may follow.
    pub(super) wva: Option<Wva>,
    pub(super) control: ControlLoops,

    /// What controllers have decided and not written yet: when, what, and who.
    pub(super) late_scales: Vec<(SimTime, Replicas, Controller)>,

    pub(super) timeline: Timeline,
    pub(super) totals: Totals,
    pub(super) recorder: &'a mut dyn Recorder,
    /// Kept for its allocation.
    pub(super) outputs: Vec<Output>,
}

impl<'a> World<'a> {
    /// The world at t = 0: initial pods Ready, ScaledObject and HPA created, Prometheus empty.
    ///
    /// # Errors
    /// The workload's first line cannot be read, or a setting that only fails when it is put to use.
    pub fn new(setup: Setup, recorder: &'a mut dyn Recorder) -> Result<Self, Problem> {
        let streams = Streams::new(setup.seed);
        let serving = setup.serving;
        let recorded = recorder.wants_series();
        let monitoring = if recorded { setup.monitoring.whole() } else { setup.monitoring };
        let mut world = World {
            now: SimTime::ZERO,
            end: SimTime::ZERO + setup.duration,
            drain: setup.drain,
            queue: EventQueue::default(),
            clients: Clients::new(setup.workload, SimTime::ZERO + setup.warmup),
            ingress: Ingress {
                gateway: Gateway::new(serving.gateway),
                router: Router::new(serving.router, streams.stream("router")),
                delay: serving.request_path.input,
                stats: monitoring.exporters.read_ingress().then(Box::default),
            },
            sensor: Sensor::new(monitoring, setup.target.clone(), setup.epoch, recorded, &streams),
            wva: setup.wva.map(|wva| Wva::new(wva, &streams)),
            control: ControlLoops::new(setup.autoscaling, setup.epoch, &streams),
            late_scales: Vec::new(),
            timeline: Timeline::new(setup.tick),
            totals: Totals::new(serving.initial_replicas, setup.warnings),
            fleet: Fleet::new(&setup.target.deployment, serving, &streams)?,
            recorder,
            outputs: Vec::new(),
        };
        world.create_initial_pods();
        world.start_sensor();
        world.start_exporters(&streams);
        world.start_faults();
        world.start_flow_control(&streams);
        world.start_control();
        world.start_timeline();
        world.pull_request()?;
        Ok(world)
    }

    /// Runs to the end and reports the totals. `progress` hears the simulated time at each tick of the timeline, and now and
    /// then between two; where it breaks, the run is given up without totals.
    ///
    /// # Errors
    /// The workload cannot be read further, or asks for more than can be simulated.
    pub fn run(
        mut self,
        progress: &mut dyn FnMut(SimTime) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Problem> {
        let mut unheard = 0;
        // The first event past the end is lost, and nobody asks for it.
        while let Some((at, event)) = self.queue.pop() {
            if at > self.end && !(self.drains() && at <= SimTime::HORIZON) {
                break;
            }
            self.now = at;
            self.step(event)?;
            unheard += 1;
            if event == Event::Tick || unheard == EVENTS_UNHEARD_MAX {
                unheard = 0;
                if progress(at).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        self.finish();
        Ok(ControlFlow::Continue(()))
    }

    /// Whether the run goes on after its end, for requests without a fate.
    fn drains(&self) -> bool {
        self.drain && self.clients.flights.len() > 0
    }

    /// One event: who acts on it.
    fn step(&mut self, event: Event) -> Result<(), Problem> {
        match event {
            Event::EngineStep(pod) | Event::EngineWake(pod) => self.engine_step(pod),
            Event::Pod(pod) => self.pod_transition(pod),
            Event::Nodes => self.node_event(),
            Event::EndpointAdded(pod) => self.endpoint_added(pod),
            Event::EndpointDropped(pod) => self.endpoint_dropped(pod),
            Event::GatewayRefresh => self.gateway_refresh(),
            Event::Answer(request) => self.answer(request),
            Event::ClientDone { source, .. } => self.client_done(source),
            Event::ClientTimeout(request) => self.client_timeout(request),
            Event::GatewayTimeout(request) => self.gateway_timeout(request),
            Event::Delivery(request) => self.delivery(request),
            Event::Arrival(_) => self.arrival()?,
            Event::PrometheusEdge => self.prometheus_edge(),
            Event::GpuSampleBegins => self.gpu_sample_begins(),
            Event::GpuSampleEnds => self.gpu_sample_ends(),
            Event::Scrape(target) => self.scrape(target),
            Event::Rules(group) => self.evaluate_rules(group),
            Event::ScheduledScale(step) => self.scheduled_scale(step),
            Event::AibrixReconcile => self.aibrix_reconcile(),
            Event::AibrixReconciled => self.aibrix_reconciled(),
            Event::KnativeLook => self.knative_look(),
            Event::WvaOptimize => self.wva_optimize(),
            Event::LateScale => self.late_scale(),
            Event::KedaPoll => self.keda_poll(),
            Event::HpaSync => self.hpa_sync(),
            Event::Tick => self.tick(),
        }
        if cfg!(debug_assertions) {
            checkers::recount(self);
        }
        Ok(())
    }

    /// Gives every request its fate, every pod its record, and the run its totals.
    fn finish(mut self) {
        self.now = if self.drain { self.now.max(self.end) } else { self.end };
        self.last_tick();
        self.warn_about_control();
        self.warn_about_rules();
        self.warn_about_capacity();
        self.end_all_flights();
        for pod in self.fleet.live_ordinals() {
            self.close_pod(pod);
        }
        checkers::conserved(&self);
        self.tell_series();
        self.recorder.end(&self.totals.of_run(self.now));
    }
}
