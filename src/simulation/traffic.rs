//! Requests on their way: from the workload through client, gateway and router to a pod, and to their fate.

use super::event::Event;
use super::flight::{Ending, FLIGHTS_MAX, Flight, Served, Stage};
use super::record::Fate;
use super::world::World;
use crate::problem::Problem;
use crate::random::Streams;
use crate::serving::engine::RequestId;
use crate::serving::flow_control::PodLoad;
use crate::serving::gateway::{Admission, Gateway};
use crate::serving::ingress_stats::{Finished, IngressStats};
use crate::serving::router::Router;
use crate::units::{SimDuration, SimTime, Tokens};
use crate::workload::Offer;

/// Between the clients and the pods.
#[derive(Debug)]
pub(super) struct Ingress {
    pub(super) gateway: Gateway,
    pub(super) router: Router,
    /// From the client's send until the request is in the engine's input queue.
    pub(super) delay: SimDuration,
    /// What gateway and router count, where somebody reads it.
    pub(super) stats: Option<Box<IngressStats>>,
}

impl Ingress {
    pub(super) fn count(&mut self, event: impl FnOnce(&mut IngressStats)) {
        if let Some(stats) = &mut self.stats {
            event(stats);
        }
    }
}

impl World<'_> {
    /// Schedules the workload's next request.
    pub(super) fn pull_request(&mut self) -> Result<(), Problem> {
        match self.clients.pull()? {
            Some(request) => self.queue.push(request.sent, Event::Arrival(request.ordinal)),
            // A trace that is shorter than the run ends it.
            None => self.end = self.clients.trace_end().map_or(self.end, |trace_end| trace_end.min(self.end)),
        }
        Ok(())
    }

    /// A request comes due: it is sent, queued behind its source's cap, or dropped.
    ///
    /// # Errors
    /// A line of a trace that cannot be read, or more requests on their way than memory should hold.
    pub(super) fn arrival(&mut self) -> Result<(), Problem> {
        let Some(request) = self.clients.take() else { return Ok(()) };
        if self.clients.flights.len() >= FLIGHTS_MAX {
            let message = format!("after {}, {FLIGHTS_MAX} requests wait for an answer", self.now);
            return Err(Problem::key("source", message).help(
                "lower the load, give classes a `client.timeout`, or sources a `max_in_flight` that drops",
            ));
        }
        self.pull_request()?;
        self.totals.arrived += 1;
        let (ordinal, source) = (request.ordinal, request.source);
        let measured = self.clients.measures(&request);
        let flight = Flight::new(request, Stage::Capped, measured);
        match self.clients.offer(source, ordinal) {
            Offer::Send => {
                self.clients.flights.insert(flight);
                self.send(ordinal);
            }
            Offer::Queued => {
                self.clients.flights.insert(flight);
                self.totals.backlog.hold(self.now);
            }
            Offer::Dropped => {
                let (at, served) = (Some(self.now), Served::default());
                self.record_end(&flight, Ending { fate: Fate::Refused, reason: "cap", at, served });
            }
        }
        Ok(())
    }

    /// The client sends a request: latencies and its timeout count from here.
    fn send(&mut self, ordinal: u64) {
        let now = self.now;
        self.knative_sent(ordinal);
        let Some(flight) = self.clients.flights.get_mut(ordinal) else { return };
        flight.sent = Some(now);
        flight.attempts += 1;
        self.totals.attempts += 1;
        self.ingress.count(|stats| stats.received += 1);
        if let Some(timeout) = flight.request.timeout {
            self.queue.push(now + timeout, Event::ClientTimeout(ordinal));
        }
        if self.ingress.router.has_endpoint() && self.ingress.gateway.is_open() {
            self.route(ordinal);
            return;
        }
        match self.ingress.gateway.offer(now, ordinal) {
            Admission::Held(until) => {
                flight.stage = Stage::Held;
                self.totals.backlog.hold(self.now);
                self.queue.push(until, Event::GatewayTimeout(ordinal));
            }
            Admission::Refused => {
                self.ingress.count(|stats| stats.refused(SimDuration::ZERO));
                self.end_flight(ordinal, Fate::Refused, "no_ready_pod", Served::default());
            }
        }
    }

    /// The router chooses a pod; the request reaches its engine after the input path.
    fn route(&mut self, ordinal: u64) {
        let Some(pod) = self.ingress.router.choose() else { return };
        if let Some(flight) = self.clients.flights.get_mut(ordinal) {
            flight.stage = Stage::InTransit { pod, since: self.now };
            let waited = flight.sent.map_or(SimDuration::ZERO, |sent| self.now.since(sent));
            self.ingress.count(|stats| stats.routed(pod, flight.request.prompt_tokens, waited));
            self.queue.push(self.now + self.ingress.delay, Event::Delivery(ordinal));
            self.knative_routed(ordinal, pod);
        }
    }

    /// An endpoint appeared: the gateway lets go of what it holds, in order. Under flow control it waits for what the pod
    /// says.
    pub(super) fn endpoint_appeared(&mut self) {
        if self.ingress.gateway.flow_control.is_none() {
            self.release_held();
        }
    }

    /// Schedules the first refresh of flow control, at a phase of its own.
    pub(super) fn start_flow_control(&mut self, streams: &Streams) {
        if let Some(control) = &self.ingress.gateway.flow_control {
            let phase = streams.stream("gateway/refresh-phase").below(control.refresh_interval().as_ps());
            self.queue.push(SimTime::from_ps(phase), Event::GatewayRefresh);
        }
    }

    /// Flow control reads the pods' metrics, and lets go of what it holds if the pool is not saturated.
    pub(super) fn gateway_refresh(&mut self) {
        let now = self.now;
        let Ingress { gateway, router, .. } = &mut self.ingress;
        let Some(control) = &mut gateway.flow_control else { return };
        self.fleet.catch_up(now);
        let load = |&pod: &u32| {
            let stats = self.fleet.slot(pod).engine.as_ref()?.stats(now);
            Some(PodLoad {
                waiting: stats.num_requests_waiting(),
                kv_cache_usage: stats.kv_cache_usage_perc(),
            })
        };
        control.refresh(router.endpoints().iter().filter_map(load));
        self.queue.push(now + control.refresh_interval(), Event::GatewayRefresh);
        if control.dispatches() {
            self.release_held();
        }
    }

    fn release_held(&mut self) {
        while self.ingress.router.has_endpoint() {
            let Some(ordinal) = self.ingress.gateway.release() else { return };
            self.totals.backlog.let_go(self.now);
            self.route(ordinal);
        }
    }

    /// The client sees the last token of its answer.
    pub(super) fn answer(&mut self, ordinal: u64) {
        let Some(flight) = self.clients.flights.get_mut(ordinal) else { return };
        if let Stage::Answered { pod, reason, served } = flight.stage {
            self.timeline.finished += 1;
            if let (Some(sent), Some(first_token)) = (flight.sent, flight.first_token) {
                let finished = Finished {
                    pod,
                    ttft: first_token.since(sent),
                    e2e: self.now.since(sent),
                    input_tokens: flight.request.prompt_tokens,
                    output_tokens: served.output_tokens,
                };
                self.ingress.count(|stats| stats.finished(finished));
            }
            self.end_flight(ordinal, Fate::Finished, reason, served);
        }
    }

    /// The client gives up, wherever its request is. An engine acts on it later, and only then is it known what the
    /// request had got.
    pub(super) fn client_timeout(&mut self, ordinal: u64) {
        let now = self.now;
        let Some(flight) = self.clients.flights.get_mut(ordinal) else { return };
        let mut got = Served::default();
        match flight.stage {
            Stage::InEngine(pod) => {
                let prefilling = flight.prefilling();
                flight.stage = Stage::GivenUp { pod, at: now };
                let source = flight.request.source;
                if let Some(engine) = self.fleet.slot_mut(pod).engine.as_mut() {
                    engine.abort(now, RequestId(ordinal));
                    self.follow_engine(pod);
                }
                self.release_client(source, ordinal, Some(pod), prefilling);
                return;
            }
            Stage::Held => {
                self.ingress.gateway.withdraw(ordinal);
                self.totals.backlog.let_go(self.now);
            }
            Stage::Answered { served, .. } => got = served,
            Stage::Capped | Stage::InTransit { .. } | Stage::GivenUp { .. } => {}
        }
        self.end_flight(ordinal, Fate::Aborted, "client_timeout", got);
    }

    /// The gateway has held a request for as long as it may.
    pub(super) fn gateway_timeout(&mut self, ordinal: u64) {
        let held = self.clients.flights.get_mut(ordinal).is_some_and(|flight| flight.stage == Stage::Held);
        if held && self.ingress.gateway.withdraw(ordinal) {
            self.totals.backlog.let_go(self.now);
            let hold_timeout = self.ingress.gateway.hold_timeout();
            self.ingress.count(|stats| stats.refused(hold_timeout));
            self.end_flight(ordinal, Fate::Refused, "hold_timeout", Served::default());
        }
    }

    /// The client is done with a request and sends the next one that its cap held back.
    pub(super) fn client_done(&mut self, source: u16) {
        if let Some(next) = self.clients.done(source) {
            self.totals.backlog.let_go(self.now);
            self.send(next);
        }
    }

    /// A request that was sent has its fate, unless its client had given up before: then that is its fate. The answer is
    /// which.
    pub(super) fn end_flight(
        &mut self,
        ordinal: u64,
        fate: Fate,
        reason: &'static str,
        served: Served,
    ) -> Option<Fate> {
        let flight = self.clients.flights.remove(ordinal)?;
        let ending = match flight.stage {
            Stage::GivenUp { at, .. } => {
                Ending { fate: Fate::Aborted, reason: "client_timeout", at: Some(at), served }
            }
            _ => {
                self.release_client(flight.request.source, ordinal, flight.pod(), flight.prefilling());
                Ending { fate, reason, at: Some(self.now), served }
            }
        };
        self.record_end(&flight, ending);
        Some(ending.fate)
    }

    /// The request is no longer in flight for its router, nor for its source's cap; `prefilling` are the tokens of a prompt
    /// of which its pod has made no answer yet.
    fn release_client(&mut self, source: u16, request: u64, pod: Option<u32>, prefilling: Option<Tokens>) {
        if let Some(pod) = pod {
            self.ingress.router.done(pod);
            if let Some(prompt) = prefilling {
                self.ingress.count(|stats| stats.prefilled(pod, prompt));
            }
        }
        self.knative_ended(request);
        if self.clients.leaves(source) {
            self.queue.push(self.now, Event::ClientDone { source, request });
        }
    }

    /// The run is over: those that are still on their way get the fate of where they are.
    pub(super) fn end_all_flights(&mut self) {
        for flight in self.clients.flights.drain_in_order() {
            let request = flight.request.ordinal;
            let waiting = Ending {
                fate: Fate::Waiting,
                reason: "run_ended",
                at: None,
                served: flight
                    .pod()
                    .map_or_else(Served::default, |pod| self.fleet.served(self.now, pod, request)),
            };
            let ending = match flight.stage {
                Stage::GivenUp { at, .. } => {
                    Ending { fate: Fate::Aborted, reason: "client_timeout", at: Some(at), ..waiting }
                }
                Stage::InEngine(pod) if self.fleet.runs(pod, request) => {
                    Ending { fate: Fate::Running, ..waiting }
                }
                Stage::Answered { served, .. } => Ending { fate: Fate::Running, served, ..waiting },
                _ => waiting,
            };
            self.record_end(&flight, ending);
        }
    }

    /// Counts and records a request that ended.
    fn record_end(&mut self, flight: &Flight, ending: Ending) {
        self.totals.fates.add(ending.fate);
        self.recorder.request(&flight.record(self.now, ending));
    }
}
