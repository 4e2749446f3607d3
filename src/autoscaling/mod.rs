//! The controller: what KEDA and the HPA decide.

pub mod hpa;
pub mod keda;
