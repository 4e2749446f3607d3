//! From a node to Ready: the phases of a pod's start.
//!
//! ```text
//!   schedule ─► image pull ─┬─► boot ─► weights ─► compile ─► profile ─► graphs ─► serving ─┬─► Ready
//!                           └ container start                                               └ the next readiness probe
//! ```
//!
//! vLLM opens its HTTP socket, and answers `/health`, only when the engine is ready: there is no state in between. The kubelet
//! probes every `period` from the container's start on, so a pod becomes Ready up to one period after it could serve.

use super::provenance::Provenance;
use crate::problem::Problem;
use crate::random::Stream;
use crate::random::distribution::{Distribution, Sampler, Seconds};
use crate::units::{SimDuration, SimTime};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// A phase of a pod's start, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartupPhase {
    /// From the assignment of its GPUs until the kubelet begins: scheduler, volumes, device plugin.
    Schedule,
    /// The container's image, as far as the node lacks it, and the container's creation.
    ImagePull,
    /// Python, CUDA, the engine's processes, the tokenizer, the API server.
    Boot,
    /// The weights, from storage to the GPUs.
    Weights,
    /// torch.compile: Dynamo and Inductor.
    Compile,
    /// The dummy forward that measures memory, and the KV cache's allocation.
    Profile,
    /// Capture of the CUDA graphs.
    Graphs,
}

impl StartupPhase {
    /// All phases, in order.
    pub const ALL: [StartupPhase; 7] = [
        StartupPhase::Schedule,
        StartupPhase::ImagePull,
        StartupPhase::Boot,
        StartupPhase::Weights,
        StartupPhase::Compile,
        StartupPhase::Profile,
        StartupPhase::Graphs,
    ];

    /// The word of the files.
    pub const fn word(self) -> &'static str {
        match self {
            StartupPhase::Schedule => "schedule",
            StartupPhase::ImagePull => "image_pull",
            StartupPhase::Boot => "boot",
            StartupPhase::Weights => "weights",
            StartupPhase::Compile => "compile",
            StartupPhase::Profile => "profile",
            StartupPhase::Graphs => "graphs",
        }
    }
}

/// `[startup]` of a model file: how long each phase takes on a warm node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartupSpec {
    /// See [`StartupPhase::Schedule`].
    pub schedule: PhaseSpec,
    /// See [`StartupPhase::ImagePull`].
    pub image_pull: PhaseSpec,
    /// See [`StartupPhase::Boot`].
    pub boot: PhaseSpec,
    /// See [`StartupPhase::Weights`].
    pub weights: WeightsSpec,
    /// See [`StartupPhase::Compile`].
    pub compile: PhaseSpec,
    /// See [`StartupPhase::Profile`].
    pub profile: PhaseSpec,
    /// See [`StartupPhase::Graphs`].
    pub graphs: PhaseSpec,
    /// The readiness probe; Kubernetes' defaults when left out.
    #[serde(default)]
    pub readiness: ReadinessProbe,
}

/// How long one phase takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseSpec {
    /// Its time.
    pub time: PhaseTime,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// How fast the weights are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// 10^9 bytes a second, for all GPUs of the pod together.
    pub gb_per_s: Distribution,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// The fields of Kubernetes' `readinessProbe` that shift readiness, with its defaults (`pkg/apis/core/v1/defaults.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadinessProbe {
    /// `initialDelaySeconds`: from the container's start until the first probe; 0 when left out.
    pub initial_delay: Seconds,
    /// `periodSeconds`: between probes; 10 s when left out.
    pub period: Seconds,
}

impl Default for ReadinessProbe {
    fn default() -> Self {
        ReadinessProbe {
            initial_delay: Seconds(SimDuration::ZERO),
            period: Seconds(SimDuration::from_secs(10)),
        }
    }
}

