//! `GET /vibectl/v1/status`: the state of the server, for those who run it (scope `admin`). No secret, no prompt, no answer.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use vibectl_token::table::Scope;

use super::error;
use crate::{
    auth::principal::Principal,
    cost::Cost,
    error::CallError,
    provider::Provider,
    router::{Router, upstream::Upstream},
    service::error_body::Dialect,
    state::Shared,
    usage::TokenTotals,
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
    /// Its last word was that it does not accept our key.
    key_refused: bool,
    /// Calls that it has now from this server.
    calls: u32,
    /// Models of it that are left out for their failures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ejected: Vec<Ejected>,
}

#[derive(Serialize)]
struct Ejected {
    model: String,
    /// Until the next call tries it.
    seconds: u64,
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
    /// In dollars, of those calls whose price is known; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<Cost>,
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
        providers: providers(&active.router),
        rejected: rejected
            .map(|(part, state)| Rejected { part: part.as_str(), reason: state.rejected })
            .collect(),
        usage: shared.usage.totals().into_iter().map(usage).collect(),
    }
}

fn providers(router: &Router) -> Vec<ProviderState> {
    let now = Instant::now();
    let ejected = |name: &str| {
        let own = router.endpoints().filter(|(provider, ..)| *provider == name);
        let times = own.filter_map(|(_, model, endpoint)| Some((model, endpoint.ejected_for(now)?)));
        times.map(|(model, time)| Ejected { model: model.to_owned(), seconds: time.as_secs() }).collect()
    };
    let state = |(provider, upstream): (&Provider, &Upstream)| {
        let reason = provider.off_reason().map(str::to_owned);
        ProviderState {
            name: provider.name().to_owned(),
            available: reason.is_none(),
            reason,
            key_refused: upstream.refuses_key(),
            calls: upstream.running(),
            ejected: ejected(provider.name()),
        }
    };
    router.upstreams().map(state).collect()
}

fn usage(totals: TokenTotals) -> Usage {
    Usage {
        caller: totals.uid,
        requests: totals.requests,
        limited: totals.limited,
        input_tokens: totals.input_tokens,
        output_tokens: totals.output_tokens,
        cost_usd: totals.cost,
        last_used: totals.last_used,
    }
}
