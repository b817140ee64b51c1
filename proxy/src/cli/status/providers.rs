//! Whether providers can be reached from here, with the keys that the server would use.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::Serialize;
use vibectl_config::Config;

use crate::cli::outcome::Failure;
use crate::provider::address::AddressRule;
use crate::provider::sources::Sources;
use crate::provider::{self, ProviderErrorKind};

/// Longer than a person likes to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// One provider.
#[derive(Debug, Serialize)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) reachable: bool,
    pub(super) latency_ms: Option<u128>,
    /// Why it cannot be called, where that is so.
    pub(super) problem: Option<String>,
}

/// Asks every provider for its models, which costs nothing.
pub(super) fn probe(config: &Config, problems: &mut Vec<String>) -> Result<Vec<Provider>, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::running)?;
    let rule = if config.access.is_some() { AddressRule::Guarded } else { AddressRule::Any };
    let providers = runtime.block_on(join_all(config.providers.iter().map(|one| probe_one(one, rule))));
    let wrong = providers.iter().filter_map(|one| Some((one, one.problem.as_ref()?)));
    problems.extend(wrong.map(|(one, problem)| format!("provider {}: {problem}", one.name)));
    Ok(providers)
}

async fn probe_one(config: &vibectl_config::Provider, rule: AddressRule) -> Provider {
    let address = config.kind.endpoint().map(|endpoint| endpoint.base_url.clone());
    let provider = provider::Provider::new(config, rule, &Sources::of_process());
    let start = Instant::now();
    let probed = tokio::time::timeout(PATIENCE, provider.probe()).await;
    let latency = start.elapsed().as_millis();
    let (reachable, problem) = match probed {
        Err(_) => (false, Some(format!("no answer within {} s", PATIENCE.as_secs()))),
        Ok(Ok(())) => (true, None),
        Ok(Err(error)) => judge(&error),
    };
    let latency_ms = (reachable && address.is_some()).then_some(latency);
    Provider { name: config.name.clone(), address, reachable, latency_ms, problem }
}

/// An answer that is no list of models is an answer: not every server has one.
fn judge(error: &provider::ProviderError) -> (bool, Option<String>) {
    match (error.kind, error.status) {
        (ProviderErrorKind::Auth, _) => (true, Some("it does not accept our key".to_owned())),
        (_, Some(_)) => (true, None),
        (_, None) => (false, Some(error.to_string())),
    }
}
