//! A schema in the form that checking and generating walk: a list of nodes that refer to each other by number, so that
//! recursive schemas need no special care.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Number, Value};

/// Number of a subschema within its [`super::Schema`]; only made for nodes that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

/// All subschemas of a document and the one to start with.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

/// One subschema.
#[derive(Debug)]
pub(super) enum Node {
    /// `true` or `false`: everything or nothing is an instance.
    Always(bool),
    /// An object with keywords.
    Rules(Box<Rules>),
}

/// The keywords of one subschema.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) types: Option<Vec<Type>>,
    pub(super) constant: Option<Value>,
    pub(super) choices: Option<Vec<Value>>,
    pub(super) default: Option<Value>,
    pub(super) combined: Combined,
    pub(super) object: ObjectRules,
    pub(super) array: ArrayRules,
    pub(super) string: StringRules,
    pub(super) number: NumberRules,
}

/// Subschemas that apply to the same value.
#[derive(Debug, Default)]
pub(super) struct Combined {
    pub(super) reference: Option<NodeId>,
    pub(super) all_of: Vec<NodeId>,
    pub(super) any_of: Vec<NodeId>,
    pub(super) one_of: Vec<NodeId>,
    pub(super) not: Option<NodeId>,
    pub(super) condition: Option<NodeId>,
    pub(super) then: Option<NodeId>,
    pub(super) otherwise: Option<NodeId>,
}

#[derive(Debug, Default)]
pub(super) struct ObjectRules {
    pub(super) properties: BTreeMap<String, NodeId>,
    pub(super) patterns: Vec<(Regex, NodeId)>,
    pub(super) additional: Option<NodeId>,
    pub(super) names: Option<NodeId>,
    pub(super) required: Vec<String>,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct ArrayRules {
    pub(super) prefix: Vec<NodeId>,
    pub(super) items: Option<NodeId>,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) unique: bool,
}

#[derive(Debug, Default)]
pub(super) struct StringRules {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) pattern: Option<Regex>,
    /// An annotation: never checked, but an instance should look like it.
    pub(super) format: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct NumberRules {
    pub(super) min: Option<Number>,
    pub(super) max: Option<Number>,
    pub(super) above: Option<Number>,
    pub(super) below: Option<Number>,
    pub(super) multiple_of: Option<Number>,
}

/// The types of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl NodeId {
    pub(super) const fn new(index: usize) -> Self {
        Self(index)
    }

    pub(super) const fn index(self) -> usize {
        self.0
    }
}

impl Type {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::String,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }

    pub(super) fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Array, Value::Array(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => is_whole(number),
            _ => false,
        }
    }
}

impl Combined {
    /// Every subschema that looks at the same value as this one.
    pub(super) fn in_place(&self) -> impl Iterator<Item = NodeId> {
        let Self { reference, all_of, any_of, one_of, not, condition, then, otherwise } = self;
        let single = [reference, not, condition, then, otherwise];
        single.into_iter().flatten().chain(all_of).chain(any_of).chain(one_of).copied()
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}
