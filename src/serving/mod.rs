//! The plant: what serves the requests.

pub mod engine;
pub mod replica_set;
pub mod deployment;
pub mod gateway;
pub mod nodes;
pub mod pod;
pub mod router;
