//! The engine that takes a run of decode steps as one event.
//!
//! It is the same engine: the scheduler, the loop and the books of [`EngineCore`], and it shows the same outputs, times and
//! [`Stats`]. But requests that only decode are a [`Cohort`]: counted, not touched. A step then costs what happens in it
//! to others (an admission, a first token, an end), and steps in which nothing of that kind happens are not even run: how
//! long they take together has a closed form ([`DecodeRun`]), and so have the blocks that they take and the buckets of the
//! histograms that they move.
//!
//! ```text
//!   events        │ arrival │                               │ first token │              │ end │
//!   steps    ┄┼───┼────┼────┼──┼──┼──┼──┼──┼──┼──┼──┼──┼──┼─┼─────┼───────┼──┼──┼──┼──┼──┼─┼──┼┄
//!                      └ joins            run: one event                         run
//! ```
//!
//! A run ends before the first step in which something happens that is not alike for all; [`Engine::next_event`] is the
//! end of that step's batch. An arrival or an abort acts when the batch that runs has ended, so it truncates the run there:
//! steps that were planned and have not begun are forgotten, none that has begun is undone. Whoever looks in between
//! ([`Engine::catch_up`]) is answered from the run, which goes on.
//!
//! Where steps are not alike, the loop of [`EngineCore`] runs them: when blocks run out, so that somebody is preempted;
//! when long prompts are prefilled in the midst of others; when the tokens of a step do not suffice for all; when an
//! answer's blocks could be found by others. It returns to the cohort when that is over.

mod cohort;
#[cfg(test)]
mod conditions;
mod decode_run;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod side_by_side;
mod unclocked;

pub use self::unclocked::Unclocked;

use self::cohort::{Cohort, Joining};
use self::decode_run::DecodeRun;
use super::batch::{Scheduled, StepTimer};
use super::config::EngineConfig;
use super::engine_core::{Engine, EngineCore, EngineTiming};
use super::kv_cache::{KvCache, RunLengthCache};
use super::request::{EngineRequest, Output, Refusal, RequestId, Usage};
use super::schedule::{Admission, Pass};
use super::scheduler::{Scheduler, Slot};
use super::stats::Stats;
use crate::problem::Problem;
use crate::units::{Blocks, SimDuration, SimTime, Tokens};
use std::fmt;
use std::sync::Arc;

/// How many steps the loop runs before a cohort is tried again, at most: forming one costs as much as a step.
const PATIENCE_MAX: u32 = 64;

/// The engine that takes a run of decode steps as one event. See the module.
#[derive(Clone)]
pub struct FastEngine {
    core: EngineCore<RunLengthCache>,
    cohort: Cohort,
    /// Whether the cohort stands for the requests that decode. If not, `core` runs every step.
    formed: bool,
    /// Whether running requests are no members because their prompts are not computed: they are the last of `running`.
    prefills: bool,
    /// Why the latest pass admitted no more.
    admission: Admission,
    /// Whether the latest pass brought the cohort out of order, so that the next must not be scheduled for it.
    disordered: bool,
    plan: Plan,
    /// Steps that the loop still runs before a cohort is tried.
    waits: u32,
    /// How many it runs after the next time that the cohort had to be given up.
    patience: u32,
    /// Steps since the cohort was formed.
    since_formed: u64,
}

/// What comes next while there is a cohort.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Steps that are all alike: an update and a pass each.
    steps: u64,
    /// The end of the batch after them.
    at: SimTime,
    /// The durations of the batches that will be scheduled in these steps.
    run: Option<DecodeRun>,
}

impl FastEngine {
    /// An idle engine with `num_gpu_blocks` KV-cache blocks, vLLM's null block among them.
    ///
    /// # Errors
    /// A problem with `max_model_len` if the blocks do not hold one request of that length.
    pub fn new(
        config: EngineConfig,
        num_gpu_blocks: Blocks,
        timer: Arc<dyn StepTimer + Send + Sync>,
        timing: EngineTiming,
    ) -> Result<Self, Problem> {
        Ok(FastEngine {
            core: EngineCore::with_cache(config, num_gpu_blocks, timer, timing)?,
            cohort: Cohort::default(),
            formed: false,
            prefills: false,
            admission: Admission::NobodyWaits,
            disordered: false,
            plan: Plan { steps: 0, at: SimTime::ZERO, run: None },
            waits: 0,
            patience: 1,
            since_formed: 0,
        })
    }

