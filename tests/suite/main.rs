//! All integration tests: one binary, one link.

mod models;
mod oracle;
mod tidy;
mod report;
mod score;
mod sweep;
mod synthetic;
