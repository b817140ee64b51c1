//! Whether the cluster already holds what is wanted. Pure.
//!
//! Two halves: every wanted field is there with the wanted value (the API server and others may have added more), and what was
//! applied last is what is wanted now, so that a field which we no longer want is noticed. The second half is a digest in an
//! annotation. Of data it knows the keys and not the content, which the first half compares: a digest of a Secret could be
//! guessed at. What others add stays theirs, in data too: no apply of ours could remove it, so it must not count.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::names::{APPLIED_ANNOTATION, short_digest};

/// Fields that hold content.
const CONTENT_FIELDS: [&str; 2] = ["data", "binaryData"];

/// The object with the digest of what it wants.
pub(super) fn stamped(desired: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut object = serde_json::to_value(desired)?;
    let stamp = digest_of(&object)?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(APPLIED_ANNOTATION.to_owned(), Value::String(stamp));
        }
    }
    Ok(object)
}

/// Whether applying the stamped object would change nothing.
pub(super) fn is_in_force(stamped: &Value, live: &Value) -> bool {
    covers(live, stamped)
}

/// Whether everything in `wanted` is in `live`.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).map_or(is_void(wanted), |live| covers(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => covers_list(live, wanted),
        (live, wanted) => live == wanted,
    }
}

/// Named items are found by name, since others may add their own (sidecars, ports); of all others the order counts.
fn covers_list(live: &[Value], wanted: &[Value]) -> bool {
    if !wanted.is_empty() && wanted.iter().all(|item| name(item).is_some()) {
        return wanted.iter().all(|wanted| {
            live.iter().find(|live| name(live) == name(wanted)).is_some_and(|live| covers(live, wanted))
        });
    }
    live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
}

fn name(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}

/// The API server drops what is empty.
fn is_void(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn digest_of(object: &Value) -> Result<String, serde_json::Error> {
    let mut public = object.clone();
    for field in CONTENT_FIELDS {
        for (_, content) in public.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
            *content = Value::Null;
        }
    }
    Ok(short_digest(&serde_json::to_vec(&public)?, 8))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Value {
        json!({
            "metadata": {"name": "team", "labels": {"a": "b"}},
            "spec": {"type": "ClusterIP", "ports": [{"name": "service", "port": 1}]}
        })
    }

    fn live() -> Value {
        let mut live = stamped(&service()).unwrap();
        live["metadata"]["uid"] = json!("1");
        live["metadata"]["labels"]["theirs"] = json!("x");
        live["spec"]["clusterIP"] = json!("10.0.0.1");
        live["spec"]["ports"][0]["nodePort"] = json!(30000);
        live["spec"]["ports"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"name": "added by somebody", "port": 2}));
        live
    }

    #[test]
    fn what_others_and_the_api_server_add_is_no_difference() {
        assert!(is_in_force(&stamped(&service()).unwrap(), &live()));
    }

    #[test]
    fn a_field_of_ours_that_was_changed_or_removed_is_a_difference() {
        let changes: [fn(&mut Value); 4] = [
            |live| live["spec"]["type"] = json!("NodePort"),
            |live| live["spec"]["ports"][1]["port"] = json!(3),
            |live| live["metadata"]["labels"] = json!({}),
            |live| live["spec"]["ports"] = json!([]),
        ];
        for change in changes {
            let mut live = live();
            change(&mut live);

            assert!(!is_in_force(&stamped(&service()).unwrap(), &live), "{live}");
        }
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_is_a_difference() {
        let mut wanted = service();
        wanted["spec"].as_object_mut().unwrap().remove("type");

        assert!(!is_in_force(&stamped(&wanted).unwrap(), &live()));
    }

    #[test]
    fn a_key_that_somebody_added_is_theirs_and_one_that_we_no_longer_want_is_a_difference() {
        let secret = |data: Value| json!({"metadata": {"name": "s"}, "data": data});
        let both = stamped(&secret(json!({"a": "MQ==", "b": "Mg=="}))).unwrap();
        let one = stamped(&secret(json!({"a": "MQ=="}))).unwrap();
        let mut theirs = one.clone();
        theirs["data"]["b"] = json!("Mg==");

        assert!(is_in_force(&one, &theirs));
        assert!(!is_in_force(&one, &both));
        assert!(!is_in_force(&both, &one));
    }

    #[test]
    fn content_is_compared_and_not_in_the_digest() {
        let [one, other] =
            ["MQ==", "Mg=="].map(|content| json!({"metadata": {"name": "s"}, "data": {"a": content}}));

        assert_eq!(digest_of(&one).unwrap(), digest_of(&other).unwrap());
        assert!(!is_in_force(&stamped(&one).unwrap(), &stamped(&other).unwrap()));
    }
}
