//! One run: the state of everything, and the loop that moves it.

use super::checkers;
use super::control::ControlLoops;
use super::event::{Event, EventQueue};
use super::fleet::PodSlot;
use super::flight::{Flights, Served, Stage};
use super::level::Level;
use super::record::{Fate, Recorder, RunTotals, TickRecord};
use super::setup::{EngineSetup, RequestPath, Setup};
use super::telemetry::Sensor;
use crate::histogram::LogHistogram;
use crate::problem::Problem;
use crate::random::{NamedStream, Streams};
use crate::serving::deployment::Deployment;
use crate::serving::engine::{Engine, EngineCore, Output, RequestId, Stats};
use crate::serving::gateway::Gateway;
use crate::serving::nodes::Nodes;
use crate::serving::performance::Startup;
use crate::serving::pod::{Phase, PodSpec};
use crate::serving::router::Router;
use crate::units::{Gpus, Replicas, SimDuration, SimTime, UnixMillis};
use crate::workload::{InFlightCap, Request, Workload};

/// A world in motion. [`World::run`] takes it from the start to the end; `record` hears what happens.
pub struct World<'a> {
    pub(super) now: SimTime,
    /// Requests due after this instant do not exist.
    pub(super) end: SimTime,
    drain: bool,
    tick: SimDuration,
    last_tick: SimTime,
    pub(super) warmup_ends: SimTime,
    pub(super) epoch: UnixMillis,
    pub(super) queue: EventQueue,
    pub(super) recorder: &'a mut dyn Recorder,

    // Clients.
    pub(super) workload: Workload,
    pub(super) next_request: Option<Request>,
    pub(super) caps: Vec<Option<InFlightCap>>,
    pub(super) flights: Flights,

    // Plant.
    pub(super) gateway: Gateway,
    pub(super) router: Router,
    pub(super) deployment: Deployment,
    pub(super) pods: Vec<PodSlot>,
    pub(super) nodes: Nodes,
    pub(super) nodes_followed: Option<SimTime>,
    pub(super) pod_spec: PodSpec,
    pub(super) gpus_per_pod: Gpus,
    pub(super) startup: Startup,
    pub(super) startup_stream: NamedStream,
    engine: EngineSetup,
    pub(super) request_path: RequestPath,

    // Sensor and controller.
    pub(super) sensor: Sensor,
    pub(super) control: ControlLoops,

    // Running totals.
    pub(super) counts: Counts,
    pub(super) levels: Levels,
    pub(super) engines: EngineTotals,
    /// Requests in clients' and the gateway's queues.
    pub(super) held: u64,
    /// Requests in engines' queues.
    pub(super) waiting: u64,
    pub(super) longest_queue: u64,
    pub(super) warnings: Vec<String>,
    /// Kept for its allocation.
    pub(super) outputs: Vec<Output>,
}

/// Requests counted as they come and go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) arrived: u64,
    pub(super) attempts: u64,
    pub(super) fates: Fates,
    pub(super) arrived_at_tick: u64,
    pub(super) finished_since_tick: u64,
}

/// Requests by fate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fates {
    counts: [u64; 6],
}

impl Fates {
    pub(super) fn add(&mut self, fate: Fate) {
        self.counts[fate as usize] += 1;
    }
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Levels whose integrals are billed and reported.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    pub(super) replicas: Level,
    pub(super) ready: Level,
    pub(super) gpus: Level,
    pub(super) node_gpus: Level,
}

impl Levels {
    fn settle(&mut self, now: SimTime) {
        for level in [&mut self.replicas, &mut self.ready, &mut self.gpus, &mut self.node_gpus] {
            level.settle(now);
        }
    }
}

/// What engines counted, summed over pods that are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct EngineTotals {
    steps: u64,
    preemptions: u64,
    prefix_queries: u64,
    prefix_hits: u64,
    itl: LogHistogram,
}

impl EngineTotals {
    pub(super) fn add(&mut self, stats: &Stats) {
        self.steps += stats.steps;
        self.preemptions += stats.num_preemptions;
        self.prefix_queries += stats.prefix_cache_queries;
        self.prefix_hits += stats.prefix_cache_hits;
        self.itl.merge(&stats.itl);
    }
}

