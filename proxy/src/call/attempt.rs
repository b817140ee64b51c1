//! Asking one provider after the other until one answers.

use std::{sync::Arc, time::Instant};

use tokio::time::{self, timeout_at};

use super::Settlement;
use crate::{
    error::CallError,
    provider::{ProviderError, ProviderErrorKind},
    router::{NoRoute, Route, Target},
};

/// What `ask` gives for the first target that does not fail, with that target. Each target is asked at most once; a request that a provider
/// refuses for what it is, is not tried elsewhere.
pub(super) async fn first_good<T, F: Future<Output = Result<T, ProviderError>>>(
    route: &Route,
    settlement: &mut Settlement,
    deadline: Instant,
    ask: impl Fn(Arc<Target>) -> F,
) -> Result<(Arc<Target>, T), CallError> {
    let mut targets = route.targets.iter().peekable();
    while let Some(target) = targets.next() {
        settlement.asked(target.provider.name());
        let Ok(asked) = timeout_at(time::Instant::from_std(deadline), ask(Arc::clone(target))).await else {
            settlement.late();
            return Err(CallError::DeadlineExceeded);
        };
        let error = match asked {
            Ok(answer) => return Ok((Arc::clone(target), answer)),
            Err(error) => error,
        };
        settlement.failed(error.kind.label());
        log(target, &error);
        if !error.is_retriable() || targets.peek().is_none() {
            return Err(failed(target, error));
        }
        settlement.retried();
    }
    Err(NoRoute::NoTarget.into())
}

/// The error of a call whose last provider failed so.
pub(super) fn failed(target: &Target, error: ProviderError) -> CallError {
    CallError::Provider { provider: target.provider.name().to_owned(), error }
}

/// A key that is refused needs a person; everything else is for whoever looks for a fault.
pub(super) fn log(target: &Target, error: &ProviderError) {
    let provider = target.provider.name();
    let (status, kind) = (error.status, error.kind.label());
    if error.kind == ProviderErrorKind::Auth {
        tracing::warn!(provider, status, kind, "provider does not accept our key");
    }
    tracing::debug!(
        provider,
        model = target.model,
        status,
        kind,
        detail = error.detail(),
        "provider call failed"
    );
}
