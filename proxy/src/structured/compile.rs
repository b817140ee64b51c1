//! JSON text of a schema -> nodes. Everything that can be wrong with a schema is found here.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

use super::{
    InvalidSchema,
    rules::{ArrayRules, Combined, Node, NodeId, NumberRules, ObjectRules, Root, Rules, StringRules, Type},
};

/// Memory that one compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// Assertions that we do not make; skipping one would call a wrong answer right.
const UNSUPPORTED: [&str; 11] = [
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "extends",
    "maxContains",
    "minContains",
    "unevaluatedItems",
    "unevaluatedProperties",
];

pub(super) fn compile(source: &Value) -> Result<Root, InvalidSchema> {
    let mut compiler = Compiler { source, nodes: Vec::new(), known: HashMap::new(), waiting: Vec::new() };
    let root = compiler.id_of(String::new());
    while let Some((id, place)) = compiler.waiting.pop() {
        let node = compiler.node(&place)?;
        compiler.nodes[id.index()] = node;
    }
    let nodes = compiler.nodes;
    refuse_endless(&nodes, &compiler.known)?;
    Ok(Root { nodes, root })
}

/// Works off the places that have been named so far; a reference and the place it names share one node.
struct Compiler<'a> {
    source: &'a Value,
    nodes: Vec<Node>,
    known: HashMap<String, NodeId>,
    waiting: Vec<(NodeId, String)>,
}

impl Compiler<'_> {
    fn id_of(&mut self, place: String) -> NodeId {
        if let Some(id) = self.known.get(&place) {
            return *id;
        }
        let id = NodeId::new(self.nodes.len());
        self.nodes.push(Node::Always(true));
        self.known.insert(place.clone(), id);
        self.waiting.push((id, place));
        id
    }

    fn node(&mut self, place: &str) -> Result<Node, InvalidSchema> {
        match self.source.pointer(place) {
            Some(Value::Bool(always)) => Ok(Node::Always(*always)),
            Some(Value::Object(keywords)) => {
                let keywords = Keywords { place, map: keywords };
                keywords.refuse_unsupported()?;
                self.rules(&keywords).map(|rules| Node::Rules(Box::new(rules)))
            }
            _ => Err(InvalidSchema::new(place, "a schema must be an object or a boolean")),
        }
    }

    fn rules(&mut self, keywords: &Keywords<'_>) -> Result<Rules, InvalidSchema> {
        Ok(Rules {
            types: keywords.types()?,
            constant: keywords.map.get("const").cloned(),
            choices: keywords.list("enum")?.cloned(),
            default: keywords.map.get("default").cloned(),
            combined: self.combined(keywords)?,
            object: self.object(keywords)?,
            array: self.array(keywords)?,
            string: StringRules {
                min: keywords.count("minLength")?,
                max: keywords.count("maxLength")?,
                pattern: keywords.text("pattern")?.map(|text| keywords.regex("pattern", text)).transpose()?,
                format: keywords.text("format")?.map(str::to_owned),
            },
            number: NumberRules {
                min: keywords.number("minimum")?,
                max: keywords.number("maximum")?,
                above: keywords.number("exclusiveMinimum")?,
                below: keywords.number("exclusiveMaximum")?,
                multiple_of: keywords.positive("multipleOf")?,
            },
        })
    }

    fn combined(&mut self, keywords: &Keywords<'_>) -> Result<Combined, InvalidSchema> {
        Ok(Combined {
            reference: keywords.reference()?.map(|place| self.id_of(place)),
            all_of: self.each("allOf", keywords)?,
            any_of: self.each("anyOf", keywords)?,
            one_of: self.each("oneOf", keywords)?,
            not: self.one("not", keywords),
            condition: self.one("if", keywords),
            then: self.one("then", keywords),
            otherwise: self.one("else", keywords),
        })
    }

    fn object(&mut self, keywords: &Keywords<'_>) -> Result<ObjectRules, InvalidSchema> {
        let mut properties = std::collections::BTreeMap::new();
        for name in keywords.names("properties")? {
            properties.insert(name.clone(), self.id_of(keywords.below("properties", name)));
        }
        let mut patterns = Vec::new();
        for pattern in keywords.names("patternProperties")? {
            let regex = keywords.regex("patternProperties", pattern)?;
            patterns.push((regex, self.id_of(keywords.below("patternProperties", pattern))));
        }
        Ok(ObjectRules {
            properties,
            patterns,
            additional: self.one("additionalProperties", keywords),
            names: self.one("propertyNames", keywords),
            required: keywords.words("required")?,
            min: keywords.count("minProperties")?,
            max: keywords.count("maxProperties")?,
        })
    }

    fn array(&mut self, keywords: &Keywords<'_>) -> Result<ArrayRules, InvalidSchema> {
        // Before draft 2020-12 a list under `items` is what `prefixItems` is now, and `additionalItems` the rest.
        let old = keywords.map.get("items").is_some_and(Value::is_array);
        let (prefix, items) = if old { ("items", "additionalItems") } else { ("prefixItems", "items") };
        Ok(ArrayRules {
            prefix: self.each(prefix, keywords)?,
            items: self.one(items, keywords),
            min: keywords.count("minItems")?,
            max: keywords.count("maxItems")?,
            unique: keywords.flag("uniqueItems")?,
        })
    }

    fn one(&mut self, keyword: &str, keywords: &Keywords<'_>) -> Option<NodeId> {
        keywords.map.contains_key(keyword).then(|| self.id_of(keywords.at(keyword)))
    }

    fn each(&mut self, keyword: &str, keywords: &Keywords<'_>) -> Result<Vec<NodeId>, InvalidSchema> {
        let count = keywords.list(keyword)?.map_or(0, Vec::len);
        Ok((0..count).map(|index| self.id_of(keywords.below(keyword, &index.to_string()))).collect())
    }
}

