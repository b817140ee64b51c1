//! Asking one target after the other until one answers.
//!
//! 1. Every target once, in the order of the route and without a pause. Passed over are those that are ejected, rest or are full.
//! 2. When all of them have failed, those whose failure may pass again, the soonest first, as often as their config, their
//!    budget and the deadline allow.
//! 3. When all were passed over, the first one that is merely ejected, once: an ejection is for choosing, and there is no choice.
//!
//! Nothing of an answer has been handed on before this returns, so no caller sees two halves of two answers. A request that a
//! provider refuses for what it is, is not tried elsewhere. One that broke on its way may have been answered, and charged, without
//! us knowing; it is sent again all the same, since a model changes nothing by answering.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    Settlement,
    attempt::{Answered, Chosen, PassedOver, attempt, failed},
    deadline::Deadline,
};
use crate::{
    error::CallError,
    outgoing::backoff::{Backoff, lot},
    provider::{ProviderError, ProviderErrorKind},
    router::{NoRoute, Route, Target},
};

/// What `ask` gives for the first target that does not fail.
pub(super) async fn first_good<T, F: Future<Output = Result<T, ProviderError>>>(
    route: &Route,
    settlement: &mut Settlement,
    deadline: Deadline,
    ask: impl Fn(Arc<Target>) -> F,
) -> Result<Answered<T>, CallError> {
    let mut failures = Vec::new();
    for target in &route.targets {
        let chosen = match Chosen::of(target) {
            Ok(chosen) => chosen,
            Err(why) => {
                settlement.passed_over(target.provider.name(), why.label());
                continue;
            }
        };
        if !failures.is_empty() {
            settlement.retried();
        }
        target.upstream.budget.called();
        match attempt(chosen, settlement, deadline, &ask).await? {
            Ok(answered) => return Ok(answered),
            Err(error) => failures.push(Failure { target, error, retries: 0, given_up: false }),
        }
    }
    if failures.is_empty() {
        without_a_choice(route, settlement, deadline, &ask).await
    } else {
        again(failures, settlement, deadline, &ask).await
    }
}

/// A target that failed.
struct Failure<'a> {
    target: &'a Arc<Target>,
    error: ProviderError,
    retries: u32,
    given_up: bool,
}

impl Failure<'_> {
    /// How long to wait before it is asked again, if it is.
    fn pause(&self) -> Option<Duration> {
        let config = &self.target.upstream.retries;
        let is_worth_it = !self.given_up && self.retries < config.attempts && self.error.may_pass();
        let retry_after = match self.error.kind {
            ProviderErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        };
        let backoff = Backoff {
            base: Duration::from_millis(config.base_ms.into()),
            cap: Duration::from_millis(config.cap_ms.into()),
        };
        let asked = retry_after.unwrap_or_default();
        is_worth_it.then(|| backoff.pause_after(asked, self.retries, lot())).flatten()
    }
}

async fn again<T, F: Future<Output = Result<T, ProviderError>>>(
    mut failures: Vec<Failure<'_>>,
    settlement: &mut Settlement,
    deadline: Deadline,
    ask: &impl Fn(Arc<Target>) -> F,
) -> Result<Answered<T>, CallError> {
    let mut last = failures.len() - 1;
    loop {
        let pauses = failures.iter().map(Failure::pause).enumerate();
        let soonest = pauses.filter_map(|(place, pause)| Some((pause?, place))).min();
        let Some((pause, place)) = soonest else { break };
        let Failure { target, error, retries, given_up } = &mut failures[place];
        let (target, now) = (*target, Instant::now());
        let provider = target.provider.name();
        if !deadline.has_room_for(pause, now) {
            settlement.retry(provider, "too_late");
            break;
        }
        if !target.upstream.budget.take(now) {
            settlement.retry(provider, "over_budget");
            *given_up = true;
            continue;
        }
        sleep(pause).await;
        // Others may have found out meanwhile that it is not worth it.
        let Ok(chosen) = Chosen::of(target) else {
            *given_up = true;
            continue;
        };
        settlement.retried();
        settlement.retry(provider, "made");
        *retries += 1;
        last = place;
        match attempt(chosen, settlement, deadline, ask).await? {
            Ok(answered) => return Ok(answered),
            Err(newest) => *error = newest,
        }
    }
    let Failure { target, error, .. } = failures.swap_remove(last);
    Err(failed(target, error))
}

async fn without_a_choice<T, F: Future<Output = Result<T, ProviderError>>>(
    route: &Route,
    settlement: &mut Settlement,
    deadline: Deadline,
    ask: &impl Fn(Arc<Target>) -> F,
) -> Result<Answered<T>, CallError> {
    let mut is_full = false;
    let mut rests = Vec::new();
    for target in &route.targets {
        match Chosen::anyway(target) {
            Ok(chosen) => {
                target.upstream.budget.called();
                let asked = attempt(chosen, settlement, deadline, ask).await?;
                return asked.map_err(|error| failed(target, error));
            }
            Err(PassedOver::Resting(rest)) => rests.push((rest, target)),
            Err(PassedOver::Full | PassedOver::Ejected) => is_full = true,
        }
    }
    match rests.into_iter().min_by_key(|(rest, _)| *rest) {
        Some((rest, target)) if !is_full => Err(failed(target, ProviderError::resting(rest))),
        _ if is_full => Err(CallError::Full),
        _ => Err(NoRoute::NoTarget.into()),
    }
}
