//! The points of a sweep: of each of its grids, all combinations of some keys' values, each with the hash of its inputs as
//! its name.

use super::sweep::SweepError;
use super::worlds::Worlds;
use crate::problem::Problem;
use indexmap::{IndexMap, IndexSet};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;

/// No sweep has more points: at a tenth of a second each, this many take three hours.
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
    /// What sets it apart, one setting an axis of its grid, in the axes' order.
    pub settings: Vec<Setting>,
}

impl Point {
    /// What it sets `key` to, if its grid has the key.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

/// What a sweep will run: points that have been checked, and the seeds that each of them gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Grid by grid; within a grid, the last axis changes fastest.
    pub points: Vec<Point>,
    /// The same for every point, so that all see the same requests.
    pub seeds: Vec<u64>,
}

impl Plan {
    /// Expands the grids and checks each of their worlds, so that a mistake in the last one shows before the first one
    /// runs. A point that is in several grids is run once.
    ///
    /// # Errors
    /// No grid or axis, an axis without values or with a value twice, a key twice in a grid, more than 100,000 points, or
    /// an error of one of the worlds.
    pub fn new<W: Worlds + ?Sized>(
        worlds: &W,
        grids: &[Vec<Axis>],
        seeds: Vec<u64>,
    ) -> Result<Plan, SweepError<W::Error>> {
        check(grids).map_err(SweepError::Problem)?;
        let mut points: IndexMap<PointId, Point> = IndexMap::new();
        for settings in grids.iter().flat_map(|grid| combinations(grid)) {
            let scoring = match worlds.scoring(&settings) {
                Ok(scoring) => scoring,
                Err(error) => return Err(SweepError::Point { settings, error }),
            };
            let inputs = serde_json::json!({
                "version": scoring.provenance.version,
                "inputs": scoring.provenance.inputs,
                "settings": settings.iter().map(|s| (&s.key, s.value.to_string())).collect::<Vec<_>>(),
                "seeds": seeds,
            });
            let id = PointId(hash(inputs.to_string().as_bytes()));
            points.entry(id.clone()).or_insert(Point { id, settings });
        }
        Ok(Plan { points: points.into_values().collect(), seeds })
    }

    /// The keys of all points' settings, in the order in which the grids name them.
    pub fn keys(&self) -> Vec<&str> {
        let keys: IndexSet<&str> = self
            .points
            .iter()
            .flat_map(|point| &point.settings)
            .map(|setting| setting.key.as_str())
            .collect();
        keys.into_iter().collect()
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

/// All combinations of the axes' values.
fn combinations(axes: &[Axis]) -> Vec<Vec<Setting>> {
    let mut all: Vec<Vec<Setting>> = vec![Vec::new()];
    for axis in axes {
        let longer = all.iter().flat_map(|settings| {
            axis.values.iter().map(move |value| {
                let setting = Setting { key: axis.key.clone(), value: value.clone() };
                settings.iter().cloned().chain([setting]).collect()
            })
        });
        all = longer.collect();
    }
    all
}

fn check(grids: &[Vec<Axis>]) -> Result<(), Problem> {
    if grids.is_empty() || grids.iter().any(Vec::is_empty) {
        return Err(Problem::key("sweep", "names no key, so there is nothing to sweep").help(
            "for example \"policy.scaled_object.triggers.0.metadata.threshold\" = [\"2\", \"4\", \"8\"]",
        ));
    }
    let mut points: usize = 0;
    for axes in grids {
        let mut keys = BTreeSet::new();
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
                let message = format!("has the value {twice} twice");
                return Err(Problem::key(key(), message).help("leave one of them out"));
            }
        }
        let size = axes.iter().fold(1usize, |size, axis| size.saturating_mul(axis.values.len()));
        points = points.saturating_add(size);
    }
    if points > POINTS_MAX {
        return Err(Problem::key("sweep", format!("has {points} points; the most is {POINTS_MAX}"))
            .help("give fewer values, or cut the sweep into several experiments"));
    }
    Ok(())
}
