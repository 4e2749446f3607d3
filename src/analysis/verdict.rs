//! The verdict in a word: what kind of thing a policy did. Only numbers of the answer decide, so several runs get theirs
//! from the means.

use super::repetition::Answer;
use crate::units::Replicas;

/// Between what a policy may scale; equal for a fixed fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest replicas.
    pub min: Replicas,
    /// The most.
    pub max: Replicas,
}

/// What happened, the first that applies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// No request came.
    Idle,
    /// It turns round far more often than the load does.
    Saws {
        /// Changes of size.
        changes: f64,
        /// Those of the opposite sign to the change before.
        reversals: f64,
        /// Seconds from one reversal to the next, in the mean.
        every_s: f64,
    },
    /// It misses its SLO at the most replicas that it may have.
    AtItsMaximum {
        /// The bound.
        replicas: f64,
        /// The share of time that it was there.
        share: f64,
        /// The most replicas that were ever ready.
        ready: f64,
        /// Requests that waited at the end.
        waiting: f64,
    },
    /// It misses its SLO with a fixed fleet.
    TooSmall {
        /// The fleet.
        replicas: f64,
        /// Most requests that waited at one time.
        longest_queue: f64,
    },
    /// It misses its SLO and might have scaled, and did not.
    NeverScales {
        /// Its size all along.
        replicas: f64,
        /// Most requests that waited at one time.
        longest_queue: f64,
    },
    /// It misses its SLO, and capacity followed the load's step late.
    ReactsLate {
        /// Seconds from the step to capacity.
        after_s: f64,
    },
    /// It misses its SLO although it scales.
    FallsShort {
        /// Changes of size.
        changes: f64,
        /// Most requests that waited at one time.
        longest_queue: f64,
    },
    /// It holds with so little to do for each replica that fewer would do.
    HasRoom {
        /// Requests that run on a ready replica, in the mean.
        running: f64,
        /// Ready replicas, in the mean.
        ready: f64,
    },
    /// It holds without a change.
    Holds {
        /// Its size all along.
        replicas: f64,
    },
    /// It holds and changes size with the load.
    Follows {
        /// Changes of size.
        changes: f64,
        /// Those of the opposite sign to the change before.
        reversals: f64,
    },
}

/// Fewer reversals than these say nothing about a habit.
const REVERSALS_MIN: f64 = 4.0;

/// A load that swings is followed by one reversal a swing. Twice as many, and two for the start and the end, are still
/// that; more is the policy's own.
const REVERSALS_PER_SWING: f64 = 2.0;

/// Later than this after a step of the load, users have waited for capacity.
const LATE_S: f64 = 60.0;

/// At so few requests a replica that run, and as few that ever waited, half the replicas would batch twice as many, which
/// costs a decode step next to nothing.
const RUNNING_FEW: f64 = 4.0;

/// Without an SLO: the share of all requests that, still waiting at the end, shows that the service does not keep up.
const LEFT_WAITING: f64 = 0.05;

