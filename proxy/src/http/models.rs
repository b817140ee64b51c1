//! `GET /v1/models`: the models that the caller may use.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use vibectl_token::table::Scope;

use super::error;
use crate::{auth::principal::Principal, error::CallError, provider::Provider, state::Shared};

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(Principal { caller, .. }): Extension<Principal>,
) -> Response {
    if !caller.scopes.contains(Scope::Models) {
        return error::response(&CallError::NotAllowed);
    }
    let active = shared.active.load();
    let model = |model: &crate::router::Model| Model {
        id: model.name.to_string(),
        object: "model",
        // The API wants a time; the one thing that is true of all models here is when this server came up.
        created: shared.instance.started_at,
        owned_by: model.first_provider().map(Provider::name).unwrap_or_default().to_owned(),
    };
    Json(List { object: "list", data: active.router.models(&caller).map(model).collect() }).into_response()
}
