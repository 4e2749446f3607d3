//! Files that users write, turned into checked types.

mod assertion;
mod build;
mod data_file;
mod document;
mod draft;
mod experiment;
mod find;
mod input_error;
mod manifest;
mod nearest;
mod policy;
mod set;
mod shipped;
mod source_text;
mod sweep;
mod toml_text;
mod typed;
mod variables;
mod world;
mod yaml_text;

pub use assertion::{Assertion, Outcome};
pub use draft::{Draft, Inputs};
pub use experiment::{Bill, Cost, Gate, GateOf, Keda, Measure, Serving, SloTargets, Target};
pub use input_error::InputError;
pub use policy::{Policy, Rule};
pub use set::Setting;
pub use shipped::Kind;
pub use source_text::{Origin, Position, SIZE_MAX_BYTES, SourceText, sha256_of};
pub use sweep::{Axis, Choices, Range, Scale, Sweep};
pub use world::Scenario;