    /// How many batches are in flight while requests run.
    fn depth(&self) -> usize {
        if self.core.config.async_scheduling { 2 } else { 1 }
    }

    /// Makes a cohort of the requests that decode, if all that runs is in its order.
    fn form(&mut self) {
        if self.waits > 0 {
            self.waits -= 1;
            return;
        }
        let core = &self.core;
        let steady = core.in_flight.len() == self.depth()
            && core.in_flight.iter().all(|batch| !batch.batch.is_empty() && batch.batch.preempted.is_empty())
            && core.scheduler.num_deferred() == 0
            // A whole cycle of blocks is there, so that it pays.
            && core.scheduler.free_blocks().get() >= core.scheduler.num_running();
        if !steady || core.scheduler.num_running() == 0 {
            return;
        }
        self.cohort.reset(core.config.block_size.get(), core.in_flight.len());
        (self.prefills, self.disordered) = (false, false);
        for index in 0..self.core.scheduler.running.len() {
            self.place(self.core.scheduler.running[index]);
        }
        if self.disordered {
            self.be_patient();
            return;
        }
        self.formed = self.cohort.members() > 0;
        // Whether the first of those who wait fits is for the next pass to say.
        let nobody_waits = self.core.scheduler.num_waiting() == 0;
        self.admission = if nobody_waits { Admission::NobodyWaits } else { Admission::BudgetSpent };
        self.since_formed = 0;
        if self.formed {
            self.plan();
        }
    }

    /// The loop runs some steps before a cohort is tried again, and more of them each time that one did not pay.
    fn be_patient(&mut self) {
        self.waits = self.patience;
        self.patience = (2 * self.patience).min(PATIENCE_MAX);
    }

    /// A running request decodes from the next pass on, or is still to be prefilled.
    fn place(&mut self, slot: Slot) {
        let request = &self.core.scheduler.requests[slot.index()];
        if request.computed < request.prefill_end {
            self.prefills = true;
            return;
        }
        // Members come first in a pass, and their blocks bear no hashes.
        self.disordered |= self.prefills || request.content.shares_answer();
        let max_model_len = self.core.config.max_model_len.get();
        let foreseen_at = request.max_tokens_at.min(max_model_len);
        let joining = Joining {
            slot,
            seat: request.seat,
            computed: request.computed,
            ends_at: foreseen_at.min(request.stop_at),
            foreseen: foreseen_at <= request.stop_at,
            measured: self.core.processor.is_measured(slot),
        };
        self.cohort.join(joining, self.core.config.async_scheduling);
    }

    /// Brings a request up to date and takes it out of the cohort, if it is in it.
    fn withdraw(&mut self, slot: Slot) {
        let Some(withdrawn) = self.cohort.withdraw(slot) else { return };
        let scheduler = &mut self.core.scheduler;
        let request = &mut scheduler.requests[slot.index()];
        let on_their_way = withdrawn.scheduled - withdrawn.updated;
        request.tokens += withdrawn.updated;
        request.computed += withdrawn.scheduled;
        request.in_flight += on_their_way;
        if scheduler.config.async_scheduling {
            request.placeholders += on_their_way;
        }
        let known = request.tokens - u32::from(!withdrawn.cached_by_pass);
        scheduler.cache.catch_up(&mut request.table, request.computed, known.min(request.computed));
        self.core.processor.was_alike(slot, withdrawn.updated);
    }

    /// The loop runs every step from here on: batches in flight list all their tokens, and all members are brought up to
    /// date.
    fn disband(&mut self) {
        for place in 0..self.core.in_flight.len() {
            self.list_members(place);
        }
        for index in 0..self.core.scheduler.running.len() {
            self.withdraw(self.core.scheduler.running[index]);
        }
        self.formed = false;
    }

    /// Lists the tokens of members in the batch at a place of those in flight: in order of admission, before the others.
    fn list_members(&mut self, place: usize) {
        let EngineCore { in_flight, scheduler, .. } = &mut self.core;
        let Some(in_flight) = in_flight.get_mut(place) else { return };
        let listed = &mut in_flight.batch.scheduled;
        let before = listed.len();
        listed.extend(members_of(scheduler, &self.cohort, place));
        listed.rotate_left(before);
    }