impl Verdict {
    /// The verdict about a policy with these bounds.
    pub fn of(answer: &Answer, bounds: Bounds) -> Verdict {
        let number = |key: &str| answer.number(key).unwrap_or(0.0);
        let (duration_s, arrived) = (number("duration_s"), number("requests.arrived"));
        let changes = number("scaling.ups") + number("scaling.downs");
        let reversals = number("scaling.reversals");
        let replicas = number("replicas.max");
        let longest_queue = number("engine.longest_queue");
        let waiting = number("requests.waiting");
        let ready = number("replicas.ready_mean");

        if arrived == 0.0 {
            return Verdict::Idle;
        }
        if reversals >= REVERSALS_MIN && reversals > REVERSALS_PER_SWING * number("load.swings") + 2.0 {
            return Verdict::Saws { changes, reversals, every_s: duration_s / reversals };
        }
        if !answer.truth("slo.met").unwrap_or(waiting < LEFT_WAITING * arrived) {
            let share = if duration_s > 0.0 { number("replicas.at_max_s") / duration_s } else { 0.0 };
            let late = answer.number("scaling.step_to_capacity_s").filter(|&after_s| after_s >= LATE_S);
            return if bounds.min == bounds.max {
                Verdict::TooSmall { replicas, longest_queue }
            } else if replicas >= f64::from(bounds.max.get()) && share >= 0.5 {
                Verdict::AtItsMaximum { replicas, share, ready: number("replicas.ready_max"), waiting }
            } else if changes == 0.0 {
                Verdict::NeverScales { replicas, longest_queue }
            } else if let Some(after_s) = late {
                Verdict::ReactsLate { after_s }
            } else {
                Verdict::FallsShort { changes, longest_queue }
            };
        }
        let running = if ready > 0.0 { number("engine.running_mean") / ready } else { 0.0 };
        if ready >= 2.0 && running <= RUNNING_FEW && longest_queue <= RUNNING_FEW * ready {
            return Verdict::HasRoom { running, ready };
        }
        if changes == 0.0 { Verdict::Holds { replicas } } else { Verdict::Follows { changes, reversals } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ELASTIC: Bounds = Bounds { min: Replicas(1), max: Replicas(5) };

    /// A day in the life of a policy that meets its SLO, but for `changes`.
    fn verdict(bounds: Bounds, changes: &[(&str, Value)]) -> Verdict {
        let mut summary = json!({
            "duration_s": 7200.0,
            "requests": { "arrived": 180_000, "waiting": 0 },
            "slo": { "met": true },
            "load": { "swings": 0 },
            "replicas": { "max": 3, "at_max_s": 3000.0, "ready_mean": 2.5, "ready_max": 3 },
            "scaling": { "ups": 2, "downs": 1, "reversals": 1, "step_to_capacity_s": null },
            "engine": { "longest_queue": 40, "running_mean": 75.0 },
        });
        for (key, value) in changes {
            let (table, key) = key.split_once('.').expect("dotted");
            summary[table][key] = value.clone();
        }
        Verdict::of(&Answer::from_json(summary).expect("an answer"), bounds)
    }

    #[test]
    fn a_policy_saws_that_turns_more_often_than_the_load() {
        let turns = |reversals: u64, swings: u64| {
            let changes = [
                ("scaling.ups", json!(12)),
                ("scaling.downs", json!(11)),
                ("scaling.reversals", json!(reversals)),
                ("load.swings", json!(swings)),
            ];
            verdict(ELASTIC, &changes)
        };
        assert_eq!(turns(20, 0), Verdict::Saws { changes: 23.0, reversals: 20.0, every_s: 360.0 });
        assert!(matches!(turns(20, 8), Verdict::Saws { .. }));
        assert!(matches!(turns(20, 9), Verdict::Follows { .. }));
        assert!(matches!(turns(3, 0), Verdict::Follows { .. }));
        assert!(matches!(turns(4, 0), Verdict::Saws { .. }));
    }

    #[test]
    fn a_missed_slo_has_one_reason() {
        let missed = ("slo.met", json!(false));
        let still = [("scaling.ups", json!(0)), ("scaling.downs", json!(0)), ("scaling.reversals", json!(0))];
        let with =
            |bounds, more: &[(&str, Value)]| verdict(bounds, &[std::slice::from_ref(&missed), more].concat());
        let fixed = Bounds { min: Replicas(3), max: Replicas(3) };
        assert_eq!(with(fixed, &still), Verdict::TooSmall { replicas: 3.0, longest_queue: 40.0 });
        assert_eq!(with(ELASTIC, &still), Verdict::NeverScales { replicas: 3.0, longest_queue: 40.0 });
        assert_eq!(
            with(ELASTIC, &[("replicas.max", json!(5)), ("replicas.at_max_s", json!(5400.0))]),
            Verdict::AtItsMaximum { replicas: 5.0, share: 0.75, ready: 3.0, waiting: 0.0 }
        );
        assert_eq!(
            with(ELASTIC, &[("scaling.step_to_capacity_s", json!(130.0))]),
            Verdict::ReactsLate { after_s: 130.0 }
        );
        assert_eq!(with(ELASTIC, &[]), Verdict::FallsShort { changes: 3.0, longest_queue: 40.0 });
    }

    #[test]
    fn without_an_slo_a_queue_that_stays_is_a_miss() {
        let left = |waiting: u64| {
            verdict(ELASTIC, &[("slo.met", Value::Null), ("requests.waiting", json!(waiting))])
        };
        assert!(matches!(left(8_999), Verdict::Follows { .. }));
        assert!(matches!(left(9_000), Verdict::FallsShort { .. }));
    }

    #[test]
    fn what_holds_holds_with_or_without_room_and_changes() {
        assert_eq!(verdict(ELASTIC, &[]), Verdict::Follows { changes: 3.0, reversals: 1.0 });
        let still = [("scaling.ups", json!(0)), ("scaling.downs", json!(0)), ("scaling.reversals", json!(0))];
        assert_eq!(verdict(ELASTIC, &still), Verdict::Holds { replicas: 3.0 });
        let idle = |running, queue| {
            verdict(
                ELASTIC,
                &[("engine.running_mean", json!(running)), ("engine.longest_queue", json!(queue))],
            )
        };
        assert_eq!(idle(10.0, 10), Verdict::HasRoom { running: 4.0, ready: 2.5 });
        assert!(matches!(idle(10.1, 10), Verdict::Follows { .. }));
        assert!(matches!(idle(10.0, 11), Verdict::Follows { .. }));
        assert_eq!(verdict(ELASTIC, &[("requests.arrived", json!(0))]), Verdict::Idle);
    }
}
