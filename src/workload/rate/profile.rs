//! The `rate` of an open source as a user writes it.

use super::Rate;
use super::factor::{Factor, stretched};
use super::piece::{Piece, Wave};
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::units::{SimDuration, SimTime};
use serde::de::{IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;

/// More than this is a mistake: the largest fleets of the field see some thousands of requests a second.
const RATE_MAX: f64 = 1e6;

/// A base that swings faster than this is no load of requests.
const PERIOD_MIN: SimDuration = SimDuration::from_secs(1);

/// The `rate` of an open source: a number of requests a second, or a table. Rates and factors are from 0 to 10^6; times
/// count from the start of the run and are written `"10m"`, or as numbers of seconds.
///
/// | key | meaning |
/// |---|---|
/// | `base` | `{ shape = "constant", value }`, or `{ shape = "sinus", mean, peak_to_trough, period, peak_at }`; 1 without it |
/// | `points` | `{ interp = "linear" or "step", at = [[time, factor], ..] }`; the first holds before it, the last after |
/// | `spikes` | `[{ at, rise, hold, fall, factor }, ..]`: from 1 up to `factor` and back; they must not overlap |
/// | `scale` | a factor of the whole |
/// | `time_scale` | 2: the profile runs twice as fast, at the same rates |
///
/// ```toml
/// rate = { base = { shape = "sinus", mean = 6.0, peak_to_trough = 2.6, period = "24h", peak_at = "14h" } }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateSpec {
    profile: Profile,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    base: Option<Base>,
    points: Option<Points>,
    #[serde(default)]
    spikes: Vec<Spike>,
    scale: Option<f64>,
    time_scale: Option<f64>,
    // Known to the workload format, not supported yet: refused by name.
    file: Option<IgnoredAny>,
    #[serde(rename = "loop")]
    repeat: Option<IgnoredAny>,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Base {
    shape: Shape,
    value: Option<f64>,
    mean: Option<f64>,
    peak_to_trough: Option<f64>,
    period: Option<Seconds>,
    peak_at: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    Constant,
    Sinus,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Points {
    #[serde(default)]
    pub(super) interp: Interp,
    pub(super) at: Vec<(Seconds, f64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interp {
    /// A factor holds until the next point.
    Step,
    /// Straight lines between the points.
    #[default]
    Linear,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spike {
    pub(super) at: Seconds,
    #[serde(default)]
    pub(super) rise: Seconds,
    pub(super) hold: Seconds,
    #[serde(default)]
    pub(super) fall: Seconds,
    pub(super) factor: f64,
}

impl RateSpec {
    /// `rate` requests a second, all the time.
    pub fn constant(rate: f64) -> RateSpec {
        let base = Base {
            shape: Shape::Constant,
            value: Some(rate),
            mean: None,
            peak_to_trough: None,
            period: None,
            peak_at: None,
        };
        RateSpec { profile: Profile { base: Some(base), ..Profile::default() } }
    }

    /// The profile from the start of the run to `duration`.
    ///
    /// # Errors
    /// A [`Problem`] with the key at fault, relative to `rate`: a number that is negative, not finite or above a million
    /// requests a second; points that go back in time; spikes that overlap; a profile without base and points.
    pub(in crate::workload) fn rate(&self, duration: SimDuration) -> Result<Rate, Problem> {
        let profile = &self.profile;
        for (key, given) in [("file", profile.file.is_some()), ("loop", profile.repeat.is_some())] {
            if given {
                return Err(Problem::key(key, format!("`rate.{key}` is not supported yet"))
                    .help("write the rates as `points`, or replay a trace with `kind = \"replay\"`"));
            }
        }
        if profile.base.is_none() && profile.points.is_none() {
            return Err(Problem::key("", "the rate has neither `base` nor `points`")
                .help("write `rate = 5.0` for 5 requests a second"));
        }
        let speed = positive("time_scale", profile.time_scale.unwrap_or(1.0))?;
        let scale = factor_in_range("scale", profile.scale.unwrap_or(1.0))?;
        let base = profile.base.as_ref().map_or(Ok(Swing::flat(1.0)), |base| base.swing(speed));
        let base = base.map_err(|problem| problem.under("base"))?;
        let points = Factor::of_points(profile.points.as_ref(), speed)?;
        let spikes = Factor::of_spikes(&profile.spikes, speed)?;
        let mut cuts: Vec<SimTime> = points.cuts().chain(spikes.cuts()).collect();
        let end = SimTime::ZERO + duration;
        cuts.extend([SimTime::ZERO, end]);
        cuts.retain(|cut| *cut <= end);
        cuts.sort();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|cut| {
            let (p, s) = (points.line(cut[0]), spikes.line(cut[0]));
            let level = scale * base.mean;
            let rate =
                [level * p.at * s.at, level * (p.at * s.slope + p.slope * s.at), level * p.slope * s.slope];
            Piece::new(cut[0], cut[1], rate, base.wave(cut[0]))
        });
        Rate::new(pieces.collect())
    }
}

impl<'de> serde::Deserialize<'de> for RateSpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RateSpec, D::Error> {
        deserializer.deserialize_any(RateVisitor)
    }
}

struct RateVisitor;

impl<'de> Visitor<'de> for RateVisitor {
    type Value = RateSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of requests a second, or a table with `base`, `points`, `spikes`")
    }
    fn visit_f64<E: serde::de::Error>(self, rate: f64) -> Result<RateSpec, E> {
        Ok(RateSpec::constant(rate))
    }
    fn visit_i64<E: serde::de::Error>(self, rate: i64) -> Result<RateSpec, E> {
        Ok(RateSpec::constant(rate as f64))
    }
    fn visit_u64<E: serde::de::Error>(self, rate: u64) -> Result<RateSpec, E> {
        Ok(RateSpec::constant(rate as f64))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateSpec, A::Error> {
        let profile = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RateSpec { profile })
    }
}

impl Base {
    fn swing(&self, speed: f64) -> Result<Swing, Problem> {
        let sinus_keys = [
            ("mean", self.mean.is_some()),
            ("peak_to_trough", self.peak_to_trough.is_some()),
            ("period", self.period.is_some()),
            ("peak_at", self.peak_at.is_some()),
        ];
        match self.shape {
            Shape::Constant => {
                if let Some((key, _)) = sinus_keys.iter().find(|(_, given)| *given) {
                    return Err(Problem::key(*key, format!("a constant base has no `{key}`"))
                        .help("it takes `value`; `shape = \"sinus\"` takes `mean`, `peak_to_trough`, `period`, `peak_at`"));
                }
                Ok(Swing::flat(factor_in_range("value", self.value.ok_or_else(|| missing("value"))?)?))
            }
            Shape::Sinus => {
                if self.value.is_some() {
                    return Err(Problem::key("value", "a sinus base has no `value`").help("give its `mean`"));
                }
                self.sinus(speed)
            }
        }
    }

    fn sinus(&self, speed: f64) -> Result<Swing, Problem> {
        let mean = factor_in_range("mean", self.mean.ok_or_else(|| missing("mean"))?)?;
        let ratio = self.peak_to_trough.ok_or_else(|| missing("peak_to_trough"))?;
        // Written so that NaN is refused too.
        if !(ratio >= 1.0 && ratio.is_finite()) {
            return Err(Problem::key("peak_to_trough", format!("`peak_to_trough` is {ratio}"))
                .help("it is the highest rate divided by the lowest: 1 or more"));
        }
        let period =
            stretched(self.period.ok_or_else(|| missing("period"))?.duration().as_ps().into(), speed);
        if period < PERIOD_MIN {
            return Err(Problem::key("period", "the period is shorter than a second")
                .help("give it as \"24h\" or \"10m\""));
        }
        let peak_at = stretched(self.peak_at.unwrap_or_default().duration().as_ps().into(), speed);
        Ok(Swing { mean, amplitude: (ratio - 1.0) / (ratio + 1.0), period, peak_at })
    }
}

/// A base with its numbers checked: `mean * (1 + amplitude * cos(2 pi (t - peak_at) / period))`.
struct Swing {
    mean: f64,
    amplitude: f64,
    period: SimDuration,
    peak_at: SimDuration,
}

impl Swing {
    fn flat(mean: f64) -> Swing {
        Swing { mean, amplitude: 0.0, period: PERIOD_MIN, peak_at: SimDuration::ZERO }
    }

    /// The wave with x counted from `t`; `None` for a flat base.
    fn wave(&self, t: SimTime) -> Option<Wave> {
        if self.amplitude == 0.0 {
            return None;
        }
        let omega = std::f64::consts::TAU / self.period.as_secs_f64();
        // The remainder is taken on integers, so that the phase is as good after a hundred periods as in the first.
        let period = i128::from(self.period.as_ps());
        let after_peak = (i128::from(t.as_ps()) - i128::from(self.peak_at.as_ps())).rem_euclid(period);
        let phase = SimDuration::from_ps(after_peak as u64).as_secs_f64() * omega;
        Some(Wave { amplitude: self.amplitude, omega, phase })
    }
}

fn missing(key: &str) -> Problem {
    Problem::key("shape", format!("the base lacks its `{key}`"))
        .help("a constant base takes `value`, a sinus base `mean`, `peak_to_trough`, `period` and `peak_at`")
}

fn positive(key: &str, x: f64) -> Result<f64, Problem> {
    // Written so that NaN is refused too.
    if x > 0.0 && x <= RATE_MAX {
        return Ok(x);
    }
    Err(Problem::key(key, format!("`{key}` is {x}"))
        .help(format!("it must be above 0 and at most {RATE_MAX:.0e}")))
}

/// A rate, or a factor of one: 0 to a million.
pub(super) fn factor_in_range(key: &str, x: f64) -> Result<f64, Problem> {
    if (0.0..=RATE_MAX).contains(&x) {
        return Ok(x);
    }
    Err(Problem::key(key, format!("{x} is no rate or factor of a rate"))
        .help(format!("it must be from 0 to {RATE_MAX:.0e}; rates are requests a second")))
}