    /// The batch whose outputs are due at `now` ends, and the next pass is scheduled.
    fn step(&mut self, now: SimTime, out: &mut Vec<Output>) {
        self.since_formed += 1;
        self.withdraw_the_ending();
        let alike = self.cohort.updated();
        self.core.complete_oldest(now, alike, out);
        self.core.drain_input(now, out);
        if self.pass(now) {
            self.plan();
            return;
        }
        // Nobody decodes, or somebody will be preempted: the loop knows what then happens.
        if self.cohort.members() > 0 {
            if self.since_formed > 4 * u64::from(self.patience) {
                self.patience = 1;
            }
            self.be_patient();
        }
        self.disband();
        self.core.go_on(now, out);
        self.form();
    }

    /// Those who end with the batch that is due, or before it because their clients gave up, are no members any more.
    fn withdraw_the_ending(&mut self) {
        for index in 0..self.core.aborts.len() {
            if let Some(slot) = self.core.scheduler.slot(self.core.aborts[index]) {
                self.withdraw(slot);
            }
        }
        let listed = |core: &EngineCore<_>, index: usize| {
            Some(core.in_flight.oldest()?.batch.scheduled.get(index)?.slot)
        };
        let mut index = 0;
        while let Some(slot) = listed(&self.core, index) {
            if self.cohort.ends_before_its_first_pass(slot) {
                self.withdraw(slot);
            }
            index += 1;
        }
        // In order of admission, and before the listed ones, as in a batch that lists all.
        let mut place = 0;
        while let Some(slot) = self.cohort.pop_last_token() {
            self.withdraw(slot);
            let token = one_token(&self.core.scheduler, slot);
            if let Some(oldest) = self.core.in_flight.get_mut(0) {
                oldest.batch.scheduled.insert(place, token);
            }
            place += 1;
        }
    }

    /// Schedules a pass; false, with nothing given out, if the cohort cannot be part of it.
    fn pass(&mut self, now: SimTime) -> bool {
        self.cohort.skip_foreseen();
        let members = self.cohort.members();
        let scheduler = &mut self.core.scheduler;
        let budget = scheduler.config.max_num_scheduled_tokens.get();
        if self.disordered || members == 0 {
            return false;
        }
        // Whoever was admitted got a token beside all others that decoded, and they are no more now.
        debug_assert!(members <= budget);
        let batch = self.core.in_flight.next();
        batch.clear();
        let chunk = scheduler.long_prefill_chunk();
        let mut pass = Pass { batch, budget: budget - members, chunk };
        let tail = scheduler.first_prefilling();
        let demand = self.cohort.demand_of(1) as u32;
        let fits = scheduler.prefills_fit(&pass, tail, demand) && scheduler.cache.take_anonymous(demand);
        if !fits {
            return false;
        }
        scheduler.schedule_running(&mut pass, tail);
        self.admission = scheduler.schedule_waiting(&mut pass);
        scheduler.end_pass(batch);
        batch.shape.decode_requests += members;
        batch.shape.decode_context += self.cohort.context();
        self.cohort.scheduled();
        self.prefills = false;
        for index in tail..self.core.scheduler.running.len() {
            self.place(self.core.scheduler.running[index]);
        }
        self.core.launch(now);
        true
    }

    /// Finds how many steps are alike from here on, and when the first other one ends.
    fn plan(&mut self) {
        let steps = self.steps_alike();
        let run = if steps > 0 { self.decode_run(steps) } else { None };
        let steps = if run.is_some() { steps } else { 0 };
        let at = self.end_of(run.as_ref(), steps);
        self.plan = Plan { steps, at, run };
    }