/// The keywords of one subschema, with its place for messages.
struct Keywords<'a> {
    place: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Keywords<'a> {
    fn at(&self, keyword: &str) -> String {
        format!("{}/{}", self.place, escape(keyword))
    }

    fn below(&self, keyword: &str, name: &str) -> String {
        format!("{}/{}/{}", self.place, escape(keyword), escape(name))
    }

    fn wrong(&self, keyword: &str, problem: &str) -> InvalidSchema {
        InvalidSchema::new(&self.at(keyword), problem)
    }

    fn refuse_unsupported(&self) -> Result<(), InvalidSchema> {
        match UNSUPPORTED.iter().find(|keyword| self.map.contains_key(**keyword)) {
            Some(keyword) => Err(self.wrong(keyword, "this keyword is not supported")),
            None => Ok(()),
        }
    }

    fn typed<T>(
        &self,
        keyword: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, InvalidSchema> {
        self.map
            .get(keyword)
            .map(|value| read(value).ok_or_else(|| self.wrong(keyword, expected)))
            .transpose()
    }

    fn list(&self, keyword: &str) -> Result<Option<&'a Vec<Value>>, InvalidSchema> {
        self.typed(keyword, "expected a list", Value::as_array)
    }

    fn names(&self, keyword: &str) -> Result<impl Iterator<Item = &'a String>, InvalidSchema> {
        let map = self.typed(keyword, "expected an object", Value::as_object)?;
        Ok(map.into_iter().flat_map(Map::keys))
    }

    fn text(&self, keyword: &str) -> Result<Option<&'a str>, InvalidSchema> {
        self.typed(keyword, "expected a string", Value::as_str)
    }

    fn flag(&self, keyword: &str) -> Result<bool, InvalidSchema> {
        Ok(self.typed(keyword, "expected a boolean", Value::as_bool)?.unwrap_or(false))
    }

    fn count(&self, keyword: &str) -> Result<Option<u64>, InvalidSchema> {
        // 2.0 is a whole number, too.
        let from_float = |float: f64| (float >= 0.0 && float.fract() == 0.0).then(|| format!("{float:.0}"));
        let whole = |value: &Value| value.as_u64().or_else(|| from_float(value.as_f64()?)?.parse().ok());
        self.typed(keyword, "expected a whole number from 0", whole)
    }

    fn number(&self, keyword: &str) -> Result<Option<Number>, InvalidSchema> {
        self.typed(keyword, "expected a number", |value| value.as_number().cloned())
    }

    fn positive(&self, keyword: &str) -> Result<Option<Number>, InvalidSchema> {
        let positive = |value: &Value| {
            value.as_number().filter(|number| number.as_f64().is_some_and(|float| float > 0.0)).cloned()
        };
        self.typed(keyword, "expected a number above 0", positive)
    }

    fn words(&self, keyword: &str) -> Result<Vec<String>, InvalidSchema> {
        let all = |value: &Value| {
            value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        Ok(self.typed(keyword, "expected a list of strings", all)?.unwrap_or_default())
    }

    fn types(&self) -> Result<Option<Vec<Type>>, InvalidSchema> {
        self.typed("type", "expected the name of a type or a list of them", |value| match value {
            Value::String(name) => Type::from_name(name).map(|one| vec![one]),
            Value::Array(names) => names.iter().map(|name| Type::from_name(name.as_str()?)).collect(),
            _ => None,
        })
    }

    fn regex(&self, keyword: &str, pattern: &str) -> Result<Regex, InvalidSchema> {
        RegexBuilder::new(pattern)
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_err(|_| self.wrong(keyword, "not a pattern that can be matched in linear time"))
    }

    /// The place that `$ref` names; only places within this document exist.
    fn reference(&self) -> Result<Option<String>, InvalidSchema> {
        let Some(reference) = self.text("$ref")? else { return Ok(None) };
        let place = reference.strip_prefix('#').filter(|place| place.is_empty() || place.starts_with('/'));
        let place =
            place.ok_or_else(|| self.wrong("$ref", "only references within the schema are followed"))?;
        percent_decode(place).map(Some).ok_or_else(|| self.wrong("$ref", "expected a JSON Pointer"))
    }
}

