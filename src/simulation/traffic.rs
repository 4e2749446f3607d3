//! Requests on their way: from the workload through client, gateway and router to an engine, and back.

use super::event::Event;
use super::flight::{Flight, Served, Stage};
use super::record::Fate;
use super::world::World;
use crate::problem::Problem;
use crate::serving::engine::{Engine, EngineRequest, FinishReason, Output, Refusal, RequestId, Usage};
use crate::serving::gateway::Admission;
use crate::units::SimTime;
use crate::workload::{InFlightCap, Offer};

impl World<'_> {
    /// Asks the workload for its next request and schedules its arrival. One request is pulled ahead, never more.
    pub(super) fn pull_request(&mut self) -> Result<(), Problem> {
        debug_assert!(self.next_request.is_none());
        match self.workload.next_request()? {
            Some(request) => {
                self.queue.push(request.sent, Event::Arrival(request.ordinal));
                self.next_request = Some(request);
            }
            // A trace that is shorter than the run ends it.
            None => {
                self.end = self.workload.trace_end().map_or(self.end, |trace_end| trace_end.min(self.end))
            }
        }
        Ok(())
    }

    /// A request comes due: it is sent, queued behind its source's cap, or dropped.
    pub(super) fn arrival(&mut self) -> Result<(), Problem> {
        let Some(request) = self.next_request.take() else { return Ok(()) };
        self.pull_request()?;
        self.counts.arrived += 1;
        let (ordinal, source) = (request.ordinal, usize::from(request.source));
        let measured = request.sent >= self.warmup_ends;
        let flight = Flight::new(request, Stage::Capped, measured);
        match self.caps[source].as_mut().map_or(Offer::Send, |cap| cap.offer(ordinal)) {
            Offer::Send => {
                self.flights.insert(flight);
                self.send(ordinal);
            }
            Offer::Queued => {
                self.flights.insert(flight);
                self.held += 1;
                self.note_queue();
            }
            Offer::Dropped => self.finish(&flight, Fate::Refused, "cap", Some(self.now), Served::default()),
        }
        Ok(())
    }

    /// The client sends a request: latencies and its timeout count from here.
    fn send(&mut self, ordinal: u64) {
        let now = self.now;
        let Some(flight) = self.flights.get_mut(ordinal) else { return };
        flight.sent = Some(now);
        flight.attempts += 1;
        self.counts.attempts += 1;
        if let Some(timeout) = flight.request.timeout {
            self.queue.push(now + timeout, Event::ClientTimeout(ordinal));
        }
        if self.router.has_endpoint() {
            self.route(ordinal);
            return;
        }
        match self.gateway.offer(now, ordinal) {
            Admission::Held(until) => {
                flight.stage = Stage::Held;
                self.held += 1;
                self.note_queue();
                self.queue.push(until, Event::GatewayTimeout(ordinal));
            }
            Admission::Refused => {
                self.end_flight(ordinal, Fate::Refused, "no_ready_pod", now, Served::default())
            }
        }
    }

    /// The router chooses a pod; the request reaches its engine after the input path.
    fn route(&mut self, ordinal: u64) {
        let Some(pod) = self.router.choose() else { return };
        if let Some(flight) = self.flights.get_mut(ordinal) {
            flight.stage = Stage::InTransit { pod, since: self.now };
            self.queue.push(self.now + self.request_path.input, Event::Delivery(ordinal));
        }
    }

    /// An endpoint appeared: the gateway lets go of what it holds, in order.
    pub(super) fn release_held(&mut self) {
        while self.router.has_endpoint() {
            let Some(ordinal) = self.gateway.release() else { return };
            self.held -= 1;
            self.route(ordinal);
        }
    }

    /// A request reaches its pod's API server and engine, which may not take it any more.
    pub(super) fn delivery(&mut self, ordinal: u64) {
        let now = self.now;
        let Some(flight) = self.flights.get_mut(ordinal) else { return };
        let Stage::InTransit { pod, since } = flight.stage else { return };
        let slot = &mut self.pods[pod as usize];
        let Some(engine) = slot.engine.as_mut().filter(|_| slot.pod.accepts()) else {
            self.end_flight(ordinal, Fate::Refused, "pod_gone", now, Served::default());
            return;
        };
        let request = &flight.request;
        let submitted = engine.submit(
            now,
            EngineRequest {
                id: RequestId(ordinal),
                arrival_time: since,
                prompt: request.shared.clone(),
                prompt_tokens: request.prompt_tokens,
                output_tokens: request.output_tokens,
                finish: request.finish,
                max_tokens: None,
                output_content: None,
                priority: request.priority,
                measured: flight.measured,
            },
        );
        match submitted {
            Ok(()) => {
                flight.stage = Stage::InEngine(pod);
                self.follow_engine(pod);
            }
            Err(refusal) => {
                self.end_flight(ordinal, Fate::Refused, refusal_reason(refusal), now, Served::default())
            }
        }
    }

    /// A batch ends: its outputs reach their clients, and the engine goes on.
    pub(super) fn engine_step(&mut self, pod: u32) {
        let now = self.now;
        let slot = &mut self.pods[pod as usize];
        // An event of an engine that is gone, or that has since been told of something earlier.
        let Some(engine) = slot.engine.as_mut().filter(|engine| engine.next_event() == Some(now)) else {
            return;
        };
        slot.followed = None;
        let mut outputs = std::mem::take(&mut self.outputs);
        engine.advance(now, &mut outputs);
        for output in outputs.drain(..) {
            self.output(pod, output);
        }
        self.outputs = outputs;
        self.follow_engine(pod);
        self.exit_when_drained(pod);
    }

    fn output(&mut self, pod: u32, output: Output) {
        match output {
            Output::FirstToken { id, at } => {
                if let Some(flight) = self.flights.get_mut(id.0) {
                    flight.first_token = Some(at);
                }
            }
            Output::Finished { id, at, reason, usage } => {
                self.pods[pod as usize].finished += 1;
                self.counts.finished_since_tick += 1;
                self.end_flight(id.0, Fate::Finished, finish_reason(reason), at, served(usage));
            }
            Output::Aborted { id, at, usage } => {
                self.end_flight(id.0, Fate::Aborted, "client_timeout", at, served(usage));
            }
        }
    }

    /// The client gives up, wherever its request is. An engine acts on it later, and only then is it known what the
    /// request had got.
    pub(super) fn client_timeout(&mut self, ordinal: u64) {
        let now = self.now;
        let Some(flight) = self.flights.get_mut(ordinal) else { return };
        match flight.stage {
            Stage::InEngine(pod) => {
                flight.stage = Stage::GivenUp { pod, at: now };
                let source = flight.request.source;
                if let Some(engine) = self.pods[pod as usize].engine.as_mut() {
                    engine.abort(now, RequestId(ordinal));
                    self.follow_engine(pod);
                }
                self.release_client(source, ordinal, Some(pod), now);
                return;
            }
            Stage::Held => {
                self.gateway.withdraw(ordinal);
                self.held -= 1;
            }
            Stage::Capped | Stage::InTransit { .. } | Stage::GivenUp { .. } => {}
        }
        self.end_flight(ordinal, Fate::Aborted, "client_timeout", now, Served::default());
    }

    /// The gateway has held a request for as long as it may.
    pub(super) fn gateway_timeout(&mut self, ordinal: u64) {
        let held = self.flights.get_mut(ordinal).is_some_and(|flight| flight.stage == Stage::Held);
        if held && self.gateway.withdraw(ordinal) {
            self.held -= 1;
            self.end_flight(ordinal, Fate::Refused, "hold_timeout", self.now, Served::default());
        }
    }

    /// The client is done with a request and sends the next one that its cap held back.
    pub(super) fn client_done(&mut self, source: u16) {
        if let Some(next) = self.caps[usize::from(source)].as_mut().and_then(InFlightCap::done) {
            self.held -= 1;
            self.send(next);
        }
    }

    /// A request that was sent has its fate, which its client learns at `at`.
    pub(super) fn end_flight(
        &mut self,
        ordinal: u64,
        fate: Fate,
        reason: &'static str,
        at: SimTime,
        served: Served,
    ) {
        let Some(flight) = self.flights.remove(ordinal) else { return };
        if let Stage::GivenUp { at, .. } = flight.stage {
            // Whatever the engine made of it, its client was gone.
            self.finish(&flight, Fate::Aborted, "client_timeout", Some(at), served);
            return;
        }
        self.release_client(flight.request.source, ordinal, flight.pod(), at);
        self.finish(&flight, fate, reason, Some(at), served);
    }

    /// The request is no longer in flight for its router, and for its source's cap from `at` on.
    fn release_client(&mut self, source: u16, request: u64, pod: Option<u32>, at: SimTime) {
        if let Some(pod) = pod {
            self.router.done(pod);
        }
        if self.caps[usize::from(source)].is_some() {
            self.queue.push(at, Event::ClientDone { source, request });
        }
    }

    /// Counts and records a request that ended.
    pub(super) fn finish(
        &mut self,
        flight: &Flight,
        fate: Fate,
        reason: &'static str,
        at: Option<SimTime>,
        served: Served,
    ) {
        self.counts.fates.add(fate);
        self.recorder.request(&flight.record(fate, reason, at, served));
    }

    /// Remembers the longest queue.
    pub(super) fn note_queue(&mut self) {
        self.longest_queue = self.longest_queue.max(self.held + self.waiting);
    }

    /// Schedules the engine's next event, if it is not yet, and accounts for what waits in it.
    pub(super) fn follow_engine(&mut self, pod: u32) {
        let slot = &mut self.pods[pod as usize];
        let Some(engine) = slot.engine.as_ref() else { return };
        let next = engine.next_event();
        if next != slot.followed {
            slot.followed = next;
            if let Some(at) = next {
                // Only an engine that was idle has something to do at once.
                let event = if at == self.now { Event::EngineWake(pod) } else { Event::EngineStep(pod) };
                self.queue.push(at, event);
            }
        }
        let waiting = engine.num_waiting();
        self.waiting = self.waiting + waiting - slot.waiting;
        slot.waiting = waiting;
        self.note_queue();
    }
}

/// vLLM's `finished_reason`.
fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

fn refusal_reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::EmptyPrompt => "empty_prompt",
        Refusal::PromptTooLong => "prompt_too_long",
        Refusal::MaxNumQueuedReqs => "max_num_queued_reqs",
        Refusal::MaxNumQueuedTokens => "max_num_queued_tokens",
    }
}

fn served(usage: Usage) -> Served {
    Served {
        output_tokens: usage.output_tokens,
        cached_tokens: usage.cached_tokens,
        preemptions: usage.preemptions,
    }
}
