//! The check of a value against a schema, within a budget.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{
    Schema, Unsatisfied,
    rules::{ArrayRules, Combined, Node, NodeId, NumberRules, ObjectRules, Rules, StringRules},
};

/// Subschemas applied in one check; about 50 ms of work.
pub(super) const MAX_STEPS: u32 = 1_000_000;

/// Subschemas within subschemas; keeps the recursion within a thread's stack.
const MAX_DEPTH: u32 = 512;

/// Longest place that is told; keys of an answer are the model's words.
const MAX_PLACE_CHARS: usize = 200;

pub(super) fn check(schema: &Schema, value: &Value) -> Result<(), Unsatisfied> {
    Checker { schema, steps: MAX_STEPS, depth: 0 }.node(schema.root, value).map_err(Failure::into_reason)
}

/// Whether `value` satisfies the one subschema `id`; takes from the caller's budget of steps.
pub(super) fn satisfies(schema: &Schema, id: NodeId, value: &Value, steps: &mut u32) -> bool {
    let mut checker = Checker { schema, steps: *steps, depth: 0 };
    let satisfied = checker.node(id, value).is_ok();
    *steps = checker.steps;
    satisfied
}

type Checked = Result<(), Failure>;

enum Failure {
    /// A rule is broken; the path is collected from the inside out.
    Broken { keyword: &'static str, path: Vec<String> },
    /// No budget is left, so nothing can be said.
    TooCostly,
}

struct Checker<'a> {
    schema: &'a Schema,
    steps: u32,
    depth: u32,
}

impl<'a> Checker<'a> {
    fn node(&mut self, id: NodeId, value: &Value) -> Checked {
        self.spend(1)?;
        if self.depth == MAX_DEPTH {
            return Err(Failure::TooCostly);
        }
        self.depth += 1;
        let checked = match self.schema.node(id) {
            Node::Always(always) => require(*always, "false"),
            Node::Rules(rules) => self.rules(rules, value),
        };
        self.depth -= 1;
        checked
    }

    fn rules(&mut self, rules: &'a Rules, value: &Value) -> Checked {
        let Rules { types, constant, choices, default: _, combined, object, array, string, number } = rules;
        require(types.as_ref().is_none_or(|types| types.iter().any(|one| one.admits(value))), "type")?;
        require(constant.as_ref().is_none_or(|constant| equal(constant, value)), "const")?;
        if let Some(choices) = choices {
            self.spend(choices.len())?;
            require(choices.iter().any(|choice| equal(choice, value)), "enum")?;
        }
        match value {
            Value::Object(map) => self.object(object, map)?,
            Value::Array(items) => self.array(array, items)?,
            Value::String(text) => check_string(string, text)?,
            Value::Number(value) => check_number(number, value)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(combined, value)
    }

    fn combined(&mut self, rules: &'a Combined, value: &Value) -> Checked {
        let Combined { reference, all_of, any_of, one_of, not, condition, then, otherwise } = rules;
        for id in reference.iter().chain(all_of) {
            self.node(*id, value)?;
        }
        if !any_of.is_empty() {
            require(self.count(any_of, value, 1)? == 1, "anyOf")?;
        }
        if !one_of.is_empty() {
            require(self.count(one_of, value, 2)? == 1, "oneOf")?;
        }
        if let Some(not) = not {
            require(!self.holds(*not, value)?, "not")?;
        }
        if let Some(condition) = condition {
            let next = if self.holds(*condition, value)? { then } else { otherwise };
            next.map_or(Ok(()), |next| self.node(next, value))?;
        }
        Ok(())
    }

    /// How many of `ids` hold; stops at `enough`.
    fn count(&mut self, ids: &[NodeId], value: &Value, enough: usize) -> Result<usize, Failure> {
        let mut count = 0;
        for id in ids {
            count += usize::from(self.holds(*id, value)?);
            if count == enough {
                break;
            }
        }
        Ok(count)
    }

    fn holds(&mut self, id: NodeId, value: &Value) -> Result<bool, Failure> {
        match self.node(id, value) {
            Ok(()) => Ok(true),
            Err(Failure::Broken { .. }) => Ok(false),
            Err(Failure::TooCostly) => Err(Failure::TooCostly),
        }
    }

    fn object(&mut self, rules: &'a ObjectRules, map: &Map<String, Value>) -> Checked {
        let ObjectRules { properties, patterns, additional, names, required, min, max } = rules;
        require(required.iter().all(|name| map.contains_key(name)), "required")?;
        require(min.is_none_or(|min| map.len() as u64 >= min), "minProperties")?;
        require(max.is_none_or(|max| map.len() as u64 <= max), "maxProperties")?;
        for (name, value) in map {
            let within = |failure: Failure| failure.within(name);
            let mut known = false;
            if let Some(id) = properties.get(name) {
                known = true;
                self.node(*id, value).map_err(within)?;
            }
            self.spend(patterns.len())?;
            for (_, id) in patterns.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                known = true;
                self.node(*id, value).map_err(within)?;
            }
            if let (Some(id), false) = (additional, known) {
                self.node(*id, value)
                    .map_err(|failure| failure.named("additionalProperties").within(name))?;
            }
            if let Some(id) = names {
                let name_value = Value::String(name.clone());
                self.node(*id, &name_value).map_err(|failure| failure.named("propertyNames").within(name))?;
            }
        }
        Ok(())
    }

