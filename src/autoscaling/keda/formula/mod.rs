//! Formulas: `advanced.scalingModifiers` of a ScaledObject (KEDA v2.15 to v2.20, `pkg/scaling/modifiers/formula.go`).
//!
//! ```text
//!   formula ─ cast ─► float(...) ─ expr ─► program
//!                                             │
//!   values of the named triggers ─ variables ─┤
//!                                             ▼
//!                            a float, or nil ─► composite metric, thousandths
//! ```
//!
//! [`Formula::compile`] is the admission webhook, [`Formula::calculate`] one evaluation. The language is that of v2.20's
//! library for every release; older ones brought older libraries, which know less.

mod cast;
mod composite;
mod expr;
mod variables;
mod webhook;

pub use composite::{Calculation, CalculationError, CompositeValue, Formula, RawValue, RuntimeClass};
pub use expr::Class;
pub use variables::Input;
pub use webhook::{Refusal, RefusalClass, Stage};
