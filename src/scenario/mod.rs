//! Files that users write, turned into checked types.

mod document;
mod input_error;
mod nearest;
mod source_text;
mod toml_text;
mod typed;
mod yaml_text;

pub use input_error::InputError;
pub use source_text::{Origin, Position, SIZE_MAX_BYTES, SourceText, sha256_of};