/// `[serving.startup]` of an experiment: phases that differ from the model file's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartupOverlay {
    /// Replaces [`StartupSpec::schedule`].
    pub schedule: Option<PhaseTime>,
    /// Replaces [`StartupSpec::image_pull`]: what a node pays that lacks the image.
    pub image_pull: Option<PhaseTime>,
    /// Replaces [`StartupSpec::boot`].
    pub boot: Option<PhaseTime>,
    /// Replaces the time that follows from the weights' size and [`WeightsSpec::gb_per_s`].
    pub weights: Option<PhaseTime>,
    /// Replaces [`WeightsSpec::gb_per_s`]; not together with `weights`.
    pub weights_gb_per_s: Option<Distribution>,
    /// Replaces [`StartupSpec::compile`].
    pub compile: Option<PhaseTime>,
    /// Replaces [`StartupSpec::profile`].
    pub profile: Option<PhaseTime>,
    /// Replaces [`StartupSpec::graphs`].
    pub graphs: Option<PhaseTime>,
    /// Replaces [`StartupSpec::readiness`].
    pub readiness: Option<ReadinessProbe>,
}

/// The time of a phase: a distribution, or always the same, written as `"20s"` or a number of seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseTime(pub Distribution<Seconds>);

impl<'de> Deserialize<'de> for PhaseTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeOrTable;
        impl<'de> Visitor<'de> for TimeOrTable {
            type Value = PhaseTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"20s\", a number of seconds, or a distribution of them")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<PhaseTime, E> {
                Seconds::parse(text).map(constant).map_err(E::custom)
            }
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<PhaseTime, E> {
                SimDuration::from_secs_f64(seconds).map(|duration| constant(Seconds(duration))).ok_or_else(
                    || E::custom(format!("{seconds} is not a number of seconds from 0 to 106 days")),
                )
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<PhaseTime, E> {
                self.visit_f64(seconds as f64)
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<PhaseTime, E> {
                self.visit_f64(seconds as f64)
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<PhaseTime, M::Error> {
                Distribution::deserialize(MapAccessDeserializer::new(map)).map(PhaseTime)
            }
        }
        deserializer.deserialize_any(TimeOrTable)
    }
}

fn constant(seconds: Seconds) -> PhaseTime {
    PhaseTime(Distribution::constant(seconds))
}

/// How pods of one model start: every phase ready to be drawn.
#[derive(Clone, Debug)]
pub struct Startup {
    /// In order of [`StartupPhase::ALL`].
    phases: [PhaseDraw; 7],
    initial_delay: SimDuration,
    period: SimDuration,
}

/// How the time of one phase is drawn.
#[derive(Clone, Debug)]
enum PhaseDraw {
    Seconds(Sampler),
    /// So many 10^9 bytes at a speed that is drawn.
    Transfer {
        gigabytes: f64,
        gb_per_s: Sampler,
    },
}

/// How one pod starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupPlan {
    /// The phases, in order.
    pub phases: Vec<(StartupPhase, SimDuration)>,
    /// From the assignment to a node until the engine answers.
    pub serving_after: SimDuration,
    /// From the assignment to a node until a readiness probe finds that it does.
    pub ready_after: SimDuration,
}

impl StartupSpec {
    /// Makes the phases ready to be drawn, those of `overlay` in place of these. The weights have `weight_bytes` bytes.
    ///
    /// # Errors
    /// A problem with a key relative to `startup`: a distribution that is none, a probe period of zero, a speed that can be
    /// zero, `weights` and `weights_gb_per_s` together.
    pub fn compile(&self, overlay: &StartupOverlay, weight_bytes: u64) -> Result<Startup, Problem> {
        let time = |key: &str, over: &Option<PhaseTime>, base: &PhaseSpec| match over {
            Some(PhaseTime(over)) => over.sampler().map_err(|problem| problem.under(key)),
            None => base.time.0.sampler().map_err(|problem| problem.under(&format!("{key}.time"))),
        };
        let readiness = overlay.readiness.unwrap_or(self.readiness);
        if readiness.period.duration() < SimDuration::from_millis(1) {
            return Err(Problem::key("readiness.period", "the probe's period is below a millisecond")
                .help("Kubernetes takes whole seconds, at least 1"));
        }
        Ok(Startup {
            phases: [
                PhaseDraw::Seconds(time("schedule", &overlay.schedule, &self.schedule)?),
                PhaseDraw::Seconds(time("image_pull", &overlay.image_pull, &self.image_pull)?),
                PhaseDraw::Seconds(time("boot", &overlay.boot, &self.boot)?),
                self.weights_draw(overlay, weight_bytes)?,
                PhaseDraw::Seconds(time("compile", &overlay.compile, &self.compile)?),
                PhaseDraw::Seconds(time("profile", &overlay.profile, &self.profile)?),
                PhaseDraw::Seconds(time("graphs", &overlay.graphs, &self.graphs)?),
            ],
            initial_delay: readiness.initial_delay.duration(),
            period: readiness.period.duration(),
        })
    }

