//! The controller: what KEDA and the HPA decide.

mod go;
pub mod hpa;
pub mod keda;
pub mod knative;
pub mod quantity;
