//! All integration tests: one binary, one link.

mod export;
mod models;
mod oracle;
mod policies;
mod tidy;
mod report;
mod score;
mod sweep;
mod synthetic;
mod workload;