/// A schema that applies itself to the value that it is looking at would be applied for ever.
fn refuse_endless(nodes: &[Node], known: &HashMap<String, NodeId>) -> Result<(), InvalidSchema> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Open,
        Closed,
    }
    let mut seen = vec![Seen::Not; nodes.len()];
    let in_place = |id: NodeId| match &nodes[id.index()] {
        Node::Always(_) => Vec::new(),
        Node::Rules(rules) => rules.combined.in_place().collect(),
    };
    for start in (0..nodes.len()).map(NodeId::new) {
        // A stack of our own: a chain of references may be longer than the thread's.
        let mut path = vec![(start, in_place(start))];
        while let Some((id, next)) = path.last_mut() {
            let id = *id;
            seen[id.index()] = Seen::Open;
            match next.pop().map(|next| (next, seen[next.index()])) {
                Some((next, Seen::Not)) => path.push((next, in_place(next))),
                Some((next, Seen::Open)) => return Err(endless(known, next)),
                Some((_, Seen::Closed)) => {}
                None => {
                    seen[id.index()] = Seen::Closed;
                    path.pop();
                }
            }
        }
    }
    Ok(())
}

fn endless(known: &HashMap<String, NodeId>, id: NodeId) -> InvalidSchema {
    let place = known.iter().filter(|(_, known)| **known == id).map(|(place, _)| place.as_str()).min();
    InvalidSchema::new(place.unwrap_or_default(), "refers to itself without end")
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' { 16 * hex(bytes.next()?)? + hex(bytes.next()?)? } else { byte };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Schema;

    fn refusal(schema: serde_json::Value) -> String {
        Schema::from_value(schema).expect_err("refused").to_string()
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        assert_eq!(
            refusal(json!({"properties": {"a/b": {"type": "text"}}})),
            "/properties/a~1b/type: expected the name of a type or a list of them"
        );
        assert_eq!(
            refusal(json!({"items": {"minItems": -1}})),
            "/items/minItems: expected a whole number from 0"
        );
        assert_eq!(refusal(json!(3)), "at the top: a schema must be an object or a boolean");
        assert_eq!(
            Schema::parse("{").expect_err("not JSON").to_string(),
            "at the top: not JSON (line 1, column 1)"
        );
    }

    #[test]
    fn an_assertion_that_is_not_supported_is_refused_by_name() {
        assert_eq!(refusal(json!({"contains": {}})), "/contains: this keyword is not supported");
    }

    #[test]
    fn references_stay_within_the_document_and_lead_somewhere() {
        let outside = json!({"$ref": "http://169.254.169.254/schema"});

        assert_eq!(refusal(outside), "/$ref: only references within the schema are followed");
        assert_eq!(
            refusal(json!({"$ref": "#/$defs/x"})),
            "/$defs/x: a schema must be an object or a boolean"
        );
    }

    #[test]
    fn a_schema_that_applies_itself_to_the_same_value_is_refused() {
        assert_eq!(refusal(json!({"$ref": "#"})), "at the top: refers to itself without end");
        let around =
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"not": {"$ref": "#/$defs/a"}}, true]}}});
        assert_eq!(refusal(around), "/$defs/a: refers to itself without end");
    }

    #[test]
    fn a_recursive_schema_is_fine() {
        Schema::from_value(json!({"properties": {"next": {"$ref": "#"}}}))
            .expect("recursion consumes a level");
    }

    #[test]
    fn a_pattern_that_could_backtrack_is_refused() {
        assert!(refusal(json!({"pattern": "(?=a)b"})).starts_with("/pattern: not a pattern"));
        assert!(refusal(json!({"pattern": "(a{1000}){1000}"})).starts_with("/pattern: not a pattern"));
    }
}
