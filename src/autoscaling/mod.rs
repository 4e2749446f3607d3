//! The controller: what KEDA and the HPA decide.

pub mod describe;
mod go;
pub mod hpa;
pub mod keda;
pub mod quantity;
