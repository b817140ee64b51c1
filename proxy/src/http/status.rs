//! `GET /vibectl/v1/status`: the state of the server, for those who run it (scope `admin`). No secret, no prompt, no answer.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use vibectl_token::table::Scope;

use super::error;
use crate::{
    auth::principal::Principal, error::CallError, provider::Provider, service::error_body::Dialect,
    state::Shared, usage::TokenTotals,
};

/// What is told. Times are Unix seconds.
#[derive(Serialize)]
struct Status {
    version: &'static str,
    started_at: i64,
    /// Why no calls are taken; absent when they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_ready: Option<&'static str>,
    calls_in_flight: u32,
    open_streams: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    providers: Vec<ProviderState>,
    /// Content that was refused, so that older content is in force.
    rejected: Vec<Rejected>,
    usage: Vec<Usage>,
}

#[derive(Serialize)]
struct Certificate {
    fingerprint_sha256: String,
    public_key_pin: String,
    not_after: i64,
}

#[derive(Serialize)]
struct ProviderState {
    name: String,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Rejected {
    part: &'static str,
    reason: String,
}

/// Of one caller since the server was started: by UID of its ProxyToken, or by its subject where there are none.
#[derive(Serialize)]
struct Usage {
    caller: String,
    requests: u64,
    limited: u64,
    input_tokens: u64,
    output_tokens: u64,
    last_used: i64,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(Principal { caller, .. }): Extension<Principal>,
) -> Response {
    if !caller.scopes.contains(Scope::Admin) {
        return error::response(&CallError::NotAllowed, Dialect::OpenAi);
    }
    Json(status(&shared)).into_response()
}

fn status(shared: &Shared) -> Status {
    let active = shared.active.load();
    let rejected = shared.parts.states().into_iter().filter(|(_, state)| !state.rejected.is_empty());
    Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at: shared.instance.started_at,
        not_ready: shared.not_ready().map(str::trim_end),
        calls_in_flight: shared.limiter.calls_in_flight(),
        open_streams: shared.limiter.open_streams(),
        certificate: shared.tls.get().map(|tls| {
            let facts = tls.facts();
            Certificate {
                fingerprint_sha256: facts.fingerprint_sha256.clone(),
                public_key_pin: facts.public_key_pin.clone(),
                not_after: facts.lifetime.not_after.as_second(),
            }
        }),
        providers: active.router.providers().iter().map(|provider| provider_state(provider)).collect(),
        rejected: rejected
            .map(|(part, state)| Rejected { part: part.as_str(), reason: state.rejected })
            .collect(),
        usage: shared.usage.totals().into_iter().map(usage).collect(),
    }
}

fn provider_state(provider: &Provider) -> ProviderState {
    let reason = provider.off_reason().map(str::to_owned);
    ProviderState { name: provider.name().to_owned(), available: reason.is_none(), reason }
}

fn usage(totals: TokenTotals) -> Usage {
    Usage {
        caller: totals.uid,
        requests: totals.requests,
        limited: totals.limited,
        input_tokens: totals.input_tokens,
        output_tokens: totals.output_tokens,
        last_used: totals.last_used,
    }
}