    /// In how many steps from here on nothing happens but that each member decodes.
    fn steps_alike(&mut self) -> u64 {
        let core = &self.core;
        if !core.input.is_empty() || !core.aborts.is_empty() || self.prefills || self.disordered {
            return 0;
        }
        let listed = core.in_flight.iter().position(|batch| !batch.batch.scheduled.is_empty());
        let admits = match self.admission {
            Admission::NobodyWaits | Admission::SeatsTaken | Admission::CacheFull => false,
            // With fewer tokens given to others in that pass there may be room in the next.
            Admission::BudgetSpent => {
                core.in_flight.latest().is_some_and(|latest| !latest.batch.scheduled.is_empty())
                    || self.since_formed == 0
            }
        };
        if listed == Some(0) || admits {
            return 0;
        }
        let steps = self.cohort.steps_alike().min(listed.map_or(u64::MAX, |place| place as u64));
        self.cohort.passes_within(core.scheduler.free_blocks().get().into(), steps)
    }

    /// How long the next `steps` passes will take.
    fn decode_run(&self, steps: u64) -> Option<DecodeRun> {
        let members = self.cohort.members();
        DecodeRun::new(self.core.timer.decode_form(members), members, self.cohort.context(), steps)
    }

    /// When the batch ends that is the oldest one in flight after `steps` more steps, the batches of which take `run`.
    fn end_of(&self, run: Option<&DecodeRun>, steps: u64) -> SimTime {
        let in_flight = &self.core.in_flight;
        if let Some(batch) = usize::try_from(steps).ok().and_then(|steps| in_flight.get(steps)) {
            return batch.end;
        }
        let scheduled = steps + 1 - in_flight.len() as u64;
        let total = run.map_or(0, |run| run.total_ps(scheduled));
        let total = u64::try_from(total).map_or(SimDuration::MAX, SimDuration::from_ps);
        self.core.gpu_free_at.checked_add(total).unwrap_or(SimTime::NEVER)
    }

    /// One of the planned steps.
    fn step_alike(&mut self) {
        let (Some(oldest), Some(run)) = (self.core.in_flight.oldest(), self.plan.run) else { return };
        let (now, ran) = (oldest.end, oldest.duration);
        let alike = self.cohort.updated();
        self.core.processor.process_alike(now, alike);
        self.core.processor.sample(&mut self.core.scheduler);
        self.core.processor.stats.busy += ran;
        self.core.processor.stats.steps += 1;
        let demand = self.cohort.demand_of(1) as u32;
        self.core.scheduler.cache.take_anonymous(demand);
        self.cohort.scheduled();
        let duration = run.duration(0);
        self.core.gpu_free_at += duration;
        // It held tokens of members alone, and so does the one that is scheduled now.
        self.core.in_flight.rotate(duration, self.core.gpu_free_at);
        self.since_formed += 1;
        self.plan.steps -= 1;
        self.plan.run = Some(run.after(1));
    }

    /// `steps` of the planned steps at once, no fewer than there are batches in flight.
    fn skip(&mut self, steps: u64) {
        let Some(run) = self.plan.run else { return };
        let core = &mut self.core;
        let (in_flight, started) = (core.in_flight.len() as u64, core.gpu_free_at);
        let alike = self.cohort.alike();
        // Those in flight end first, and then the first that are scheduled.
        for batch in core.in_flight.iter() {
            core.processor.process_alike(batch.end, alike);
            core.processor.stats.busy += batch.duration;
        }
        let ended = steps - in_flight;
        let end_of = |scheduled: u64| started + SimDuration::from_ps(run.total_ps(scheduled) as u64);
        core.processor.process_run(end_of(ended), alike, &run.progressions(ended));
        core.processor.stats.busy += end_of(ended).since(started);
        core.processor.stats.steps += steps;
        // The gauges are those of the last update, before the pass that follows it.
        let last = self.cohort.demand_of(steps) - self.cohort.demand_of(steps - 1);
        let before = self.cohort.demand_of(steps) - last;
        core.scheduler.cache.take_anonymous(before as u32);
        core.processor.sample(&mut core.scheduler);
        core.scheduler.cache.take_anonymous(last as u32);
        for scheduled in ended..steps {
            core.in_flight.rotate(run.duration(scheduled), end_of(scheduled + 1));
        }
        core.gpu_free_at = end_of(steps);
        self.cohort.skip(steps);
        self.since_formed += steps;
        self.plan.steps -= steps;
        self.plan.run = Some(run.after(steps));
    }

