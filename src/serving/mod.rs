//! The plant: what serves the requests.

pub mod engine;
