//! The ports that report about the service: admin and fleet. They are there before it and after it.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::cli::outcome::Failure;
use crate::listener::tls::Security;
use crate::listener::{self, Listener};
use crate::state::Shared;
use crate::{admin, fleet};

/// Opens the ports that the config asks for. One that cannot be had ends the start.
pub(super) async fn reports(shared: &Arc<Shared>) -> Result<JoinSet<()>, Failure> {
    let config = shared.config();
    let mut ports = JoinSet::new();
    if config.admin.enabled {
        let tcp = listener::bind("health and metrics", &config.admin.host, config.admin.port).await;
        let listener = Listener {
            name: "admin",
            tcp: tcp.map_err(Failure::running)?,
            security: Security::Plaintext,
            router: admin::routes(Arc::clone(shared)),
            stages: shared.shutdown.of_reports(),
            shared: Arc::clone(shared),
        };
        ports.spawn(listener.serve());
    }
    if let Some(config) = &config.fleet {
        let identity = fleet::Identity::read(&config.dir).map_err(Failure::running)?;
        let tcp = listener::bind("the operator", &config.host, config.port).await;
        let listener = Listener {
            name: "fleet",
            tcp: tcp.map_err(Failure::running)?,
            security: identity.security(),
            router: fleet::routes(shared),
            stages: shared.shutdown.of_reports(),
            shared: Arc::clone(shared),
        };
        ports.spawn(listener.serve());
        ports.spawn(identity.keep_fresh(shared.shutdown.of_reports().drain));
    }
    Ok(ports)
}
