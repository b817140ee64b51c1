//! The schemas that the vibectl client sends (version 0.11.6, descriptions left out) and the instances made of them.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

use serde_json::{Value, json};
use vibectl_server::structured::{Schema, Unsatisfied};

const PLANNER: &str = include_str!("golden/structured/planner_response.schema.json");
const FINAL_PLAN: &str = include_str!("golden/structured/final_apply_plan_response.schema.json");
const APPLY_SCOPE: &str = include_str!("golden/structured/apply_file_scope_response.schema.json");
const EDIT_SCOPE: &str = include_str!("golden/structured/edit_resource_scope_response.schema.json");

fn made(schema: &str) -> Option<Value> {
    Schema::parse(schema).expect("a schema of the client").instance("what is in this cluster?")
}

#[test]
fn a_plan_ends_at_once_and_runs_nothing() {
    let done = json!({"action": {"action_type": "DONE", "explanation": "what is in this cluster?"}});

    assert_eq!(made(PLANNER), Some(done));
}

#[test]
fn the_other_schemas_of_the_client_have_instances_without_commands() {
    assert_eq!(made(FINAL_PLAN), Some(json!({"planned_commands": []})));
    assert_eq!(
        made(APPLY_SCOPE),
        Some(json!({"file_selectors": [], "remaining_request_context": "what is in this cluster?"}))
    );
    assert_eq!(
        made(EDIT_SCOPE),
        Some(json!({"resource_selectors": [], "edit_context": "what is in this cluster?"}))
    );
}

#[test]
fn a_plan_that_the_client_could_not_read_is_refused() {
    let planner = Schema::parse(PLANNER).expect("a schema of the client");
    let broken = |keyword, place: &str| Err(Unsatisfied::Broken { keyword, place: place.to_owned() });

    assert_eq!(planner.check(r#"{"action": {"message": "no"}}"#), Ok(()));
    assert_eq!(planner.check(r#"{"action": {"action_type": "DANCE"}}"#), broken("anyOf", "/action"));
    assert_eq!(planner.check(r#"{"action": {}, "mood": "good"}"#), broken("additionalProperties", "/mood"));
    assert_eq!(planner.check("{}"), broken("required", ""));
}