    fn weights_draw(&self, overlay: &StartupOverlay, weight_bytes: u64) -> Result<PhaseDraw, Problem> {
        let (key, gb_per_s) = match (&overlay.weights, &overlay.weights_gb_per_s) {
            (Some(_), Some(_)) => {
                return Err(Problem::key(
                    "weights",
                    "`weights` and `weights_gb_per_s` contradict each other",
                )
                .help("give the time or the speed"));
            }
            (Some(PhaseTime(time)), None) => {
                return time.sampler().map(PhaseDraw::Seconds).map_err(|problem| problem.under("weights"));
            }
            (None, Some(over)) => ("weights_gb_per_s", over),
            (None, None) => ("weights.gb_per_s", &self.weights.gb_per_s),
        };
        let gb_per_s = gb_per_s.sampler().map_err(|problem| problem.under(key))?;
        // Written so that a quantile that is no number is refused too.
        if gb_per_s.cumulative(0.0, true) > 0.0 {
            return Err(Problem::key(
                key,
                "the speed can be zero or negative, and the weights would never load",
            )
            .help("give it a `min` above 0, or use `lognormal`"));
        }
        Ok(PhaseDraw::Transfer { gigabytes: weight_bytes as f64 / 1e9, gb_per_s })
    }

    /// Refuses what [`StartupSpec::compile`] would refuse, and a provenance that is none.
    ///
    /// # Errors
    /// A problem with a key relative to `startup`.
    pub fn check(&self) -> Result<(), Problem> {
        let phases = [
            ("schedule", &self.schedule.provenance),
            ("image_pull", &self.image_pull.provenance),
            ("boot", &self.boot.provenance),
            ("weights", &self.weights.provenance),
            ("compile", &self.compile.provenance),
            ("profile", &self.profile.provenance),
            ("graphs", &self.graphs.provenance),
        ];
        for (key, provenance) in phases {
            provenance.check().map_err(|problem| problem.under(key))?;
        }
        self.compile(&StartupOverlay::default(), 0).map(drop)
    }
}

impl Startup {
    /// Draws one pod's start. Each phase takes exactly one number from the stream, so that another time for one phase shifts
    /// no other's.
    pub fn plan(&self, stream: &mut Stream) -> StartupPlan {
        let draw = |(phase, draw): (StartupPhase, &PhaseDraw)| (phase, draw.at(stream.open_unit()));
        let phases: Vec<_> = StartupPhase::ALL.into_iter().zip(&self.phases).map(draw).collect();
        let container_start = sum(&phases[..2]);
        let serving_after = sum(&phases);
        StartupPlan {
            serving_after,
            ready_after: capped(
                u128::from(container_start.as_ps()) + self.probe_after(serving_after - container_start),
            ),
            phases,
        }
    }

    /// The first probe at or after `serving`, both counted from the container's start, in ps.
    fn probe_after(&self, serving: SimDuration) -> u128 {
        let [serving, first, period] =
            [serving, self.initial_delay, self.period].map(|d| u128::from(d.as_ps()));
        first + serving.saturating_sub(first).div_ceil(period) * period
    }
}

impl PhaseDraw {
    /// The time at quantile `u` of the phase.
    fn at(&self, u: f64) -> SimDuration {
        let seconds = match self {
            PhaseDraw::Seconds(sampler) => sampler.quantile(u),
            // The slow end of the speed is the long end of the time.
            PhaseDraw::Transfer { gigabytes, gb_per_s } => gigabytes / gb_per_s.quantile(1.0 - u),
        };
        SimDuration::from_secs_f64(seconds.max(0.0)).unwrap_or(capped(u128::MAX))
    }
}

fn sum(phases: &[(StartupPhase, SimDuration)]) -> SimDuration {
    capped(phases.iter().map(|(_, time)| u128::from(time.as_ps())).sum())
}

/// No longer than a run may be.
fn capped(ps: u128) -> SimDuration {
    SimDuration::from_ps(u64::try_from(ps).unwrap_or(u64::MAX).min(SimTime::HORIZON.as_ps()))
}
