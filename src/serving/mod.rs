//! The plant: what serves the requests.

pub mod engine;
pub mod replica_set;
