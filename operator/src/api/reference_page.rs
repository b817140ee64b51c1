//! The reference page of both kinds, from the same definitions that the API server is given.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::Value;

use crate::api::duration::PATTERN as DURATION;

const HEAD: &str = include_str!("reference_page.md");

/// The whole page.
pub fn render(definitions: &[CustomResourceDefinition]) -> Result<String, serde_json::Error> {
    let mut page = HEAD.to_owned();
    for definition in definitions {
        for version in &definition.spec.versions {
            page.push_str(&kind(definition, version)?);
        }
    }
    Ok(page)
}

fn kind(
    definition: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> Result<String, serde_json::Error> {
    let names = &definition.spec.names;
    let schema =
        serde_json::to_value(version.schema.as_ref().and_then(|all| all.open_api_v3_schema.as_ref()))?;
    let mut page = format!("\n## {}\n\n{}\n\n", names.kind, text(&schema["description"]));
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "`apiVersion: {}/{}` · plural `{}` · short `{}` · category `{}`\n",
        definition.spec.group,
        version.name,
        names.plural,
        names.short_names.iter().flatten().cloned().collect::<Vec<_>>().join("`, `"),
        names.categories.iter().flatten().cloned().collect::<Vec<_>>().join("`, `"),
    );
    for rule in rules(&schema) {
        let _ = writeln!(page, "- {rule}");
    }
    page.push_str("\n### Columns of kubectl get\n\n| column | from | |\n|---|---|---|\n");
    for column in version.additional_printer_columns.iter().flatten() {
        let wide = if column.priority.unwrap_or(0) > 0 { "only with `-o wide`" } else { "" };
        let _ = writeln!(page, "| {} | `{}` | {wide} |", column.name, column.json_path);
    }
    let _ = writeln!(
        page,
        "\n### {} spec\n\n| field | type | default | bounds | meaning |\n|---|---|---|---|---|",
        names.kind
    );
    rows(&mut page, "", &schema["properties"]["spec"], |field, required| {
        format!("{} | {} | {}", type_of(field), default_of(field, required), bounds(field).join("; "))
    });
    let _ = writeln!(page, "\n### {} status\n\n| field | type | meaning |\n|---|---|---|", names.kind);
    rows(&mut page, "", &schema["properties"]["status"], |field, _| type_of(field));
    Ok(page)
}

/// One row for each field below, each before the fields inside it; `facts` gives the cells between name and meaning.
fn rows(page: &mut String, path: &str, schema: &Value, facts: fn(&Value, bool) -> String) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{name}");
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let _ = writeln!(page, "| `{path}` | {} | {} |", facts(field, required), text(&field["description"]));
        let item = &field["items"];
        // Types of Kubernetes itself are explained there.
        match name.as_str() {
            "conditions" | "selector" => {}
            _ if item.is_object() => rows(page, &format!("{path}[]."), item, facts),
            _ => rows(page, &format!("{path}."), field, facts),
        }
    }
}

fn default_of(field: &Value, required: bool) -> String {
    match &field["default"] {
        Value::Null if required => "required".to_owned(),
        Value::Null => String::new(),
        Value::String(default) => format!("`{default}`"),
        default => format!("`{default}`"),
    }
}

fn type_of(field: &Value) -> String {
    match (field["type"].as_str().unwrap_or("object"), field["format"].as_str()) {
        ("string", Some("date-time")) => "time".to_owned(),
        ("string", _) if field["pattern"] == DURATION => "duration".to_owned(),
        ("array", _) => format!("list of {}", type_of(&field["items"])),
        ("object", _) if field["additionalProperties"].is_object() => "map of string".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn bounds(field: &Value) -> Vec<String> {
    let mut bounds = Vec::new();
    if let Some(values) = field["enum"].as_array() {
        // Of a field that may be left out the schema also allows null, which nobody writes.
        let values = values.iter().filter(|value| !value.is_null());
        bounds.push(values.map(|value| format!("`{}`", text(value))).collect::<Vec<_>>().join(", "));
    }
    for (least, most, unit) in [
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
        ("minLength", "maxLength", " characters"),
    ] {
        // Whole numbers that the schema holds as floating point ones.
        let number = |key: &str| field[key].as_f64().map(|number| number.to_string());
        match (number(least), number(most)) {
            _ if field["pattern"] == DURATION || field["x-kubernetes-preserve-unknown-fields"] == true => {}
            (Some(least), Some(most)) => bounds.push(format!("{least} to {most}{unit}")),
            (Some(least), None) => bounds.push(format!("at least {least}{unit}")),
            (None, Some(most)) => bounds.push(format!("at most {most}{unit}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = field["pattern"].as_str().filter(|pattern| *pattern != DURATION) {
        bounds.push(format!("`{}`", pattern.replace('|', "\\|")));
    }
    // Items with fields of their own have rows of their own.
    let item = Some(&field["items"]).filter(|item| item.is_object() && !item["properties"].is_object());
    let each = item.map(self::bounds).unwrap_or_default();
    bounds.extend(each.into_iter().map(|bound| format!("each {bound}")));
    bounds.into_iter().chain(rules(field)).collect()
}

fn rules(schema: &Value) -> Vec<String> {
    let all = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    all.map(|rule| text(&rule["message"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}
