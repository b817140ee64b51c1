//! Plain HTTP for the kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, runtime::heartbeat::Heartbeat};

/// A task that has not shown a sign of life for so long is taken for dead. Longer than a lease attempt with both of
/// its calls running into their deadline.
const SILENCE: Duration = Duration::from_secs(30);

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    /// Beats while the event loop turns.
    pub event_loop: Heartbeat,
    /// Beats while the lease task tries.
    pub lease: Heartbeat,
    /// Cancelled once every cache is complete.
    pub synced: CancellationToken,
    /// What `/metrics` prints.
    pub metrics: Arc<Metrics>,
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, probes: Probes, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router(probes)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(probes: Probes) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn healthz(State(probes): State<Probes>) -> Response {
    for (task, heartbeat) in [("event loop", &probes.event_loop), ("lease", &probes.lease)] {
        let age = heartbeat.age();
        if age > SILENCE {
            let text = format!("{task} silent for {} s\n", age.as_secs());
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    }
    "ok\n".into_response()
}

async fn readyz(State(probes): State<Probes>) -> Response {
    if probes.synced.is_cancelled() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "caches are not complete yet\n").into_response()
    }
}

async fn metrics(State(probes): State<Probes>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match probes.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    fn probes() -> Probes {
        Probes {
            event_loop: Heartbeat::default(),
            lease: Heartbeat::default(),
            synced: CancellationToken::new(),
            metrics: Arc::default(),
        }
    }

    async fn status(probes: &Probes, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router(probes.clone()).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn ready_only_once_every_cache_is_complete() {
        let probes = probes();
        assert_eq!(status(&probes, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);

        probes.synced.cancel();

        assert_eq!(status(&probes, "/readyz").await, StatusCode::OK);
        assert_eq!(status(&probes, "/metrics").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_silent_lease_task_is_unhealthy() {
        let probes = Probes { lease: Heartbeat::silent_for(SILENCE * 2), ..probes() };

        assert_eq!(status(&probes, "/healthz").await, StatusCode::SERVICE_UNAVAILABLE);
        probes.lease.beat();
        assert_eq!(status(&probes, "/healthz").await, StatusCode::OK);
    }
}
