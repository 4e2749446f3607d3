//! All integration tests: one binary, one link.

mod oracle;
mod score;
mod synthetic;
