//! The `[workload]` table of an experiment, as a user writes it.

use super::arrival::ArrivalSpec;
use super::class::ClassSpec;
use super::client::MaxInFlight;
use super::or_none::OrNone;
use super::rate::RateSpec;
use super::replay::{RateScale, ReplaySpec, TraceLengths, TracePrefix, Window};
use super::trace::{Columns, Format, TimeUnit};
use crate::problem::Problem;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The `[workload]` table: request classes, and the sources that send them.
///
/// The shortest useful one:
///
/// ```
/// let workload: dryscale::workload::WorkloadSpec = toml::from_str(r#"
///     [[class]]
///     input  = { dist = "constant", value = 1024 }
///     output = { dist = "exponential", mean = 128 }
///     [[source]]
///     rate = 25
/// "#).unwrap();
/// ```
///
/// A class or source that is alone needs no name; several need one each, since their random streams are called by it. A
/// workload of traces needs no class.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// What requests look like.
    #[serde(default)]
    pub class: Vec<ClassSpec>,
    /// When they are sent.
    #[serde(default)]
    pub source: Vec<SourceSpec>,
}

/// A `[[workload.source]]`: requests at random (`kind = "open"`, the default), or those of a trace (`kind = "replay"`).
///
/// | key | kind | meaning |
/// |---|---|---|
/// | `name` | both | calls the random streams of the source |
/// | `max_in_flight` | both | [`MaxInFlight`] |
/// | `rate` | open | [`RateSpec`], requests a second |
/// | `arrival` | open | [`ArrivalSpec`] |
/// | `mix` | open | shares of classes, `{ chat = 0.8, code = 0.2 }`; not needed with one class |
/// | `file` | replay | the trace, plain or gzipped |
/// | `class` | replay | priority, targets and client of its requests; not needed with one class |
/// | `format` | replay | `auto`, `azure`, `mooncake`, `csv` |
/// | `columns`, `time_unit` | replay | names of a table's `timestamp`, `prompt_tokens`, `output_tokens`; `s`, `ms`, `us`, `ns` |
/// | `window` | replay | `{ from, to }`: the part that is sent; times count from the first request, `to` is excluded |
/// | `time_scale` | replay | 2: twice as long, at half the rate |
/// | `rate_scale` | replay | `{ factor, mode = "thin" }`: a random share; `{ factor, mode = "superpose", jitter }`: shifted copies |
/// | `dejitter` | replay | spreads requests over so long a time after their timestamp; `"3s"` for Mooncake's batches |
/// | `lengths` | replay | `{ input_scale, output_scale, max_input, on_over = "clamp" or "drop" }` |
/// | `prefix` | replay | `{ hash_ids = "auto" or "ignore", block_tokens = 512 }` |
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) kind: Kind,
    pub(super) max_in_flight: Option<MaxInFlight>,
    // Open.
    pub(super) mix: Option<BTreeMap<String, f64>>,
    pub(super) arrival: Option<ArrivalSpec>,
    pub(super) rate: Option<RateSpec>,
    // Replay.
    pub(super) class: Option<String>,
    pub(super) file: Option<String>,
    format: Option<Format>,
    columns: Option<Columns>,
    time_unit: Option<TimeUnit>,
    window: Option<Window>,
    time_scale: Option<f64>,
    rate_scale: Option<RateScale>,
    dejitter: Option<OrNone>,
    lengths: Option<TraceLengths>,
    prefix: Option<TracePrefix>,
    // Known to the workload format, not supported yet: refused by name, but for values that change nothing.
    turns: Option<String>,
    #[serde(rename = "loop")]
    repeat: Option<bool>,
    users: Option<IgnoredAny>,
    think: Option<IgnoredAny>,
    start_spread: Option<IgnoredAny>,
    on_failure: Option<IgnoredAny>,
    limit: Option<IgnoredAny>,
}

/// Where a source's requests come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Sent at random, whatever becomes of the others.
    #[default]
    Open,
    /// Read from a trace.
    Replay,
    /// Sent by users who wait for the answer.
    Closed,
}

impl WorkloadSpec {
    /// The requests of the trace `file`, its format told from its first line, all of one class without targets.
    pub fn replay(file: &str) -> WorkloadSpec {
        let source = SourceSpec { kind: Kind::Replay, file: Some(file.to_owned()), ..SourceSpec::default() };
        WorkloadSpec { class: Vec::new(), source: vec![source] }
    }
}

impl SourceSpec {
    /// The keys must belong to the source's kind.
    pub(super) fn check_keys(&self) -> Result<(), Problem> {
        if self.kind == Kind::Closed {
            return Err(Problem::key("kind", "`closed` sources are not supported yet")
                .help("use `kind = \"open\"` with `max_in_flight`, or `kind = \"replay\"`"));
        }
        let later = [
            ("turns", self.turns.as_ref().is_some_and(|turns| turns != "timestamp")),
            ("loop", self.repeat == Some(true)),
            ("users", self.users.is_some()),
            ("think", self.think.is_some()),
            ("start_spread", self.start_spread.is_some()),
            ("on_failure", self.on_failure.is_some()),
            ("limit", self.limit.is_some()),
        ];
        if let Some((key, _)) = later.iter().find(|(_, given)| *given) {
            return Err(Problem::key(*key, format!("`{key}` is not supported yet")).help("remove it"));
        }
        let open =
            [("mix", self.mix.is_some()), ("arrival", self.arrival.is_some()), ("rate", self.rate.is_some())];
        let replay = [
            ("class", self.class.is_some()),
            ("file", self.file.is_some()),
            ("format", self.format.is_some()),
            ("columns", self.columns.is_some()),
            ("time_unit", self.time_unit.is_some()),
            ("window", self.window.is_some()),
            ("time_scale", self.time_scale.is_some()),
            ("rate_scale", self.rate_scale.is_some()),
            ("dejitter", self.dejitter.is_some()),
            ("turns", self.turns.is_some()),
            ("loop", self.repeat.is_some()),
            ("lengths", self.lengths.is_some()),
            ("prefix", self.prefix.is_some()),
        ];
        let (name, foreign, other): (_, &[_], _) = match self.kind {
            Kind::Open => ("open", &replay, "replay"),
            Kind::Replay | Kind::Closed => ("replay", &open, "open"),
        };
        if let Some((key, _)) = foreign.iter().find(|(_, given)| *given) {
            let help = match *key {
                "class" => "an open source has a `mix` of classes: `mix = { chat = 1.0 }`".to_owned(),
                "time_scale" => {
                    "an open source has it in `rate`: `rate = { base = .., time_scale = 2.0 }`".to_owned()
                }
                _ => format!("remove it, or write `kind = \"{other}\"`"),
            };
            return Err(Problem::key(*key, format!("`{key}` does not belong to a source of kind `{name}`"))
                .help(help));
        }
        match self.max_in_flight {
            Some(MaxInFlight { n: 0, .. }) => {
                Err(Problem::key("max_in_flight.n", "with 0 in flight nothing is ever sent")
                    .help("give 1 or more, or remove `max_in_flight`"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn replay(&self) -> ReplaySpec {
        ReplaySpec {
            format: self.format.unwrap_or_default(),
            columns: self.columns.clone(),
            time_unit: self.time_unit,
            window: self.window.unwrap_or_default(),
            time_scale: self.time_scale.unwrap_or(1.0),
            rate_scale: self.rate_scale.clone(),
            dejitter: self.dejitter.unwrap_or_default(),
            lengths: self.lengths.clone().unwrap_or_default(),
            prefix: self.prefix.clone().unwrap_or_default(),
        }
    }
}
