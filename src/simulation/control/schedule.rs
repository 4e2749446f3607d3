//! A timetable: so many replicas from a given instant on, whatever the load.

use super::{ControlLoops, record_decision};
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::simulation::event::Event;
use crate::simulation::record::Controller;
use crate::simulation::world::World;
use crate::units::{Replicas, SimTime};
use serde::{Deserialize, Serialize};

/// Steps in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Schedule(Vec<ScheduleStep>);

/// One step of a timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleStep {
    /// Since the start of the run.
    pub at: Seconds,
    /// `spec.replicas` from then on.
    pub replicas: Replicas,
}

impl Schedule {
    /// The timetable of these steps.
    ///
    /// # Errors
    /// No step at all, times that do not ascend, a size below 0 or above `replicas_max`; keys are indices.
    pub fn new(steps: Vec<ScheduleStep>, replicas_max: Replicas) -> Result<Schedule, Problem> {
        let schedule = Schedule(steps);
        schedule.check(replicas_max).map(|()| schedule)
    }

    /// As [`Schedule::new`] checks its steps.
    ///
    /// # Errors
    /// See there.
    pub fn check(&self, replicas_max: Replicas) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Err(
                Problem::whole("the schedule has no step").help("such as `{ at = \"0s\", replicas = 2 }`")
            );
        }
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 && step.at <= self.0[i - 1].at {
                let problem = Problem::key(format!("{i}.at"), "this step does not come after the one before");
                return Err(problem.help("times count from the start of the run and ascend"));
            }
            if !(Replicas::ZERO..=replicas_max).contains(&step.replicas) {
                let message = format!("{} is not a number of replicas", step.replicas);
                let problem = Problem::key(format!("{i}.replicas"), message);
                return Err(problem.help(format!("from 0 to {replicas_max}")));
            }
        }
        Ok(())
    }

    /// The steps, in order of time; at least one.
    pub fn steps(&self) -> &[ScheduleStep] {
        &self.0
    }

    /// The sizes between which it moves.
    pub fn range(&self) -> (Replicas, Replicas) {
        let sizes = || self.0.iter().map(|step| step.replicas);
        (sizes().min().unwrap_or_default(), sizes().max().unwrap_or_default())
    }
}

/// A step as decisions.jsonl shows it.
#[derive(Serialize)]
struct StepDetail {
    /// Which one, from 0.
    step: u32,
}

impl ScheduleStep {
    /// `replicas` from `at` on.
    pub fn new(at: SimTime, replicas: Replicas) -> Self {
        ScheduleStep { at: Seconds(at.since(SimTime::ZERO)), replicas }
    }

    /// When it is taken.
    pub fn time(&self) -> SimTime {
        SimTime::ZERO + self.at.duration()
    }
}

impl World<'_> {
    /// Schedules the first step.
    pub(super) fn start_schedule(&mut self) {
        self.follow_schedule(0);
    }

    /// A step of the timetable is due.
    pub(in crate::simulation) fn scheduled_scale(&mut self, index: u32) {
        let ControlLoops::Schedule(schedule) = &self.control else { return };
        let Some(step) = schedule.0.get(index as usize).copied() else { return };
        let sizes = (self.fleet.deployment.spec_replicas(), step.replicas);
        record_decision(self.recorder, self.now, Controller::Schedule, sizes, &StepDetail { step: index });
        self.scale_to(step.replicas, Controller::Schedule);
        self.follow_schedule(index + 1);
    }

    fn follow_schedule(&mut self, index: u32) {
        let ControlLoops::Schedule(schedule) = &self.control else { return };
        if let Some(step) = schedule.0.get(index as usize) {
            self.queue.push(step.time(), Event::ScheduledScale(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        schedule: Schedule,
    }

    fn read(text: &str) -> Result<Schedule, String> {
        let File { schedule } = toml::from_str(&format!("schedule = {text}")).map_err(|e| e.to_string())?;
        schedule.check(Replicas(10)).map(|()| schedule).map_err(|problem| problem.to_string())
    }

    #[test]
    fn steps_ascend_and_stay_within_bounds() {
        let schedule = read("[{ at = '0s', replicas = 2 }, { at = 90, replicas = 5 }]").expect("fine");
        assert_eq!(schedule.range(), (Replicas(2), Replicas(5)));
        for (text, key) in [
            ("[]", "the schedule has no step"),
            ("[{ at = 5, replicas = 1 }, { at = 5, replicas = 2 }]", "1.at"),
            ("[{ at = 5, replicas = -1 }]", "0.replicas"),
            ("[{ at = 5, replicas = 11 }]", "0.replicas"),
        ] {
            assert!(read(text).expect_err(text).starts_with(key), "{text}");
        }
        assert!(read("[{ at = 5, replica = 1 }]").expect_err("unknown").contains("replica"));
    }
}
