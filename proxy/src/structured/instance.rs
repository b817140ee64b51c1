//! Making an instance of a schema: the simplest one that can carry a text, the same one every time.
//!
//! - `const`, then `enum` (its first good value), then a `default` that is not null win over everything else.
//! - Of alternatives (`anyOf`, `oneOf`) the first good one in this order: null last; those that can carry the text
//!   first; fewest required properties; fewest properties; the order of the schema.
//! - An object has its required properties and those with a `const` or `default`. When none of the required ones carries
//!   the text, the first optional one that can is added.
//! - An array is as short as allowed. A string is the text (cut), a number the one nearest to 0.

use std::{collections::BTreeSet, iter};

use serde_json::{Map, Value};

use super::{
    Schema, candidates,
    check::{MAX_STEPS, satisfies},
    rules::{ArrayRules, Node, NodeId, ObjectRules, Rules, StringRules, Type},
};

/// Nesting of an instance; a recursive schema whose recursion is required has none.
const MAX_DEPTH: usize = 12;

/// Nesting from which null is preferred, so that optional recursion ends early.
const NULL_FIRST_DEPTH: usize = 3;

/// Longest list that is made because `minItems` asks for it.
const MAX_ITEMS: u64 = 64;

/// Characters of the text that one string takes.
const MAX_TEXT_CHARS: usize = 200;

/// Types in the order in which they are tried.
const PREFERRED: [Type; 7] =
    [Type::String, Type::Object, Type::Array, Type::Integer, Type::Number, Type::Boolean, Type::Null];

pub(super) fn instance(schema: &Schema, text: &str) -> Option<Value> {
    let text = text.chars().take(MAX_TEXT_CHARS).collect();
    Maker { schema, text, steps: MAX_STEPS }.make(&[schema.root], 0)
}

struct Maker<'a> {
    schema: &'a Schema,
    text: String,
    steps: u32,
}

/// Everything that one value has to satisfy: subschemas joined, alternatives still to be chosen.
#[derive(Default, Clone)]
struct Demands<'a> {
    rules: Vec<&'a Rules>,
    alternatives: Vec<&'a [NodeId]>,
}

impl<'a> Maker<'a> {
    fn make(&mut self, ids: &[NodeId], depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut demands = Demands::default();
        for id in ids {
            self.add(*id, &mut demands)?;
        }
        self.choose(ids, demands, depth)
    }

