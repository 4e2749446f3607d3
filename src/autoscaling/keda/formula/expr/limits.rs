//! The bounds within which an expression is compiled and run.
//!
//! The first two are the real language's own; it has no other, and a formula that is deep or slow enough takes KEDA
//! down with it. The rest are ours: an expression past one of them is refused, or fails when it runs.

/// Nodes of an expression (`conf.DefaultMaxNodes`).
pub(super) const NODES_MAX: usize = 10_000;

/// Items of all arrays and maps that one run makes, and bytes of repeated texts (`conf.DefaultMemoryBudget`).
pub(super) const MEMORY_BUDGET: u64 = 1_000_000;

/// Nodes on the way down from the root of an expression, and expressions within each other in its text.
pub(super) const DEPTH_MAX: usize = 200;

/// Arrays and maps within each other.
pub(super) const VALUE_DEPTH_MAX: usize = 100;

/// Nodes that one run evaluates, and items that the functions of the language look at.
pub(super) const STEPS_MAX: u64 = 10_000_000;

/// Bytes of one text.
pub(super) const TEXT_BYTES_MAX: usize = 4_000_000;
