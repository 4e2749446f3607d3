//! Timetables that may meet the SLO for little: they know all that will come.

use super::bound::Windows;
use crate::problem::Problem;
use crate::scenario::Demand;
use crate::simulation::{Schedule, ScheduleStep};
use crate::units::{Replicas, SimTime};

/// Into so many windows the run is cut, for timetables that follow the load.
pub(super) const PARTS: [u64; 4] = [6, 12, 24, 60];

/// Replica time over the least work of a window, from no room at all to plenty.
pub(super) const HEADROOM: [f64; 12] = [1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.4, 2.8, 3.4, 4.0, 5.0];

/// So many replicas all along.
///
/// # Errors
/// More than the nodes hold.
pub(super) fn fixed(demand: &Demand, replicas: Replicas) -> Result<Schedule, Problem> {
    Schedule::new(vec![ScheduleStep::new(SimTime::ZERO, replicas)], demand.replicas_max)
}

/// In each of `parts` windows as many replicas as its least work asks for with this headroom; those that are more than
/// before are ordered so much earlier that they are ready when the window begins.
///
/// # Errors
/// The run is too short to be cut into so many windows.
pub(super) fn following(demand: &Demand, parts: u64, headroom: f64) -> Result<Schedule, Problem> {
    let windows = Windows::new(demand, parts);
    let length_ps = demand.end.as_ps() / parts;
    let most = demand.replicas_max.get();
    let wanted = windows.work().map(|work| match libm::ceil(headroom * work / length_ps.max(1) as f64) {
        // Whoever is due across the edge of two windows is in neither: somebody may still be there.
        n if n < 1.0 => 1,
        n => (n as i32).min(most),
    });
    let lead = demand.slow_start.as_ps();
    let mut steps: Vec<ScheduleStep> = Vec::new();
    for (window, replicas) in wanted.enumerate() {
        let begins = window as u64 * length_ps;
        let replicas = Replicas(replicas);
        let Some(last) = steps.last().copied() else {
            steps.push(ScheduleStep::new(SimTime::ZERO, replicas));
            continue;
        };
        if replicas == last.replicas {
            continue;
        }
        let at = if replicas > last.replicas { begins.saturating_sub(lead) } else { begins };
        let at = SimTime::from_ps(at);
        // What would be let go and be wanted again before it is gone stays.
        while steps.last().is_some_and(|step| step.time() >= at && step.replicas < replicas)
            && steps.len() > 1
        {
            steps.pop();
        }
        match steps.last_mut() {
            Some(step) if step.time() >= at => step.replicas = step.replicas.max(replicas),
            Some(step) if step.replicas == replicas => {}
            _ => steps.push(ScheduleStep::new(at, replicas)),
        }
    }
    Schedule::new(steps, demand.replicas_max)
}

/// GPU-hours of a timetable's replicas, start and end of each left out.
pub(super) fn gpu_hours(schedule: &Schedule, demand: &Demand) -> f64 {
    let steps = schedule.steps();
    let ends = steps.iter().skip(1).map(ScheduleStep::time).chain([demand.end]);
    let replica_seconds = steps
        .iter()
        .zip(ends)
        .map(|(step, end)| f64::from(step.replicas.get()) * end.since(step.time()).as_secs_f64());
    replica_seconds.sum::<f64>() * f64::from(demand.gpus_per_replica.get()) / 3600.0
}
