//! The expression language of expr-lang/expr (Go) v1.17.8, as far as a formula of KEDA can see it.
//!
//! ```text
//!   text ─ lexer ─ parser ─► tree ─ checker ─► typed tree ─ optimizer ─► program ─ vm ─► value
//! ```
//!
//! Names, types, messages and the order of evaluation are those of the real language, since a formula that KEDA
//! refuses must be refused here for the same reason. Three things are not simulated and refused: the clock (`now`),
//! zones and layouts of dates, and texts that are not UTF-8. [`limits`] says how much a formula may do.

mod arithmetic;
mod ast;
mod builtin;
mod checker;
mod compare;
mod error;
mod format;
mod go_math;
mod go_text;
mod lexer;
mod limits;
mod literal;
mod methods;
mod nature;
mod operator;
mod optimizer;
mod parser;
mod regexp;
mod signatures;
mod time;
mod token;
mod unicode;
mod value;
mod vm;

use ast::{Ast, NodeId};
use std::sync::Arc;

pub use error::{Class, ExprError};
pub use value::Value;
pub use vm::Environment;

/// An expression that was compiled.
#[derive(Clone, Debug)]
pub struct Program {
    ast: Arc<Ast>,
    root: NodeId,
}

impl Program {
    /// Compiles `source` (`expr.Compile` with an environment of floats), whose variables are those that `is_variable`
    /// names.
    ///
    /// # Errors
    /// The first mistake.
    pub fn compile(source: &str, is_variable: &dyn Fn(&str) -> bool) -> Result<Self, ExprError> {
        let (mut ast, root) = parser::parse(source, is_variable)?;
        checker::check(&mut ast, root, is_variable)?;
        optimizer::optimize(&mut ast, root)?;
        Ok(Program { ast: Arc::new(ast), root })
    }

    /// Runs it (`expr.Run`).
    ///
    /// # Errors
    /// The mistake that ends the run.
    pub fn run(&self, environment: &dyn Environment) -> Result<Value, ExprError> {
        vm::run(&self.ast, self.root, environment)
    }
}
