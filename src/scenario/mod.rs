//! Files that users write, turned into checked types; every error has a file, a line, a caret and what would be right.
//!
//! ```text
//!   policy.toml  ─┐
//!   policy.yaml  ─┤           --set, [sweep]
//!   experiment   ─┼─► documents ─────┴─────► types of the wings ─► checks ─► Scenario ─► Setup of a world
//!   model        ─┘   (each value with its place)
//! ```
//!
//! - [`Inputs`] is what the command line names; [`Draft`] has read it; [`Draft::scenario`] gives a [`Scenario`] for each
//!   combination of settings, and [`Scenario::setup`] the world to run.
//! - [`Policy`]: TOML, or the ScaledObject in YAML that would be applied; [`Policy::to_yaml`] is the way back.
//! - [`InputError`]: a [`Problem`](crate::problem::Problem) with its place. A wing reports by key; the document knows
//!   where that key stands.
//! - [`Kind`]: what ships, embedded.

mod assertion;
mod autoscalers;
mod build;
mod data_file;
mod demand;
mod document;
mod draft;
mod experiment;
mod faults;
mod find;
mod input_error;
mod manifest;
mod model;
mod policy;
mod prometheus_rule;
mod rule;
mod rules;
mod sensor;
mod set;
mod shipped;
mod source_text;
mod spelling;
mod sweep;
mod toml_text;
mod typed;
mod variables;
mod world;
mod yaml_text;

pub use assertion::{Assertion, Outcome};
pub use demand::{Demand, Need};
pub use draft::{Draft, Inputs};
pub use experiment::{Bill, Cost, Gate, GateOf, Keda, Measure, Serving, SloTargets, Target};
pub use input_error::InputError;
pub use policy::Policy;
pub use rule::Rule;
pub use set::Setting;
pub use shipped::Kind;
pub use source_text::{Origin, Position, SIZE_MAX_BYTES, SourceText, sha256_of};
pub use sweep::{Axis, Choices, Range, Scale, Sweep};
pub use world::Scenario;
