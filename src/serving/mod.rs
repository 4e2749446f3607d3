//! The plant: what serves the requests.

pub mod deployment;
pub mod engine;
pub mod flow_control;
pub mod gateway;
pub mod ingress_stats;
pub mod nodes;
pub mod performance;
pub mod pod;
pub mod replica_set;
pub mod router;
