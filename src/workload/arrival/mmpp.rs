//! Markov-modulated Poisson arrivals: the rate jumps between states, such as on and off.

use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::random::{NamedStream, Stream};
use crate::units::{SimDuration, SimTime};
use crate::workload::rate::{Expected, Rate};

/// More stays than this in one run are a mistake: a dwell time in the wrong unit.
const STAYS_MAX: u64 = 100_000_000;

/// A state as a user writes it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// What the profile's rate is multiplied by, before all factors are divided by their mean over time.
    factor: f64,
    /// How long the state lasts, on average.
    dwell: Seconds,
}

/// How the time in a state is distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dwell {
    /// Always `dwell`.
    Constant,
    /// Memoryless, with mean `dwell`.
    #[default]
    Exponential,
}

/// A profile whose rate is multiplied by the factor of the present state.
///
/// States follow each other in the order in which they are written, round and round. The run begins at a random moment of
/// that round: in a state with a probability proportional to its dwell time, with what is left of that. So the mean
/// rate is the profile's from the first second on.
#[derive(Clone, Debug)]
pub(super) struct Modulated {
    rate: Rate,
    states: Vec<(f64, SimDuration)>,
    dwell: Dwell,
    stream: NamedStream,
    end: SimTime,
    stay: Stay,
}

/// One stay in a state.
#[derive(Clone, Copy, Debug)]
struct Stay {
    ordinal: u64,
    state: usize,
    until: SimTime,
    /// Expected arrivals before the stay: of the modulated process, and of the profile alone.
    before: Expected,
    profile_before: Expected,
    /// Of the profile alone, at the end of the stay.
    profile_after: Expected,
}

impl Modulated {
    /// Stays are drawn from `stream`, keyed by their ordinal; the run ends after `duration`.
    pub(super) fn new(
        states: &[State],
        dwell: Dwell,
        rate: Rate,
        stream: NamedStream,
        duration: SimDuration,
    ) -> Result<Modulated, Problem> {
        if states.len() < 2 {
            return Err(Problem::key("states", "an mmpp source needs at least two states").help(
                "write `states = [{ factor = 4.0, dwell = \"9s\" }, { factor = 0.0, dwell = \"27s\" }]`",
            ));
        }
        for (i, state) in states.iter().enumerate() {
            if !(state.factor >= 0.0 && state.factor.is_finite()) {
                return Err(Problem::key(
                    format!("states.{i}.factor"),
                    format!("the factor is {}", state.factor),
                )
                .help("a factor is 0 or more"));
            }
            let stays = duration.as_ps() / state.dwell.duration().as_ps().max(1);
            if state.dwell.duration().is_zero() || stays > STAYS_MAX {
                return Err(Problem::key(format!("states.{i}.dwell"), "the state lasts too short a time")
                    .help("give `dwell` in seconds, or as text: \"9s\""));
            }
        }
        let total: f64 = states.iter().map(|state| f64::from(state.dwell)).sum();
        let mean = states.iter().map(|state| state.factor * f64::from(state.dwell)).sum::<f64>() / total;
        // Written so that a mean that is no number is refused too.
        if !(mean > 0.0 && mean.is_finite()) {
            return Err(
                Problem::key("states", "no state has a rate").help("give one of them a factor above 0")
            );
        }
        let states: Vec<(f64, SimDuration)> =
            states.iter().map(|state| (state.factor / mean, state.dwell.duration())).collect();
        let mut first = stream.at(0);
        let mut place = first.unit() * total;
        let state = states.iter().position(|(_, dwell)| {
            place -= dwell.as_secs_f64();
            place < 0.0
        });
        // Rounding may leave the place a hair beyond the last state.
        let state = state.unwrap_or(states.len() - 1);
        let length = match dwell {
            // What is left of an exponential is distributed like the whole.
            Dwell::Exponential => exponential(states[state].1, &mut first),
            Dwell::Constant => scaled(states[state].1, first.unit()),
        };
        let (end, zero) = (SimTime::ZERO + duration, Expected::ZERO);
        let until = (SimTime::ZERO + length).min(end);
        let profile_after = rate.expected_until(until);
        let stay = Stay { ordinal: 0, state, until, before: zero, profile_before: zero, profile_after };
        Ok(Modulated { rate, states, dwell, stream, end, stay })
    }

    /// The first instant at which `expected` arrivals are reached, or `None` if the run ends before. `expected` must never
    /// fall from call to call.
    pub(super) fn when(&mut self, expected: Expected) -> Option<SimTime> {
        loop {
            let stay = self.stay;
            let factor = self.states[stay.state].0;
            let wanted = (expected - stay.before).to_f64() / factor;
            let room = stay.profile_after - stay.profile_before;
            // In a state of factor 0, `wanted` is infinite or no number: the stay is passed over.
            if factor > 0.0 && Expected::from_f64(wanted) <= room {
                return self
                    .rate
                    .when(stay.profile_before + Expected::from_f64(wanted))
                    .map(|at| at.min(stay.until));
            }
            if stay.until >= self.end {
                return None;
            }
            self.stay = self.after(stay, Expected::from_f64(factor * room.to_f64()));
        }
    }

    fn after(&self, stay: Stay, arrivals: Expected) -> Stay {
        let ordinal = stay.ordinal + 1;
        let state = (stay.state + 1) % self.states.len();
        let dwell = self.states[state].1;
        let length = match self.dwell {
            Dwell::Exponential => exponential(dwell, &mut self.stream.at(ordinal)),
            Dwell::Constant => dwell,
        };
        let until = (stay.until + length).min(self.end);
        let (before, profile_before) = (stay.before + arrivals, stay.profile_after);
        Stay { ordinal, state, until, before, profile_before, profile_after: self.rate.expected_until(until) }
    }
}

fn exponential(mean: SimDuration, stream: &mut Stream) -> SimDuration {
    scaled(mean, -libm::log(stream.open_unit()))
}

/// `length * factor`; the horizon at most.
fn scaled(length: SimDuration, factor: f64) -> SimDuration {
    SimDuration::from_secs_f64(length.as_secs_f64() * factor)
        .unwrap_or(SimDuration::from_ps(SimTime::HORIZON.as_ps()))
}