impl<'a> World<'a> {
    /// The world at t = 0: initial pods Ready, ScaledObject and HPA created, Prometheus empty.
    ///
    /// # Errors
    /// The workload's first line cannot be read, or a setting that only fails when it is put to use.
    pub fn new(setup: Setup, recorder: &'a mut dyn Recorder) -> Result<Self, Problem> {
        let streams = Streams::new(setup.seed);
        let serving = setup.serving;
        let initial = serving.initial_replicas;
        let sensor = Sensor::new(setup.monitoring, setup.target.clone(), setup.epoch, &streams);
        let initial_nodes = serving.initial_nodes();
        serving.engine.build()?;
        let mut world = World {
            now: SimTime::ZERO,
            end: SimTime::ZERO + setup.duration,
            drain: setup.drain,
            tick: setup.tick,
            last_tick: SimTime::ZERO,
            warmup_ends: SimTime::ZERO + setup.warmup,
            epoch: setup.epoch,
            queue: EventQueue::default(),
            recorder,
            caps: setup
                .workload
                .sources()
                .iter()
                .map(|source| source.max_in_flight.map(InFlightCap::new))
                .collect(),
            workload: setup.workload,
            next_request: None,
            flights: Flights::default(),
            gateway: Gateway::new(serving.gateway),
            router: Router::new(serving.router, streams.stream("router")),
            deployment: Deployment::new(&setup.target.deployment, initial, &streams),
            pods: Vec::new(),
            nodes: Nodes::new(serving.nodes, initial_nodes, streams.named("nodes/provisioning"))?,
            nodes_followed: None,
            pod_spec: serving.pod,
            gpus_per_pod: serving.gpus_per_pod,
            startup: serving.startup,
            startup_stream: streams.named("startup"),
            engine: serving.engine,
            request_path: serving.request_path,
            sensor,
            control: ControlLoops::new(setup.autoscaling, &streams),
            counts: Counts::default(),
            levels: Levels {
                replicas: Level::new(i64::from(initial.get())),
                ready: Level::new(0),
                gpus: Level::new(0),
                node_gpus: Level::new(0),
            },
            engines: EngineTotals::default(),
            held: 0,
            waiting: 0,
            longest_queue: 0,
            warnings: setup.warnings,
            outputs: Vec::new(),
        };
        world.create_initial_pods();
        world.start_sensor();
        world.start_control();
        world.queue.push(SimTime::ZERO + world.tick, Event::Tick);
        world.pull_request()?;
        Ok(world)
    }

    /// Runs to the end and reports the totals. `progress` hears the simulated time at each tick of the timeline.
    ///
    /// # Errors
    /// The workload cannot be read further.
    pub fn run(mut self, progress: &mut dyn FnMut(SimTime)) -> Result<(), Problem> {
        while let Some(at) = self.queue.next_time() {
            if at > self.end && !(self.drain && self.flights.len() > 0) {
                break;
            }
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.step(event)?;
            if event == Event::Tick {
                progress(at);
            }
        }
        self.finish_run();
        Ok(())
    }

    /// One event: who acts on it.
    fn step(&mut self, event: Event) -> Result<(), Problem> {
        match event {
            Event::EngineStep(pod) | Event::EngineWake(pod) => self.engine_step(pod),
            Event::Pod(pod) => self.pod_transition(pod),
            Event::Nodes => self.node_event(),
            Event::EndpointAdded(pod) => self.endpoint_added(pod),
            Event::EndpointDropped(pod) => self.endpoint_dropped(pod),
            Event::ClientDone { source, .. } => self.client_done(source),
            Event::ClientTimeout(request) => self.client_timeout(request),
            Event::GatewayTimeout(request) => self.gateway_timeout(request),
            Event::Delivery(request) => self.delivery(request),
            Event::Arrival(_) => self.arrival()?,
            Event::Scrape(target) => self.scrape(target),
            Event::KedaPoll => self.keda_poll(),
            Event::HpaSync => self.hpa_sync(),
            Event::Tick => self.tick(),
        }
        if cfg!(debug_assertions) {
            checkers::recount(self);
        }
        Ok(())
    }