    /// Adds what `id` demands, through references and `allOf`. `None` when nothing satisfies it.
    fn add(&mut self, id: NodeId, demands: &mut Demands<'a>) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        let rules = match self.schema.node(id) {
            Node::Always(always) => return always.then_some(()),
            Node::Rules(rules) => rules,
        };
        demands.rules.push(rules);
        let combined = &rules.combined;
        let groups = [&combined.any_of, &combined.one_of];
        demands.alternatives.extend(groups.into_iter().filter(|group| !group.is_empty()).map(Vec::as_slice));
        combined.reference.iter().chain(&combined.all_of).try_for_each(|id| self.add(*id, demands))
    }

    /// Settles the alternatives one after the other, going back when a choice leads nowhere.
    fn choose(&mut self, ids: &[NodeId], mut demands: Demands<'a>, depth: usize) -> Option<Value> {
        let Some(group) = demands.alternatives.pop() else { return self.value(ids, &demands.rules, depth) };
        let mut order: Vec<_> =
            group.iter().map(|id| Some((self.rank(*id, depth)?, *id))).collect::<Option<_>>()?;
        order.sort_by_key(|(rank, _)| *rank);
        order.into_iter().find_map(|(_, id)| {
            let mut demands = demands.clone();
            self.add(id, &mut demands)?;
            self.choose(ids, demands, depth)
        })
    }

    /// Smaller is tried earlier; the sort is stable, so the schema's order decides between equals.
    fn rank(&mut self, id: NodeId, depth: usize) -> Option<(bool, bool, usize, usize)> {
        let mut demands = Demands::default();
        let possible = self.add(id, &mut demands).is_some();
        let null = demands.rules.iter().any(|rules| rules.types.as_deref() == Some(&[Type::Null]));
        let silent = !possible || !self.carries_text(&[id], 0)?;
        let required = demands.rules.iter().map(|rules| rules.object.required.len()).sum();
        let properties = demands.rules.iter().map(|rules| rules.object.properties.len()).sum();
        Some((null != (depth >= NULL_FIRST_DEPTH), silent, required, properties))
    }

    fn value(&mut self, ids: &[NodeId], rules: &[&'a Rules], depth: usize) -> Option<Value> {
        if let Some(constant) = rules.iter().find_map(|rules| rules.constant.as_ref()) {
            return self.first_good(ids, iter::once(constant.clone()));
        }
        if let Some(choices) = rules.iter().find_map(|rules| rules.choices.as_ref()) {
            return self.first_good(ids, choices.iter().cloned());
        }
        let defaults =
            rules.iter().filter_map(|rules| rules.default.clone()).filter(|value| !value.is_null());
        if let Some(default) = self.first_good(ids, defaults) {
            return Some(default);
        }
        let mut types = allowed_types(rules);
        if depth >= NULL_FIRST_DEPTH {
            types.sort_by_key(|one| *one != Type::Null);
        }
        types.into_iter().find_map(|one| self.of_type(one, ids, rules, depth))
    }

    fn of_type(&mut self, one: Type, ids: &[NodeId], rules: &[&'a Rules], depth: usize) -> Option<Value> {
        let candidates = match one {
            Type::Null => vec![Value::Null],
            Type::Boolean => vec![Value::Bool(false), Value::Bool(true)],
            Type::Integer => candidates::whole_numbers(rules).collect(),
            Type::Number => candidates::numbers(rules).collect(),
            Type::String => vec![candidates::string(rules, &self.text)],
            Type::Array => vec![self.array(rules, depth)?],
            Type::Object => vec![self.object(rules, depth)?],
        };
        self.first_good(ids, candidates.into_iter())
    }

    fn first_good(&mut self, ids: &[NodeId], mut candidates: impl Iterator<Item = Value>) -> Option<Value> {
        let schema = self.schema;
        candidates.find(|value| ids.iter().all(|id| satisfies(schema, *id, value, &mut self.steps)))
    }

    fn object(&mut self, rules: &[&'a Rules], depth: usize) -> Option<Value> {
        let objects: Vec<&ObjectRules> = rules.iter().map(|rules| &rules.object).collect();
        let mut names: BTreeSet<&String> = objects.iter().flat_map(|rules| &rules.required).collect();
        let optional: BTreeSet<&String> = objects
            .iter()
            .flat_map(|rules| rules.properties.keys())
            .filter(|name| !names.contains(name))
            .collect();
        let mut carried = false;
        for name in &names {
            carried |= self.carries_text(&of_property(&objects, name), 0)?;
        }
        let least = objects.iter().filter_map(|rules| rules.min).max().unwrap_or(0);
        for name in optional {
            let ids = of_property(&objects, name);
            let carries = !carried && self.carries_text(&ids, 0)?;
            let fixed = self.add_all(&ids)?.iter().any(|rules| is_fixed(rules));
            if carries || fixed || (names.len() as u64) < least {
                carried |= carries;
                names.insert(name);
            }
        }
        let mut map = Map::new();
        for name in names {
            map.insert(name.clone(), self.make(&of_property(&objects, name), depth + 1)?);
        }
        Some(Value::Object(map))
    }

    fn array(&mut self, rules: &[&'a Rules], depth: usize) -> Option<Value> {
        let arrays: Vec<&ArrayRules> = rules.iter().map(|rules| &rules.array).collect();
        let count = arrays.iter().filter_map(|rules| rules.min).max().unwrap_or(0);
        let count = usize::try_from(Some(count).filter(|count| *count <= MAX_ITEMS)?).ok()?;
        let item = |index: usize| -> Vec<NodeId> {
            arrays
                .iter()
                .filter_map(|rules| rules.prefix.get(index).or(rules.items.as_ref()))
                .copied()
                .collect()
        };
        (0..count)
            .map(|index| self.make(&item(index), depth + 1))
            .collect::<Option<Vec<_>>>()
            .map(Value::Array)
    }

    /// Whether an instance of all of `ids` can hold the text: a free string, or an object with such a property.
    fn carries_text(&mut self, ids: &[NodeId], depth: usize) -> Option<bool> {
        if depth > NULL_FIRST_DEPTH {
            return Some(false);
        }
        let rules = self.add_all(ids)?;
        if rules.iter().any(|rules| is_fixed(rules) || rules.choices.is_some()) {
            return Some(false);
        }
        if rules.iter().any(|rules| is_free_string(rules)) {
            return Some(true);
        }
        let below = rules.iter().flat_map(|rules| {
            let combined = &rules.combined;
            rules.object.properties.values().chain(&combined.any_of).chain(&combined.one_of).copied()
        });
        for id in below {
            if self.carries_text(&[id], depth + 1)? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The rules of `ids`, alternatives left open. `None` only when the budget is spent.
    fn add_all(&mut self, ids: &[NodeId]) -> Option<Vec<&'a Rules>> {
        let mut demands = Demands::default();
        let possible = ids.iter().all(|id| self.add(*id, &mut demands).is_some());
        (possible || self.steps > 0).then_some(demands.rules)
    }
}

fn of_property(objects: &[&ObjectRules], name: &str) -> Vec<NodeId> {
    let one = |rules: &&ObjectRules| {
        let matching = rules.patterns.iter().filter(|(pattern, _)| pattern.is_match(name)).map(|(_, id)| *id);
        let mut ids: Vec<NodeId> = rules.properties.get(name).copied().into_iter().chain(matching).collect();
        if ids.is_empty() {
            ids.extend(rules.additional);
        }
        ids
    };
    objects.iter().flat_map(one).collect()
}

/// Whether the schema itself says what the value is.
fn is_fixed(rules: &Rules) -> bool {
    rules.constant.is_some() || rules.default.as_ref().is_some_and(|value| !value.is_null())
}

fn is_free_string(rules: &Rules) -> bool {
    let StringRules { min: _, max: _, pattern, format } = &rules.string;
    let string = rules.types.as_ref().is_some_and(|types| types.contains(&Type::String));
    string && pattern.is_none() && format.is_none()
}

/// Types that all of `rules` allow, in the order of preference; where none says anything, what its keywords are about.
fn allowed_types(rules: &[&Rules]) -> Vec<Type> {
    if rules.iter().all(|rules| rules.types.is_none()) {
        let about = |one: Type| rules.iter().any(|rules| is_about(rules, one));
        let hinted = PREFERRED.into_iter().filter(|one| about(*one));
        return hinted.chain(PREFERRED).collect();
    }
    let allows = |one: Type| {
        let allowed = |types: &Vec<Type>| {
            types.contains(&one) || (one == Type::Integer && types.contains(&Type::Number))
        };
        rules.iter().all(|rules| rules.types.as_ref().is_none_or(allowed))
    };
    PREFERRED.into_iter().filter(|one| allows(*one)).collect()
}

fn is_about(rules: &Rules, one: Type) -> bool {
    let Rules { object, array, number, .. } = rules;
    match one {
        Type::Object => !object.properties.is_empty() || !object.required.is_empty() || object.min.is_some(),
        Type::Array => array.items.is_some() || !array.prefix.is_empty() || array.min.is_some(),
        Type::Number => number.min.is_some() || number.above.is_some() || number.multiple_of.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Schema;

    fn made(schema: Value) -> Option<Value> {
        Schema::from_value(schema).expect("a good schema").instance("hello there")
    }

    #[test]
    fn constants_choices_and_defaults_come_first() {
        assert_eq!(made(json!({"const": 7})), Some(json!(7)));
        assert_eq!(made(json!({"enum": [1, "b"], "type": "string"})), Some(json!("b")));
        assert_eq!(made(json!({"type": "integer", "default": 5})), Some(json!(5)));
        assert_eq!(made(json!({"type": "string", "default": null})), Some(json!("hello there")));
    }

    #[test]
    fn an_object_has_what_is_required_and_one_place_for_the_text() {
        let schema = json!({
            "required": ["count"],
            "properties": {"count": {"type": "integer", "minimum": 3}, "kind": {"const": "x"},
                "note": {"type": "string"}, "other": {"type": "string"}},
        });

        assert_eq!(made(schema), Some(json!({"count": 3, "kind": "x", "note": "hello there"})));
    }

    #[test]
    fn the_simplest_alternative_that_carries_the_text_is_taken() {
        let schema = json!({"anyOf": [
            {"type": "null"},
            {"type": "integer"},
            {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
            {"type": "object", "properties": {"text": {"type": "string"}, "more": {"type": "integer"}}},
            {"type": "object", "properties": {"text": {"type": "string"}}},
        ]});

        assert_eq!(made(schema), Some(json!({"text": "hello there"})));
    }

    #[test]
    fn an_alternative_that_leads_nowhere_is_given_up_for_the_next() {
        let schema = json!({"oneOf": [{"type": "string", "pattern": "^[0-9]+$"}, {"type": "integer"}]});

        assert_eq!(made(schema), Some(json!(0)));
    }

    #[test]
    fn joined_schemas_are_satisfied_together() {
        let schema = json!({
            "$ref": "#/$defs/base",
            "required": ["b"],
            "properties": {"b": {"maxLength": 5}},
            "$defs": {"base": {"type": "object", "required": ["a"], "properties": {
                "a": {"type": "boolean"}, "b": {"type": "string", "minLength": 2}}}},
        });

        assert_eq!(made(schema), Some(json!({"a": false, "b": "hello"})));
    }

    #[test]
    fn recursion_ends_where_it_may_and_is_given_up_where_it_must_not() {
        let list = json!({"type": "object", "required": ["next"], "properties": {
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
        let endless = json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});

        assert!(made(list).is_some());
        assert_eq!(made(endless), None);
    }

    #[test]
    fn lengths_and_bounds_are_kept() {
        let table = [
            (json!({"type": "array", "minItems": 2, "items": {"type": "boolean"}}), json!([false, false])),
            (json!({"type": "array", "items": {"type": "string"}}), json!([])),
            (json!({"type": "string", "minLength": 13}), json!("hello there..")),
            (json!({"type": "string", "maxLength": 4}), json!("hell")),
            (json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}), json!(0.5)),
            (json!({"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4}), json!(8)),
            (json!({"type": "integer", "maximum": -3}), json!(-3)),
            (json!({"type": ["null", "string"]}), json!("hello there")),
            (json!({"type": "string", "format": "date"}), json!("2000-01-01")),
            (json!({}), json!("hello there")),
        ];
        for (schema, expected) in table {
            assert_eq!(made(schema.clone()), Some(expected), "{schema}");
        }
    }
}
