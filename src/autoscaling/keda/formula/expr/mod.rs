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

pub use error::Class;
pub(super) use error::ExprError;
pub(super) use value::Value;
pub(super) use vm::Environment;

/// An expression that was compiled.
#[derive(Clone, Debug)]
pub(super) struct Program {
    ast: Arc<Ast>,
    root: NodeId,
    as_float: bool,
}

impl Program {
    /// Compiles `source` (`expr.Compile` with an environment of floats), whose variables are those that `is_variable`
    /// names. `as_float` is the option `expr.AsFloat64`: the value is made a float and must be a number.
    ///
    /// # Errors
    /// The first mistake.
    pub(super) fn compile(
        source: &str,
        is_variable: &dyn Fn(&str) -> bool,
        as_float: bool,
    ) -> Result<Self, ExprError> {
        let (mut ast, root) = parser::parse(source, is_variable)?;
        checker::check(&mut ast, root, is_variable)?;
        let nature = ast.nature(root);
        if as_float && !nature.is_number() && !nature.is_unknown() {
            let message = format!("expected float64, but got {nature}");
            return Err(ExprError::new(Class::TypeMismatch, ast.span(root), message));
        }
        optimizer::optimize(&mut ast, root)?;
        Ok(Program { ast: Arc::new(ast), root, as_float })
    }