    /// How many of the planned steps have ended at `now`.
    fn steps_ended(&self, now: SimTime) -> u64 {
        let in_flight = &self.core.in_flight;
        let known = in_flight.iter().take_while(|batch| batch.end <= now).count() as u64;
        let ended = if known < in_flight.len() as u64 {
            known
        } else {
            let left = now.since(self.core.gpu_free_at);
            known + self.plan.run.map_or(0, |run| run.steps_within(left, self.plan.steps))
        };
        ended.min(self.plan.steps)
    }

    /// The planned steps that have ended at `now` are over.
    fn run_until(&mut self, now: SimTime) {
        while self.formed && self.plan.steps > 0 {
            let ended = self.steps_ended(now);
            if ended == 0 {
                return;
            }
            if ended > self.depth() as u64 && self.is_uniform() {
                self.skip(ended);
            } else {
                self.step_alike();
            }
        }
    }

    /// Whether each batch in flight holds a token of each member, and nothing else.
    fn is_uniform(&self) -> bool {
        let alike = self.cohort.alike();
        self.cohort.in_flight().iter().all(|batch| *batch == alike)
    }

    /// Nothing planned is kept: the batch that runs is the last before something happens.
    fn truncate(&mut self) {
        if self.formed {
            self.plan.steps = 0;
            self.plan.at = self.end_of(None, 0);
        }
    }
}

/// The tokens of members in the batch at a place of those in flight, in order of admission.
fn members_of<C: KvCache>(
    scheduler: &Scheduler<C>,
    cohort: &Cohort,
    place: usize,
) -> impl Iterator<Item = Scheduled> {
    let members = scheduler.running.iter().filter(move |&&slot| cohort.is_in_flight(slot, place));
    members.map(|&slot| one_token(scheduler, slot))
}

/// A request decodes one token.
fn one_token<C: KvCache>(scheduler: &Scheduler<C>, slot: Slot) -> Scheduled {
    Scheduled { id: scheduler.requests[slot.index()].id, slot, tokens: Tokens(1), samples: true }
}

impl Engine for FastEngine {
    fn submit(&mut self, now: SimTime, request: EngineRequest) -> Result<(), Refusal> {
        self.run_until(now);
        self.core.submit(now, request)?;
        self.truncate();
        Ok(())
    }

    fn abort(&mut self, now: SimTime, id: RequestId) {
        self.run_until(now);
        self.core.abort(now, id);
        self.truncate();
    }

    fn next_event(&self) -> Option<SimTime> {
        if self.formed { Some(self.plan.at) } else { self.core.next_event() }
    }

    fn advance(&mut self, now: SimTime, out: &mut Vec<Output>) {
        debug_assert_eq!(self.next_event(), Some(now), "advance is called at next_event");
        if self.formed {
            self.run_until(now);
            self.step(now, out);
        } else {
            self.core.advance(now, out);
            self.form();
        }
    }

    fn catch_up(&mut self, now: SimTime) {
        self.run_until(now);
        self.core.catch_up(now);
    }

    fn stats(&self, now: SimTime) -> &Stats {
        debug_assert!(!self.formed || self.plan.steps == 0 || self.steps_ended(now) == 0, "it has caught up");
        self.core.stats(now)
    }

    fn busy(&self, now: SimTime) -> SimDuration {
        self.core.busy(now)
    }

    fn unfinished(&self) -> Box<dyn Iterator<Item = RequestId> + '_> {
        self.core.unfinished()
    }

    fn num_unfinished(&self) -> u64 {
        self.core.num_unfinished()
    }

    fn num_running(&self) -> u64 {
        self.core.num_running()
    }

    fn is_running(&self, id: RequestId) -> bool {
        self.core.is_running(id)
    }

    fn usage(&self, now: SimTime, id: RequestId) -> Usage {
        let mut usage = self.core.usage(now, id);
        if self.formed
            && let Some(slot) = self.core.scheduler.slot(id)
        {
            usage.output_tokens += Tokens(self.cohort.delivered(slot));
        }
        usage
    }

    fn audit(&self) -> Result<(), String> {
        let mut copy = self.clone();
        if copy.formed {
            copy.disband();
        }
        copy.core.audit()
    }
}

impl fmt::Debug for FastEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastEngine")
            .field("core", &self.core)
            .field("formed", &self.formed)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