    fn array(&mut self, rules: &'a ArrayRules, items: &[Value]) -> Checked {
        let ArrayRules { prefix, items: rest, min, max, unique } = rules;
        require(min.is_none_or(|min| items.len() as u64 >= min), "minItems")?;
        require(max.is_none_or(|max| items.len() as u64 <= max), "maxItems")?;
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = prefix.get(index).or(rest.as_ref()) {
                self.node(*id, item).map_err(|failure| failure.within(&index.to_string()))?;
            }
        }
        if *unique {
            for (index, item) in items.iter().enumerate() {
                self.spend(index)?;
                require(!items[..index].iter().any(|earlier| equal(earlier, item)), "uniqueItems")?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, steps: usize) -> Checked {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.ok_or(Failure::TooCostly)?;
        Ok(())
    }
}

impl Failure {
    fn within(mut self, segment: &str) -> Self {
        if let Self::Broken { path, .. } = &mut self {
            path.push(segment.to_owned());
        }
        self
    }

    /// `false` as a subschema says nothing; the keyword that leads to it does.
    fn named(mut self, name: &'static str) -> Self {
        if let Self::Broken { keyword, .. } = &mut self
            && *keyword == "false"
        {
            *keyword = name;
        }
        self
    }

    fn into_reason(self) -> Unsatisfied {
        match self {
            Self::TooCostly => Unsatisfied::TooCostly,
            Self::Broken { keyword, path } => {
                let place: String = path.iter().rev().flat_map(|segment| ["/", segment]).collect();
                Unsatisfied::Broken { keyword, place: place.chars().take(MAX_PLACE_CHARS).collect() }
            }
        }
    }
}

fn require(holds: bool, keyword: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(Failure::Broken { keyword, path: Vec::new() }) }
}

fn check_string(rules: &StringRules, text: &str) -> Checked {
    let StringRules { min, max, pattern, format: _ } = rules;
    if min.is_some() || max.is_some() {
        let length = text.chars().count() as u64;
        require(min.is_none_or(|min| length >= min), "minLength")?;
        require(max.is_none_or(|max| length <= max), "maxLength")?;
    }
    require(pattern.as_ref().is_none_or(|pattern| pattern.is_match(text)), "pattern")
}

fn check_number(rules: &NumberRules, value: &Number) -> Checked {
    let NumberRules { min, max, above, below, multiple_of } = rules;
    let is = |bound: &Option<Number>, allowed: &[Ordering]| {
        bound.as_ref().is_none_or(|bound| compare(value, bound).is_some_and(|order| allowed.contains(&order)))
    };
    require(is(min, &[Ordering::Greater, Ordering::Equal]), "minimum")?;
    require(is(max, &[Ordering::Less, Ordering::Equal]), "maximum")?;
    require(is(above, &[Ordering::Greater]), "exclusiveMinimum")?;
    require(is(below, &[Ordering::Less]), "exclusiveMaximum")?;
    require(multiple_of.as_ref().is_none_or(|step| is_multiple(value, step)), "multipleOf")
}

/// Equality of JSON Schema: numbers by value, so 1 equals 1.0.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        _ => left == right,
    }
}

fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn is_multiple(value: &Number, step: &Number) -> bool {
    match (value.as_i128(), step.as_i128()) {
        (Some(value), Some(step)) => step != 0 && value % step == 0,
        _ => value.as_f64().zip(step.as_f64()).is_some_and(|(value, step)| {
            let times = value / step;
            (times - times.round()).abs() < 1e-9
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Schema, Unsatisfied};

    fn broken(schema: Value, answer: &Value) -> String {
        let schema = Schema::from_value(schema).expect("a good schema");
        schema
            .check(&answer.to_string())
            .map_or_else(|reason| reason.to_string(), |()| "satisfied".to_owned())
    }

    #[test]
    fn a_broken_rule_is_told_with_its_place_in_the_answer() {
        let schema =
            json!({"properties": {"list": {"items": {"type": "integer"}}}, "additionalProperties": false});

        assert_eq!(broken(schema.clone(), &json!({"list": [1, 2.0]})), "satisfied");
        assert_eq!(broken(schema.clone(), &json!({"list": [1, "x"]})), "the answer breaks `type` /list/1");
        assert_eq!(broken(schema, &json!({"other": 1})), "the answer breaks `additionalProperties` /other");
    }

    #[test]
    fn each_assertion_refuses_what_it_should() {
        let table = [
            (json!({"const": 1}), json!(1.0), json!(2)),
            (json!({"enum": ["a", {"b": 1}]}), json!({"b": 1}), json!("b")),
            (json!({"minLength": 2, "maxLength": 3}), json!("äö"), json!("ä")),
            (json!({"pattern": "^a+$"}), json!("aa"), json!("ab")),
            (json!({"minimum": 1, "exclusiveMaximum": 2}), json!(1.5), json!(2)),
            (json!({"multipleOf": 0.1}), json!(0.3), json!(0.35)),
            (json!({"required": ["a"]}), json!({"a": null}), json!({})),
            (json!({"maxProperties": 1, "minProperties": 1}), json!({"a": 1}), json!({})),
            (
                json!({"patternProperties": {"^x": {"type": "null"}}}),
                json!({"x1": null, "y": 1}),
                json!({"x": 1}),
            ),
            (json!({"propertyNames": {"maxLength": 1}}), json!({"a": 1}), json!({"ab": 1})),
            (json!({"prefixItems": [{"type": "null"}], "items": false}), json!([null]), json!([null, 1])),
            (json!({"items": [{"type": "null"}], "additionalItems": false}), json!([null]), json!([1])),
            (json!({"minItems": 1, "uniqueItems": true}), json!([1, 2]), json!([1, 1.0])),
            (json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), json!(null), json!(1)),
            (json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}), json!(1.5), json!(1)),
            (json!({"not": {"type": "null"}}), json!(1), json!(null)),
            (json!({"if": {"type": "null"}, "then": false, "else": {"minimum": 3}}), json!(3), json!(2)),
            (json!({"type": ["null", "boolean"]}), json!(true), json!(0)),
        ];
        for (schema, good, bad) in table {
            assert_eq!(broken(schema.clone(), &good), "satisfied", "{schema} {good}");
            assert_ne!(broken(schema.clone(), &bad), "satisfied", "{schema} {bad}");
        }
    }

    #[test]
    fn a_check_that_would_not_end_is_given_up() {
        let mut definitions = serde_json::Map::new();
        for index in 0..40 {
            let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
            definitions.insert(index.to_string(), json!({"allOf": [next, next]}));
        }
        definitions.insert("40".to_owned(), json!({"type": "string"}));
        let schema =
            Schema::from_value(json!({"$ref": "#/$defs/0", "$defs": definitions})).expect("well formed");

        assert_eq!(schema.check("\"text\""), Err(Unsatisfied::TooCostly));
    }

    #[test]
    fn a_chain_of_references_does_not_overflow_the_stack() {
        let mut definitions: serde_json::Map<String, Value> = (0..5_000)
            .map(|index| (index.to_string(), json!({"$ref": format!("#/$defs/{}", index + 1)})))
            .collect();
        definitions.insert("5000".to_owned(), json!(true));
        let schema =
            Schema::from_value(json!({"$ref": "#/$defs/0", "$defs": definitions})).expect("well formed");

        assert_eq!(schema.check("1"), Err(Unsatisfied::TooCostly));
    }

    #[test]
    fn an_answer_that_is_not_json_is_told_so() {
        let schema = Schema::from_value(json!(true)).expect("a good schema");

        assert_eq!(schema.check("```json\n{}\n```"), Err(Unsatisfied::NotJson));
    }
}
