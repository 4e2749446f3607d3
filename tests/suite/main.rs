//! All integration tests: one binary, one link.

mod export;
mod oracle;
mod policies;
mod tidy;
