//! Arrival processes: when an open source sends its requests.
//!
//! A process is a sequence of gaps of mean 1, laid on the expected number of arrivals of a [rate profile](super::rate). `cv`
//! is the coefficient of variation of the gaps; vLLM's `--burstiness b` is the shape of a gamma process, whose `cv` is
//! 1 / sqrt(b). The gap before request i comes from a stream keyed by i.

mod mmpp;

use super::rate::{Expected, Rate};
use crate::problem::Problem;
use crate::random::distribution::{Distribution, Sampler, Spread};
use crate::random::{NamedStream, Streams};
use crate::units::{SimDuration, SimTime};
use mmpp::Modulated;

/// The `arrival` of an open source as a user writes it; Poisson without it.
///
/// | `process` | other keys |
/// |---|---|
/// | `constant`, `poisson` | |
/// | `gamma` | one of `cv`, `shape`, `burstiness` (vLLM's name of the shape) |
/// | `weibull` | one of `cv`, `shape` |
/// | `mmpp` | `states = [{ factor, dwell }, ..]`, `dwell_dist = "exponential"` or `"constant"`, `within = "poisson"` |
///
/// With `normalize = "exact"` the number of requests is the whole part of what the rate promises, and the last comes when
/// that number is reached, as `vllm bench serve` rescales its delays; `mmpp` has no such number.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalSpec {
    #[serde(default)]
    process: Process,
    cv: Option<f64>,
    shape: Option<f64>,
    burstiness: Option<f64>,
    #[serde(default)]
    normalize: Normalize,
    within: Option<Process>,
    states: Option<Vec<mmpp::State>>,
    dwell_dist: Option<mmpp::Dwell>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Process {
    /// Evenly spaced.
    Constant,
    /// Memoryless.
    #[default]
    Poisson,
    /// Gamma distributed gaps.
    Gamma,
    /// Weibull distributed gaps.
    Weibull,
    /// A Poisson process whose rate jumps between states (Markov-modulated, on/off).
    Mmpp,
    /// Gaps as seen somewhere.
    EmpiricalIat,
}

impl Process {
    fn text(self) -> &'static str {
        match self {
            Process::Constant => "constant",
            Process::Poisson => "poisson",
            Process::Gamma => "gamma",
            Process::Weibull => "weibull",
            Process::Mmpp => "mmpp",
            Process::EmpiricalIat => "empirical_iat",
        }
    }
}

/// Whether the number of arrivals is left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Normalize {
    /// It is.
    #[default]
    None,
    /// Gaps are rescaled so that exactly as many requests arrive as the rate promises, as `vllm bench serve` does.
    Exact,
}

/// The gaps between arrivals, mean 1.
#[derive(Clone, Debug)]
enum Gaps {
    Even,
    Exponential,
    Drawn(Sampler),
}

impl Gaps {
    fn draw(&self, stream: &NamedStream, ordinal: u64) -> Expected {
        Expected::from_f64(match self {
            Gaps::Even => 1.0,
            Gaps::Exponential => -libm::log(stream.at(ordinal).open_unit()),
            Gaps::Drawn(sampler) => sampler.sample(&mut stream.at(ordinal)),
        })
    }
}

/// The instants at which an open source has a request ready, in order.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    gaps: Gaps,
    stream: NamedStream,
    clock: Clock,
    /// For `normalize = "exact"`: how many arrivals, and the factor of their gaps.
    exact: Option<(u64, f64)>,
    sum: Expected,
    ordinal: u64,
    last: SimTime,
}

/// From expected numbers of arrivals to instants.
#[derive(Clone, Debug)]
enum Clock {
    Profile(Rate),
    Modulated(Modulated),
}

impl ArrivalSpec {
    /// The arrivals of the source called `source` over `rate`, which ends after `duration`.
    ///
    /// # Errors
    /// A [`Problem`] with the key at fault, relative to `arrival`.
    pub(super) fn arrivals(
        &self,
        source: &str,
        streams: &Streams,
        rate: Rate,
        duration: SimDuration,
    ) -> Result<Arrivals, Problem> {
        self.check_keys()?;
        let gaps = self.gaps()?;
        let stream = streams.named(&format!("arrivals/{source}"));
        let exact = (self.normalize == Normalize::Exact).then(|| exact(&gaps, &stream, rate.total().whole()));
        let clock = match self.process {
            Process::Mmpp => {
                let dwells = streams.named(&format!("dwell/{source}"));
                let states = self.states.as_deref().unwrap_or_default();
                Clock::Modulated(Modulated::new(
                    states,
                    self.dwell_dist.unwrap_or_default(),
                    rate,
                    dwells,
                    duration,
                )?)
            }
            _ => Clock::Profile(rate),
        };
        Ok(Arrivals { gaps, stream, clock, exact, sum: Expected::ZERO, ordinal: 0, last: SimTime::ZERO })
    }

