//! All integration tests: one binary, one link.

mod cli;
mod docs;
mod export;
mod hostile_inputs;
mod injected_faults;
mod lower_bound;
mod models;
mod oracle;
mod policies;
mod promql_scripts;
mod published_cases;
mod readme;
mod recording_rules;
mod report;
mod score;
mod sweep;
mod synthetic;
mod tidy;
mod workload;
mod worlds;
