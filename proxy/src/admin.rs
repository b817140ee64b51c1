//! The admin port: what the kubelet and Prometheus ask, without credentials, and nothing secret.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::state::Shared;
use crate::telemetry;

/// `/healthz`: the process lives. `/readyz`: it takes calls. `/metrics`, and `/` as in the original: metrics.
pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/", get(metrics))
        .with_state(shared)
}

async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    match shared.not_ready() {
        None => (StatusCode::OK, "ok\n"),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> ([(http::HeaderName, &'static str); 1], String) {
    shared.metrics.in_flight.set(shared.limiter.calls_in_flight().into());
    shared.metrics.open_streams.set(shared.limiter.open_streams().into());
    let dropped = i64::try_from(telemetry::dropped_lines()).unwrap_or(i64::MAX);
    shared.metrics.dropped_lines.with([]).set(dropped);
    if let Some(tls) = shared.tls.get() {
        shared.metrics.certificate_expiry.with([]).set(tls.facts().lifetime.not_after.as_second());
        if let Some(next_update) = tls.lists_next_update() {
            shared.metrics.client_crl_expiry.with([]).set(next_update.as_second());
        }
    }
    ejected(&shared);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render())
}

/// Those of the config in force alone.
fn ejected(shared: &Shared) {
    let (active, now) = (shared.active.load(), Instant::now());
    let endpoints = active.router.endpoints();
    let state = endpoints.map(|(provider, model, endpoint)| {
        ([provider, model], i64::from(endpoint.ejected_for(now).is_some()))
    });
    shared.metrics.providers.ejected.replace(state);
}
