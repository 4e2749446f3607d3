//! What is wrong with an expression, and where in its text.

use std::fmt;

/// Part of an expression's text, in characters from its start, as `file.Location` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// First character.
    pub(super) from: usize,
    /// Character after the last.
    pub(super) to: usize,
}

/// The kind of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The text is no expression.
    Syntax,
    /// A name that is neither a trigger, nor a variable, nor a function.
    UnknownName,
    /// An operator or an access that the static types do not allow.
    TypeMismatch,
    /// A function whose argument has the wrong type or value.
    BadArgument,
    /// A function with too many or too few arguments.
    Arity,
    /// A call of something that is no function.
    NotCallable,
    /// A `let` whose name is taken.
    Redeclare,
    /// A constant part that cannot be computed.
    ConstFold,
    /// At run time: an operand or argument is nil, as that of a failed trigger is.
    NilOperand,
    /// At run time: an integer is divided by zero.
    IntDivZero,
    /// At run time: arrays, maps and texts are larger than the memory budget.
    MemoryBudget,
    /// Past a bound of this implementation, or a function whose value a simulation cannot know. The real language has
    /// no such rule.
    Unsupported,
}

/// A mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExprError {
    /// Its kind.
    pub(crate) class: Class,
    /// The words of the real language, without the position.
    pub(crate) message: String,
    /// Where.
    pub(super) span: Span,
}

impl ExprError {
    pub(super) fn new(class: Class, span: Span, message: impl Into<String>) -> Self {
        ExprError { class, message: message.into(), span }
    }

    /// The message with line and column, both from 1, as `file.Error` prints its first line. A place on an empty line
    /// prints none.
    pub(crate) fn text(&self, source: &str) -> String {
        let before: String = source.chars().take(self.span.from).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        if source.lines().nth(line - 1).is_none_or(str::is_empty) {
            return self.message.clone();
        }
        format!("{} ({line}:{column})", self.message)
    }

    /// The span in bytes of `source`.
    pub(crate) fn bytes(&self, source: &str) -> (usize, usize) {
        let byte = |character| source.char_indices().nth(character).map_or(source.len(), |(at, _)| at);
        (byte(self.span.from), byte(self.span.to))
    }
}

/// Why an operation on values fails; whoever runs it knows the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(class: Class, message: impl Into<String>) -> Self {
        Failure { class, message: message.into() }
    }

    /// The wrong type or value; the class tells an operand that is nil from any other.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        let message = message.into();
        let nil = ["<nil>", "is nil,", "zero Value"].iter().any(|nil| message.contains(nil));
        Failure { class: if nil { Class::NilOperand } else { Class::BadArgument }, message }
    }

    /// The same of another class.
    pub(super) fn of(self, class: Class) -> Self {
        Failure { class, ..self }
    }

    /// Past a bound of this implementation.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Failure::new(Class::Unsupported, message)
    }

    pub(super) fn at(self, span: Span) -> ExprError {
        ExprError { class: self.class, message: self.message, span }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