    /// Keys that belong to another process are refused, not ignored.
    fn check_keys(&self) -> Result<(), Problem> {
        let mmpp = self.process == Process::Mmpp;
        let given = [
            ("cv", self.cv.is_some(), matches!(self.process, Process::Gamma | Process::Weibull)),
            ("shape", self.shape.is_some(), matches!(self.process, Process::Gamma | Process::Weibull)),
            ("burstiness", self.burstiness.is_some(), self.process == Process::Gamma),
            ("within", self.within.is_some(), mmpp),
            ("states", self.states.is_some(), mmpp),
            ("dwell_dist", self.dwell_dist.is_some(), mmpp),
        ];
        let process = self.process.text();
        if let Some((key, ..)) = given.iter().find(|(_, given, belongs)| *given && !belongs) {
            return Err(Problem::key(*key, format!("`{process}` arrivals have no `{key}`"))
                .help("gamma takes `cv`, `shape` or `burstiness`; weibull `cv` or `shape`; mmpp `states`, `dwell_dist`"));
        }
        if mmpp && self.within.is_some_and(|within| within != Process::Poisson) {
            return Err(Problem::key("within", "within a state only `poisson` arrivals are supported yet")
                .help("remove `within`"));
        }
        if mmpp && self.normalize == Normalize::Exact {
            return Err(Problem::key(
                "normalize",
                "the count of an mmpp source cannot be made exact: its rate is random",
            )
            .help("use `normalize = \"none\"`"));
        }
        if self.process == Process::EmpiricalIat {
            return Err(Problem::key("process", "`empirical_iat` arrivals are not supported yet").help(
                "replay the trace itself with `kind = \"replay\"`, or fit a `gamma` process to its `cv`",
            ));
        }
        Ok(())
    }

    fn gaps(&self) -> Result<Gaps, Problem> {
        Ok(match self.process {
            Process::Constant => Gaps::Even,
            Process::Gamma => Gaps::Drawn(Distribution::gamma(1.0, self.spread()?).sampler()?),
            Process::Weibull => Gaps::Drawn(Distribution::weibull(1.0, self.spread()?).sampler()?),
            Process::Poisson | Process::Mmpp | Process::EmpiricalIat => Gaps::Exponential,
        })
    }

    fn spread(&self) -> Result<Spread, Problem> {
        match (self.cv, self.shape, self.burstiness) {
            (Some(cv), None, None) => Ok(Spread::Cv(cv)),
            (None, Some(shape), None) | (None, None, Some(shape)) => Ok(Spread::Shape(shape)),
            _ => Err(Problem::key(
                "process",
                format!("{} arrivals need exactly one measure of spread", self.process.text()),
            )
            .help("give `cv` (1 is Poisson, above is burstier), or `shape`")),
        }
    }
}

/// How many arrivals there will be, and what their gaps are multiplied by so that the last comes when the rate has promised
/// that many. The gaps are drawn twice, which costs time and no memory.
fn exact(gaps: &Gaps, stream: &NamedStream, count: u64) -> (u64, f64) {
    let sum = (0..count).fold(Expected::ZERO, |sum, ordinal| sum + gaps.draw(stream, ordinal));
    (count, count as f64 / sum.to_f64())
}

impl Iterator for Arrivals {
    type Item = SimTime;

    /// The next instant, never before the last; the end of the run itself still counts.
    fn next(&mut self) -> Option<SimTime> {
        self.sum = self.sum + self.gaps.draw(&self.stream, self.ordinal);
        self.ordinal += 1;
        let expected = match self.exact {
            None => self.sum,
            Some((count, _)) if self.ordinal > count => return None,
            // The last one is where it belongs to the last digit, not where rounding leaves it.
            Some((count, _)) if self.ordinal == count => Expected::from_f64(count as f64),
            Some((_, factor)) => Expected::from_f64(self.sum.to_f64() * factor),
        };
        let at = match &mut self.clock {
            Clock::Profile(rate) => rate.when(expected),
            Clock::Modulated(modulated) => modulated.when(expected),
        };
        // Two roots that were searched for separately may differ in their last digit the wrong way round.
        self.last = at?.max(self.last);
        Some(self.last)
    }
}
