//! Server reflection (gRPC's reflection protocol, v1 and v1alpha), for tools like grpcurl that have no copy of the contract. Behind
//! authentication like the contract itself, and only where the config asks for it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tonic_reflection::server::{Builder, Error};
use vibectl_proto::llm_proxy::DESCRIPTORS;

use crate::{service::no_route, state::Shared};

/// The routes. Each request asks the config in force.
pub fn routes(shared: &Arc<Shared>) -> Router {
    match served() {
        Ok(router) => router.layer(from_fn_with_state(Arc::clone(shared), if_asked_for)),
        Err(error) => {
            // The descriptors are made when this is compiled.
            tracing::error!(%error, "bug: no server reflection");
            Router::new()
        }
    }
}

fn served() -> Result<Router, Error> {
    let builder = || {
        let described = Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        described.register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{*rest}", builder().build_v1()?)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{*rest}", builder().build_v1alpha()?))
}

async fn if_asked_for(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.config().server.reflection { next.run(request).await } else { no_route(request).await }
}
