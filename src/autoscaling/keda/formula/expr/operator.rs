//! Operators and how tightly they bind (`parser/operator/operator.go`).

/// What an infix operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Pipe,
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    More,
    MoreOrEqual,
    LessOrEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Exponent,
    Coalesce,
}

/// One spelling of an infix operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BinaryOperator {
    pub(super) text: &'static str,
    pub(super) op: BinaryOp,
    pub(super) precedence: u16,
    pub(super) right_associative: bool,
}

const fn left(text: &'static str, op: BinaryOp, precedence: u16) -> BinaryOperator {
    BinaryOperator { text, op, precedence, right_associative: false }
}

const fn right(text: &'static str, op: BinaryOp, precedence: u16) -> BinaryOperator {
    BinaryOperator { text, op, precedence, right_associative: true }
}

static BINARY: [BinaryOperator; 25] = [
    left("|", BinaryOp::Pipe, 0),
    left("or", BinaryOp::Or, 10),
    left("||", BinaryOp::Or, 10),
    left("and", BinaryOp::And, 15),
    left("&&", BinaryOp::And, 15),
    left("==", BinaryOp::Equal, 20),
    left("!=", BinaryOp::NotEqual, 20),
    left("<", BinaryOp::Less, 20),
    left(">", BinaryOp::More, 20),
    left(">=", BinaryOp::MoreOrEqual, 20),
    left("<=", BinaryOp::LessOrEqual, 20),
    left("in", BinaryOp::In, 20),
    left("matches", BinaryOp::Matches, 20),
    left("contains", BinaryOp::Contains, 20),
    left("startsWith", BinaryOp::StartsWith, 20),
    left("endsWith", BinaryOp::EndsWith, 20),
    left("..", BinaryOp::Range, 25),
    left("+", BinaryOp::Add, 30),
    left("-", BinaryOp::Subtract, 30),
    left("*", BinaryOp::Multiply, 60),
    left("/", BinaryOp::Divide, 60),
    left("%", BinaryOp::Modulo, 60),
    right("**", BinaryOp::Exponent, 100),
    right("^", BinaryOp::Exponent, 100),
    left("??", BinaryOp::Coalesce, 500),
];

/// The infix operator that is spelt so.
pub(super) fn binary(text: &str) -> Option<&'static BinaryOperator> {
    BINARY.iter().find(|operator| operator.text == text)
}

impl BinaryOperator {
    pub(super) fn is_comparison(&self) -> bool {
        matches!(self.op, BinaryOp::Less | BinaryOp::More | BinaryOp::MoreOrEqual | BinaryOp::LessOrEqual)
    }

    /// Whether `not` may stand before it, as in `not in`.
    pub(super) fn takes_not(&self) -> bool {
        use BinaryOp::{Contains, EndsWith, In, Matches, StartsWith};
        matches!(self.op, Contains | Matches | StartsWith | EndsWith | In)
    }
}

/// What a prefix operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnaryOp {
    Not,
    Minus,
    Plus,
}

/// One spelling of a prefix operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnaryOperator {
    pub(super) text: &'static str,
    pub(super) op: UnaryOp,
    pub(super) precedence: u16,
}

/// `not` binds loosely, so `not a > 1` is `(not a) > 1` all the same: comparisons bind looser still.
static UNARY: [UnaryOperator; 4] = [
    UnaryOperator { text: "not", op: UnaryOp::Not, precedence: 50 },
    UnaryOperator { text: "!", op: UnaryOp::Not, precedence: 50 },
    UnaryOperator { text: "-", op: UnaryOp::Minus, precedence: 90 },
    UnaryOperator { text: "+", op: UnaryOp::Plus, precedence: 90 },
];

/// The prefix operator that is spelt so.
pub(super) fn unary(text: &str) -> Option<&'static UnaryOperator> {
    UNARY.iter().find(|operator| operator.text == text)
}
