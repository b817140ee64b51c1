//! Counters of every scope, and the decision over all of them at once. Pure; the clock is passed in.
//!
//! Memory is bounded by the callers of the last two minutes: an entry with no running call and an empty window is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use vibectl_token::Limits;

use crate::caller::Caller;
use crate::limits::effective::Effective;
use crate::limits::rate::{WINDOW, Window};
use crate::limits::{LimitKind, Refused, Scope, Slot};

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
    window: Window,
    running: Arc<AtomicU32>,
}

impl Registry {
    /// Counts the call in all scopes of the caller, or in none.
    pub(crate) fn admit(
        &mut self,
        limits: &Effective,
        caller: &Caller,
        now: Duration,
    ) -> Result<Vec<Slot>, Refused> {
        self.sweep(now);
        let mut scopes = vec![(Scope::Total, &limits.total, &mut self.total)];
        if let Some(namespace) = &caller.namespace {
            let counters = entry(&mut self.namespaces, namespace);
            scopes.push((Scope::Namespace, &limits.namespace, counters));
        }
        scopes.push((Scope::Caller, &limits.caller, entry(&mut self.callers, &caller.uid)));

        check_rate(&mut scopes, now)?;
        check_concurrency(&scopes)?;
        Ok(scopes.into_iter().map(|(_, limits, counters)| counters.take(limits, now)).collect())
    }

    /// Callers and namespaces that have an entry.
    pub(crate) fn remembered(&self) -> usize {
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
    fn take(&mut self, limits: &Limits, now: Duration) -> Slot {
        if limits.max_requests_per_minute.is_some() {
            self.window.take(now);
        }
        Slot::take(&self.running)
    }

    fn is_idle(&mut self, now: Duration) -> bool {
        self.running.load(Relaxed) == 0 && self.window.is_idle(now)
    }
}

/// Refuses an input that is longer than any scope allows.
pub(crate) fn check_input(limits: &Effective, length: usize) -> Result<(), Refused> {
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

/// Of all full scopes, the one that opens last is told: after that time every scope admits.
fn check_rate(scopes: &mut [(Scope, &Limits, &mut Counters)], now: Duration) -> Result<(), Refused> {
    let mut refused: Option<Refused> = None;
    for (scope, limits, counters) in scopes {
        let Some(maximum) = limits.max_requests_per_minute else { continue };
        if let Err(retry_after) = counters.window.check(maximum, now)
            && refused.as_ref().is_none_or(|known| known.retry_after < retry_after)
        {
            refused = Some(Refused { kind: LimitKind::Rate, scope: *scope, maximum, retry_after });
        }
    }
    refused.map_or(Ok(()), Err)
}

fn check_concurrency(scopes: &[(Scope, &Limits, &mut Counters)]) -> Result<(), Refused> {
    for (scope, limits, counters) in scopes {
        if let Some(maximum) = limits.max_concurrent_requests
            && counters.running.load(Relaxed) >= maximum
        {
            let kind = LimitKind::Concurrency;
            return Err(Refused { kind, scope: *scope, maximum, retry_after: Duration::ZERO });
        }
    }
    Ok(())
}

fn entry<'a>(counters: &'a mut HashMap<String, Counters>, key: &str) -> &'a mut Counters {
    counters.entry(key.to_owned()).or_default()
}
