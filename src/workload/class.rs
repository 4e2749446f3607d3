//! Request classes: what a request looks like, and what its client expects.

use super::lengths::{Joint, Lengths, LengthsSpec, PairSpec};
use super::or_none::OrNone;
use super::prefix::{Prefix, PrefixSpec};
use super::request::Finish;
use crate::problem::Problem;
use crate::random::Streams;
use crate::random::distribution::{Distribution, ReadColumn, Seconds};
use crate::units::SimDuration;
use serde::de::IgnoredAny;

/// A `[[workload.class]]` as a user writes it.
///
/// ```toml
/// [[workload.class]]
/// name   = "chat"
/// input  = { dist = "lognormal", mean = 1155, cv = 0.96, max = 8192 }
/// output = { dist = "lognormal", mean = 211, cv = 0.77, max = 2048 }
/// joint  = { rho = 0.4 }                        # correlation of input and output: a Gaussian copula
/// prefix = { groups = 100, popularity = { dist = "zipf", s = 1.0 }, tokens = { dist = "constant", value = 1024 } }
/// client = { timeout = "600s" }
/// slo    = { ttft = "1s", tpot = "60ms", e2e = "30s", attainment = 0.95 }
/// ```
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSpec {
    pub(super) name: Option<String>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    finish: Finish,
    #[serde(default)]
    slo: SloSpec,
    #[serde(default)]
    client: ClientSpec,
    input: Option<Distribution>,
    output: Option<Distribution>,
    joint: Option<Joint>,
    pair: Option<PairSpec>,
    prefix: Option<PrefixSpec>,
    // Known to the workload format, not supported yet: refused by name.
    session: Option<IgnoredAny>,
}

/// Latency targets as a user writes them.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SloSpec {
    ttft: Option<Seconds>,
    tpot: Option<Seconds>,
    e2e: Option<Seconds>,
    attainment: Option<f64>,
}

/// The client's behaviour as a user writes it.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSpec {
    #[serde(default)]
    timeout: OrNone,
    #[serde(default)]
    ttft_timeout: OrNone,
    abort: Option<IgnoredAny>,
    retry: Option<IgnoredAny>,
}

/// Latency targets of a class, as the client measures them from its first send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// Time to first token, at most.
    pub ttft: Option<SimDuration>,
    /// Mean time per output token after the first, at most.
    pub tpot: Option<SimDuration>,
    /// Time to the last token, at most.
    pub e2e: Option<SimDuration>,
    /// The share of requests that shall meet all of them: above 0, at most 1; 0.95 unless the class says otherwise.
    pub attainment: f64,
}

/// A request class, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Unique in the workload.
    pub name: String,
    /// vLLM's `priority`: smaller first.
    pub priority: i32,
    /// How answers end.
    pub finish: Finish,
    /// The client gives up this long after it sent a request; `None`: never.
    pub timeout: Option<SimDuration>,
    /// Latency targets.
    pub slo: Slo,
}

/// A class with what its requests are drawn from.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) class: Class,
    /// `None` where a trace is to say it.
    pub(super) lengths: Option<Lengths>,
    pub(super) prefix: Option<Prefix>,
}

impl ClassSpec {
    /// The class called `name`, with `read` to get the columns of the files that it names.
    ///
    /// # Errors
    /// A [`Problem`] with the key at fault, relative to the class.
    pub(super) fn template(
        &self,
        name: &str,
        streams: &Streams,
        read: &mut ReadColumn<'_>,
    ) -> Result<Template, Problem> {
        self.check_supported()?;
        let lengths =
            LengthsSpec { input: &self.input, output: &self.output, joint: &self.joint, pair: &self.pair };
        let class = Class {
            name: name.to_owned(),
            priority: self.priority,
            finish: self.finish,
            timeout: self.client.timeout.duration(),
            slo: self.slo.checked().map_err(|problem| problem.under("slo"))?,
        };
        if class.timeout.is_some_and(SimDuration::is_zero) {
            return Err(Problem::key("client.timeout", "a client that gives up at once sends nothing")
                .help("give a time above 0, or \"none\""));
        }
        let prefix = self.prefix.as_ref().map(|prefix| prefix.groups(name, streams)).transpose();
        let prefix = prefix.map_err(|problem| problem.under("prefix"))?;
        Ok(Template { class, lengths: lengths.lengths(read)?, prefix })
    }

    fn check_supported(&self) -> Result<(), Problem> {
        let later = [
            (
                "session",
                self.session.is_some(),
                "write the turns as single requests, or replay a trace that has them",
            ),
            ("client.abort", self.client.abort.is_some(), "clients abort by `client.timeout` only"),
            ("client.retry", self.client.retry.is_some(), "a request is sent once; remove the key"),
            (
                "client.ttft_timeout",
                self.client.ttft_timeout.duration().is_some(),
                "use `client.timeout`, which runs until the end",
            ),
        ];
        match later.into_iter().find(|(_, given, _)| *given) {
            Some((key, _, help)) => {
                Err(Problem::key(key, format!("`{key}` is not supported yet")).help(help))
            }
            None => Ok(()),
        }
    }
}

impl SloSpec {
    fn checked(&self) -> Result<Slo, Problem> {
        let target = |key: &str, target: Option<Seconds>| match target.map(Seconds::duration) {
            Some(target) if target.is_zero() => Err(Problem::key(key, "no request can take no time")
                .help("give a target above 0, or remove the key")),
            target => Ok(target),
        };
        let attainment = self.attainment.unwrap_or(0.95);
        // Written so that NaN is refused too.
        if !(attainment > 0.0 && attainment <= 1.0) {
            return Err(Problem::key("attainment", format!("`attainment` is {attainment}"))
                .help("it is a share of requests: above 0, at most 1"));
        }
        let (ttft, tpot, e2e) =
            (target("ttft", self.ttft)?, target("tpot", self.tpot)?, target("e2e", self.e2e)?);
        Ok(Slo { ttft, tpot, e2e, attainment })
    }
}
