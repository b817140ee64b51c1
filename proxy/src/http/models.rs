//! `GET /v1/models` and `GET /v1/models/NAME`: the models that the caller may use, in the form of the API that the caller speaks.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use serde::Serialize;
use vibectl_token::table::Scope;

use super::error;
use crate::{
    auth::principal::Principal,
    error::CallError,
    provider::Provider,
    router::{Model, NoRoute},
    service::error_body::Dialect,
    state::Shared,
};

#[derive(Serialize)]
#[serde(untagged)]
enum List<'a> {
    OpenAi {
        object: &'static str,
        data: Vec<OpenAiModel<'a>>,
    },
    Anthropic {
        data: Vec<AnthropicModel<'a>>,
        has_more: bool,
        first_id: Option<&'a str>,
        last_id: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(Principal { caller, .. }): Extension<Principal>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::of(&headers);
    if !caller.scopes.contains(Scope::Models) {
        return error::response(&CallError::NotAllowed, dialect);
    }
    let active = shared.active.load();
    let models = active.router.models(&caller);
    // The APIs want a time; the one thing that is true of all models here is when this server came up.
    let created = shared.instance.started_at;
    Json(match dialect {
        Dialect::OpenAi => {
            List::OpenAi { object: "list", data: models.map(|model| openai(model, created)).collect() }
        }
        Dialect::Anthropic => anthropic(models.map(|model| &*model.name).collect(), created),
    })
    .into_response()
}

pub(super) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    Extension(Principal { caller, .. }): Extension<Principal>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::of(&headers);
    if !caller.scopes.contains(Scope::Models) {
        return error::response(&CallError::NotAllowed, dialect);
    }
    let active = shared.active.load();
    let created = shared.instance.started_at;
    // One that exists and is not for this caller reads as one that does not exist.
    match active.router.models(&caller).find(|model| *model.name == *id || model.aliases.contains(&id)) {
        None => error::response(&CallError::NoRoute(NoRoute::ModelNotFound(id)), dialect),
        Some(model) => match dialect {
            Dialect::OpenAi => Json(openai(model, created)).into_response(),
            Dialect::Anthropic => Json(anthropic_model(&model.name, created)).into_response(),
        },
    }
}

fn openai(model: &Model, created: i64) -> OpenAiModel<'_> {
    let owned_by = model.first_provider().map(Provider::name).unwrap_or_default();
    OpenAiModel { id: &model.name, object: "model", created, owned_by }
}

/// All of them on the one page.
fn anthropic(names: Vec<&str>, created: i64) -> List<'_> {
    let (first_id, last_id) = (names.first().copied(), names.last().copied());
    let data = names.into_iter().map(|name| anthropic_model(name, created)).collect();
    List::Anthropic { data, has_more: false, first_id, last_id }
}

fn anthropic_model(name: &str, created: i64) -> AnthropicModel<'_> {
    let created_at = jiff::Timestamp::from_second(created).unwrap_or_default().to_string();
    AnthropicModel { kind: "model", id: name, display_name: name, created_at }
}
