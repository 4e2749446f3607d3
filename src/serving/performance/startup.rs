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
    /// From the assignment to a node until the container runs.
    pub running_after: SimDuration,
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
    pub fn prepare(&self, overlay: &StartupOverlay, weight_bytes: u64) -> Result<Startup, Problem> {
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

    /// Refuses what [`StartupSpec::prepare`] would refuse, and a provenance that is none.
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
        self.prepare(&StartupOverlay::default(), 0).map(drop)
    }
}

impl StartupPlan {
    /// No start at all: the pod has been there for long.
    pub fn done() -> StartupPlan {
        let none = SimDuration::ZERO;
        StartupPlan { phases: Vec::new(), running_after: none, serving_after: none, ready_after: none }
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
            running_after: container_start,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;
    use crate::random::Streams;

    const KNOWN: &str = "provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }";

    fn spec() -> StartupSpec {
        let times = [
            ("schedule", "'1s'"),
            ("image_pull", "2"),
            ("boot", "{ dist = 'uniform', min = 10, max = 20 }"),
            ("compile", "{ dist = 'lognormal', median = '20s', sigma = 0.3 }"),
            ("profile", "1.5"),
            ("graphs", "{ dist = 'constant', value = '5s' }"),
        ];
        let mut text = format!("[weights]\ngb_per_s = {{ dist = 'uniform', min = 0.5, max = 2 }}\n{KNOWN}\n");
        for (name, time) in times {
            text += &format!("[{name}]\ntime = {time}\n{KNOWN}\n");
        }
        toml::from_str(&text).expect("the spec reads")
    }

    fn overlay(text: &str) -> StartupOverlay {
        toml::from_str(text).expect(text)
    }

    fn startup(over: &str) -> Startup {
        spec().prepare(&overlay(over), 6_000_000_000).expect(over)
    }

    fn plan(startup: &Startup, ordinal: u64) -> StartupPlan {
        startup.plan(&mut Streams::new(7).named("startup").at(ordinal))
    }

    #[test]
    fn phases_follow_each_other_and_add_up() {
        for ordinal in 0..200 {
            let plan = plan(&startup(""), ordinal);
            assert_eq!(plan.phases.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(), StartupPhase::ALL);
            assert_eq!(plan.phases.iter().map(|(_, time)| *time).sum::<SimDuration>(), plan.serving_after);
            let weights = plan.phases[3].1.as_secs_f64();
            assert!((3.0..=12.0).contains(&weights), "6 GB at 0.5 to 2 GB/s: {weights}");
            assert_eq!(plan.phases[0].1, SimDuration::from_secs(1));
            assert_eq!(plan.phases[5].1, SimDuration::from_millis(1500));
        }
        assert_ne!(plan(&startup(""), 0), plan(&startup(""), 1));
    }

    #[test]
    fn a_pod_is_ready_at_the_first_probe_that_finds_it_serving() {
        let fixed = |over: &str| {
            let all = "schedule = '1s'\nimage_pull = '2s'\nboot = '10s'\nweights = '4s'\ncompile = 0\nprofile = 0\n";
            plan(&startup(&format!("{all}{over}")), 0)
        };
        let ready = |over: &str| fixed(over).ready_after.as_millis();
        assert_eq!(fixed("graphs = 0").serving_after, SimDuration::from_secs(17));
        // The container starts after 3 s; probes follow at 3, 13, 23, ...
        assert_eq!(ready("graphs = 0"), 23_000);
        assert_eq!(ready("graphs = 6"), 23_000, "serving exactly at a probe");
        assert_eq!(ready("graphs = 6.001"), 33_000);
        assert_eq!(ready("graphs = 0\n[readiness]\nperiod = '5s'"), 18_000);
        assert_eq!(ready("graphs = 0\n[readiness]\nperiod = '1s'\ninitial_delay = '4500ms'"), 17_500);
        assert_eq!(
            ready("graphs = 0\n[readiness]\ninitial_delay = '60s'"),
            63_000,
            "no probe before the delay"
        );
    }

    #[test]
    fn another_time_for_one_phase_shifts_no_other_ones() {
        let (base, other) = (plan(&startup(""), 3), plan(&startup("boot = '1m'"), 3));
        for ((phase, a), (_, b)) in base.phases.iter().zip(&other.phases) {
            assert_eq!(a == b, *phase != StartupPhase::Boot, "{}", phase.word());
        }
    }

    #[test]
    fn an_overlay_replaces_the_time_or_the_speed_of_the_weights() {
        assert_eq!(plan(&startup("weights = '9s'"), 0).phases[3].1, SimDuration::from_secs(9));
        let fast = plan(&startup("weights_gb_per_s = { dist = 'constant', value = 6 }"), 0);
        assert_eq!(fast.phases[3].1, SimDuration::from_secs(1));
    }

    #[test]
    fn what_cannot_be_is_refused_at_its_key() {
        let cases = [
            ("weights = '9s'\nweights_gb_per_s = { dist = 'constant', value = 6 }", "weights"),
            ("weights_gb_per_s = { dist = 'constant', value = 0 }", "weights_gb_per_s"),
            ("weights_gb_per_s = { dist = 'normal', mean = 1, sd = 1 }", "weights_gb_per_s"),
            ("boot = { dist = 'lognormal', median = 5, sigma = -1 }", "boot.sigma"),
            ("[readiness]\nperiod = 0", "readiness.period"),
        ];
        for (text, key) in cases {
            let problem = spec().prepare(&overlay(text), 1).expect_err(text);
            assert_eq!(problem.place, Place::Key(key.to_owned()), "{text}");
            assert!(problem.help.is_some(), "{problem}: no remedy");
        }
        for text in [
            "bot = 1",
            "boot = -1",
            "boot = 'soon'",
            "boot = nan",
            "boot = { dist = 'constant', valu = 1 }",
            "boot = []",
        ] {
            assert!(toml::from_str::<StartupOverlay>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let far = "schedule = 9e6\nimage_pull = 9e6\nboot = 9e6\nweights = 9e6\ncompile = 9e6\n[readiness]\nperiod = 9e6";
        let plan = plan(&startup(far), 0);
        assert_eq!(plan.serving_after.as_ps(), SimTime::HORIZON.as_ps());
        assert_eq!(plan.ready_after.as_ps(), SimTime::HORIZON.as_ps());
    }
}
