//! All integration tests: one binary, one link.

mod oracle;
mod workload;