    /// Runs it (`expr.Run`).
    ///
    /// # Errors
    /// The mistake that ends the run.
    pub(super) fn run(&self, environment: &dyn Environment) -> Result<Value, ExprError> {
        let value = vm::run(&self.ast, self.root, environment)?;
        if !self.as_float {
            return Ok(value);
        }
        arithmetic::to_float(&value).map(Value::Float).map_err(|failure| failure.at(self.ast.span(self.root)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `a` is 2.5, `b` is nil, and `c` was never set.
    struct Triggers;

    impl Environment for Triggers {
        fn fetch(&self, name: &str) -> Value {
            if name == "a" { Value::Float(2.5) } else { Value::Nil }
        }

        fn all(&self) -> Value {
            Value::variables([("a", Value::Float(2.5)), ("b", Value::Nil)].into_iter(), false)
        }
    }

    fn compile(source: &str) -> Result<Program, ExprError> {
        Program::compile(source, &|name| matches!(name, "a" | "b" | "c"), false)
    }

    /// The value with its type, or the mistake with its class.
    fn outcome(source: &str) -> Result<(&'static str, String), (Class, String)> {
        let run = compile(source).and_then(|program| program.run(&Triggers));
        run.map(|value| (value.type_name(), value.to_string()))
            .map_err(|error| (error.class, error.text(source)))
    }

    fn class(source: &str) -> Class {
        outcome(source).expect_err(source).0
    }

    #[test]
    fn numbers_keep_gos_types() {
        for (source, ty, text) in [
            ("7 / 2", "float64", "3.5"),
            ("-7 % 3", "int", "-1"),
            ("9223372036854775807 + 1", "int", "-9223372036854775808"),
            ("int(1/0)", "int", "-9223372036854775808"),
            ("-2 ** 2", "float64", "-4"),
            ("2 ^ 3 ^ 2", "float64", "512"),
            ("max(1, a)", "float64", "2.5"),
            ("max(0/0, 1)", "float64", "NaN"),
            ("max(1, 0/0)", "int", "1"),
            ("round(-2.5)", "float64", "-3"),
            ("sum([0.1, 0.2, a])", "float64", "2.8000000000000003"),
            ("mean([[1, 2], 6])", "float64", "3"),
            ("0x1F + 0b11 + 1_000 + 017", "int", "1051"),
            ("bitshl(1, 64)", "int", "0"),
        ] {
            assert_eq!(outcome(source), Ok((ty, text.to_owned())), "{source}");
        }
    }

    #[test]
    fn nil_is_what_a_failed_trigger_is() {
        for (source, text) in [
            ("b ?? a", "2.5"),
            ("-b ?? 3", "-3"),
            ("(b ?? c) ?? 1", "1"),
            ("b == nil ? 1 : 2", "1"),
            ("filter([a, b, c], # != nil)", "[2.5]"),
            ("{}?.x?.y ?? 4", "4"),
            ("concat([]) ?? 5", "5"),
        ] {
            assert_eq!(outcome(source).map(|(_, text)| text), Ok(text.to_owned()), "{source}");
        }
        assert_eq!(
            outcome("a + b"),
            Err((Class::NilOperand, "invalid operation: float64 + <nil> (1:3)".to_owned()))
        );
    }

    #[test]
    fn the_static_check_looks_at_every_branch() {
        for (source, class_of_mistake) in [
            ("true ? 1 : zzz", Class::UnknownName),
            ("a ?? b + 1", Class::Syntax),
            ("a > 1 ?.5 : 1", Class::Syntax),
            ("a == \"1\"", Class::TypeMismatch),
            ("not a > 1", Class::TypeMismatch),
            ("a % 2", Class::TypeMismatch),
            ("ceil(\"x\")", Class::BadArgument),
            ("max()", Class::Arity),
            ("a(1)", Class::NotCallable),
            ("let max = 1; max", Class::Redeclare),
            ("1 % 0", Class::ConstFold),
            ("\"x\" matches \"[\"", Class::ConstFold),
            ("int(a) % int(0.5)", Class::IntDivZero),
            ("len(1..1000001)", Class::MemoryBudget),
            ("now().Unix()", Class::Unsupported),
            ("ceil(now())", Class::BadArgument),
        ] {
            assert_eq!(class(source), class_of_mistake, "{source}");
        }
    }

    #[test]
    fn what_the_real_machine_forgets_on_its_stack_is_added() {
        assert_eq!(outcome("findLast([a, 1], # > 0) + 1").map(|(_, text)| text), Ok("2".to_owned()));
        assert_eq!(
            outcome("1 + findLast([a, 1], # > 0)"),
            Err((Class::BadArgument, "invalid operation: bool + int (1:3)".to_owned()))
        );
    }

    #[test]
    fn hostile_expressions_end() {
        let deep = 100_000;
        let nested = |open: &str, inner: &str, close: &str| {
            format!("{}{inner}{}", open.repeat(deep), close.repeat(deep))
        };
        let endless = [
            nested("(", "a", ")"),
            nested("[", "a", "]"),
            nested("-", "a", ""),
            nested("not ", "true", ""),
            nested("a ? 1 : ", "a", ""),
            nested("if true {1} else ", "{2}", ""),
            nested("let x = ", "1", "; x"),
            nested("a[", "0", "]"),
            format!("a{}", " + a".repeat(9_000)),
            format!("a{}", "[0]".repeat(9_000)),
            format!("a{}", ".b".repeat(9_000)),
            format!("a{}", " ? 1 : 2".repeat(9_000)),
            "reduce(1..60, #acc + #acc, \"x\")".to_owned(),
            "flatten(reduce(1..60, [#acc, #acc], 1))".to_owned(),
            "string(reduce(1..60, [#acc, #acc], 1))".to_owned(),
            "toJSON(reduce(1..60, [#acc, #acc], 1))".to_owned(),
            "reduce(1..60, [#acc, #acc], 1) == reduce(1..60, [#acc, #acc], 1)".to_owned(),
            "max(reduce(1..60, [#acc, #acc], 1))".to_owned(),
            "reduce(1..900000, [#acc], 1)".to_owned(),
            "let x = 1..900000; count(x, count(x, # < 0) > 5)".to_owned(),
            "reduce(1..30, replace(#acc, \"x\", \"xxxxxxxxxx\"), \"x\")".to_owned(),
            "count(1..900000, \"aaaaaaaa\" matches \"(a*)*b\")".to_owned(),
            "repeat(repeat(\"x\", 900000), 900000)".to_owned(),
            "uniq(1..900000)".to_owned(),
            "groupBy(1..900000, #)".to_owned(),
            "1..9223372036854775807".to_owned(),
            "\"x\" matches \"((a{1000}){1000}){1000}\"".to_owned(),
            format!("fromJSON(\"{}\")", "[".repeat(deep)),
        ];
        for source in &endless {
            let shown: String = source.chars().take(40).collect();
            assert!(outcome(source).is_err(), "{shown}");
        }
        // An array of as many items as there may be nodes is added without recursion.
        assert!(outcome(&format!("sum([a{}])", ", a".repeat(9_000))).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(source in "\\PC{0,40}") {
            let _ = outcome(&source);
        }

        #[test]
        fn no_tokens_panic(tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "b", "1", "2.5", "\"s\"", "+", "-", "*", "/", "%", "^", "??", "?", "?.", ":", "::", "(", ")",
                "[", "]", "{", "}", ",", ";", ".", "..", "#", "#acc", "and", "not", "in", "matches", "let x =", "x",
                "==", "<", "|", "if", "else", "nil", "true", "max(", "sum(", "filter(", "map(", "reduce(", "sort(",
                "findLast(", "split(", "get(", "duration(", "date(", "float(", "len(", "$env", "1..3", "b'x'",
            ]),
            0..14,
        )) {
            let _ = outcome(&tokens.join(" "));
        }
    }
}
