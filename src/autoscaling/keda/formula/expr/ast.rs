//! The expression as a tree (`ast/node.go`).
//!
//! Nodes lie in one list and name each other by index, so that taking a tree apart needs no recursion, and the
//! optimizer replaces a node in its place.

use super::builtin::Builtin;
use super::error::Span;
use super::nature::Nature;
use super::operator::{BinaryOperator, UnaryOperator};
use super::value::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Nil,
    Identifier(Arc<str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    /// An array of literals, made by the optimizer.
    Constant(Value),
    Unary {
        operator: &'static UnaryOperator,
        node: NodeId,
    },
    Binary {
        operator: &'static BinaryOperator,
        left: NodeId,
        right: NodeId,
    },
    /// `left in [...]` with literals only, made by the optimizer.
    InSet {
        left: NodeId,
        set: Arc<Literals>,
    },
    /// A chain of accesses of which one is optional.
    Chain(NodeId),
    Member {
        node: NodeId,
        property: NodeId,
        optional: bool,
        method: bool,
    },
    Slice {
        node: NodeId,
        from: Option<NodeId>,
        to: Option<NodeId>,
    },
    Call {
        callee: NodeId,
        arguments: Vec<NodeId>,
    },
    Builtin(BuiltinCall),
    Predicate(NodeId),
    /// `#`, or `#index` and `#acc` with their name.
    Pointer(Arc<str>),
    Let {
        name: Arc<str>,
        value: NodeId,
        body: NodeId,
    },
    Sequence(Vec<NodeId>),
    Conditional {
        condition: NodeId,
        then: NodeId,
        otherwise: NodeId,
    },
    Array(Vec<NodeId>),
    /// Pairs of key and value.
    Map(Vec<NodeId>),
    Pair {
        key: NodeId,
        value: NodeId,
    },
    /// `sum([...])`, made by the optimizer: the last two are added first.
    SumFromTheRight(Vec<NodeId>),
}

/// A call of a function of the language.
#[derive(Clone, Debug)]
pub(super) struct BuiltinCall {
    pub(super) builtin: &'static Builtin,
    pub(super) arguments: Vec<NodeId>,
    /// Set by the optimizer: a search without a result is an error.
    pub(super) throws: bool,
    /// Set by the optimizer: what to make of the items that pass.
    pub(super) map: Option<NodeId>,
    /// Set by the optimizer: a count may stop here.
    pub(super) threshold: Option<i64>,
}

impl BuiltinCall {
    pub(super) fn new(builtin: &'static Builtin, arguments: Vec<NodeId>) -> Self {
        BuiltinCall { builtin, arguments, throws: false, map: None, threshold: None }
    }

    /// Whether it calls the function `name` with so many arguments.
    pub(super) fn is(&self, name: &str, arguments: usize) -> bool {
        self.builtin.name == name && self.arguments.len() == arguments
    }
}

/// The right side of `in` as a set.
#[derive(Debug)]
pub(super) enum Literals {
    Integers(BTreeSet<i64>),
    Texts(BTreeSet<Arc<str>>),
}

/// A node, its place, and what its static check found.
#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    span: Span,
    /// Unknown until the checker came by; it does not come by the arguments of a call of something unknown.
    nature: Nature,
    depth: usize,
}

/// A tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Ast {
    nodes: Vec<Node>,
}

impl Ast {
    /// Adds a node. Its children are there already.
    pub(super) fn add(&mut self, kind: Kind, span: Span) -> NodeId {
        let below = kind.children().map(|child| self.nodes[child.0].depth).max().unwrap_or(0);
        self.nodes.push(Node { kind, span, nature: Nature::default(), depth: below + 1 });
        NodeId(self.nodes.len() - 1)
    }

    pub(super) fn kind(&self, id: NodeId) -> &Kind {
        &self.nodes[id.0].kind
    }

    pub(super) fn span(&self, id: NodeId) -> Span {
        self.nodes[id.0].span
    }

    pub(super) fn nature(&self, id: NodeId) -> &Nature {
        &self.nodes[id.0].nature
    }

    pub(super) fn set_nature(&mut self, id: NodeId, nature: Nature) {
        self.nodes[id.0].nature = nature;
    }

    /// Puts another node in the place of this one, which keeps its span.
    pub(super) fn replace(&mut self, id: NodeId, kind: Kind, nature: Nature) {
        let node = &mut self.nodes[id.0];
        node.kind = kind;
        node.nature = nature;
    }

    pub(super) fn call_mut(&mut self, id: NodeId) -> Option<&mut BuiltinCall> {
        match &mut self.nodes[id.0].kind {
            Kind::Builtin(call) => Some(call),
            _ => None,
        }
    }

    /// How many nodes lie on the longest way down from this one, itself included.
    pub(super) fn depth(&self, id: NodeId) -> usize {
        self.nodes[id.0].depth
    }

    /// The call of a function of the language that this node is.
    pub(super) fn builtin_call(&self, id: NodeId) -> Option<&BuiltinCall> {
        match self.kind(id) {
            Kind::Builtin(call) => Some(call),
            _ => None,
        }
    }

    pub(super) fn integer(&self, id: NodeId) -> Option<i64> {
        match self.kind(id) {
            Kind::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: NodeId) -> Option<&Arc<str>> {
        match self.kind(id) {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The body of the predicate that this node is.
    pub(super) fn predicate(&self, id: NodeId) -> Option<NodeId> {
        match self.kind(id) {
            Kind::Predicate(body) => Some(*body),
            _ => None,
        }
    }
}

impl Kind {
    /// The nodes right below, in the order in which `ast.Walk` visits them; what the optimizer put into `map` is not
    /// among them.
    pub(super) fn children(&self) -> impl Iterator<Item = NodeId> + '_ {
        let (few, many): ([Option<NodeId>; 3], &[NodeId]) = match self {
            Kind::Nil
            | Kind::Identifier(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Text(_)
            | Kind::Bytes(_)
            | Kind::Constant(_)
            | Kind::Pointer(_) => ([None; 3], &[]),
            Kind::Unary { node, .. } | Kind::Chain(node) | Kind::Predicate(node) => {
                ([Some(*node), None, None], &[])
            }
            Kind::InSet { left, .. } => ([Some(*left), None, None], &[]),
            Kind::Binary { left, right, .. } => ([Some(*left), Some(*right), None], &[]),
            Kind::Member { node, property, .. } => ([Some(*node), Some(*property), None], &[]),
            Kind::Slice { node, from, to } => ([Some(*node), *from, *to], &[]),
            Kind::Call { callee, arguments } => ([Some(*callee), None, None], arguments),
            Kind::Builtin(call) => ([None; 3], &call.arguments),
            Kind::Let { value, body, .. } => ([Some(*value), Some(*body), None], &[]),
            Kind::Conditional { condition, then, otherwise } => {
                ([Some(*condition), Some(*then), Some(*otherwise)], &[])
            }
            Kind::Pair { key, value } => ([Some(*key), Some(*value), None], &[]),
            Kind::Sequence(nodes) | Kind::Array(nodes) | Kind::Map(nodes) | Kind::SumFromTheRight(nodes) => {
                ([None; 3], nodes)
            }
        };
        few.into_iter().flatten().chain(many.iter().copied())
    }
}
