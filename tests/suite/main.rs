//! All integration tests: one binary, one link.

mod oracle;
mod promql_scripts;
mod tidy;
