//! The points of a grid: all combinations of some keys' values, each with the hash of its inputs as its name.

use super::worlds::Worlds;
use crate::problem::Problem;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;

/// No grid has more points: at a tenth of a second each, this many take three hours.
const POINTS_MAX: usize = 100_000;

/// A key and the value that it gets, as `--set` would.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Absolute key: `policy.scaled_object.triggers.0.metadata.threshold`.
    pub key: String,
    /// Its value, as the experiment wrote it.
    pub value: toml::Value,
}

impl Setting {
    /// The value as text: strings bare, everything else as TOML writes it.
    pub fn text(&self) -> String {
        match &self.value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// A key of `[sweep]` and its values, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Absolute key.
    pub key: String,
    /// At least one value, none twice.
    pub values: Vec<toml::Value>,
}

/// The name of a point: a hash of all that its result depends on. The same point has the same name everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PointId(pub(super) String);

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One world of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its name.
    pub id: PointId,
    /// What sets it apart, one setting an axis, in the axes' order.
    pub settings: Vec<Setting>,
}

/// What a sweep will run: points that have been checked, and the seeds that each of them gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the grid's order: the last axis changes fastest.
    pub points: Vec<Point>,
    /// The same for every point, so that all see the same requests.
    pub seeds: Vec<u64>,
}

impl Plan {
    /// Expands the grid and checks each of its worlds, so that a mistake in the last one shows before the first one runs.
    ///
    /// # Errors
    /// No axis, an axis without values or with a value twice, a key twice, more than 100,000 points, or a problem of one
    /// of the worlds, which then names its settings.
    pub fn new(worlds: &dyn Worlds, axes: &[Axis], seeds: Vec<u64>) -> Result<Plan, Problem> {
        check(axes)?;
        let mut settings_of_points: Vec<Vec<Setting>> = vec![Vec::new()];
        for axis in axes {
            settings_of_points = settings_of_points
                .iter()
                .flat_map(|settings| {
                    axis.values.iter().map(move |value| {
                        let setting = Setting { key: axis.key.clone(), value: value.clone() };
                        settings.iter().cloned().chain([setting]).collect()
                    })
                })
                .collect();
        }
        let points = settings_of_points.into_iter().map(|settings| {
            let scoring = worlds.scoring(&settings).map_err(|problem| at_point(&settings, problem))?;
            let inputs = serde_json::json!({
                "version": scoring.provenance.version,
                "inputs": scoring.provenance.inputs,
                "settings": settings.iter().map(|s| (&s.key, s.value.to_string())).collect::<Vec<_>>(),
                "seeds": seeds,
            });
            Ok(Point { id: PointId(hash(inputs.to_string().as_bytes())), settings })
        });
        let points = points.collect::<Result<Vec<Point>, Problem>>()?;
        Ok(Plan { points, seeds })
    }

    /// The name of the sweep as a whole: a hash of its points' names.
    pub(super) fn id(&self) -> String {
        hash(self.points.iter().map(|point| point.id.0.as_str()).collect::<Vec<_>>().join(" ").as_bytes())
    }
}

/// The first 16 hexadecimal digits of the SHA-256.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn check(axes: &[Axis]) -> Result<(), Problem> {
    if axes.is_empty() {
        return Err(Problem::key("sweep", "names no key, so there is nothing to sweep").help(
            "for example \"policy.scaled_object.triggers.0.metadata.threshold\" = [\"2\", \"4\", \"8\"]",
        ));
    }
    let mut keys = BTreeSet::new();
    let mut points: usize = 1;
    for axis in axes {
        let key = || format!("sweep.{}", axis.key);
        if axis.values.is_empty() {
            return Err(Problem::key(key(), "has no values").help("give a list of at least one value"));
        }
        if !keys.insert(&axis.key) {
            return Err(Problem::key(key(), "is there twice").help("give one list with all its values"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = axis.values.iter().find(|value| !seen.insert(value.to_string())) {
            return Err(
                Problem::key(key(), format!("has the value {twice} twice")).help("leave one of them out")
            );
        }
        points = points.saturating_mul(axis.values.len());
    }
    if points > POINTS_MAX {
        return Err(Problem::key("sweep", format!("has {points} points; the most is {POINTS_MAX}"))
            .help("give fewer values, or cut the grid into several experiments"));
    }
    Ok(())
}

/// The problem of one point of many: which one, in its message.
pub(super) fn at_point(settings: &[Setting], problem: Problem) -> Problem {
    let settings: Vec<String> = settings.iter().map(|s| format!("{} = {}", s.key, s.value)).collect();
    Problem { message: format!("{} (at {})", problem.message, settings.join(", ")), ..problem }
}
