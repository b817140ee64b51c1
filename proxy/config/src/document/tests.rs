use std::fmt::Write as _;

use super::{Document, Node, Value};

/// The tree as text: `LINE:COLUMN value`.
fn outline(node: &Node, out: &mut String) {
    write!(out, "{}:{} ", node.at.line, node.at.column).unwrap();
    match &node.value {
        Value::Scalar(scalar) => write!(out, "{:?}", scalar.text).unwrap(),
        Value::List(items) => {
            out.push_str("[ ");
            for item in items {
                outline(item, out);
                out.push(' ');
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push_str("{ ");
            for entry in entries {
                write!(out, "{}@{}:{}= ", entry.key, entry.at.line, entry.at.column).unwrap();
                outline(&entry.node, out);
                out.push(' ');
            }
            out.push('}');
        }
    }
}

fn tree(text: &str) -> String {
    let document = Document::from_yaml(text);
    assert!(document.faults.is_empty(), "{:?}", document.faults);
    let mut out = String::new();
    outline(&document.root.unwrap(), &mut out);
    out
}

fn faults(text: &str) -> Vec<String> {
    let document = Document::from_yaml(text);
    document
        .faults
        .iter()
        .map(|fault| format!("{}:{} {}", fault.at.line, fault.at.column, fault.problem))
        .collect()
}

#[test]
fn every_key_and_value_knows_its_place() {
    let tree = tree("server:\n  port: 1\nmodels:\n  - name: \"é\"\n    aliases: [a, b]\n");

    let server = r#"server@1:1= 2:3 { port@2:3= 2:9 "1" }"#;
    let model = r#"4:5 { name@4:5= 4:11 "é" aliases@5:5= 5:14 [ 5:15 "a" 5:18 "b" ] }"#;
    assert_eq!(tree, format!("1:1 {{ {server} models@3:1= 4:3 [ {model} ] }}"));
}

#[test]
fn an_alias_stands_for_its_anchor_and_keeps_the_place_of_it() {
    let tree = tree("a: &x [1]\nb: *x\n");

    assert_eq!(tree, r#"1:1 { a@1:1= 1:7 [ 1:8 "1" ] b@2:1= 1:7 [ 1:8 "1" ] }"#);
}

#[test]
fn an_empty_text_is_no_node_and_no_fault() {
    for text in ["", "\n", "# only a comment\n", "\u{feff}"] {
        let document = Document::from_yaml(text);

        assert!(document.root.is_none() && document.faults.is_empty(), "{text:?} {document:?}");
    }
}

#[test]
fn a_second_document_ends_the_reading() {
    assert_eq!(faults("a: 1\n---\nb: 2\n"), ["2:1 a second document; a config file is one document"]);
}

#[test]
fn tabs_are_named() {
    assert_eq!(faults("server:\n\tport: 1\n"), ["2:2 a tab cannot indent YAML; use spaces"]);
}

#[test]
fn duplicates_tags_merge_keys_and_odd_keys_are_found_in_one_go() {
    let faults = faults("a: 1\na: 2\nb: !!str 3\nc: {<<: {d: 1}, [e]: 2}\n");

    let expected = [
        "2:1 this key is already in line 1",
        "3:10 YAML tags are not supported; remove what starts with !",
        "4:5 merge keys are not supported; write the keys out",
        "4:17 a key must be text; quote text that starts with { or [",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn an_alias_without_its_anchor_is_not_quoted_since_it_may_be_a_secret() {
    let faults = faults("secret_key: *hunter2\n");

    assert_eq!(faults, ["1:13 an alias without its anchor; quote text that starts with *"]);
}

#[test]
fn directives_are_refused() {
    assert_eq!(faults("%YAML 1.1\n---\na: 1\n"), ["1:1 not valid YAML: YAML directives are disallowed"]);
}

#[test]
fn an_anchor_inside_of_itself_is_refused() {
    assert_eq!(faults("a: &x [*x]\n"), ["1:8 an alias inside of what it stands for"]);
}

#[test]
fn aliases_cannot_multiply_beyond_the_budget() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }

    assert_eq!(faults(&text), ["5:45 more than 100000 values"]);
}

#[test]
fn depth_is_limited_with_and_without_aliases() {
    assert_eq!(faults(&"[".repeat(100_000)), ["1:34 nested deeper than 32 levels"]);

    let mut text = "- &a0 [x]\n".to_owned();
    for level in 1..100 {
        writeln!(text, "- &a{level} [*a{}]", level - 1).unwrap();
    }
    assert_eq!(faults(&text), ["31:9 nested deeper than 32 levels"]);
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    assert_eq!(faults(&" ".repeat(2_000_000)), ["1:1 larger than 1048576 bytes"]);
}

#[test]
fn json_has_to_be_json() {
    let fault =
        |text: &str| Document::from_json(text).faults.pop().map(|fault| (fault.at.line, fault.problem));

    assert_eq!(fault("{\"a\": [1, \"\\ud83d\\ude00\", null]}\n\t"), None);
    assert_eq!(fault(""), None);
    assert_eq!(fault("{\n\"a\": 1,\n}"), Some((3, "not valid JSON: key must be a string".to_owned())));
    assert_eq!(fault("a: 1"), Some((1, "not valid JSON: expected value".to_owned())));
}
