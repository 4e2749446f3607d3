//! Requests in time: arrival processes, rate profiles, lengths, traces, clients.

mod request;

pub use request::{ContentId, Finish, Request, Segment};
