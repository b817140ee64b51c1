//! The custom resource definitions: committed as generated, bounded, and within the API server's cost limits.

#![cfg(test)]

use std::{fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use vibectl_operator::api;

fn schema(definition: &CustomResourceDefinition) -> Value {
    let schema = definition.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// Calls `visit` with the path and every schema below.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for (mark, inner) in [("[]", &schema["items"]), ("{}", &schema["additionalProperties"])] {
        if inner.is_object() {
            walk(&format!("{path}{mark}"), inner, visit);
        }
    }
}

#[test]
fn the_committed_definitions_and_their_reference_are_the_generated_ones() {
    for (name, generated) in api::generated_files().unwrap() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&name);
        let committed = fs::read_to_string(path).unwrap_or_default();

        assert_eq!(committed, generated, "{name} is stale: run make definitions");
    }
}

/// Without bounds the API server estimates rules as if every list and string were as long as a request may be.
#[test]
fn every_list_and_string_that_a_user_writes_is_bounded() {
    let mut unbounded = Vec::new();
    for definition in api::definitions() {
        walk(&definition.spec.names.kind, &schema(&definition)["properties"]["spec"], &mut |path, schema| {
            // The API server's own type, which has no bounds either.
            let foreign = path.contains(".selector");
            let bounded = match schema["type"].as_str() {
                Some("array") => schema["maxItems"].is_u64(),
                Some("string") => {
                    schema["maxLength"].is_u64()
                        || schema["enum"].is_array()
                        || schema["format"] == "date-time"
                }
                Some("object") => {
                    !schema["additionalProperties"].is_object() || schema["maxProperties"].is_u64()
                }
                _ => true,
            };
            if !foreign && !bounded {
                unbounded.push(path.to_owned());
            }
        });
    }

    assert_eq!(unbounded, Vec::<String>::new());
}

/// API servers warn about formats that they do not know, on every write of the definition.
#[test]
fn numbers_have_formats_that_the_api_server_knows() {
    for definition in api::definitions() {
        walk(&definition.spec.names.kind, &schema(&definition), &mut |path, schema| {
            let format = schema["format"].as_str().unwrap_or("int32");
            assert!(["int32", "int64", "date-time"].contains(&format), "{path}: {format}");
        });
    }
}

#[test]
fn conditions_are_merged_by_type() {
    for definition in api::definitions() {
        let conditions = schema(&definition)["properties"]["status"]["properties"]["conditions"].clone();

        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
    }
}

/// An empty list would read as "none" to some and as "all" to others.
#[test]
fn lists_of_models_are_left_out_or_name_one() {
    let [proxy, token] = [0, 1].map(|index| schema(&api::definitions()[index])["properties"]["spec"].clone());

    let ceiling = &proxy["properties"]["access"]["properties"]["ceilings"]["properties"]["models"];
    for models in [ceiling, &token["properties"]["models"]] {
        assert_eq!(models["minItems"], 1);
    }
}
