//! All integration tests: one binary, one link.

mod oracle;
mod report;
mod score;
mod sweep;
mod synthetic;
