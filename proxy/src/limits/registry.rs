//! Counters of every scope, and the decision over all of them at once. Pure; the clock is passed in.
//!
//! Memory is bounded by the callers of the last two minutes: an entry with no running call and empty windows is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use vibectl_token::Limits;

use crate::caller::Caller;
use crate::limits::effective::Effective;
use crate::limits::permit::{Permit, Place, Reserved, Slot};
use crate::limits::rate::{WINDOW, Window};
use crate::limits::{Demand, LimitKind, Refused, Scope};
use crate::provider::Usage;

/// Tokens that the answer to a call is taken to have that does not say how long it may be.
const UNSAID_OUTPUT: u64 = 1024;

/// All counters.
#[derive(Debug, Default)]
pub struct Registry {
    total: Counters,
    namespaces: HashMap<String, Counters>,
    callers: HashMap<String, Counters>,
    next_sweep: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    requests: Window,
    tokens: Window,
    reserved: Arc<AtomicU64>,
    running: Arc<AtomicU32>,
}

/// One scope that a call has to fit into.
struct Bound<'a> {
    scope: Scope,
    limits: &'a Limits,
    counters: &'a mut Counters,
}

impl Registry {
    /// Counts the call in all scopes of the caller, or in none.
    pub(super) fn admit(
        &mut self,
        limits: &Effective,
        caller: &Caller,
        demand: Demand,
        now: Duration,
    ) -> Result<Vec<Place>, Refused> {
        self.sweep(now);
        let mut bounds = Vec::with_capacity(3);
        bounds.push(Bound { scope: Scope::Total, limits: &limits.total, counters: &mut self.total });
        if let Some(namespace) = &caller.namespace {
            let counters = entry(&mut self.namespaces, namespace);
            bounds.push(Bound { scope: Scope::Namespace, limits: &limits.namespace, counters });
        }
        let counters = entry(&mut self.callers, &caller.uid);
        bounds.push(Bound { scope: Scope::Caller, limits: &limits.caller, counters });

        let full =
            bounds.iter_mut().flat_map(|bound| [bound.check_rate(now), bound.check_tokens(demand, now)]);
        last_to_open(full.filter_map(Result::err))?;
        bounds.iter().try_for_each(Bound::check_concurrency)?;
        Ok(bounds.into_iter().map(|bound| bound.take(demand, now)).collect())
    }

    /// Counts tokens in the scopes that limit them.
    pub(super) fn settle(&mut self, permit: &Permit, caller: &Caller, tokens: u64, now: Duration) {
        for place in permit.places.iter().filter(|place| place.reserved.is_some()) {
            let counters = match (place.scope, &caller.namespace) {
                (Scope::Total, _) => &mut self.total,
                (Scope::Namespace, Some(namespace)) => entry(&mut self.namespaces, namespace),
                (Scope::Namespace, None) => continue,
                (Scope::Caller, _) => entry(&mut self.callers, &caller.uid),
            };
            counters.tokens.take(tokens, now);
        }
    }

    /// Callers and namespaces that have an entry.
    pub(super) fn remembered(&self) -> usize {
        self.namespaces.len() + self.callers.len()
    }

    /// Drops idle entries, once a minute.
    fn sweep(&mut self, now: Duration) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + WINDOW;
        self.namespaces.retain(|_, counters| !counters.is_idle(now));
        self.callers.retain(|_, counters| !counters.is_idle(now));
    }
}

impl Counters {
    fn is_idle(&mut self, now: Duration) -> bool {
        self.running.load(Relaxed) == 0 && self.requests.is_idle(now) && self.tokens.is_idle(now)
    }
}

impl Bound<'_> {
    fn check_rate(&mut self, now: Duration) -> Result<(), Refused> {
        let Some(maximum) = self.limits.max_requests_per_minute else { return Ok(()) };
        let checked = self.counters.requests.check(maximum.into(), 1, now);
        checked.map_err(|wait| self.refused(LimitKind::Rate, maximum, wait))
    }

    fn check_tokens(&mut self, demand: Demand, now: Duration) -> Result<(), Refused> {
        let Some(maximum) = self.limits.max_tokens_per_minute else { return Ok(()) };
        let (limit, wanted) = (u64::from(maximum), reservation(demand, maximum));
        if wanted > limit {
            return Err(self.refused(LimitKind::CallTokens, maximum, Duration::ZERO));
        }
        let left = limit.saturating_sub(self.counters.reserved.load(Relaxed));
        if wanted > left {
            // It depends on calls that still run.
            return Err(self.refused(LimitKind::Tokens, maximum, Duration::ZERO));
        }
        let checked = self.counters.tokens.check(left, wanted, now);
        checked.map_err(|wait| self.refused(LimitKind::Tokens, maximum, wait))
    }

    fn check_concurrency(&self) -> Result<(), Refused> {
        match self.limits.max_concurrent_requests {
            Some(maximum) if self.counters.running.load(Relaxed) >= maximum => {
                Err(self.refused(LimitKind::Concurrency, maximum, Duration::ZERO))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, kind: LimitKind, maximum: u32, retry_after: Duration) -> Refused {
        Refused { kind, scope: self.scope, maximum, retry_after }
    }

    fn take(self, demand: Demand, now: Duration) -> Place {
        let Self { scope, limits, counters } = self;
        if limits.max_requests_per_minute.is_some() {
            counters.requests.take(1, now);
        }
        let reserved = limits
            .max_tokens_per_minute
            .map(|maximum| Reserved::take(&counters.reserved, reservation(demand, maximum)));
        Place { scope, reserved, _running: Slot::take(&counters.running) }
    }
}

/// Tokens that a call holds while it runs. One that does not say how long its answer may be holds no more than there is.
fn reservation(demand: Demand, limit: u32) -> u64 {
    let prompt = Usage::estimate(demand.input_length);
    let unsaid = || UNSAID_OUTPUT.min(u64::from(limit).saturating_sub(prompt));
    prompt.saturating_add(demand.output_cap.unwrap_or_else(unsaid))
}

/// Of all full scopes, the one that opens last is told: after that time every scope admits. One of which no time is known
/// comes before all others.
fn last_to_open(refused: impl Iterator<Item = Refused>) -> Result<(), Refused> {
    let order = |refused: &Refused| (refused.retry_after.is_zero(), refused.retry_after);
    refused.max_by_key(order).map_or(Ok(()), Err)
}

/// Refuses an input that is longer than any scope allows.
pub(super) fn check_input(limits: &Effective, length: usize) -> Result<(), Refused> {
    let scopes = [
        (Scope::Total, &limits.total),
        (Scope::Namespace, &limits.namespace),
        (Scope::Caller, &limits.caller),
    ];
    let smallest = scopes
        .into_iter()
        .filter_map(|(scope, limits)| limits.max_input_length.map(|maximum| (maximum, scope)))
        .min_by_key(|(maximum, _)| *maximum);
    match smallest {
        Some((maximum, scope)) if length > usize::try_from(maximum).unwrap_or(usize::MAX) => {
            Err(Refused { kind: LimitKind::Input, scope, maximum, retry_after: Duration::ZERO })
        }
        _ => Ok(()),
    }
}

fn entry<'a>(counters: &'a mut HashMap<String, Counters>, key: &str) -> &'a mut Counters {
    counters.entry(key.to_owned()).or_default()
}
