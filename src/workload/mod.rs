//! Requests in time: arrival processes, rate profiles, lengths, traces, clients.
//!
//! ```text
//!     [[class]]  lengths, prefix groups, finish, timeout, slo
//!         │
//!     [[source]] open:   arrival process over a rate profile ──┐
//!                replay: trace, window, scales, de-jitter ─────┴─► Workload::next_request ─► Request, in order of time
//! ```
//!
//! - [`WorkloadSpec`] is what a user writes; [`Workload`] makes the requests, one at a time.
//! - [`SharedRequests`] makes them once for all runs of a sweep that would make the same.
//! - [`InFlightCap`] is the client's cap on its requests in flight: the simulation asks it before it sends one.
//!
//! Everything that a request draws is keyed by (source, ordinal within the source). So two policies that are compared under one
//! seed see the same traffic, and a source that is added shifts no other.

mod arrival;
mod class;
mod client;
mod generated;
mod lengths;
mod or_none;
mod prefix;
mod rate;
mod replay;
mod request;
mod spec;
mod trace;
mod traffic;

pub use arrival::ArrivalSpec;
pub use class::{Class, ClassSpec, Slo};
pub use client::{CapPolicy, InFlightCap, MaxInFlight, Offer};
pub use generated::{RequestsKey, SharedRequests};
pub use rate::RateSpec;
pub use request::{ContentId, Finish, Request, Segment};
pub use spec::{SourceSpec, WorkloadSpec};
pub use traffic::{Open, SourceInfo, Workload};
