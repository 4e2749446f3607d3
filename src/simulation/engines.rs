//! Engines in motion: requests reach them, batches end, and what they say reaches the clients.

use super::event::Event;
use super::flight::{Served, Stage};
use super::record::Fate;
use super::world::World;
use crate::serving::engine::{EngineRequest, FinishReason, Output, Refusal, RequestId};

impl World<'_> {
    /// A request reaches its pod's API server and engine, which may not take it any more.
    pub(super) fn delivery(&mut self, ordinal: u64) {
        let now = self.now;
        let Some(flight) = self.clients.flights.get_mut(ordinal) else { return };
        let Stage::InTransit { pod, since } = flight.stage else { return };
        let slot = self.fleet.slot_mut(pod);
        let Some(engine) = slot.engine.as_mut().filter(|_| slot.pod.accepts()) else {
            self.end_flight(ordinal, Fate::Refused, "pod_gone", Served::default());
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
                self.end_flight(ordinal, Fate::Refused, refusal_reason(refusal), Served::default());
            }
        }
    }

    /// A batch ends: its outputs reach their clients, and the engine goes on.
    pub(super) fn engine_step(&mut self, pod: u32) {
        let now = self.now;
        let slot = self.fleet.slot_mut(pod);
        // An event of an engine that is gone, or that has since been told of something earlier.
        if slot.followed != Some(now) {
            return;
        }
        slot.followed = None;
        let Some(engine) = slot.engine.as_mut() else { return };
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
                if let Some(flight) = self.clients.flights.get_mut(id.0) {
                    if let Some(prompt) = flight.prefilling() {
                        self.ingress.count(|stats| stats.prefilled(pod, prompt));
                    }
                    flight.first_token = Some(at);
                }
            }
            Output::Finished { id, at, reason, usage } => {
                self.fleet.slot_mut(pod).finished += 1;
                if let Some(flight) = self.clients.flights.get_mut(id.0) {
                    flight.stage =
                        Stage::Answered { pod, reason: finish_reason(reason), served: usage.into() };
                    self.queue.push(at, Event::Answer(id.0));
                }
            }
            // Its client gave up before: that is when it ended.
            Output::Aborted { id, usage, .. } => {
                self.end_flight(id.0, Fate::Aborted, "client_timeout", usage.into());
            }
        }
    }

    /// Schedules the engine's next event, if it is not yet, and accounts for what waits in it.
    pub(super) fn follow_engine(&mut self, pod: u32) {
        let slot = self.fleet.slot_mut(pod);
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
        self.totals.backlog.engine_queue(self.now, slot.waiting, waiting);
        slot.waiting = waiting;
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
