//! The gRPC health service, for anybody: it tells whether the server takes calls, and nothing else.

use axum::Router;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Names that may be asked for: the server as a whole, and its one service.
const NAMES: [&str; 2] = ["", "vibectl.llm_proxy.VibectlLLMProxy"];

/// What the health service tells.
#[derive(Clone, Debug, Default)]
pub struct Health(HealthReporter);

impl Health {
    /// Tells that calls are taken.
    pub async fn serving(&self) {
        for name in NAMES {
            self.0.set_service_status(name, ServingStatus::Serving).await;
        }
    }

    /// Tells watchers that no calls are taken, then ends their streams, which would hold up the drain.
    pub async fn draining(mut self) {
        for name in NAMES {
            self.0.set_service_status(name, ServingStatus::NotServing).await;
        }
        for name in NAMES {
            self.0.clear_service_status(name).await;
        }
    }

    /// The routes. Not `Routes` of tonic: its fallback would answer every unknown path.
    pub(super) fn routes(&self) -> Router {
        let service = HealthServer::new(HealthService::from_health_reporter(self.0.clone()));
        Router::new().route_service("/grpc.health.v1.Health/{*rest}", service)
    }
}