    /// An engine as every new pod starts it.
    pub(super) fn new_engine(&self) -> EngineCore {
        self.engine
            .build()
            .unwrap_or_else(|problem| unreachable!("one was built when the world was: {problem}"))
    }

    fn runs(&self, pod: u32, request: u64) -> bool {
        let engine = self.pods[pod as usize].engine.as_ref();
        engine.is_some_and(|engine| engine.is_running(RequestId(request)))
    }

    /// Says something once.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Samples the timeline.
    fn tick(&mut self) {
        let record = self.tick_record();
        self.counts.arrived_at_tick = self.counts.arrived;
        self.counts.finished_since_tick = 0;
        self.last_tick = self.now;
        self.recorder.tick(&record);
        self.queue.push(self.now + self.tick, Event::Tick);
    }

    fn tick_record(&self) -> TickRecord {
        let mut record = TickRecord {
            at: self.now,
            arrived: self.counts.arrived - self.counts.arrived_at_tick,
            finished: self.counts.finished_since_tick,
            held: self.held,
            waiting: self.waiting,
            replicas: self.deployment.spec_replicas(),
            ready: self.deployment.ready_replicas(),
            gpus: self.nodes.gpus_used(),
            ..TickRecord::default()
        };
        let mut usage_sum = 0.0;
        for slot in &self.pods {
            match slot.pod.phase() {
                Phase::Pending | Phase::Starting | Phase::Serving => record.starting += Replicas(1),
                Phase::Stopping | Phase::Draining => record.terminating += Replicas(1),
                Phase::Ready | Phase::Exited => {}
            }
            if let Some(engine) = &slot.engine {
                record.running += engine.num_running();
                if slot.pod.phase() == Phase::Ready {
                    let usage = engine.stats().kv_cache_usage_perc();
                    usage_sum += usage;
                    record.kv_usage_max = record.kv_usage_max.max(usage);
                }
            }
        }
        if record.ready > Replicas::ZERO {
            record.kv_usage_mean = usage_sum / f64::from(record.ready.get());
        }
        record
    }

    /// Gives every request its fate, every pod its record, and the run its totals.
    fn finish_run(&mut self) {
        self.now = if self.drain { self.now.max(self.end) } else { self.end };
        if self.last_tick < self.now {
            let record = self.tick_record();
            self.recorder.tick(&record);
        }
        self.warn_about_triggers();
        for flight in self.flights.drain_in_order() {
            let (fate, reason, ended) = match flight.stage {
                Stage::GivenUp { at, .. } => (Fate::Aborted, "client_timeout", Some(at)),
                Stage::InEngine(pod) if self.runs(pod, flight.request.ordinal) => {
                    (Fate::Running, "run_ended", None)
                }
                _ => (Fate::Waiting, "run_ended", None),
            };
            self.finish(&flight, fate, reason, ended, Served::default());
        }
        for pod in 0..self.pods.len() as u32 {
            if self.pods[pod as usize].pod.phase() != Phase::Exited {
                self.record_pod(pod);
            }
        }
        checkers::conserved(self);
        self.levels.settle(self.now);
        let range = |level: &Level| {
            let (low, high) = level.range();
            (Replicas(low as i32), Replicas(high as i32))
        };
        let totals = RunTotals {
            ended: self.now,
            attempts: self.counts.attempts,
            replica_ps: self.levels.replicas.integral_ps(),
            ready_ps: self.levels.ready.integral_ps(),
            gpu_ps: self.levels.gpus.integral_ps(),
            node_gpu_ps: self.levels.node_gpus.integral_ps(),
            at_max: SimDuration::from_ps(self.levels.replicas.at_highest_ps() as u64),
            replicas_range: range(&self.levels.replicas),
            ready_range: range(&self.levels.ready),
            steps: self.engines.steps,
            preemptions: self.engines.preemptions,
            prefix_queries: self.engines.prefix_queries,
            prefix_hits: self.engines.prefix_hits,
            longest_queue: self.longest_queue,
            itl: std::mem::take(&mut self.engines.itl),
            warnings: std::mem::take(&mut self.warnings),
        };
        self.recorder.end(&totals);
    }
}
