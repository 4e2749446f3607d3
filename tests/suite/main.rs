//! All integration tests: one binary, one link.

mod models;
mod oracle;
mod tidy;
