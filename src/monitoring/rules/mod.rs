//! Recording rules: queries that Prometheus evaluates itself, and whose results it stores as series.
//!
//! ```text
//!   rule file ─► RuleGroupSpec ─► Rules ─── every interval ───► series named `record`
//!                                   ▲                               │
//!                                   └────── the rules after it ◄────┴──► triggers
//! ```
//!
//! The rules are those of Prometheus 3.5, `rules/manager.go`, `rules/group.go` and `rules/recording.go`; a group is
//! written as in a rule file (`model/rulefmt/rulefmt.go`).

mod manager;
mod spec;

pub use manager::{Group, Rule, Rules};
pub use spec::{RuleGroupSpec, RuleSpec, check};
