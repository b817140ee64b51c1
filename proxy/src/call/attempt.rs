//! Asking one provider once: whether it may be asked at all, and what the attempt tells of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Settlement,
    deadline::{Deadline, Late},
};
use crate::{
    error::CallError,
    provider::{ProviderError, ProviderErrorKind},
    router::{
        Target,
        endpoint::{Away, Trial},
        health::{Change, Verdict},
        upstream::Place,
    },
};

/// A target that may be asked now.
pub(super) struct Chosen<'a> {
    target: &'a Arc<Target>,
    trial: Trial<'a>,
    place: Place,
}

/// Why a target is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassedOver {
    /// It failed too often.
    Ejected,
    /// It asked to be left alone for so long.
    Resting(Duration),
    /// It has as many calls as it may have.
    Full,
}

/// What a target gave, and until when the rest of it has to come.
pub(super) struct Answered<T> {
    pub(super) target: Arc<Target>,
    pub(super) answer: T,
    pub(super) deadline: Deadline,
}

impl PassedOver {
    /// Metric label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Ejected => "ejected",
            Self::Resting(_) => "resting",
            Self::Full => "full",
        }
    }
}

impl From<Away> for PassedOver {
    fn from(away: Away) -> Self {
        match away {
            Away::Ejected => Self::Ejected,
            Away::Resting(rest) => Self::Resting(rest),
        }
    }
}

impl<'a> Chosen<'a> {
    /// The target, if it is worth a call and has a place for one.
    pub(super) fn of(target: &'a Arc<Target>) -> Result<Self, PassedOver> {
        Self::with(target, target.endpoint.admit(Instant::now()))
    }

    /// The same whether it is ejected or not.
    pub(super) fn anyway(target: &'a Arc<Target>) -> Result<Self, PassedOver> {
        Self::with(target, target.endpoint.admit_anyway(Instant::now()))
    }

    fn with(target: &'a Arc<Target>, admitted: Result<Trial<'a>, Away>) -> Result<Self, PassedOver> {
        let trial = admitted?;
        let place = target.upstream.place().ok_or(PassedOver::Full)?;
        Ok(Self { target, trial, place })
    }
}

/// What `ask` gives for the target; the inner error is one that another target may not have.
pub(super) async fn attempt<T, F: Future<Output = Result<T, ProviderError>>>(
    chosen: Chosen<'_>,
    settlement: &mut Settlement,
    deadline: Deadline,
    ask: &impl Fn(Arc<Target>) -> F,
) -> Result<Result<Answered<T>, ProviderError>, CallError> {
    let Chosen { target, trial, place } = chosen;
    settlement.asked(target, place);
    let deadline = deadline.of_attempt(target.upstream.total_timeout, Instant::now());
    let error = match deadline.bound(ask(Arc::clone(target))).await {
        Ok(Ok(answer)) => {
            target.upstream.key_accepted(true);
            conclude(target, trial, Verdict::Answered);
            return Ok(Ok(Answered { target: Arc::clone(target), answer, deadline }));
        }
        Ok(Err(error)) => error,
        Err(Late::Provider) => ProviderError::took_too_long(),
        Err(Late::Call) => {
            // How long its callers wait says nothing of a provider, so the trial tells nothing.
            settlement.late();
            return Err(CallError::DeadlineExceeded);
        }
    };
    settlement.failed(error.kind.label());
    log(target, &error);
    match error.kind {
        ProviderErrorKind::Auth => target.upstream.key_accepted(false),
        // It would not have come to that with another key.
        ProviderErrorKind::Rejected => target.upstream.key_accepted(true),
        _ => {}
    }
    conclude(target, trial, verdict(&error));
    if error.is_retriable() { Ok(Err(error)) } else { Err(failed(target, error)) }
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

/// A rate limit is no failure, and one without a time no reason to stay away: the next call may be a smaller one.
fn verdict(error: &ProviderError) -> Verdict {
    match error.kind {
        _ if error.is_off() => Verdict::Nothing,
        ProviderErrorKind::Timeout
        | ProviderErrorKind::Unavailable
        | ProviderErrorKind::Auth
        | ProviderErrorKind::BadAnswer => Verdict::Failed,
        ProviderErrorKind::RateLimited { retry_after: Some(rest) } => Verdict::Limited(rest),
        ProviderErrorKind::RateLimited { retry_after: None } | ProviderErrorKind::Inexpressible => {
            Verdict::Nothing
        }
        ProviderErrorKind::Rejected => Verdict::Answered,
    }
}

fn conclude(target: &Target, trial: Trial<'_>, verdict: Verdict) {
    let (provider, model) = (target.provider.name(), &target.model);
    match trial.conclude(verdict, Instant::now()) {
        Some(Change::Ejected(time)) => {
            let seconds = time.as_secs();
            tracing::warn!(provider, model, seconds, "provider fails too often and is left out for a while");
        }
        Some(Change::Recovered) => tracing::info!(provider, model, "provider answers again"),
        None => {}
    }
}
