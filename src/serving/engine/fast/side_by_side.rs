//! The two engines driven side by side, as the simulation drives them.

use super::*;
use crate::serving::engine::{BatchShape, DecodeForm, Output};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A step time with a floor and a slope, so that runs are constant, linear, and cross from one to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) base: u64,
    pub(super) request: u64,
    pub(super) slope: u64,
    pub(super) floor: u64,
}

impl StepTimer for Form {
    fn step_time(&self, batch: &BatchShape) -> SimDuration {
        if batch.requests() == 0 {
            return SimDuration::ZERO;
        }
        let base = self.base + self.request * u64::from(batch.requests()) + 3 * batch.prefill_tokens;
        let pairs = batch.prefill_pairs_x2 as u64 / 16;
        SimDuration::from_nanos((base + pairs + self.slope * batch.decode_context).max(self.floor))
    }

    fn decode_form(&self, requests: u32) -> DecodeForm {
        DecodeForm {
            base: SimDuration::from_nanos(self.base + self.request * u64::from(requests)),
            context_slope: SimDuration::from_nanos(self.slope),
            floor: SimDuration::from_nanos(self.floor),
            longest: SimDuration::MAX,
        }
    }
}

/// What is done to an engine, in order of time and then of kind.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Abort(RequestId),
    Submit(EngineRequest),
    Look,
}

#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) config: EngineConfig,
    pub(super) num_gpu_blocks: Blocks,
    pub(super) form: Form,
    pub(super) acts: Vec<(SimTime, Act)>,
}

pub(super) fn at(ns: u64) -> SimTime {
    SimTime::ZERO + SimDuration::from_nanos(ns)
}

impl Load {
    pub(super) fn new(
        config: EngineConfig,
        num_gpu_blocks: Blocks,
        form: Form,
        mut acts: Vec<(SimTime, Act)>,
    ) -> Load {
        let rank = |act: &Act| match act {
            Act::Abort(_) => 0,
            Act::Submit(_) => 1,
            Act::Look => 2,
        };
        acts.sort_by_key(|(at, act)| (*at, rank(act)));
        Load { config, num_gpu_blocks, form, acts }
    }
}

/// An engine and the event of it that is in the queue, as the simulation follows it.
pub(super) struct Driven<E> {
    pub(super) engine: E,
    followed: Option<SimTime>,
    /// It was idle when the event was put in the queue, for that very instant.
    wakes: bool,
    pub(super) out: Vec<Output>,
    pub(super) events: u64,
}

impl<E: Engine> Driven<E> {
    pub(super) fn new(engine: E) -> Self {
        Driven { engine, followed: None, wakes: false, out: Vec::new(), events: 0 }
    }

    fn follow(&mut self, now: SimTime) {
        let next = self.engine.next_event();
        if next != self.followed {
            self.followed = next;
            self.wakes = next == Some(now);
        }
    }

    /// Its events before `now`, and those at `now` that come before what others do then.
    pub(super) fn run_until(&mut self, now: SimTime, woken_too: bool) -> Result<(), TestCaseError> {
        while let Some(event) = self.followed
            && (event < now || (event == now && (woken_too || !self.wakes)))
        {
            self.followed = None;
            self.engine.advance(event, &mut self.out);
            self.events += 1;
            prop_assert!(
                self.engine.next_event().is_none_or(|next| next > event),
                "the engine stands still at {event}: {:?}",
                self.engine
            );
            self.follow(event);
        }
        Ok(())
    }

    pub(super) fn act(&mut self, now: SimTime, act: &Act) -> Result<(), TestCaseError> {
        self.run_until(now, matches!(act, Act::Look))?;
        match act {
            Act::Abort(id) => self.engine.abort(now, *id),
            Act::Submit(request) => drop(self.engine.submit(now, request.clone())),
            Act::Look => self.engine.catch_up(now),
        }
        self.follow(now);
        Ok(())
    }
}

pub(super) fn engines(load: &Load) -> (Driven<EngineCore>, Driven<FastEngine>) {
    const TIMING: EngineTiming =
        EngineTiming { output_delay: SimDuration::from_nanos(2), idle_penalty: SimDuration::from_nanos(11) };
    let timer = || Arc::new(load.form);
    let stepwise = EngineCore::new(load.config.clone(), load.num_gpu_blocks, timer(), TIMING);
    let fast = FastEngine::new(load.config.clone(), load.num_gpu_blocks, timer(), TIMING);
    (Driven::new(stepwise.expect("enough blocks")), Driven::new(fast.expect("enough blocks")))
}

/// Drives both through the load, comparing what they show at each look. The answer is how many events each took.
pub(super) fn compare(load: &Load) -> Result<(u64, u64), TestCaseError> {
    let (mut stepwise, mut fast) = engines(load);
    for (now, act) in &load.acts {
        stepwise.act(*now, act)?;
        fast.act(*now, act)?;
        let (s, f) = (&stepwise.engine, &fast.engine);
        prop_assert_eq!(s.num_unfinished(), f.num_unfinished());
        if !matches!(act, Act::Look) {
            continue;
        }
        prop_assert_eq!(s.stats(*now), f.stats(*now), "at {}", now);
        prop_assert_eq!(s.busy(*now), f.busy(*now));
        prop_assert_eq!((s.num_running(), s.num_waiting()), (f.num_running(), f.num_waiting()));
        let unfinished: Vec<RequestId> = s.unfinished().collect();
        prop_assert_eq!(&unfinished, &f.unfinished().collect::<Vec<_>>());
        for id in unfinished {
            prop_assert_eq!(s.usage(*now, id), f.usage(*now, id), "{:?} at {}", id, now);
            prop_assert_eq!(s.is_running(id), f.is_running(id));
        }
        f.audit().map_err(TestCaseError::fail)?;
        prop_assert_eq!(&stepwise.out, &fast.out);
    }
    stepwise.act(SimTime::NEVER, &Act::Look)?;
    fast.act(SimTime::NEVER, &Act::Look)?;
    prop_assert_eq!(&stepwise.out, &fast.out);
    prop_assert_eq!(stepwise.engine.stats(SimTime::NEVER), fast.engine.stats(SimTime::NEVER));
    prop_assert_eq!(fast.engine.num_unfinished(), 0);
    fast.engine.audit().map_err(TestCaseError::fail)?;
    Ok((stepwise.events, fast.events))
}
