//! The fast engine call by call.

use super::{FastEngine, members_of};
use crate::problem::Problem;
use crate::serving::engine::{
    Batch, BatchShape, DecodeForm, EngineConfig, EngineRequest, EngineTiming, PrefixCacheStats, RequestId,
    Scheduled, Slot, StepTimer, TokenOutput,
};
use crate::units::{Blocks, SimDuration, SimTime};
use std::sync::Arc;

/// The fast engine without its clock: the calls of a [`Scheduler`](crate::serving::engine::Scheduler), answered from a
/// cohort where there is one and expanded to what the scheduler would list.
///
/// It costs more than the scheduler does. It is there to be held against recordings of the real one, which list every
/// call.
#[derive(Clone, Debug)]
pub struct Unclocked {
    engine: FastEngine,
}

/// No call takes time.
struct NoTime;

impl StepTimer for NoTime {
    fn step_time(&self, _: &BatchShape) -> SimDuration {
        SimDuration::ZERO
    }

    fn decode_form(&self, _: u32) -> DecodeForm {
        DecodeForm::constant(SimDuration::ZERO)
    }
}

const NOW: SimTime = SimTime::ZERO;

impl Unclocked {
    /// An idle engine with `num_gpu_blocks` KV-cache blocks, vLLM's null block among them.
    ///
    /// # Errors
    /// As [`FastEngine::new`].
    pub fn new(config: EngineConfig, num_gpu_blocks: Blocks) -> Result<Self, Problem> {
        let engine = FastEngine::new(config, num_gpu_blocks, Arc::new(NoTime), EngineTiming::default())?;
        Ok(Unclocked { engine })
    }

    /// Adds a request to the waiting ones.
    pub fn add_request(&mut self, request: &EngineRequest) {
        let core = &mut self.engine.core;
        let slot = core.scheduler.add_request(request);
        core.processor.queued(NOW, slot, request, request.prompt_tokens);
    }

    /// Lets go of a request that its client gave up; `None` if it is not here, which is no error.
    pub fn abort(&mut self, id: RequestId) -> Option<Slot> {
        let slot = self.engine.core.scheduler.slot(id)?;
        self.engine.withdraw(slot);
        self.engine.core.scheduler.abort(id)
    }

    /// Gives out one step's tokens. At most one batch may be in flight under async scheduling, and none without it.
    pub fn schedule(&mut self) -> Batch {
        let engine = &mut self.engine;
        if !(engine.formed && engine.pass(NOW)) {
            if engine.formed {
                engine.disband();
            }
            engine.core.schedule(NOW);
            engine.form();
        }
        let place = engine.core.in_flight.len() - 1;
        self.expanded(place)
    }

    /// Takes back the outputs of the oldest batch in flight.
    pub fn update(&mut self) -> Vec<TokenOutput> {
        let engine = &mut self.engine;
        if engine.formed {
            engine.withdraw_the_ending();
        }
        let members = self.members_of(0).into_iter();
        let mut outputs: Vec<TokenOutput> =
            members.map(|member| TokenOutput { id: member.id, slot: member.slot, finish: None }).collect();
        let engine = &mut self.engine;
        if engine.formed {
            engine.cohort.updated();
        }
        if let Some(oldest) = engine.core.in_flight.pop() {
            engine.core.scheduler.update(&oldest.batch, &mut outputs);
        }
        outputs
    }

    /// A batch in flight, with the tokens of members.
    fn expanded(&self, place: usize) -> Batch {
        let mut batch =
            self.engine.core.in_flight.get(place).map_or_else(Batch::default, |at| at.batch.clone());
        batch.scheduled.splice(0..0, self.members_of(place));
        batch
    }

    /// The tokens of members in a batch in flight, in order of admission.
    fn members_of(&self, place: usize) -> Vec<Scheduled> {
        let FastEngine { core, cohort, formed: true, .. } = &self.engine else { return Vec::new() };
        members_of(&core.scheduler, cohort, place).collect()
    }

    /// Whether a call is due: requests are here, or one has left since the latest pass.
    pub fn has_requests(&self) -> bool {
        self.engine.core.scheduler.has_requests()
    }

    /// Requests that run.
    pub fn num_running(&self) -> u32 {
        self.engine.core.scheduler.num_running()
    }

    /// Requests that wait, the preempted and the deferred among them.
    pub fn num_waiting(&self) -> u32 {
        self.engine.core.scheduler.num_waiting()
    }

    /// Those of the waiting ones that were passed over because older outputs of theirs were in flight.
    pub fn num_deferred(&self) -> u32 {
        self.engine.core.scheduler.num_deferred()
    }

    /// KV-cache blocks that no request holds.
    pub fn free_blocks(&self) -> Blocks {
        self.engine.core.scheduler.free_blocks()
    }

    /// The prefix-cache counts since this was last called.
    pub fn take_prefix_cache_stats(&mut self) -> PrefixCacheStats {
        self.engine.core.scheduler.take_prefix_cache_stats()
    }

    /// Members of the cohort: requests that are counted and not listed.
    pub fn num_members(&self) -> u32 {
        if self.engine.formed { self.engine.cohort.members() } else { 0 }
    }
}
