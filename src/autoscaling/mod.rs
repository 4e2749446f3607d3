//! The controller: what KEDA, the HPA and the autoscalers that one compares them with decide.

pub mod aibrix;
pub mod describe;
mod go;
pub mod hpa;
pub mod instant_query;
pub mod keda;
pub mod knative;
pub mod quantity;
pub mod wva;
